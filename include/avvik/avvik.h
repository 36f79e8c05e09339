/* Everything in libavvik. */
#ifndef AVVIK_H
#define AVVIK_H

#include "avvik/cases.h"
#include "avvik/engine.h"
#include "avvik/model.h"
#include "avvik/score.h"
#include "avvik/source.h"
#include "avvik/status.h"
#include "avvik/version.h"

#endif

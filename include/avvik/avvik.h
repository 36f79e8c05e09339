/* Everything in libavvik. */
#ifndef AVVIK_H
#define AVVIK_H

#include "avvik/cases.h"
#include "avvik/check.h"
#include "avvik/compare.h"
#include "avvik/engine.h"
#include "avvik/explain.h"
#include "avvik/find.h"
#include "avvik/history.h"
#include "avvik/model.h"
#include "avvik/night.h"
#include "avvik/progress.h"
#include "avvik/report.h"
#include "avvik/score.h"
#include "avvik/serve.h"
#include "avvik/source.h"
#include "avvik/status.h"
#include "avvik/store.h"
#include "avvik/synth.h"
#include "avvik/truth.h"
#include "avvik/tune.h"
#include "avvik/version.h"

#endif

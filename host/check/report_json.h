#ifndef AVVIK_REPORT_JSON_H
#define AVVIK_REPORT_JSON_H

#include "avvik/check.h"

/* The JSON part of avvik_check_report_write(). */
enum avvik_status avvik__report_json(const struct avvik_check_report *report, FILE *stream, struct avvik_error *error);

#endif

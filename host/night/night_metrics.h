/* What a night tells a monitor. */
#ifndef AVVIK_NIGHT_METRICS_H
#define AVVIK_NIGHT_METRICS_H

#include "night_state.h"

/* Write the file `metrics` of the configuration, if it names one: Prometheus text exposition format 0.0.4, put in place
 * by rename, as node_exporter's textfile collector wants it. README.md lists what is in it. */
enum avvik_status avvik__metrics_write(const struct avvik__night *night, int exit_code, struct avvik_error *error);

#endif

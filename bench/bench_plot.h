/* Pictures: of runs of avvik-bench, and of a run of bench/peers. */
#ifndef AVVIK_BENCH_PLOT_H
#define AVVIK_BENCH_PLOT_H

#include <stdio.h>

#include "bench.h"

/* Let draw() write PATH.partial, then give it its name. draw() returns 0 if it failed. */
enum bench_exit bench_picture_write(const char *path, int (*draw)(FILE *file, const void *context),
                                    const void *context);

/* Is the file a document of bench/peers/compare_peers.py? Says nothing if it is no JSON. */
int bench_is_of_peers(const char *path);

/* Draw forest scoring in memory on one core, a bar a contender, the fastest on top. BENCH_BAD_INPUT, with a sentence,
 * if the document is not as documented. */
enum bench_exit bench_plot_peers(const char *path, const char *out);

#endif

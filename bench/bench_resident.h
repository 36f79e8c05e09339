/* The kernels of an OpenCL device alone. */
#ifndef AVVIK_BENCH_RESIDENT_H
#define AVVIK_BENCH_RESIDENT_H

#include "bench.h"
#include "engine_internal.h"

/* Time the kernels of one OpenCL device, "opencl:P.D", by its own clock: shape->rows rows, feature after feature in
 * `columns`, in one launch each, after what comes out was compared with `want`. A shape that is in `results` already is
 * left out. BENCH_NO_BACKEND or BENCH_DIFFERS, with a sentence, where it cannot run or is wrong. */
enum bench_exit bench_resident(const struct bench_options *options, struct bench_results *results,
                               const struct avvik_model *model, const char *backend, const struct bench_shape *shape,
                               const float *columns, const struct avvik_scores *want);

#endif

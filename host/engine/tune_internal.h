/* What the parts of `avvik tune` share: tune.c (its course, and the CPU) and tune_device.c (one OpenCL device). */
#ifndef AVVIK_TUNE_INTERNAL_H
#define AVVIK_TUNE_INTERNAL_H

#include "avvik/tune.h"
#include "backend.h"
#include "opencl_runtime.h"
#include "scoring_plan.h"
#include "tuning.h"

#define AVVIK_TUNE_SAMPLE 256 /* rows of a tree: 8 levels */
#define AVVIK_TUNE_RUNS 7     /* of a setting, at most */

struct tune {
    const volatile int *stop;
    struct avvik_tuning *tunings;
    size_t n_tunings;
};

/* A plan, rows for it, and room for their scores. */
struct probe {
    struct avvik__plan_memory memory;
    size_t n_rows;
    float *values; /* column after column */
    int32_t *path_sum;
    float *deviation;
    uint16_t *small[3];
};

double avvik__tune_now_s(void);

enum avvik_status avvik__tune_probe_init(struct probe *probe, uint32_t sample, uint32_t n_features, size_t n_rows,
                                         struct avvik_error *error);
void avvik__tune_probe_destroy(struct probe *probe);

/* Seconds in which a worker scores rows [first, first + n); 0 if it fails. */
double avvik__tune_run(const struct probe *probe, const struct avvik__backend *backend, void *worker, size_t first,
                       size_t n);

/* Add a setting that was measured. AVVIK_OK, AVVIK_INTERRUPTED or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__tuning_add(struct tune *tune, const char *target, const char *subject, const char *setting,
                                    double rows_per_second, struct avvik_error *error);

/* The fastest of the last n settings; the first of them, which is the usual one, unless another is clearly faster.
 * n if none can run. */
size_t avvik__tuning_choose(struct tune *tune, size_t n);

/* Measure one OpenCL device and keep the choice. */
enum avvik_status avvik__tune_device(struct tune *tune, struct avvik__cl_device *device, struct avvik_error *error);

#endif

/* Measuring once what this machine is best at. Scores do not depend on it, only their speed. */
#ifndef AVVIK_TUNE_H
#define AVVIK_TUNE_H

#include <stddef.h>

#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One way of scoring that was measured. */
struct avvik_tuning {
    char target[32];        /* "cpu" or "opencl:0.0" */
    char subject[48];       /* what was varied: "16 features, up to 8 levels" (on the CPU), "walk", "group", "piece" */
    char setting[32];       /* "avx512vbmi", "lanes:16", "32 work-items", "1024 KiB" */
    double rows_per_second; /* of one worker; for a device's "walk" and "group" of its kernels alone, by its own clock;
                               for "piece" of all workers. 0 if it cannot run here, or fails its self-test */
    int is_chosen;          /* 1 for one setting of each subject: avvik_engine_open() takes it from now on */
};

/* Measure for a few seconds, and keep the choice in the cache directory (host/README.md), from where
 * avvik_engine_open() takes it: of the CPU's variants where there is a choice, and of the walks, work-group sizes and
 * rows of a launch of each OpenCL device. Made-up rows and forests of 100 trees are scored.
 *
 * target        "cpu", "opencl:PLATFORM.DEVICE", or NULL for the CPU and every OpenCL device (one of those that are
 * alike). stop          polled between measurements; non-zero ends with AVVIK_INTERRUPTED; may be NULL. tunings_out on
 * success an array of *n_tunings_out; release with free(). Empty where there is no choice. Returns AVVIK_OK;
 * AVVIK_ERR_BACKEND (no such target, or none of its settings can run); AVVIK_ERR_USAGE (AVVIK_OPENCL_WALK is set, so
 * that a walk cannot be chosen); AVVIK_ERR_IO (the choice cannot be kept: the text names the file); AVVIK_INTERRUPTED;
 * AVVIK_ERR_MEMORY. */
enum avvik_status avvik_tune(const char *target, const volatile int *stop, struct avvik_tuning **tunings_out,
                             size_t *n_tunings_out, struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

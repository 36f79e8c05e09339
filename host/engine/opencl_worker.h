/* The OpenCL backend's two halves: a plan bound to a device (backend_opencl.c), and workers on it (opencl_worker.c). */
#ifndef AVVIK_OPENCL_WORKER_H
#define AVVIK_OPENCL_WORKER_H

#include <stdatomic.h>

#include "backend.h"
#include "opencl_program.h"
#include "opencl_runtime.h"

/* Read-only once it is open; shared by all workers. */
struct avvik__opencl_state {
    const struct avvik__scoring_plan *plan;
    struct avvik__cl_device device;
    struct avvik__cl_geometry geometry;
    cl_context context;
    cl_program program;
    cl_mem words, features, leaf_pairs; /* the forest; features for wide nodes only */
    cl_mem center, rscale, fill, joint, joint_of, tails;
    cl_uint n_units; /* what the walk counts: trees (padded) or groups of trees */
    struct avvik__kernels cpu;
    char warning[512];
    atomic_int is_abandoned; /* a worker's buffers were left to a silent device: nothing can be released any more */
};

/* Bytes that a row takes in what is sent to a device: its values and, in a model with peer groups, the number of its
 * group. All values come first, then all numbers. */
static inline size_t avvik__cl_row_bytes(const struct avvik__scoring_plan *plan)
{
    return plan->stride * sizeof(float) + (plan->n_groups > 1 ? sizeof(uint32_t) : 0);
}

/* open() of struct avvik__backend, on a device that was chosen and with the tuning that is in it. */
enum avvik_status avvik__opencl_open_device(const struct avvik__cl_device *device,
                                            const struct avvik__scoring_plan *plan, void **state_out,
                                            struct avvik_error *error);

/* The worker's functions of struct avvik__backend. */
enum avvik_status avvik__opencl_worker_create(void *state, size_t max_rows, void **worker_out,
                                              struct avvik_error *error);
enum avvik_status avvik__opencl_worker_score(void *worker, const struct avvik_rows *rows,
                                             const struct avvik_scores *scores, struct avvik_error *error);
void avvik__opencl_worker_free(void *worker);
int avvik__opencl_worker_is_lost(const void *worker);
void avvik__opencl_worker_times(const void *worker, struct avvik__device_times *times_out);

#endif

/* The OpenCL backend's two halves: a plan bound to a device (backend_opencl.c), and workers on it (opencl_worker.c). */
#ifndef AVVIK_OPENCL_WORKER_H
#define AVVIK_OPENCL_WORKER_H

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
    cl_mem mean, rscale, fill;
    cl_uint n_units; /* what the walk counts: trees (padded) or groups of trees */
    struct avvik__kernels cpu;
};

/* worker_create, worker_score and worker_free of struct avvik__backend. */
enum avvik_status avvik__opencl_worker_create(void *state, size_t max_rows, void **worker_out,
                                              struct avvik_error *error);
enum avvik_status avvik__opencl_worker_score(void *worker, const struct avvik_rows *rows,
                                             const struct avvik_scores *scores, struct avvik_error *error);
void avvik__opencl_worker_free(void *worker);

#endif

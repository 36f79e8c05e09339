/* What the engine, its self-test and their tests share. */
#ifndef AVVIK_ENGINE_INTERNAL_H
#define AVVIK_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend.h"
#include "scoring_plan.h"

#define AVVIK_DEVICE_FAILURES 3   /* after so many a device is not used any more */
#define AVVIK_CHECK_ROWS 1024     /* of a tile that the CPU recomputes */
#define AVVIK_CHECK_INTERVAL 1000 /* one tile in so many is */

/* The reference first, then each wider one. */
#define AVVIK_CPU_BACKENDS 4
extern const struct avvik__backend *const avvik__cpu_backends[AVVIK_CPU_BACKENDS];

/* A plan bound to one device. */
struct avvik__engine_device {
    char name[32]; /* "opencl:0.0" */
    void *state;
    atomic_uint failures;
    atomic_int is_off;
};

/* On a CPU backend there are no devices and `cpu` scores everything; else it stands in for them. */
struct avvik_engine {
    struct avvik__plan_memory memory;
    const struct avvik__backend *cpu;
    void *cpu_state;
    const struct avvik__backend *backend; /* of the devices */
    struct avvik__engine_device *devices;
    uint32_t n_devices;
    char name[256], device[1024], warning[1100];

    atomic_uint next_device; /* workers are dealt out in turn */
    atomic_int is_doubtful;  /* a device computed something wrong */
    atomic_ullong failures, smaller_pieces, rows_on_cpu, tiles_checked, tiles_wrong;
    pthread_mutex_t reason_lock;
    char reason[1024];
};

/* Make `model` ready on `backend`, whatever it is; specs: one or several of what its open() takes, with commas between.
 * avvik_engine_open() ends here, and tests come in with backends that nobody can name on the command line. */
enum avvik_status avvik__engine_open_with(const struct avvik_model *model, const struct avvik__backend *backend,
                                          const char *specs, struct avvik_engine **engine_out,
                                          struct avvik_error *error);

/* What the worker's device did so far; 0 if it has none, or none with a clock. For benchmarks and tests. */
int avvik__worker_times(const struct avvik_worker *worker, struct avvik__device_times *times_out);

/* The first difference between two sets of results of the same n_rows rows; counts of columns are not compared. */
struct avvik__difference {
    const char *what; /* "path_sum" */
    size_t row;
    uint32_t got, want; /* bits */
};
int avvik__scores_differ(const struct avvik_scores *got, const struct avvik_scores *want, size_t n_rows,
                         struct avvik__difference *first_out);

/* Run known rows through `state` of `backend` and through the scalar reference; compare every result bit by bit.
 * AVVIK_OK; AVVIK_ERR_SELFTEST (the text names what differs, where, and both values); what the backend returns. */
enum avvik_status avvik__plan_selftest(const struct avvik__backend *backend, void *state,
                                       const struct avvik__scoring_plan *plan, struct avvik_error *error);

/* A plan over a forest grown on made-up rows: feature f is uniform in [f, f + 4), or has few values. Release with
 * avvik__plan_destroy(). AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__probe_plan_init(struct avvik__plan_memory *memory, uint32_t trees, uint32_t sample,
                                         uint32_t n_features, uint32_t n_groups, struct avvik_error *error);

/* Split "NAME[:SPEC]" and find the backend. spec_out points into `text` or is NULL. AVVIK_ERR_BACKEND if unknown. */
enum avvik_status avvik__backend_find(const char *text, const struct avvik__backend **backend_out,
                                      const char **spec_out, struct avvik_error *error);

/* Can there be a GPU? To ask OpenCL means to load and start every driver (about 30 ms). A driver reaches its GPU
 * through a device file, so where `devices` ("/dev") has none of those that GPU drivers use (NVIDIA's, AMD's kfd,
 * Windows' dxg, those of Arm, Qualcomm, Imagination and Vivante, and everything in dri/), OpenCL has no GPU either.
 * Errs on the side of 1. */
int avvik__gpu_may_be_here(const char *devices);

/* "0.0,1.0": every GPU that can run, or every OpenCL device where there is no GPU. *specs_out: free() it.
 * AVVIK_ERR_BACKEND if there is none. */
enum avvik_status avvik__opencl_specs_all(char **specs_out, struct avvik_error *error);

#endif

/* What a backend is to the engine: a handful of functions over a scoring plan. */
#ifndef AVVIK_BACKEND_H
#define AVVIK_BACKEND_H

#include "avvik/engine.h"
#include "kernels.h"

/* A model in the shape the kernels want. Owned by the engine; read-only; outlives every backend state made from it. */
struct avvik__scoring_plan {
    uint32_t n_features;
    size_t stride; /* n_features rounded up to a multiple of 16 */
    uint32_t n_groups;
    const float *center;      /* [group][stride], 64-byte aligned, zero padded */
    const float *rscale;      /* likewise */
    const float *fill;        /* [stride] */
    uint32_t n_joint;         /* tables of the joint deviation; the first is everyone's; 0: there is none */
    const float *joint;       /* [table][AVVIK_JOINT_TABLE], 64-byte aligned */
    const uint32_t *joint_of; /* [group]: the table that its rows are measured with */
    const struct avvik__tail_table *tails; /* [n_features], 64-byte aligned; NULL: the model has none */
    struct avvik__forest_view forest;
    int is_wide; /* which of forest_path and forest_path_wide walks it */
};

/* What a device did for one worker so far, by its own clock; pack_ns by the host's. */
struct avvik__device_times {
    uint64_t pieces, rows;
    uint64_t pack_ns, send_ns, deviation_ns, fill_missing_ns, forest_path_ns, receive_ns;
    uint64_t span_ns; /* from the first command of a call to the end of its last; what overlaps makes it shorter than
                         the sum of the stages */
};

struct avvik__backend {
    const char *name; /* the part of --backend before ':' */
    int is_device;    /* it may fail, vanish or compute wrongly while it runs: engine_worker.c stands in for it */

    /* Bind `plan` to the device that `spec` names (the part of --backend after ':', or NULL for the first).
     * device_out (size bytes) is filled for people: device, driver, version. AVVIK_ERR_BACKEND if it cannot run. */
    enum avvik_status (*open)(const char *spec, const struct avvik__scoring_plan *plan, void **state_out,
                              char *device_out, size_t device_size, struct avvik_error *error);

    /* AVVIK_ERR_MEMORY, here and from worker_score, means that fewer rows at a time might do. */
    enum avvik_status (*worker_create)(void *state, size_t max_rows, void **worker_out, struct avvik_error *error);
    enum avvik_status (*worker_score)(void *worker, const struct avvik_rows *rows, const struct avvik_scores *scores,
                                      struct avvik_error *error);
    void (*worker_free)(void *worker); /* NULL is a no-op, as for close */
    void (*close)(void *state);

    /* Devices only. What the caller should be told about a state that is open; "" if nothing. */
    const char *(*warning)(const void *state);

    /* Devices only: has this worker's device given no answer in time? Then nothing more may be asked of it. */
    int (*worker_is_lost)(const void *worker);
    void (*worker_times)(const void *worker, struct avvik__device_times *times_out); /* NULL: it has no clock */
};

/* In order of preference from last to first among those that "auto" may take on a CPU. */
extern const struct avvik__backend avvik__backend_scalar;
extern const struct avvik__backend avvik__backend_avx2;
extern const struct avvik__backend avvik__backend_avx512;
extern const struct avvik__backend avvik__backend_avx512vbmi;
extern const struct avvik__backend avvik__backend_opencl;

/* The CPU's name as its maker wrote it, or "CPU". */
void avvik__cpu_name(char *name, size_t size);

/* Append every OpenCL device to a list of avvik_device (realloc'ed). No platform at all appends one entry that is not
 * available and says why. Returns AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__opencl_devices_list(struct avvik_device **devices, size_t *n_devices,
                                             struct avvik_error *error);

#endif

/* What a backend is to the engine: five functions over a scoring plan. */
#ifndef AVVIK_BACKEND_H
#define AVVIK_BACKEND_H

#include "avvik/engine.h"
#include "kernels.h"

/* A model in the shape the kernels want. Owned by the engine; read-only; outlives every backend state made from it. */
struct avvik__scoring_plan {
    uint32_t n_features;
    size_t stride;     /* n_features rounded up to a multiple of 16 */
    const float *mean; /* stride elements each, 64-byte aligned, zero padded */
    const float *rscale;
    const float *fill;
    struct avvik__forest_view forest;
    int is_wide; /* which of forest_path and forest_path_wide walks it */
};

struct avvik__backend {
    const char *name; /* the part of --backend before ':' */

    /* Bind `plan` to the device that `spec` names (the part of --backend after ':', or NULL for the first).
     * device_out (size bytes) is filled for people: device, driver, version. AVVIK_ERR_BACKEND if it cannot run. */
    enum avvik_status (*open)(const char *spec, const struct avvik__scoring_plan *plan, void **state_out,
                              char *device_out, size_t device_size, struct avvik_error *error);
    enum avvik_status (*worker_create)(void *state, size_t max_rows, void **worker_out, struct avvik_error *error);
    enum avvik_status (*worker_score)(void *worker, const struct avvik_rows *rows, const struct avvik_scores *scores,
                                      struct avvik_error *error);
    void (*worker_free)(void *worker); /* NULL is a no-op, as for close */
    void (*close)(void *state);
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

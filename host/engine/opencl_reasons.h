/* The forest's contributions on an OpenCL device (kernels/forest_reasons.cl). */
#ifndef AVVIK_OPENCL_REASONS_H
#define AVVIK_OPENCL_REASONS_H

#include "backend.h"

struct avvik__cl_reasons;

/* Put the forest of `plan` and its g (`expected`) on the device that `spec` names ("P.D", or NULL for the first). Both
 * may be freed afterwards. AVVIK_ERR_BACKEND (no such device, or it cannot run: the text says why), AVVIK_ERR_MEMORY.
 * Release with avvik__cl_reasons_close(). */
enum avvik_status avvik__cl_reasons_open(const char *spec, const struct avvik__scoring_plan *plan,
                                         const int32_t *expected, struct avvik__cl_reasons **reasons_out,
                                         struct avvik_error *error);
void avvik__cl_reasons_close(struct avvik__cl_reasons *reasons); /* NULL is a no-op */

/* As avvik__forest_reasons_fn, for any number of rows; threads take turns. The first rows of every call are compared
 * with the scalar kernel. AVVIK_ERR_SELFTEST where they differ, AVVIK_ERR_BACKEND where the device fails,
 * AVVIK_ERR_MEMORY. */
enum avvik_status avvik__cl_reasons_run(struct avvik__cl_reasons *reasons, int64_t *contributions, const float *tile,
                                        size_t n_rows, const struct avvik__reasons_view *view,
                                        struct avvik_error *error);

#endif

#include "opencl_reasons.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "opencl_program.h"

#define PIECE_ROWS ((size_t)16384) /* of a launch */
#define CHECKED_ROWS ((size_t)16)  /* of a call */

enum { CONTRIBUTIONS, TILE, WORDS, FEATURES, EXPECTED, N_BUFFERS };

struct avvik__cl_reasons {
    struct avvik__cl_device device;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel kernel;
    cl_mem buffers[N_BUFFERS];
    size_t stride;
    pthread_mutex_t mutex;
};

void avvik__cl_reasons_close(struct avvik__cl_reasons *reasons)
{
    if (reasons == NULL)
        return;
    for (int i = 0; i < N_BUFFERS; i++)
        avvik__cl_memory_release(&reasons->buffers[i]);
    if (reasons->kernel != NULL)
        clReleaseKernel(reasons->kernel);
    if (reasons->program != NULL)
        clReleaseProgram(reasons->program);
    if (reasons->queue != NULL)
        clReleaseCommandQueue(reasons->queue);
    if (reasons->context != NULL)
        clReleaseContext(reasons->context);
    pthread_mutex_destroy(&reasons->mutex);
    free(reasons);
}

/* The forest goes over once; rows and what becomes of them piece by piece. */
static enum avvik_status buffers_make(struct avvik__cl_reasons *reasons, const struct avvik__forest_view *forest,
                                      const int32_t *expected, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_nodes = (size_t)forest->n_trees << forest->height;
    const int is_wide = forest->nodes == NULL;
    const struct {
        const void *from;
        size_t bytes;
    } contents[N_BUFFERS] = {
        [CONTRIBUTIONS] = {NULL, PIECE_ROWS * reasons->stride * sizeof(int64_t)},
        [TILE] = {NULL, PIECE_ROWS * reasons->stride * sizeof(float)},
        [WORDS] = {is_wide ? (const void *)forest->thresholds : forest->nodes, n_nodes * sizeof(uint32_t)},
        [FEATURES] = {forest->features, is_wide ? n_nodes * sizeof(uint16_t) : sizeof(uint64_t)},
        [EXPECTED] = {expected, 2 * n_nodes * sizeof(int32_t)}};
    for (int i = 0; i < N_BUFFERS; i++) {
        cl_int code;
        const cl_mem_flags access = i == CONTRIBUTIONS ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY;
        reasons->buffers[i] = clCreateBuffer(reasons->context, access, contents[i].bytes, NULL, &code);
        AVVIK_TRY(avvik__cl_check(code, "clCreateBuffer", reasons->device.name, error));
        if (contents[i].from != NULL)
            AVVIK_TRY(avvik__cl_check(clEnqueueWriteBuffer(reasons->queue, reasons->buffers[i], CL_TRUE, 0,
                                                           contents[i].bytes, contents[i].from, 0, NULL, NULL),
                                      "clEnqueueWriteBuffer", reasons->device.name, error));
        AVVIK_TRY(avvik__cl_check(clSetKernelArg(reasons->kernel, (cl_uint)i, sizeof(cl_mem), &reasons->buffers[i]),
                                  "clSetKernelArg", reasons->device.name, error));
    }
    AVVIK_TRY(avvik__cl_check(clSetKernelArg(reasons->kernel, N_BUFFERS, sizeof(cl_uint), &(cl_uint){forest->n_trees}),
                              "clSetKernelArg", reasons->device.name, error));
done:
    return status;
}

enum avvik_status avvik__cl_reasons_open(const char *spec, const struct avvik__scoring_plan *plan,
                                         const int32_t *expected, struct avvik__cl_reasons **reasons_out,
                                         struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    cl_int code;
    struct avvik__cl_reasons *reasons = calloc(1, sizeof *reasons);
    if (reasons == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    pthread_mutex_init(&reasons->mutex, NULL);
    reasons->stride = plan->stride;
    AVVIK_TRY(avvik__cl_device_choose(spec, &reasons->device, error));
    const char *name = reasons->device.name;
    reasons->context = clCreateContext(NULL, 1, &reasons->device.id, NULL, NULL, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateContext", name, error));
    reasons->queue = clCreateCommandQueue(reasons->context, reasons->device.id, 0, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateCommandQueue", name, error));
    AVVIK_TRY(avvik__cl_reasons_program(reasons->context, &reasons->device, plan, &reasons->program, error));
    reasons->kernel = clCreateKernel(reasons->program, "forest_reasons", &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateKernel", name, error));
    AVVIK_TRY(buffers_make(reasons, &plan->forest, expected, error));
    *reasons_out = reasons;
    reasons = NULL;
done:
    avvik__cl_reasons_close(reasons);
    return status;
}

static enum avvik_status piece_run(struct avvik__cl_reasons *reasons, int64_t *contributions, const float *tile,
                                   size_t n_rows, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const char *name = reasons->device.name;
    const size_t n = n_rows * reasons->stride, all = (n_rows + 63) / 64 * 64;
    AVVIK_TRY(
        avvik__cl_check(clSetKernelArg(reasons->kernel, N_BUFFERS + 1, sizeof(cl_uint), &(cl_uint){(cl_uint)n_rows}),
                        "clSetKernelArg", name, error));
    AVVIK_TRY(avvik__cl_check(clEnqueueWriteBuffer(reasons->queue, reasons->buffers[TILE], CL_FALSE, 0,
                                                   n * sizeof *tile, tile, 0, NULL, NULL),
                              "clEnqueueWriteBuffer", name, error));
    AVVIK_TRY(
        avvik__cl_check(clEnqueueNDRangeKernel(reasons->queue, reasons->kernel, 1, NULL, &all, NULL, 0, NULL, NULL),
                        "clEnqueueNDRangeKernel", name, error));
    AVVIK_TRY(avvik__cl_check(clEnqueueReadBuffer(reasons->queue, reasons->buffers[CONTRIBUTIONS], CL_TRUE, 0,
                                                  n * sizeof *contributions, contributions, 0, NULL, NULL),
                              "clEnqueueReadBuffer", name, error));
done:
    if (status != AVVIK_OK)
        clFinish(reasons->queue); /* nothing may still read the caller's rows */
    return status;
}

/* A device may be wrong without saying so. */
static enum avvik_status rows_check(const struct avvik__cl_reasons *reasons, const int64_t *contributions,
                                    const float *tile, size_t n_rows, const struct avvik__reasons_view *view,
                                    struct avvik_error *error)
{
    const size_t n = n_rows < CHECKED_ROWS ? n_rows : CHECKED_ROWS;
    int64_t *expected = avvik__aligned_calloc(CHECKED_ROWS * reasons->stride, sizeof *expected);
    enum avvik_status status = AVVIK_OK;
    if (expected == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    avvik__forest_reasons_scalar(expected, tile, reasons->stride, n, view);
    if (memcmp(expected, contributions, n * reasons->stride * sizeof *expected) != 0)
        status = avvik__error_set(error, AVVIK_ERR_SELFTEST, 0,
                                  "OpenCL: contributions from %s differ from the scalar reference; explain on the CPU",
                                  reasons->device.name);
    free(expected);
    return status;
}

enum avvik_status avvik__cl_reasons_run(struct avvik__cl_reasons *reasons, int64_t *contributions, const float *tile,
                                        size_t n_rows, const struct avvik__reasons_view *view,
                                        struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    if (n_rows == 0)
        return AVVIK_OK;
    pthread_mutex_lock(&reasons->mutex);
    for (size_t first = 0; first < n_rows && status == AVVIK_OK; first += PIECE_ROWS)
        status = piece_run(reasons, contributions + first * reasons->stride, tile + first * reasons->stride,
                           n_rows - first < PIECE_ROWS ? n_rows - first : PIECE_ROWS, error);
    pthread_mutex_unlock(&reasons->mutex);
    return status == AVVIK_OK ? rows_check(reasons, contributions, tile, n_rows, view, error) : status;
}

/* Scoring on an OpenCL device.
 *
 * A worker has its own queue, kernels and buffers, so that workers never wait for each other; one worker's packing
 * overlaps another's kernels. Calls of more rows than a piece holds are cut; the results do not depend on where. */
#include "opencl_worker.h"

#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

#define PIECE_BYTES ((size_t)32 << 20) /* of rows: enough to keep any device busy */
#define TILE_ALIGNMENT 64              /* what the CPU's packing kernels want */
#define ROW_GROUP 64u                  /* work-items of a group in the kernels that take a row each */

enum opencl_result { PATH_SUM, DEVIATION, FEATURE, BEYOND, MISSING, N_RESULTS };
static const size_t result_bytes[N_RESULTS] = {sizeof(int32_t), sizeof(float), sizeof(uint16_t), sizeof(uint16_t),
                                               sizeof(uint16_t)};

/* A buffer of the device and, where its memory is not the host's, a pinned one to copy through. */
struct opencl_pair {
    cl_mem device, pinned;
    void *mapped; /* the pinned one, or the device's while it is mapped */
    void *host;   /* where the host's part begins: in `mapped`, on a 64-byte boundary if there is a pinned one */
};

struct opencl_worker {
    struct avvik__opencl_state *state;
    cl_command_queue queue;
    cl_kernel deviation, fill_missing, forest_path;
    size_t max_rows, piece_rows, row_group;
    struct opencl_pair tile, results[N_RESULTS];
    uint64_t *counts; /* where the caller wants none */
};

static void pair_destroy(struct opencl_pair *pair, cl_command_queue queue)
{
    const cl_mem owner = pair->pinned != NULL ? pair->pinned : pair->device;
    if (pair->mapped != NULL)
        clEnqueueUnmapMemObject(queue, owner, pair->mapped, 0, NULL, NULL);
    pair->mapped = NULL;
    avvik__cl_memory_release(&pair->pinned);
    avvik__cl_memory_release(&pair->device);
}

void avvik__opencl_worker_free(void *opaque)
{
    struct opencl_worker *worker = opaque;
    if (worker == NULL)
        return;
    if (worker->queue != NULL)
        clFinish(worker->queue);
    pair_destroy(&worker->tile, worker->queue);
    for (int i = 0; i < N_RESULTS; i++)
        pair_destroy(&worker->results[i], worker->queue);
    if (worker->deviation != NULL)
        clReleaseKernel(worker->deviation);
    if (worker->fill_missing != NULL)
        clReleaseKernel(worker->fill_missing);
    if (worker->forest_path != NULL)
        clReleaseKernel(worker->forest_path);
    if (worker->queue != NULL)
        clReleaseCommandQueue(worker->queue);
    free(worker->counts);
    free(worker);
}

/* On a device that shares the host's memory one buffer that both see; else a device buffer and a pinned one, mapped for
 * as long as it lives, that transfers go through. */
static enum avvik_status pair_init(struct opencl_worker *worker, struct opencl_pair *pair, size_t size,
                                   cl_map_flags use, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__opencl_state *state = worker->state;
    const char *device = state->device.name;
    const int is_shared = state->device.has_unified_memory;
    cl_int code;
    pair->device =
        clCreateBuffer(state->context, CL_MEM_READ_WRITE | (is_shared ? CL_MEM_ALLOC_HOST_PTR : 0), size, NULL, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateBuffer", device, error));
    if (is_shared)
        goto done;
    /* OpenCL does not say how a mapped pointer is aligned. */
    size += TILE_ALIGNMENT;
    pair->pinned = clCreateBuffer(state->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, size, NULL, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateBuffer", device, error));
    void *mapped = clEnqueueMapBuffer(worker->queue, pair->pinned, CL_TRUE, use, 0, size, 0, NULL, NULL, &code);
    AVVIK_TRY(avvik__cl_check(code, "clEnqueueMapBuffer", device, error));
    pair->mapped = mapped;
    pair->host = (char *)mapped + (TILE_ALIGNMENT - (uintptr_t)mapped % TILE_ALIGNMENT) % TILE_ALIGNMENT;
done:
    return status;
}

static enum avvik_status kernel_create(struct opencl_worker *worker, const char *name, cl_kernel *kernel_out,
                                       struct avvik_error *error)
{
    cl_int code;
    const cl_kernel kernel = clCreateKernel(worker->state->program, name, &code);
    if (code == CL_SUCCESS)
        *kernel_out = kernel;
    return avvik__cl_check(code, "clCreateKernel", worker->state->device.name, error);
}

/* Set arguments 0, 1, ... from a list that ends with size 0. */
struct opencl_argument {
    size_t size;
    const void *value;
};

static enum avvik_status arguments_set(const struct opencl_worker *worker, cl_kernel kernel,
                                       const struct opencl_argument *arguments, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    for (cl_uint i = 0; arguments[i].size > 0 && status == AVVIK_OK; i++)
        status = avvik__cl_check(clSetKernelArg(kernel, i, arguments[i].size, arguments[i].value), "clSetKernelArg",
                                 worker->state->device.name, error);
    return status;
}

/* Everything but the number of rows, which is the last argument of each kernel. */
static enum avvik_status kernels_prepare(struct opencl_worker *worker, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__opencl_state *state = worker->state;
    const cl_float cut = AVVIK_DEVIATION_CUT;
    const size_t m = sizeof(cl_mem);
    const struct opencl_pair *results = worker->results;
    const struct opencl_argument deviation[] = {{m, &results[DEVIATION].device},
                                                {m, &results[FEATURE].device},
                                                {m, &results[BEYOND].device},
                                                {m, &worker->tile.device},
                                                {m, &state->mean},
                                                {m, &state->rscale},
                                                {sizeof cut, &cut},
                                                {0, NULL}};
    const struct opencl_argument fill_missing[] = {
        {m, &worker->tile.device}, {m, &results[MISSING].device}, {m, &state->fill}, {0, NULL}};
    const int is_wide = state->plan->is_wide;
    struct opencl_argument forest_path[7] = {
        {m, &results[PATH_SUM].device}, {m, &worker->tile.device}, {m, &state->words}, {m, &state->features}};
    forest_path[is_wide ? 4 : 3] = (struct opencl_argument){m, &state->leaf_pairs};
    forest_path[is_wide ? 5 : 4] = (struct opencl_argument){sizeof state->n_units, &state->n_units};
    forest_path[is_wide ? 6 : 5] = (struct opencl_argument){0, NULL};

    AVVIK_TRY(kernel_create(worker, "deviation", &worker->deviation, error));
    AVVIK_TRY(kernel_create(worker, "fill_missing", &worker->fill_missing, error));
    AVVIK_TRY(kernel_create(worker, "forest_path", &worker->forest_path, error));
    AVVIK_TRY(arguments_set(worker, worker->deviation, deviation, error));
    AVVIK_TRY(arguments_set(worker, worker->fill_missing, fill_missing, error));
    AVVIK_TRY(arguments_set(worker, worker->forest_path, forest_path, error));

    /* Groups of ROW_GROUP items where both kernels allow it, in steps that the device likes. */
    worker->row_group = ROW_GROUP;
    for (int i = 0; i < 2; i++) {
        const cl_kernel kernel = i == 0 ? worker->deviation : worker->fill_missing;
        size_t largest = 1, multiple = 1;
        AVVIK_TRY(avvik__cl_check(clGetKernelWorkGroupInfo(kernel, state->device.id, CL_KERNEL_WORK_GROUP_SIZE,
                                                           sizeof largest, &largest, NULL),
                                  "clGetKernelWorkGroupInfo", state->device.name, error));
        AVVIK_TRY(avvik__cl_check(clGetKernelWorkGroupInfo(kernel, state->device.id,
                                                           CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE,
                                                           sizeof multiple, &multiple, NULL),
                                  "clGetKernelWorkGroupInfo", state->device.name, error));
        if (multiple > worker->row_group)
            worker->row_group = multiple;
        if (worker->row_group > largest)
            worker->row_group = largest;
    }
done:
    return status;
}

enum avvik_status avvik__opencl_worker_create(void *opaque, size_t max_rows, void **worker_out,
                                              struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__opencl_state *state = opaque;
    const size_t row_bytes = state->plan->stride * sizeof(float);
    cl_int code;
    struct opencl_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    worker->state = state;
    worker->max_rows = max_rows;
    const size_t piece_bytes =
        state->device.max_alloc_bytes < PIECE_BYTES ? (size_t)state->device.max_alloc_bytes : PIECE_BYTES;
    worker->piece_rows = piece_bytes / row_bytes;
    if (worker->piece_rows == 0)
        AVVIK_FAIL(AVVIK_ERR_BACKEND, 0, "%s cannot hold a row of %u features", state->device.name,
                   state->plan->n_features);
    if (worker->piece_rows > max_rows)
        worker->piece_rows = max_rows > 0 ? max_rows : 1;
    if ((worker->counts = calloc(2 * (size_t)state->plan->n_features, sizeof *worker->counts)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    worker->queue = clCreateCommandQueue(state->context, state->device.id, 0, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateCommandQueue", state->device.name, error));
    AVVIK_TRY(pair_init(worker, &worker->tile, worker->piece_rows * row_bytes, CL_MAP_WRITE, error));
    for (int i = 0; i < N_RESULTS; i++)
        AVVIK_TRY(pair_init(worker, &worker->results[i], worker->piece_rows * result_bytes[i], CL_MAP_READ, error));
    AVVIK_TRY(kernels_prepare(worker, error));
    *worker_out = worker;
    worker = NULL;
done:
    avvik__opencl_worker_free(worker);
    return status;
}

/* Pack n rows where the device sees them. */
static enum avvik_status piece_send(struct opencl_worker *worker, const struct avvik_rows *rows, size_t first, size_t n,
                                    const struct avvik_scores *scores, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__opencl_state *state = worker->state;
    const struct avvik__scoring_plan *plan = state->plan;
    const size_t bytes = n * plan->stride * sizeof(float);
    struct opencl_pair *tile = &worker->tile;
    cl_int code;
    uint64_t *nan_count = scores->column_missing != NULL ? scores->column_missing : worker->counts;
    uint64_t *infinite_count =
        scores->column_infinite != NULL ? scores->column_infinite : worker->counts + plan->n_features;
    if (tile->pinned == NULL) {
        void *mapped = clEnqueueMapBuffer(worker->queue, tile->device, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0,
                                          bytes, 0, NULL, NULL, &code);
        AVVIK_TRY(avvik__cl_check(code, "clEnqueueMapBuffer", state->device.name, error));
        tile->mapped = tile->host = mapped;
    }
    avvik__tile_pack_fn *tile_pack =
        (uintptr_t)tile->host % TILE_ALIGNMENT == 0 ? state->cpu.tile_pack : avvik__tile_pack_scalar;
    tile_pack(tile->host, plan->stride, rows->values + first * rows->row_stride, n, plan->n_features, rows->row_stride,
              rows->column_stride, nan_count, infinite_count);
    if (tile->pinned == NULL) {
        code = clEnqueueUnmapMemObject(worker->queue, tile->device, tile->mapped, 0, NULL, NULL);
        tile->mapped = NULL;
        AVVIK_TRY(avvik__cl_check(code, "clEnqueueUnmapMemObject", state->device.name, error));
    } else {
        AVVIK_TRY(avvik__cl_check(
            clEnqueueWriteBuffer(worker->queue, tile->device, CL_FALSE, 0, bytes, tile->host, 0, NULL, NULL),
            "clEnqueueWriteBuffer", state->device.name, error));
    }
done:
    return status;
}

/* n_items work-items in groups of `group`; n_rows is the kernel's argument number `last`. */
static enum avvik_status kernel_run(struct opencl_worker *worker, cl_kernel kernel, cl_uint last, size_t n_items,
                                    size_t group, cl_uint n_rows, const char *call, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const char *device = worker->state->device.name;
    const size_t global = (n_items + group - 1) / group * group;
    AVVIK_TRY(avvik__cl_check(clSetKernelArg(kernel, last, sizeof n_rows, &n_rows), "clSetKernelArg", device, error));
    AVVIK_TRY(avvik__cl_check(clEnqueueNDRangeKernel(worker->queue, kernel, 1, NULL, &global, &group, 0, NULL, NULL),
                              call, device, error));
done:
    return status;
}

static enum avvik_status piece_run(struct opencl_worker *worker, size_t n, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__cl_geometry *geometry = &worker->state->geometry;
    const cl_uint n_rows = (cl_uint)n;
    AVVIK_TRY(kernel_run(worker, worker->deviation, 7, n, worker->row_group, n_rows,
                         "clEnqueueNDRangeKernel (deviation)", error));
    AVVIK_TRY(kernel_run(worker, worker->fill_missing, 3, n, worker->row_group, n_rows,
                         "clEnqueueNDRangeKernel (fill_missing)", error));
    AVVIK_TRY(kernel_run(worker, worker->forest_path, worker->state->plan->is_wide ? 6 : 5,
                         (n + geometry->rows - 1) / geometry->rows, geometry->group, n_rows,
                         "clEnqueueNDRangeKernel (forest_path)", error));
done:
    return status;
}

/* Wait for the kernels and put the results where the caller wants them. */
static enum avvik_status piece_receive(struct opencl_worker *worker, const struct avvik_scores *scores, size_t first,
                                       size_t n, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const char *device = worker->state->device.name;
    void *const to[N_RESULTS] = {scores->path_sum + first, scores->deviation + first, scores->deviation_feature + first,
                                 scores->beyond + first, scores->missing + first};
    cl_int code;
    for (int i = 0; i < N_RESULTS; i++) {
        struct opencl_pair *pair = &worker->results[i];
        const size_t bytes = n * result_bytes[i];
        if (pair->pinned == NULL) {
            void *mapped =
                clEnqueueMapBuffer(worker->queue, pair->device, CL_FALSE, CL_MAP_READ, 0, bytes, 0, NULL, NULL, &code);
            AVVIK_TRY(avvik__cl_check(code, "clEnqueueMapBuffer", device, error));
            pair->mapped = pair->host = mapped;
        } else {
            code = clEnqueueReadBuffer(worker->queue, pair->device, CL_FALSE, 0, bytes, pair->host, 0, NULL, NULL);
            AVVIK_TRY(avvik__cl_check(code, "clEnqueueReadBuffer", device, error));
        }
    }
    AVVIK_TRY(avvik__cl_check(clFinish(worker->queue), "clFinish", device, error));
    for (int i = 0; i < N_RESULTS; i++) {
        struct opencl_pair *pair = &worker->results[i];
        memcpy(to[i], pair->host, n * result_bytes[i]);
        if (pair->pinned == NULL) {
            code = clEnqueueUnmapMemObject(worker->queue, pair->device, pair->mapped, 0, NULL, NULL);
            pair->mapped = NULL;
            AVVIK_TRY(avvik__cl_check(code, "clEnqueueUnmapMemObject", device, error));
        }
    }
done:
    return status;
}

enum avvik_status avvik__opencl_worker_score(void *opaque, const struct avvik_rows *rows,
                                             const struct avvik_scores *scores, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct opencl_worker *worker = opaque;
    if (rows->n_rows > worker->max_rows)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "%zu rows are more than the %zu this worker was made for", rows->n_rows,
                   worker->max_rows);
    for (size_t first = 0; first < rows->n_rows; first += worker->piece_rows) {
        const size_t left = rows->n_rows - first, n = left < worker->piece_rows ? left : worker->piece_rows;
        AVVIK_TRY(piece_send(worker, rows, first, n, scores, error));
        AVVIK_TRY(piece_run(worker, n, error));
        AVVIK_TRY(piece_receive(worker, scores, first, n, error));
    }
done:
    if (status != AVVIK_OK)
        clFinish(worker->queue); /* nothing of a failed call is still writing when the next one starts */
    return status;
}

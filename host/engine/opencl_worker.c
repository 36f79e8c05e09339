/* Scoring on an OpenCL device: a worker cuts its rows into pieces, and the pieces go through its slots (opencl_slot.h).
 * The results do not depend on where the cuts are. */
#include "opencl_worker.h"

#include <stdlib.h>

#include "avvik_internal.h"
#include "opencl_slot.h"

#define ROW_GROUP 64u /* work-items of a group in the kernels that take a row each */
#define PIECES 4      /* of a full call, so that its stages overlap ... */
#define PIECE_MIN_BYTES                                                                                                \
    (4u << 20) /* ... unless a driver needs longer to be told of a piece than a device to do it ... */
#define PIECE_MAX_BYTES (8u << 20)   /* ... or a piece is as large as it need be */
#define SHARED_MAX_BYTES (16u << 20) /* where memory is shared there is no transfer to overlap: longer is faster */
#define TIMEOUT_S 60.0               /* for one piece; any device needs a hundredth of it */

/* AVVIK_OPENCL_TIMEOUT: seconds after which a device that does not answer counts as lost. */
static enum avvik_status timeout_read(uint64_t *timeout_ns, struct avvik_error *error)
{
    const char *text = getenv("AVVIK_OPENCL_TIMEOUT");
    char *end;
    const double seconds = text == NULL ? TIMEOUT_S : strtod(text, &end);
    if (text != NULL && (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 86400)))
        return avvik__error_set(error, AVVIK_ERR_BACKEND, 0,
                                "AVVIK_OPENCL_TIMEOUT is '%.40s', and can be 0 to 86400 seconds", text);
    *timeout_ns = (uint64_t)(seconds * 1e9);
    return AVVIK_OK;
}

/* Groups of ROW_GROUP items where both kernels that take a row each allow it, in steps that the device likes. */
static enum avvik_status row_group_find(struct avvik__cl_worker *worker, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__cl_device *device = &worker->state->device;
    worker->row_group = ROW_GROUP;
    for (int k = CL_KERNEL_DEVIATION; k <= CL_KERNEL_FILL_MISSING; k++) {
        const cl_kernel kernel = worker->slots[0].kernels[k];
        size_t largest = 1, multiple = 1;
        AVVIK_TRY(avvik__cl_check(
            clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof largest, &largest, NULL),
            "clGetKernelWorkGroupInfo", device->name, error));
        AVVIK_TRY(
            avvik__cl_check(clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_PREFERRED_WORK_GROUP_SIZE_MULTIPLE,
                                                     sizeof multiple, &multiple, NULL),
                            "clGetKernelWorkGroupInfo", device->name, error));
        if (multiple > worker->row_group)
            worker->row_group = multiple;
        if (worker->row_group > largest)
            worker->row_group = largest;
    }
done:
    return status;
}

/* Rows of a piece: what was tuned, or a part of the longest call; never more than the device takes in one buffer. */
static size_t piece_rows_choose(const struct avvik__opencl_state *state, size_t max_rows)
{
    const size_t row_bytes = state->plan->stride * sizeof(float);
    const size_t most = state->device.max_alloc_bytes / row_bytes;
    const size_t fitting = (state->device.has_unified_memory ? SHARED_MAX_BYTES : PIECE_MAX_BYTES) / row_bytes;
    size_t rows = state->geometry.piece_rows;
    if (rows == 0) {
        rows = state->device.has_unified_memory ? max_rows : (max_rows + PIECES - 1) / PIECES;
        rows = rows < PIECE_MIN_BYTES / row_bytes ? PIECE_MIN_BYTES / row_bytes : rows;
        rows = rows > fitting ? fitting : rows;
    }
    rows = rows > max_rows ? max_rows : rows;
    rows = rows == 0 ? 1 : rows;
    return rows > most ? most : rows;
}

/* Where each result begins: a buffer may be divided at the device's alignment only. */
static void results_place(struct avvik__cl_worker *worker)
{
    const size_t alignment = worker->state->device.buffer_alignment;
    for (int i = 0; i < N_CL_RESULTS; i++) {
        const size_t bytes = worker->piece_rows * avvik__cl_result_bytes(worker->state->plan, (enum avvik__cl_result)i);
        worker->result_offsets[i + 1] = worker->result_offsets[i] + (bytes + alignment - 1) / alignment * alignment;
    }
}

enum avvik_status avvik__opencl_worker_create(void *opaque, size_t max_rows, void **worker_out,
                                              struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__opencl_state *state = opaque;
    const char *device = state->device.name;
    cl_int code;
    struct avvik__cl_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    worker->state = state;
    worker->max_rows = max_rows;
    if ((worker->piece_rows = piece_rows_choose(state, max_rows)) == 0)
        AVVIK_FAIL(AVVIK_ERR_BACKEND, 0, "%s cannot hold a row of %u features", device, state->plan->n_features);
    results_place(worker);
    AVVIK_TRY(timeout_read(&worker->timeout_ns, error));
    if ((worker->counts = calloc(2 * (size_t)state->plan->n_features, sizeof *worker->counts)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    cl_command_queue *const queues[] = {&worker->send, &worker->run, &worker->receive};
    for (int i = 0; i < 3; i++) {
        *queues[i] = clCreateCommandQueue(state->context, state->device.id, CL_QUEUE_PROFILING_ENABLE, &code);
        AVVIK_TRY(avvik__cl_check(code, "clCreateCommandQueue", device, error));
    }
    for (int i = 0; i < AVVIK_CL_SLOTS && (i == 0 || worker->piece_rows < max_rows); i++)
        AVVIK_TRY(avvik__cl_slot_init(worker, &worker->slots[i], error));
    AVVIK_TRY(row_group_find(worker, error));
    *worker_out = worker;
    worker = NULL;
done:
    avvik__opencl_worker_free(worker);
    return status;
}

/* A device that has fallen silent may still write into the worker's buffers, and to release them, or to end its queues,
 * would be to wait for it: unless it has come back meanwhile, they are left to it, and the context with them. */
void avvik__opencl_worker_free(void *opaque)
{
    struct avvik__cl_worker *worker = opaque;
    if (worker == NULL)
        return;
    int is_idle = 1;
    for (int i = 0; i < AVVIK_CL_SLOTS && worker->is_lost; i++)
        is_idle &= avvik__cl_slot_is_idle(&worker->slots[i]);
    if (is_idle) {
        const cl_command_queue queues[] = {worker->send, worker->run, worker->receive};
        for (int i = 0; i < AVVIK_CL_SLOTS; i++)
            avvik__cl_slot_destroy(worker, &worker->slots[i]);
        for (int i = 0; i < 3; i++)
            if (queues[i] != NULL)
                clReleaseCommandQueue(queues[i]);
    } else {
        atomic_store(&worker->state->is_abandoned, 1);
    }
    free(worker->counts);
    free(worker);
}

int avvik__opencl_worker_is_lost(const void *worker)
{
    return ((const struct avvik__cl_worker *)worker)->is_lost;
}

void avvik__opencl_worker_times(const void *worker, struct avvik__device_times *times_out)
{
    *times_out = ((const struct avvik__cl_worker *)worker)->times;
}

enum avvik_status avvik__opencl_worker_score(void *opaque, const struct avvik_rows *rows,
                                             const struct avvik_scores *scores, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__cl_worker *worker = opaque;
    size_t n_pieces = 0;
    if (rows->n_rows > worker->max_rows)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "%zu rows are more than the %zu this worker was made for", rows->n_rows,
                   worker->max_rows);
    worker->first_ns = UINT64_MAX;
    worker->last_ns = 0;
    for (size_t first = 0; first < rows->n_rows; first += worker->piece_rows, n_pieces++) {
        const size_t left = rows->n_rows - first, n = left < worker->piece_rows ? left : worker->piece_rows;
        struct avvik__cl_slot *slot = &worker->slots[n_pieces % AVVIK_CL_SLOTS];
        if (slot->n > 0)
            AVVIK_TRY(avvik__cl_slot_finish(worker, slot, scores, error));
        AVVIK_TRY(avvik__cl_slot_start(worker, slot, rows, first, n, scores, error));
    }
    for (int i = 0; i < AVVIK_CL_SLOTS; i++) {
        struct avvik__cl_slot *slot = &worker->slots[(n_pieces + (size_t)i) % AVVIK_CL_SLOTS];
        if (slot->n > 0)
            AVVIK_TRY(avvik__cl_slot_finish(worker, slot, scores, error));
    }
    worker->times.span_ns += worker->last_ns > worker->first_ns ? worker->last_ns - worker->first_ns : 0;
done:
    /* Nothing of a failed call is still reading or writing when its rows are scored again. */
    for (int i = 0; i < AVVIK_CL_SLOTS && status != AVVIK_OK; i++)
        avvik__cl_slot_drain(worker, &worker->slots[i]);
    return status;
}

#include "opencl_slot.h"

#include <string.h>
#include <time.h>

#include "avvik_internal.h"

#define TILE_ALIGNMENT 64     /* what the CPU's packing kernels want */
#define SHORTEST_NAP_NS 20000 /* between two looks at an event */
#define LONGEST_NAP_NS 1000000

static const size_t result_bytes[N_CL_RESULTS] = {sizeof(int32_t), sizeof(float), sizeof(uint16_t), sizeof(uint16_t),
                                                  sizeof(uint16_t)};
static const char *const kernel_names[N_CL_KERNELS] = {"deviation", "fill_missing", "forest_path"};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Waiting ---- */

/* clWaitForEvents() waits for ever for a device that hangs; this does not. Naps grow with the time waited, so that a
 * short wait ends promptly and a long one costs nothing. */
static enum avvik_status event_wait(struct avvik__cl_worker *worker, cl_event event, const char *call,
                                    struct avvik_error *error)
{
    const char *device = worker->state->device.name;
    const uint64_t start = now_ns();
    for (;;) {
        cl_int progress = CL_COMPLETE;
        const cl_int code = clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof progress, &progress, NULL);
        if (code != CL_SUCCESS || progress <= CL_COMPLETE)
            return avvik__cl_check(code != CL_SUCCESS ? code : progress, call, device, error);
        const uint64_t waited = now_ns() - start;
        if (waited >= worker->timeout_ns) {
            worker->is_lost = 1;
            return avvik__error_set(error, AVVIK_ERR_BACKEND, 0,
                                    "OpenCL: %s gave no answer to %s for %.3g s (AVVIK_OPENCL_TIMEOUT)", device, call,
                                    (double)worker->timeout_ns / 1e9);
        }
        uint64_t nap = waited / 8;
        nap = nap < SHORTEST_NAP_NS ? SHORTEST_NAP_NS : nap > LONGEST_NAP_NS ? LONGEST_NAP_NS : nap;
        const struct timespec pause = {0, (long)nap};
        nanosleep(&pause, NULL);
    }
}

static void event_release(cl_event *event)
{
    if (*event != NULL)
        clReleaseEvent(*event);
    *event = NULL;
}

/* All of a slot's events, one after the other; NULL after the last. */
static cl_event *slot_event(struct avvik__cl_slot *slot, int i)
{
    if (i == 0)
        return &slot->sent;
    if (i <= N_CL_KERNELS)
        return &slot->ran[i - 1];
    if (i <= N_CL_KERNELS + N_CL_RESULTS)
        return &slot->received[i - 1 - N_CL_KERNELS];
    i -= 1 + N_CL_KERNELS + N_CL_RESULTS;
    return i < N_CL_RESULTS ? &slot->given_back[i] : NULL;
}

int avvik__cl_slot_is_idle(const struct avvik__cl_slot *slot)
{
    const cl_event *event;
    for (int i = 0; (event = slot_event((struct avvik__cl_slot *)(uintptr_t)slot, i)) != NULL; i++) {
        cl_int progress = CL_COMPLETE;
        if (*event != NULL &&
            clGetEventInfo(*event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof progress, &progress, NULL) == CL_SUCCESS &&
            progress > CL_COMPLETE)
            return 0;
    }
    return 1;
}

void avvik__cl_slot_drain(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot)
{
    cl_event *event;
    for (int i = 0; (event = slot_event(slot, i)) != NULL && !worker->is_lost; i++)
        if (*event != NULL) {
            event_wait(worker, *event, "a command before an error", NULL);
            if (!worker->is_lost)
                event_release(event);
        }
    slot->n = 0;
}

/* ---- Buffers ---- */

/* On a device that shares the host's memory one buffer that both see; else a device buffer and a pinned one, mapped for
 * as long as it lives, that transfers go through. */
static enum avvik_status pair_init(struct avvik__cl_worker *worker, struct avvik__cl_pair *pair, size_t size,
                                   cl_map_flags use, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__opencl_state *state = worker->state;
    const char *device = state->device.name;
    const int is_shared = state->device.has_unified_memory;
    cl_int code;
    cl_event event = NULL;
    pair->device =
        clCreateBuffer(state->context, CL_MEM_READ_WRITE | (is_shared ? CL_MEM_ALLOC_HOST_PTR : 0), size, NULL, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateBuffer", device, error));
    if (is_shared)
        goto done;
    /* OpenCL does not say how a mapped pointer is aligned. */
    size += TILE_ALIGNMENT;
    pair->pinned = clCreateBuffer(state->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, size, NULL, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateBuffer", device, error));
    void *mapped = clEnqueueMapBuffer(worker->send, pair->pinned, CL_FALSE, use, 0, size, 0, NULL, &event, &code);
    AVVIK_TRY(avvik__cl_check(code, "clEnqueueMapBuffer", device, error));
    pair->mapped = mapped;
    AVVIK_TRY(avvik__cl_check(clFlush(worker->send), "clFlush", device, error));
    AVVIK_TRY(event_wait(worker, event, "clEnqueueMapBuffer", error));
    pair->host = (char *)mapped + (TILE_ALIGNMENT - (uintptr_t)mapped % TILE_ALIGNMENT) % TILE_ALIGNMENT;
done:
    event_release(&event);
    return status;
}

static void pair_destroy(struct avvik__cl_worker *worker, struct avvik__cl_pair *pair)
{
    const cl_mem owner = pair->pinned != NULL ? pair->pinned : pair->device;
    if (pair->mapped != NULL)
        clEnqueueUnmapMemObject(worker->send, owner, pair->mapped, 0, NULL, NULL);
    pair->mapped = NULL;
    avvik__cl_memory_release(&pair->pinned);
    avvik__cl_memory_release(&pair->device);
}

/* ---- Kernels ---- */

struct argument {
    size_t size;
    const void *value;
};

/* Make a kernel and set its arguments 0, 1, ... from a list that ends with size 0. */
static enum avvik_status kernel_make(const struct avvik__cl_worker *worker, const char *name,
                                     const struct argument *arguments, cl_kernel *kernel_out, struct avvik_error *error)
{
    const char *device = worker->state->device.name;
    cl_int code;
    const cl_kernel kernel = clCreateKernel(worker->state->program, name, &code);
    if (code == CL_SUCCESS)
        *kernel_out = kernel;
    enum avvik_status status = avvik__cl_check(code, "clCreateKernel", device, error);
    for (cl_uint i = 0; status == AVVIK_OK && arguments[i].size > 0; i++)
        status = avvik__cl_check(clSetKernelArg(kernel, i, arguments[i].size, arguments[i].value), "clSetKernelArg",
                                 device, error);
    return status;
}

/* Everything but the number of rows, which is the last argument of each kernel. */
static enum avvik_status kernels_make(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__opencl_state *state = worker->state;
    const cl_float cut = AVVIK_DEVIATION_CUT;
    const size_t m = sizeof(cl_mem);
    const struct avvik__cl_pair *results = slot->results;
    const struct argument deviation[] = {{m, &results[CL_DEVIATION].device},
                                         {m, &results[CL_FEATURE].device},
                                         {m, &results[CL_BEYOND].device},
                                         {m, &slot->tile.device},
                                         {m, &state->mean},
                                         {m, &state->rscale},
                                         {sizeof cut, &cut},
                                         {0, NULL}};
    const struct argument fill_missing[] = {
        {m, &slot->tile.device}, {m, &results[CL_MISSING].device}, {m, &state->fill}, {0, NULL}};
    const int is_wide = state->plan->is_wide;
    struct argument forest_path[7] = {
        {m, &results[CL_PATH_SUM].device}, {m, &slot->tile.device}, {m, &state->words}, {m, &state->features}};
    forest_path[is_wide ? 4 : 3] = (struct argument){m, &state->leaf_pairs};
    forest_path[is_wide ? 5 : 4] = (struct argument){sizeof state->n_units, &state->n_units};
    forest_path[is_wide ? 6 : 5] = (struct argument){0, NULL};
    const struct argument *const arguments[N_CL_KERNELS] = {deviation, fill_missing, forest_path};
    for (int k = 0; k < N_CL_KERNELS; k++)
        AVVIK_TRY(kernel_make(worker, kernel_names[k], arguments[k], &slot->kernels[k], error));
done:
    return status;
}

enum avvik_status avvik__cl_slot_init(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t row_bytes = worker->state->plan->stride * sizeof(float);
    AVVIK_TRY(pair_init(worker, &slot->tile, worker->piece_rows * row_bytes, CL_MAP_WRITE, error));
    for (int i = 0; i < N_CL_RESULTS; i++)
        AVVIK_TRY(pair_init(worker, &slot->results[i], worker->piece_rows * result_bytes[i], CL_MAP_READ, error));
    AVVIK_TRY(kernels_make(worker, slot, error));
done:
    return status;
}

void avvik__cl_slot_destroy(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot)
{
    cl_event *event;
    for (int i = 0; (event = slot_event(slot, i)) != NULL; i++)
        event_release(event);
    pair_destroy(worker, &slot->tile);
    for (int i = 0; i < N_CL_RESULTS; i++)
        pair_destroy(worker, &slot->results[i]);
    for (int k = 0; k < N_CL_KERNELS; k++)
        if (slot->kernels[k] != NULL)
            clReleaseKernel(slot->kernels[k]);
}

/* ---- A piece ---- */

/* Pack the rows where the device sees them, or send them there. */
static enum avvik_status rows_send(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                   const struct avvik_rows *rows, const struct avvik_scores *scores,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__opencl_state *state = worker->state;
    const struct avvik__scoring_plan *plan = state->plan;
    const char *device = state->device.name;
    const size_t bytes = slot->n * plan->stride * sizeof(float);
    struct avvik__cl_pair *tile = &slot->tile;
    cl_int code;
    uint64_t *nan_count = scores->column_missing != NULL ? scores->column_missing : worker->counts;
    uint64_t *infinite_count =
        scores->column_infinite != NULL ? scores->column_infinite : worker->counts + plan->n_features;
    if (tile->pinned == NULL) {
        void *mapped = clEnqueueMapBuffer(worker->send, tile->device, CL_FALSE, CL_MAP_WRITE_INVALIDATE_REGION, 0,
                                          bytes, 0, NULL, &slot->sent, &code);
        AVVIK_TRY(avvik__cl_check(code, "clEnqueueMapBuffer", device, error));
        tile->mapped = tile->host = mapped;
        AVVIK_TRY(avvik__cl_check(clFlush(worker->send), "clFlush", device, error));
        AVVIK_TRY(event_wait(worker, slot->sent, "clEnqueueMapBuffer", error));
        event_release(&slot->sent);
    }
    const uint64_t start = now_ns();
    avvik__tile_pack_fn *tile_pack =
        (uintptr_t)tile->host % TILE_ALIGNMENT == 0 ? state->cpu.tile_pack : avvik__tile_pack_scalar;
    tile_pack(tile->host, plan->stride, rows->values + slot->first * rows->row_stride, slot->n, plan->n_features,
              rows->row_stride, rows->column_stride, nan_count, infinite_count);
    worker->times.pack_ns += now_ns() - start;
    if (tile->pinned == NULL) {
        code = clEnqueueUnmapMemObject(worker->send, tile->device, tile->mapped, 0, NULL, &slot->sent);
        tile->mapped = NULL;
        AVVIK_TRY(avvik__cl_check(code, "clEnqueueUnmapMemObject", device, error));
    } else {
        AVVIK_TRY(avvik__cl_check(
            clEnqueueWriteBuffer(worker->send, tile->device, CL_FALSE, 0, bytes, tile->host, 0, NULL, &slot->sent),
            "clEnqueueWriteBuffer", device, error));
    }
    AVVIK_TRY(avvik__cl_check(clFlush(worker->send), "clFlush", device, error));
done:
    return status;
}

/* Start a kernel over n_items work-items in groups of `group`; the first of the three waits for what it is given. */
static enum avvik_status kernel_start(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                      enum avvik__cl_kernel kernel, cl_uint n_arguments, size_t n_items, size_t group,
                                      struct avvik_error *error)
{
    static const char *const calls[N_CL_KERNELS] = {"clEnqueueNDRangeKernel (deviation)",
                                                    "clEnqueueNDRangeKernel (fill_missing)",
                                                    "clEnqueueNDRangeKernel (forest_path)"};
    enum avvik_status status = AVVIK_OK;
    const char *device = worker->state->device.name;
    const size_t global = (n_items + group - 1) / group * group;
    const cl_uint n_rows = (cl_uint)slot->n;
    cl_event before[1 + N_CL_RESULTS];
    cl_uint n_before = 0;
    if (kernel == CL_KERNEL_DEVIATION) {
        before[n_before++] = slot->sent;
        for (int i = 0; i < N_CL_RESULTS; i++)
            if (slot->given_back[i] != NULL)
                before[n_before++] = slot->given_back[i];
    }
    AVVIK_TRY(avvik__cl_check(clSetKernelArg(slot->kernels[kernel], n_arguments - 1, sizeof n_rows, &n_rows),
                              "clSetKernelArg", device, error));
    AVVIK_TRY(avvik__cl_check(clEnqueueNDRangeKernel(worker->run, slot->kernels[kernel], 1, NULL, &global, &group,
                                                     n_before, n_before > 0 ? before : NULL, &slot->ran[kernel]),
                              calls[kernel], device, error));
done:
    return status;
}

static enum avvik_status kernels_start(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                       struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__cl_geometry *geometry = &worker->state->geometry;
    AVVIK_TRY(kernel_start(worker, slot, CL_KERNEL_DEVIATION, 8, slot->n, worker->row_group, error));
    AVVIK_TRY(kernel_start(worker, slot, CL_KERNEL_FILL_MISSING, 4, slot->n, worker->row_group, error));
    AVVIK_TRY(kernel_start(worker, slot, CL_KERNEL_FOREST_PATH, worker->state->plan->is_wide ? 7 : 6,
                           (slot->n + geometry->rows - 1) / geometry->rows, geometry->group, error));
    AVVIK_TRY(avvik__cl_check(clFlush(worker->run), "clFlush", worker->state->device.name, error));
done:
    return status;
}

static enum avvik_status results_request(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                         struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const char *device = worker->state->device.name;
    const cl_event *ran = &slot->ran[CL_KERNEL_FOREST_PATH];
    cl_int code;
    for (int i = 0; i < N_CL_RESULTS; i++) {
        struct avvik__cl_pair *pair = &slot->results[i];
        const size_t bytes = slot->n * result_bytes[i];
        event_release(&slot->given_back[i]);
        if (pair->pinned == NULL) {
            void *mapped = clEnqueueMapBuffer(worker->receive, pair->device, CL_FALSE, CL_MAP_READ, 0, bytes, 1, ran,
                                              &slot->received[i], &code);
            AVVIK_TRY(avvik__cl_check(code, "clEnqueueMapBuffer", device, error));
            pair->mapped = pair->host = mapped;
        } else {
            code = clEnqueueReadBuffer(worker->receive, pair->device, CL_FALSE, 0, bytes, pair->host, 1, ran,
                                       &slot->received[i]);
            AVVIK_TRY(avvik__cl_check(code, "clEnqueueReadBuffer", device, error));
        }
    }
    AVVIK_TRY(avvik__cl_check(clFlush(worker->receive), "clFlush", device, error));
done:
    return status;
}

enum avvik_status avvik__cl_slot_start(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                       const struct avvik_rows *rows, size_t first, size_t n,
                                       const struct avvik_scores *scores, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    slot->first = first;
    slot->n = n;
    AVVIK_TRY(rows_send(worker, slot, rows, scores, error));
    AVVIK_TRY(kernels_start(worker, slot, error));
    AVVIK_TRY(results_request(worker, slot, error));
done:
    return status;
}

/* Add what the device says of a command to *sum, and widen the call's span by it. A device that says nothing adds 0. */
static void event_account(struct avvik__cl_worker *worker, cl_event event, uint64_t *sum)
{
    cl_ulong start = 0, end = 0;
    if (clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL) != CL_SUCCESS ||
        clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL) != CL_SUCCESS || end < start)
        return;
    *sum += end - start;
    worker->first_ns = start < worker->first_ns ? start : worker->first_ns;
    worker->last_ns = end > worker->last_ns ? end : worker->last_ns;
}

static void slot_account(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot)
{
    struct avvik__device_times *times = &worker->times;
    uint64_t *const kernel_sums[N_CL_KERNELS] = {&times->deviation_ns, &times->fill_missing_ns, &times->forest_path_ns};
    times->pieces++;
    times->rows += slot->n;
    event_account(worker, slot->sent, &times->send_ns);
    for (int k = 0; k < N_CL_KERNELS; k++)
        event_account(worker, slot->ran[k], kernel_sums[k]);
    for (int i = 0; i < N_CL_RESULTS; i++)
        event_account(worker, slot->received[i], &times->receive_ns);
}

enum avvik_status avvik__cl_slot_finish(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                        const struct avvik_scores *scores, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const char *device = worker->state->device.name;
    const size_t first = slot->first;
    void *const to[N_CL_RESULTS] = {scores->path_sum + first, scores->deviation + first,
                                    scores->deviation_feature + first, scores->beyond + first, scores->missing + first};
    AVVIK_TRY(event_wait(worker, slot->sent, "sending rows", error));
    for (int k = 0; k < N_CL_KERNELS; k++)
        AVVIK_TRY(event_wait(worker, slot->ran[k], kernel_names[k], error));
    for (int i = 0; i < N_CL_RESULTS; i++)
        AVVIK_TRY(event_wait(worker, slot->received[i], "receiving results", error));
    slot_account(worker, slot);
    for (int i = 0; i < N_CL_RESULTS; i++) {
        struct avvik__cl_pair *pair = &slot->results[i];
        memcpy(to[i], pair->host, slot->n * result_bytes[i]);
        event_release(&slot->received[i]);
        if (pair->pinned == NULL) {
            const cl_int code =
                clEnqueueUnmapMemObject(worker->receive, pair->device, pair->mapped, 0, NULL, &slot->given_back[i]);
            pair->mapped = NULL;
            AVVIK_TRY(avvik__cl_check(code, "clEnqueueUnmapMemObject", device, error));
        }
    }
    for (int k = 0; k < N_CL_KERNELS; k++)
        event_release(&slot->ran[k]);
    event_release(&slot->sent);
    slot->n = 0;
    AVVIK_TRY(avvik__cl_check(clFlush(worker->receive), "clFlush", device, error));
done:
    return status;
}

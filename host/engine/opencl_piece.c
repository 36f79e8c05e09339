/* A piece: its rows packed and sent, its kernels started, its results asked for, and later waited for. */
#include <string.h>

#include "avvik_internal.h"
#include "opencl_slot.h"

/* Pack the rows where the device sees them, or send them there. */
static enum avvik_status rows_send(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                   const struct avvik_rows *rows, const struct avvik_scores *scores,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__opencl_state *state = worker->state;
    const struct avvik__scoring_plan *plan = state->plan;
    const char *device = state->device.name;
    const size_t bytes = slot->n * avvik__cl_row_bytes(plan);
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
        AVVIK_TRY(avvik__cl_event_wait(worker, slot->sent, "clEnqueueMapBuffer", error));
        avvik__cl_event_release(&slot->sent);
    }
    const uint64_t start = avvik__cl_now_ns();
    avvik__tile_pack_fn *tile_pack =
        (uintptr_t)tile->host % AVVIK_TILE_ALIGNMENT == 0 ? state->cpu.tile_pack : avvik__tile_pack_scalar;
    tile_pack(tile->host, plan->stride, rows->values + slot->first * rows->row_stride, slot->n, plan->n_features,
              rows->row_stride, rows->column_stride, nan_count, infinite_count);
    if (plan->n_groups > 1) {
        char *numbers = (char *)tile->host + slot->n * plan->stride * sizeof(float);
        if (rows->groups != NULL)
            memcpy(numbers, rows->groups + slot->first, slot->n * sizeof(uint32_t));
        else
            memset(numbers, 0, slot->n * sizeof(uint32_t));
    }
    worker->times.pack_ns += avvik__cl_now_ns() - start;
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
    const cl_event before[2] = {slot->sent, slot->given_back};
    const cl_uint n_before = kernel != CL_KERNEL_DEVIATION ? 0 : slot->given_back != NULL ? 2 : 1;
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
    AVVIK_TRY(kernel_start(worker, slot, CL_KERNEL_DEVIATION, avvik__cl_deviation_arguments(worker->state->plan),
                           slot->n, worker->row_group, error));
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
    struct avvik__cl_pair *results = &slot->results;
    const size_t bytes = worker->result_offsets[CL_MISSING] +
                         slot->n * avvik__cl_result_bytes(worker->state->plan, CL_MISSING); /* the last of them */
    cl_int code;
    avvik__cl_event_release(&slot->given_back);
    if (results->pinned == NULL) {
        void *mapped = clEnqueueMapBuffer(worker->receive, results->device, CL_FALSE, CL_MAP_READ, 0, bytes, 1, ran,
                                          &slot->received, &code);
        AVVIK_TRY(avvik__cl_check(code, "clEnqueueMapBuffer", device, error));
        results->mapped = results->host = mapped;
    } else {
        code = clEnqueueReadBuffer(worker->receive, results->device, CL_FALSE, 0, bytes, results->host, 1, ran,
                                   &slot->received);
        AVVIK_TRY(avvik__cl_check(code, "clEnqueueReadBuffer", device, error));
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
    event_account(worker, slot->received, &times->receive_ns);
}

enum avvik_status avvik__cl_slot_finish(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                        const struct avvik_scores *scores, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const char *device = worker->state->device.name;
    const size_t first = slot->first;
    void *const to[N_CL_RESULTS] = {[CL_PATH_SUM] = scores->path_sum + first,
                                    [CL_DEVIATION] = scores->deviation + first,
                                    [CL_JOINT] = scores->joint == NULL ? NULL : scores->joint + first,
                                    [CL_TAILS] = scores->tails == NULL ? NULL : scores->tails + first,
                                    [CL_FEATURE] = scores->deviation_feature + first,
                                    [CL_BEYOND] = scores->beyond + first,
                                    [CL_MISSING] = scores->missing + first};
    /* The last command waits for all others, which are then only asked whether they failed: the first is the reason. */
    const enum avvik_status last = avvik__cl_event_wait(worker, slot->received, "the last command of a piece", error);
    if (worker->is_lost)
        return last;
    AVVIK_TRY(avvik__cl_event_wait(worker, slot->sent, "sending rows", error));
    for (int k = 0; k < N_CL_KERNELS; k++)
        AVVIK_TRY(avvik__cl_event_wait(worker, slot->ran[k], avvik__cl_kernel_names[k], error));
    AVVIK_TRY(avvik__cl_event_wait(worker, slot->received, "receiving results", error));
    slot_account(worker, slot);
    struct avvik__cl_pair *results = &slot->results;
    for (int i = 0; i < N_CL_RESULTS; i++)
        if (to[i] != NULL)
            memcpy(to[i], (const char *)results->host + worker->result_offsets[i],
                   slot->n * avvik__cl_result_bytes(worker->state->plan, (enum avvik__cl_result)i));
    if (scores->joint != NULL && worker->state->plan->n_joint == 0)
        memset(to[CL_JOINT], 0, slot->n * sizeof *scores->joint);
    if (scores->tails != NULL && worker->state->plan->tails == NULL)
        memset(to[CL_TAILS], 0, slot->n * sizeof *scores->tails);
    avvik__cl_event_release(&slot->received);
    if (results->pinned == NULL) {
        const cl_int code =
            clEnqueueUnmapMemObject(worker->receive, results->device, results->mapped, 0, NULL, &slot->given_back);
        results->mapped = NULL;
        AVVIK_TRY(avvik__cl_check(code, "clEnqueueUnmapMemObject", device, error));
    }
    for (int k = 0; k < N_CL_KERNELS; k++)
        avvik__cl_event_release(&slot->ran[k]);
    avvik__cl_event_release(&slot->sent);
    slot->n = 0;
    AVVIK_TRY(avvik__cl_check(clFlush(worker->receive), "clFlush", device, error));
done:
    return status;
}

#include "opencl_slot.h"

#include "avvik_internal.h"

size_t avvik__cl_result_bytes(const struct avvik__scoring_plan *plan, enum avvik__cl_result result)
{
    static const size_t bytes[N_CL_RESULTS] = {
        [CL_PATH_SUM] = sizeof(int32_t), [CL_DEVIATION] = sizeof(float),  [CL_JOINT] = sizeof(float),
        [CL_TAILS] = sizeof(int32_t),    [CL_FEATURE] = sizeof(uint16_t), [CL_BEYOND] = sizeof(uint16_t),
        [CL_MISSING] = sizeof(uint16_t)};
    const int is_absent = (result == CL_JOINT && plan->n_joint == 0) || (result == CL_TAILS && plan->tails == NULL);
    return is_absent ? 0 : bytes[result];
}

const char *const avvik__cl_kernel_names[N_CL_KERNELS] = {"deviation", "fill_missing", "forest_path"};

/* All of a slot's events, one after the other; NULL after the last. */
static cl_event *slot_event(struct avvik__cl_slot *slot, int i)
{
    if (i == 0)
        return &slot->sent;
    if (i <= N_CL_KERNELS)
        return &slot->ran[i - 1];
    i -= 1 + N_CL_KERNELS;
    return i == 0 ? &slot->received : i == 1 ? &slot->given_back : NULL;
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
            avvik__cl_event_wait(worker, *event, "a command before an error", NULL);
            if (!worker->is_lost)
                avvik__cl_event_release(event);
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
    size += AVVIK_TILE_ALIGNMENT;
    pair->pinned = clCreateBuffer(state->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, size, NULL, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateBuffer", device, error));
    void *mapped = clEnqueueMapBuffer(worker->send, pair->pinned, CL_FALSE, use, 0, size, 0, NULL, &event, &code);
    AVVIK_TRY(avvik__cl_check(code, "clEnqueueMapBuffer", device, error));
    pair->mapped = mapped;
    AVVIK_TRY(avvik__cl_check(clFlush(worker->send), "clFlush", device, error));
    AVVIK_TRY(avvik__cl_event_wait(worker, event, "clEnqueueMapBuffer", error));
    pair->host =
        (char *)mapped + (AVVIK_TILE_ALIGNMENT - (uintptr_t)mapped % AVVIK_TILE_ALIGNMENT) % AVVIK_TILE_ALIGNMENT;
done:
    avvik__cl_event_release(&event);
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

static enum avvik_status parts_make(const struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    for (int i = 0; i < N_CL_RESULTS && status == AVVIK_OK; i++) {
        const cl_buffer_region region = {worker->result_offsets[i],
                                         worker->piece_rows *
                                             avvik__cl_result_bytes(worker->state->plan, (enum avvik__cl_result)i)};
        cl_int code;
        if (region.size == 0)
            continue;
        const cl_mem part =
            clCreateSubBuffer(slot->results.device, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
        if (code == CL_SUCCESS)
            slot->parts[i] = part;
        status = avvik__cl_check(code, "clCreateSubBuffer", worker->state->device.name, error);
    }
    return status;
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
    const cl_mem *parts = slot->parts;
    struct argument deviation[13] = {{m, &parts[CL_DEVIATION]}, {m, &parts[CL_FEATURE]}, {m, &parts[CL_BEYOND]},
                                     {m, &slot->tile.device},   {m, &state->center},     {m, &state->rscale},
                                     {sizeof cut, &cut}};
    struct argument *more = deviation + 7; /* ends with one of size 0 */
    if (state->plan->n_joint > 0) {
        *more++ = (struct argument){m, &parts[CL_JOINT]};
        *more++ = (struct argument){m, &state->joint};
    }
    if (state->plan->n_joint > 1)
        *more++ = (struct argument){m, &state->joint_of};
    if (state->plan->tails != NULL) {
        *more++ = (struct argument){m, &parts[CL_TAILS]};
        *more++ = (struct argument){m, &state->tails};
    }
    const struct argument fill_missing[] = {
        {m, &slot->tile.device}, {m, &parts[CL_MISSING]}, {m, &state->fill}, {0, NULL}};
    const int is_wide = state->plan->is_wide;
    struct argument forest_path[7] = {
        {m, &parts[CL_PATH_SUM]}, {m, &slot->tile.device}, {m, &state->words}, {m, &state->features}};
    forest_path[is_wide ? 4 : 3] = (struct argument){m, &state->leaf_pairs};
    forest_path[is_wide ? 5 : 4] = (struct argument){sizeof state->n_units, &state->n_units};
    forest_path[is_wide ? 6 : 5] = (struct argument){0, NULL};
    const struct argument *const arguments[N_CL_KERNELS] = {deviation, fill_missing, forest_path};
    for (int k = 0; k < N_CL_KERNELS; k++)
        AVVIK_TRY(kernel_make(worker, avvik__cl_kernel_names[k], arguments[k], &slot->kernels[k], error));
done:
    return status;
}

enum avvik_status avvik__cl_slot_init(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t row_bytes = avvik__cl_row_bytes(worker->state->plan);
    AVVIK_TRY(pair_init(worker, &slot->tile, worker->piece_rows * row_bytes, CL_MAP_WRITE, error));
    AVVIK_TRY(pair_init(worker, &slot->results, worker->result_offsets[N_CL_RESULTS], CL_MAP_READ, error));
    AVVIK_TRY(parts_make(worker, slot, error));
    AVVIK_TRY(kernels_make(worker, slot, error));
done:
    return status;
}

void avvik__cl_slot_destroy(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot)
{
    cl_event *event;
    for (int i = 0; (event = slot_event(slot, i)) != NULL; i++)
        avvik__cl_event_release(event);
    pair_destroy(worker, &slot->tile);
    for (int i = 0; i < N_CL_RESULTS; i++)
        avvik__cl_memory_release(&slot->parts[i]);
    pair_destroy(worker, &slot->results);
    for (int k = 0; k < N_CL_KERNELS; k++)
        if (slot->kernels[k] != NULL)
            clReleaseKernel(slot->kernels[k]);
}

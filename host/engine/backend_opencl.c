/* The OpenCL backend: binding a plan to a device. Packing happens on the CPU, straight into memory the device reads;
 * then three kernels run in order (opencl_worker.c). */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "opencl_worker.h"
#include "tuning.h"

static enum avvik_status constant_create(const struct avvik__opencl_state *state, const void *data, size_t size,
                                         cl_mem *out, struct avvik_error *error)
{
    cl_int code;
    if (size > state->device.max_alloc_bytes)
        return avvik__error_set(error, AVVIK_ERR_BACKEND, 0,
                                "the model is too large for %s: %zu MiB in one piece, where %zu MiB are allowed",
                                state->device.name, size >> 20, (size_t)(state->device.max_alloc_bytes >> 20));
    /* The copy is made before the call returns; the header wants a pointer that is not const. */
    const cl_mem buffer =
        clCreateBuffer(state->context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, size, (void *)(uintptr_t)data, &code);
    if (code == CL_SUCCESS)
        *out = buffer;
    return avvik__cl_check(code, "clCreateBuffer", state->device.name, error);
}

/* A wide threshold below FLT_MIN would compare differently on a device that flushes denormals. Rows hold none, so
 * 0 or FLT_MIN, whichever sends 0 the same way, decides alike. */
static uint32_t word_without_denormal(uint32_t word)
{
    const float least = FLT_MIN;
    float threshold;
    uint32_t bits;
    memcpy(&threshold, &word, sizeof threshold);
    memcpy(&bits, &least, sizeof bits);
    if (!(fabsf(threshold) < FLT_MIN))
        return word;
    return word != 0 && !(word >> 31) ? bits : 0;
}

/* Words, features and leaf pairs in the order that the walk wants; absent trees are zeros. */
static enum avvik_status forest_upload(struct avvik__opencl_state *state, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__forest_view *forest = &state->plan->forest;
    const struct avvik__cl_geometry *geometry = &state->geometry;
    const int is_wide = state->plan->is_wide;
    const size_t in_flight = geometry->in_flight, size = (size_t)1 << forest->height;
    const size_t padded = (forest->n_trees + in_flight - 1) / in_flight * in_flight;
    const size_t n_given = geometry->is_lanes ? (size_t)forest->n_groups * AVVIK_LANES * size : forest->n_trees * size;
    const size_t n_words = geometry->is_lanes ? n_given : padded * size;
    uint32_t *words = avvik__aligned_calloc(n_words, sizeof *words);
    uint16_t *features = avvik__aligned_calloc(n_words, sizeof *features);
    uint32_t *lane_features = avvik__aligned_calloc(is_wide && geometry->is_lanes ? n_words : 0, sizeof *lane_features);
    uint16_t *leaves = avvik__aligned_calloc(n_words, sizeof *leaves);
    if (words == NULL || features == NULL || lane_features == NULL || leaves == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for a forest of %u trees", forest->n_trees);
    state->n_units = geometry->is_lanes ? forest->n_groups : (cl_uint)padded;

    if (is_wide && geometry->is_lanes) {
        for (size_t i = 0; i < n_given; i++) {
            words[i] = (uint32_t)forest->lane_pairs[i];
            lane_features[i] = (uint32_t)(forest->lane_pairs[i] >> 32);
        }
    } else {
        const void *given = geometry->is_lanes ? forest->lane_nodes
                            : is_wide          ? (const void *)forest->thresholds
                                               : (const void *)forest->nodes;
        memcpy(words, given, n_given * sizeof *words);
    }
    for (size_t i = 0; is_wide && i < n_words; i++)
        words[i] = word_without_denormal(words[i]);
    AVVIK_TRY(constant_create(state, words, n_words * sizeof *words, &state->words, error));
    if (geometry->is_lanes) {
        if (is_wide)
            AVVIK_TRY(constant_create(state, lane_features, n_words * sizeof *words, &state->features, error));
        AVVIK_TRY(constant_create(state, forest->lane_leaf_pairs, n_words * sizeof *words, &state->leaf_pairs, error));
    } else {
        if (is_wide) {
            memcpy(features, forest->features, n_given * sizeof *features);
            AVVIK_TRY(constant_create(state, features, n_words * sizeof *features, &state->features, error));
        }
        memcpy(leaves, forest->leaves, n_given * sizeof *leaves);
        AVVIK_TRY(constant_create(state, leaves, n_words * sizeof *leaves, &state->leaf_pairs, error));
    }
done:
    free(words);
    free(features);
    free(lane_features);
    free(leaves);
    return status;
}

static void opencl_close(void *opaque)
{
    struct avvik__opencl_state *state = opaque;
    if (state == NULL)
        return;
    if (atomic_load(&state->is_abandoned)) {
        free(state);
        return;
    }
    avvik__cl_memory_release(&state->words);
    avvik__cl_memory_release(&state->features);
    avvik__cl_memory_release(&state->leaf_pairs);
    avvik__cl_memory_release(&state->center);
    avvik__cl_memory_release(&state->rscale);
    avvik__cl_memory_release(&state->fill);
    avvik__cl_memory_release(&state->joint);
    avvik__cl_memory_release(&state->joint_of);
    avvik__cl_memory_release(&state->tails);
    if (state->program != NULL)
        clReleaseProgram(state->program);
    if (state->context != NULL)
        clReleaseContext(state->context);
    free(state);
}

enum avvik_status avvik__opencl_open_device(const struct avvik__cl_device *device,
                                            const struct avvik__scoring_plan *plan, void **state_out,
                                            struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    cl_int code;
    const size_t bytes = plan->stride * sizeof(float);
    struct avvik__opencl_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    state->plan = plan;
    state->device = *device;
    avvik__kernels_select(&state->cpu, avvik__cpu_features());
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
    state->context = clCreateContext(properties, 1, &device->id, NULL, NULL, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateContext", device->name, error));
    AVVIK_TRY(avvik__cl_geometry_choose(device, plan, &state->geometry, error));
    AVVIK_TRY(avvik__cl_program_build(state->context, device, plan, &state->geometry, &state->program, error));
    AVVIK_TRY(forest_upload(state, error));
    AVVIK_TRY(constant_create(state, plan->center, plan->n_groups * bytes, &state->center, error));
    AVVIK_TRY(constant_create(state, plan->rscale, plan->n_groups * bytes, &state->rscale, error));
    AVVIK_TRY(constant_create(state, plan->fill, bytes, &state->fill, error));
    const size_t joint_bytes = plan->n_joint * AVVIK_JOINT_TABLE(plan->stride, plan->n_features) * sizeof(float);
    if (plan->n_joint > 0)
        AVVIK_TRY(constant_create(state, plan->joint, joint_bytes, &state->joint, error));
    if (plan->n_joint > 1)
        AVVIK_TRY(
            constant_create(state, plan->joint_of, plan->n_groups * sizeof *plan->joint_of, &state->joint_of, error));
    if (plan->tails != NULL)
        AVVIK_TRY(constant_create(state, plan->tails, plan->n_features * sizeof *plan->tails, &state->tails, error));
    *state_out = state;
    state = NULL;
done:
    opencl_close(state);
    return status;
}

/* With what `avvik tune` found; should that not run any more, without it. */
static enum avvik_status opencl_open(const char *spec, const struct avvik__scoring_plan *plan, void **state_out,
                                     char *device_out, size_t device_size, struct avvik_error *error)
{
    struct avvik__cl_device device;
    struct avvik_error reason = {AVVIK_OK, 0, ""};
    char warning[512];
    enum avvik_status status = avvik__cl_device_choose(spec, &device, error);
    if (status != AVVIK_OK)
        return status;
    const int is_tuned = avvik__cl_tuning_load(&device, &device.tuning, warning, sizeof warning);
    status = avvik__opencl_open_device(&device, plan, state_out, &reason);
    if (status != AVVIK_OK && is_tuned) {
        snprintf(warning, sizeof warning, "%.300s; without what `avvik tune` found it is tried again", reason.text);
        memset(&device.tuning, 0, sizeof device.tuning);
        status = avvik__opencl_open_device(&device, plan, state_out, &reason);
    }
    if (status != AVVIK_OK)
        return avvik__error_set(error, status, reason.foreign_code, "%s", reason.text);
    struct avvik__opencl_state *state = *state_out;
    memcpy(state->warning, warning, sizeof warning);
    avvik__cl_device_describe(&device, device_out, device_size);
    return AVVIK_OK;
}

static const char *opencl_warning(const void *state)
{
    return ((const struct avvik__opencl_state *)state)->warning;
}

const struct avvik__backend avvik__backend_opencl = {.name = "opencl",
                                                     .is_device = 1,
                                                     .open = opencl_open,
                                                     .worker_create = avvik__opencl_worker_create,
                                                     .worker_score = avvik__opencl_worker_score,
                                                     .worker_free = avvik__opencl_worker_free,
                                                     .close = opencl_close,
                                                     .warning = opencl_warning,
                                                     .worker_is_lost = avvik__opencl_worker_is_lost,
                                                     .worker_times = avvik__opencl_worker_times};

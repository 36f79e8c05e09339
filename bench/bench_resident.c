/* The kernels of an OpenCL device alone: all rows in its memory, one launch each, by its own clock. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench_resident.h"
#include "opencl_worker.h"
#include "scoring_plan.h"
#include "tuning.h"

/* A device with all rows in one piece. */
struct resident {
    struct avvik__plan_memory memory;
    void *state, *worker;
    int32_t *path_sum;
    float *deviation, *joint;
    uint16_t *small[3];
    struct avvik_scores scores;
};

/* What is timed of a run. */
static const struct {
    const char *name, *wide_name;
    size_t offset;
    double bytes_per_feature, bytes_per_row;
} kernels[] = {
    {"deviation", "deviation", offsetof(struct avvik__device_times, deviation_ns), sizeof(float), 8},
    {"fill_missing", "fill_missing", offsetof(struct avvik__device_times, fill_missing_ns), sizeof(float), 2},
    {"forest_path", "forest_path_wide", offsetof(struct avvik__device_times, forest_path_ns), sizeof(float), 4},
};
#define N_KERNELS (sizeof kernels / sizeof kernels[0])
#define N_RUNS 9

static void resident_destroy(struct resident *resident)
{
    avvik__opencl_worker_free(resident->worker);
    avvik__backend_opencl.close(resident->state);
    avvik__plan_destroy(&resident->memory);
    free(resident->path_sum);
    free(resident->deviation);
    free(resident->joint);
    for (int i = 0; i < 3; i++)
        free(resident->small[i]);
}

static enum bench_exit resident_init(struct resident *resident, const struct avvik_model *model, const char *backend,
                                     size_t n_rows)
{
    struct avvik_error error = {AVVIK_OK, 0, "not enough memory"};
    struct avvik__cl_device device;
    char warning[512];
    memset(resident, 0, sizeof *resident);
    resident->path_sum = calloc(n_rows, sizeof *resident->path_sum);
    resident->deviation = calloc(n_rows, sizeof *resident->deviation);
    resident->joint = calloc(n_rows, sizeof *resident->joint);
    int is_good = resident->path_sum != NULL && resident->deviation != NULL && resident->joint != NULL;
    for (int i = 0; i < 3; i++)
        is_good &= (resident->small[i] = calloc(n_rows, sizeof *resident->small[i])) != NULL;
    resident->scores = (struct avvik_scores){.path_sum = resident->path_sum,
                                             .deviation = resident->deviation,
                                             .deviation_feature = resident->small[0],
                                             .beyond = resident->small[1],
                                             .missing = resident->small[2],
                                             .joint = resident->joint};
    if (!is_good || avvik__plan_init(&resident->memory, model, &error) != AVVIK_OK)
        return bench_fail(BENCH_FAILED, "%s", error.text);
    const struct avvik__scoring_plan *plan = &resident->memory.plan;
    if (avvik__cl_device_choose(strchr(backend, ':') + 1, &device, &error) != AVVIK_OK)
        return bench_fail(BENCH_NO_BACKEND, "%s", error.text);
    avvik__cl_tuning_load(&device, &device.tuning, warning, sizeof warning);
    device.tuning.piece_kib = (uint32_t)((n_rows * plan->stride * sizeof(float) + 1023) / 1024);
    if (avvik__opencl_open_device(&device, plan, &resident->state, &error) != AVVIK_OK ||
        avvik__opencl_worker_create(resident->state, n_rows, &resident->worker, &error) != AVVIK_OK)
        return bench_fail(BENCH_NO_BACKEND, "%s", error.text);
    return BENCH_DONE;
}

/* One run of all kernels, a sample of each to `taken`; those that the device has no time for are left out. */
static enum bench_exit resident_run(struct resident *resident, const struct avvik_rows *rows,
                                    struct bench_result *const taken[N_KERNELS])
{
    struct avvik_error error;
    struct avvik__device_times before, after;
    avvik__opencl_worker_times(resident->worker, &before);
    if (avvik__opencl_worker_score(resident->worker, rows, &resident->scores, &error) != AVVIK_OK)
        return bench_fail(BENCH_NO_BACKEND, "%s", error.text);
    avvik__opencl_worker_times(resident->worker, &after);
    for (size_t k = 0; taken != NULL && k < N_KERNELS; k++) {
        uint64_t from, to;
        memcpy(&from, (const char *)&before + kernels[k].offset, sizeof from);
        memcpy(&to, (const char *)&after + kernels[k].offset, sizeof to);
        if (to > from)
            taken[k]->sample_s[taken[k]->n_samples++] = 1e-9 * (double)(to - from);
    }
    return BENCH_DONE;
}

static int is_known(const struct bench_results *results, const char *backend, const struct bench_shape *shape)
{
    for (size_t i = 0; i < results->n; i++) {
        const struct bench_result *r = results->result[i];
        if (strncmp(r->name, "forest_path", 11) == 0 && strcmp(r->variant, backend) == 0 &&
            r->features == shape->features && r->rows == shape->rows && r->trees == shape->trees &&
            r->sample == shape->sample)
            return 1;
    }
    return 0;
}

enum bench_exit bench_resident(const struct bench_options *options, struct bench_results *results,
                               const struct avvik_model *model, const char *backend, const struct bench_shape *shape,
                               const float *columns, const struct avvik_scores *want)
{
    struct resident resident;
    struct bench_result *taken[N_KERNELS];
    struct avvik__difference difference;
    const struct avvik_rows rows = {columns, shape->rows, 1, shape->rows, NULL};
    const size_t n_runs = options->n_samples < N_RUNS ? options->n_samples : N_RUNS;
    if (is_known(results, backend, shape))
        return BENCH_DONE;
    enum bench_exit status = resident_init(&resident, model, backend, shape->rows);
    if (status == BENCH_DONE)
        status = resident_run(&resident, &rows, NULL);
    if (status == BENCH_DONE && avvik__scores_differ(&resident.scores, want, shape->rows, &difference))
        status = bench_fail(BENCH_DIFFERS, "%s gives another %s of row %zu than scalar", backend, difference.what,
                            difference.row);
    for (size_t k = 0; k < N_KERNELS && status == BENCH_DONE; k++) {
        struct bench_result like = {
            .name = resident.memory.plan.is_wide ? kernels[k].wide_name : kernels[k].name,
            .features = shape->features,
            .rows = shape->rows,
            .trees = shape->trees,
            .sample = shape->sample,
            .threads = 1,
            .layout = "",
            .types = "",
            .height = resident.memory.plan.forest.height,
            .bytes = (double)shape->rows *
                     (kernels[k].bytes_per_feature * (double)shape->features + kernels[k].bytes_per_row)};
        strcpy(like.variant, backend);
        if ((taken[k] = bench_results_add(results, &like)) == NULL)
            status = bench_fail(BENCH_FAILED, "not enough memory");
    }
    for (size_t run = 0; run < n_runs && status == BENCH_DONE; run++)
        status = resident_run(&resident, &rows, taken);
    resident_destroy(&resident);
    return status;
}

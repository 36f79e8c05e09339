/* The CPU backends: one code, four sets of kernels. A worker takes its rows a tile at a time, small enough that the
 * tile stays in the second-level cache from packing to the last tree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "backend.h"

#define TILE_BYTES ((size_t)64 << 10)
#define TILE_MIN_ROWS 64
#define TILE_MAX_ROWS 1024

struct cpu_state {
    const struct avvik__scoring_plan *plan;
    struct avvik__kernels kernels;
};

struct cpu_worker {
    const struct cpu_state *state;
    size_t tile_rows;
    float *tile;
    uint32_t *tables; /* [tile_rows]: of the joint deviation, which row is measured with */
    uint64_t *counts; /* where the caller wants none */
};

void avvik__cpu_name(char *name, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(name, size, "CPU");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(name, size, "%s", colon + 2);
            break;
        }
    }
    if (file != NULL)
        fclose(file);
}

static enum avvik_status cpu_open(unsigned needed, const char *backend, const char *spec,
                                  const struct avvik__scoring_plan *plan, void **state_out, char *device_out,
                                  size_t device_size, struct avvik_error *error)
{
    if (spec != NULL)
        return avvik__error_set(error, AVVIK_ERR_BACKEND, 0, "backend '%s' takes no device number", backend);
    if ((needed & ~avvik__cpu_features()) != 0)
        return avvik__error_set(error, AVVIK_ERR_BACKEND, 0,
                                "backend '%s' cannot run here: this CPU or its operating system has no %s; `avvik "
                                "devices` lists what can",
                                backend, backend);
    struct cpu_state *state = malloc(sizeof *state);
    if (state == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    state->plan = plan;
    avvik__kernels_select(&state->kernels, needed);
    avvik__cpu_name(device_out, device_size);
    *state_out = state;
    return AVVIK_OK;
}

static void cpu_worker_free(void *opaque)
{
    struct cpu_worker *worker = opaque;
    if (worker == NULL)
        return;
    free(worker->tile);
    free(worker->tables);
    free(worker->counts);
    free(worker);
}

static enum avvik_status cpu_worker_create(void *opaque, size_t max_rows, void **worker_out, struct avvik_error *error)
{
    const struct cpu_state *state = opaque;
    struct cpu_worker *worker = calloc(1, sizeof *worker);
    (void)max_rows;
    if (worker != NULL) {
        const size_t fitting = TILE_BYTES / (state->plan->stride * sizeof(float));
        worker->state = state;
        worker->tile_rows = fitting < TILE_MIN_ROWS ? TILE_MIN_ROWS : fitting > TILE_MAX_ROWS ? TILE_MAX_ROWS : fitting;
        worker->tile = avvik__aligned_calloc(worker->tile_rows * state->plan->stride, sizeof(float));
        worker->tables = calloc(worker->tile_rows, sizeof *worker->tables);
        worker->counts = calloc(2 * (size_t)state->plan->n_features, sizeof *worker->counts);
    }
    if (worker == NULL || worker->tile == NULL || worker->tables == NULL || worker->counts == NULL) {
        cpu_worker_free(worker);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    *worker_out = worker;
    return AVVIK_OK;
}

/* The tables that the joint deviation of each row is measured with. 1 if it is the same for all. */
static int tables_find(const struct avvik__scoring_plan *plan, const uint32_t *groups, size_t n, uint32_t *tables)
{
    uint32_t different = 0;
    for (size_t i = 0; i < n; i++) {
        tables[i] = plan->joint_of[groups[i]];
        different |= tables[i] ^ tables[0];
    }
    return different == 0;
}

/* Deviations of n rows of the tile, from row `first` of the scores on. Where all are measured jointly with the same,
 * one kernel gives both deviations; a row's z-scores are those among its peers, and take its place. */
static void tile_measure(const struct cpu_worker *worker, const uint32_t *groups, size_t first, size_t n,
                         const struct avvik_scores *scores)
{
    const struct avvik__scoring_plan *plan = worker->state->plan;
    const struct avvik__kernels *kernels = &worker->state->kernels;
    const size_t stride = plan->stride, n_features = plan->n_features;
    float *deviation = scores->deviation + first;
    uint16_t *feature = scores->deviation_feature + first, *beyond = scores->beyond + first;
    const int wants_joint = plan->n_joint > 0 && scores->joint != NULL;
    const int is_one =
        groups == NULL || plan->n_joint <= 1 || !wants_joint || tables_find(plan, groups, n, worker->tables);
    if (wants_joint && is_one) {
        const uint32_t own = groups == NULL || plan->n_joint == 1 ? 0 : worker->tables[0];
        const float *table = plan->joint + own * AVVIK_JOINT_TABLE(stride, n_features);
        kernels->deviation_joint(deviation, feature, beyond, scores->joint + first, worker->tile, stride, n, n_features,
                                 table, table + stride, AVVIK_DEVIATION_CUT, table + 2 * stride, table + 3 * stride);
    } else if (groups == NULL) {
        kernels->deviation(deviation, feature, beyond, worker->tile, stride, n, n_features, plan->center, plan->rscale,
                           AVVIK_DEVIATION_CUT);
    }
    if (wants_joint && !is_one)
        kernels->joint_peers(scores->joint + first, worker->tile, stride, n, n_features, worker->tables, plan->joint);
    if (groups != NULL)
        kernels->deviation_peers(deviation, feature, beyond, worker->tile, stride, n, n_features, groups, plan->center,
                                 plan->rscale, AVVIK_DEVIATION_CUT);
}

static enum avvik_status cpu_worker_score(void *opaque, const struct avvik_rows *rows,
                                          const struct avvik_scores *scores, struct avvik_error *error)
{
    const struct cpu_worker *worker = opaque;
    const struct avvik__scoring_plan *plan = worker->state->plan;
    const struct avvik__kernels *kernels = &worker->state->kernels;
    uint64_t *nan_count = scores->column_missing != NULL ? scores->column_missing : worker->counts;
    uint64_t *infinite_count =
        scores->column_infinite != NULL ? scores->column_infinite : worker->counts + plan->n_features;
    (void)error;
    for (size_t first = 0; first < rows->n_rows; first += worker->tile_rows) {
        const size_t n = rows->n_rows - first < worker->tile_rows ? rows->n_rows - first : worker->tile_rows;
        kernels->tile_pack(worker->tile, plan->stride, rows->values + first * rows->row_stride, n, plan->n_features,
                           rows->row_stride, rows->column_stride, nan_count, infinite_count);
        tile_measure(worker, rows->groups == NULL ? NULL : rows->groups + first, first, n, scores);
        if (plan->tails != NULL && scores->tails != NULL)
            kernels->tails(scores->tails + first, worker->tile, plan->stride, n, plan->n_features, plan->tails);
        kernels->fill_missing(worker->tile, plan->stride, n, plan->n_features, plan->fill, scores->missing + first);
        (plan->is_wide ? kernels->forest_path_wide : kernels->forest_path)(scores->path_sum + first, worker->tile,
                                                                           plan->stride, n, &plan->forest);
    }
    if (plan->n_joint == 0 && scores->joint != NULL)
        memset(scores->joint, 0, rows->n_rows * sizeof *scores->joint);
    if (plan->tails == NULL && scores->tails != NULL)
        memset(scores->tails, 0, rows->n_rows * sizeof *scores->tails);
    return AVVIK_OK;
}

#define CPU_BACKEND(variant, bits)                                                                                     \
    static enum avvik_status open_##variant(const char *spec, const struct avvik__scoring_plan *plan,                  \
                                            void **state_out, char *device_out, size_t device_size,                    \
                                            struct avvik_error *error)                                                 \
    {                                                                                                                  \
        return cpu_open(bits, #variant, spec, plan, state_out, device_out, device_size, error);                        \
    }                                                                                                                  \
    const struct avvik__backend avvik__backend_##variant = {.name = #variant,                                          \
                                                            .open = open_##variant,                                    \
                                                            .worker_create = cpu_worker_create,                        \
                                                            .worker_score = cpu_worker_score,                          \
                                                            .worker_free = cpu_worker_free,                            \
                                                            .close = free};
CPU_BACKEND(scalar, 0)
CPU_BACKEND(avx2, AVVIK_CPU_AVX2)
CPU_BACKEND(avx512, AVVIK_CPU_AVX2 | AVVIK_CPU_AVX512)
CPU_BACKEND(avx512vbmi, AVVIK_CPU_AVX2 | AVVIK_CPU_AVX512 | AVVIK_CPU_AVX512VBMI)

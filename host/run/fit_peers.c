/* What z-scores of a group's rows are measured with: a census of the groups, then passes that put the values of some
 * columns (all of them, if there is memory for it) side by side, group by group. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_joint.h"
#include "fit_peers.h"
#include "float_order.h"

#define SCRATCH_BYTES 12 /* for each value of the largest group: finite ones, and two halves for selecting */

struct cell_scratch {
    float *values;  /* 3 (max_rows + AVVIK_LANES) */
    float *ordered; /* of a bucket, its groups side by side */
};

/* Moments of n values in ascending order, which is an order that they always have. */
static void moments_find(const struct fit *fit, float *values, float *scratch, size_t n, struct avvik__feature *cell)
{
    avvik__float_sort(values, scratch, n);
    for (size_t i = 0; i < n; i += AVVIK_STATISTICS_ROWS) {
        struct avvik__moments run;
        fit->kernels.statistics(&run, values + i, n - i < AVVIK_STATISTICS_ROWS ? n - i : AVVIK_STATISTICS_ROWS);
        avvik__moments_add(&cell->moments, &run);
    }
}

/* Center and reciprocal scale of a group's values of one feature. rscale32 is NaN where they say nothing: too few that
 * are not missing, or all equal. */
static void cell_find(const struct fit *fit, const float *values, size_t n, float *scratch,
                      const struct avvik__feature *feature, float *center, float *rscale)
{
    static const struct avvik__sieve all = {-FLT_MAX, -FLT_MAX, -FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX, NAN};
    const struct avvik_model *model = fit->model;
    const int is_clean = feature->moments.n == model->n_rows; /* else values are missing, perhaps in other groups */
    struct avvik__feature cell = {.weight = feature->weight};
    size_t n_finite;
    *rscale = NAN;
    if (model->deviation == AVVIK_DEVIATION_ROBUST) {
        struct avvik__median_search found;
        n_finite = avvik__median_of(values, n, is_clean, &fit->kernels, scratch, &found);
        cell.median = found.median;
        cell.mad = found.mad;
        cell.mean_deviation = found.mean_deviation;
    } else {
        struct avvik__sift_counts counts = {0};
        n_finite = fit->kernels.sift(scratch, &counts, values, n, &all);
        moments_find(fit, scratch, scratch + n + AVVIK_LANES, n_finite, &cell);
    }
    if (n_finite < model->peers.min_rows || n_finite == 0)
        return;
    avvik__feature_finish(&cell, model->deviation);
    *center = cell.center32;
    *rscale = cell.rscale32 > 0 ? cell.rscale32 : NAN;
}

/* What feature f of the pass gives for a group whose values are here. */
static void group_find(const struct fit *fit, uint32_t group, size_t f, const float *values, float *scratch)
{
    const struct fit_peers *pass = fit->peers;
    const struct avvik__peers *peers = &fit->model->peers;
    const size_t feature = pass->first_feature + f, at = group * (size_t)fit->model->n_features + feature;
    cell_find(fit, values, (size_t)peers->groups.rows[group], scratch, &fit->model->features[feature],
              &peers->center32[at], &peers->rscale32[at]);
}

/* All groups of a bucket that are whole. */
static void bucket_find(const struct fit *fit, const struct bucket *bucket, size_t f,
                        const struct cell_scratch *scratch)
{
    const struct fit_peers *pass = fit->peers;
    const float *values = pass->values + f * pass->n_places + bucket->first, *ordered = values;
    if (!bucket->is_whole)
        return;
    if (bucket->end_group - bucket->first_group > 1) {
        const uint32_t *places = pass->numbers + bucket->first;
        for (size_t i = 0; i < bucket->n; i++)
            scratch->ordered[places[i]] = values[i];
        ordered = scratch->ordered;
    }
    for (uint32_t g = bucket->first_group; g < bucket->end_group; g++)
        group_find(fit, g, f, ordered + (pass->starts[g] - pass->starts[bucket->first_group]), scratch->values);
}

static void *cells_find(void *context)
{
    struct fit *fit = context;
    struct fit_peers *pass = fit->peers;
    const uint64_t n_features = pass->n_features, n_tasks = ((uint64_t)pass->n_buckets + pass->n_large) * n_features;
    if (atomic_fetch_add(&pass->n_started, 1) >= pass->n_threads)
        return NULL;
    const struct cell_scratch scratch = {malloc(3 * (pass->max_rows + AVVIK_LANES) * sizeof(float)),
                                         malloc((pass->max_bucket + 1) * sizeof(float))};
    if (scratch.values == NULL || scratch.ordered == NULL)
        atomic_store(&fit->is_short, 1);
    for (uint64_t task; !atomic_load(&fit->is_short) && !avvik__is_stopped(fit->options->stop) &&
                        (task = atomic_fetch_add(&pass->next, 1)) < n_tasks;) {
        const uint64_t which = task / n_features; /* large groups first: they take longest */
        const size_t f = (size_t)(task % n_features);
        if (which >= pass->n_large) {
            bucket_find(fit, &pass->buckets[which - pass->n_large], f, &scratch);
        } else {
            const uint32_t group = pass->large[which];
            const uint64_t place = pass->starts[group] - pass->starts[pass->first_group];
            group_find(fit, group, f, pass->values + f * pass->n_places + place, scratch.values);
        }
    }
    free(scratch.values);
    free(scratch.ordered);
    return NULL;
}

/* ---- The passes ---- */

static enum avvik_status pass_run(struct fit *fit, uint64_t bytes_left, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit_peers *pass = fit->peers;
    AVVIK_TRY(avvik__fit_search_begin(fit, pass->first_feature, pass->n_features, bytes_left, error));
    AVVIK_TRY(avvik__fit_gather(fit, error));
    avvik__fit_search_end(fit, 1);
    atomic_store(&pass->n_started, 0);
    atomic_store(&pass->next, 0);
    avvik__fit_share(fit, cells_find);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
    if (avvik__is_stopped(fit->options->stop))
        AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
done:
    avvik__fit_search_end(fit, 0);
    return status;
}

/* As many groups of the first level from `first` on as n_places have room for; one at least. */
static uint32_t groups_fitting(const struct avvik__groups *groups, uint32_t first, uint64_t n_places)
{
    uint32_t end = first;
    for (uint64_t rows = 0; end < groups->n && (end == first || rows + groups->rows[end] <= n_places);) {
        rows += groups->rows[end];
        end = avvik__groups_end(groups, end);
    }
    return end;
}

/* Gather everything: some groups at a time if not even one column of all fits, else some columns at a time. */
static enum avvik_status gather_all(struct fit *fit, struct avvik_error *error)
{
    struct fit_peers *pass = fit->peers;
    const struct avvik__groups *groups = &fit->model->peers.groups;
    const uint64_t scratch = pass->max_rows * SCRATCH_BYTES, least = scratch + pass->max_rows * 2 * sizeof(float);
    if (least > fit->memory_bytes || pass->max_rows >= UINT32_MAX)
        return avvik__error_set(
            error, AVVIK_ERR_USAGE, 0,
            "%s: the largest group has %llu rows, for which %llu MiB more of memory are needed; allow more, or group "
            "by finer columns first",
            avvik_source_path(fit->source, 0), (unsigned long long)pass->max_rows,
            (unsigned long long)(((least - fit->memory_bytes) >> 20) + 1));
    const uint64_t threads = fit->memory_bytes / 2 / (scratch + 1);
    pass->n_threads = threads < 1 ? 1 : threads < fit->cut.n_workers ? (unsigned)threads : fit->cut.n_workers;
    const uint64_t n_floats = (fit->memory_bytes - pass->n_threads * scratch) / sizeof(float);
    for (uint32_t first = 1; first < groups->n; first = pass->end_group) {
        pass->first_group = first;
        pass->end_group = groups_fitting(groups, first, n_floats / 2 < UINT32_MAX ? n_floats / 2 : UINT32_MAX - 1);
        pass->n_places = (size_t)(pass->starts[pass->end_group] - pass->starts[first]);
        uint64_t bytes = n_floats * sizeof(float);
        enum avvik_status status = avvik__fit_gather_begin(fit, &bytes, error);
        const size_t n_features = fit->model->n_features;
        for (size_t f = 0; status == AVVIK_OK && f < n_features; f += pass->n_features) {
            pass->first_feature = f;
            pass->n_features = n_features - f < pass->features_at_most ? n_features - f : pass->features_at_most;
            status = pass_run(fit, bytes, error);
        }
        if (status != AVVIK_OK)
            return status;
    }
    return AVVIK_OK;
}

/* What a group does not know of a feature, it takes from its parent; everyone has what the feature has. */
void avvik__fit_peers_settle(struct avvik_model *model)
{
    struct avvik__peers *peers = &model->peers;
    const size_t n_features = model->n_features;
    for (size_t f = 0; f < n_features; f++) {
        peers->center32[f] = model->features[f].center32;
        peers->rscale32[f] = model->features[f].rscale32;
    }
    for (uint32_t g = 1; g < peers->groups.n; g++)
        for (size_t f = 0; f < n_features; f++)
            if (isnan(peers->rscale32[g * n_features + f])) {
                peers->center32[g * n_features + f] = peers->center32[peers->groups.parent[g] * n_features + f];
                peers->rscale32[g * n_features + f] = peers->rscale32[peers->groups.parent[g] * n_features + f];
            }
}

enum avvik_status avvik__fit_peers(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__peers *peers = &fit->model->peers;
    AVVIK_TRY(avvik__fit_census(fit, error));
    const size_t n_cells = (size_t)peers->groups.n * fit->model->n_features;
    const uint64_t cell_bytes = n_cells * 2 * sizeof(float) + peers->groups.n * (uint64_t)GROUP_BYTES;
    const uint64_t model_bytes = cell_bytes + avvik__fit_gather_cut(fit);
    if (model_bytes > fit->memory_bytes / 2)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0,
                   "%s: %u peer groups take %llu MiB, more than half of the memory that is left; allow more, or raise "
                   "the least number of peers",
                   avvik_source_path(fit->source, 0), peers->groups.n, (unsigned long long)(model_bytes >> 20) + 1);
    const uint64_t left = fit->memory_bytes - cell_bytes; /* once what is gathered has gone */
    fit->memory_bytes -= model_bytes;
    peers->center32 = calloc(n_cells, sizeof *peers->center32);
    peers->rscale32 = calloc(n_cells, sizeof *peers->rscale32);
    if (peers->center32 == NULL || peers->rscale32 == NULL || !avvik__fit_gather_init(fit))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__fit_joint_choose(fit, error));
    AVVIK_TRY(gather_all(fit, error));
    fit->memory_bytes = left;
done:
    avvik__fit_peers_free(fit);
    return status;
}

void avvik__fit_peers_free(struct fit *fit)
{
    struct fit_peers *peers = fit->peers;
    if (peers == NULL)
        return;
    avvik__fit_gather_free(fit);
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        avvik__groups_destroy(&fit->workers[i].census);
        free(fit->workers[i].groups);
        fit->workers[i].groups = NULL;
    }
    free(peers->sample_keys);
    free(peers->row_groups);
    free(peers->block_workers);
    free(peers);
    fit->peers = NULL;
}

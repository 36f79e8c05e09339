/* The passes for peer groups. The census counts the rows of every group, reading the key columns only. Then the values
 * of some columns (all of them, if there is memory for it) are gathered, group by group and those within a group side
 * by side, so that the values of a group of any level are one run; what is found in a run depends on the values only,
 * not on the order in which they came. */
#define _GNU_SOURCE /* madvise */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "avvik_internal.h"
#include "fit_internal.h"
#include "float_order.h"

#define GROUP_BYTES 64 /* of a group in a census: its arrays, its share of the table, while both grow */
#define HUGE_PAGE ((size_t)2 << 20)
#define NOWHERE UINT32_MAX
#define CELL_BYTES 12 /* scratch for each value of the largest group: finite ones, what sifting keeps, their keys */

/* The pass that gathers: which groups and features, and where their values go. */
struct fit_peers {
    uint64_t *starts;     /* [group + 1]: places of the rows whose innermost group it is */
    atomic_uint *n_taken; /* [group]: of these, taken */
    uint32_t first_group, end_group;
    size_t first_feature, n_features;
    size_t n_places; /* of all groups from first_group to end_group - 1 */
    float *values;   /* [feature of the pass][place] */
    size_t values_bytes;
    uint64_t max_rows;  /* of the largest group but everyone */
    float *sample_keys; /* [row of fit->sample][key] */
    unsigned n_threads; /* that look for medians: each needs scratch for the largest group */
    atomic_uint n_started;
    atomic_uint next; /* group and feature of the pass */
};

static const float *keys_of(const struct fit *fit, const struct fit_worker *worker)
{
    return worker->piece + fit->model->n_features * fit->cut.piece_rows;
}

static void columns_want(struct fit *fit, size_t first_feature, size_t n_features)
{
    memset(fit->is_taking_part, 0, fit->n_columns);
    memset(fit->is_taking_part + first_feature, 1, n_features);
    memset(fit->is_taking_part + fit->model->n_features, 1, fit->model->peers.n_keys);
}

/* ---- Census ---- */

static int rows_count(struct avvik__groups *census, const float *keys, size_t stride, size_t n_keys, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        uint32_t group = 0;
        for (size_t k = 0; k < n_keys && !isnan(keys[k * stride + i]); k++)
            if ((group = avvik__groups_add(census, group, (int32_t)keys[k * stride + i])) == AVVIK_NO_GROUP)
                return 0;
        census->rows[group]++;
    }
    return 1;
}

/* The codes of rows that were drawn from [first, first + n_rows), which the workers have in their pieces. */
static void drawn_keep(const struct fit *fit, const float *keys, uint64_t first, size_t n_rows)
{
    const size_t n_keys = fit->model->peers.n_keys, sample = fit->model->forest.sample;
    for (size_t list = 0; list < avvik__fit_lists(fit); list++) {
        const struct range drawn = avvik__fit_drawn(fit, list, first, n_rows);
        for (size_t at = list * sample + drawn.first; at < list * sample + drawn.end; at++)
            for (size_t k = 0; k < n_keys; k++)
                fit->peers->sample_keys[at * n_keys + k] = keys[k * fit->cut.piece_rows + (fit->draws[at] - first)];
    }
}

static enum avvik_status too_many_groups(const struct fit *fit, uint32_t max, struct avvik_error *error)
{
    return avvik__error_set(
        error, AVVIK_ERR_USAGE, 0,
        "%s: rows fall into more than %u groups; name fewer or coarser columns, or allow more memory",
        avvik_source_path(fit->source, 0), max);
}

static enum avvik_status block_census(void *context, unsigned number, unsigned slot_number, uint64_t block,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit *fit = context;
    struct fit_worker *worker = &fit->workers[number];
    struct fit_slot *slot = &fit->slots[slot_number];
    const size_t n_rows = avvik__fit_block_rows(fit, block), stride = fit->cut.piece_rows;
    const uint64_t start = avvik__now_ns();
    avvik__plan_decode(slot->plan, worker->fetcher);
    for (size_t first = 0; first < n_rows; first += stride) {
        const size_t n = n_rows - first < stride ? n_rows - first : stride;
        AVVIK_TRY(avvik__plan_fetch(slot->plan, worker->fetcher, first, n, worker->piece, stride, 0, error));
        if (!rows_count(&worker->census, keys_of(fit, worker), stride, fit->model->peers.n_keys, n)) {
            status = too_many_groups(fit, worker->census.max, error);
            goto done;
        }
        drawn_keep(fit, keys_of(fit, worker), block * fit->cut.block_rows + first, n);
    }
    avvik__fit_stages_take(worker, slot, start);
done:
    return status;
}

static enum avvik_status census_take(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__peers *peers = &fit->model->peers;
    const uint64_t fitting = fit->memory_bytes / (fit->cut.n_workers + 1) / GROUP_BYTES;
    const uint32_t max = fitting < AVVIK_MAX_GROUPS ? (uint32_t)fitting : AVVIK_MAX_GROUPS;
    for (unsigned i = 0; i < fit->cut.n_workers; i++)
        if (!avvik__groups_init(&fit->workers[i].census, max))
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (!avvik__groups_init(&peers->groups, max))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const size_t n_drawn = fit->n_draws + fit->n_held_out;
    fit->peers->sample_keys = calloc(n_drawn * peers->n_keys, sizeof(float));
    fit->sample_groups = calloc(n_drawn, sizeof *fit->sample_groups);
    if (fit->peers->sample_keys == NULL || fit->sample_groups == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    columns_want(fit, 0, 0);
    AVVIK_TRY(avvik__fit_pass(fit, block_census, error));
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        if (!avvik__groups_merge(&peers->groups, &fit->workers[i].census)) {
            status = too_many_groups(fit, max, error);
            goto done;
        }
        avvik__groups_destroy(&fit->workers[i].census);
    }
    fit->summary->groups_seen = peers->groups.n - 1;
    if (!avvik__groups_finish(&peers->groups, peers->min_rows))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    fit->summary->groups = peers->groups.n - 1;
    for (size_t i = 0; i < n_drawn; i++)
        fit->sample_groups[i] =
            avvik__groups_of_row(&peers->groups, fit->peers->sample_keys + i * peers->n_keys, 1, peers->n_keys);
    atomic_store(&fit->has_changed, peers->groups.rows[0] != fit->model->n_rows);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
done:
    for (unsigned i = 0; i < fit->cut.n_workers; i++)
        avvik__groups_destroy(&fit->workers[i].census);
    return status;
}

/* ---- Gathering ---- */

/* Where the values of each row of a piece go. */
static void places_take(struct fit *fit, const struct fit_worker *worker, size_t n_rows)
{
    struct fit_peers *peers = fit->peers;
    const struct avvik__groups *groups = &fit->model->peers.groups;
    const size_t stride = fit->cut.piece_rows, n_keys = fit->model->peers.n_keys;
    const float *keys = keys_of(fit, worker);
    for (size_t i = 0; i < n_rows; i++) {
        const uint32_t group = avvik__groups_of_row(groups, keys + i, stride, n_keys);
        worker->places[i] = NOWHERE;
        if (group < peers->first_group || group >= peers->end_group)
            continue;
        const uint32_t taken = atomic_fetch_add_explicit(&peers->n_taken[group], 1, memory_order_relaxed);
        if (taken < peers->starts[group + 1] - peers->starts[group])
            worker->places[i] = (uint32_t)(peers->starts[group] - peers->starts[peers->first_group] + taken);
        else
            atomic_store(&fit->has_changed, 1);
    }
}

static enum avvik_status block_gather(void *context, unsigned number, unsigned slot_number, uint64_t block,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit *fit = context;
    const struct fit_peers *peers = fit->peers;
    struct fit_worker *worker = &fit->workers[number];
    struct fit_slot *slot = &fit->slots[slot_number];
    const size_t n_rows = avvik__fit_block_rows(fit, block), stride = fit->cut.piece_rows;
    const uint64_t start = avvik__now_ns();
    avvik__plan_decode(slot->plan, worker->fetcher);
    for (size_t first = 0; first < n_rows; first += stride) {
        const size_t n = n_rows - first < stride ? n_rows - first : stride;
        AVVIK_TRY(avvik__plan_fetch(slot->plan, worker->fetcher, first, n, worker->piece, stride, 0, error));
        places_take(fit, worker, n);
        for (size_t f = 0; f < peers->n_features; f++) {
            const float *column = worker->piece + (peers->first_feature + f) * stride;
            float *values = peers->values + f * peers->n_places;
            for (size_t i = 0; i < n; i++)
                if (worker->places[i] != NOWHERE)
                    values[worker->places[i]] = column[i];
        }
    }
    avvik__fit_stages_take(worker, slot, start);
done:
    return status;
}

/* ---- Cells: what one group has for one feature ---- */

struct cell_scratch {
    float *finite, *kept;
    uint32_t *keys;
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
static void cell_find(const struct fit *fit, const float *values, size_t n, const struct cell_scratch *scratch,
                      float weight, float *center, float *rscale)
{
    static const struct avvik__sieve all = {-FLT_MAX, -FLT_MAX, -FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX, NAN};
    struct avvik__sift_counts counts = {0};
    const struct avvik_model *model = fit->model;
    struct avvik__feature cell = {.weight = weight};
    const size_t n_finite = fit->kernels.sift(scratch->finite, &counts, values, n, &all);
    *rscale = NAN;
    if (n_finite < model->peers.min_rows || n_finite == 0)
        return;
    if (model->deviation == AVVIK_DEVIATION_ROBUST) {
        struct avvik__median_search found;
        avvik__median_of(scratch->finite, n_finite, &fit->kernels, scratch->kept, scratch->keys, &found);
        cell.median = found.median;
        cell.mad = found.mad;
        cell.mean_deviation = found.mean_deviation;
    } else {
        moments_find(fit, scratch->finite, scratch->kept, n_finite, &cell);
    }
    avvik__feature_finish(&cell, model->deviation);
    *center = cell.center32;
    *rscale = cell.rscale32 > 0 ? cell.rscale32 : NAN;
}

static void *cells_find(void *context)
{
    struct fit *fit = context;
    struct fit_peers *pass = fit->peers;
    struct avvik__peers *peers = &fit->model->peers;
    const uint32_t n_groups = pass->end_group - pass->first_group;
    const size_t n_features = fit->model->n_features, room = pass->max_rows + AVVIK_LANES;
    if (atomic_fetch_add(&pass->n_started, 1) >= pass->n_threads)
        return NULL;
    struct cell_scratch scratch = {malloc(room * sizeof(float)), malloc(room * sizeof(float)),
                                   malloc(room * sizeof(uint32_t))};
    if (scratch.finite == NULL || scratch.kept == NULL || scratch.keys == NULL)
        atomic_store(&fit->is_short, 1);
    for (uint64_t task; !atomic_load(&fit->is_short) && !avvik__is_stopped(fit->options->stop) &&
                        (task = atomic_fetch_add(&pass->next, 1)) < (uint64_t)n_groups * pass->n_features;) {
        const uint32_t group = pass->first_group + (uint32_t)(task % n_groups);
        const size_t f = (size_t)(task / n_groups), at = group * n_features + pass->first_feature + f;
        const float *values =
            pass->values + f * pass->n_places + (pass->starts[group] - pass->starts[pass->first_group]);
        cell_find(fit, values, (size_t)peers->groups.rows[group], &scratch,
                  fit->model->features[pass->first_feature + f].weight, &peers->center32[at], &peers->rscale32[at]);
    }
    free(scratch.finite);
    free(scratch.kept);
    free(scratch.keys);
    return NULL;
}

/* ---- The passes ---- */

/* Memory for the values of the pass. Large pages: they are written all over the place. */
static int values_make(struct fit_peers *pass)
{
    const size_t bytes = pass->n_features * pass->n_places * sizeof(float);
    if (bytes <= pass->values_bytes)
        return 1;
    free(pass->values);
    pass->values = NULL;
    pass->values_bytes = 0;
    if (posix_memalign((void **)&pass->values, HUGE_PAGE, bytes) != 0)
        return 0;
    madvise(pass->values, bytes, MADV_HUGEPAGE);
    pass->values_bytes = bytes;
    return 1;
}

static enum avvik_status gather(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit_peers *pass = fit->peers;
    for (uint32_t g = pass->first_group; g < pass->end_group; g++)
        atomic_store(&pass->n_taken[g], 0);
    if (!values_make(pass))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    columns_want(fit, pass->first_feature, pass->n_features);
    AVVIK_TRY(avvik__fit_pass(fit, block_gather, error));
    for (uint32_t g = pass->first_group; g < pass->end_group; g++)
        if (atomic_load(&pass->n_taken[g]) != pass->starts[g + 1] - pass->starts[g])
            atomic_store(&fit->has_changed, 1);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
    atomic_store(&pass->n_started, 0);
    atomic_store(&pass->next, 0);
    avvik__fit_share(fit, cells_find);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
    if (avvik__is_stopped(fit->options->stop))
        AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
done:
    return status;
}

/* The places of every group's own rows, and the largest group. */
static int places_make(struct fit *fit)
{
    struct fit_peers *pass = fit->peers;
    const struct avvik__groups *groups = &fit->model->peers.groups;
    pass->starts = calloc(groups->n + 1, sizeof *pass->starts);
    pass->n_taken = calloc(groups->n, sizeof *pass->n_taken);
    if (pass->starts == NULL || pass->n_taken == NULL)
        return 0;
    for (uint32_t g = 0; g < groups->n; g++)
        pass->starts[g + 1] = groups->rows[g];
    for (uint32_t g = 1; g < groups->n; g++) {
        pass->starts[groups->parent[g] + 1] -= groups->rows[g];
        pass->max_rows = groups->rows[g] > pass->max_rows ? groups->rows[g] : pass->max_rows;
    }
    fit->summary->rows_everyone = pass->starts[1];
    for (uint32_t g = 0; g < groups->n; g++)
        pass->starts[g + 1] += pass->starts[g];
    return 1;
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
    const uint64_t scratch = pass->max_rows * CELL_BYTES, least = scratch + pass->max_rows * sizeof(float);
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
        pass->end_group = groups_fitting(groups, first, n_floats < UINT32_MAX ? n_floats : UINT32_MAX - 1);
        pass->n_places = (size_t)(pass->starts[pass->end_group] - pass->starts[first]);
        const size_t fitting = (size_t)(n_floats / pass->n_places), n_features = fit->model->n_features;
        for (size_t f = 0; f < n_features; f += pass->n_features) {
            pass->first_feature = f;
            pass->n_features = n_features - f < fitting ? n_features - f : fitting;
            const enum avvik_status status = gather(fit, error);
            if (status != AVVIK_OK)
                return status;
        }
    }
    return AVVIK_OK;
}

/* What a group does not know of a feature, it takes from its parent; everyone has what the feature has. */
static void cells_settle(struct avvik_model *model)
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
    struct fit_peers pass = {0};
    fit->peers = &pass;
    AVVIK_TRY(census_take(fit, error));
    const size_t n_cells = (size_t)peers->groups.n * fit->model->n_features;
    const uint64_t model_bytes = n_cells * 2 * sizeof(float) + peers->groups.n * (uint64_t)GROUP_BYTES;
    if (model_bytes > fit->memory_bytes / 2)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0,
                   "%s: %u peer groups take %llu MiB, more than half of the memory that is left; allow more, or raise "
                   "the least number of peers",
                   avvik_source_path(fit->source, 0), peers->groups.n, (unsigned long long)(model_bytes >> 20) + 1);
    fit->memory_bytes -= model_bytes;
    peers->center32 = calloc(n_cells, sizeof *peers->center32);
    peers->rscale32 = calloc(n_cells, sizeof *peers->rscale32);
    if (peers->center32 == NULL || peers->rscale32 == NULL || !places_make(fit))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (unsigned i = 0; i < fit->cut.n_workers; i++)
        if ((fit->workers[i].places = calloc(fit->cut.piece_rows, sizeof(uint32_t))) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(gather_all(fit, error));
    cells_settle(fit->model);
done:
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        free(fit->workers[i].places);
        fit->workers[i].places = NULL;
    }
    free(pass.values);
    free(pass.sample_keys);
    free(pass.starts);
    free(pass.n_taken);
    fit->peers = NULL;
    return status;
}

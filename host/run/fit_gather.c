/* The passes that gather values, group by group and those within a group side by side, so that the values of a group of
 * any level are one run. In two steps, for a store to one of ten thousand groups misses every cache: while rows go by,
 * they go to one of some hundred buckets, each a run of groups; later a bucket is put in order in the cache. What is
 * found in a run depends on its values only, not on the order in which they came. */
#define _GNU_SOURCE /* madvise */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "avvik_internal.h"
#include "fit_peers.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define NOWHERE UINT32_MAX
#define STEP 32           /* rows between two looks ahead */
#define BUCKET_ROWS 32768 /* values, their places and the values in order: 384 KiB */
#define MAX_BUCKETS 1024  /* that rows are dealt out to: as many lines of the cache for each feature */

/* ---- Buckets ---- */

static size_t rows_of_own(const struct fit_peers *pass, uint32_t group)
{
    return (size_t)(pass->starts[group + 1] - pass->starts[group]);
}

static void bucket_close(struct fit_peers *pass, uint32_t end_group)
{
    struct bucket *bucket = &pass->buckets[pass->n_buckets];
    if (bucket->first_group == end_group)
        return;
    bucket->end_group = end_group;
    bucket->first = (size_t)(pass->starts[bucket->first_group] - pass->starts[pass->first_group]);
    bucket->n = (size_t)(pass->starts[end_group] - pass->starts[bucket->first_group]);
    for (uint32_t g = bucket->first_group; g < end_group; g++)
        pass->bucket_of[g] = pass->n_buckets;
    if (end_group - bucket->first_group > 1 && bucket->n > pass->max_bucket)
        pass->max_bucket = bucket->n;
    atomic_init(&bucket->n_taken, 0);
    pass->n_buckets++;
}

/* Brothers share a bucket as long as there is room; a group that has none for itself is dealt out to several, and what
 * it has for itself, outside the groups within it, is one of them. */
static void buckets_make(struct fit *fit)
{
    struct fit_peers *pass = fit->peers;
    const struct avvik__groups *groups = &fit->model->peers.groups;
    const size_t least = pass->n_places / (MAX_BUCKETS / 4), room = least > BUCKET_ROWS ? least : BUCKET_ROWS;
    pass->n_buckets = pass->n_large = 0;
    pass->max_bucket = 0;
    pass->buckets[0] = (struct bucket){.first_group = pass->first_group, .is_whole = 1};
    for (uint32_t g = pass->first_group; g < pass->end_group;) {
        const struct bucket *open = &pass->buckets[pass->n_buckets];
        const int is_large = groups->rows[g] > room, is_empty = open->first_group == g;
        const size_t taken = (size_t)(pass->starts[g] - pass->starts[open->first_group]);
        if (is_large ||
            (!is_empty && (groups->parent[g] != groups->parent[open->first_group] || taken + groups->rows[g] > room))) {
            bucket_close(pass, g);
            pass->buckets[pass->n_buckets] = (struct bucket){.first_group = g, .is_whole = !is_large};
        }
        if (is_large) {
            pass->large[pass->n_large++] = g++;
            bucket_close(pass, g);
            pass->buckets[pass->n_buckets] = (struct bucket){.first_group = g, .is_whole = 1};
        } else {
            g = avvik__groups_end(groups, g);
        }
    }
    bucket_close(pass, pass->end_group);
}

/* ---- Rows into buckets ---- */

/* Where the values of each row of a piece go: counted first, so that a piece takes from a bucket once. */
static void places_take(struct fit *fit, const struct fit_worker *worker, size_t n_rows)
{
    struct fit_peers *pass = fit->peers;
    const struct avvik__groups *groups = &fit->model->peers.groups;
    const size_t stride = fit->cut.piece_rows, n_keys = fit->model->peers.n_keys;
    const float *keys = avvik__fit_keys(fit, worker);
    uint32_t *counts = worker->counts;
    memset(counts, 0, pass->n_buckets * sizeof *counts);
    for (size_t i = 0; i < n_rows; i++) {
        const uint32_t group = avvik__groups_of_row(groups, keys + i, stride, n_keys);
        const int is_here = group >= pass->first_group && group < pass->end_group;
        worker->groups[i] = is_here ? group : NOWHERE;
        worker->places[i] = is_here ? counts[pass->bucket_of[group]]++ : NOWHERE;
    }
    for (uint32_t b = 0; b < pass->n_buckets; b++) {
        const size_t n = counts[b], first = n == 0 ? 0 : atomic_fetch_add(&pass->buckets[b].n_taken, n);
        if (first + n > pass->buckets[b].n) { /* rows that were not there before */
            atomic_store(&fit->has_changed, 1);
            memset(worker->places, 0xff, n_rows * sizeof *worker->places);
            return;
        }
        counts[b] = (uint32_t)(pass->buckets[b].first + first);
        worker->ends[b] = (uint32_t)(counts[b] + (n == 0 ? 0 : n - 1));
    }
    for (size_t i = 0; i < n_rows; i++) {
        if (worker->groups[i] == NOWHERE)
            continue;
        const uint32_t bucket = pass->bucket_of[worker->groups[i]];
        worker->places[i] += counts[bucket];
        pass->numbers[worker->places[i]] = worker->groups[i] - pass->buckets[bucket].first_group;
    }
}

/* A column of a piece to its places, while the lines come into the cache that the next column is going to begin. */
static void column_scatter(const struct fit_peers *pass, const struct fit_worker *worker, const float *column,
                           float *values, size_t n_rows, int has_next)
{
    const size_t n_steps = (n_rows + STEP - 1) / STEP, n_buckets = has_next ? pass->n_buckets : 0;
    for (size_t step = 0, b = 0; step < n_steps; step++) {
        for (; b < n_buckets * (step + 1) / n_steps; b++)
            __builtin_prefetch(values + pass->n_places + worker->ends[b], 1);
        const size_t end = (step + 1) * STEP < n_rows ? (step + 1) * STEP : n_rows;
        for (size_t i = step * STEP; i < end; i++)
            if (worker->places[i] != NOWHERE)
                values[worker->places[i]] = column[i];
    }
}

static enum avvik_status block_gather(void *context, unsigned number, unsigned slot_number, uint64_t block,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit *fit = context;
    const struct fit_peers *pass = fit->peers;
    struct fit_worker *worker = &fit->workers[number];
    struct fit_slot *slot = &fit->slots[slot_number];
    const size_t n_rows = avvik__fit_block_rows(fit, block), stride = fit->cut.piece_rows;
    const uint64_t start = avvik__now_ns();
    avvik__plan_decode(slot->plan, worker->fetcher);
    for (size_t first = 0; first < n_rows; first += stride) {
        const size_t n = n_rows - first < stride ? n_rows - first : stride;
        AVVIK_TRY(avvik__plan_fetch(slot->plan, worker->fetcher, first, n, worker->piece, stride, 0, error));
        places_take(fit, worker, n);
        for (size_t f = 0; f < pass->n_features; f++) {
            const float *column = worker->piece + (pass->first_feature + f) * stride;
            column_scatter(pass, worker, column, pass->values + f * pass->n_places, n, f + 1 < pass->n_features);
        }
    }
    avvik__fit_stages_take(worker, slot, start);
done:
    return status;
}

/* ---- Order within a bucket ---- */

/* Group numbers become places within the bucket. */
static int bucket_number(struct fit_peers *pass, const struct bucket *bucket)
{
    const uint64_t start = pass->starts[bucket->first_group];
    memset(pass->n_placed + bucket->first_group, 0, (bucket->end_group - bucket->first_group) * sizeof *pass->n_placed);
    for (size_t i = bucket->first; i < bucket->first + bucket->n; i++) {
        const uint32_t group = bucket->first_group + pass->numbers[i], n = pass->n_placed[group]++;
        if (n == rows_of_own(pass, group))
            return 0;
        pass->numbers[i] = (uint32_t)(pass->starts[group] - start) + n;
    }
    return 1;
}

static void *buckets_number(void *context)
{
    struct fit *fit = context;
    struct fit_peers *pass = fit->peers;
    for (uint64_t b; (b = atomic_fetch_add(&pass->next, 1)) < pass->n_buckets;)
        if (pass->buckets[b].is_whole && !bucket_number(pass, &pass->buckets[b]))
            atomic_store(&fit->has_changed, 1);
    return NULL;
}

/* ---- The pass ---- */

/* Memory for the values of the pass. Large pages: they are written all over the place. */
static int values_make(struct fit_peers *pass)
{
    const size_t bytes = (pass->n_features * sizeof *pass->values + sizeof *pass->numbers) * pass->n_places;
    if (bytes > pass->values_bytes) {
        free(pass->values);
        pass->values = NULL;
        pass->values_bytes = 0;
        if (posix_memalign((void **)&pass->values, HUGE_PAGE, bytes) != 0)
            return 0;
        madvise(pass->values, bytes, MADV_HUGEPAGE);
        pass->values_bytes = bytes;
    }
    pass->numbers = (void *)(pass->values + pass->n_features * pass->n_places);
    return 1;
}

enum avvik_status avvik__fit_gather(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit_peers *pass = fit->peers;
    buckets_make(fit);
    if (!values_make(pass))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    avvik__fit_columns_want(fit, pass->first_feature, pass->n_features);
    AVVIK_TRY(avvik__fit_pass(fit, block_gather, error));
    for (uint32_t b = 0; b < pass->n_buckets; b++)
        if (atomic_load(&pass->buckets[b].n_taken) != pass->buckets[b].n)
            atomic_store(&fit->has_changed, 1);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
    atomic_store(&pass->next, 0);
    avvik__fit_share(fit, buckets_number);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
done:
    return status;
}

static size_t buckets_at_most(const struct fit *fit)
{
    /* Of brothers two side by side are more than fit into one; a large group is in one of its own, and parts others; on
     * each level there are as many large ones at most as there is room for. */
    return (3 * (size_t)fit->model->peers.n_keys + 2) * (MAX_BUCKETS / 4 + 1) + 8;
}

uint64_t avvik__fit_gather_bytes(const struct fit *fit)
{
    const uint64_t worker = (2 * fit->cut.piece_rows + 2 * buckets_at_most(fit)) * sizeof(uint32_t);
    return fit->cut.n_workers * worker + buckets_at_most(fit) * (sizeof(struct bucket) + sizeof(uint32_t));
}

int avvik__fit_gather_init(struct fit *fit)
{
    struct fit_peers *pass = fit->peers;
    const struct avvik__groups *groups = &fit->model->peers.groups;
    const size_t most = buckets_at_most(fit);
    pass->starts = calloc(groups->n + 1, sizeof *pass->starts);
    pass->n_placed = calloc(groups->n, sizeof *pass->n_placed);
    pass->bucket_of = calloc(groups->n, sizeof *pass->bucket_of);
    pass->buckets = calloc(most, sizeof *pass->buckets);
    pass->large = calloc(most, sizeof *pass->large);
    if (pass->starts == NULL || pass->n_placed == NULL || pass->bucket_of == NULL || pass->buckets == NULL ||
        pass->large == NULL)
        return 0;
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        struct fit_worker *worker = &fit->workers[i];
        worker->groups = calloc(2 * fit->cut.piece_rows, sizeof *worker->groups);
        worker->counts = calloc(2 * most, sizeof *worker->counts);
        if (worker->groups == NULL || worker->counts == NULL)
            return 0;
        worker->places = worker->groups + fit->cut.piece_rows;
        worker->ends = worker->counts + most;
    }
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

void avvik__fit_gather_free(struct fit *fit)
{
    struct fit_peers *pass = fit->peers;
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        free(fit->workers[i].groups);
        free(fit->workers[i].counts);
        fit->workers[i].groups = NULL;
        fit->workers[i].counts = NULL;
    }
    free(pass->values);
    free(pass->starts);
    free(pass->n_placed);
    free(pass->bucket_of);
    free(pass->buckets);
    free(pass->large);
}

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
#define BUCKET_ROWS 32768               /* values, their places and the values in order: 384 KiB */
#define MAX_BUCKETS 1024                /* that rows are dealt out to: as many lines of the cache for each feature */
#define PIECE_BYTES ((size_t)512 << 10) /* of the columns of a pass: the more rows, the longer the runs to a bucket */
#define SHARE_FOR_PIECES 16             /* of the memory, at most, for pieces larger than those of other passes */

/* ---- Buckets ---- */

static int bucket_has_many(const struct bucket *bucket)
{
    return bucket->is_whole && bucket->end_group - bucket->first_group > 1;
}

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
    for (uint32_t g = 0; g < groups->n; g++)
        if (g < pass->first_group || g >= pass->end_group)
            pass->bucket_of[g] = pass->n_buckets;
}

/* ---- Rows into buckets ---- */

/* The groups of rows [first, first + n_rows), which a worker has in its piece. */
static const uint32_t *groups_of(const struct fit *fit, const struct fit_worker *worker, uint64_t first, size_t n_rows)
{
    if (fit->peers->row_groups != NULL)
        return fit->peers->row_groups + first;
    for (size_t i = 0; i < n_rows; i++)
        worker->groups[i] =
            avvik__groups_of_row(&fit->model->peers.groups, avvik__fit_keys(fit, worker, fit->peers->stride) + i,
                                 fit->peers->stride, fit->model->peers.n_keys);
    return worker->groups;
}

/* Which rows of a piece go to which bucket: counted first, so that a piece takes places from a bucket once. 0 if there
 * are rows that were not there before. */
static int rows_deal(struct fit_peers *pass, const struct deal *deal, const uint32_t *groups, size_t n_rows)
{
    const uint32_t n_buckets = pass->n_buckets;
    uint32_t *ends = deal->starts + 1; /* of a bucket; for a while, the places of the next row */
    memset(deal->starts, 0, (n_buckets + 2) * sizeof *deal->starts);
    for (size_t i = 0; i < n_rows; i++)
        ends[pass->bucket_of[groups[i]]]++;
    uint32_t start = 0;
    for (uint32_t b = 0; b <= n_buckets; b++) {
        const uint32_t n = ends[b];
        ends[b] = start;
        start += n;
        if (b == n_buckets)
            break;
        const size_t first = n == 0 ? 0 : atomic_fetch_add(&pass->buckets[b].n_taken, n);
        if (first + n > pass->buckets[b].n)
            return 0;
        deal->places[b] = pass->buckets[b].first + first;
    }
    for (size_t i = 0; i < n_rows; i++)
        deal->order[ends[pass->bucket_of[groups[i]]]++] = (uint16_t)i;
    return 1;
}

/* Group numbers to where the rows' values go, in buckets of several groups. */
static void numbers_deal(struct fit_peers *pass, const struct deal *deal, const uint32_t *groups)
{
    for (uint32_t b = 0; b < pass->n_buckets; b++) {
        const struct bucket *bucket = &pass->buckets[b];
        uint32_t *numbers = pass->numbers + deal->places[b];
        for (uint32_t i = deal->starts[b]; bucket_has_many(bucket) && i < deal->starts[b + 1]; i++)
            *numbers++ = groups[deal->order[i]] - bucket->first_group;
    }
}

static enum avvik_status block_gather(void *context, unsigned number, unsigned slot_number, uint64_t block,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit *fit = context;
    struct fit_peers *pass = fit->peers;
    struct fit_worker *worker = &fit->workers[number];
    struct fit_slot *slot = &fit->slots[slot_number];
    const size_t n_rows = avvik__fit_block_rows(fit, block), stride = pass->stride, step = pass->piece_rows;
    const uint64_t start = avvik__now_ns(), row = block * fit->cut.block_rows;
    avvik__plan_decode(slot->plan, worker->fetcher);
    for (size_t first = 0; first < n_rows; first += step) {
        const size_t n = n_rows - first < step ? n_rows - first : step;
        AVVIK_TRY(avvik__plan_fetch(slot->plan, worker->fetcher, first, n, worker->piece, stride, 0, error));
        const uint32_t *groups = groups_of(fit, worker, row + first, n);
        if (!rows_deal(pass, &worker->deal, groups, n)) {
            atomic_store(&fit->has_changed, 1);
            continue;
        }
        numbers_deal(pass, &worker->deal, groups);
        for (size_t f = 0; f < pass->n_features; f++)
            fit->kernels.deal(pass->values + f * pass->n_places, worker->piece + (pass->first_feature + f) * stride,
                              worker->deal.order, worker->deal.starts, worker->deal.places, pass->n_buckets);
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
        if (bucket_has_many(&pass->buckets[b]) && !bucket_number(pass, &pass->buckets[b]))
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
    const size_t row_bytes =
        (pass->n_features + (pass->row_groups == NULL ? fit->model->peers.n_keys : 0)) * sizeof(float);
    pass->piece_rows = pass->stride;
    while (pass->piece_rows > fit->cut.piece_rows && pass->piece_rows * row_bytes > PIECE_BYTES)
        pass->piece_rows /= 2;
    memset(fit->is_taking_part, 0, fit->n_columns);
    memset(fit->is_taking_part + pass->first_feature, 1, pass->n_features);
    if (pass->row_groups == NULL)
        memset(fit->is_taking_part + fit->model->n_features, 1, fit->model->peers.n_keys);
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

uint64_t avvik__fit_gather_cut(struct fit *fit)
{
    const uint64_t block_bytes = (uint64_t)fit->n_columns * fit->cut.block_rows * sizeof(float);
    const int has_room = fit->cut.n_workers * block_bytes <= fit->memory_bytes / SHARE_FOR_PIECES;
    const size_t rows = has_room ? fit->cut.block_rows : fit->cut.piece_rows, more = rows - fit->cut.piece_rows;
    fit->peers->stride = rows;
    const uint64_t worker = more * fit->n_columns * sizeof(float) + rows * (sizeof(uint32_t) + sizeof(uint16_t)) +
                            buckets_at_most(fit) * (sizeof(uint32_t) + sizeof(size_t));
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
        if (pass->stride != fit->cut.piece_rows) {
            free(worker->piece);
            free(worker->groups);
            worker->piece = avvik__aligned_alloc(pass->stride * fit->n_columns, sizeof *worker->piece);
            worker->groups = calloc(pass->stride, sizeof *worker->groups);
            if (worker->piece == NULL || worker->groups == NULL)
                return 0;
        }
        worker->deal =
            (struct deal){calloc(most + 2, sizeof *worker->deal.starts), calloc(most, sizeof *worker->deal.places),
                          calloc(pass->stride + AVVIK_LANES, sizeof *worker->deal.order)};
        if (worker->deal.starts == NULL || worker->deal.places == NULL || worker->deal.order == NULL)
            return 0;
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
        struct deal *deal = &fit->workers[i].deal;
        free(deal->starts);
        free(deal->places);
        free(deal->order);
        *deal = (struct deal){0};
    }
    free(pass->values);
    free(pass->starts);
    free(pass->n_placed);
    free(pass->bucket_of);
    free(pass->buckets);
    free(pass->large);
}

/* Where the rows of groups go, so that groups lie side by side, in two steps: while rows go by they are dealt out to
 * some hundred buckets, each a run of groups; within a bucket its groups are put in order later, in the cache. A store
 * to one of ten thousand groups would miss every cache. Which row goes where is found once, by the first pass over
 * these groups, and kept for the others where there is room. */
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_peers.h"

#define BUCKET_ROWS 32768 /* values, their places and the values in order: 384 KiB */
#define MAX_BUCKETS 1024  /* that rows are dealt out to: as many lines of the cache for each feature */

/* ---- Buckets ---- */

size_t avvik__fit_buckets_at_most(const struct fit *fit)
{
    /* Of brothers two side by side are more than fit into one; a large group is in one of its own, and parts others; on
     * each level there are as many large ones at most as there is room for. */
    return (3 * (size_t)fit->model->peers.n_keys + 2) * (MAX_BUCKETS / 4 + 1) + 8;
}

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
void avvik__fit_buckets_make(struct fit *fit)
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
        deal->places[b] = (uint32_t)(pass->buckets[b].first + first);
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

const struct deal *avvik__fit_deal(struct fit *fit, const struct fit_worker *worker, uint64_t first, size_t n_rows)
{
    struct fit_peers *pass = fit->peers;
    const struct deal *deal = pass->deals == NULL ? &worker->deal : &pass->deals[first / pass->piece_rows];
    if (pass->is_dealt)
        return deal;
    const uint32_t *groups = groups_of(fit, worker, first, n_rows);
    if (!rows_deal(pass, deal, groups, n_rows))
        return NULL;
    numbers_deal(pass, deal, groups);
    return deal;
}

/* ---- What is kept ---- */

static uint64_t pieces_of(const struct fit *fit)
{
    return (fit->model->n_rows - 1) / fit->peers->piece_rows + 1;
}

/* Of the deal of a piece; a multiple of a number's. */
static size_t deal_bytes(const struct fit_peers *pass)
{
    return (pass->piece_rows + AVVIK_LANES) * sizeof(uint16_t) + (2 * (size_t)pass->n_buckets + 2) * sizeof(uint32_t);
}

uint64_t avvik__fit_deals_bytes(const struct fit *fit)
{
    return pieces_of(fit) * (deal_bytes(fit->peers) + sizeof(struct deal));
}

int avvik__fit_deals_make(struct fit *fit)
{
    struct fit_peers *pass = fit->peers;
    const uint64_t n_pieces = pieces_of(fit);
    char *memory = malloc(n_pieces * deal_bytes(pass));
    pass->deals = calloc(n_pieces, sizeof *pass->deals);
    pass->deals_memory = memory;
    if (memory == NULL || pass->deals == NULL)
        return 0;
    for (uint64_t i = 0; i < n_pieces; i++, memory += deal_bytes(pass)) {
        uint32_t *starts = (void *)memory, *places = starts + pass->n_buckets + 2;
        pass->deals[i] = (struct deal){starts, places, (void *)(places + pass->n_buckets)};
    }
    return 1;
}

void avvik__fit_deals_free(struct fit_peers *pass)
{
    free(pass->deals);
    free(pass->deals_memory);
    pass->deals = NULL;
    pass->deals_memory = NULL;
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

void avvik__fit_deal_finish(struct fit *fit)
{
    struct fit_peers *pass = fit->peers;
    if (pass->is_dealt)
        return;
    for (uint32_t b = 0; b < pass->n_buckets; b++)
        if (atomic_load(&pass->buckets[b].n_taken) != pass->buckets[b].n) {
            atomic_store(&fit->has_changed, 1);
            return;
        }
    atomic_store(&pass->next, 0);
    avvik__fit_share(fit, buckets_number);
    pass->is_dealt = pass->deals != NULL;
}

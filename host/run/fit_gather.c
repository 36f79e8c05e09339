/* The passes that gather values, group by group and those within a group side by side, so that the values of a group of
 * any level are one run (fit_deal.c says how). What is found in a run depends on its values only, not on the order in
 * which they came. */
#define _GNU_SOURCE /* madvise */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "avvik_internal.h"
#include "fit_joint.h"
#include "fit_peers.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define PIECE_BYTES ((size_t)512 << 10) /* of the columns of a pass: the more rows, the longer the runs to a bucket */
#define PASS_BYTES                                                                                                     \
    ((uint64_t)160 << 20)   /* of values, where more passes read no more: memory that is used again costs              \
                               less than more of it, which the kernel has to find and clear */
#define SHARE_FOR_PIECES 16 /* of the memory, at most, for pieces larger than those of other passes */
#define SHARE_FOR_DEALS 8   /* and for what is kept of where rows go */

static enum avvik_status block_gather(void *context, unsigned number, unsigned slot_number, uint64_t block,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit *fit = context;
    const struct fit_peers *pass = fit->peers;
    struct fit_worker *worker = &fit->workers[number];
    struct fit_slot *slot = &fit->slots[slot_number];
    const size_t n_rows = avvik__fit_block_rows(fit, block), stride = pass->stride, step = pass->piece_rows;
    const uint64_t start = avvik__now_ns(), row = block * fit->cut.block_rows;
    avvik__plan_decode(slot->plan, worker->fetcher);
    for (size_t first = 0; first < n_rows; first += step) {
        const size_t n = n_rows - first < step ? n_rows - first : step;
        AVVIK_TRY(avvik__plan_fetch(slot->plan, worker->fetcher, first, n, worker->piece, stride, 0, error));
        const struct deal *deal = avvik__fit_deal(fit, worker, row + first, n);
        if (deal == NULL) {
            atomic_store(&fit->has_changed, 1);
            continue;
        }
        const struct range joint = avvik__fit_joint_range(fit, row + first, n);
        for (size_t f = 0; f < pass->n_features; f++) {
            const float *column = worker->piece + (pass->first_feature + f) * stride;
            fit->kernels.deal(pass->values + f * pass->n_places, column, deal->order, deal->starts, deal->places,
                              pass->n_buckets);
            avvik__fit_search_take(fit, worker, pass->first_feature + f, column, n);
            avvik__fit_joint_take(fit, joint, row + first, pass->first_feature + f, column);
        }
    }
    avvik__fit_stages_take(worker, slot, start);
done:
    return status;
}

/* Memory for numbers and values. Large pages: they are written all over the place. */
static int values_make(struct fit_peers *pass)
{
    const size_t bytes = (pass->features_at_most * sizeof *pass->values + sizeof *pass->numbers) * pass->n_places;
    if (bytes > pass->values_bytes) {
        free(pass->numbers);
        pass->numbers = NULL;
        pass->values_bytes = 0;
        if (posix_memalign((void **)&pass->numbers, HUGE_PAGE, bytes) != 0)
            return 0;
        madvise(pass->numbers, bytes, MADV_HUGEPAGE);
        pass->values_bytes = bytes;
    }
    pass->values = (void *)(pass->numbers + pass->n_places);
    return 1;
}

enum avvik_status avvik__fit_gather_begin(struct fit *fit, uint64_t *bytes, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit_peers *pass = fit->peers;
    const uint64_t column_bytes = pass->n_places * sizeof(float);
    const size_t n_features = fit->model->n_features;
    avvik__fit_deals_free(pass);
    avvik__fit_buckets_make(fit);
    pass->piece_rows = fit->cut.piece_rows;
    pass->is_dealt = 0;
    const uint64_t deals_bytes = avvik__fit_deals_bytes(fit); /* at most: larger pieces need less */
    const int keeps_deals =
        pass->row_groups != NULL && deals_bytes <= *bytes / SHARE_FOR_DEALS && *bytes - deals_bytes >= 2 * column_bytes;
    *bytes -= keeps_deals ? deals_bytes : 0;
    uint64_t fitting = *bytes / column_bytes - 1;
    if (keeps_deals && avvik__source_columns_lie_apart(fit->source) && fitting > PASS_BYTES / column_bytes)
        fitting = PASS_BYTES / column_bytes + (PASS_BYTES < column_bytes);
    const uint64_t n_passes = (n_features + fitting - 1) / fitting;
    pass->features_at_most = (size_t)((n_features + n_passes - 1) / n_passes);
    *bytes -= (pass->features_at_most + 1) * column_bytes;
    const size_t n_keys = pass->row_groups == NULL ? fit->model->peers.n_keys : 0;
    pass->piece_rows = pass->stride;
    while (pass->piece_rows > fit->cut.piece_rows &&
           pass->piece_rows * (pass->features_at_most + n_keys) * sizeof(float) > PIECE_BYTES)
        pass->piece_rows /= 2;
    if (!values_make(pass) || (keeps_deals && !avvik__fit_deals_make(fit)))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
done:
    return status;
}

enum avvik_status avvik__fit_gather(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit_peers *pass = fit->peers;
    memset(fit->is_taking_part, 0, fit->n_columns);
    memset(fit->is_taking_part + pass->first_feature, 1, pass->n_features);
    if (pass->row_groups == NULL)
        memset(fit->is_taking_part + fit->model->n_features, 1, fit->model->peers.n_keys);
    for (uint32_t b = 0; !pass->is_dealt && b < pass->n_buckets; b++)
        atomic_store(&pass->buckets[b].n_taken, 0);
    AVVIK_TRY(avvik__fit_pass(fit, block_gather, error));
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
    avvik__fit_deal_finish(fit);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
done:
    return status;
}

uint64_t avvik__fit_gather_cut(struct fit *fit)
{
    const size_t most = avvik__fit_buckets_at_most(fit);
    const uint64_t block_bytes = (uint64_t)fit->n_columns * fit->cut.block_rows * sizeof(float);
    const int has_room = fit->cut.n_workers * block_bytes <= fit->memory_bytes / SHARE_FOR_PIECES;
    const size_t rows = has_room ? fit->cut.block_rows : fit->cut.piece_rows, more = rows - fit->cut.piece_rows;
    fit->peers->stride = rows;
    const uint64_t worker = more * fit->n_columns * sizeof(float) + rows * (sizeof(uint32_t) + sizeof(uint16_t)) +
                            most * 2 * sizeof(uint32_t);
    return fit->cut.n_workers * worker + most * (sizeof(struct bucket) + sizeof(uint32_t));
}

int avvik__fit_gather_init(struct fit *fit)
{
    struct fit_peers *pass = fit->peers;
    const struct avvik__groups *groups = &fit->model->peers.groups;
    const size_t most = avvik__fit_buckets_at_most(fit);
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
    avvik__fit_deals_free(pass);
    free(pass->numbers);
    free(pass->starts);
    free(pass->n_placed);
    free(pass->bucket_of);
    free(pass->buckets);
    free(pass->large);
}

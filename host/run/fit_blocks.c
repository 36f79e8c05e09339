/* The first pass over all rows: moments and digests of every column, and the rows that the trees grow from. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_peers.h"

size_t avvik__fit_block_rows(const struct fit *fit, uint64_t block)
{
    const uint64_t left = fit->model->n_rows - block * fit->cut.block_rows;
    return left < fit->cut.block_rows ? (size_t)left : fit->cut.block_rows;
}

enum avvik_status avvik__fit_blocks_init(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = fit->model->n_features, rows = fit->cut.block_rows;
    fit->slots = calloc(fit->cut.n_slots, sizeof *fit->slots);
    fit->workers = calloc(fit->cut.n_workers, sizeof *fit->workers);
    if (fit->slots == NULL || fit->workers == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (unsigned i = 0; i < fit->cut.n_slots; i++) {
        struct fit_slot *slot = &fit->slots[i];
        slot->moments = calloc(rows / AVVIK_STATISTICS_ROWS * n_features, sizeof *slot->moments);
        slot->digests = calloc(avvik__input_digest_count(rows, fit->n_columns), sizeof *slot->digests);
        if (slot->moments == NULL || slot->digests == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(avvik__plan_create(fit->source, rows, &slot->plan, error));
    }
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        struct fit_worker *worker = &fit->workers[i];
        worker->piece = avvik__aligned_alloc(fit->cut.piece_rows * fit->n_columns, sizeof *worker->piece);
        worker->drawn = calloc(avvik__fit_lists(fit), sizeof *worker->drawn);
        if (worker->piece == NULL || worker->drawn == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(avvik__fetcher_create(fit->source, &worker->fetcher, error));
    }
done:
    return status;
}

void avvik__fit_blocks_free(struct fit *fit)
{
    for (unsigned i = 0; fit->slots != NULL && i < fit->cut.n_slots; i++) {
        avvik__plan_free(fit->slots[i].plan);
        free(fit->slots[i].moments);
        free(fit->slots[i].digests);
    }
    for (unsigned i = 0; fit->workers != NULL && i < fit->cut.n_workers; i++) {
        avvik__fetcher_free(fit->workers[i].fetcher);
        free(fit->workers[i].piece);
        free(fit->workers[i].drawn);
    }
    free(fit->slots);
    free(fit->workers);
    fit->slots = NULL;
    fit->workers = NULL;
}

enum avvik_status avvik__fit_block_plan(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    const struct fit *fit = context;
    return avvik__plan_rows(fit->slots[slot].plan, block * fit->cut.block_rows, avvik__fit_block_rows(fit, block), 0,
                            error);
}

/* The first of n rows, ascending, that is not before `row`. */
static uint32_t first_not_before(const uint64_t *rows, uint32_t n, uint64_t row)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct range avvik__fit_rows_between(const uint64_t *rows, uint32_t n, uint64_t first, size_t n_rows)
{
    return (struct range){first_not_before(rows, n, first), first_not_before(rows, n, first + n_rows)};
}

size_t avvik__fit_lists(const struct fit *fit)
{
    return (size_t)fit->model->forest.n_trees + 1;
}

struct range avvik__fit_drawn(const struct fit *fit, size_t list, uint64_t first, size_t n_rows)
{
    const uint32_t sample = fit->model->forest.sample, n = list < fit->model->forest.n_trees ? sample : fit->n_held_out;
    const uint64_t *draws = fit->draws + list * sample;
    return avvik__fit_rows_between(draws, n, first, n_rows);
}

void avvik__fit_drawn_find(const struct fit *fit, struct fit_worker *worker, uint64_t first, size_t n_rows)
{
    for (size_t list = 0; list < avvik__fit_lists(fit); list++)
        worker->drawn[list] = avvik__fit_drawn(fit, list, first, n_rows);
}

/* Copy one column of the rows that some list has drawn from this piece to their places. */
static void sample_gather(const struct fit *fit, const struct range *drawn, size_t feature, const float *column,
                          uint64_t first)
{
    const struct avvik__forest *forest = &fit->model->forest;
    for (size_t list = 0; list < avvik__fit_lists(fit); list++) {
        const uint64_t *draws = fit->draws + list * forest->sample;
        float *sample = fit->sample + list * forest->sample * forest->n_features + feature;
        for (uint32_t i = drawn[list].first; i < drawn[list].end; i++) {
            const float x = column[(size_t)(draws[i] - first)];
            sample[(size_t)i * forest->n_features] = !isfinite(x) ? NAN : fabsf(x) < FLT_MIN ? 0 : x;
        }
    }
}

/* A column at a time, so that it is in the cache for all that is wanted of it. `first` is a row of the block. */
static enum avvik_status piece_work(const struct fit *fit, struct fit_worker *worker, struct fit_slot *slot,
                                    uint64_t block_row, size_t first, size_t n_rows, struct avvik_error *error)
{
    const size_t n_features = fit->model->n_features, stride = fit->cut.piece_rows;
    const enum avvik_status status =
        avvik__plan_fetch(slot->plan, worker->fetcher, first, n_rows, worker->piece, stride, 0, error);
    if (status != AVVIK_OK)
        return status;
    avvik__fit_drawn_find(fit, worker, block_row + first, n_rows);
    for (size_t f = 0; f < fit->n_columns; f++) {
        const float *column = worker->piece + f * stride;
        for (size_t i = 0; i < n_rows; i += AVVIK_STATISTICS_ROWS) {
            const size_t n = n_rows - i < AVVIK_STATISTICS_ROWS ? n_rows - i : AVVIK_STATISTICS_ROWS;
            const size_t run = (first + i) / AVVIK_STATISTICS_ROWS;
            if (f < n_features)
                fit->kernels.statistics(&slot->moments[run * n_features + f], column + i, n);
            slot->digests[run * fit->n_columns + f] = avvik__input_digest(column + i, n);
        }
        if (f < n_features)
            sample_gather(fit, worker->drawn, f, column, block_row + first);
    }
    return AVVIK_OK;
}

void avvik__fit_stages_take(struct fit_worker *worker, struct fit_slot *slot, uint64_t start)
{
    struct avvik__fetch_times times;
    avvik__fetcher_times(worker->fetcher, &times);
    slot->stages = (struct avvik_stages){.read_ns = times.read_ns - worker->times.read_ns,
                                         .decode_ns = times.decode_ns - worker->times.decode_ns,
                                         .bytes_read = times.bytes_read - worker->times.bytes_read};
    slot->stages.work_ns = avvik__now_ns() - start - slot->stages.read_ns - slot->stages.decode_ns;
    worker->times = times;
}

void avvik__fit_block_tell(struct fit *fit, const struct fit_slot *slot, uint64_t block)
{
    struct avvik_stages *stages = &fit->summary->stages;
    stages->read_ns += slot->stages.read_ns;
    stages->decode_ns += slot->stages.decode_ns;
    stages->work_ns += slot->stages.work_ns;
    stages->bytes_read += slot->stages.bytes_read;
    if (fit->options->progress == NULL)
        return;
    struct avvik_progress progress = {.rows_done = fit->rows_before + block * fit->cut.block_rows +
                                                   avvik__fit_block_rows(fit, block),
                                      .n_rows = fit->rows_planned,
                                      .rows_resumed = fit->summary->rows_resumed,
                                      .elapsed_ns = avvik__now_ns() - fit->start_ns,
                                      .stages = *stages};
    progress.stages.plan_ns += fit->pipeline.plan_ns;
    fit->options->progress(fit->options->user, &progress);
}

enum avvik_status avvik__fit_block_work(void *context, unsigned number, unsigned slot_number, uint64_t block,
                                        struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit *fit = context;
    struct fit_worker *worker = &fit->workers[number];
    struct fit_slot *slot = &fit->slots[slot_number];
    const size_t n_rows = avvik__fit_block_rows(fit, block), stride = fit->cut.piece_rows;
    const uint64_t start = avvik__now_ns(), row = block * fit->cut.block_rows;
    avvik__plan_decode(slot->plan, worker->fetcher);
    for (size_t first = 0; first < n_rows; first += stride) {
        const size_t n = n_rows - first < stride ? n_rows - first : stride;
        AVVIK_TRY(piece_work(fit, worker, slot, row, first, n, error));
        if (fit->peers != NULL && fit->peers->is_counted)
            AVVIK_TRY(avvik__fit_census_take(fit, number, row + first, n, error));
    }
    avvik__fit_stages_take(worker, slot, start);
done:
    return status;
}

/* Add what a block yielded to the model, in row order. */
static void moments_add(struct fit *fit, const struct fit_slot *slot, size_t n_rows)
{
    const size_t n_features = fit->model->n_features;
    const struct avvik__moments *moments = slot->moments;
    for (size_t i = 0; i < n_rows; i += AVVIK_STATISTICS_ROWS)
        for (size_t f = 0; f < n_features; f++)
            avvik__moments_add(&fit->model->features[f].moments, moments++);
    avvik__input_hash_add(&fit->hash, slot->digests, n_rows, fit->n_columns);
}

enum avvik_status avvik__fit_block_add(void *context, unsigned slot_number, uint64_t block, struct avvik_error *error)
{
    struct fit *fit = context;
    const struct fit_slot *slot = &fit->slots[slot_number];
    const size_t n_rows = avvik__fit_block_rows(fit, block);
    moments_add(fit, slot, n_rows);
    if (fit->journal != NULL) {
        const enum avvik_status status = avvik__fit_journal_add(fit, block, error);
        if (status != AVVIK_OK)
            return status;
        avvik__journal_checkpoint(fit->journal, -1, 0);
    }
    avvik__fit_block_tell(fit, slot, block);
    return AVVIK_OK;
}

static enum avvik_status block_done(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    struct fit *fit = context;
    (void)error;
    avvik__fit_block_tell(fit, &fit->slots[slot], block);
    return AVVIK_OK;
}

enum avvik_status avvik__fit_pass(struct fit *fit, avvik__work_fn *work, struct avvik_error *error)
{
    if (fit->rows_planned < fit->rows_before + fit->model->n_rows)
        fit->rows_planned = fit->rows_before + fit->model->n_rows;
    fit->pipeline.first_block = 0;
    fit->pipeline.work = work;
    fit->pipeline.write = block_done;
    for (unsigned i = 0; i < fit->cut.n_slots; i++)
        avvik__plan_want(fit->slots[i].plan, fit->is_taking_part);
    const enum avvik_status status = avvik__pipeline_run(&fit->pipeline, error);
    fit->summary->stages.plan_ns += fit->pipeline.plan_ns;
    fit->summary->stages.write_ns += fit->pipeline.write_ns;
    fit->pipeline.plan_ns = fit->pipeline.write_ns = 0;
    fit->summary->passes++;
    fit->rows_before += fit->model->n_rows;
    return status;
}

static enum avvik_status block_pieces(void *context, unsigned number, unsigned slot_number, uint64_t block,
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
        AVVIK_TRY(fit->take_piece(fit, number, block * fit->cut.block_rows + first, n, error));
    }
    avvik__fit_stages_take(worker, slot, start);
done:
    return status;
}

enum avvik_status avvik__fit_piece_pass(struct fit *fit, avvik__piece_fn *take, struct avvik_error *error)
{
    fit->take_piece = take;
    return avvik__fit_pass(fit, block_pieces, error);
}

enum avvik_status avvik__fit_pass_check(const struct fit *fit, struct avvik_error *error)
{
    if (atomic_load(&fit->is_short))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    if (atomic_load(&fit->has_changed))
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                "%s: the rows have changed while they were read; fit again when nobody writes",
                                avvik_source_path(fit->source, 0));
    return AVVIK_OK;
}

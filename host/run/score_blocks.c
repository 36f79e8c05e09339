/* A block's way through scoring: planned, then fetched, scored and hashed a piece at a time, then written. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "kernel_types.h"
#include "score_internal.h"

/* What a worker scores between two looks at the stop flag: a fraction of a second even in plain C. */
#define MAX_WALKS ((size_t)16 << 20) /* rows x trees */
#define MIN_STEP_ROWS 1024

const struct score_column avvik__score_columns[N_COLUMNS] = {
    {"/scores/path_sum", AVVIK_I32, 4},   {"/scores/forest", AVVIK_F32, 4},
    {"/scores/deviation", AVVIK_F32, 4},  {"/scores/deviation_feature", AVVIK_U16, 2},
    {"/scores/beyond", AVVIK_U16, 2},     {"/scores/missing", AVVIK_U16, 2},
    {"/scores/joint", AVVIK_F32, 4},      {"/scores/peer_group", AVVIK_U32, 4},
    {"/scores/peer_level", AVVIK_U16, 2}, {"/scores/tails", AVVIK_I32, 4}};

size_t avvik__score_block_rows(const struct score_run *run, uint64_t block)
{
    const uint64_t left = run->n_rows - block * run->cut.block_rows;
    return left < run->cut.block_rows ? (size_t)left : run->cut.block_rows;
}

static enum avvik_status worker_init(struct score_run *run, struct score_worker *worker, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = run->model->n_features;
    worker->piece = avvik__aligned_alloc(run->cut.piece_rows * run->n_inputs, sizeof *worker->piece);
    worker->counts = calloc(2 * n_features, sizeof *worker->counts);
    if (worker->piece == NULL || worker->counts == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (run->options->compress > 0 && (worker->encoder = avvik__encoder_create((int)run->options->compress)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__fetcher_create(run->source, &worker->fetcher, error));
    AVVIK_TRY(avvik_worker_create(run->engine, run->cut.piece_rows, &worker->engine, error));
done:
    return status;
}

enum avvik_status avvik__score_blocks_init(struct score_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t rows = run->cut.block_rows;
    run->blocks = calloc(run->cut.n_slots, sizeof *run->blocks);
    run->workers = calloc(run->cut.n_workers, sizeof *run->workers);
    if (run->blocks == NULL || run->workers == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (unsigned slot = 0; slot < run->cut.n_slots; slot++) {
        struct block *block = &run->blocks[slot];
        AVVIK_TRY(avvik__plan_create(run->source, rows, &block->plan, error));
        for (int c = 0; c < N_COLUMNS; c++) {
            if (!run->has_column[c])
                continue;
            const size_t size = avvik__score_columns[c].size;
            if ((block->results[c] = avvik__aligned_alloc(rows, size)) == NULL ||
                (run->options->compress > 0 &&
                 (block->encoded[c] = malloc(avvik__encoded_bytes_max(rows * size))) == NULL))
                AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for blocks of %zu rows", rows);
        }
        if ((block->digests = calloc(avvik__input_digest_count(rows, run->n_inputs), sizeof *block->digests)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for blocks of %zu rows", rows);
    }
    for (unsigned i = 0; i < run->cut.n_workers; i++)
        AVVIK_TRY(worker_init(run, &run->workers[i], error));
done:
    return status;
}

void avvik__score_blocks_free(struct score_run *run)
{
    for (unsigned slot = 0; run->blocks != NULL && slot < run->cut.n_slots; slot++) {
        avvik__plan_free(run->blocks[slot].plan);
        free(run->blocks[slot].digests);
        for (int c = 0; c < N_COLUMNS; c++) {
            free(run->blocks[slot].results[c]);
            free(run->blocks[slot].encoded[c]);
        }
    }
    for (unsigned i = 0; run->workers != NULL && i < run->cut.n_workers; i++) {
        avvik_worker_free(run->workers[i].engine);
        avvik__fetcher_free(run->workers[i].fetcher);
        avvik__encoder_free(run->workers[i].encoder);
        free(run->workers[i].piece);
        free(run->workers[i].counts);
    }
    free(run->blocks);
    free(run->workers);
    run->blocks = NULL;
    run->workers = NULL;
}

enum avvik_status avvik__score_block_plan(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    const struct score_run *run = context;
    return avvik__plan_rows(run->blocks[slot].plan, block * run->cut.block_rows, avvik__score_block_rows(run, block),
                            run->options->skip_damaged, error);
}

/* Score a fetched piece, with a look at the stop flag every now and then: a large forest on the scalar backend takes
 * long. */
static enum avvik_status rows_score(const struct score_run *run, struct score_worker *worker, struct block *block,
                                    size_t first, size_t n, struct avvik_error *error)
{
    const size_t n_features = run->model->n_features, fitting = MAX_WALKS / run->model->forest.n_trees;
    const uint32_t *groups = block->results[PEER_GROUP];
    int32_t *tails = block->results[TAILS];
    const size_t step = fitting < MIN_STEP_ROWS ? MIN_STEP_ROWS : fitting;
    for (size_t i = 0; i < n; i += step) {
        const struct avvik_rows rows = {worker->piece + i, n - i < step ? n - i : step, 1, run->cut.piece_rows,
                                        groups == NULL ? NULL : groups + first + i};
        const struct avvik_scores scores = {(int32_t *)block->results[PATH_SUM] + first + i,
                                            (float *)block->results[DEVIATION] + first + i,
                                            (uint16_t *)block->results[DEVIATION_FEATURE] + first + i,
                                            (uint16_t *)block->results[BEYOND] + first + i,
                                            (uint16_t *)block->results[MISSING] + first + i,
                                            worker->counts,
                                            worker->counts + n_features,
                                            (float *)block->results[JOINT] + first + i,
                                            tails == NULL ? NULL : tails + first + i};
        if (avvik__is_stopped(run->options->stop))
            return avvik__error_set(error, AVVIK_INTERRUPTED, 0, "interrupted");
        const enum avvik_status status = avvik_worker_score(worker->engine, &rows, &scores, error);
        if (status != AVVIK_OK)
            return status;
    }
    return AVVIK_OK;
}

/* Whom each row is compared with. Those that fall back to a group further out, or to everyone, are counted: a key is
 * missing, or there is no such group in the model, or one too small. */
static void groups_find(const struct score_run *run, const struct score_worker *worker, struct block *block,
                        size_t first, size_t n)
{
    const struct avvik__peers *peers = &run->model->peers;
    const size_t stride = run->cut.piece_rows;
    const float *keys = worker->piece + run->model->n_features * stride;
    uint32_t *groups = (uint32_t *)block->results[PEER_GROUP] + first;
    uint16_t *levels = (uint16_t *)block->results[PEER_LEVEL] + first;
    for (size_t i = 0; i < n; i++) {
        groups[i] = avvik__groups_of_row(&peers->groups, keys + i, stride, peers->n_keys);
        levels[i] = peers->groups.level[groups[i]];
        if (levels[i] == peers->n_keys)
            continue;
        block->totals.rows_without_key += isnan(keys[levels[i] * stride + i]) ? 1u : 0u;
        block->totals.rows_without_group += isnan(keys[levels[i] * stride + i]) ? 0u : 1u;
    }
}

/* Rows [first, first + n) of a block: from the file to their results. */
static enum avvik_status piece_score(const struct score_run *run, struct score_worker *worker, struct block *block,
                                     uint64_t first_of_block, size_t first, size_t n, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t stride = run->cut.piece_rows;
    XXH128_canonical_t *digest = block->digests + avvik__input_digest_count(first, run->n_inputs);
    const int32_t *path_sum = (const int32_t *)block->results[PATH_SUM] + first;
    float *forest = (float *)block->results[FOREST] + first;
    AVVIK_TRY(avvik__plan_fetch(block->plan, worker->fetcher, first, n, worker->piece, stride,
                                run->options->skip_damaged, error));
    for (size_t i = 0; i < n; i += AVVIK_HASH_ROWS)
        for (size_t f = 0; f < run->n_inputs; f++)
            *digest++ =
                avvik__input_digest(worker->piece + f * stride + i, n - i < AVVIK_HASH_ROWS ? n - i : AVVIK_HASH_ROWS);
    avvik__score_outline_keep(run, worker, first_of_block + first, n);
    if (run->model->peers.n_keys > 0)
        groups_find(run, worker, block, first, n);
    AVVIK_TRY(rows_score(run, worker, block, first, n, error));
    for (size_t i = 0; i < n; i++)
        forest[i] = avvik__score_lookup(&run->table, path_sum[i]);
done:
    return status;
}

/* Rows of which some column could not be read have no score. */
static void rows_remove(struct block *block, uint64_t first_row)
{
    size_t n;
    const struct avvik__damage *damage = avvik__plan_damage(block->plan, &n);
    for (size_t k = 0; k < n; k++)
        for (size_t i = (size_t)(damage[k].first - first_row); i < damage[k].first - first_row + damage[k].n_rows;
             i++) {
            float *forest = (float *)block->results[FOREST] + i;
            block->totals.rows_absent += isnan(*forest) ? 0 : 1;
            *forest = NAN;
            ((int32_t *)block->results[PATH_SUM])[i] = INT32_MAX;
            ((uint16_t *)block->results[MISSING])[i] = AVVIK_ABSENT;
            ((float *)block->results[DEVIATION])[i] = NAN;
            ((float *)block->results[JOINT])[i] = NAN;
            if (block->results[TAILS] != NULL)
                ((int32_t *)block->results[TAILS])[i] = -1;
            ((uint16_t *)block->results[DEVIATION_FEATURE])[i] = AVVIK_ABSENT;
            ((uint16_t *)block->results[BEYOND])[i] = 0;
            if (block->results[PEER_GROUP] != NULL) {
                ((uint32_t *)block->results[PEER_GROUP])[i] = AVVIK_NO_GROUP;
                ((uint16_t *)block->results[PEER_LEVEL])[i] = AVVIK_ABSENT;
            }
        }
}

static enum avvik_status block_encode(const struct score_run *run, const struct score_worker *worker,
                                      struct block *block, size_t n_rows, struct avvik_error *error)
{
    const uint64_t start = avvik__now_ns();
    for (int c = 0; c < N_COLUMNS && worker->encoder != NULL; c++) {
        if (!run->has_column[c])
            continue;
        block->encoded_bytes[c] = avvik__chunk_encode(worker->encoder, block->results[c], n_rows, run->chunk_rows,
                                                      avvik__score_columns[c].size, block->encoded[c]);
        if (block->encoded_bytes[c] == 0)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    block->stages.compress_ns = worker->encoder == NULL ? 0 : avvik__now_ns() - start;
    return AVVIK_OK;
}

enum avvik_status avvik__score_block_work(void *context, unsigned number, unsigned slot, uint64_t number_of_block,
                                          struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct score_run *run = context;
    struct score_worker *worker = &run->workers[number];
    struct block *block = &run->blocks[slot];
    const size_t n_rows = avvik__score_block_rows(run, number_of_block), n_features = run->model->n_features;
    const uint64_t start = avvik__now_ns(), first_row = number_of_block * run->cut.block_rows;
    const uint16_t *missing = block->results[MISSING];
    struct avvik__fetch_times times;
    block->totals = (struct block_totals){0};
    block->stages = (struct avvik_stages){0};
    memset(worker->counts, 0, 2 * n_features * sizeof *worker->counts);
    avvik__plan_decode(block->plan, worker->fetcher);
    for (size_t first = 0; first < n_rows; first += run->cut.piece_rows)
        AVVIK_TRY(piece_score(run, worker, block, first_row, first,
                              n_rows - first < run->cut.piece_rows ? n_rows - first : run->cut.piece_rows, error));
    for (size_t f = 0; f < n_features; f++) {
        block->totals.values_missing += worker->counts[f];
        block->totals.values_infinite += worker->counts[n_features + f];
    }
    rows_remove(block, first_row);
    const struct looked_at *at = &run->looked_at;
    for (uint32_t i = avvik__score_outline_place(run, first_row); i < at->n && at->rows[i] < first_row + n_rows; i++)
        at->is_there[i] = (uint8_t)!isnan(((const float *)block->results[FOREST])[at->rows[i] - first_row]);
    for (size_t i = 0; i < n_rows; i++)
        block->totals.rows_with_missing +=
            (uint64_t)(missing[i] > 0 && !isnan(((const float *)block->results[FOREST])[i]));
    AVVIK_TRY(block_encode(run, worker, block, n_rows, error));
    avvik__fetcher_times(worker->fetcher, &times);
    block->stages.read_ns = times.read_ns - worker->times.read_ns;
    block->stages.decode_ns = times.decode_ns - worker->times.decode_ns;
    block->stages.bytes_read = times.bytes_read - worker->times.bytes_read;
    block->stages.work_ns =
        avvik__now_ns() - start - block->stages.read_ns - block->stages.decode_ns - block->stages.compress_ns;
    worker->times = times;
done:
    return status;
}

enum avvik_status avvik__score_absent_add(struct score_run *run, const struct absent *absent, struct avvik_error *error)
{
    for (size_t i = run->n_absent; i-- > 0 && run->absent[i].first + run->absent[i].n_rows >= absent->first;) {
        struct absent *before = &run->absent[i];
        if (before->feature == absent->feature && before->first + before->n_rows == absent->first &&
            strcmp(before->reason, absent->reason) == 0) {
            before->n_rows += absent->n_rows;
            return AVVIK_OK;
        }
    }
    if (run->n_absent == run->absent_capacity) {
        const size_t capacity = run->absent_capacity == 0 ? 64 : 2 * run->absent_capacity;
        void *larger = realloc(run->absent, capacity * sizeof *run->absent);
        if (larger == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        run->absent = larger;
        run->absent_capacity = capacity;
    }
    run->absent[run->n_absent++] = *absent;
    return AVVIK_OK;
}

static void progress_tell(struct score_run *run, uint64_t rows_done)
{
    struct avvik_progress progress = {.rows_done = rows_done,
                                      .n_rows = run->n_rows,
                                      .rows_resumed = run->summary->rows_resumed,
                                      .elapsed_ns = avvik__now_ns() - run->start_ns,
                                      .stages = run->summary->stages};
    progress.stages.plan_ns = run->pipeline.plan_ns;
    progress.stages.write_ns = run->pipeline.write_ns;
    run->options->progress(run->options->user, &progress);
}

enum avvik_status avvik__score_block_write(void *context, unsigned slot, uint64_t number, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct score_run *run = context;
    const struct block *block = &run->blocks[slot];
    const size_t n_rows = avvik__score_block_rows(run, number);
    struct avvik_stages *stages = &run->summary->stages;
    size_t n_damage;
    const struct avvik__damage *damage = avvik__plan_damage(block->plan, &n_damage);
    for (int c = 0; c < N_COLUMNS; c++)
        if (run->has_column[c])
            AVVIK_TRY(avvik__record_column_write(run->columns[c], block->results[c], n_rows, block->encoded[c],
                                                 block->encoded_bytes[c], error));
    avvik__input_hash_add(&run->hash, block->digests, n_rows, run->n_inputs);
    for (size_t i = 0; i < n_damage; i++) {
        struct absent absent = {.first = damage[i].first, .n_rows = damage[i].n_rows, .feature = damage[i].feature};
        snprintf(absent.reason, sizeof absent.reason, "%s", damage[i].reason);
        AVVIK_TRY(avvik__score_absent_add(run, &absent, error));
    }
    run->summary->rows_with_missing += block->totals.rows_with_missing;
    run->summary->values_missing += block->totals.values_missing;
    run->summary->values_infinite += block->totals.values_infinite;
    run->summary->rows_absent += block->totals.rows_absent;
    run->summary->rows_without_key += block->totals.rows_without_key;
    run->summary->rows_without_group += block->totals.rows_without_group;
    stages->read_ns += block->stages.read_ns;
    stages->decode_ns += block->stages.decode_ns;
    stages->work_ns += block->stages.work_ns;
    stages->compress_ns += block->stages.compress_ns;
    stages->bytes_read += block->stages.bytes_read;
    AVVIK_TRY(avvik__score_journal_add(run, number, block, error));
    const int sync_errno = avvik__journal_checkpoint(run->journal, avvik__record_descriptor(run->record), 0);
    if (sync_errno != 0)
        AVVIK_TRY(avvik__record_sync_failed(run->record, sync_errno, error));
    if (run->options->progress != NULL)
        progress_tell(run, number * run->cut.block_rows + n_rows);
done:
    return status;
}

/* Scoring: read, score, write, with memory for a handful of blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/score.h"
#include "avvik_internal.h"
#include "block_pipeline.h"
#include "input_hash.h"
#include "kernel_types.h"
#include "model_internal.h"
#include "record_file.h"

/* A piece of a block is what a worker scores between two looks at the stop flag: under a second even in plain C. */
#define MAX_PIECE_WALKS ((size_t)32 << 20) /* rows x trees */
#define MIN_PIECE_ROWS 1024

/* The columns of /scores, in the order of struct block. */
enum { PATH_SUM, FOREST, DEVIATION, DEVIATION_FEATURE, BEYOND, MISSING, N_COLUMNS };
static const struct {
    const char *path;
    enum avvik__type type;
    size_t size;
} columns[N_COLUMNS] = {{"/scores/path_sum", AVVIK_I32, 4},  {"/scores/forest", AVVIK_F32, 4},
                        {"/scores/deviation", AVVIK_F32, 4}, {"/scores/deviation_feature", AVVIK_U16, 2},
                        {"/scores/beyond", AVVIK_U16, 2},    {"/scores/missing", AVVIK_U16, 2}};

struct block {
    float *values; /* [feature][block_rows] */
    void *results[N_COLUMNS];
    XXH128_hash_t *digests;
};

struct run {
    const struct avvik_model *model;
    struct avvik_source *source;
    struct avvik_worker *workers[AVVIK_MAX_WORKERS];
    uint64_t *counts; /* [worker][2][feature]: missing, infinite */
    struct block *blocks;
    size_t block_rows;
    size_t piece_rows; /* rows between two looks at the stop flag */
    uint64_t n_rows;
    struct avvik__record *record;
    struct avvik__record_column *columns[N_COLUMNS];
    XXH3_state_t *hash;
    const struct avvik_score_options *options;
    struct avvik_score_summary *summary;
};

static size_t rows_of_block(const struct run *run, uint64_t block)
{
    const uint64_t left = run->n_rows - block * run->block_rows;
    return left < run->block_rows ? (size_t)left : run->block_rows;
}

static enum avvik_status block_read(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    const struct run *run = context;
    return avvik_source_read(run->source, block * run->block_rows, rows_of_block(run, block), run->blocks[slot].values,
                             run->block_rows, error);
}

static enum avvik_status block_score(void *context, unsigned worker, unsigned slot, uint64_t number,
                                     struct avvik_error *error)
{
    const struct run *run = context;
    const struct block *block = &run->blocks[slot];
    const size_t n_rows = rows_of_block(run, number), n_features = run->model->n_features;
    uint64_t *counts = run->counts + 2 * worker * n_features;
    const size_t piece = run->piece_rows;
    int32_t *path_sum = block->results[PATH_SUM];
    float *forest = block->results[FOREST];
    for (size_t first = 0; first < n_rows; first += piece) {
        const struct avvik_rows rows = {block->values + first, n_rows - first < piece ? n_rows - first : piece, 1,
                                        run->block_rows};
        const struct avvik_scores scores = {path_sum + first,
                                            (float *)block->results[DEVIATION] + first,
                                            (uint16_t *)block->results[DEVIATION_FEATURE] + first,
                                            (uint16_t *)block->results[BEYOND] + first,
                                            (uint16_t *)block->results[MISSING] + first,
                                            counts,
                                            counts + n_features};
        if (run->options->stop != NULL && *run->options->stop)
            return avvik__error_set(error, AVVIK_INTERRUPTED, 0, "interrupted");
        const enum avvik_status status = avvik_worker_score(run->workers[worker], &rows, &scores, error);
        if (status != AVVIK_OK)
            return status;
    }
    XXH128_hash_t *digest = block->digests;
    for (size_t first = 0; first < n_rows; first += AVVIK_HASH_ROWS)
        for (size_t f = 0; f < n_features; f++)
            *digest++ = avvik__input_digest(block->values + f * run->block_rows + first,
                                            n_rows - first < AVVIK_HASH_ROWS ? n_rows - first : AVVIK_HASH_ROWS);
    for (size_t i = 0; i < n_rows; i++)
        forest[i] = avvik_forest_score(run->model, path_sum[i]);
    return AVVIK_OK;
}

static enum avvik_status block_write(void *context, unsigned slot, uint64_t number, struct avvik_error *error)
{
    struct run *run = context;
    const struct block *block = &run->blocks[slot];
    const size_t n_rows = rows_of_block(run, number);
    const uint16_t *missing = block->results[MISSING];
    enum avvik_status status = AVVIK_OK;
    for (int c = 0; c < N_COLUMNS; c++)
        AVVIK_TRY(avvik__record_column_write(run->columns[c], block->results[c], n_rows, error));
    avvik__input_hash_add(run->hash, block->digests, n_rows, run->model->n_features);
    for (size_t i = 0; i < n_rows; i++)
        run->summary->rows_with_missing += missing[i] > 0;
    if (run->options->progress != NULL)
        run->options->progress(run->options->user, number * run->block_rows + n_rows, run->n_rows);
done:
    return status;
}

static enum avvik_status blocks_init(struct run *run, unsigned n_slots, struct avvik_error *error)
{
    if ((run->blocks = calloc(n_slots, sizeof *run->blocks)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (unsigned slot = 0; slot < n_slots; slot++) {
        struct block *block = &run->blocks[slot];
        int is_short = (block->values = avvik__aligned_alloc(run->block_rows * run->model->n_features,
                                                             sizeof *block->values)) == NULL;
        for (int c = 0; c < N_COLUMNS; c++)
            is_short |= (block->results[c] = avvik__aligned_alloc(run->block_rows, columns[c].size)) == NULL;
        block->digests =
            calloc(avvik__input_digest_count(run->block_rows, run->model->n_features), sizeof *block->digests);
        if (is_short || block->digests == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "not enough memory for blocks of %zu rows",
                                    run->block_rows);
    }
    return AVVIK_OK;
}

static void blocks_free(struct run *run, unsigned n_slots)
{
    for (unsigned slot = 0; run->blocks != NULL && slot < n_slots; slot++) {
        free(run->blocks[slot].values);
        free(run->blocks[slot].digests);
        for (int c = 0; c < N_COLUMNS; c++)
            free(run->blocks[slot].results[c]);
    }
    free(run->blocks);
}

/* Everything that does not depend on the rows: where they came from, and by what they were scored. */
static enum avvik_status provenance_put(struct run *run, const struct avvik_engine *engine, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_files = avvik_source_n_files(run->source);
    size_t longest = 1;
    char *names = NULL;
    uint64_t *offsets = calloc(n_files, sizeof *offsets);
    const char *base[2] = {"/run", "/features"};
    for (size_t i = 0; i < n_files; i++)
        longest =
            strlen(avvik_source_path(run->source, i)) > longest ? strlen(avvik_source_path(run->source, i)) : longest;
    if (offsets == NULL || (names = calloc(n_files, longest)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < n_files; i++) {
        memcpy(names + i * longest, avvik_source_path(run->source, i), strlen(avvik_source_path(run->source, i)));
        offsets[i] = i == 0 ? 0 : offsets[i - 1] + avvik_source_file_rows(run->source, i - 1);
    }
    for (int i = 0; i < 2; i++)
        AVVIK_TRY(avvik__record_group(run->record, base[i], error));
    const uint64_t dims[2] = {n_files, longest};
    AVVIK_TRY(avvik__record_put(run->record, "/run/input", AVVIK_TEXT, 1, dims, names, error));
    AVVIK_TRY(avvik__record_put(run->record, "/run/input_offset", AVVIK_U64, 1, dims, offsets, error));
    free(names);
    longest = 1;
    for (uint32_t f = 0; f < run->model->n_features; f++)
        longest = strlen(run->model->features[f].name) > longest ? strlen(run->model->features[f].name) : longest;
    if ((names = calloc(run->model->n_features, longest)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < run->model->n_features; f++)
        memcpy(names + f * longest, run->model->features[f].name, strlen(run->model->features[f].name));
    const uint64_t feature_dims[2] = {run->model->n_features, longest};
    AVVIK_TRY(avvik__record_put(run->record, "/features/name", AVVIK_TEXT, 1, feature_dims, names, error));
    AVVIK_TRY(avvik__record_put_text(run->record, "/run", "table", avvik_source_table(run->source), 1, error));
    AVVIK_TRY(avvik__record_put_text(run->record, "/run", "model_hash", run->model->content_hash, 1, error));
    AVVIK_TRY(avvik__record_put_u64(run->record, "/run", "rows", run->n_rows, 1, error));
    AVVIK_TRY(avvik__record_put_u64(run->record, "/run", "trees", run->model->forest.n_trees, 1, error));
    AVVIK_TRY(avvik__record_put_u64(run->record, "/run", "sample", run->model->forest.sample, 1, error));
    AVVIK_TRY(avvik__record_put_u64(run->record, "/run", "seed", run->model->seed, 1, error));
    AVVIK_TRY(avvik__record_put_text(run->record, "/run", "backend", avvik_engine_backend(engine), 0, error));
    AVVIK_TRY(avvik__record_put_text(run->record, "/run", "device", avvik_engine_device(engine), 0, error));
done:
    free(names);
    free(offsets);
    return status;
}

static enum avvik_status features_compare(const struct avvik_model *model, const struct avvik_source *source,
                                          struct avvik_error *error)
{
    if (avvik_source_n_features(source) != model->n_features)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "the model has %u features, the source %zu",
                                model->n_features, avvik_source_n_features(source));
    for (uint32_t f = 0; f < model->n_features; f++)
        if (strcmp(model->features[f].name, avvik_source_feature(source, f)) != 0)
            return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "feature %u is '%s' in the model and '%s' in the source",
                                    f, model->features[f].name, avvik_source_feature(source, f));
    return AVVIK_OK;
}

enum avvik_status avvik_score_file(const struct avvik_model *model, struct avvik_engine *engine,
                                   struct avvik_source *source, const char *path,
                                   const struct avvik_score_options *options, struct avvik_score_summary *summary_out,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const unsigned n_threads = avvik__worker_count(options->threads), n_slots = n_threads + 2;
    const uint64_t start = avvik__now_ns();
    char input_hash[AVVIK_HASH_SIZE];
    struct run run = {.model = model,
                      .source = source,
                      .options = options,
                      .summary = summary_out,
                      .n_rows = avvik_source_n_rows(source)};
    *summary_out = (struct avvik_score_summary){.n_rows = run.n_rows, .threads = n_threads};
    AVVIK_TRY(features_compare(model, source, error));
    run.block_rows = avvik__block_rows(run.n_rows, model->n_features, n_threads);
    run.piece_rows = run.block_rows;
    while (run.piece_rows > MIN_PIECE_ROWS && run.piece_rows * model->forest.n_trees > MAX_PIECE_WALKS)
        run.piece_rows /= 2;
    AVVIK_TRY(blocks_init(&run, n_slots, error));
    run.counts = calloc(2 * (size_t)n_threads * model->n_features, sizeof *run.counts);
    run.hash = avvik__input_hash_new();
    if (run.counts == NULL || run.hash == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__record_create(path, "scores", options->replace, &run.record, error));
    for (unsigned i = 0; i < n_threads; i++)
        AVVIK_TRY(avvik_worker_create(engine, run.block_rows, &run.workers[i], error));
    AVVIK_TRY(provenance_put(&run, engine, error));
    AVVIK_TRY(avvik__record_group(run.record, "/scores", error));
    for (int c = 0; c < N_COLUMNS; c++)
        AVVIK_TRY(avvik__record_column_create(run.record, columns[c].path, columns[c].type, run.n_rows, &run.columns[c],
                                              error));
    struct avvik__pipeline pipeline = {.n_blocks = (run.n_rows + run.block_rows - 1) / run.block_rows,
                                       .n_workers = n_threads,
                                       .n_slots = n_slots,
                                       .context = &run,
                                       .read = block_read,
                                       .work = block_score,
                                       .write = block_write,
                                       .stop = options->stop};
    AVVIK_TRY(avvik__pipeline_run(&pipeline, error));
    avvik__input_hash_text(run.hash, input_hash);
    AVVIK_TRY(avvik__record_put_text(run.record, "/run", "input_hash", input_hash, 1, error));
    status = avvik__record_commit(run.record, error);
    run.record = NULL;
    if (status != AVVIK_OK)
        goto done;
    for (size_t i = 0; i < (size_t)n_threads * model->n_features; i++) {
        const size_t worker = i / model->n_features, f = i % model->n_features;
        summary_out->values_missing += run.counts[2 * worker * model->n_features + f];
        summary_out->values_infinite += run.counts[(2 * worker + 1) * model->n_features + f];
    }
    summary_out->read_ns = pipeline.read_ns;
    summary_out->work_ns = pipeline.work_ns;
    summary_out->write_ns = pipeline.write_ns;
    summary_out->elapsed_ns = avvik__now_ns() - start;
done:
    avvik__record_close(run.record);
    for (unsigned i = 0; i < n_threads; i++)
        avvik_worker_free(run.workers[i]);
    blocks_free(&run, n_slots);
    XXH3_freeState(run.hash);
    free(run.counts);
    return status;
}

/* The course of a scoring run: begin or resume, stream, commit or leave what can be resumed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "score_internal.h"

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
    if (avvik_source_n_keys(source) != model->peers.n_keys)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "the model groups rows by %u columns, the source by %zu",
                                model->peers.n_keys, avvik_source_n_keys(source));
    for (uint32_t k = 0; k < model->peers.n_keys; k++)
        if (strcmp(model->peers.keys[k], avvik_source_key(source, k)) != 0)
            return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "key %u is '%s' in the model and '%s' in the source", k,
                                    model->peers.keys[k], avvik_source_key(source, k));
    return AVVIK_OK;
}

static enum avvik_status rows_cut(struct score_run *run, struct avvik_error *error)
{
    struct avvik_engine_faults faults;
    const struct avvik_score_options *options = run->options;
    avvik_engine_faults(run->engine, &faults);
    const size_t n_features = run->model->n_features;
    const size_t piece_row_bytes = faults.n_devices > 0 ? n_features * sizeof(float) : 0; /* a device's own copy */
    const size_t row_bytes = SCORE_ROW_BYTES + (run->has_column[TAILS] ? SCORE_TAILS_BYTES : 0);
    const struct avvik__needs needs = {
        .threads = options->threads,
        .memory_bytes = options->memory_bytes,
        .slot_row_bytes = row_bytes * (options->compress > 0 ? 2 : 1) +
                          run->n_inputs * sizeof(XXH128_canonical_t) / AVVIK_HASH_ROWS + 1,
        .worker_bytes = (options->compress > 0 ? (size_t)2 << 20 : (size_t)128 << 10) + 65536 * piece_row_bytes,
        .fixed_bytes = (size_t)8 << 20,
        .has_whole_blocks = faults.n_devices > 0 && !faults.is_device_off};
    if (options->compress > 9)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a compression level of %u is outside 0 to 9",
                                options->compress);
    const enum avvik_status status = avvik__rows_cut(run->source, &needs, &run->cut, error);
    run->chunk_rows = run->n_rows < run->cut.block_rows ? (size_t)run->n_rows : run->cut.block_rows;
    run->summary->stages.threads = run->cut.n_workers;
    run->summary->memory_bytes = run->cut.bytes;
    return status;
}

/* Open journal and output, and take over what an earlier run has done. */
static enum avvik_status run_begin(struct score_run *run, const char *path, uint64_t *first_block_out,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_score_options *options = run->options;
    const uint64_t interval_ms = options->checkpoint_ms == 0 ? AVVIK_CHECKPOINT_DEFAULT_MS : options->checkpoint_ms;
    const size_t length = strlen(path) + sizeof ".journal";
    char *journal_path = malloc(length), *identity = avvik__score_identity(run), created[64] = "";
    if (journal_path == NULL || identity == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    snprintf(journal_path, length, "%s.journal", path);
    avvik__record_now(created);
    AVVIK_TRY(avvik__journal_open(journal_path, identity, options->resume, created, interval_ms * 1000000u,
                                  &run->journal, error));
    if (avvik__journal_has_checkpoint(run->journal))
        AVVIK_TRY(avvik__record_resume(path, "scores", options->replace, created, &run->record, error));
    else
        AVVIK_TRY(avvik__record_create(path, "scores", options->replace, &run->record, error));
    AVVIK_TRY(avvik__score_output_begin(run, error));
    AVVIK_TRY(avvik__score_replay(run, first_block_out, error));
done:
    free(journal_path);
    free(identity);
    return status;
}

/* What is left behind: after a mistake nothing, after an interrupt or on a full disk what can be resumed. A run that
 * may not write its output leaves what it found. */
static void run_end(struct score_run *run, enum avvik_status status, struct avvik_error *error)
{
    struct avvik__journal_report report = {0};
    const int may_resume = status == AVVIK_INTERRUPTED || status == AVVIK_ERR_IO || status == AVVIK_ERR_MEMORY;
    if (status == AVVIK_INTERRUPTED && run->record != NULL && run->journal != NULL)
        avvik__journal_checkpoint(run->journal, avvik__record_descriptor(run->record), 1);
    const int is_kept = (may_resume || status == AVVIK_ERR_EXISTS) && run->journal != NULL &&
                        avvik__journal_has_checkpoint(run->journal);
    if (is_kept)
        avvik__record_leave(run->record);
    else
        avvik__record_close(run->record);
    run->record = NULL;
    avvik__journal_close(run->journal, is_kept, &report);
    run->journal = NULL;
    run->summary->checkpoints += report.checkpoints;
    run->summary->stages.checkpoint_ns += report.checkpoint_ns;
    memcpy(run->summary->no_checkpoints, report.failure, sizeof report.failure);
    if (is_kept && may_resume && error != NULL && strlen(error->text) + 64 < sizeof error->text)
        strcat(error->text, "; what is done is kept, and --resume goes on from there");
}

/* A run that was killed after its output was in place has left its journal. */
static void leftover_remove(const char *path)
{
    const size_t length = strlen(path) + sizeof ".journal";
    char *journal = malloc(length);
    if (journal == NULL)
        return;
    snprintf(journal, length, "%s.journal", path);
    avvik__leftover_remove(journal);
    free(journal);
}

/* One run from beginning to end. On success everything is committed. */
static enum avvik_status run_once(struct score_run *run, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    AVVIK_TRY(rows_cut(run, error));
    AVVIK_TRY(avvik__score_blocks_init(run, error));
    AVVIK_TRY(avvik__score_outline_init(run, error));
    if (!avvik__score_table_init(&run->table, &run->model->forest))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    run->pipeline = (struct avvik__pipeline){.n_blocks = (run->n_rows + run->cut.block_rows - 1) / run->cut.block_rows,
                                             .n_workers = run->cut.n_workers,
                                             .n_slots = run->cut.n_slots,
                                             .context = run,
                                             .plan = avvik__score_block_plan,
                                             .work = avvik__score_block_work,
                                             .write = avvik__score_block_write,
                                             .stop = run->options->stop};
    AVVIK_TRY(run_begin(run, path, &run->pipeline.first_block, error));
    AVVIK_TRY(avvik__pipeline_run(&run->pipeline, error));
    AVVIK_TRY(avvik__score_output_end(run, error));
    const uint64_t start = avvik__now_ns();
    const int sync_errno = avvik__journal_settle(run->journal);
    if (sync_errno != 0)
        AVVIK_TRY(avvik__record_sync_failed(run->record, sync_errno, error));
    AVVIK_TRY(avvik__record_commit(&run->record, error));
    run->summary->stages.write_ns = avvik__now_ns() - start;
done:
    run->summary->stages.plan_ns += run->pipeline.plan_ns;
    run->summary->stages.write_ns += run->pipeline.write_ns;
    run_end(run, status, error);
    avvik__score_blocks_free(run);
    avvik__score_outline_free(run);
    avvik__score_table_destroy(&run->table);
    run->hash = (struct avvik__input_hash){0};
    return status;
}

enum avvik_status avvik_score_file(const struct avvik_model *model, struct avvik_engine *engine,
                                   struct avvik_source *source, const char *path,
                                   const struct avvik_score_options *options, struct avvik_score_summary *summary_out,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct score_run run = {.model = model,
                            .engine = engine,
                            .source = source,
                            .options = options,
                            .summary = summary_out,
                            .n_rows = avvik_source_n_rows(source),
                            .n_inputs = avvik__source_n_columns(source),
                            .start_ns = avvik__now_ns()};
    for (int c = 0; c < N_COLUMNS; c++)
        run.has_column[c] = c == TAILS                           ? model->tails.n_features > 0
                            : c == PEER_GROUP || c == PEER_LEVEL ? model->peers.n_keys > 0
                                                                 : 1;
    *summary_out = (struct avvik_score_summary){.n_rows = run.n_rows};
    AVVIK_TRY(features_compare(model, source, error));
    if (options->resume)
        AVVIK_TRY(avvik__score_is_complete(&run, path, &summary_out->is_complete_already, error));
    if (summary_out->is_complete_already) {
        leftover_remove(path);
        goto done;
    }
    status = run_once(&run, path, error);
    if (status == AVVIK_ERR_SELFTEST) { /* nothing that the device scored can be trusted */
        *summary_out = (struct avvik_score_summary){.n_rows = run.n_rows, .is_rescored = 1};
        run.n_absent = 0;
        status = run_once(&run, path, error);
    }
    summary_out->elapsed_ns = avvik__now_ns() - run.start_ns;
done:
    free(run.absent);
    return status;
}

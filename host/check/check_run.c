/* One pass over the batches. */
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "block_pipeline.h"
#include "check_internal.h"
#include "kernels.h"
#include "source_plan.h"

#define ID_MEMORY ((uint64_t)256 << 20)
#define MIN_ID_MEMORY ((uint64_t)1 << 20)

/* A block in flight. */
struct slot {
    struct avvik__plan *plan;
    struct avvik__moments *moments; /* [block_rows / 4096][column] */
    uint64_t *ids;
    uint8_t *id_is_missing;
    struct avvik_stages stages; /* of the workers */
};

/* A thread that works on blocks. */
struct worker {
    struct avvik__fetcher *fetcher;
    float *values;                    /* [column][piece_rows] */
    struct avvik__measured *measured; /* [column] */
    struct avvik__fetch_times times;  /* of the blocks before */
};

struct run {
    struct avvik__check *check;
    struct avvik__kernels kernels;
    struct avvik__cut cut;
    struct slot *slots;
    struct worker *workers;
    struct avvik__pipeline pipeline;
    uint64_t start_ns;
};

static size_t rows_of_block(const struct run *run, uint64_t block)
{
    const uint64_t left = run->check->report->n_rows - block * run->cut.block_rows;
    return left < run->cut.block_rows ? (size_t)left : run->cut.block_rows;
}

static enum avvik_status block_plan(void *context, unsigned slot_number, uint64_t block, struct avvik_error *error)
{
    const struct run *run = context;
    const struct slot *slot = &run->slots[slot_number];
    const uint64_t first = block * run->cut.block_rows;
    const size_t n_rows = rows_of_block(run, block);
    const enum avvik_status status = avvik__plan_rows(slot->plan, first, n_rows, 0, error);
    if (status != AVVIK_OK || run->check->ids == NULL)
        return status;
    return avvik__integer_read(run->check->ids, first, n_rows, slot->ids, slot->id_is_missing, error);
}

/* One piece of a block: its values into the worker's memory, and what is counted of them. */
static enum avvik_status piece_work(const struct run *run, struct worker *worker, const struct slot *slot, size_t from,
                                    size_t n_rows, struct avvik_error *error)
{
    const size_t n_columns = run->check->n_read, stride = run->cut.piece_rows;
    struct avvik__moments *moments = slot->moments + from / AVVIK_STATISTICS_ROWS * n_columns;
    const enum avvik_status status =
        avvik__plan_fetch(slot->plan, worker->fetcher, from, n_rows, worker->values, stride, 0, error);
    if (status != AVVIK_OK)
        return status;
    for (size_t i = 0; i < n_rows; i += AVVIK_STATISTICS_ROWS)
        for (size_t k = 0; k < n_columns; k++, moments++) {
            const float *values = worker->values + k * stride + i;
            const size_t n = n_rows - i < AVVIK_STATISTICS_ROWS ? n_rows - i : AVVIK_STATISTICS_ROWS;
            run->kernels.statistics(moments, values, n);
            avvik__measure_add(&run->check->read[k].measure, values, n, moments->n_infinite, &worker->measured[k]);
        }
    return AVVIK_OK;
}

static enum avvik_status block_work(void *context, unsigned worker_number, unsigned slot_number, uint64_t block,
                                    struct avvik_error *error)
{
    const struct run *run = context;
    struct slot *slot = &run->slots[slot_number];
    struct worker *worker = &run->workers[worker_number];
    const size_t n_rows = rows_of_block(run, block), piece_rows = run->cut.piece_rows;
    const uint64_t start = avvik__now_ns();
    struct avvik__fetch_times times;
    avvik__plan_decode(slot->plan, worker->fetcher);
    for (size_t from = 0; from < n_rows; from += piece_rows) {
        const size_t n = n_rows - from < piece_rows ? n_rows - from : piece_rows;
        const enum avvik_status status = piece_work(run, worker, slot, from, n, error);
        if (status != AVVIK_OK)
            return status;
    }
    avvik__fetcher_times(worker->fetcher, &times);
    slot->stages.read_ns = times.read_ns - worker->times.read_ns;
    slot->stages.decode_ns = times.decode_ns - worker->times.decode_ns;
    slot->stages.bytes_read = times.bytes_read - worker->times.bytes_read;
    slot->stages.work_ns = avvik__now_ns() - start - slot->stages.read_ns - slot->stages.decode_ns;
    worker->times = times;
    return AVVIK_OK;
}

static void stages_add(struct run *run, const struct avvik_stages *block)
{
    struct avvik_stages *stages = &run->check->report->stages;
    stages->read_ns += block->read_ns;
    stages->decode_ns += block->decode_ns;
    stages->work_ns += block->work_ns;
    stages->bytes_read += block->bytes_read;
    stages->plan_ns = run->pipeline.plan_ns;
    stages->write_ns = run->pipeline.write_ns;
    stages->threads = run->cut.n_workers;
}

/* Moments are added in row order, so that they do not depend on the number of threads. */
static enum avvik_status block_add(void *context, unsigned slot_number, uint64_t block, struct avvik_error *error)
{
    struct run *run = context;
    struct avvik__check *check = run->check;
    const struct slot *slot = &run->slots[slot_number];
    const struct avvik__moments *moments = slot->moments;
    const uint64_t first = block * run->cut.block_rows;
    const size_t n_rows = rows_of_block(run, block);
    for (size_t i = 0; i < n_rows; i += AVVIK_STATISTICS_ROWS)
        for (size_t k = 0; k < check->n_read; k++)
            avvik__moments_add(&check->read[k].moments, moments++);
    if (check->ids != NULL) {
        const enum avvik_status status =
            avvik__id_set_add(check->id_set, first, slot->ids, slot->id_is_missing, n_rows, error);
        if (status != AVVIK_OK)
            return status;
        for (size_t i = 0; i < n_rows; i++)
            check->ids_missing += slot->id_is_missing[i];
    }
    stages_add(run, &slot->stages);
    if (check->options->progress != NULL) {
        const struct avvik_progress progress = {.rows_done = first + n_rows,
                                                .n_rows = check->report->n_rows,
                                                .elapsed_ns = avvik__now_ns() - run->start_ns,
                                                .stages = check->report->stages};
        check->options->progress(check->options->user, &progress);
    }
    return AVVIK_OK;
}

static void run_free(struct run *run)
{
    for (unsigned i = 0; run->slots != NULL && i < run->cut.n_slots; i++) {
        avvik__plan_free(run->slots[i].plan);
        free(run->slots[i].moments);
        free(run->slots[i].ids);
        free(run->slots[i].id_is_missing);
    }
    for (unsigned i = 0; run->workers != NULL && i < run->cut.n_workers; i++) {
        avvik__fetcher_free(run->workers[i].fetcher);
        free(run->workers[i].values);
        free(run->workers[i].measured);
    }
    free(run->slots);
    free(run->workers);
}

static enum avvik_status run_init(struct run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__check *check = run->check;
    const size_t n_columns = check->n_read;
    const size_t id_bytes = check->ids == NULL ? 0 : sizeof(uint64_t) + sizeof(uint8_t);
    const struct avvik__needs needs = {.threads = check->options->threads,
                                       .slot_row_bytes =
                                           id_bytes + n_columns * sizeof(struct avvik__moments) / AVVIK_STATISTICS_ROWS,
                                       .worker_bytes = n_columns * sizeof(struct avvik__measured)};
    AVVIK_TRY(avvik__rows_cut(check->source, &needs, &run->cut, error));
    const size_t rows = run->cut.block_rows;
    run->slots = calloc(run->cut.n_slots, sizeof *run->slots);
    run->workers = calloc(run->cut.n_workers, sizeof *run->workers);
    if (run->slots == NULL || run->workers == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (unsigned i = 0; i < run->cut.n_slots; i++) {
        struct slot *slot = &run->slots[i];
        AVVIK_TRY(avvik__plan_create(check->source, rows, &slot->plan, error));
        slot->moments = avvik__aligned_alloc(n_columns * (rows / AVVIK_STATISTICS_ROWS), sizeof *slot->moments);
        slot->ids = check->ids == NULL ? NULL : avvik__aligned_alloc(rows, sizeof *slot->ids);
        slot->id_is_missing = check->ids == NULL ? NULL : malloc(rows);
        if (slot->moments == NULL || (check->ids != NULL && (slot->ids == NULL || slot->id_is_missing == NULL)))
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for blocks of %zu rows", rows);
    }
    for (unsigned i = 0; i < run->cut.n_workers; i++) {
        struct worker *worker = &run->workers[i];
        AVVIK_TRY(avvik__fetcher_create(check->source, &worker->fetcher, error));
        worker->values = avvik__aligned_alloc(n_columns * run->cut.piece_rows, sizeof *worker->values);
        worker->measured = avvik__aligned_calloc(n_columns, sizeof *worker->measured);
        if (worker->values == NULL || worker->measured == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for pieces of %zu rows", run->cut.piece_rows);
    }
done:
    return status;
}

static void measured_add(struct avvik__measured *total, const struct avvik__measured *more)
{
    total->zeros += more->zeros;
    total->negative += more->negative;
    total->unknown_codes += more->unknown_codes;
    total->impossible_dates += more->impossible_dates;
    total->outside_period += more->outside_period;
    for (int i = 0; i < AVVIK_QUANTILES; i++)
        total->at_most[i] += more->at_most[i];
}

static enum avvik_status values_measure(struct avvik__check *check, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_check_report *report = check->report;
    const uint64_t memory = check->options->id_memory == 0 ? ID_MEMORY : check->options->id_memory;
    struct run run = {.check = check};
    avvik__kernels_select(&run.kernels, avvik__cpu_features());
    AVVIK_TRY(run_init(&run, error));
    run.start_ns = avvik__now_ns();
    if (check->ids != NULL)
        AVVIK_TRY(avvik__id_set_create(report->n_rows, memory < MIN_ID_MEMORY ? MIN_ID_MEMORY : memory,
                                       run.cut.n_workers, &check->id_set, error));
    run.pipeline = (struct avvik__pipeline){.n_blocks = (report->n_rows + run.cut.block_rows - 1) / run.cut.block_rows,
                                            .n_workers = run.cut.n_workers,
                                            .n_slots = run.cut.n_slots,
                                            .context = &run,
                                            .plan = block_plan,
                                            .work = block_work,
                                            .write = block_add,
                                            .stop = check->options->stop};
    AVVIK_TRY(avvik__pipeline_run(&run.pipeline, error));
    for (unsigned i = 0; i < run.cut.n_workers; i++)
        for (size_t k = 0; k < check->n_read; k++)
            measured_add(&check->read[k].measured, &run.workers[i].measured[k]);
    const uint64_t start = avvik__now_ns();
    if (check->ids != NULL)
        AVVIK_TRY(avvik__id_set_count(check->id_set, check->options->stop, &report->ids.rows, &report->ids.values,
                                      report->ids.named, &report->ids.n_named, error));
    report->ids_ns = avvik__now_ns() - start;
done:
    run_free(&run);
    return status;
}

static enum avvik_status inputs_note(struct avvik__check *check, struct avvik_error *error)
{
    struct avvik_check_report *report = check->report;
    report->inputs = calloc(check->n_paths, sizeof *report->inputs);
    report->input_offsets = calloc(check->n_paths, sizeof *report->input_offsets);
    if (report->inputs == NULL || report->input_offsets == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < check->n_paths; i++) {
        if ((report->inputs[i] = strdup(check->paths[i])) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        report->n_inputs++;
        report->input_offsets[i] = report->n_rows;
        report->n_rows += avvik_source_file_rows(check->source, i);
    }
    return AVVIK_OK;
}

enum avvik_status avvik_check(const char *const *paths, size_t n_paths, const struct avvik_check_options *options,
                              struct avvik_check_report **report_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t start = avvik__now_ns();
    struct avvik_check_rules defaults;
    struct avvik__check check = {.paths = paths, .n_paths = n_paths, .options = options, .model = options->model};
    avvik_check_rules_init(&defaults);
    check.rules = options->rules == NULL ? &defaults : options->rules;
    if (n_paths == 0)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "no batch is named");
    if ((check.report = calloc(1, sizeof *check.report)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__check_schema(&check, error));
    AVVIK_TRY(inputs_note(&check, error));
    AVVIK_TRY(values_measure(&check, error));
    avvik__check_judge(&check);
    if (check.is_short)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for the findings");
    avvik__findings_sort(check.report);
    check.report->elapsed_ns = avvik__now_ns() - start;
    *report_out = check.report;
    check.report = NULL;
done:
    avvik__id_set_free(check.id_set);
    avvik__integer_close(check.ids);
    avvik_source_close(check.source);
    free(check.read);
    avvik_check_report_free(check.report);
    return status;
}

void avvik_check_report_free(struct avvik_check_report *report)
{
    if (report == NULL)
        return;
    for (size_t i = 0; report->inputs != NULL && i < report->n_inputs; i++)
        free(report->inputs[i]);
    free(report->inputs);
    free(report->input_offsets);
    free(report->columns);
    free(report->findings);
    free(report);
}

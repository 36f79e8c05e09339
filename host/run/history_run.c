/* A row beside its entity's past: rows are dealt out by entity, parts are sorted by entity and time and gone through
 * one by one, and what is found is brought back into the order of the rows. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik/history.h"
#include "avvik/progress.h"
#include "avvik/source.h"
#include "avvik_internal.h"
#include "block_pipeline.h"
#include "fit_internal.h"
#include "history_store.h"
#include "integer_column.h"
#include "kernels.h"
#include "median_search.h"
#include "table_copy.h"

#define BLOCK_ROWS ((size_t)32768)
#define LEAST_SPREAD 0.01 /* of the median's magnitude, as a standard deviation */

struct history {
    const struct avvik_history_options *options;
    struct avvik_history_summary *summary;
    struct avvik_source *source;
    struct avvik__integer_column *entities, *times;
    struct avvik__history_store *store;
    struct avvik__kernels kernels;
    size_t n_features, n_results; /* floats of a row: the number of periods, then change and z of each feature */
    uint32_t periods, least;
    unsigned n_threads;
    uint64_t n_rows, n_past; /* of all batches; of these, not of the last */
    float *results;          /* [row of the last batch][n_results], or in a file */
    int file;
    atomic_size_t next_part;
    atomic_ullong n_known;
    pthread_mutex_t mutex; /* over the first failure */
    enum avvik_status status;
    struct avvik_error error;
};

/* ---- Rows into parts ---- */

static enum avvik_status rows_deal(struct history *history, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = history->n_features;
    float *columns = calloc(n_features * BLOCK_ROWS, sizeof *columns);
    uint64_t *entities = calloc(BLOCK_ROWS, sizeof *entities), *times = calloc(BLOCK_ROWS, sizeof *times);
    uint8_t *is_missing = calloc(2 * BLOCK_ROWS, 1);
    struct avvik__past_row *row = calloc(1, avvik__past_row_bytes(n_features));
    const uint64_t entity_sign = avvik__integer_is_signed(history->entities) ? UINT64_C(1) << 63 : 0;
    const uint64_t time_sign = avvik__integer_is_signed(history->times) ? UINT64_C(1) << 63 : 0;
    if (columns == NULL || entities == NULL || times == NULL || is_missing == NULL || row == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint64_t first = 0; first < history->n_rows; first += BLOCK_ROWS) {
        const size_t n = history->n_rows - first < BLOCK_ROWS ? (size_t)(history->n_rows - first) : BLOCK_ROWS;
        if (avvik__is_stopped(history->options->stop))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        AVVIK_TRY(avvik_source_read(history->source, first, n, columns, BLOCK_ROWS, error));
        AVVIK_TRY(avvik__integer_read(history->entities, first, n, entities, is_missing, error));
        AVVIK_TRY(avvik__integer_read(history->times, first, n, times, is_missing + BLOCK_ROWS, error));
        for (size_t i = 0; i < n; i++) {
            if (is_missing[i] || is_missing[BLOCK_ROWS + i]) {
                history->summary->rows_without_entity += first + i >= history->n_past;
                continue;
            }
            row->entity = entities[i] ^ entity_sign;
            row->time = times[i] ^ time_sign;
            row->row = first + i;
            for (size_t f = 0; f < n_features; f++)
                row->values[f] = columns[f * BLOCK_ROWS + i];
            AVVIK_TRY(avvik__history_store_add(history->store, row, error));
        }
    }
    history->summary->spilled_bytes = avvik__history_store_spilled(history->store);
done:
    free(columns);
    free(entities);
    free(times);
    free(is_missing);
    free(row);
    return status;
}

/* ---- One entity after the other ---- */

/* A part, sorted. */
struct part_rows {
    const char *rows;
    size_t n, row_bytes;
    float *values; /* of one feature in the past that is looked at: room for n, and 3 (n + AVVIK_LANES) behind them */
    float *found;  /* n_results */
};

static const struct avvik__past_row *row_at(const struct part_rows *part, size_t i)
{
    return (const struct avvik__past_row *)(const void *)(part->rows + i * part->row_bytes);
}

static size_t end_of_time(const struct part_rows *part, size_t first)
{
    size_t end = first + 1;
    while (end < part->n && row_at(part, end)->entity == row_at(part, first)->entity &&
           row_at(part, end)->time == row_at(part, first)->time)
        end++;
    return end;
}

/* Median and scale of feature f in rows [from, to). 0 if too few are known. */
static int past_find(const struct history *history, const struct part_rows *part, size_t from, size_t to, size_t f,
                     double *median, double *sd)
{
    struct avvik__median_search found;
    const size_t n = to - from;
    for (size_t i = 0; i < n; i++)
        part->values[i] = row_at(part, from + i)->values[f];
    const size_t n_known = avvik__median_of(part->values, n, 0, &history->kernels, part->values + n, &found);
    *median = found.median;
    *sd = fmax(found.mad / 0.6745, LEAST_SPREAD * fabs(found.median));
    return n_known >= history->least;
}

static enum avvik_status result_put(struct history *history, uint64_t row, const float *found,
                                    struct avvik_error *error)
{
    const size_t bytes = history->n_results * sizeof *found;
    if (history->file < 0)
        memcpy(history->results + row * history->n_results, found, bytes);
    else if (pwrite(history->file, found, bytes, (off_t)(row * bytes)) != (ssize_t)bytes)
        return avvik__error_set(error, AVVIK_ERR_IO, errno,
                                "the temporary file of the history cannot be written (%s); set TMPDIR to a folder with "
                                "more room, or allow more memory",
                                strerror(errno == 0 ? ENOSPC : errno));
    return AVVIK_OK;
}

/* Rows [first, end) of one entity and time, whose past is rows [from, first), n_periods times. */
static enum avvik_status time_compare(struct history *history, const struct part_rows *part, size_t from, size_t first,
                                      size_t end, uint32_t n_periods, struct avvik_error *error)
{
    double median[2] = {0};
    const int is_told = n_periods >= history->least;
    size_t n_here = 0;
    for (size_t i = first; i < end; i++)
        n_here += row_at(part, i)->row >= history->n_past;
    if (n_here == 0)
        return AVVIK_OK;
    float *found = part->found; /* [row of these][n_results] */
    for (size_t i = 0; i < (end - first) * history->n_results; i++)
        found[i] = NAN;
    for (size_t i = first; i < end; i++)
        found[(i - first) * history->n_results] = (float)n_periods;
    for (size_t f = 0; is_told && f < history->n_features; f++) {
        if (!past_find(history, part, from, first, f, &median[0], &median[1]))
            continue;
        for (size_t i = first; i < end; i++) {
            const float value = row_at(part, i)->values[f];
            float *result = found + (i - first) * history->n_results + 1 + 2 * f;
            if (!isfinite(value))
                continue;
            const double change = value - median[0];
            result[0] = (float)change;
            result[1] = change == 0 ? 0 : median[1] > 0 ? (float)(change / median[1]) : NAN;
        }
    }
    atomic_fetch_add(&history->n_known, is_told ? n_here : 0);
    for (size_t i = first; i < end; i++)
        if (row_at(part, i)->row >= history->n_past) {
            const enum avvik_status status = result_put(history, row_at(part, i)->row - history->n_past,
                                                        found + (i - first) * history->n_results, error);
            if (status != AVVIK_OK)
                return status;
        }
    return AVVIK_OK;
}

static enum avvik_status part_compare(struct history *history, size_t number, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char *rows = NULL;
    size_t *starts = NULL; /* of the entity's times */
    struct part_rows part = {.row_bytes = avvik__past_row_bytes(history->n_features)};
    AVVIK_TRY(avvik__history_store_take(history->store, number, &rows, &part.n, error));
    part.rows = rows;
    size_t widest = 0; /* rows of one entity */
    for (size_t i = 0, first = 0; i < part.n; i++) {
        first = i > 0 && row_at(&part, i)->entity != row_at(&part, i - 1)->entity ? i : first;
        widest = i + 1 - first > widest ? i + 1 - first : widest;
    }
    part.values = malloc((4 * widest + 3 * AVVIK_LANES) * sizeof *part.values);
    part.found = malloc((widest + 1) * history->n_results * sizeof *part.found);
    starts = malloc((widest + 1) * sizeof *starts);
    if (part.values == NULL || part.found == NULL || starts == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    uint32_t n_times = 0; /* of this entity */
    for (size_t first = 0, end; first < part.n; first = end) {
        end = end_of_time(&part, first);
        n_times = first > 0 && row_at(&part, first)->entity == row_at(&part, first - 1)->entity ? n_times : 0;
        const uint32_t n_periods = n_times < history->periods ? n_times : history->periods;
        AVVIK_TRY(time_compare(history, &part, n_periods == 0 ? first : starts[n_times - n_periods], first, end,
                               n_periods, error));
        starts[n_times++] = first;
    }
done:
    free(rows);
    free(starts);
    free(part.values);
    free(part.found);
    return status;
}

static void *parts_compare(void *context)
{
    struct history *history = context;
    for (size_t part; !avvik__is_stopped(history->options->stop) &&
                      (part = atomic_fetch_add(&history->next_part, 1)) < avvik__history_store_parts(history->store);) {
        struct avvik_error error = {AVVIK_OK, 0, ""};
        const enum avvik_status status = part_compare(history, part, &error);
        if (status == AVVIK_OK)
            continue;
        pthread_mutex_lock(&history->mutex);
        if (history->status == AVVIK_OK) {
            history->status = status;
            history->error = error;
        }
        pthread_mutex_unlock(&history->mutex);
        break;
    }
    return NULL;
}

/* ---- The output ---- */

static enum avvik_status columns_write(struct history *history, struct avvik__record_column *const *columns,
                                       struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_results = history->n_results, row_bytes = n_results * sizeof(float);
    const uint64_t n_rows = history->n_rows - history->n_past;
    float *rows = malloc(BLOCK_ROWS * row_bytes), *column = malloc(BLOCK_ROWS * sizeof *column);
    if (rows == NULL || column == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint64_t first = 0; first < n_rows; first += BLOCK_ROWS) {
        const size_t n = n_rows - first < BLOCK_ROWS ? (size_t)(n_rows - first) : BLOCK_ROWS;
        const float *from = history->file >= 0 ? rows : history->results + first * n_results;
        if (avvik__is_stopped(history->options->stop))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        if (history->file >= 0) {
            for (size_t done = 0; done < n * row_bytes;) {
                const ssize_t got =
                    pread(history->file, (char *)rows + done, n * row_bytes - done, (off_t)(first * row_bytes + done));
                if (got <= 0 && !(got < 0 && errno == EINTR))
                    AVVIK_FAIL(AVVIK_ERR_IO, errno, "the temporary file of the history cannot be read");
                done += got > 0 ? (size_t)got : 0;
            }
        }
        for (size_t k = 0; k < n_results; k++) {
            for (size_t i = 0; i < n; i++)
                column[i] = from[i * n_results + k];
            AVVIK_TRY(avvik__record_column_write(columns[k], column, n, NULL, 0, error));
        }
    }
done:
    free(rows);
    free(column);
    return status;
}

static enum avvik_status output_write(struct history *history, const char *path, const char *out,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__record *record = NULL;
    struct avvik__record_column **columns = calloc(history->n_results, sizeof(struct avvik__record_column *));
    const char *table = avvik_source_table(history->source);
    const uint64_t n_rows = history->n_rows - history->n_past;
    int has_roles;
    if (columns == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__record_create(out, "history", history->options->replace, &record, error));
    AVVIK_TRY(avvik__table_copy(record, path, table, &has_roles, error));
    AVVIK_TRY(avvik__table_column_add(record, table, "history_periods", n_rows, has_roles, &columns[0], error));
    for (size_t k = 1; k < history->n_results; k++) {
        char name[AVVIK_NAME_SIZE + 16];
        snprintf(name, sizeof name, "%s%s", avvik_source_feature(history->source, (k - 1) / 2),
                 k % 2 == 1 ? "_change" : "_history_z");
        AVVIK_TRY(avvik__table_column_add(record, table, name, n_rows, has_roles, &columns[k], error));
    }
    AVVIK_TRY(columns_write(history, columns, error));
    AVVIK_TRY(avvik__record_commit(&record, error));
done:
    avvik__record_close(record);
    free(columns);
    return status;
}

/* ---- The run ---- */

/* Where results wait: NaN until their row is reached. */
static enum avvik_status results_make(struct history *history, uint64_t memory, struct avvik_error *error)
{
    const uint64_t n_rows = history->n_rows - history->n_past, n = n_rows * history->n_results;
    if (n * sizeof(float) <= memory) {
        if ((history->results = malloc((size_t)n * sizeof(float) + 1)) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        for (uint64_t i = 0; i < n; i++)
            history->results[i] = NAN;
        for (uint64_t row = 0; row < n_rows; row++)
            history->results[row * history->n_results] = 0;
        return AVVIK_OK;
    }
    if ((history->file = avvik__temporary_file()) < 0)
        return avvik__error_set(error, AVVIK_ERR_IO, errno,
                                "no temporary file can be made for the history (%s); set TMPDIR", strerror(errno));
    float nothing[64 * 1024];
    const size_t rows_at_once = sizeof nothing / sizeof(float) / history->n_results;
    for (size_t i = 0; i < rows_at_once * history->n_results; i++)
        nothing[i] = i % history->n_results == 0 ? 0 : NAN;
    for (uint64_t row = 0; row < n_rows; row += rows_at_once) {
        const size_t bytes =
            (size_t)(n_rows - row < rows_at_once ? n_rows - row : rows_at_once) * history->n_results * sizeof(float);
        if (pwrite(history->file, nothing, bytes, (off_t)(row * history->n_results * sizeof(float))) != (ssize_t)bytes)
            return avvik__error_set(error, AVVIK_ERR_IO, errno,
                                    "the temporary file of the history cannot be written (%s); set TMPDIR to a folder "
                                    "with more room, or allow more memory",
                                    strerror(errno == 0 ? ENOSPC : errno));
    }
    return AVVIK_OK;
}

static enum avvik_status options_check(const struct avvik_history_options *options, size_t n_paths,
                                       struct avvik_error *error)
{
    if (n_paths == 0)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "no batch is named");
    if (options->n_features == 0 || options->n_features > 1000)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0,
                                "%zu columns are to be compared with their past; there may be 1 to 1000",
                                options->n_features);
    if (options->periods > AVVIK_MAX_PERIODS || options->least > AVVIK_MAX_PERIODS)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a past of more than %d periods is not looked back on",
                                AVVIK_MAX_PERIODS);
    return AVVIK_OK;
}

enum avvik_status avvik_history(const char *const *paths, size_t n_paths, const char *out,
                                const struct avvik_history_options *options, struct avvik_history_summary *summary_out,
                                struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t start = avvik__now_ns();
    struct avvik_history_summary summary = {0};
    struct history history = {.options = options, .summary = &summary, .file = -1, .mutex = PTHREAD_MUTEX_INITIALIZER};
    const struct avvik_selection selection = {options->table, options->features, options->n_features, NULL, 0};
    const uint64_t memory = options->memory_bytes == 0 ? AVVIK_MEMORY_DEFAULT : options->memory_bytes;
    AVVIK_TRY(options_check(options, n_paths, error));
    avvik__kernels_select(&history.kernels, avvik__cpu_features());
    AVVIK_TRY(avvik_source_open(paths, n_paths, &selection, &history.source, error));
    const char *table = avvik_source_table(history.source);
    AVVIK_TRY(avvik__integer_open(paths, n_paths, table, options->entity, &history.entities, error));
    AVVIK_TRY(avvik__integer_open(paths, n_paths, table, options->time, &history.times, error));
    history.n_features = options->n_features;
    history.n_results = 1 + 2 * history.n_features;
    history.periods = options->periods == 0 ? 12 : options->periods;
    history.least = options->least == 0 ? 3 : options->least;
    history.n_threads = avvik__worker_count(options->threads);
    history.n_rows = avvik_source_n_rows(history.source);
    history.n_past = history.n_rows - avvik_source_file_rows(history.source, n_paths - 1);
    summary.n_rows = history.n_rows - history.n_past;
    summary.n_past = history.n_past;
    AVVIK_TRY(results_make(&history, memory / 4, error));
    AVVIK_TRY(avvik__history_store_create(history.n_rows, history.n_features, history.n_threads, memory / 4 * 3,
                                          &history.store, error));
    AVVIK_TRY(rows_deal(&history, error));
    avvik__threads_share(parts_compare, &history, history.n_threads);
    if (history.status != AVVIK_OK) {
        if (error != NULL)
            *error = history.error;
        status = history.status;
        goto done;
    }
    if (avvik__is_stopped(options->stop))
        AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
    summary.rows_with_history = atomic_load(&history.n_known);
    AVVIK_TRY(output_write(&history, paths[n_paths - 1], out, error));
done:
    summary.elapsed_ns = avvik__now_ns() - start;
    if (summary_out != NULL)
        *summary_out = summary;
    avvik__history_store_free(history.store);
    avvik__integer_close(history.entities);
    avvik__integer_close(history.times);
    avvik_source_close(history.source);
    free(history.results);
    if (history.file >= 0)
        close(history.file);
    return status;
}

/* Fetching rows of a planned block: source_plan.h says how this and planning share the work. */
#define _GNU_SOURCE /* pread */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "element.h"
#include "plan_internal.h"
#include "unshuffle.h"

#define RAW_BYTES ((size_t)256 << 10) /* rows that are read before they are converted; more where a row is larger */
#define EXACT_INTEGERS 0x1p24f        /* float32 holds every integer below */

struct avvik__fetcher {
    struct avvik__decoder *decoder;
    unsigned char *raw;
    size_t raw_bytes;
    struct avvik__fetch_times times;
};

const char avvik__beyond_the_end[] = "it lies beyond the end of the file";

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Of the stored bytes that a fetcher reads at a time. */
static size_t raw_bytes(const struct avvik_source *source)
{
    size_t bytes = RAW_BYTES;
    for (size_t i = 0; i < source->n_files; i++)
        for (size_t s = 0; s < source->files[i].n_stores; s++) {
            const struct avvik__store *store = &source->files[i].stores[s];
            const size_t needed = store->filters.n > 0                  ? avvik__stored_bytes_max(store->chunk_bytes)
                                  : store->layout == AVVIK_LAYOUT_PLAIN ? 0
                                                                        : store->row_bytes;
            bytes = needed > bytes ? needed : bytes;
        }
    return bytes;
}

enum avvik_status avvik__fetcher_create(const struct avvik_source *source, struct avvik__fetcher **fetcher_out,
                                        struct avvik_error *error)
{
    struct avvik__fetcher *fetcher = calloc(1, sizeof *fetcher);
    if (fetcher != NULL) {
        fetcher->raw_bytes = raw_bytes(source);
        fetcher->raw = malloc(fetcher->raw_bytes);
        fetcher->decoder = avvik__decoder_create();
    }
    if (fetcher == NULL || fetcher->raw == NULL || fetcher->decoder == NULL) {
        avvik__fetcher_free(fetcher);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    *fetcher_out = fetcher;
    return AVVIK_OK;
}

void avvik__fetcher_free(struct avvik__fetcher *fetcher)
{
    if (fetcher == NULL)
        return;
    avvik__decoder_free(fetcher->decoder);
    free(fetcher->raw);
    free(fetcher);
}

void avvik__fetcher_times(const struct avvik__fetcher *fetcher, struct avvik__fetch_times *times_out)
{
    *times_out = fetcher->times;
}

/* NULL, or why these bytes of the file cannot be had. */
static const char *bytes_read(struct avvik__fetcher *fetcher, const struct avvik__store *store, uint64_t address,
                              size_t n, void *to)
{
    char *place = to;
    const uint64_t start = now_ns();
    if (address > store->file_bytes || n > store->file_bytes - address)
        return avvik__beyond_the_end;
    while (n > 0) {
        const ssize_t got = pread(store->descriptor, place, n, (off_t)address);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EIO ? "the disk reports an error" : "the file cannot be read";
        if (got == 0)
            return "the file has become shorter";
        place += got;
        address += (uint64_t)got;
        n -= (size_t)got;
        fetcher->times.bytes_read += (uint64_t)got;
    }
    fetcher->times.read_ns += now_ns() - start;
    return NULL;
}

static const char *chunk_fill(struct avvik__fetcher *fetcher, struct avvik__chunk *chunk)
{
    const struct avvik__store *store = chunk->store;
    if (chunk->stored_bytes > avvik__stored_bytes_max(store->chunk_bytes))
        return "its stored size is larger than any that its rows can have";
    if (chunk->rows == NULL && (chunk->rows = malloc(store->chunk_bytes)) == NULL)
        return "there is no memory to decode it";
    const char *problem = bytes_read(fetcher, store, chunk->address, (size_t)chunk->stored_bytes, fetcher->raw);
    if (problem != NULL)
        return problem;
    const uint64_t start = now_ns();
    /* The rows of one column are put together as they are fetched, where they are needed next. */
    const int shuffle =
        store->n_features == 1 ? avvik__shuffle_at_end(&store->filters, chunk->filter_mask, store->row_bytes) : -1;
    const unsigned filter_mask = chunk->filter_mask | (shuffle < 0 ? 0 : 1u << shuffle);
    chunk->is_shuffled = shuffle >= 0;
    problem = avvik__chunk_decode(fetcher->decoder, &store->filters, filter_mask, fetcher->raw,
                                  (size_t)chunk->stored_bytes, chunk->rows, store->chunk_bytes);
    fetcher->times.decode_ns += now_ns() - start;
    return problem;
}

int avvik__chunk_is_encoded(const struct avvik__chunk *chunk)
{
    return chunk != NULL && chunk->is_stored && chunk->store->filters.n > 0;
}

void avvik__chunk_decode_once(struct avvik_source *source, struct avvik__fetcher *fetcher, struct avvik__chunk *chunk,
                              int is_patient)
{
    pthread_mutex_lock(&source->mutex);
    if (chunk->state == AVVIK_CHUNK_STORED) {
        chunk->state = AVVIK_CHUNK_BUSY;
        pthread_mutex_unlock(&source->mutex);
        const char *problem = chunk_fill(fetcher, chunk);
        pthread_mutex_lock(&source->mutex);
        chunk->problem = problem;
        chunk->state = problem == NULL ? AVVIK_CHUNK_READY : AVVIK_CHUNK_DAMAGED;
        pthread_cond_broadcast(&source->is_decoded);
    }
    while (is_patient && chunk->state == AVVIK_CHUNK_BUSY)
        pthread_cond_wait(&source->is_decoded, &source->mutex);
    pthread_mutex_unlock(&source->mutex);
}

size_t avvik__fetcher_bytes(const struct avvik_source *source)
{
    return 3 * raw_bytes(source); /* the decoder has two such areas of its own */
}

void avvik__plan_decode(struct avvik__plan *plan, struct avvik__fetcher *fetcher)
{
    for (size_t i = 0; i < plan->n_parts; i++)
        if (avvik__chunk_is_encoded(plan->parts[i].chunk))
            avvik__chunk_decode_once(plan->source, fetcher, plan->parts[i].chunk, 0);
}

/* The features of n rows, as they lie in the file, to columns that begin with the first of these rows. */
static void rows_convert(const struct avvik__part *part, const void *rows, size_t n, float *columns,
                         size_t column_stride)
{
    const struct avvik__store *store = part->store;
    for (size_t f = store->first_feature; f < store->first_feature + store->n_features; f++) {
        const struct avvik__column *column = &part->file->columns[f];
        avvik__element_convert(column->element, (const char *)rows + column->offset, store->row_bytes, n,
                               columns + f * column_stride);
    }
}

/* Rows that lie in the file as they are. */
static const char *rows_read(struct avvik__fetcher *fetcher, const struct avvik__part *part, uint64_t address, size_t n,
                             float *columns, size_t column_stride)
{
    const struct avvik__store *store = part->store;
    if (store->row_bytes == sizeof(float) && part->file->columns[store->first_feature].element == AVVIK_ELEMENT_F32)
        return bytes_read(fetcher, store, address, n * sizeof(float), columns + store->first_feature * column_stride);
    const size_t step = fetcher->raw_bytes / store->row_bytes;
    for (size_t i = 0; i < n; i += step) {
        const size_t here = n - i < step ? n - i : step;
        const char *problem =
            bytes_read(fetcher, store, address + i * store->row_bytes, here * store->row_bytes, fetcher->raw);
        if (problem != NULL)
            return problem;
        rows_convert(part, fetcher->raw, here, columns + i, column_stride);
    }
    return NULL;
}

/* Rows [first, first + n) of a decoded chunk. */
static void chunk_convert(struct avvik__fetcher *fetcher, const struct avvik__part *part, size_t first, size_t n,
                          float *columns, size_t column_stride)
{
    const struct avvik__store *store = part->store;
    const struct avvik__chunk *chunk = part->chunk;
    const size_t row_bytes = store->row_bytes, step = fetcher->raw_bytes / row_bytes;
    if (!chunk->is_shuffled) {
        rows_convert(part, (const char *)chunk->rows + first * row_bytes, n, columns, column_stride);
        return;
    }
    if (row_bytes == sizeof(float) && part->file->columns[store->first_feature].element == AVVIK_ELEMENT_F32) {
        avvik__unshuffle_part(chunk->rows, store->chunk_rows, row_bytes, first, n,
                              columns + store->first_feature * column_stride);
        return;
    }
    for (size_t i = 0; i < n; i += step) {
        const size_t here = n - i < step ? n - i : step;
        avvik__unshuffle_part(chunk->rows, store->chunk_rows, row_bytes, first + i, here, fetcher->raw);
        rows_convert(part, fetcher->raw, here, columns + i, column_stride);
    }
}

/* Rows [skip, skip + n) of a part. */
static const char *part_fetch(struct avvik__plan *plan, struct avvik__fetcher *fetcher, const struct avvik__part *part,
                              size_t skip, size_t n, float *columns, size_t column_stride)
{
    const struct avvik__store *store = part->store;
    struct avvik__chunk *chunk = part->chunk;
    const uint64_t row = part->row + skip;
    if (part->problem != NULL)
        return part->problem;
    if (store->layout == AVVIK_LAYOUT_PLAIN) {
        for (size_t f = store->first_feature; f < store->first_feature + store->n_features; f++)
            memcpy(columns + f * column_stride, plan->plain + f * plan->max_rows + part->at + skip, n * sizeof(float));
        return NULL;
    }
    if (store->layout == AVVIK_LAYOUT_CONTIGUOUS)
        return rows_read(fetcher, part, store->address + row * store->row_bytes, n, columns, column_stride);
    const size_t first = (size_t)(row % store->chunk_rows);
    if (!chunk->is_stored) {
        rows_convert(part, store->fill_row, 1, columns, column_stride);
        for (size_t f = store->first_feature; f < store->first_feature + store->n_features; f++)
            for (size_t i = 1; i < n; i++)
                columns[f * column_stride + i] = columns[f * column_stride];
        return NULL;
    }
    if (!avvik__chunk_is_encoded(chunk))
        return chunk->stored_bytes != store->chunk_bytes
                   ? "it has not as many bytes as its rows"
                   : rows_read(fetcher, part, chunk->address + first * store->row_bytes, n, columns, column_stride);
    avvik__chunk_decode_once(plan->source, fetcher, chunk, 1);
    if (chunk->problem == NULL)
        chunk_convert(fetcher, part, first, n, columns, column_stride);
    return chunk->problem;
}

static enum avvik_status damage_add(struct avvik__plan *plan, const struct avvik__part *part, size_t skip, size_t n,
                                    const char *reason, struct avvik_error *error)
{
    const struct avvik__damage damage = {plan->first + part->at + skip, n, part->store->first_feature, reason};
    if (plan->n_damage == plan->damage_capacity) {
        const size_t capacity = plan->damage_capacity == 0 ? 16 : 2 * plan->damage_capacity;
        void *larger = realloc(plan->damage, capacity * sizeof *plan->damage);
        if (larger == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        plan->damage = larger;
        plan->damage_capacity = capacity;
    }
    plan->damage[plan->n_damage++] = damage;
    return AVVIK_OK;
}

const struct avvik__damage *avvik__plan_damage(const struct avvik__plan *plan, size_t *n_out)
{
    *n_out = plan->n_damage;
    return plan->damage;
}

/* A part cannot be read: NaN for these rows, or the sentence. */
static enum avvik_status part_fail(struct avvik__plan *plan, const struct avvik__part *part, size_t skip, size_t n,
                                   const char *problem, float *columns, size_t column_stride, int keep_going,
                                   struct avvik_error *error)
{
    const struct avvik__store *store = part->store;
    if (!keep_going)
        return avvik__part_refuse(part, problem, error);
    for (size_t f = store->first_feature; f < store->first_feature + store->n_features; f++)
        for (size_t i = 0; i < n; i++)
            columns[f * column_stride + i] = NAN;
    return damage_add(plan, part, skip, n, problem, error);
}

/* What a column's attributes say about its values. `row` is the first one's number in the file. */
static enum avvik_status attributes_apply(const struct avvik__source_file *file, const struct avvik__column *column,
                                          uint64_t row, float *values, size_t n, struct avvik_error *error)
{
    if (column->has_fill)
        for (size_t i = 0; i < n; i++)
            values[i] = values[i] == column->fill ? NAN : values[i];
    int is_beyond = 0;
    if (column->is_category)
        for (size_t i = 0; i < n; i++)
            is_beyond |= fabsf(values[i]) >= EXACT_INTEGERS;
    for (size_t i = 0; is_beyond && i < n; i++)
        if (fabsf(values[i]) >= EXACT_INTEGERS)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                    "%s: row %llu of column '%s' holds the code %.0f; codes stay below 16777216, which "
                                    "float32 holds exactly",
                                    file->path, (unsigned long long)(row + i), column->name, (double)values[i]);
    for (size_t i = 0; column->is_key && i < n; i++)
        if (values[i] != rintf(values[i]) && !isnan(values[i]))
            return avvik__error_set(
                error, AVVIK_ERR_FORMAT, 0,
                "%s: row %llu of column '%s' holds %.9g; what rows are grouped by are whole numbers", file->path,
                (unsigned long long)(row + i), column->name, (double)values[i]);
    return AVVIK_OK;
}

enum avvik_status avvik__plan_fetch(struct avvik__plan *plan, struct avvik__fetcher *fetcher, size_t from,
                                    size_t n_rows, float *columns, size_t column_stride, int keep_going,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    for (size_t i = 0; i < plan->n_parts && status == AVVIK_OK; i++) {
        const struct avvik__part *part = &plan->parts[i];
        const size_t end = from + n_rows;
        if (part->at >= end || part->at + part->n_rows <= from)
            continue;
        const size_t skip = from > part->at ? from - part->at : 0;
        const size_t n = (end < part->at + part->n_rows ? end - part->at : part->n_rows) - skip;
        float *place = columns + (part->at + skip - from);
        const char *problem = part_fetch(plan, fetcher, part, skip, n, place, column_stride);
        if (problem != NULL)
            status = part_fail(plan, part, skip, n, problem, place, column_stride, keep_going, error);
        const struct avvik__store *store = part->store;
        for (size_t f = store->first_feature; f < store->first_feature + store->n_features && status == AVVIK_OK; f++)
            status = attributes_apply(part->file, &part->file->columns[f], part->row + skip, place + f * column_stride,
                                      n, error);
    }
    return status;
}

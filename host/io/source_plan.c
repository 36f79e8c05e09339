/* Planning a block and fetching its rows: source_plan.h says how the two share the work. */
#define _GNU_SOURCE /* pread, posix_fadvise */
#include "source_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "element.h"
#include "input_driver.h"
#include "hash_text.h"
#include "source_internal.h"

#define RAW_BYTES ((size_t)256 << 10) /* rows that are read before they are converted; more where a row is larger */
#define EXACT_INTEGERS 0x1p24f        /* float32 holds every integer below */

/* A run of a block's rows in one store of one file. */
struct part {
    struct avvik__source_file *file;
    struct avvik__store *store;
    size_t at, n_rows;          /* rows of the block */
    uint64_t row;               /* of the file: its first */
    struct avvik__chunk *chunk; /* of a chunked store */
    const char *problem;        /* HDF5 could not read it, or not find its chunk */
};

struct avvik__plan {
    struct avvik_source *source;
    size_t max_rows;
    const char *is_wanted; /* [column], or NULL */
    uint64_t first;
    size_t n_rows;
    struct part *parts;
    size_t n_parts, parts_capacity;
    float *plain;                   /* [feature][max_rows]: what H5Dread read; made when the first such column is met */
    struct avvik__fetcher *checker; /* of chunks that H5Dread is about to read; made when the first is met */
    struct avvik__damage *damage;
    size_t n_damage, damage_capacity;
};

struct avvik__fetcher {
    struct avvik__decoder *decoder;
    unsigned char *raw;
    size_t raw_bytes;
    struct avvik__fetch_times times;
};

static const char beyond_the_end[] = "it lies beyond the end of the file";

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- chunks ---------------------------------------------------------------------------------------------------- */

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
        return beyond_the_end;
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
    problem = avvik__chunk_decode(fetcher->decoder, &store->filters, chunk->filter_mask, fetcher->raw,
                                  (size_t)chunk->stored_bytes, chunk->rows, store->chunk_bytes);
    fetcher->times.decode_ns += now_ns() - start;
    return problem;
}

static int is_encoded(const struct avvik__chunk *chunk)
{
    return chunk != NULL && chunk->is_stored && chunk->store->filters.n > 0;
}

/* Decode a chunk that nobody has decoded yet; where another thread is at it, wait for it or (is_patient 0) leave it. */
static void chunk_decode_once(struct avvik_source *source, struct avvik__fetcher *fetcher, struct avvik__chunk *chunk,
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

/* --- plan --------------------------------------------------------------------------------------------------------- */

enum avvik_status avvik__plan_create(struct avvik_source *source, size_t max_rows, struct avvik__plan **plan_out,
                                     struct avvik_error *error)
{
    struct avvik__plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    plan->source = source;
    plan->max_rows = max_rows;
    *plan_out = plan;
    return AVVIK_OK;
}

void avvik__plan_clear(struct avvik__plan *plan)
{
    for (size_t i = 0; i < plan->n_parts; i++)
        if (plan->parts[i].chunk != NULL)
            avvik__chunk_release(plan->source, plan->parts[i].chunk);
    plan->n_parts = plan->n_damage = plan->n_rows = 0;
}

void avvik__plan_free(struct avvik__plan *plan)
{
    if (plan == NULL)
        return;
    avvik__plan_clear(plan);
    free(plan->parts);
    free(plan->plain);
    avvik__fetcher_free(plan->checker);
    free(plan->damage);
    free(plan);
}

static struct part *part_append(struct avvik__plan *plan)
{
    if (plan->n_parts == plan->parts_capacity) {
        const size_t capacity = plan->parts_capacity == 0 ? 64 : 2 * plan->parts_capacity;
        void *larger = realloc(plan->parts, capacity * sizeof *plan->parts);
        if (larger == NULL)
            return NULL;
        plan->parts = larger;
        plan->parts_capacity = capacity;
    }
    return memset(&plan->parts[plan->n_parts++], 0, sizeof *plan->parts);
}

/* The kernel reads ahead while earlier blocks are still at work. */
static void part_announce(const struct part *part)
{
    const struct avvik__store *store = part->store;
    if (store->layout == AVVIK_LAYOUT_CONTIGUOUS)
        posix_fadvise(store->descriptor, (off_t)(store->address + part->row * store->row_bytes),
                      (off_t)(part->n_rows * store->row_bytes), POSIX_FADV_WILLNEED);
    else if (store->layout == AVVIK_LAYOUT_CHUNKED && part->chunk != NULL && part->chunk->is_stored)
        posix_fadvise(store->descriptor, (off_t)part->chunk->address, (off_t)part->chunk->stored_bytes,
                      POSIX_FADV_WILLNEED);
}

/* HDF5 1.10 believes what a chunk decodes to: more takes any memory, less makes it read beyond what it has. So it is
 * decoded here first. */
static enum avvik_status part_check(struct avvik__plan *plan, struct part *part, struct avvik_error *error)
{
    if (plan->checker == NULL) {
        const enum avvik_status status = avvik__fetcher_create(plan->source, &plan->checker, error);
        if (status != AVVIK_OK)
            return status;
    }
    chunk_decode_once(plan->source, plan->checker, part->chunk, 1);
    part->problem = part->chunk->problem;
    return AVVIK_OK;
}

/* What only HDF5 can read, it reads now. */
static enum avvik_status part_read_plainly(struct avvik__plan *plan, struct part *part, int keep_going,
                                           struct avvik_error *error)
{
    if (plan->plain == NULL &&
        (plan->plain = avvik__aligned_calloc(plan->source->n_columns * plan->max_rows, sizeof(float))) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    float *values = plan->plain + part->store->first_feature * plan->max_rows + part->at;
    const enum avvik_status status = part->file->compound >= 0
                                         ? avvik__compound_read_plainly(plan->source, part->file, part->row,
                                                                        part->n_rows, values, plan->max_rows, error)
                                         : avvik__column_read_plainly(part->file, part->store->first_feature, part->row,
                                                                      part->n_rows, values, error);
    if (status != AVVIK_ERR_FORMAT || !keep_going)
        return status;
    part->problem = "HDF5 cannot read it";
    return AVVIK_OK;
}

/* The sentence for a part that cannot be read, which tells of the whole chunk where there is one. */
static enum avvik_status part_refuse(const struct part *part, const char *problem, struct avvik_error *error)
{
    const struct avvik__store *store = part->store;
    uint64_t first = part->row, n_rows = part->n_rows;
    if (part->chunk != NULL) {
        first -= first % store->chunk_rows;
        const uint64_t left = part->file->n_rows - first;
        n_rows = left < store->chunk_rows ? left : store->chunk_rows;
    }
    return avvik__rows_unreadable(part->file, store->first_feature, first, n_rows, problem, error);
}

/* The chunk of a part. */
static enum avvik_status part_locate(struct avvik__plan *plan, struct part *part, int keep_going,
                                     struct avvik_error *error)
{
    char reason[256];
    const enum avvik_status status =
        avvik__chunk_get(plan->source, part->store, part->row / part->store->chunk_rows, &part->chunk);
    if (status == AVVIK_ERR_MEMORY)
        return avvik__error_set(error, status, 0, "out of memory");
    if (status == AVVIK_OK)
        return AVVIK_OK;
    avvik__h5_reason(reason, sizeof reason);
    part->problem = "HDF5 cannot find its chunk";
    if (strstr(reason, "addr overflow") != NULL ||
        strstr(reason, "temporary file space") != NULL) { /* in HDF5's words */
        part->problem = beyond_the_end;
        snprintf(reason, sizeof reason, "%s", beyond_the_end);
    }
    return keep_going ? AVVIK_OK : part_refuse(part, reason, error);
}

/* Rows [row, row + n_rows) of a store, from row `at` of the block on. */
static enum avvik_status store_plan(struct avvik__plan *plan, struct avvik__source_file *file,
                                    struct avvik__store *store, uint64_t row, size_t at, size_t n_rows, int keep_going,
                                    struct avvik_error *error)
{
    while (n_rows > 0) {
        struct part *part = part_append(plan);
        if (part == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        *part = (struct part){.file = file, .store = store, .at = at, .n_rows = n_rows, .row = row};
        enum avvik_status status = AVVIK_OK;
        if (store->layout == AVVIK_LAYOUT_CHUNKED || store->is_checked) {
            const uint64_t left = store->chunk_rows - row % store->chunk_rows;
            part->n_rows = n_rows < left ? n_rows : (size_t)left;
            status = part_locate(plan, part, keep_going, error);
        }
        if (status == AVVIK_OK && store->is_checked && is_encoded(part->chunk)) {
            status = part_check(plan, part, error);
            if (status == AVVIK_OK && part->problem != NULL && !keep_going)
                return part_refuse(part, part->problem, error);
        }
        if (status == AVVIK_OK && store->layout == AVVIK_LAYOUT_PLAIN && part->problem == NULL)
            status = part_read_plainly(plan, part, keep_going, error);
        if (status != AVVIK_OK)
            return status;
        part_announce(part);
        row += part->n_rows;
        at += part->n_rows;
        n_rows -= part->n_rows;
    }
    return AVVIK_OK;
}

void avvik__plan_want(struct avvik__plan *plan, const char *is_wanted)
{
    plan->is_wanted = is_wanted;
}

static int is_store_wanted(const struct avvik__plan *plan, const struct avvik__store *store)
{
    if (plan->is_wanted == NULL)
        return 1;
    for (size_t f = store->first_feature; f < store->first_feature + store->n_features; f++)
        if (plan->is_wanted[f])
            return 1;
    return 0;
}

enum avvik_status avvik__plan_rows(struct avvik__plan *plan, uint64_t first, size_t n_rows, int keep_going,
                                   struct avvik_error *error)
{
    struct avvik_source *source = plan->source;
    avvik__plan_clear(plan);
    if (first > source->n_rows || n_rows > source->n_rows - first || n_rows > plan->max_rows)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "rows %llu to %llu are outside the table",
                                (unsigned long long)first, (unsigned long long)(first + n_rows));
    avvik__h5_quiet();
    plan->first = first;
    plan->n_rows = n_rows;
    for (size_t i = 0, at = 0; i < source->n_files && at < n_rows; i++) {
        struct avvik__source_file *file = &source->files[i];
        if (first >= file->n_rows) {
            first -= file->n_rows;
            avvik__stores_leave(source, file);
            continue;
        }
        file->is_left = 0;
        const size_t here = n_rows - at < file->n_rows - first ? n_rows - at : (size_t)(file->n_rows - first);
        for (size_t s = 0; s < file->n_stores; s++) {
            if (!is_store_wanted(plan, &file->stores[s]))
                continue;
            const enum avvik_status status =
                store_plan(plan, file, &file->stores[s], first, at, here, keep_going, error);
            if (status != AVVIK_OK)
                return status;
        }
        at += here;
        first = 0;
    }
    return AVVIK_OK;
}

/* --- fetch -------------------------------------------------------------------------------------------------------- */

void avvik__plan_decode(struct avvik__plan *plan, struct avvik__fetcher *fetcher)
{
    for (size_t i = 0; i < plan->n_parts; i++)
        if (is_encoded(plan->parts[i].chunk))
            chunk_decode_once(plan->source, fetcher, plan->parts[i].chunk, 0);
}

/* The features of n rows, as they lie in the file, to columns that begin with the first of these rows. */
static void rows_convert(const struct part *part, const void *rows, size_t n, float *columns, size_t column_stride)
{
    const struct avvik__store *store = part->store;
    for (size_t f = store->first_feature; f < store->first_feature + store->n_features; f++) {
        const struct avvik__column *column = &part->file->columns[f];
        avvik__element_convert(column->element, (const char *)rows + column->offset, store->row_bytes, n,
                               columns + f * column_stride);
    }
}

/* Rows that lie in the file as they are. */
static const char *rows_read(struct avvik__fetcher *fetcher, const struct part *part, uint64_t address, size_t n,
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

/* Rows [skip, skip + n) of a part. */
static const char *part_fetch(struct avvik__plan *plan, struct avvik__fetcher *fetcher, const struct part *part,
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
    const size_t place = (size_t)(row % store->chunk_rows) * store->row_bytes;
    if (!chunk->is_stored) {
        rows_convert(part, store->fill_row, 1, columns, column_stride);
        for (size_t f = store->first_feature; f < store->first_feature + store->n_features; f++)
            for (size_t i = 1; i < n; i++)
                columns[f * column_stride + i] = columns[f * column_stride];
        return NULL;
    }
    if (!is_encoded(chunk))
        return chunk->stored_bytes != store->chunk_bytes
                   ? "it has not as many bytes as its rows"
                   : rows_read(fetcher, part, chunk->address + place, n, columns, column_stride);
    chunk_decode_once(plan->source, fetcher, chunk, 1);
    if (chunk->problem == NULL)
        rows_convert(part, (const char *)chunk->rows + place, n, columns, column_stride);
    return chunk->problem;
}

static enum avvik_status damage_add(struct avvik__plan *plan, const struct part *part, size_t skip, size_t n,
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
static enum avvik_status part_fail(struct avvik__plan *plan, const struct part *part, size_t skip, size_t n,
                                   const char *problem, float *columns, size_t column_stride, int keep_going,
                                   struct avvik_error *error)
{
    const struct avvik__store *store = part->store;
    if (!keep_going)
        return part_refuse(part, problem, error);
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
        const struct part *part = &plan->parts[i];
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

/* --- memory ------------------------------------------------------------------------------------------------------- */

size_t avvik__fetcher_bytes(const struct avvik_source *source)
{
    return 3 * raw_bytes(source); /* the decoder has two such areas of its own */
}

size_t avvik__plan_bytes(const struct avvik_source *source, size_t n_plans, size_t n_rows)
{
    size_t most = 0;
    for (size_t i = 0; i < source->n_files; i++) {
        size_t bytes = 0, has_plain = 0;
        for (size_t s = 0; s < source->files[i].n_stores; s++) {
            const struct avvik__store *store = &source->files[i].stores[s];
            if (store->filters.n > 0)
                bytes += (n_plans * n_rows / store->chunk_rows + 2) * store->chunk_bytes;
            has_plain |= store->layout == AVVIK_LAYOUT_PLAIN;
        }
        bytes += has_plain ? n_plans * source->n_columns * n_rows * sizeof(float) : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

void avvik__source_read_plainly(struct avvik_source *source)
{
    for (size_t i = 0; i < source->n_files; i++)
        for (size_t s = 0; s < source->files[i].n_stores; s++) {
            source->files[i].stores[s].layout = AVVIK_LAYOUT_PLAIN;
            source->files[i].stores[s].is_checked = source->files[i].stores[s].filters.n > 0;
        }
}

void avvik__source_state(const struct avvik_source *source, char *text)
{
    struct {
        XXH128_canonical_t before, path;
        int64_t is_known, bytes, seconds, nanoseconds;
    } part = {0};
    for (size_t i = 0; i < source->n_files; i++) {
        const struct avvik__source_file *file = &source->files[i];
        struct stat info = {0};
        uint64_t bytes;
        const int descriptor = avvik__input_descriptor(file->file, &bytes);
        XXH128_canonicalFromHash(&part.path, XXH3_128bits(file->path, strlen(file->path)));
        part.is_known = descriptor >= 0 && fstat(descriptor, &info) == 0;
        part.bytes = info.st_size;
        part.seconds = info.st_mtim.tv_sec;
        part.nanoseconds = info.st_mtim.tv_nsec;
        XXH128_canonicalFromHash(&part.before, XXH3_128bits(&part, sizeof part));
    }
    avvik__hash_text(XXH128_hashFromCanonical(&part.before), text);
}

/* Columns of a record that are too long for memory: written and read a run of rows at a time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunk_encode.h"
#include "record_internal.h"

static enum avvik_status column_add(struct avvik__record *record, const char *path, enum avvik__type type,
                                    uint64_t n_rows, hid_t dataset, struct avvik__record_column **column_out,
                                    struct avvik_error *error)
{
    XXH3_state_t *digest = XXH3_createState();
    struct avvik__record_column *column = malloc(sizeof *column);
    void *larger = realloc(record->columns, (record->n_columns + 1) * sizeof *record->columns);
    if (larger != NULL)
        record->columns = larger;
    if (larger == NULL || digest == NULL || column == NULL) {
        avvik__h5_close(dataset);
        XXH3_freeState(digest);
        free(column);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    record->columns[record->n_columns++] = column;
    *column = (struct avvik__record_column){
        .record = record, .dataset = dataset, .type = type, .n_rows = n_rows, .digest = digest};
    snprintf(column->path, sizeof column->path, "%s", path);
    avvik__digest_start(digest, type, 1, &n_rows);
    *column_out = column;
    return AVVIK_OK;
}

enum avvik_status avvik__record_column_create(struct avvik__record *record, const char *path, enum avvik__type type,
                                              uint64_t n_rows, size_t chunk_rows, int level,
                                              struct avvik__record_column **column_out, struct avvik_error *error)
{
    const hsize_t dims = n_rows;
    const hid_t dataset =
        avvik__dataset_create(record, path, avvik__type_id(type), 1, &dims, chunk_rows, (unsigned)level);
    if (dataset < 0)
        return avvik__record_write_failed(record, path, error);
    const enum avvik_status status = column_add(record, path, type, n_rows, dataset, column_out, error);
    if (status == AVVIK_OK) {
        (*column_out)->chunk_rows = chunk_rows;
        (*column_out)->level = level;
    }
    return status;
}

enum avvik_status avvik__record_column_open(struct avvik__record *record, const char *path, enum avvik__type type,
                                            uint64_t n_rows, struct avvik__record_column **column_out,
                                            struct avvik_error *error)
{
    uint64_t found;
    const hid_t dataset = avvik__dataset_open_exact(record, path, type, 0);
    if (dataset < 0 || !avvik__dataset_dims(dataset, 1, &found) || found != n_rows) {
        avvik__h5_close(dataset);
        return avvik__record_read_failed(record, path, error);
    }
    return column_add(record, path, type, n_rows, dataset, column_out, error);
}

/* Select the next n_rows rows; 0 if that works. */
static int column_select(struct avvik__record_column *column, size_t n_rows, hid_t *memory_out, hid_t *space_out)
{
    const hsize_t start = column->next, count = n_rows;
    *memory_out = H5Screate_simple(1, &count, NULL);
    *space_out = H5Dget_space(column->dataset);
    return n_rows <= column->n_rows - column->next && *memory_out >= 0 && *space_out >= 0 &&
                   H5Sselect_hyperslab(*space_out, H5S_SELECT_SET, &start, NULL, &count, NULL) >= 0
               ? 0
               : -1;
}

/* Chunks go straight to the file: through HDF5's cache they would be copied once more, and deflated by one thread. */
static enum avvik_status chunk_put(struct avvik__record_column *column, const void *bytes, size_t n_bytes,
                                   struct avvik_error *error)
{
    const hsize_t offset = column->next;
    const herr_t failed = H5Dwrite_chunk(column->dataset, H5P_DEFAULT, 0, &offset, n_bytes, bytes);
    return failed < 0 || column->record->output.first_errno != 0
               ? avvik__record_write_failed(column->record, column->path, error)
               : AVVIK_OK;
}

/* A run of rows of a contiguous column. */
static enum avvik_status rows_put(struct avvik__record_column *column, const void *data, size_t n_rows,
                                  struct avvik_error *error)
{
    hid_t memory, space;
    const int failed = column_select(column, n_rows, &memory, &space) != 0 ||
                       H5Dwrite(column->dataset, avvik__type_id(column->type), memory, space, H5P_DEFAULT, data) < 0;
    avvik__h5_close(memory);
    avvik__h5_close(space);
    return failed || column->record->output.first_errno != 0
               ? avvik__record_write_failed(column->record, column->path, error)
               : AVVIK_OK;
}

void avvik__record_column_accept(struct avvik__record_column *column, const void *data, size_t n_rows)
{
    XXH3_128bits_update(column->digest, data, n_rows * avvik__type_size(column->type));
    column->next += n_rows;
}

void avvik__record_chunk_digest(const void *bytes, size_t n, unsigned char *digest_out)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, n));
    memcpy(digest_out, canonical.digest, sizeof canonical.digest);
}

enum avvik_status avvik__record_column_write(struct avvik__record_column *column, const void *data, size_t n_rows,
                                             const void *encoded, size_t encoded_bytes, struct avvik_error *error)
{
    const size_t size = avvik__type_size(column->type), chunk_bytes = column->chunk_rows * size;
    void *padded = NULL;
    if (column->chunk_rows == 0) {
        const enum avvik_status put = rows_put(column, data, n_rows, error);
        if (put == AVVIK_OK)
            avvik__record_column_accept(column, data, n_rows);
        return put;
    }
    if (encoded == NULL) {
        encoded = data;
        encoded_bytes = chunk_bytes;
        if (n_rows < column->chunk_rows) { /* the last */
            if ((padded = calloc(1, chunk_bytes)) == NULL)
                return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
            encoded = memcpy(padded, data, n_rows * size);
        }
    }
    const enum avvik_status status = chunk_put(column, encoded, encoded_bytes, error);
    free(padded);
    if (status == AVVIK_OK)
        avvik__record_column_accept(column, data, n_rows);
    return status;
}

enum avvik_status avvik__record_column_replay(struct avvik__record_column *column, struct avvik__encoder *encoder,
                                              size_t n_rows, size_t encoded_bytes, const unsigned char *digest,
                                              void *data_out, int *is_whole_out, struct avvik_error *error)
{
    const size_t size = avvik__type_size(column->type), chunk_bytes = column->chunk_rows * size;
    const size_t stored = column->level > 0 ? encoded_bytes : chunk_bytes,
                 used = column->level > 0 ? encoded_bytes : n_rows * size;
    unsigned char found[sizeof(XXH128_canonical_t)];
    *is_whole_out = 0;
    if (stored == 0 || stored > avvik__encoded_bytes_max(chunk_bytes))
        return AVVIK_OK;
    char *bytes = malloc(stored);
    if (bytes == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    column->record->output.replay = bytes;
    const enum avvik_status status = chunk_put(column, bytes, stored, error);
    column->record->output.replay = NULL;
    if (status == AVVIK_OK) {
        avvik__record_chunk_digest(bytes, used, found);
        *is_whole_out = memcmp(found, digest, sizeof found) == 0;
        for (size_t i = used; i < stored; i++) /* a last chunk goes on with zeros */
            *is_whole_out &= bytes[i] == 0;
    }
    if (*is_whole_out && column->level > 0)
        *is_whole_out = avvik__chunk_unpack(encoder, bytes, stored, n_rows, column->chunk_rows, size, data_out);
    else if (*is_whole_out)
        memcpy(data_out, bytes, used);
    free(bytes);
    return status;
}

enum avvik_status avvik__record_column_read(struct avvik__record_column *column, void *data, size_t n_rows,
                                            struct avvik_error *error)
{
    hid_t memory, space;
    enum avvik_status status = AVVIK_OK;
    if (column_select(column, n_rows, &memory, &space) != 0 ||
        H5Dread(column->dataset, avvik__type_id(column->type), memory, space, H5P_DEFAULT, data) < 0)
        status = avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                  "%s: rows %" PRIu64 " to %" PRIu64 " of %s cannot be read; "
                                  "the file is damaged",
                                  column->record->path, column->next, column->next + n_rows - 1, column->path);
    avvik__h5_close(memory);
    avvik__h5_close(space);
    if (status == AVVIK_OK)
        XXH3_128bits_update(column->digest, data, n_rows * avvik__type_size(column->type));
    column->next += n_rows;
    return status;
}

void avvik__record_column_skip(struct avvik__record_column *column, size_t n_rows)
{
    column->next += n_rows;
}

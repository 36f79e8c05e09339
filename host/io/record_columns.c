/* Columns of a record that are too long for memory: written and read a run of rows at a time. */
#include <inttypes.h>
#include <stdio.h>

#include "record_internal.h"

#define COLUMN_CHUNK_ROWS 65536

static enum avvik_status column_add(struct avvik__record *record, const char *path, enum avvik__type type,
                                    uint64_t n_rows, hid_t dataset, struct avvik__record_column **column_out,
                                    struct avvik_error *error)
{
    XXH3_state_t *digest = XXH3_createState();
    if (record->n_columns == AVVIK_RECORD_COLUMNS || digest == NULL) {
        avvik__h5_close(dataset);
        XXH3_freeState(digest);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    struct avvik__record_column *column = &record->columns[record->n_columns++];
    *column = (struct avvik__record_column){
        .record = record, .dataset = dataset, .type = type, .n_rows = n_rows, .digest = digest};
    snprintf(column->path, sizeof column->path, "%s", path);
    avvik__digest_start(digest, type, 1, &n_rows);
    *column_out = column;
    return AVVIK_OK;
}

enum avvik_status avvik__record_column_create(struct avvik__record *record, const char *path, enum avvik__type type,
                                              uint64_t n_rows, struct avvik__record_column **column_out,
                                              struct avvik_error *error)
{
    const hsize_t dims = n_rows;
    const hid_t dataset = avvik__dataset_create(record, path, avvik__type_id(type), 1, &dims,
                                                n_rows < COLUMN_CHUNK_ROWS ? n_rows : COLUMN_CHUNK_ROWS);
    return dataset < 0 ? avvik__record_write_failed(record, path, error)
                       : column_add(record, path, type, n_rows, dataset, column_out, error);
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

enum avvik_status avvik__record_column_write(struct avvik__record_column *column, const void *data, size_t n_rows,
                                             struct avvik_error *error)
{
    hid_t memory, space;
    enum avvik_status status = AVVIK_OK;
    if (column_select(column, n_rows, &memory, &space) != 0 ||
        H5Dwrite(column->dataset, avvik__type_id(column->type), memory, space, H5P_DEFAULT, data) < 0 ||
        column->record->output.first_errno != 0)
        status = avvik__record_write_failed(column->record, column->path, error);
    avvik__h5_close(memory);
    avvik__h5_close(space);
    XXH3_128bits_update(column->digest, data, n_rows * avvik__type_size(column->type));
    column->next += n_rows;
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

/* Reading rows of a source. */
#include <stdlib.h>
#include <string.h>

#include "input_driver.h"
#include "kernels.h"
#include "source_internal.h"
#include "source_plan.h"

#define READ_ROWS ((size_t)65536) /* planned at a time */

enum avvik_status avvik__rows_unreadable(const struct avvik__source_file *file, size_t feature, uint64_t first,
                                         uint64_t n_rows, const char *reason, struct avvik_error *error)
{
    return avvik__error_set(
        error, AVVIK_ERR_FORMAT, 0,
        "%s: rows %llu to %llu of column '%s' cannot be read (%s); restore the file from a copy, or "
        "score the other rows with --skip-damaged",
        file->path, (unsigned long long)first, (unsigned long long)(first + n_rows - 1), file->columns[feature].name,
        reason);
}

static enum avvik_status read_failed(const struct avvik__source_file *file, size_t feature, uint64_t first,
                                     size_t n_rows, struct avvik_error *error)
{
    char reason[256];
    avvik__h5_reason(reason, sizeof reason);
    return avvik__rows_unreadable(file, feature, first, n_rows, reason, error);
}

/* H5Dread, into zeros: HDF5 leaves alone what has no fill value. */
static herr_t rows_read(const struct avvik__store *store, hid_t type, hid_t memory, hid_t space, void *rows,
                        size_t bytes)
{
    memset(rows, 0, bytes);
    avvik__input_inflate_limit(store->inflate_limit);
    const herr_t failed = H5Dread(store->dataset, type, memory, space, H5P_DEFAULT, rows);
    avvik__input_inflate_limit(0);
    return failed;
}

static herr_t rows_select(hid_t space, uint64_t first, size_t n_rows)
{
    const hsize_t start = first, count = n_rows;
    return H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL);
}

enum avvik_status avvik__column_read_plainly(const struct avvik__source_file *file, size_t feature, uint64_t first,
                                             size_t n_rows, float *values, struct avvik_error *error)
{
    const hsize_t count = n_rows;
    const struct avvik__column *column = &file->columns[feature];
    const hid_t memory = H5Screate_simple(1, &count, NULL);
    enum avvik_status status = AVVIK_OK;
    if (memory < 0 || rows_select(column->space, first, n_rows) < 0 ||
        rows_read(&file->stores[feature], H5T_NATIVE_FLOAT, memory, column->space, values, n_rows * sizeof *values) < 0)
        status = read_failed(file, feature, first, n_rows, error);
    avvik__h5_close(memory);
    return status;
}

enum avvik_status avvik__compound_read_plainly(struct avvik_source *source, const struct avvik__source_file *file,
                                               uint64_t first, size_t n_rows, float *columns, size_t column_stride,
                                               struct avvik_error *error)
{
    size_t bytes;
    if (__builtin_mul_overflow(n_rows, file->compound_size, &bytes))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    if (bytes > source->compound_bytes) {
        free(source->compound_rows);
        source->compound_bytes = 0;
        if ((source->compound_rows = malloc(bytes)) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        source->compound_bytes = bytes;
    }
    const hsize_t count = n_rows;
    const hid_t memory = H5Screate_simple(1, &count, NULL);
    enum avvik_status status = AVVIK_OK;
    if (memory < 0 || rows_select(file->compound_space, first, n_rows) < 0 ||
        rows_read(&file->stores[0], file->compound_type, memory, file->compound_space, source->compound_rows, bytes) <
            0)
        status = read_failed(file, 0, first, n_rows, error);
    for (size_t f = 0; f < source->n_columns && status == AVVIK_OK; f++)
        for (size_t i = 0; i < n_rows; i++)
            memcpy(&columns[f * column_stride + i], source->compound_rows + i * file->compound_size + file->offsets[f],
                   sizeof(float));
    avvik__h5_close(memory);
    return status;
}

enum avvik_status avvik_source_read(struct avvik_source *source, uint64_t first, size_t n_rows, float *columns,
                                    size_t column_stride, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    if (first > source->n_rows || n_rows > source->n_rows - first || n_rows > column_stride)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "rows %llu to %llu are outside the table",
                                (unsigned long long)first, (unsigned long long)(first + n_rows));
    if (source->plan == NULL) {
        AVVIK_TRY(avvik__plan_create(source, READ_ROWS, &source->plan, error));
        AVVIK_TRY(avvik__fetcher_create(source, &source->fetcher, error));
    }
    for (size_t done = 0; done < n_rows; done += READ_ROWS) {
        const size_t n = n_rows - done < READ_ROWS ? n_rows - done : READ_ROWS;
        AVVIK_TRY(avvik__plan_rows(source->plan, first + done, n, 0, error));
        AVVIK_TRY(avvik__plan_fetch(source->plan, source->fetcher, 0, n, columns + done, column_stride, 0, error));
    }
done:
    return status;
}

size_t avvik_source_stride(const struct avvik_source *source)
{
    return (source->n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
}

enum avvik_status avvik_source_read_tile(struct avvik_source *source, uint64_t first, size_t n_rows, float *tile,
                                         struct avvik_error *error)
{
    size_t n_floats;
    if (n_rows == 0)
        return AVVIK_OK;
    if (__builtin_mul_overflow(n_rows, source->n_columns, &n_floats))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    if (n_floats > source->staging_floats) {
        free(source->staging);
        source->staging_floats = 0;
        if ((source->staging = avvik__aligned_calloc(n_floats, sizeof(float))) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        source->staging_floats = n_floats;
    }
    const enum avvik_status status = avvik_source_read(source, first, n_rows, source->staging, n_rows, error);
    if (status != AVVIK_OK)
        return status;
    uint64_t *counts = calloc(2 * source->n_features, sizeof *counts);
    if (counts == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    if (source->kernels.tile_pack == NULL)
        avvik__kernels_select(&source->kernels, avvik__cpu_features()); /* a virtual machine takes long over this */
    source->kernels.tile_pack(tile, avvik_source_stride(source), source->staging, n_rows, source->n_features, 1, n_rows,
                              counts, counts + source->n_features);
    free(counts);
    return AVVIK_OK;
}

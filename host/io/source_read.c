/* Reading rows of a source. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "source_internal.h"

#define EXACT_INTEGERS 0x1p24f /* float32 holds every integer below */

static enum avvik_status read_failed(const struct avvik__source_file *file, const char *column, uint64_t first,
                                     size_t n_rows, struct avvik_error *error)
{
    char reason[256];
    avvik__h5_reason(reason, sizeof reason);
    return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: rows %llu to %llu of column '%s' cannot be read (%s)",
                            file->path, (unsigned long long)first, (unsigned long long)(first + n_rows - 1), column,
                            reason);
}

static herr_t rows_select(hid_t space, uint64_t first, size_t n_rows)
{
    const hsize_t start = first, count = n_rows;
    return H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL);
}

static enum avvik_status group_read(const struct avvik__source_file *file, size_t n_features, uint64_t first,
                                    size_t n_rows, float *columns, size_t column_stride, struct avvik_error *error)
{
    const hsize_t count = n_rows;
    const hid_t memory = H5Screate_simple(1, &count, NULL);
    enum avvik_status status = AVVIK_OK;
    for (size_t f = 0; f < n_features && status == AVVIK_OK; f++) {
        const struct avvik__column *column = &file->columns[f];
        if (memory < 0 || rows_select(column->space, first, n_rows) < 0 ||
            H5Dread(column->dataset, H5T_NATIVE_FLOAT, memory, column->space, H5P_DEFAULT,
                    columns + f * column_stride) < 0)
            status = read_failed(file, column->name, first, n_rows, error);
    }
    avvik__h5_close(memory);
    return status;
}

static enum avvik_status compound_read(struct avvik_source *source, const struct avvik__source_file *file,
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
        H5Dread(file->compound, file->compound_type, memory, file->compound_space, H5P_DEFAULT, source->compound_rows) <
            0)
        status = read_failed(file, file->columns[0].name, first, n_rows, error);
    for (size_t f = 0; f < source->n_features && status == AVVIK_OK; f++)
        for (size_t i = 0; i < n_rows; i++)
            memcpy(&columns[f * column_stride + i], source->compound_rows + i * file->compound_size + file->offsets[f],
                   sizeof(float));
    avvik__h5_close(memory);
    return status;
}

/* What a column's attributes say about its values. */
static enum avvik_status attributes_apply(const struct avvik__source_file *file, const struct avvik__column *column,
                                          uint64_t first, float *values, size_t n_rows, struct avvik_error *error)
{
    for (size_t i = 0; column->has_fill && i < n_rows; i++)
        if (values[i] == column->fill)
            values[i] = NAN;
    for (size_t i = 0; column->is_category && i < n_rows; i++)
        if (fabsf(values[i]) >= EXACT_INTEGERS)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                    "%s: row %llu of column '%s' holds the code %.0f; codes stay below 16777216, which "
                                    "float32 holds exactly",
                                    file->path, (unsigned long long)(first + i), column->name, (double)values[i]);
    return AVVIK_OK;
}

enum avvik_status avvik_source_read(struct avvik_source *source, uint64_t first, size_t n_rows, float *columns,
                                    size_t column_stride, struct avvik_error *error)
{
    if (first > source->n_rows || n_rows > source->n_rows - first || n_rows > column_stride)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "rows %llu to %llu are outside the table",
                                (unsigned long long)first, (unsigned long long)(first + n_rows));
    avvik__h5_quiet();
    for (size_t i = 0; i < source->n_files && n_rows > 0; i++) {
        const struct avvik__source_file *file = &source->files[i];
        if (first >= file->n_rows) {
            first -= file->n_rows;
            continue;
        }
        const size_t here = n_rows < file->n_rows - first ? n_rows : (size_t)(file->n_rows - first);
        enum avvik_status status =
            file->compound >= 0 ? compound_read(source, file, first, here, columns, column_stride, error)
                                : group_read(file, source->n_features, first, here, columns, column_stride, error);
        for (size_t f = 0; f < source->n_features && status == AVVIK_OK; f++)
            status = attributes_apply(file, &file->columns[f], first, columns + f * column_stride, here, error);
        if (status != AVVIK_OK)
            return status;
        columns += here;
        n_rows -= here;
        first = 0;
    }
    return AVVIK_OK;
}

size_t avvik_source_stride(const struct avvik_source *source)
{
    return (source->n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
}

enum avvik_status avvik_source_read_tile(struct avvik_source *source, uint64_t first, size_t n_rows, float *tile,
                                         struct avvik_error *error)
{
    struct avvik__kernels kernels;
    size_t n_floats;
    if (n_rows == 0)
        return AVVIK_OK;
    if (__builtin_mul_overflow(n_rows, source->n_features, &n_floats))
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
    avvik__kernels_select(&kernels, avvik__cpu_features());
    kernels.tile_pack(tile, avvik_source_stride(source), source->staging, n_rows, source->n_features, 1, n_rows, counts,
                      counts + source->n_features);
    free(counts);
    return AVVIK_OK;
}

#include "integer_column.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source_internal.h"

struct file {
    const char *path;
    hid_t file, dataset, space;
    hid_t memory_type; /* 64 bits; of a compound table a compound of that one member */
    uint64_t n_rows, fill;
    int has_fill;
};

struct avvik__integer_column {
    char name[AVVIK_NAME_SIZE];
    int is_signed;
    size_t n_files;
    struct file files[];
};

void avvik__integer_close(struct avvik__integer_column *column)
{
    if (column == NULL)
        return;
    for (size_t i = 0; i < column->n_files; i++) {
        const struct file *file = &column->files[i];
        avvik__h5_close(file->memory_type);
        avvik__h5_close(file->space);
        avvik__h5_close(file->dataset);
        avvik__h5_close(file->file);
    }
    free(column);
}

int avvik__integer_is_signed(const struct avvik__integer_column *column)
{
    return column->is_signed;
}

static void fill_read(struct file *file, hid_t number)
{
    if (H5Aexists(file->dataset, "_FillValue") <= 0)
        return;
    const hid_t attribute = H5Aopen(file->dataset, "_FillValue", H5P_DEFAULT);
    const hid_t space = attribute < 0 ? H5I_INVALID_HID : H5Aget_space(attribute);
    file->has_fill =
        space >= 0 && H5Sget_simple_extent_npoints(space) == 1 && H5Aread(attribute, number, &file->fill) >= 0;
    avvik__h5_close(space);
    avvik__h5_close(attribute);
}

/* How to ask for the column as 64 bits. -1 if it holds no whole numbers, else whether they are signed. */
static int number_prepare(struct file *file, const struct avvik__column *found)
{
    int is_signed = -1;
    const hid_t whole = H5Dget_type(file->dataset);
    const int is_member = found->dataset < 0;
    const hid_t type = is_member ? H5Tget_member_type(whole, found->member) : H5Tcopy(whole);
    if (H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) <= sizeof(uint64_t)) {
        is_signed = H5Tget_sign(type) != H5T_SGN_NONE;
        const hid_t number = is_signed ? H5T_NATIVE_INT64 : H5T_NATIVE_UINT64;
        if (is_member) {
            char *name = H5Tget_member_name(whole, found->member);
            file->memory_type = H5Tcreate(H5T_COMPOUND, sizeof(uint64_t));
            H5Tinsert(file->memory_type, name, 0, number);
            H5free_memory(name);
        } else {
            file->memory_type = H5Tcopy(number);
            fill_read(file, number);
        }
    }
    avvik__h5_close(type);
    avvik__h5_close(whole);
    return is_signed;
}

static enum avvik_status file_open(struct avvik__integer_column *column, size_t index, const char *path,
                                   const char *location, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct file *file = &column->files[index];
    struct avvik__column *columns = NULL;
    size_t n_columns = 0, c = 0;
    hsize_t length = 0;
    hid_t table = H5I_INVALID_HID;
    char where[512];
    *file = (struct file){path, H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID, H5I_INVALID_HID, 0, 0, 0};
    column->n_files++;
    AVVIK_TRY(avvik__h5_open(path, &file->file, error));
    AVVIK_TRY(avvik__table_open(file->file, path, location, &table, &columns, &n_columns, error));
    while (c < n_columns && strcmp(columns[c].name, column->name) != 0)
        c++;
    if (c == n_columns)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: table %s has no column '%s'", path, location, column->name);
    if (columns[c].unusable != NULL)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: column '%s' of %s %s", path, column->name, location, columns[c].unusable);
    file->dataset = columns[c].dataset;
    if (file->dataset < 0) {
        file->dataset = table;
        table = H5I_INVALID_HID;
    }
    const int is_signed = number_prepare(file, &columns[c]);
    columns[c].dataset = H5I_INVALID_HID; /* it is the file's now */
    if (is_signed < 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: column '%s' of %s holds no whole numbers", path, column->name, location);
    if (index > 0 && is_signed != column->is_signed)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: column '%s' of %s is signed in one of the files only", path, column->name,
                   location);
    column->is_signed = is_signed;
    snprintf(where, sizeof where, "%.300s: column '%s'", path, column->name);
    AVVIK_TRY(avvik__h5_check_filters(file->dataset, where, error));
    if ((file->space = H5Dget_space(file->dataset)) < 0 || H5Sget_simple_extent_dims(file->space, &length, NULL) != 1)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s is not one-dimensional", where);
    file->n_rows = length;
done:
    avvik__columns_free(columns, n_columns);
    avvik__h5_close(table);
    return status;
}

enum avvik_status avvik__integer_open(const char *const *paths, size_t n_paths, const char *table, const char *name,
                                      struct avvik__integer_column **column_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__integer_column *column = calloc(1, sizeof *column + n_paths * sizeof column->files[0]);
    if (column == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    snprintf(column->name, sizeof column->name, "%s", name);
    for (size_t i = 0; i < n_paths; i++)
        AVVIK_TRY(file_open(column, i, paths[i], table, error));
    *column_out = column;
    column = NULL;
done:
    avvik__integer_close(column);
    return status;
}

static enum avvik_status file_read(const struct file *file, const char *name, uint64_t first, size_t n_rows,
                                   uint64_t *values, struct avvik_error *error)
{
    const hsize_t start = first, count = n_rows;
    const hid_t memory = H5Screate_simple(1, &count, NULL);
    enum avvik_status status = AVVIK_OK;
    if (memory < 0 || H5Sselect_hyperslab(file->space, H5S_SELECT_SET, &start, NULL, &count, NULL) < 0 ||
        H5Dread(file->dataset, file->memory_type, memory, file->space, H5P_DEFAULT, values) < 0) {
        char reason[256];
        avvik__h5_reason(reason, sizeof reason);
        status = avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                  "%s: rows %llu to %llu of column '%s' cannot be read (%s)", file->path,
                                  (unsigned long long)first, (unsigned long long)(first + n_rows - 1), name, reason);
    }
    avvik__h5_close(memory);
    return status;
}

enum avvik_status avvik__integer_read(struct avvik__integer_column *column, uint64_t first, size_t n_rows,
                                      uint64_t *values, uint8_t *is_missing, struct avvik_error *error)
{
    avvik__h5_quiet();
    for (size_t i = 0; i < column->n_files && n_rows > 0; i++) {
        const struct file *file = &column->files[i];
        if (first >= file->n_rows) {
            first -= file->n_rows;
            continue;
        }
        const size_t here = n_rows < file->n_rows - first ? n_rows : (size_t)(file->n_rows - first);
        const enum avvik_status status = file_read(file, column->name, first, here, values, error);
        if (status != AVVIK_OK)
            return status;
        for (size_t k = 0; k < here; k++)
            is_missing[k] = file->has_fill && values[k] == file->fill;
        values += here;
        is_missing += here;
        n_rows -= here;
        first = 0;
    }
    return n_rows == 0 ? AVVIK_OK
                       : avvik__error_set(error, AVVIK_ERR_USAGE, 0, "rows are outside column '%s'", column->name);
}

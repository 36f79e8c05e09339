#include "cell_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input_driver.h"
#include "source_internal.h"

#define MAX_CODES 65536

/* A column in one of the files. */
struct place {
    hid_t dataset, space; /* space: file data space; both not owned */
    hid_t memory_type;    /* 64 bits an element; of a compound table a compound of that one member */
    enum avvik_cell_kind kind;
    size_t n_elements, element; /* of a member that is an array; else 1 and 0 */
    size_t inflate_limit;
    int has_fill;
    union {
        int64_t as_signed;
        uint64_t as_unsigned;
        double as_real;
    } fill;
};

struct file {
    char *path;
    hid_t file, table, table_space;
    struct avvik__column *columns;
    size_t n_columns;
    struct place *places; /* of the reader's columns */
    uint64_t n_rows;
};

struct avvik__cell_reader {
    struct file *files;
    size_t n_files;
    struct avvik__cell_column *columns;
    size_t n_columns;
};

void avvik__cells_close(struct avvik__cell_reader *reader)
{
    if (reader == NULL)
        return;
    for (size_t i = 0; i < reader->n_files; i++) {
        struct file *file = &reader->files[i];
        for (size_t c = 0; file->places != NULL && c < reader->n_columns; c++)
            avvik__h5_close(file->places[c].memory_type);
        free(file->places);
        avvik__columns_free(file->columns, file->n_columns);
        avvik__h5_close(file->table_space);
        avvik__h5_close(file->table);
        avvik__h5_close(file->file);
        free(file->path);
    }
    for (size_t c = 0; c < reader->n_columns; c++)
        free(reader->columns[c].codes);
    free(reader->columns);
    free(reader->files);
    free(reader);
}

/* The names of the codes 0, 1, ... of a category, of fixed-length strings. */
static void codes_read(hid_t dataset, struct avvik__cell_column *column)
{
    const hid_t attribute = H5Aopen(dataset, "codes", H5P_DEFAULT);
    const hid_t type = attribute < 0 ? H5I_INVALID_HID : H5Aget_type(attribute);
    const hid_t space = attribute < 0 ? H5I_INVALID_HID : H5Aget_space(attribute);
    const hssize_t n = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    const hid_t memory = type < 0 ? H5I_INVALID_HID : H5Tcopy(type);
    if (n > 0 && n <= MAX_CODES && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
        H5Tset_size(memory, AVVIK_NAME_SIZE) >= 0 && H5Tset_strpad(memory, H5T_STR_NULLTERM) >= 0 &&
        (column->codes = calloc((size_t)n, AVVIK_NAME_SIZE)) != NULL && H5Aread(attribute, memory, column->codes) >= 0)
        column->n_codes = (size_t)n;
    avvik__h5_close(memory);
    avvik__h5_close(space);
    avvik__h5_close(type);
    avvik__h5_close(attribute);
}

/* What the first file says of its columns. */
static enum avvik_status columns_describe(struct avvik__cell_reader *reader, const struct file *file,
                                          struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    size_t *order = calloc(file->n_columns + 1, sizeof *order);
    reader->columns = calloc(file->n_columns + 1, sizeof *reader->columns);
    if (order == NULL || reader->columns == NULL ||
        !avvik__columns_order(file->table, file->columns, file->n_columns, order))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t k = 0; k < file->n_columns; k++) {
        const struct avvik__column *from = &file->columns[order[k]];
        struct avvik__cell_column *to = &reader->columns[reader->n_columns];
        if (from->unusable != NULL)
            continue;
        memcpy(to->name, from->name, sizeof to->name);
        if (from->dataset >= 0) {
            avvik__h5_string_attribute(from->dataset, "role", to->role, sizeof to->role);
            avvik__h5_string_attribute(from->dataset, "units", to->units, sizeof to->units);
        }
        to->use = avvik__use_of(from, to->role);
        if (from->is_category && from->dataset >= 0 && to->use != AVVIK_USE_NONE)
            codes_read(from->dataset, to);
        reader->n_columns++;
    }
done:
    free(order);
    return status;
}

/* How to ask for a column in 64 bits an element. */
static void place_find(struct place *place, const struct file *file, const struct avvik__column *column)
{
    const int is_member = column->dataset < 0;
    place->dataset = is_member ? file->table : column->dataset;
    place->space = is_member ? file->table_space : column->space;
    place->n_elements = column->member_elements == 0 ? 1 : column->member_elements;
    place->element = column->element_number;
    place->inflate_limit = avvik__dataset_inflate_limit(place->dataset);
    const hid_t whole = H5Dget_type(place->dataset);
    const hid_t member = is_member ? H5Tget_member_type(whole, column->member) : H5Tcopy(whole);
    const hid_t element = H5Tget_class(member) == H5T_ARRAY ? H5Tget_super(member) : H5Tcopy(member);
    const hid_t base = H5Tget_class(element) == H5T_ENUM ? H5Tget_super(element) : H5Tcopy(element);
    const int is_real = H5Tget_class(base) == H5T_FLOAT;
    place->kind = is_real                             ? AVVIK_CELL_REAL
                  : H5Tget_sign(base) == H5T_SGN_NONE ? AVVIK_CELL_UNSIGNED
                                                      : AVVIK_CELL_SIGNED;
    const hid_t native = is_real                              ? H5T_NATIVE_DOUBLE
                         : place->kind == AVVIK_CELL_UNSIGNED ? H5T_NATIVE_UINT64
                                                              : H5T_NATIVE_INT64;
    const hsize_t n_elements = place->n_elements;
    if (is_member) {
        char *name = H5Tget_member_name(whole, column->member);
        const hid_t inner = column->member_elements == 0 ? H5Tcopy(native) : H5Tarray_create2(native, 1, &n_elements);
        place->memory_type = H5Tcreate(H5T_COMPOUND, 8 * place->n_elements);
        H5Tinsert(place->memory_type, name, 0, inner);
        avvik__h5_close(inner);
        H5free_memory(name);
    } else {
        place->memory_type = H5Tcopy(native);
        if (column->has_fill) {
            const hid_t attribute = H5Aopen(column->dataset, "_FillValue", H5P_DEFAULT);
            place->has_fill = attribute >= 0 && H5Aread(attribute, native, &place->fill) >= 0;
            avvik__h5_close(attribute);
        }
    }
    avvik__h5_close(base);
    avvik__h5_close(element);
    avvik__h5_close(member);
    avvik__h5_close(whole);
}

static enum avvik_status file_open(struct avvik__cell_reader *reader, struct file *file, const char *location,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    hsize_t length = 0;
    AVVIK_TRY(avvik__h5_open(file->path, &file->file, error));
    AVVIK_TRY(
        avvik__table_open(file->file, file->path, location, &file->table, &file->columns, &file->n_columns, error));
    if (reader->columns == NULL)
        AVVIK_TRY(columns_describe(reader, file, error));
    if (file->n_columns > 0 && file->columns[0].dataset < 0)
        file->table_space = H5Dget_space(file->table);
    if ((file->places = calloc(reader->n_columns + 1, sizeof *file->places)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t c = 0; c < reader->n_columns; c++)
        file->places[c].memory_type = H5I_INVALID_HID;
    for (size_t c = 0; c < reader->n_columns; c++) {
        const char *name = reader->columns[c].name;
        size_t k = 0;
        while (k < file->n_columns && strcmp(file->columns[k].name, name) != 0)
            k++;
        if (k == file->n_columns || file->columns[k].unusable != NULL)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: table %s has no column '%s' of numbers, as the files before it have",
                       file->path, location, name);
        if (file->columns[k].role == AVVIK_ROLE_PROTECTED || file->columns[k].role == AVVIK_ROLE_EXCLUDED ||
            file->columns[k].role == AVVIK_ROLE_LABEL)
            reader->columns[c].use = AVVIK_USE_NONE;
        place_find(&file->places[c], file, &file->columns[k]);
        if (H5Sget_simple_extent_dims(file->places[c].space, &length, NULL) == 1 && length > file->n_rows)
            file->n_rows = length;
    }
done:
    return status;
}

enum avvik_status avvik__cells_open(const char *const *paths, size_t n_paths, const char *table,
                                    struct avvik__cell_reader **reader_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__cell_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL || (reader->files = calloc(n_paths, sizeof *reader->files)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < n_paths; i++) {
        struct file *file = &reader->files[i];
        file->file = file->table = file->table_space = H5I_INVALID_HID;
        reader->n_files++;
        if ((file->path = strdup(paths[i])) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(file_open(reader, file, table, error));
    }
    *reader_out = reader;
    reader = NULL;
done:
    avvik__cells_close(reader);
    return status;
}

const struct avvik__cell_column *avvik__cells_columns(const struct avvik__cell_reader *reader, size_t *n_out)
{
    *n_out = reader->n_columns;
    return reader->columns;
}

uint64_t avvik__cells_rows(const struct avvik__cell_reader *reader)
{
    uint64_t n = 0;
    for (size_t i = 0; i < reader->n_files; i++)
        n += reader->files[i].n_rows;
    return n;
}

size_t avvik__cells_find(const struct avvik__cell_reader *reader, const char *name)
{
    for (size_t c = 0; c < reader->n_columns; c++)
        if (strcmp(reader->columns[c].name, name) == 0)
            return c;
    return SIZE_MAX;
}

static struct avvik_cell cell_of(const struct place *place, uint64_t bits)
{
    struct avvik_cell cell = {place->kind, {0}};
    memcpy(&cell.value, &bits, sizeof bits);
    const int is_fill = place->has_fill && (place->kind == AVVIK_CELL_REAL ? cell.value.as_real == place->fill.as_real
                                                                           : bits == place->fill.as_unsigned);
    if (is_fill || (place->kind == AVVIK_CELL_REAL && !isfinite(cell.value.as_real)))
        cell.kind = AVVIK_CELL_MISSING;
    return cell;
}

static enum avvik_status file_read(const struct file *file, const char *name, const struct place *place, uint64_t first,
                                   size_t n_rows, struct avvik_cell *cells, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const hsize_t start = first, count = n_rows;
    char where[512], reason[256];
    const hid_t memory = H5Screate_simple(1, &count, NULL);
    uint64_t *bits = calloc(n_rows, 8 * place->n_elements);
    if (memory < 0 || bits == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    snprintf(where, sizeof where, "%.300s: column '%s'", file->path, name);
    AVVIK_TRY(avvik__h5_check_filters(place->dataset, where, error));
    if (avvik__dataset_chunk_bytes(place->dataset) > AVVIK_MAX_CHUNK_BYTES)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s is stored in chunks above the 256 MiB that one may take", where);
    avvik__input_inflate_limit(place->inflate_limit);
    const int is_read = H5Sselect_hyperslab(place->space, H5S_SELECT_SET, &start, NULL, &count, NULL) >= 0 &&
                        H5Dread(place->dataset, place->memory_type, memory, place->space, H5P_DEFAULT, bits) >= 0;
    avvik__input_inflate_limit(0);
    if (!is_read) {
        avvik__h5_reason(reason, sizeof reason);
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: rows %llu to %llu of column '%s' cannot be read (%s)", file->path,
                   (unsigned long long)first, (unsigned long long)(first + n_rows - 1), name, reason);
    }
    for (size_t i = 0; i < n_rows; i++)
        cells[i] = cell_of(place, bits[i * place->n_elements + place->element]);
done:
    free(bits);
    avvik__h5_close(memory);
    return status;
}

enum avvik_status avvik__cells_read(struct avvik__cell_reader *reader, size_t column, uint64_t first, size_t n_rows,
                                    struct avvik_cell *cells, struct avvik_error *error)
{
    const char *name = reader->columns[column].name;
    avvik__h5_quiet();
    if (reader->columns[column].use == AVVIK_USE_NONE)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "column '%s' may not be read", name);
    for (size_t i = 0; i < reader->n_files && n_rows > 0; i++) {
        const struct file *file = &reader->files[i];
        if (first >= file->n_rows) {
            first -= file->n_rows;
            continue;
        }
        const size_t here = n_rows < file->n_rows - first ? n_rows : (size_t)(file->n_rows - first);
        const enum avvik_status status = file_read(file, name, &file->places[column], first, here, cells, error);
        if (status != AVVIK_OK)
            return status;
        cells += here;
        n_rows -= here;
        first = 0;
    }
    return n_rows == 0 ? AVVIK_OK : avvik__error_set(error, AVVIK_ERR_USAGE, 0, "rows are outside column '%s'", name);
}

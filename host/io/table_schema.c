#include "table_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source_internal.h"

/* "int64", "float32 big-endian", "uint16 enum" */
static void number_name(hid_t type, char *text, size_t size)
{
    const H5T_class_t class = H5Tget_class(type);
    const hid_t base = class == H5T_ENUM ? H5Tget_super(type) : H5Tcopy(type);
    const int is_float = class == H5T_FLOAT;
    const int is_big = H5Tget_size(base) > 1 && H5Tget_order(base) == H5T_ORDER_BE;
    snprintf(text, size, "%s%u%s%s",
             is_float                            ? "float"
             : H5Tget_sign(base) == H5T_SGN_NONE ? "uint"
                                                 : "int",
             (unsigned)(8 * H5Tget_size(base)), class == H5T_ENUM ? " enum" : "", is_big ? " BE" : "");
    avvik__h5_close(base);
}

static void type_name(hid_t type, char *text, size_t size)
{
    switch (type < 0 ? H5T_NO_CLASS : H5Tget_class(type)) {
    case H5T_INTEGER:
    case H5T_FLOAT:
    case H5T_ENUM: number_name(type, text, size); break;
    case H5T_STRING: snprintf(text, size, "text"); break;
    case H5T_COMPOUND: snprintf(text, size, "compound"); break;
    default: snprintf(text, size, "other"); break;
    }
}

enum avvik__use avvik__use_of(const struct avvik__column *column, const char *role)
{
    switch (column->role) {
    case AVVIK_ROLE_NONE: return AVVIK_USE_FREE;
    case AVVIK_ROLE_FEATURE: return AVVIK_USE_FEATURE;
    case AVVIK_ROLE_OTHER: return strcmp(role, "ignore") == 0 ? AVVIK_USE_IGNORED : AVVIK_USE_OTHER;
    default: return AVVIK_USE_NONE;
    }
}

static void codes_read(hid_t dataset, struct avvik__schema_column *column)
{
    const hid_t attribute = H5Aopen(dataset, "codes", H5P_DEFAULT);
    const hid_t space = attribute < 0 ? H5I_INVALID_HID : H5Aget_space(attribute);
    const hssize_t n = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    column->has_codes = n > 0;
    column->n_codes = n > 0 ? (uint64_t)n : 0;
    avvik__h5_close(space);
    avvik__h5_close(attribute);
}

/* A column of its own data set, with the attributes that only such a one has. */
static void dataset_describe(const struct avvik__column *from, struct avvik__schema_column *column)
{
    const hid_t type = H5Dget_type(from->dataset);
    hsize_t length = 0;
    type_name(type, column->type, sizeof column->type);
    avvik__h5_string_attribute(from->dataset, "role", column->role, sizeof column->role);
    avvik__h5_string_attribute(from->dataset, "units", column->units, sizeof column->units);
    if (from->unusable == NULL && H5Sget_simple_extent_dims(from->space, &length, NULL) == 1)
        column->n_rows = length;
    if (from->is_category)
        codes_read(from->dataset, column);
    avvik__h5_close(type);
}

static void member_describe(hid_t table_type, const struct avvik__column *from, struct avvik__schema_column *column)
{
    const hid_t member = H5Tget_member_type(table_type, from->member);
    const hid_t base = from->member_elements > 0 ? H5Tget_super(member) : H5Tcopy(member);
    type_name(base, column->type, sizeof column->type);
    avvik__h5_close(base);
    avvik__h5_close(member);
}

enum avvik_status avvik__schema_read(const char *path, const char *table_name, struct avvik__schema *schema_out,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__schema schema = {0};
    struct avvik__column *columns = NULL;
    size_t n_columns = 0;
    hsize_t table_rows = 0;
    char guess[256];
    hid_t file = H5I_INVALID_HID, table = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    AVVIK_TRY(avvik__h5_open(path, &file, error));
    if (table_name == NULL) {
        AVVIK_TRY(avvik__table_guess(file, path, guess, sizeof guess, error));
        table_name = guess;
    }
    snprintf(schema.table, sizeof schema.table, "%s%s", table_name[0] == '/' ? "" : "/", table_name);
    AVVIK_TRY(avvik__table_open(file, path, schema.table, &table, &columns, &n_columns, error));
    if (n_columns == 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s has no column", path, schema.table);
    if ((schema.columns = calloc(n_columns, sizeof *schema.columns)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    schema.n_columns = n_columns;
    if (columns[0].dataset < 0) {
        type = H5Dget_type(table);
        space = H5Dget_space(table);
        H5Sget_simple_extent_dims(space, &table_rows, NULL);
    }
    for (size_t c = 0; c < n_columns; c++) {
        struct avvik__schema_column *column = &schema.columns[c];
        memcpy(column->name, columns[c].name, sizeof column->name);
        column->problem = columns[c].unusable;
        column->n_rows = table_rows;
        if (columns[c].dataset >= 0)
            dataset_describe(&columns[c], column);
        else
            member_describe(type, &columns[c], column);
        column->use = avvik__use_of(&columns[c], column->role);
    }
    *schema_out = schema;
    schema = (struct avvik__schema){0};
done:
    avvik__schema_destroy(&schema);
    avvik__columns_free(columns, n_columns);
    avvik__h5_close(space);
    avvik__h5_close(type);
    avvik__h5_close(table);
    avvik__h5_close(file);
    return status;
}

void avvik__schema_destroy(struct avvik__schema *schema)
{
    free(schema->columns);
    *schema = (struct avvik__schema){0};
}

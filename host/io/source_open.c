/* Opening a source: which table, which columns, and whether they can be read at all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source_internal.h"
#include "source_plan.h"

#define MAX_LISTED_TABLES 16

static void file_close(struct avvik__source_file *file, size_t n_features)
{
    avvik__stores_close(file);
    if (file->columns != NULL)
        avvik__columns_free(file->columns, n_features);
    avvik__h5_close(file->compound_type);
    avvik__h5_close(file->compound_space);
    avvik__h5_close(file->compound);
    avvik__h5_close(file->file);
    free(file->offsets);
    free(file->path);
}

void avvik_source_close(struct avvik_source *source)
{
    if (source == NULL)
        return;
    avvik__plan_free(source->plan);
    avvik__fetcher_free(source->fetcher);
    for (size_t i = 0; i < source->n_files; i++)
        file_close(&source->files[i], source->n_columns);
    free(source->files);
    free(source->names);
    free(source->table);
    free(source->staging);
    free(source->compound_rows);
    pthread_cond_destroy(&source->is_decoded);
    pthread_mutex_destroy(&source->mutex);
    free(source);
}

enum avvik_status avvik__table_guess(hid_t file, const char *path, char *table, size_t size, struct avvik_error *error)
{
    char(*paths)[256] = calloc(MAX_LISTED_TABLES, sizeof *paths);
    if (paths == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    const size_t n = avvik__tables_find(file, paths, MAX_LISTED_TABLES);
    enum avvik_status status = AVVIK_OK;
    if (n == 1) {
        snprintf(table, size, "%s", paths[0]);
    } else if (n == 0) {
        status = avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: has no table of numeric columns", path);
    } else {
        char list[600] = "";
        for (size_t i = 0; i < n && i < MAX_LISTED_TABLES && strlen(list) < 300; i++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i == 0 ? "" : ", ", paths[i]);
        status = avvik__error_set(error, AVVIK_ERR_USAGE, 0, "%s: has %zu tables (%s); name one with --table", path, n,
                                  list);
    }
    free(paths);
    return status;
}

/* Positions in `order` of the columns that the group's attribute `order` names (fixed or variable-length strings);
 * returns how many. is_ordered (n_columns, zero) marks them. */
static size_t order_read(hid_t table, const struct avvik__column *columns, size_t n_columns, size_t *order,
                         char *is_ordered)
{
    size_t n = 0;
    char *names = NULL;
    hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID, memory = H5I_INVALID_HID;
    const hid_t attribute = H5Aexists(table, "order") > 0 ? H5Aopen(table, "order", H5P_DEFAULT) : H5I_INVALID_HID;
    if (attribute < 0 || (type = H5Aget_type(attribute)) < 0 || (space = H5Aget_space(attribute)) < 0 ||
        H5Tget_class(type) != H5T_STRING)
        goto done;
    const hssize_t n_names = H5Sget_simple_extent_npoints(space);
    if (n_names <= 0 || n_names > 65535)
        goto done;
    if (H5Tis_variable_str(type) > 0) {
        char **values = calloc((size_t)n_names, sizeof *values);
        if (values != NULL && H5Aread(attribute, type, values) >= 0 &&
            (names = calloc((size_t)n_names, AVVIK_NAME_SIZE)) != NULL)
            for (hssize_t i = 0; i < n_names; i++)
                snprintf(names + i * AVVIK_NAME_SIZE, AVVIK_NAME_SIZE, "%s", values[i] == NULL ? "" : values[i]);
        if (values != NULL)
            for (hssize_t i = 0; i < n_names; i++)
                H5free_memory(values[i]);
        free(values);
    } else {
        memory = H5Tcopy(type);
        if (H5Tset_size(memory, AVVIK_NAME_SIZE) >= 0 && H5Tset_strpad(memory, H5T_STR_NULLTERM) >= 0 &&
            (names = calloc((size_t)n_names, AVVIK_NAME_SIZE)) != NULL && H5Aread(attribute, memory, names) < 0) {
            free(names);
            names = NULL;
        }
    }
    for (hssize_t i = 0; names != NULL && i < n_names; i++)
        for (size_t c = 0; c < n_columns; c++)
            if (!is_ordered[c] && strncmp(names + i * AVVIK_NAME_SIZE, columns[c].name, AVVIK_NAME_SIZE) == 0) {
                order[n++] = c;
                is_ordered[c] = 1;
            }
done:
    free(names);
    avvik__h5_close(memory);
    avvik__h5_close(space);
    avvik__h5_close(type);
    avvik__h5_close(attribute);
    return n;
}

int avvik__columns_order(hid_t table, const struct avvik__column *columns, size_t n_columns, size_t *order)
{
    char *is_ordered = calloc(n_columns + 1, 1);
    if (is_ordered == NULL)
        return 0;
    size_t n = order_read(table, columns, n_columns, order, is_ordered);
    for (size_t c = 0; c < n_columns; c++) /* the rest, in the order the table lists them */
        if (!is_ordered[c])
            order[n++] = c;
    free(is_ordered);
    return 1;
}

/* The columns that take part where none were named. `order` gets their positions; returns how many. */
static size_t columns_default(hid_t table, const struct avvik__column *columns, size_t n_columns,
                              const struct avvik_selection *selection, size_t *order)
{
    int has_roles = 0;
    for (size_t c = 0; c < n_columns; c++)
        has_roles = has_roles || columns[c].role == AVVIK_ROLE_FEATURE;
    size_t n = 0;
    if (!avvik__columns_order(table, columns, n_columns, order))
        return 0;
    for (size_t k = 0; k < n_columns; k++) {
        const struct avvik__column *column = &columns[order[k]];
        int is_else = column->dataset < 0 && strcmp(column->name, "index") == 0; /* pandas' row labels */
        for (size_t key = 0; key < selection->n_keys; key++)
            is_else = is_else || strcmp(column->name, selection->keys[key]) == 0;
        if (column->unusable == NULL && !is_else &&
            (has_roles ? column->role == AVVIK_ROLE_FEATURE : column->role == AVVIK_ROLE_NONE))
            order[n++] = order[k];
    }
    return n;
}

/* What a declared role forbids a column to be used as, or NULL. */
static const char *role_problem(enum avvik__role role)
{
    switch (role) {
    case AVVIK_ROLE_PROTECTED: return "protected";
    case AVVIK_ROLE_EXCLUDED: return "excluded";
    case AVVIK_ROLE_LABEL: return "a label";
    default: return NULL;
    }
}

/* Positions of the columns that are named: n of them, as `what` ("feature", "key"), behind the n_before in `order`. */
static enum avvik_status columns_named(const char *const *names, size_t n, const char *what, const char *path,
                                       const char *table, const struct avvik__column *columns, size_t n_columns,
                                       size_t *order, size_t n_before, struct avvik_error *error)
{
    for (size_t f = 0; f < n; f++) {
        const char *name = names[f];
        size_t c = 0;
        while (c < n_columns && strcmp(columns[c].name, name) != 0)
            c++;
        if (c == n_columns)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: table %s has no column '%s'", path, table, name);
        if (columns[c].unusable != NULL)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: column '%s' of %s %s", path, name, table,
                                    columns[c].unusable);
        if (role_problem(columns[c].role) != NULL)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                    "%s: column '%s' of %s is declared %s, and may not be a %s", path, name, table,
                                    role_problem(columns[c].role), what);
        for (size_t earlier = 0; earlier < n_before + f; earlier++)
            if (order[earlier] == c)
                return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "%s '%s' is named twice%s", what, name,
                                        earlier < n_before ? ", it is a feature as well" : "");
        order[n_before + f] = c;
    }
    return AVVIK_OK;
}

/* Rows that lie one after the other are in the file, or were before it was cut. */
static enum avvik_status rows_check(const struct avvik__source_file *file, const struct avvik__store *store,
                                    const char *where, struct avvik_error *error)
{
    if (store->layout != AVVIK_LAYOUT_CONTIGUOUS || file->n_rows <= store->file_bytes / store->row_bytes)
        return AVVIK_OK;
    return avvik__error_set(
        error, AVVIK_ERR_FORMAT, 0,
        "%s says that it has %llu rows, which is more than the file's %llu bytes can hold; the file "
        "is truncated or damaged",
        where, (unsigned long long)file->n_rows, (unsigned long long)store->file_bytes);
}

/* Lengths, filters and chunks of the chosen columns of a group table. */
static enum avvik_status group_columns_check(struct avvik__source_file *file, size_t n_features, const char *table,
                                             struct avvik_error *error)
{
    for (size_t f = 0; f < n_features; f++) {
        struct avvik__column *column = &file->columns[f];
        char where[512];
        hsize_t length = 0;
        H5Sget_simple_extent_dims(column->space, &length, NULL);
        snprintf(where, sizeof where, "%.300s: column '%s'", file->path, column->name);
        if (f == 0)
            file->n_rows = length;
        if (length != file->n_rows)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                    "%s: columns of %s differ in length: '%s' has %llu rows, '%s' has %llu", file->path,
                                    table, file->columns[0].name, (unsigned long long)file->n_rows, column->name,
                                    (unsigned long long)length);
        const enum avvik_status status = file->stores[f].layout == AVVIK_LAYOUT_PLAIN
                                             ? avvik__h5_check_filters(column->dataset, where, error)
                                             : rows_check(file, &file->stores[f], where, error);
        if (status != AVVIK_OK)
            return status;
        if (avvik__dataset_chunk_bytes(column->dataset) > AVVIK_MAX_CHUNK_BYTES)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                    "%s is stored in chunks above the 256 MiB that one may take; rewrite the file with "
                                    "`h5repack -l CHUNK=65536`",
                                    where);
    }
    return AVVIK_OK;
}

/* The memory type that one H5Dread of a compound table fills: every member that some feature needs, as float32. */
static enum avvik_status compound_prepare(struct avvik__source_file *file, size_t n_features, const char *table,
                                          struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char where[512];
    hsize_t length = 0;
    const hid_t type = H5Dget_type(file->compound);
    size_t *member_offsets = NULL, bytes = 0;
    snprintf(where, sizeof where, "%.300s: table %.150s", file->path, table);
    if (file->stores[0].layout == AVVIK_LAYOUT_PLAIN)
        AVVIK_TRY(avvik__h5_check_filters(file->compound, where, error));
    if (avvik__dataset_chunk_bytes(file->compound) > AVVIK_MAX_CHUNK_BYTES)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s is stored in chunks above the 256 MiB that one may take", where);
    const int n_members = H5Tget_nmembers(type);
    if (n_members <= 0 || (member_offsets = malloc((size_t)n_members * sizeof *member_offsets)) == NULL ||
        (file->offsets = malloc(n_features * sizeof *file->offsets)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    memset(member_offsets, 0xff, (size_t)n_members * sizeof *member_offsets);
    for (size_t f = 0; f < n_features; f++) {
        const struct avvik__column *column = &file->columns[f];
        if (member_offsets[column->member] == SIZE_MAX) {
            member_offsets[column->member] = bytes;
            bytes += sizeof(float) * (column->member_elements == 0 ? 1 : column->member_elements);
        }
        file->offsets[f] = member_offsets[column->member] + sizeof(float) * column->element_number;
    }
    file->compound_size = bytes;
    if ((file->compound_type = H5Tcreate(H5T_COMPOUND, bytes)) < 0)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t f = 0; f < n_features; f++) {
        const struct avvik__column *column = &file->columns[f];
        char *name = H5Tget_member_name(type, column->member);
        const hsize_t n_elements = column->member_elements;
        const hid_t array =
            n_elements == 0 ? H5Tcopy(H5T_NATIVE_FLOAT) : H5Tarray_create2(H5T_NATIVE_FLOAT, 1, &n_elements);
        if (H5Tget_member_index(file->compound_type, name) < 0)
            H5Tinsert(file->compound_type, name, member_offsets[column->member], array);
        avvik__h5_close(array);
        H5free_memory(name);
    }
    file->compound_space = H5Dget_space(file->compound);
    H5Sget_simple_extent_dims(file->compound_space, &length, NULL);
    file->n_rows = length;
    AVVIK_TRY(rows_check(file, &file->stores[0], where, error));
done:
    free(member_offsets);
    avvik__h5_close(type);
    return status;
}

/* Positions in `order` of the columns that are read of a file: features, then keys. The first file settles on them. */
static enum avvik_status columns_choose(struct avvik_source *source, const struct avvik__source_file *file,
                                        size_t index, const struct avvik_selection *selection, hid_t table,
                                        const struct avvik__column *columns, size_t n_columns, size_t *order,
                                        struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    size_t n = index == 0 ? selection->n_features : source->n_features;
    const size_t n_all = source->n_columns;
    const char **settled = calloc(n_all + 1, sizeof *settled);
    if (settled == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t f = 0; f < n_all; f++)
        settled[f] = source->names[f];
    if (index == 0 && selection->features == NULL) {
        n = columns_default(table, columns, n_columns, selection, order);
        if (n == 0)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: table %s has no numeric column that may be a feature", file->path,
                       source->table);
    } else {
        AVVIK_TRY(columns_named(index == 0 ? selection->features : settled, n, "feature", file->path, source->table,
                                columns, n_columns, order, 0, error));
    }
    if (n == 0 || n > 65535)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "%zu features are asked for; a table takes 1 to 65535", n);
    AVVIK_TRY(columns_named(index == 0 ? selection->keys : settled + n, selection->n_keys, "key", file->path,
                            source->table, columns, n_columns, order, n, error));
    if (index > 0)
        goto done;
    source->n_features = n;
    source->n_keys = selection->n_keys;
    source->n_columns = n + selection->n_keys;
    if ((source->names = calloc(source->n_columns, sizeof *source->names)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t f = 0; f < source->n_columns; f++)
        memcpy(source->names[f], columns[order[f]].name, AVVIK_NAME_SIZE);
done:
    free(settled);
    return status;
}

/* The table of the first file, which all others must have: the one that is named, or the only one there is. */
static enum avvik_status table_settle(struct avvik_source *source, const char *name, struct avvik_error *error)
{
    const struct avvik__source_file *file = &source->files[0];
    char guess[256];
    if (name == NULL) {
        const enum avvik_status status = avvik__table_guess(file->file, file->path, guess, sizeof guess, error);
        if (status != AVVIK_OK)
            return status;
        name = guess;
    }
    const size_t size = strlen(name) + 2;
    if ((source->table = malloc(size)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    snprintf(source->table, size, "%s%s", name[0] == '/' ? "" : "/", name);
    return AVVIK_OK;
}

/* The chosen columns of a file, with their handles, and how their rows lie. *table_inout is taken over where it is a
 * compound data set. */
static enum avvik_status columns_take(const struct avvik_source *source, struct avvik__source_file *file,
                                      struct avvik__column *columns, const size_t *order, hid_t *table_inout,
                                      struct avvik_error *error)
{
    const size_t n = source->n_columns;
    if ((file->columns = malloc(n * sizeof *file->columns)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t f = 0; f < n; f++) {
        file->columns[f] = columns[order[f]];
        columns[order[f]].dataset = columns[order[f]].space = H5I_INVALID_HID;
        if (f >= source->n_features)
            file->columns[f].is_category = file->columns[f].is_key = 1;
    }
    const int is_compound = file->columns[0].dataset < 0;
    if (is_compound) {
        file->compound = *table_inout;
        *table_inout = H5I_INVALID_HID;
    }
    const enum avvik_status status = avvik__stores_open(file, n, error);
    if (status != AVVIK_OK)
        return status;
    return is_compound ? compound_prepare(file, n, source->table, error)
                       : group_columns_check(file, n, source->table, error);
}

/* The way through each column's chunk index to the next chunk. The widest tables have no more than HDF5 takes anyway.
 */
static size_t metadata_bytes(size_t n_columns)
{
    const size_t bytes = ((size_t)64 << 10) + n_columns * ((size_t)8 << 10), usual = (size_t)2 << 20;
    return bytes < usual ? bytes : usual;
}

/* Open file number `index` and its chosen columns. The first file decides table and features for all. */
static enum avvik_status file_open(struct avvik_source *source, size_t index, const struct avvik_selection *selection,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__source_file *file = &source->files[index];
    struct avvik__column *columns = NULL;
    size_t n_columns = 0, *order = NULL;
    hid_t table = H5I_INVALID_HID;
    AVVIK_TRY(avvik__h5_open(file->path, &file->file, error));
    if (index == 0)
        AVVIK_TRY(table_settle(source, selection->table, error));
    AVVIK_TRY(avvik__table_open(file->file, file->path, source->table, &table, &columns, &n_columns, error));
    if ((order = malloc((n_columns + selection->n_features + selection->n_keys + source->n_columns + 1) *
                        sizeof *order)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(columns_choose(source, file, index, selection, table, columns, n_columns, order, error));
    AVVIK_TRY(columns_take(source, file, columns, order, &table, error));
    if (file->n_rows == 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: table %s has no rows", file->path, source->table);
    if (__builtin_add_overflow(source->n_rows, file->n_rows, &source->n_rows))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: table %s says that it has more rows than can be counted", file->path,
                   source->table);
    avvik__h5_metadata_limit(file->file, metadata_bytes(source->n_columns));
done:
    avvik__columns_free(columns, n_columns);
    avvik__h5_close(table);
    free(order);
    return status;
}

enum avvik_status avvik_source_open(const char *const *paths, size_t n_paths, const struct avvik_selection *selection,
                                    struct avvik_source **source_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    pthread_mutex_init(&source->mutex, NULL);
    pthread_cond_init(&source->is_decoded, NULL);
    if (n_paths == 0)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "no input file is named");
    if ((source->files = calloc(n_paths, sizeof *source->files)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < n_paths; i++) {
        struct avvik__source_file *file = &source->files[i];
        file->file = file->compound = file->compound_space = file->compound_type = H5I_INVALID_HID;
        source->n_files++;
        if ((file->path = strdup(paths[i])) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(file_open(source, i, selection, error));
    }
    *source_out = source;
    source = NULL;
done:
    avvik_source_close(source);
    return status;
}

uint64_t avvik_source_n_rows(const struct avvik_source *source)
{
    return source->n_rows;
}

size_t avvik_source_n_features(const struct avvik_source *source)
{
    return source->n_features;
}

const char *avvik_source_feature(const struct avvik_source *source, size_t feature)
{
    return source->names[feature];
}

size_t avvik_source_n_keys(const struct avvik_source *source)
{
    return source->n_keys;
}

const char *avvik_source_key(const struct avvik_source *source, size_t key)
{
    return source->names[source->n_features + key];
}

int avvik__source_columns_lie_apart(const struct avvik_source *source)
{
    for (size_t i = 0; i < source->n_files; i++)
        if (source->files[i].n_stores < source->n_features + source->n_keys)
            return 0;
    return 1;
}

size_t avvik__source_n_columns(const struct avvik_source *source)
{
    return source->n_columns;
}

const char *avvik_source_table(const struct avvik_source *source)
{
    return source->table;
}

size_t avvik_source_n_files(const struct avvik_source *source)
{
    return source->n_files;
}

const char *avvik_source_path(const struct avvik_source *source, size_t file)
{
    return source->files[file].path;
}

uint64_t avvik_source_file_rows(const struct avvik_source *source, size_t file)
{
    return source->files[file].n_rows;
}

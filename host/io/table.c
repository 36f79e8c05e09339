/* What is in a file: its tables, and the columns of a table. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pandas_names.h"
#include "source_internal.h"

#define MAX_GROUP_DEPTH 8
#define MAX_COLUMNS 65535
#define MAX_LINKS 100000 /* looked at in one search: links of a hostile file may go round in circles */

static int is_number(hid_t type)
{
    const H5T_class_t class = H5Tget_class(type);
    return class == H5T_INTEGER || class == H5T_FLOAT || class == H5T_ENUM;
}

static const char *type_problem(hid_t type)
{
    if (is_number(type))
        return NULL;
    return H5Tget_class(type) == H5T_STRING ? "holds text where a number is needed" : "has a type that is not a number";
}

static enum avvik__role role_read(hid_t dataset)
{
    static const struct {
        const char *name;
        enum avvik__role role;
    } roles[] = {{"feature", AVVIK_ROLE_FEATURE},
                 {"protected", AVVIK_ROLE_PROTECTED},
                 {"excluded", AVVIK_ROLE_EXCLUDED},
                 {"label", AVVIK_ROLE_LABEL}};
    char text[32];
    if (!avvik__h5_string_attribute(dataset, "role", text, sizeof text))
        return AVVIK_ROLE_NONE;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(text, roles[i].name) == 0)
            return roles[i].role;
    return AVVIK_ROLE_OTHER;
}

static void fill_read(hid_t dataset, struct avvik__column *column)
{
    if (H5Aexists(dataset, "_FillValue") <= 0)
        return;
    const hid_t attribute = H5Aopen(dataset, "_FillValue", H5P_DEFAULT);
    const hid_t space = attribute < 0 ? H5I_INVALID_HID : H5Aget_space(attribute);
    if (space >= 0 && H5Sget_simple_extent_npoints(space) == 1 &&
        H5Aread(attribute, H5T_NATIVE_FLOAT, &column->fill) >= 0)
        column->has_fill = 1;
    avvik__h5_close(space);
    avvik__h5_close(attribute);
}

size_t avvik__dataset_chunk_bytes(hid_t dataset)
{
    size_t bytes = 0;
    hsize_t chunk[H5S_MAX_RANK];
    const hid_t list = H5Dget_create_plist(dataset), type = H5Dget_type(dataset);
    if (list >= 0 && type >= 0 && H5Pget_layout(list) == H5D_CHUNKED && H5Pget_chunk(list, H5S_MAX_RANK, chunk) == 1 &&
        __builtin_mul_overflow((size_t)chunk[0], H5Tget_size(type), &bytes))
        bytes = SIZE_MAX;
    avvik__h5_close(type);
    avvik__h5_close(list);
    return bytes;
}

/* Open a data set with a cache that holds one of its chunks, so that none is inflated twice. */
static hid_t dataset_open(hid_t location, const char *name)
{
    hid_t dataset = H5Dopen2(location, name, H5P_DEFAULT);
    const size_t bytes = dataset < 0 ? 0 : avvik__dataset_chunk_bytes(dataset);
    if (bytes > (1 << 20) && bytes < SIZE_MAX) { /* above HDF5's default */
        const hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
        H5Pset_chunk_cache(access, 521, bytes, 1.0);
        H5Dclose(dataset);
        dataset = H5Dopen2(location, name, access);
        H5Pclose(access);
    }
    return dataset;
}

struct column_list {
    struct avvik__column *columns;
    size_t n, capacity;
    int failed;
};

static struct avvik__column *column_append(struct column_list *list)
{
    if (list->n == list->capacity) {
        const size_t capacity = list->capacity == 0 ? 32 : 2 * list->capacity;
        void *larger = list->n >= MAX_COLUMNS ? NULL : realloc(list->columns, capacity * sizeof *list->columns);
        if (larger == NULL) {
            list->failed = 1;
            return NULL;
        }
        list->columns = larger;
        list->capacity = capacity;
    }
    struct avvik__column *column = &list->columns[list->n++];
    memset(column, 0, sizeof *column);
    column->dataset = column->space = H5I_INVALID_HID;
    return column;
}

void avvik__columns_free(struct avvik__column *columns, size_t n_columns)
{
    for (size_t i = 0; i < n_columns; i++) {
        avvik__h5_close(columns[i].space);
        avvik__h5_close(columns[i].dataset);
    }
    free(columns);
}

static int is_dataset(hid_t group, const char *name)
{
    H5O_info_t info;
    return H5Oget_info_by_name1(group, name, &info, H5P_DEFAULT) >= 0 && info.type == H5O_TYPE_DATASET;
}

static herr_t link_to_column(hid_t group, const char *name, const H5L_info_t *link, void *data)
{
    struct column_list *list = data;
    (void)link;
    if (!is_dataset(group, name)) /* a dangling link is none either */
        return 0;
    const hid_t dataset = dataset_open(group, name);
    struct avvik__column *column = dataset < 0 ? NULL : column_append(list);
    if (column == NULL) {
        avvik__h5_close(dataset);
        return 0;
    }
    const hid_t type = H5Dget_type(dataset);
    snprintf(column->name, sizeof column->name, "%s", name);
    column->dataset = dataset;
    column->space = H5Dget_space(dataset);
    if (strlen(name) >= sizeof column->name)
        column->unusable = "has a name that is too long";
    else if (column->space < 0 || type < 0)
        column->unusable = "has a type or shape that HDF5 cannot read";
    else if (type_problem(type) != NULL)
        column->unusable = type_problem(type);
    else if (H5Sget_simple_extent_type(column->space) != H5S_SIMPLE || H5Sget_simple_extent_ndims(column->space) != 1)
        column->unusable = "is not one-dimensional";
    column->role = role_read(dataset);
    column->is_category = H5Aexists(dataset, "codes") > 0;
    fill_read(dataset, column);
    avvik__h5_close(type);
    return list->failed ? -1 : 0;
}

/* The features of one compound member: itself, or one for each element where it is an array. */
static void member_to_columns(hid_t dataset, hid_t type, unsigned member, struct column_list *list)
{
    char *name = H5Tget_member_name(type, member);
    const hid_t member_type = H5Tget_member_type(type, member);
    const hid_t base = H5Tget_class(member_type) == H5T_ARRAY ? H5Tget_super(member_type) : H5I_INVALID_HID;
    hsize_t n_elements = 0;
    char *block_names = NULL;
    if (base >= 0 && (H5Tget_array_ndims(member_type) != 1 || H5Tget_array_dims2(member_type, &n_elements) < 0 ||
                      n_elements == 0 || n_elements > MAX_COLUMNS))
        n_elements = 0;
    if (n_elements > 0 && (block_names = calloc(n_elements, AVVIK_NAME_SIZE)) != NULL) {
        char attribute[AVVIK_NAME_SIZE + 8];
        const size_t size = 1 << 20;
        char *pickle = malloc(size);
        snprintf(attribute, sizeof attribute, "%s_kind", name);
        if (pickle == NULL || !avvik__h5_string_attribute(dataset, attribute, pickle, size) ||
            !avvik__pandas_names_parse(pickle, block_names, AVVIK_NAME_SIZE, n_elements)) {
            free(block_names);
            block_names = NULL;
        }
        free(pickle);
    }
    const size_t n_columns = n_elements == 0 ? 1 : n_elements;
    for (size_t i = 0; i < n_columns; i++) {
        struct avvik__column *column = column_append(list);
        if (column == NULL)
            break;
        if (block_names != NULL)
            snprintf(column->name, sizeof column->name, "%s", block_names + i * AVVIK_NAME_SIZE);
        else if (n_elements > 0)
            snprintf(column->name, sizeof column->name, "%.100s[%zu]", name, i);
        else
            snprintf(column->name, sizeof column->name, "%s", name);
        column->member = member;
        column->element_number = i;
        column->member_elements = n_elements;
        column->unusable =
            base >= 0 && n_elements == 0 ? "is not one-dimensional" : type_problem(base >= 0 ? base : member_type);
    }
    free(block_names);
    avvik__h5_close(base);
    avvik__h5_close(member_type);
    H5free_memory(name);
}

/* Opens `location` as a compound table if it is one: itself, or its `table` as PyTables names it. */
static hid_t compound_open(hid_t file, const char *location)
{
    char inner[512];
    const char *tries[2] = {location, inner};
    snprintf(inner, sizeof inner, "%.500s/table", location);
    for (int i = 0; i < 2; i++) {
        if (H5Lexists(file, tries[i], H5P_DEFAULT) <= 0 || !is_dataset(file, tries[i]))
            continue;
        const hid_t dataset = dataset_open(file, tries[i]);
        const hid_t type = dataset < 0 ? H5I_INVALID_HID : H5Dget_type(dataset);
        const hid_t space = dataset < 0 ? H5I_INVALID_HID : H5Dget_space(dataset);
        const int fits = type >= 0 && space >= 0 && H5Tget_class(type) == H5T_COMPOUND &&
                         H5Sget_simple_extent_type(space) == H5S_SIMPLE && H5Sget_simple_extent_ndims(space) == 1;
        avvik__h5_close(space);
        avvik__h5_close(type);
        if (fits)
            return dataset;
        avvik__h5_close(dataset);
    }
    return H5I_INVALID_HID;
}

/* H5Lexists() wants every step of a path to exist: walk them one by one. */
static int path_exists(hid_t file, const char *location)
{
    char prefix[512];
    const size_t length = strlen(location);
    if (length == 0 || length >= sizeof prefix)
        return 0;
    for (size_t i = 1; i <= length; i++) {
        if (location[i] != '/' && location[i] != '\0')
            continue;
        memcpy(prefix, location, i);
        prefix[i] = '\0';
        if (strcmp(prefix, "/") != 0 && location[i - 1] != '/' &&
            (H5Lexists(file, prefix, H5P_DEFAULT) <= 0 || H5Oexists_by_name(file, prefix, H5P_DEFAULT) <= 0))
            return 0;
    }
    return 1;
}

enum avvik_status avvik__table_open(hid_t file, const char *path, const char *location, hid_t *table_out,
                                    struct avvik__column **columns_out, size_t *n_columns_out,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct column_list list = {0};
    hid_t table = H5I_INVALID_HID, type = H5I_INVALID_HID;
    if (!path_exists(file, location))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: has no table %s; `h5ls -r` lists what it has", path, location);
    if ((table = compound_open(file, location)) >= 0) {
        type = H5Dget_type(table);
        const int n_members = H5Tget_nmembers(type);
        for (int member = 0; member < n_members && !list.failed; member++)
            member_to_columns(table, type, (unsigned)member, &list);
    } else if (is_dataset(file, location)) {
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s is a data set, not a table; name the group that holds the columns",
                   path, location);
    } else {
        if ((table = H5Gopen2(file, location, H5P_DEFAULT)) < 0 ||
            H5Literate(table, H5_INDEX_NAME, H5_ITER_INC, NULL, link_to_column, &list) < 0)
            if (!list.failed)
                AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the group %s cannot be read; the file is damaged", path, location);
    }
    if (list.failed)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s has more than %d columns", path, location, MAX_COLUMNS);
    *table_out = table;
    *columns_out = list.columns;
    *n_columns_out = list.n;
    table = H5I_INVALID_HID;
    list = (struct column_list){0};
done:
    avvik__columns_free(list.columns, list.n);
    avvik__h5_close(type);
    avvik__h5_close(table);
    return status;
}

struct table_search {
    char (*paths)[256];
    size_t n, max;
    char prefix[256];
    int depth, links;
};

static herr_t table_search_visit(hid_t group, const char *name, const H5L_info_t *link, void *data);

/* 1 if `group` has a numeric one-dimensional data set of its own. */
static herr_t has_column(hid_t group, const char *name, const H5L_info_t *link, void *data)
{
    struct column_list list = {0};
    (void)data;
    link_to_column(group, name, link, &list);
    const int found = list.n == 1 && list.columns[0].unusable == NULL;
    avvik__columns_free(list.columns, list.n);
    return found;
}

static void table_search_add(struct table_search *search)
{
    if (search->n < search->max)
        snprintf(search->paths[search->n], sizeof search->paths[0], "%s", search->prefix);
    search->n++;
}

static herr_t table_search_visit(hid_t group, const char *name, const H5L_info_t *link, void *data)
{
    struct table_search *search = data;
    const size_t length = strlen(search->prefix);
    H5O_info_t info;
    (void)link;
    if (++search->links > MAX_LINKS)
        return 1;
    if (H5Oget_info_by_name1(group, name, &info, H5P_DEFAULT) < 0 || length + strlen(name) + 2 > sizeof search->prefix)
        return 0;
    snprintf(search->prefix + length, sizeof search->prefix - length, "/%s", name);
    if (info.type == H5O_TYPE_DATASET) {
        const hid_t compound = compound_open(group, name);
        if (compound >= 0)
            table_search_add(search);
        avvik__h5_close(compound);
    } else if (info.type == H5O_TYPE_GROUP && search->depth < MAX_GROUP_DEPTH && strncmp(name, "_i_", 3) != 0) {
        const hid_t inner = H5Gopen2(group, name, H5P_DEFAULT);
        const hid_t compound = compound_open(group, name); /* pandas: the group stands for its `table` */
        if (compound >= 0) {
            table_search_add(search);
        } else if (inner >= 0) {
            if (H5Literate(inner, H5_INDEX_NAME, H5_ITER_INC, NULL, has_column, NULL) > 0)
                table_search_add(search);
            search->depth++;
            H5Literate(inner, H5_INDEX_NAME, H5_ITER_INC, NULL, table_search_visit, search);
            search->depth--;
        }
        avvik__h5_close(compound);
        avvik__h5_close(inner);
    }
    search->prefix[length] = '\0';
    return 0;
}

size_t avvik__tables_find(hid_t file, char (*paths)[256], size_t max)
{
    struct table_search search = {.paths = paths, .max = max};
    H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, table_search_visit, &search);
    if (search.n == 0 && H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, has_column, NULL) > 0) {
        snprintf(search.prefix, sizeof search.prefix, "/"); /* columns at the root */
        table_search_add(&search);
    }
    return search.n;
}

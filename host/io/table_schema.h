/* What a file says of its columns, read without a value of them. */
#ifndef AVVIK_TABLE_SCHEMA_H
#define AVVIK_TABLE_SCHEMA_H

#include "avvik/source.h"

/* What may be done with a column's values. */
enum avvik__use {
    AVVIK_USE_FEATURE, /* of role feature */
    AVVIK_USE_FREE,    /* without a role */
    AVVIK_USE_OTHER,   /* id, key, group, time */
    AVVIK_USE_IGNORED, /* ignore: only where it is asked for by name */
    AVVIK_USE_NONE     /* protected, excluded, label: not to be read */
};

/* role: the column's attribute, or "". */
struct avvik__column;
enum avvik__use avvik__use_of(const struct avvik__column *column, const char *role);

struct avvik__schema_column {
    char name[AVVIK_NAME_SIZE];
    char type[24]; /* "int64", "float32", "uint16 enum", "text", ... */
    char role[32], units[48];
    enum avvik__use use;
    const char *problem; /* why it is no column of numbers, or NULL; static storage */
    uint64_t n_rows, n_codes;
    int has_codes;
};

struct avvik__schema {
    char table[1024];
    struct avvik__schema_column *columns; /* in the order of the file */
    size_t n_columns;
};

/* The columns of `table` (NULL: the only one) of `path`. On success release with avvik__schema_destroy().
 * AVVIK_OK; AVVIK_ERR_IO, AVVIK_ERR_FORMAT (not HDF5, no such table); AVVIK_ERR_USAGE (several tables and none named);
 * AVVIK_ERR_MEMORY. The file is untrusted. */
enum avvik_status avvik__schema_read(const char *path, const char *table, struct avvik__schema *schema_out,
                                     struct avvik_error *error);
void avvik__schema_destroy(struct avvik__schema *schema);

#endif

/* What source_open.c finds and source_read.c reads. */
#ifndef AVVIK_SOURCE_INTERNAL_H
#define AVVIK_SOURCE_INTERNAL_H

#include "avvik/source.h"
#include "h5_support.h"

enum avvik__role {
    AVVIK_ROLE_NONE, /* no `role` attribute */
    AVVIK_ROLE_FEATURE,
    AVVIK_ROLE_PROTECTED,
    AVVIK_ROLE_EXCLUDED,
    AVVIK_ROLE_LABEL,
    AVVIK_ROLE_OTHER /* id, key, group, time, ignore */
};

/* One column of one file's table. */
struct avvik__column {
    char name[AVVIK_NAME_SIZE];
    enum avvik__role role;
    hid_t dataset;          /* of a group table; H5I_INVALID_HID for a member */
    hid_t space;            /* its file data space */
    unsigned member;        /* of a compound table */
    size_t element;         /* which one, where the member is an array */
    size_t member_elements; /* 0: not an array */
    const char *unusable;   /* why it cannot be a feature ("holds text"), or NULL */
    int has_fill, is_category;
    float fill; /* _FillValue as float32 */
};

struct avvik__source_file {
    char *path;
    hid_t file;
    hid_t compound; /* the compound data set, or H5I_INVALID_HID for a group table */
    hid_t compound_space;
    hid_t compound_type;  /* memory type: the selected members as float32 */
    size_t compound_size; /* bytes of one row of it */
    uint64_t n_rows;
    struct avvik__column *columns; /* n_features, in the source's order */
    size_t *offsets;               /* compound only: where each feature stands in a row of compound_type */
};

struct avvik_source {
    struct avvik__source_file *files;
    size_t n_files, n_features;
    char (*names)[AVVIK_NAME_SIZE];
    char *table;
    uint64_t n_rows;
    float *staging; /* of avvik_source_read_tile() */
    size_t staging_floats;
    char *compound_rows; /* of compound tables */
    size_t compound_bytes;
};

/* Every column that the table at `location` has, usable or not. table_out is what columns refer to: a group or a
 * compound data set; release both with avvik__columns_free() and avvik__h5_close().
 * location is an HDF5 path in `file`. */
enum avvik_status avvik__table_open(hid_t file, const char *path, const char *location, hid_t *table_out,
                                    struct avvik__column **columns_out, size_t *n_columns_out,
                                    struct avvik_error *error);
void avvik__columns_free(struct avvik__column *columns, size_t n_columns);

/* Bytes of one chunk of a chunked one-dimensional data set; 0 if it is stored otherwise. */
size_t avvik__dataset_chunk_bytes(hid_t dataset);

/* The paths of all tables of `file`: n x 256 bytes, at most max of them; returns how many there are. */
size_t avvik__tables_find(hid_t file, char (*paths)[256], size_t max);

#endif

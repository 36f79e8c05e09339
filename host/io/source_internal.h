/* What source_open.c finds and source_read.c reads. */
#ifndef AVVIK_SOURCE_INTERNAL_H
#define AVVIK_SOURCE_INTERNAL_H

#include <pthread.h>

#include "avvik/source.h"
#include "chunk_decode.h"
#include "h5_support.h"
#include "kernels.h"

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
    size_t element_number;  /* which one, where the member is an array */
    size_t member_elements; /* 0: not an array */
    const char *unusable;   /* why it cannot be a feature ("holds text"), or NULL */
    int has_fill, is_category, is_key;
    float fill;    /* _FillValue as float32 */
    int element;   /* enum avvik__element: how a row holds it, and from which byte of the row on */
    size_t offset; /* both set where the store is not AVVIK_LAYOUT_PLAIN */
};

#define AVVIK_MAX_CHUNK_BYTES ((size_t)256 << 20)

/* How the rows of a data set lie in the file. */
enum avvik__layout {
    AVVIK_LAYOUT_PLAIN,      /* in a way that only H5Dread knows */
    AVVIK_LAYOUT_CONTIGUOUS, /* one after the other */
    AVVIK_LAYOUT_CHUNKED     /* in chunks, whose filters avvik can undo */
};

/* One data set that rows are read from: a column, or a whole compound table. */
struct avvik__store {
    hid_t dataset; /* the column's or the table's: not owned */
    size_t first_feature, n_features;
    enum avvik__layout layout;
    int descriptor;      /* of the file that the data set is in; HDF5's */
    uint64_t file_bytes; /* size of that file when it was opened */
    uint64_t address;    /* of row 0, where contiguous */
    size_t row_bytes;
    uint64_t chunk_rows;
    size_t chunk_bytes;
    size_t inflate_limit;                   /* what HDF5 may inflate a chunk to; 0: nothing is deflated */
    struct avvik__pipeline_filters filters; /* none unless avvik can undo all of them */
    int is_checked;              /* plain, but its chunks are decoded before HDF5 reads them: are they sound? */
    void *fill_row;              /* row_bytes bytes: what a chunk holds that was never written */
    struct avvik__chunk *newest; /* the chunk that was planned last, kept for the next block */
    struct avvik__chunk *spare;  /* chunks not in use, with their memory */
    int is_left;                 /* the rows planned last are of later files: chunks no more in use are freed */
};

struct avvik__source_file {
    char *path;
    hid_t file;
    hid_t compound; /* the compound data set, or H5I_INVALID_HID for a group table */
    hid_t compound_space;
    hid_t compound_type;  /* memory type: the selected members as float32 */
    size_t compound_size; /* bytes of one row of it */
    uint64_t n_rows;
    struct avvik__column *columns; /* n_columns, in the source's order */
    size_t *offsets;               /* compound only: where each feature stands in a row of compound_type */
    struct avvik__store *stores;   /* n_columns of a group table, or the one of a compound table */
    size_t n_stores;
    int is_left; /* avvik__stores_leave() has nothing to do */
};

struct avvik_source {
    struct avvik__source_file *files;
    size_t n_files, n_features, n_keys;
    size_t n_columns; /* features, and behind them keys: what the files of a source call its features */
    char (*names)[AVVIK_NAME_SIZE];
    char *table;
    uint64_t n_rows;
    float *staging; /* of avvik_source_read_tile() */
    size_t staging_floats;
    struct avvik__kernels kernels; /* likewise; chosen when first needed */
    char *compound_rows;           /* of compound tables that are read plainly */
    size_t compound_bytes;
    struct avvik__plan *plan; /* of avvik_source_read(); made when it is first called */
    struct avvik__fetcher *fetcher;
    pthread_mutex_t mutex;     /* over the states and counts of all chunks */
    pthread_cond_t is_decoded; /* some chunk is ready, or has failed */
};

/* Every column that the table at `location` has, usable or not. table_out is what columns refer to: a group or a
 * compound data set; release both with avvik__columns_free() and avvik__h5_close().
 * location is an HDF5 path in `file`. */
enum avvik_status avvik__table_open(hid_t file, const char *path, const char *location, hid_t *table_out,
                                    struct avvik__column **columns_out, size_t *n_columns_out,
                                    struct avvik_error *error);
void avvik__columns_free(struct avvik__column *columns, size_t n_columns);

/* Find out how the rows of each data set of `file` lie, once its columns are chosen. AVVIK_ERR_MEMORY. */
enum avvik_status avvik__stores_open(struct avvik__source_file *file, size_t n_features, struct avvik_error *error);
void avvik__stores_close(struct avvik__source_file *file);
/* No rows of this file are wanted for now: what is kept for the next block goes. */
void avvik__stores_leave(struct avvik_source *source, struct avvik__source_file *file);

/* A chunk, decoded or not. Its first six members are set by avvik__chunk_get() and do not change; the others are under
 * the source's mutex. */
struct avvik__chunk {
    struct avvik__store *store;
    uint64_t index; /* rows from index * chunk_rows on */
    int is_stored;  /* 0: never written, all rows are fill_row */
    uint64_t address, stored_bytes;
    unsigned filter_mask;
    unsigned n_users;
    enum { AVVIK_CHUNK_STORED, AVVIK_CHUNK_BUSY, AVVIK_CHUNK_READY, AVVIK_CHUNK_DAMAGED } state;
    const char *problem; /* of a damaged one */
    void *rows;          /* chunk_bytes bytes once it is ready */
    int is_shuffled;     /* first all first bytes of the rows, then all second ones, and so on */
    struct avvik__chunk *next_spare;
};

/* The chunk `index` of a chunked store, which the caller then uses until avvik__chunk_release(). Calls HDF5.
 * AVVIK_ERR_FORMAT where HDF5 cannot find it (its error stack tells why), AVVIK_ERR_MEMORY. */
enum avvik_status avvik__chunk_get(struct avvik_source *source, struct avvik__store *store, uint64_t index,
                                   struct avvik__chunk **chunk_out);
void avvik__chunk_release(struct avvik_source *source, struct avvik__chunk *chunk);

/* H5Dread of rows [first, first + n_rows) of one file: of one column into values, or of all features of a compound
 * table into columns. AVVIK_ERR_FORMAT with a sentence that names file, column and rows. */
enum avvik_status avvik__column_read_plainly(const struct avvik__source_file *file, size_t feature, uint64_t first,
                                             size_t n_rows, float *values, struct avvik_error *error);
enum avvik_status avvik__compound_read_plainly(struct avvik_source *source, const struct avvik__source_file *file,
                                               uint64_t first, size_t n_rows, float *columns, size_t column_stride,
                                               struct avvik_error *error);
/* The sentence for rows [first, first + n_rows) of a file's column. */
enum avvik_status avvik__rows_unreadable(const struct avvik__source_file *file, size_t feature, uint64_t first,
                                         uint64_t n_rows, const char *reason, struct avvik_error *error);

/* Bytes of one chunk of a chunked one-dimensional data set; 0 if it is stored otherwise. */
size_t avvik__dataset_chunk_bytes(hid_t dataset);

/* What HDF5 may inflate one of its chunks to (avvik__input_inflate_limit()); 0: nothing is deflated. */
size_t avvik__dataset_inflate_limit(hid_t dataset);

/* All columns of a table in the order of its attribute `order`, those that it does not name behind: n_columns
 * positions. 0 without memory. */
int avvik__columns_order(hid_t table, const struct avvik__column *columns, size_t n_columns, size_t *order);

/* The paths of all tables of `file`: n x 256 bytes, at most max of them; returns how many there are. */
size_t avvik__tables_find(hid_t file, char (*paths)[256], size_t max);

/* The one table of a file, where none was named. AVVIK_ERR_FORMAT where there is none, AVVIK_ERR_USAGE where there are
 * several. */
enum avvik_status avvik__table_guess(hid_t file, const char *path, char *table, size_t size, struct avvik_error *error);

#endif

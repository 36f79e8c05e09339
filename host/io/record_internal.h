/* What the three files of a record share: record_file.c (its life and its hash), record_values.c (arrays and
 * attributes) and record_columns.c (long columns, run by run). */
#ifndef AVVIK_RECORD_INTERNAL_H
#define AVVIK_RECORD_INTERNAL_H

#include "h5_support.h"
#include "hash_text.h"
#include "output_driver.h"
#include "record_file.h"

/* One line of the list that is hashed. */
struct item {
    char path[192];
    XXH128_hash_t digest;
};

struct avvik__record_column {
    struct avvik__record *record;
    char path[128];
    hid_t dataset;
    enum avvik__type type;
    uint64_t n_rows, next;
    size_t chunk_rows; /* when writing; 0: contiguous */
    int level;         /* of deflate; 0: not compressed */
    XXH3_state_t *digest;
};

struct avvik__record {
    char *path, *partial; /* partial: NULL when reading */
    hid_t file;
    struct avvik__output output; /* when writing */
    struct item *items;
    size_t n_items, capacity;
    struct avvik__record_column **columns;
    size_t n_columns;
};

/* Bytes of one element, and its type in the file; a text has neither. */
size_t avvik__type_size(enum avvik__type type);
hid_t avvik__type_id(enum avvik__type type);
hid_t avvik__text_type(size_t size);

/* The two ways in which a record fails: the disk, and a file that is not what was documented. `what` is a path in it.
 */
enum avvik_status avvik__record_write_failed(const struct avvik__record *record, const char *what,
                                             struct avvik_error *error);
enum avvik_status avvik__record_read_failed(const struct avvik__record *record, const char *what,
                                            struct avvik_error *error);

/* Add a line to the list that is hashed. A digest begins with type and shape. */
enum avvik_status avvik__record_add(struct avvik__record *record, const char *path, XXH128_hash_t digest,
                                    struct avvik_error *error);
void avvik__digest_start(XXH3_state_t *state, enum avvik__type type, int rank, const uint64_t *dims);

/* A new data set without time stamps, so that the same content is the same bytes; chunk_rows 0: contiguous; level: of
 * deflate after shuffle, 0 for none. */
hid_t avvik__dataset_create(struct avvik__record *record, const char *path, hid_t type, int rank, const hsize_t *dims,
                            hsize_t chunk_rows, unsigned level);
/* Open a data set whose type is exactly `type`; H5I_INVALID_HID if there is none. */
hid_t avvik__dataset_open_exact(struct avvik__record *record, const char *path, enum avvik__type type,
                                size_t text_size);
/* Its lengths; 1 if it has `rank` of them. */
int avvik__dataset_dims(hid_t dataset, int rank, uint64_t *dims_out);

#endif

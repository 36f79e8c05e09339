/* Rows dealt out by entity: each part holds all rows of its entities, in memory or in an unnamed file, and fits into
 * memory by itself. */
#ifndef AVVIK_HISTORY_STORE_H
#define AVVIK_HISTORY_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

/* A row; its values follow. */
struct avvik__past_row {
    uint64_t entity, time; /* in the order of the numbers: a signed column's have the sign bit turned over */
    uint64_t row;
    float values[];
};

struct avvik__history_store;

/* For about n_rows rows of n_values values, looked at by n_threads threads, in memory_bytes. AVVIK_ERR_MEMORY.
 * Release with avvik__history_store_free(). */
enum avvik_status avvik__history_store_create(uint64_t n_rows, size_t n_values, unsigned n_threads,
                                              uint64_t memory_bytes, struct avvik__history_store **store_out,
                                              struct avvik_error *error);
void avvik__history_store_free(struct avvik__history_store *store); /* NULL is a no-op */

/* Bytes of a row. */
size_t avvik__past_row_bytes(size_t n_values);

/* One thread at a time. AVVIK_ERR_IO (a temporary file cannot be written), AVVIK_ERR_MEMORY. */
enum avvik_status avvik__history_store_add(struct avvik__history_store *store, const struct avvik__past_row *row,
                                           struct avvik_error *error);

size_t avvik__history_store_parts(const struct avvik__history_store *store);
uint64_t avvik__history_store_spilled(const struct avvik__history_store *store);

/* All rows of a part, malloc'ed, by entity, time and row. Any thread, each part once. AVVIK_ERR_USAGE (it is larger
 * than memory allows), AVVIK_ERR_IO, AVVIK_ERR_MEMORY. */
enum avvik_status avvik__history_store_take(struct avvik__history_store *store, size_t part, char **rows_out,
                                            size_t *n_out, struct avvik_error *error);

/* An unnamed file in TMPDIR, or -1. */
int avvik__temporary_file(void);

#endif

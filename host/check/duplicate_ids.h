/* Finding values that stand more than once among any number of 64-bit values, exactly and in bounded memory.
 *
 * Values go into partitions by their hash while they are read: blocks of records in memory, and once that is full in an
 * unlinked file. At the end each partition, which then holds all rows of its values, goes through a hash table that is
 * small enough for the cache. The hash is keyed at random, so that no file can aim at one partition. */
#ifndef AVVIK_DUPLICATE_IDS_H
#define AVVIK_DUPLICATE_IDS_H

#include "avvik/check.h"

struct avvik__id_set;

/* For n_rows values at most. `memory`: bytes it may take in all (1 MiB at least), for n_threads threads at the end.
 * AVVIK_ERR_MEMORY. */
enum avvik_status avvik__id_set_create(uint64_t n_rows, uint64_t memory, unsigned n_threads,
                                       struct avvik__id_set **set_out, struct avvik_error *error);
void avvik__id_set_free(struct avvik__id_set *set); /* NULL is a no-op */

/* Add rows [first, first + n_rows), but those with is_missing[i]. Rows come in ascending order.
 * AVVIK_ERR_IO (the temporary file cannot be written: the text names its folder); AVVIK_ERR_MEMORY. */
enum avvik_status avvik__id_set_add(struct avvik__id_set *set, uint64_t first, const uint64_t *values,
                                    const uint8_t *is_missing, size_t n_rows, struct avvik_error *error);

/* Once everything has been added: rows whose value an earlier row has, values that stand more than once, and of these
 * the AVVIK_DUPLICATES_NAMED whose second row comes first, in that order. Looks at *stop now and then.
 * AVVIK_OK; AVVIK_ERR_IO; AVVIK_ERR_MEMORY; AVVIK_INTERRUPTED. */
enum avvik_status avvik__id_set_count(struct avvik__id_set *set, const volatile int *stop, uint64_t *rows_out,
                                      uint64_t *values_out, struct avvik_duplicate *named, size_t *n_named_out,
                                      struct avvik_error *error);

#endif

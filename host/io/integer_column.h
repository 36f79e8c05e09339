/* One column of whole numbers, read with all its 64 bits: identities are no float32. */
#ifndef AVVIK_INTEGER_COLUMN_H
#define AVVIK_INTEGER_COLUMN_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/source.h"

struct avvik__integer_column;

/* Open column `name` of `table` in the files `paths`, read as if they were one.
 * AVVIK_OK; AVVIK_ERR_FORMAT (the column holds no whole numbers in some file, or signed and unsigned ones: the text
 * says which); what avvik_source_open() returns. Release with avvik__integer_close(). One thread at a time. */
enum avvik_status avvik__integer_open(const char *const *paths, size_t n_paths, const char *table, const char *name,
                                      struct avvik__integer_column **column_out, struct avvik_error *error);
void avvik__integer_close(struct avvik__integer_column *column); /* NULL is a no-op */

/* 1: the values are two's complement. */
int avvik__integer_is_signed(const struct avvik__integer_column *column);

/* Read rows [first, first + n_rows). values: out, n_rows; is_missing: out, n_rows of 0 or 1 (_FillValue).
 * AVVIK_OK; AVVIK_ERR_USAGE (rows outside the table); AVVIK_ERR_FORMAT (the text names file, column and rows);
 * AVVIK_ERR_MEMORY. */
enum avvik_status avvik__integer_read(struct avvik__integer_column *column, uint64_t first, size_t n_rows,
                                      uint64_t *values, uint8_t *is_missing, struct avvik_error *error);

#endif

/* A hash of every value that was read, the same for any size of block: XXH3-128 over the digests of the columns. */
#ifndef AVVIK_INPUT_HASH_H
#define AVVIK_INPUT_HASH_H

#include <stddef.h>

#include "record_file.h"

struct avvik__input_hash;

/* NULL if there is no memory. */
struct avvik__input_hash *avvik__input_hash_new(size_t n_features);
void avvik__input_hash_free(struct avvik__input_hash *hash);

/* Add n_rows rows, columns side by side `column_stride` floats apart, in row order. */
void avvik__input_hash_add(struct avvik__input_hash *hash, const float *columns, size_t column_stride, size_t n_rows);

/* The text, AVVIK_HASH_SIZE bytes. */
void avvik__input_hash_text(const struct avvik__input_hash *hash, char *text);

#endif

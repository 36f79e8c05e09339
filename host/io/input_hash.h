/* A hash of every value that was read, the same for any size of block and number of threads. A piece is 4,096 rows
 * (fewer at the end) of one column; its digest is the XXH3-128 of its float32 values. Piece rows are chained: the hash
 * after some is the XXH3-128 of 32 bytes, the hash before them (zeros at the beginning) and the XXH3-128 of their
 * columns' digests. All of them canonical (big-endian). So what is needed to go on is 16 bytes. */
#ifndef AVVIK_INPUT_HASH_H
#define AVVIK_INPUT_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "hash_text.h"
#include "record_file.h"

#define AVVIK_HASH_ROWS 4096

/* Zeros before the first row. */
struct avvik__input_hash {
    XXH128_canonical_t sum;
};

/* The digest of one piece: n values of one column, from a row number that is a multiple of AVVIK_HASH_ROWS. */
static inline XXH128_canonical_t avvik__input_digest(const float *piece, size_t n)
{
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(piece, n * sizeof *piece));
    return digest;
}

/* Digests a block of n_rows x n_features has: piece rows by piece rows, in each column by column. */
static inline size_t avvik__input_digest_count(size_t n_rows, size_t n_features)
{
    return (n_rows + AVVIK_HASH_ROWS - 1) / AVVIK_HASH_ROWS * n_features;
}

/* Take in all digests of a block, block by block in row order. */
void avvik__input_hash_add(struct avvik__input_hash *hash, const XXH128_canonical_t *digests, size_t n_rows,
                           size_t n_features);

/* Its text (AVVIK_HASH_SIZE bytes). */
void avvik__input_hash_text(const struct avvik__input_hash *hash, char *text);

#endif

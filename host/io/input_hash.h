/* A hash of every value that was read, the same for any size of block and number of threads: XXH3-128 over the list of
 * the XXH3-128 digests of pieces, a piece being 4,096 rows (fewer at the end) of one column; piece rows by piece rows,
 * and in each column by column. */
#ifndef AVVIK_INPUT_HASH_H
#define AVVIK_INPUT_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "hash_text.h"
#include "record_file.h"

#define AVVIK_HASH_ROWS 4096

/* The digest of one piece: n values of one column, from a row number that is a multiple of AVVIK_HASH_ROWS. */
static inline XXH128_hash_t avvik__input_digest(const float *piece, size_t n)
{
    return XXH3_128bits(piece, n * sizeof *piece);
}

/* Digests a block of n_rows x n_features has: piece rows by piece rows, in each column by column. */
static inline size_t avvik__input_digest_count(size_t n_rows, size_t n_features)
{
    return (n_rows + AVVIK_HASH_ROWS - 1) / AVVIK_HASH_ROWS * n_features;
}

/* The list, which takes all digests of a block, block by block in row order. NULL if there is no memory. */
XXH3_state_t *avvik__input_hash_new(void);
void avvik__input_hash_add(XXH3_state_t *hash, const XXH128_hash_t *digests, size_t n_rows, size_t n_features);

/* Its text (AVVIK_HASH_SIZE bytes). Release the state with XXH3_freeState(). */
void avvik__input_hash_text(const XXH3_state_t *hash, char *text);

#endif

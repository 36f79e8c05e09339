/* What the x86 walks with trees in lanes share. */
#ifndef AVVIK_FOREST_PATH_X86_H
#define AVVIK_FOREST_PATH_X86_H

#include <string.h>

#include "kernels.h"
#include "unroll.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Add to path_sum the leaf values that n_rows rows (at least 1) reach in the 16 trees of `group`. */
typedef void avvik__walk_fn(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                            const struct avvik__forest_view *forest, uint32_t group);

/* Groups outside, rows inside: a group's nodes (24 KB at height 8) stay in L1 while the rows of a block (128 KB) stream
 * from L2. A block must be long: at 2,048 rows, bringing the nodes into L1 costs half a cycle a row. */
static ALWAYS_INLINE void avvik__walk_groups(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                             const struct avvik__forest_view *forest, avvik__walk_fn *walk)
{
    const size_t block_rows = stride < 512 ? 32768 / stride : 64;
    for (size_t first = 0; first < n_rows; first += block_rows) {
        const size_t n = n_rows - first < block_rows ? n_rows - first : block_rows;
        memset(path_sum + first, 0, n * sizeof *path_sum);
        for (uint32_t group = 0; group < forest->n_groups; group++)
            walk(path_sum + first, tile + first * stride, stride, n, forest, group);
    }
}

#endif

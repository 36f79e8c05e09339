/* An isolation forest of perfect trees, as it is grown and stored (kernels/README.md, "Forest"). */
#ifndef AVVIK_FOREST_H
#define AVVIK_FOREST_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/model.h"

/* Heap order: the root is node 1, the children of node k are 2k and 2k + 1. Word 0 of every tree is unused and 0.
 * Packed: nodes is set; wide (more than AVVIK_PACKED_FEATURES features): thresholds and features are. */
struct avvik__forest {
    uint32_t n_trees;
    uint32_t sample; /* rows a tree was grown from */
    uint32_t height;
    uint32_t n_features;
    enum avvik_splits splits; /* how its trees chose features */
    const uint32_t
        *weights;        /* [feature]: how often it is chosen, relative to the others; NULL: equally; the caller's */
    double average_path; /* c(sample), by which a score is normalised */
    uint32_t *nodes;     /* [tree][2^height] or NULL */
    float *thresholds;   /* [tree][2^height] or NULL */
    uint16_t *features;  /* [tree][2^height] or NULL */
    uint16_t *leaves;    /* [tree][2^height], leaf k - 2^height, in steps of 1 / AVVIK_LEAF_ONE */
    uint32_t *rows;      /* [tree][2^(height + 1)], rows of the sample that reach the node */
    int32_t *expected;   /* [tree][2^(height + 1)], g(v): mean leaf value below the node, in steps of 2^-20 */
};

/* Allocate the arrays, all zero, for a forest whose four counts are set. AVVIK_OK or AVVIK_ERR_MEMORY; on error nothing
 * is held. */
enum avvik_status avvik__forest_init(struct avvik__forest *forest, struct avvik_error *error);
void avvik__forest_destroy(struct avvik__forest *forest);

/* Smallest height with 2^height >= sample. */
uint32_t avvik__forest_height(uint32_t sample);

/* c(n), the average path length of an unsuccessful search in a binary search tree of n keys, with the exact harmonic
 * number (Liu, Ting and Zhou 2008, eq. 1): 2 H(n-1) - 2 (n-1) / n; c(1) = 0, c(2) = 1. n >= 1. */
double avvik__average_path(uint32_t n);

/* Grow tree number `tree` from `sample` rows of finite values (row-major, `stride` floats apart).
 * scratch holds forest->sample elements. Draws depend on (seed, tree, node, draw number) only. Thread-safe for
 * different trees. */
void avvik__forest_grow(struct avvik__forest *forest, uint32_t tree, const float *rows, size_t stride, uint64_t seed,
                        uint32_t *scratch);

/* Draw forest->sample row numbers in [0, n_rows) for `tree`, without replacement, ascending (Floyd's algorithm).
 * n_rows >= forest->sample. */
void avvik__forest_draw_rows(const struct avvik__forest *forest, uint32_t tree, uint64_t n_rows, uint64_t seed,
                             uint64_t *rows_out);

/* Does every node, leaf and count have a value that a grown forest can have? Returns NULL if so, else what is wrong,
 * with the tree and node in *tree_out and *node_out. */
const char *avvik__forest_check(const struct avvik__forest *forest, uint32_t *tree_out, uint32_t *node_out);

#endif

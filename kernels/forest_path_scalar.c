/* Scalar reference: the walk of every row through every tree (kernels/README.md, "Path sum").
 *
 * A perfect tree of height H takes exactly H steps. From node k a row goes to node 2k + !(x < threshold); after H steps
 * k - 2^H is the number of the leaf. The packed word is used as it stands as the threshold: its low six bits, which
 * name the feature, are part of the number. A few rows take each step together, so that no row waits for its own. */
#include <string.h>

#include "kernels.h"

#define TOGETHER 8

static inline size_t fewer(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void rows_walk(int32_t *path_sum, const float *rows, size_t stride, size_t n_rows,
                      const struct avvik__forest_view *forest)
{
    const uint32_t size = 1u << forest->height;
    memset(path_sum, 0, n_rows * sizeof *path_sum);
    for (uint32_t tree = 0; tree < forest->n_trees; tree++) {
        const uint32_t *nodes = forest->nodes + (size_t)tree * size;
        uint32_t k[TOGETHER] = {1, 1, 1, 1, 1, 1, 1, 1};
        for (uint32_t level = 0; level < forest->height; level++)
            for (size_t r = 0; r < n_rows; r++) {
                const uint32_t node = nodes[k[r]];
                float threshold;
                memcpy(&threshold, &node, sizeof threshold);
                k[r] = 2 * k[r] + !(rows[r * stride + (node & AVVIK_FEATURE_MASK)] < threshold);
            }
        for (size_t r = 0; r < n_rows; r++)
            path_sum[r] += forest->leaves[(size_t)tree * size + k[r] - size];
    }
}

void avvik__forest_path_scalar(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                               const struct avvik__forest_view *forest)
{
    for (size_t r = 0; r < n_rows; r += TOGETHER)
        rows_walk(path_sum + r, tile + r * stride, stride, fewer(n_rows - r, TOGETHER), forest);
}

static void rows_walk_wide(int32_t *path_sum, const float *rows, size_t stride, size_t n_rows,
                           const struct avvik__forest_view *forest)
{
    const uint32_t size = 1u << forest->height;
    memset(path_sum, 0, n_rows * sizeof *path_sum);
    for (uint32_t tree = 0; tree < forest->n_trees; tree++) {
        const float *thresholds = forest->thresholds + (size_t)tree * size;
        const uint16_t *features = forest->features + (size_t)tree * size;
        uint32_t k[TOGETHER] = {1, 1, 1, 1, 1, 1, 1, 1};
        for (uint32_t level = 0; level < forest->height; level++)
            for (size_t r = 0; r < n_rows; r++)
                k[r] = 2 * k[r] + !(rows[r * stride + features[k[r]]] < thresholds[k[r]]);
        for (size_t r = 0; r < n_rows; r++)
            path_sum[r] += forest->leaves[(size_t)tree * size + k[r] - size];
    }
}

void avvik__forest_path_wide_scalar(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                    const struct avvik__forest_view *forest)
{
    for (size_t r = 0; r < n_rows; r += TOGETHER)
        rows_walk_wide(path_sum + r, tile + r * stride, stride, fewer(n_rows - r, TOGETHER), forest);
}

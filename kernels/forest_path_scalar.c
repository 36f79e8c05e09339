/* Scalar reference: the walk of every row through every tree (kernels/README.md, "Path sum").
 *
 * A perfect tree of height H takes exactly H steps. From node k a row goes to node 2k + !(x < threshold); after H steps
 * k - 2^H is the number of the leaf. The packed word is used as it stands as the threshold: its low six bits, which
 * name the feature, are part of the number. */
#include <string.h>

#include "kernels.h"

void avvik__forest_path_scalar(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                               const struct avvik__forest_view *forest)
{
    const uint32_t size = 1u << forest->height;
    for (size_t r = 0; r < n_rows; r++) {
        const float *row = tile + r * stride;
        int32_t sum = 0;
        for (uint32_t tree = 0; tree < forest->n_trees; tree++) {
            const uint32_t *nodes = forest->nodes + (size_t)tree * size;
            uint32_t k = 1;
            while (k < size) {
                float threshold;
                memcpy(&threshold, &nodes[k], sizeof threshold);
                k = 2 * k + !(row[nodes[k] & AVVIK_FEATURE_MASK] < threshold);
            }
            sum += forest->leaves[(size_t)tree * size + k - size];
        }
        path_sum[r] = sum;
    }
}

void avvik__forest_path_wide_scalar(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                    const struct avvik__forest_view *forest)
{
    const uint32_t size = 1u << forest->height;
    for (size_t r = 0; r < n_rows; r++) {
        const float *row = tile + r * stride;
        int32_t sum = 0;
        for (uint32_t tree = 0; tree < forest->n_trees; tree++) {
            const float *thresholds = forest->thresholds + (size_t)tree * size;
            const uint16_t *features = forest->features + (size_t)tree * size;
            uint32_t k = 1;
            while (k < size)
                k = 2 * k + !(row[features[k]] < thresholds[k]);
            sum += forest->leaves[(size_t)tree * size + k - size];
        }
        path_sum[r] = sum;
    }
}

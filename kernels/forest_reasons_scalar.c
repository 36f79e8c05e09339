/* Scalar reference: how each feature moves a row's path sum (kernels/README.md, "Reasons").
 *
 * The walk of forest_path; at every step from node v to its child the feature of v gets g(child) - g(v). Along a path
 * these differences telescope to g(leaf) - g(root), and g(leaf) is the leaf's value: so the contributions add up to
 * what the row's path sum differs from the expected one by, in integers, exactly. Below a leaf g does not change. */
#include <string.h>

#include "kernels.h"

void avvik__forest_reasons_scalar(int64_t *contributions, const float *tile, size_t stride, size_t n_rows,
                                  const struct avvik__reasons_view *view)
{
    const struct avvik__forest_view *forest = view->forest;
    const uint32_t size = 1u << forest->height;
    for (size_t r = 0; r < n_rows; r++) {
        const float *row = tile + r * stride;
        int64_t *of_row = contributions + r * view->stride;
        memset(of_row, 0, view->stride * sizeof *of_row);
        for (size_t tree = 0; tree < forest->n_trees; tree++) {
            const int32_t *g = view->expected + 2 * size * tree;
            for (uint32_t k = 1; k < size;) {
                const size_t node = tree * size + k;
                float threshold;
                uint32_t feature;
                if (forest->nodes != NULL) {
                    memcpy(&threshold, &forest->nodes[node], sizeof threshold);
                    feature = forest->nodes[node] & AVVIK_FEATURE_MASK;
                } else {
                    threshold = forest->thresholds[node];
                    feature = forest->features[node];
                }
                const uint32_t child = 2 * k + !(row[feature] < threshold);
                of_row[feature] += g[child] - g[k];
                k = child;
            }
        }
    }
}

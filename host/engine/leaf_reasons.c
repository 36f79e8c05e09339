#include "leaf_reasons.h"

#include "avvik_internal.h"
#include "kernel_types.h"

#define MAX_BYTES ((size_t)64 << 20)

int32_t *avvik__leaf_reasons_make(const struct avvik__forest *forest, size_t stride)
{
    const size_t size = (size_t)1 << forest->height, n_leaves = forest->n_trees * size;
    if (forest->nodes == NULL || n_leaves > MAX_BYTES / sizeof(int32_t) / stride)
        return NULL;
    int32_t *table = avvik__aligned_calloc(n_leaves * stride, sizeof *table);
    for (size_t leaf = 0; table != NULL && leaf < n_leaves; leaf++) {
        const size_t tree = leaf / size;
        const int32_t *g = forest->expected + 2 * size * tree;
        for (size_t child = size + leaf % size; child > 1; child /= 2) /* from the leaf up to the root */
            table[leaf * stride + (forest->nodes[tree * size + child / 2] & AVVIK_FEATURE_MASK)] +=
                g[child] - g[child / 2];
    }
    return table;
}

#include "forest_layout.h"

#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

void avvik__forest_layout_destroy(struct avvik__forest_layout *layout)
{
    for (size_t i = 0; i < sizeof layout->owned / sizeof layout->owned[0]; i++)
        free(layout->owned[i]);
    memset(layout, 0, sizeof *layout);
}

enum avvik_status avvik__forest_layout_init(struct avvik__forest_layout *layout, const struct avvik__forest *forest,
                                            struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t size = (size_t)1 << forest->height, half = size / 2;
    const size_t n_groups = (forest->n_trees + AVVIK_LANES - 1) / AVVIK_LANES;
    const size_t n_nodes = forest->n_trees * size, n_lane_nodes = n_groups * size * AVVIK_LANES;
    const int is_wide = forest->nodes == NULL;
    memset(layout, 0, sizeof *layout);

    uint32_t *nodes = layout->owned[0] = avvik__aligned_calloc(is_wide ? 0 : n_nodes, sizeof *nodes);
    float *thresholds = layout->owned[1] = avvik__aligned_calloc(is_wide ? n_nodes : 0, sizeof *thresholds);
    uint16_t *features = layout->owned[2] = avvik__aligned_calloc(is_wide ? n_nodes : 0, sizeof *features);
    uint16_t *leaves = layout->owned[3] = avvik__aligned_calloc(n_nodes, sizeof *leaves);
    uint32_t *lane_nodes = layout->owned[4] = avvik__aligned_calloc(n_lane_nodes, sizeof *lane_nodes);
    uint32_t *lane_features = layout->owned[5] =
        avvik__aligned_calloc(is_wide ? n_lane_nodes : 0, sizeof *lane_features);
    uint32_t *lane_leaf_pairs = layout->owned[6] = avvik__aligned_calloc(n_lane_nodes, sizeof *lane_leaf_pairs);
    for (int i = 0; i <= 6; i++)
        if (layout->owned[i] == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for a forest of %u trees", forest->n_trees);

    memcpy(leaves, forest->leaves, n_nodes * sizeof *leaves);
    if (is_wide) {
        memcpy(thresholds, forest->thresholds, n_nodes * sizeof *thresholds);
        memcpy(features, forest->features, n_nodes * sizeof *features);
    } else {
        memcpy(nodes, forest->nodes, n_nodes * sizeof *nodes);
    }
    for (size_t tree = 0; tree < forest->n_trees; tree++) {
        const size_t group = tree / AVVIK_LANES, lane = tree % AVVIK_LANES;
        for (uint32_t level = 0; level < forest->height; level++) {
            const size_t width = (size_t)1 << level;
            for (size_t j = 0; j < width; j++) {
                const size_t from = tree * size + width + j;
                const size_t to = group * size * AVVIK_LANES + (AVVIK_LANES + lane) * width + j;
                if (is_wide) {
                    memcpy(&lane_nodes[to], &thresholds[from], sizeof *lane_nodes);
                    lane_features[to] = features[from];
                } else {
                    lane_nodes[to] = nodes[from];
                }
            }
        }
        for (size_t j = 0; j < half; j++)
            lane_leaf_pairs[group * size * AVVIK_LANES + (AVVIK_LANES + lane) * half + j] =
                leaves[tree * size + 2 * j] | (uint32_t)leaves[tree * size + 2 * j + 1] << 16;
    }
    layout->view = (struct avvik__forest_view){.n_trees = forest->n_trees,
                                               .height = forest->height,
                                               .n_features = forest->n_features,
                                               .n_groups = (uint32_t)n_groups,
                                               .nodes = is_wide ? NULL : nodes,
                                               .thresholds = is_wide ? thresholds : NULL,
                                               .features = is_wide ? features : NULL,
                                               .leaves = leaves,
                                               .lane_nodes = lane_nodes,
                                               .lane_features = is_wide ? lane_features : NULL,
                                               .lane_leaf_pairs = lane_leaf_pairs};
done:
    if (status != AVVIK_OK)
        avvik__forest_layout_destroy(layout);
    return status;
}

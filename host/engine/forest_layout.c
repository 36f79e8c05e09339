#include "forest_layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

void avvik__forest_layout_destroy(struct avvik__forest_layout *layout)
{
    for (size_t i = 0; i < sizeof layout->owned / sizeof layout->owned[0]; i++)
        free(layout->owned[i]);
    memset(layout, 0, sizeof *layout);
}

/* Thresholds of one group of byte trees, of every feature ascending and without repetition. */
struct ranks {
    uint32_t n;
    float thresholds[AVVIK_BYTE_THRESHOLDS];
};

/* A node that splits; of the others, which send every row left, is_split is 0. */
struct split {
    int is_split;
    uint32_t feature;
    float threshold;
};

static struct split split_of(const struct avvik__forest *forest, size_t at)
{
    struct split split = {.threshold = INFINITY};
    if (forest->nodes == NULL) {
        split.threshold = forest->thresholds[at];
        split.feature = forest->features[at];
    } else {
        memcpy(&split.threshold, &forest->nodes[at], sizeof split.threshold);
        split.feature = forest->nodes[at] & AVVIK_FEATURE_MASK;
    }
    split.is_split = split.threshold < INFINITY;
    return split;
}

/* Number of thresholds that are below x: the rank of x, if x is one of them. */
static uint32_t rank_below(const struct ranks *ranks, float x)
{
    uint32_t low = 0, high = ranks->n;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (ranks->thresholds[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Add the thresholds of a tree; 0 if some feature would have too many, and then *ranks is no good any more. */
static int ranks_add(struct ranks *ranks, const struct avvik__forest *forest, uint32_t tree)
{
    const size_t size = (size_t)1 << forest->height;
    for (size_t k = 1; k < size; k++) {
        const struct split split = split_of(forest, tree * size + k);
        if (!split.is_split)
            continue;
        struct ranks *of = &ranks[split.feature];
        const uint32_t at = rank_below(of, split.threshold);
        if (at < of->n && of->thresholds[at] == split.threshold)
            continue;
        if (of->n == AVVIK_BYTE_THRESHOLDS)
            return 0;
        memmove(of->thresholds + at + 1, of->thresholds + at, (of->n - at) * sizeof(float));
        of->thresholds[at] = split.threshold;
        of->n++;
    }
    return 1;
}

/* The first `bits` bits of i, in reverse. */
static uint32_t reversed(uint32_t i, uint32_t bits)
{
    uint32_t r = 0;
    for (uint32_t bit = 0; bit < bits; bit++)
        r |= (i >> bit & 1) << (bits - 1 - bit);
    return r;
}

/* Steps of the search for a feature's ranks: as many as struct avvik__byte_search names. */
static uint32_t n_steps_of(uint32_t n_thresholds)
{
    return n_thresholds == 0 ? 0 : n_thresholds < 16 ? 4 : n_thresholds < 64 ? 6 : n_thresholds < 128 ? 7 : 8;
}

static void byte_search_fill(struct avvik__byte_search *search, const struct ranks *ranks)
{
    float *levels[] = {&search->level_0, search->level_1, search->level_2, search->level_3,
                       search->level_4,  search->level_5, search->level_6, search->level_7};
    search->n_steps = n_steps_of(ranks->n);
    for (uint32_t level = 0; level < search->n_steps; level++) {
        const uint32_t step = 1u << (search->n_steps - 1 - level), width = 1u << level;
        for (uint32_t i = 0; i < (level == 0 ? 1 : width < 16 ? 16 : width); i++) {
            const uint32_t at = reversed(i % width, level) * 2 * step + step - 1;
            levels[level][i] = at < ranks->n ? ranks->thresholds[at] : INFINITY;
        }
    }
}

/* The features that split in one level of a tree, ascending, and how the level chooses among them. */
struct slots {
    uint32_t n, n_slots; /* n_slots as in struct avvik__byte_tree */
    uint16_t feature[1 << (AVVIK_BYTE_HEIGHT - 1)];
};

static int compare_features(const void *a, const void *b)
{
    return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static void slots_find(struct slots *slots, const struct avvik__forest *forest, uint32_t tree, uint32_t level)
{
    static const uint32_t sizes[] = AVVIK_BYTE_SLOTS;
    uint32_t n = 0;
    *slots = (struct slots){.n_slots = AVVIK_BYTE_BY_PATH};
    for (uint32_t k = 1u << level; level < forest->height && k < 2u << level; k++) {
        const struct split split = split_of(forest, ((size_t)tree << forest->height) + k);
        if (split.is_split)
            slots->feature[n++] = (uint16_t)split.feature;
    }
    qsort(slots->feature, n, sizeof slots->feature[0], compare_features);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || slots->feature[i] != slots->feature[i - 1])
            slots->feature[slots->n++] = slots->feature[i];
    if (forest->n_features <= 16) { /* every feature has its slot, so that the walk knows the columns */
        for (slots->n = 0; slots->n < forest->n_features; slots->n++)
            slots->feature[slots->n] = (uint16_t)slots->n;
        slots->n_slots = forest->n_features <= 8 ? 8 : level == 4 ? AVVIK_BYTE_BY_PATH : 16;
        return;
    }
    /* At level 4 choosing by path costs no more than by 12 slots, at level 5 than by 24 and their test masks. */
    for (size_t i = sizeof sizes / sizeof sizes[0]; i-- > 0;)
        if (slots->n <= sizes[i] && (level > 5 || sizes[i] <= (level == 4 ? 8 : 16)))
            slots->n_slots = sizes[i];
    if (slots->n == 0)
        slots->n_slots = 0;
}

static uint32_t slot_of(const struct slots *slots, uint32_t feature)
{
    uint32_t slot = 0;
    while (slot < slots->n && slots->feature[slot] != feature)
        slot++;
    return slot;
}

/* A slot's number as the walk wants it: bit 0 is the byte's sign, where a mask is made of it on another port. */
static uint32_t slot_code(uint32_t slot)
{
    return slot >> 1 | (slot & 1) << 7;
}

/* Nodes of level 7 with the same rank, slot and leaves are one end of the tree: below a leaf of the forest all are.
 * Where there are no more than 64 ends, what is known of a node fits into tables half as long. */
static void ends_find(struct avvik__byte_tree *tree)
{
    struct avvik__byte_tree ends = *tree;
    uint32_t n = 0;
    for (uint32_t path = 0; path < 128; path++) {
        const uint8_t key[] = {tree->rank_7[path],         tree->slot_7[path],    tree->leaf_low[path],
                               tree->leaf_low[path + 128], tree->leaf_high[path], tree->leaf_high[path + 128]};
        uint32_t e = 0;
        while (e < n &&
               (ends.rank_7[e] != key[0] || ends.slot_7[e] != key[1] || ends.leaf_low[e] != key[2] ||
                ends.leaf_low[e + 64] != key[3] || ends.leaf_high[e] != key[4] || ends.leaf_high[e + 64] != key[5]))
            e++;
        if (e == 64)
            return;
        ends.rank_7[e] = key[0];
        ends.slot_7[e] = key[1];
        ends.leaf_low[e] = key[2];
        ends.leaf_low[e + 64] = key[3];
        ends.leaf_high[e] = key[4];
        ends.leaf_high[e + 64] = key[5];
        ends.end[path] = (uint8_t)e;
        n = e == n ? n + 1 : n;
    }
    ends.has_ends = 1;
    *tree = ends;
}

static void byte_tree_fill(struct avvik__byte_tree *to, const struct ranks *ranks, const struct avvik__forest *forest,
                           uint32_t tree)
{
    const size_t size = (size_t)1 << forest->height;
    uint8_t *rank[] = {NULL, NULL, to->rank_2, to->rank_3, to->rank_4, to->rank_5, to->rank_6, to->rank_7};
    uint8_t *slot[] = {NULL, NULL, NULL, NULL, to->slot_4, to->slot_5, to->slot_6, to->slot_7};
    for (uint32_t level = 0; level < AVVIK_BYTE_HEIGHT; level++) {
        struct slots slots = {.n_slots = AVVIK_BYTE_BY_PATH};
        uint16_t *column = &to->column[1u << level];
        if (level >= 4)
            slots_find(&slots, forest, tree, level);
        to->n_slots[level] = (uint8_t)slots.n_slots;
        for (uint32_t i = 0; i < slots.n && slots.n_slots != AVVIK_BYTE_BY_PATH; i++)
            column[i] = (uint16_t)(slots.feature[i] * 64);
        for (uint32_t path = 0; path < 1u << level; path++) {
            const size_t k = (1u << level) + reversed(path, level);
            struct split split = {.is_split = 0};
            if (level < forest->height)
                split = split_of(forest, tree * size + k);
            const uint32_t feature = split.is_split ? split.feature : 0;
            const uint32_t r = split.is_split
                                   ? rank_below(&ranks[feature], split.threshold) << (8 - n_steps_of(ranks[feature].n))
                                   : 255;
            if (slots.n_slots == AVVIK_BYTE_BY_PATH)
                column[path] = (uint16_t)(feature * 64);
            else if (split.is_split)
                slot[level][path] = (uint8_t)slot_code(slot_of(&slots, feature));
            if (level < 2)
                (level == 0 ? to->rank_0 : to->rank_1)[path] = r * 0x01010101u;
            else
                rank[level][path] = (uint8_t)r;
        }
    }
    for (uint32_t path = 0; path < 1u << AVVIK_BYTE_HEIGHT; path++) {
        const size_t at = reversed(path, AVVIK_BYTE_HEIGHT) >> (AVVIK_BYTE_HEIGHT - forest->height);
        const uint16_t leaf = forest->leaves[tree * size + at];
        to->leaf_low[path] = (uint8_t)leaf;
        to->leaf_high[path] = (uint8_t)(leaf >> 8);
    }
    if (to->n_slots[7] != AVVIK_BYTE_BY_PATH)
        ends_find(to);
}

/* What the walks cost a row, in hundredths of a cycle, as measured (kernels/README.md, "Byte walk"); only their ratio
 * counts. Wide rows are long: each feature makes misses in L1 more likely, in both walks. */
static uint64_t lane_walk_cost(const struct avvik__forest *forest)
{
    const uint64_t n_groups = (forest->n_trees + AVVIK_LANES - 1) / AVVIK_LANES;
    const uint64_t gathers = forest->nodes == NULL ? 1600 * forest->height - 2800 : 650 * forest->height - 400;
    return n_groups * (forest->nodes == NULL      ? gathers + 15 * forest->n_features
                       : forest->n_features <= 32 ? gathers
                                                  : gathers * 4 / 3);
}

/* Blends grow with the columns that a level chooses among; a level without a split costs nothing. */
static uint64_t byte_tree_cost(const struct avvik__forest *forest, uint32_t tree)
{
    uint64_t cost = 90; /* levels 0 to 3 and the leaf */
    if (forest->n_features <= 16)
        return forest->n_features <= 8 ? 110 : 140;
    for (uint32_t level = 4; level < AVVIK_BYTE_HEIGHT; level++) {
        struct slots slots;
        slots_find(&slots, forest, tree, level);
        cost += slots.n_slots == 0 ? 0 : slots.n_slots == AVVIK_BYTE_BY_PATH ? 10 + (1u << level) : 8 + slots.n_slots;
    }
    return cost;
}

/* Ranking a row's values once more: many for features with many thresholds, nothing for those without. */
static uint64_t ranking_cost(const struct ranks *ranks, uint32_t n_features)
{
    uint64_t n_steps = 0;
    for (uint32_t feature = 0; feature < n_features; feature++)
        n_steps += n_steps_of(ranks[feature].n);
    return n_steps * 140 / 8;
}

/* The longest run of trees from `first` on that fits into one group, and the thresholds of that group, by feature, in
 * `ranks`. */
static struct avvik__byte_group byte_group_make(struct ranks *ranks, const struct avvik__forest *forest, uint32_t first)
{
    struct avvik__byte_group group = {.first_tree = first};
    memset(ranks, 0, forest->n_features * sizeof *ranks);
    while (group.n_trees < 256 && first + group.n_trees < forest->n_trees &&
           ranks_add(ranks, forest, first + group.n_trees))
        group.n_trees++;
    if (group.n_trees < 256 &&
        first + group.n_trees < forest->n_trees) { /* the tree that did not fit left its traces */
        memset(ranks, 0, forest->n_features * sizeof *ranks);
        for (uint32_t tree = first; tree < first + group.n_trees; tree++)
            ranks_add(ranks, forest, tree);
    }
    return group;
}

static int compare_slots(const void *a, const void *b)
{
    const struct avvik__byte_tree *x = a, *y = b;
    for (uint32_t level = AVVIK_BYTE_HEIGHT; level-- > 4;)
        if (x->n_slots[level] != y->n_slots[level])
            return x->n_slots[level] - y->n_slots[level];
    return 0;
}

/* Make layout->view.bytes, for the byte walk, where it is possible and faster than the walk with trees in lanes. This
 * is the one place that chooses between the two. */
static enum avvik_status byte_layout_init(struct avvik__forest_layout *layout, const struct avvik__forest *forest,
                                          struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    if (forest->n_features > AVVIK_BYTE_FEATURES || forest->height > AVVIK_BYTE_HEIGHT)
        return AVVIK_OK;
    struct avvik__byte_tree *trees = NULL;
    struct avvik__byte_search *searches = NULL;
    struct avvik__byte_forest *bytes = NULL;
    struct avvik__byte_group *groups = layout->owned[7] = avvik__aligned_calloc(forest->n_trees, sizeof *groups);
    struct ranks *ranks = calloc(forest->n_features, sizeof *ranks);
    uint32_t n_groups = 0;
    uint64_t cost = forest->n_features * (forest->nodes == NULL ? 60 : 40); /* a transpose */
    if (ranks == NULL || groups == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for a forest of %u trees", forest->n_trees);
    for (uint32_t tree = 0; tree < forest->n_trees; tree += groups[n_groups++].n_trees) {
        groups[n_groups] = byte_group_make(ranks, forest, tree);
        cost += ranking_cost(ranks, forest->n_features);
    }
    for (uint32_t tree = 0; tree < forest->n_trees; tree++)
        cost += byte_tree_cost(forest, tree);
    if (cost >= lane_walk_cost(forest))
        goto done;

    trees = layout->owned[8] = avvik__aligned_calloc(forest->n_trees, sizeof *trees);
    bytes = layout->owned[9] = avvik__aligned_calloc(1, sizeof *bytes);
    searches = layout->owned[10] = avvik__aligned_calloc((size_t)n_groups * forest->n_features, sizeof *searches);
    if (trees == NULL || bytes == NULL || searches == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for a forest of %u trees", forest->n_trees);
    for (uint32_t g = 0; g < n_groups; g++) {
        byte_group_make(ranks, forest, groups[g].first_tree);
        for (uint32_t feature = 0; feature < forest->n_features; feature++)
            byte_search_fill(&searches[g * forest->n_features + feature], &ranks[feature]);
        for (uint32_t tree = groups[g].first_tree; tree < groups[g].first_tree + groups[g].n_trees; tree++)
            byte_tree_fill(&trees[tree], ranks, forest, tree);
        /* Trees that need the same code one after the other: their branches are predicted. */
        qsort(&trees[groups[g].first_tree], groups[g].n_trees, sizeof *trees, compare_slots);
    }
    *bytes = (struct avvik__byte_forest){n_groups, groups, searches, trees};
    layout->view.bytes = bytes;
done:
    free(ranks);
    return status;
}

/* The lane layout of kernel_types.h; *lane_nodes for packed forests, *lane_pairs for wide ones. */
static void lane_layout_fill(const struct avvik__forest *forest, uint32_t *lane_nodes, uint64_t *lane_pairs,
                             uint32_t *lane_leaf_pairs)
{
    const size_t size = (size_t)1 << forest->height, half = size / 2;
    for (size_t tree = 0; tree < forest->n_trees; tree++) {
        const size_t group = tree / AVVIK_LANES, lane = tree % AVVIK_LANES;
        for (uint32_t level = 0; level < forest->height; level++) {
            const size_t width = (size_t)1 << level;
            for (size_t j = 0; j < width; j++) {
                const size_t from = tree * size + width + j;
                const size_t to = group * size * AVVIK_LANES + (AVVIK_LANES + lane) * width + j;
                if (forest->nodes == NULL) {
                    uint32_t threshold;
                    memcpy(&threshold, &forest->thresholds[from], sizeof threshold);
                    lane_pairs[to] = threshold | (uint64_t)forest->features[from] << 32;
                } else {
                    lane_nodes[to] = forest->nodes[from];
                }
            }
        }
        for (size_t j = 0; j < half; j++)
            lane_leaf_pairs[group * size * AVVIK_LANES + (AVVIK_LANES + lane) * half + j] =
                forest->leaves[tree * size + 2 * j] | (uint32_t)forest->leaves[tree * size + 2 * j + 1] << 16;
    }
}

enum avvik_status avvik__forest_layout_init(struct avvik__forest_layout *layout, const struct avvik__forest *forest,
                                            struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t size = (size_t)1 << forest->height;
    const size_t n_groups = (forest->n_trees + AVVIK_LANES - 1) / AVVIK_LANES;
    const size_t n_nodes = forest->n_trees * size, n_lane_nodes = n_groups * size * AVVIK_LANES;
    const int is_wide = forest->nodes == NULL;
    memset(layout, 0, sizeof *layout);

    uint32_t *nodes = layout->owned[0] = avvik__aligned_calloc(is_wide ? 0 : n_nodes, sizeof *nodes);
    float *thresholds = layout->owned[1] = avvik__aligned_calloc(is_wide ? n_nodes : 0, sizeof *thresholds);
    uint16_t *features = layout->owned[2] = avvik__aligned_calloc(is_wide ? n_nodes : 0, sizeof *features);
    uint16_t *leaves = layout->owned[3] = avvik__aligned_calloc(n_nodes, sizeof *leaves);
    uint32_t *lane_nodes = layout->owned[4] = avvik__aligned_calloc(is_wide ? 0 : n_lane_nodes, sizeof *lane_nodes);
    uint64_t *lane_pairs = layout->owned[5] = avvik__aligned_calloc(is_wide ? n_lane_nodes : 0, sizeof *lane_pairs);
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
    lane_layout_fill(forest, lane_nodes, lane_pairs, lane_leaf_pairs);
    layout->view = (struct avvik__forest_view){.n_trees = forest->n_trees,
                                               .height = forest->height,
                                               .n_features = forest->n_features,
                                               .n_groups = (uint32_t)n_groups,
                                               .nodes = is_wide ? NULL : nodes,
                                               .thresholds = is_wide ? thresholds : NULL,
                                               .features = is_wide ? features : NULL,
                                               .leaves = leaves,
                                               .lane_nodes = is_wide ? NULL : lane_nodes,
                                               .lane_pairs = is_wide ? lane_pairs : NULL,
                                               .lane_leaf_pairs = lane_leaf_pairs};
    AVVIK_TRY(byte_layout_init(layout, forest, error));
done:
    if (status != AVVIK_OK)
        avvik__forest_layout_destroy(layout);
    return status;
}

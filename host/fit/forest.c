#include "forest.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "counter_draw.h"
#include "kernel_types.h"

#define KURTOSIS_ONE 256

enum avvik_status avvik__forest_init(struct avvik__forest *forest, struct avvik_error *error)
{
    const size_t n_nodes = (size_t)forest->n_trees << forest->height;
    const int is_wide = forest->n_features > AVVIK_PACKED_FEATURES;
    forest->average_path = avvik__average_path(forest->sample);
    forest->nodes = is_wide ? NULL : avvik__aligned_calloc(n_nodes, sizeof *forest->nodes);
    forest->thresholds = is_wide ? avvik__aligned_calloc(n_nodes, sizeof *forest->thresholds) : NULL;
    forest->features = is_wide ? avvik__aligned_calloc(n_nodes, sizeof *forest->features) : NULL;
    forest->leaves = avvik__aligned_calloc(n_nodes, sizeof *forest->leaves);
    forest->rows = avvik__aligned_calloc(2 * n_nodes, sizeof *forest->rows);
    forest->expected = avvik__aligned_calloc(2 * n_nodes, sizeof *forest->expected);
    if ((is_wide ? forest->thresholds == NULL || forest->features == NULL : forest->nodes == NULL) ||
        forest->leaves == NULL || forest->rows == NULL || forest->expected == NULL) {
        avvik__forest_destroy(forest);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "not enough memory for a forest of %u trees",
                                forest->n_trees);
    }
    return AVVIK_OK;
}

void avvik__forest_destroy(struct avvik__forest *forest)
{
    free(forest->nodes);
    free(forest->thresholds);
    free(forest->features);
    free(forest->leaves);
    free(forest->rows);
    free(forest->expected);
    memset(forest, 0, sizeof *forest);
}

uint32_t avvik__forest_height(uint32_t sample)
{
    uint32_t height = 0;
    while ((UINT32_C(1) << height) < sample)
        height++;
    return height;
}

double avvik__average_path(uint32_t n)
{
    double harmonic = 0;
    if (n < 2)
        return 0;
    for (uint32_t i = n - 1; i >= 1; i--) /* small terms first */
        harmonic += 1.0 / i;
    return 2 * harmonic - 2.0 * (n - 1) / n;
}

static uint16_t leaf_value(uint32_t depth, uint32_t n)
{
    return (uint16_t)lrint((depth + avvik__average_path(n)) * AVVIK_LEAF_ONE);
}

static int splits(float threshold, float min, float max)
{
    return min < threshold && threshold <= max;
}

/* The packed word of a threshold near `drawn` for `feature`, or 0 if no lattice point beside it separates min from
 * max. A word with exponent 0 would be zero or a denormal, which do not exist for avvik. */
static uint32_t packed_word(float drawn, uint32_t feature, float min, float max)
{
    static const uint32_t steps[3] = {0, AVVIK_FEATURE_MASK + 1, ~AVVIK_FEATURE_MASK};
    uint32_t bits;
    memcpy(&bits, &drawn, sizeof bits);
    for (int i = 0; i < 3; i++) {
        const uint32_t word = ((bits & ~AVVIK_FEATURE_MASK) | feature) + steps[i];
        float threshold;
        memcpy(&threshold, &word, sizeof threshold);
        if ((word & 0x7f800000u) != 0 && splits(threshold, min, max))
            return word;
    }
    return 0;
}

/* The float32 nearest to `drawn` in (min, max] that is not a denormal. There always is one. */
static float wide_threshold(float drawn, float min, float max)
{
    float threshold = drawn <= min ? nextafterf(min, INFINITY) : drawn > max ? max : drawn;
    if (threshold != 0 && fabsf(threshold) < FLT_MIN)
        threshold = min < 0 ? 0 : FLT_MIN;
    return threshold;
}

struct growth {
    struct avvik__forest *forest;
    uint32_t tree;
    const float *rows;
    size_t stride;
    uint64_t seed;
    uint32_t kurtosis_levels; /* in the first so many levels of this tree features are chosen by kurtosis */
    uint32_t *order;          /* row numbers; a node owns a range */
};

/* Make node k at `depth` a leaf of n rows: everything below repeats it, and every row goes left. */
static void leaf_make(const struct growth *growth, uint32_t k, uint32_t depth, uint32_t n)
{
    struct avvik__forest *forest = growth->forest;
    const uint32_t height = forest->height, size = UINT32_C(1) << height;
    const size_t base = (size_t)growth->tree << height;
    const uint16_t value = leaf_value(depth, n);
    uint32_t first = k, count = 1;
    for (uint32_t level = depth; level <= height; level++, first *= 2, count *= 2) {
        forest->rows[2 * base + first] = n;
        for (uint32_t i = first; i < first + count; i++) {
            if (level == height)
                forest->leaves[base + i - size] = value;
            else if (forest->nodes != NULL)
                forest->nodes[base + i] = AVVIK_NODE_LEFT;
            else
                forest->thresholds[base + i] = INFINITY; /* feature 0 */
        }
    }
}

static uint32_t weight_of(const struct avvik__forest *forest, uint32_t feature)
{
    return forest->weights == NULL ? 1 : forest->weights[feature];
}

static float value_at(const struct growth *growth, uint32_t place, uint32_t feature)
{
    return growth->rows[growth->order[place] * growth->stride + feature];
}

/* Kurtosis n m4 / m2^2 of a feature that is not constant in order[begin, end), in steps of 1 / KURTOSIS_ONE: from 1,
 * where half of the values are one and half another, to about n, where one is unlike all others. The sums run in the
 * order of the rows, in double, where no power of a float32 overflows. */
static uint32_t kurtosis_of(const struct growth *growth, uint32_t feature, uint32_t begin, uint32_t end)
{
    double sum = 0, second = 0, fourth = 0;
    for (uint32_t i = begin; i < end; i++)
        sum += value_at(growth, i, feature);
    const double n = end - begin, mean = sum / n;
    for (uint32_t i = begin; i < end; i++) {
        const double difference = value_at(growth, i, feature) - mean, square = difference * difference;
        second += square;
        fourth += square * square;
    }
    return (uint32_t)lrint(KURTOSIS_ONE * n * fourth / (second * second));
}

static uint64_t chance(const struct avvik__forest *forest, uint32_t feature, uint32_t kurtosis)
{
    return (uint64_t)weight_of(forest, feature) * kurtosis;
}

/* Draw a split of the rows order[begin, end) for node k. Returns 0 if no feature can separate them. Not inlined: its
 * arrays would lie on the stack once a level. */
__attribute__((noinline)) static int split_draw(const struct growth *growth, uint32_t k, uint32_t begin, uint32_t end,
                                                uint32_t *feature_out, float *threshold_out)
{
    struct avvik__forest *forest = growth->forest;
    const uint32_t n_features = forest->n_features;
    const int by_kurtosis = k >> growth->kurtosis_levels == 0; /* node k is in level floor(log2 k) */
    uint16_t open[UINT16_MAX];
    uint32_t kurtosis[UINT16_MAX], n_open = 0;
    uint64_t all = 0; /* chances of the open features: at most 2^16 of 2^26 x 2^20 */
    for (uint32_t f = 0; f < n_features; f++) {
        if (weight_of(forest, f) == 0)
            continue;
        const float value = value_at(growth, begin, f);
        uint32_t i = begin + 1;
        while (i < end && value_at(growth, i, f) == value)
            i++;
        if (i == end)
            continue;
        open[n_open] = (uint16_t)f;
        kurtosis[n_open] = by_kurtosis ? kurtosis_of(growth, f, begin, end) : 1;
        all += chance(forest, f, kurtosis[n_open++]);
    }
    for (uint32_t number = 0; n_open > 0; number++) {
        const struct avvik__draw draw = avvik__draw_make(growth->seed, AVVIK_DRAW_SPLIT, growth->tree, k, number);
        uint64_t place = avvik__draw_below(draw.first, all);
        uint32_t chosen = 0;
        for (; place >= chance(forest, open[chosen], kurtosis[chosen]); chosen++)
            place -= chance(forest, open[chosen], kurtosis[chosen]);
        const uint32_t f = open[chosen];
        float min = INFINITY, max = -INFINITY;
        for (uint32_t i = begin; i < end; i++) {
            const float x = value_at(growth, i, f);
            min = x < min ? x : min;
            max = x > max ? x : max;
        }
        const float drawn = (float)(min + avvik__draw_unit(draw.second) * ((double)max - min));
        const size_t node = ((size_t)growth->tree << forest->height) + k;
        *feature_out = f;
        if (forest->nodes == NULL) {
            *threshold_out = forest->thresholds[node] = wide_threshold(drawn, min, max);
            forest->features[node] = (uint16_t)f;
            return 1;
        }
        const uint32_t word = packed_word(drawn, f, min, max);
        if (word != 0) {
            forest->nodes[node] = word;
            memcpy(threshold_out, &word, sizeof word);
            return 1;
        }
        all -= chance(forest, f, kurtosis[chosen]);
        open[chosen] = open[--n_open];
        kurtosis[chosen] = kurtosis[n_open];
    }
    return 0;
}

static void node_grow(const struct growth *growth, uint32_t k, uint32_t depth, uint32_t begin, uint32_t end)
{
    struct avvik__forest *forest = growth->forest;
    uint32_t feature, middle = begin;
    float threshold;
    if (end - begin == 1 || depth == forest->height || !split_draw(growth, k, begin, end, &feature, &threshold)) {
        leaf_make(growth, k, depth, end - begin);
        return;
    }
    forest->rows[((size_t)growth->tree << (forest->height + 1)) + k] = end - begin;
    for (uint32_t i = begin; i < end; i++) {
        const uint32_t row = growth->order[i];
        if (growth->rows[row * growth->stride + feature] < threshold) {
            growth->order[i] = growth->order[middle];
            growth->order[middle++] = row;
        }
    }
    node_grow(growth, 2 * k, depth + 1, begin, middle);
    node_grow(growth, 2 * k + 1, depth + 1, middle, end);
}

/* g of node k and all below; returns the sum over its leaves of rows x leaf value. */
static uint64_t expected_fill(const struct avvik__forest *forest, uint32_t tree, uint32_t k, int32_t *expected)
{
    const uint32_t size = UINT32_C(1) << forest->height;
    const uint32_t *rows = forest->rows + ((size_t)tree << (forest->height + 1));
    if (k >= size) {
        const uint16_t leaf = forest->leaves[((size_t)tree << forest->height) + k - size];
        expected[k] = leaf * (1 << 9);
        return (uint64_t)leaf * rows[k];
    }
    const uint64_t sum =
        expected_fill(forest, tree, 2 * k, expected) + expected_fill(forest, tree, 2 * k + 1, expected);
    expected[k] = rows[k] == 0 ? expected[2 * k] : (int32_t)(((sum << 10) + rows[k]) / (2 * (uint64_t)rows[k]));
    return sum;
}

/* Half of the levels of every second tree, the upper ones: there rows far out are cut off, and below the rest is told
 * apart in whatever column. */
static uint32_t kurtosis_levels(const struct avvik__forest *forest, uint32_t tree)
{
    switch (forest->splits) {
    case AVVIK_SPLITS_KURTOSIS: return forest->height;
    case AVVIK_SPLITS_MIXED: return tree % 2 == 1 ? (forest->height + 1) / 2 : 0;
    default: return 0;
    }
}

void avvik__forest_grow(struct avvik__forest *forest, uint32_t tree, const float *rows, size_t stride, uint64_t seed,
                        uint32_t *scratch)
{
    const struct growth growth = {forest, tree, rows, stride, seed, kurtosis_levels(forest, tree), scratch};
    for (uint32_t i = 0; i < forest->sample; i++)
        scratch[i] = i;
    node_grow(&growth, 1, 0, 0, forest->sample);
    expected_fill(forest, tree, 1, forest->expected + ((size_t)tree << (forest->height + 1)));
}

void avvik__forest_draw_rows(const struct avvik__forest *forest, uint32_t tree, uint64_t n_rows, uint64_t seed,
                             uint64_t *rows_out)
{
    for (uint32_t i = 0; i < forest->sample; i++) {
        const uint64_t last = n_rows - forest->sample + i;
        uint64_t row = avvik__draw_below(avvik__draw_make(seed, AVVIK_DRAW_ROWS, tree, 0, i).first, last + 1);
        uint32_t low = 0, high = i; /* rows_out[0, i) is sorted */
        while (low < high) {
            const uint32_t middle = (low + high) / 2;
            if (rows_out[middle] < row)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < i && rows_out[low] == row) { /* drawn before: `last` cannot have been */
            low = i;
            row = last;
        }
        memmove(rows_out + low + 1, rows_out + low, (i - low) * sizeof *rows_out);
        rows_out[low] = row;
    }
}

/* One tree below node k, whose parents have been found right. is_below_leaf: an ancestor sends every row left. */
static const char *node_check(const struct avvik__forest *forest, uint32_t tree, uint32_t k, uint32_t depth,
                              int is_below_leaf, uint16_t value, uint32_t *node_out)
{
    const size_t base = (size_t)tree << forest->height;
    const uint32_t *rows = forest->rows + 2 * base;
    *node_out = k;
    if (depth == forest->height) {
        if (!is_below_leaf && rows[k] == 0)
            return "a leaf that no row reaches";
        if (forest->leaves[base + k - (1u << forest->height)] != (is_below_leaf ? value : leaf_value(depth, rows[k])))
            return "a leaf value that does not follow from its depth and rows";
        return NULL;
    }
    uint32_t bits, feature;
    if (forest->nodes != NULL) {
        bits = forest->nodes[base + k];
        feature = bits & AVVIK_FEATURE_MASK;
    } else {
        memcpy(&bits, &forest->thresholds[base + k], sizeof bits);
        feature = forest->features[base + k];
    }
    const uint32_t exponent = bits & 0x7f800000u;
    const int goes_left = bits == AVVIK_NODE_LEFT && feature == 0;
    if (feature >= forest->n_features)
        return "a feature number that the model does not have";
    if ((exponent == 0x7f800000u && !goes_left) || (exponent == 0 && (bits & 0x7fffffffu) != 0))
        return "a threshold that is not a normal number";
    if (rows[2 * k] > rows[k] || rows[k] - rows[2 * k] != rows[2 * k + 1])
        return "row counts that do not add up";
    if (goes_left ? rows[2 * k + 1] != 0 : is_below_leaf || rows[2 * k] == 0 || rows[2 * k + 1] == 0)
        return "a split that does not split its rows";
    if (goes_left && !is_below_leaf) {
        if (rows[k] == 0)
            return "a leaf that no row reaches";
        value = leaf_value(depth, rows[k]);
        is_below_leaf = 1;
    }
    const char *wrong = node_check(forest, tree, 2 * k, depth + 1, is_below_leaf, value, node_out);
    return wrong != NULL ? wrong : node_check(forest, tree, 2 * k + 1, depth + 1, is_below_leaf, value, node_out);
}

const char *avvik__forest_check(const struct avvik__forest *forest, uint32_t *tree_out, uint32_t *node_out)
{
    const size_t size = (size_t)2 << forest->height;
    int32_t *expected = malloc(size * sizeof *expected);
    const char *wrong = expected == NULL ? "too much to check in this memory" : NULL;
    for (uint32_t tree = 0; wrong == NULL && tree < forest->n_trees; tree++) {
        *tree_out = tree;
        *node_out = 1;
        if (forest->rows[tree * size + 1] != forest->sample)
            wrong = "a root that not all rows of the sample reach";
        else
            wrong = node_check(forest, tree, 1, 0, 0, 0, node_out);
        if (wrong != NULL)
            break;
        memset(expected, 0, size * sizeof *expected);
        expected_fill(forest, tree, 1, expected);
        if (memcmp(expected, forest->expected + tree * size, size * sizeof *expected) != 0) {
            *node_out = 1;
            wrong = "expected path lengths that do not follow from its leaves";
        }
    }
    free(expected);
    return wrong;
}

/* What the kernels are compared on: kinds of values, and forests of every shape. */
#ifndef AVVIK_TESTS_KERNEL_CASES_H
#define AVVIK_TESTS_KERNEL_CASES_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "forest.h"
#include "kernel_types.h"
#include "tails.h"

/* splitmix64 (Steele, Lea and Flood 2014) */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline double random_uniform(uint64_t *state)
{
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

static inline float random_float(uint64_t *state)
{
    return (float)((random_uniform(state) + random_uniform(state) + random_uniform(state) - 1.5) * 4);
}

enum data_kind {
    DATA_RANDOM,
    DATA_ALL_EQUAL,
    DATA_NEGATIVE_ZERO,
    DATA_DENORMAL, /* and numbers next to FLT_MIN */
    DATA_HUGE,     /* FLT_MAX and -FLT_MAX */
    DATA_TIES,     /* thresholds of the forest, or small integers */
    N_FINITE_KINDS,
    DATA_NAN = N_FINITE_KINDS, /* one in four, of several payloads and both signs, quiet and signalling */
    DATA_INFINITE,
    DATA_ALL_NAN,
    DATA_MIXED,
    N_DATA_KINDS
};

static inline float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float random_of_kind(enum data_kind kind, uint64_t *state)
{
    const uint64_t draw = random_next(state);
    const uint32_t sign = (uint32_t)(draw & 1) << 31, mantissa = (uint32_t)(draw >> 8) & 0x7fffffu;
    switch (kind) {
    case DATA_ALL_EQUAL: return 1.25f;
    case DATA_NEGATIVE_ZERO: return draw & 2 ? random_float(state) : float_of_bits(sign);
    case DATA_DENORMAL: return draw & 6 ? float_of_bits(sign | (draw & 8 ? mantissa : mantissa >> 21)) : FLT_MIN;
    case DATA_HUGE: return draw & 6 ? float_of_bits(sign | 0x7f7fffffu) : random_float(state);
    case DATA_TIES: return (float)(int)(draw % 5) - 2.0f;
    case DATA_NAN: return draw & 6 ? random_float(state) : float_of_bits(sign | 0x7f800001u | mantissa);
    case DATA_INFINITE: return draw & 6 ? random_float(state) : float_of_bits(sign | 0x7f800000u);
    case DATA_ALL_NAN: return NAN;
    case DATA_MIXED: return random_of_kind((enum data_kind)(draw >> 32) % DATA_ALL_NAN, state);
    default: return random_float(state);
    }
}

enum tree_shape {
    TREE_FULL,      /* every node splits */
    TREE_GROWN,     /* some nodes are leaves, repeated below themselves */
    TREE_SPARSE,    /* most are, as in an isolation tree */
    TREE_ONE_SPLIT, /* the root splits */
    TREE_LEAF,      /* the root is a leaf */
    N_TREE_SHAPES
};

/* A forest with random nodes and leaves; wide if n_features is over AVVIK_PACKED_FEATURES. */
static inline struct avvik__forest random_forest(uint32_t n_trees, uint32_t height, uint32_t n_features,
                                                 enum tree_shape shape, uint64_t *state)
{
    struct avvik__forest forest = {
        .n_trees = n_trees, .sample = 1u << height, .height = height, .n_features = n_features};
    const size_t size = (size_t)1 << height;
    const int is_wide = n_features > AVVIK_PACKED_FEATURES;
    if (avvik__forest_init(&forest, NULL) != AVVIK_OK)
        abort();
    for (size_t tree = 0; tree < n_trees; tree++) {
        for (size_t k = 1; k < size; k++) {
            const size_t at = tree * size + k, parent = tree * size + k / 2;
            const uint16_t feature = (uint16_t)(random_next(state) % n_features);
            const float threshold = random_of_kind(random_next(state) % 8 ? DATA_RANDOM : DATA_TIES, state);
            int splits = shape == TREE_FULL || (shape != TREE_LEAF && k == 1) ||
                         (shape == TREE_GROWN && random_next(state) % 8 > 0) ||
                         (shape == TREE_SPARSE && random_next(state) % 4 > 0);
            if (k > 1)
                splits = splits &&
                         (is_wide ? forest.thresholds[parent] < INFINITY : forest.nodes[parent] != AVVIK_NODE_LEFT);
            if (is_wide) {
                forest.thresholds[at] = splits ? threshold : INFINITY;
                forest.features[at] = splits ? feature : 0;
            } else {
                uint32_t bits;
                memcpy(&bits, &threshold, sizeof bits);
                bits |= (bits & 0x7f800000u) == 0 ? 0x00800000u : 0; /* a packed word is never denormal */
                forest.nodes[at] = splits ? (bits & ~AVVIK_FEATURE_MASK) | feature : AVVIK_NODE_LEFT;
            }
        }
        for (size_t j = 0; j < size; j++)
            forest.leaves[tree * size + j] = (uint16_t)random_next(state);
    }
    return forest;
}

/* Some threshold of `forest` on `feature`, or 0. */
static inline float random_threshold(const struct avvik__forest *forest, uint32_t feature, uint64_t *state)
{
    const size_t size = (size_t)1 << forest->height;
    for (int attempt = 0; attempt < 1000; attempt++) {
        const size_t at = random_next(state) % forest->n_trees * size + 1 + random_next(state) % (size - 1);
        if (forest->nodes != NULL && forest->nodes[at] != AVVIK_NODE_LEFT &&
            (forest->nodes[at] & AVVIK_FEATURE_MASK) == feature)
            return float_of_bits(forest->nodes[at]);
        if (forest->nodes == NULL && forest->thresholds[at] < INFINITY && forest->features[at] == feature)
            return forest->thresholds[at];
    }
    return 0;
}

static inline int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The quantiles of n values of a kind, which are put into `values`, in order. */
static inline struct avvik__tail_quantiles random_quantiles(float *values, size_t n, enum data_kind kind,
                                                            uint64_t *state)
{
    struct avvik__tail_quantiles quantiles = {0};
    uint64_t places[AVVIK_TAIL_QUANTILES];
    for (size_t i = 0; i < n; i++) {
        const float x = random_of_kind(kind, state);
        values[i] = isfinite(x) && fabsf(x) >= FLT_MIN ? x : 0;
    }
    qsort(values, n, sizeof *values, ascending);
    quantiles.n_quantiles = avvik__tail_places(n, places);
    for (uint32_t i = 0; i < quantiles.n_quantiles; i++) {
        quantiles.value[i] = values[places[i] - 1];
        for (size_t k = 0; k < n; k++) {
            quantiles.below[i] += values[k] < quantiles.value[i];
            quantiles.at_most[i] += values[k] <= quantiles.value[i];
        }
    }
    return quantiles;
}

#define MANY_VALUES (UINT64_C(1) << 40)

/* As many quantiles as there can be, as of MANY_VALUES values. */
static inline struct avvik__tail_quantiles all_quantiles(enum data_kind kind, uint64_t *state)
{
    float values[AVVIK_TAIL_QUANTILES];
    struct avvik__tail_quantiles quantiles = random_quantiles(values, AVVIK_TAIL_QUANTILES, kind, state);
    uint64_t places[AVVIK_TAIL_QUANTILES];
    quantiles.n_quantiles = avvik__tail_places(MANY_VALUES, places);
    for (uint32_t i = 0; i < quantiles.n_quantiles; i++) {
        quantiles.value[i] = values[i];
        quantiles.below[i] = places[i] - 1;
        quantiles.at_most[i] = places[i];
    }
    return quantiles;
}

#endif

/* AVX2 walk with trees in lanes (kernels/README.md, "Trees in lanes"): as forest_path_avx512.c, with 8 trees at a time
 * (half a group) and with comparisons that are vectors of 0 and -1 where AVX-512 has mask registers. */
#include <immintrin.h>

#include "forest_path_x86.h"

#define ROWS 8
#define HALF_LANES 8
#define TOP_LEVELS 3
#define WIDE 0 /* for n_features */
#define GATHERS_VALUES(n_features) ((n_features) == WIDE || (n_features) > 16)

/* Take b where the sign bit of `choose` is set, else a. */
static ALWAYS_INLINE __m256i blend(__m256i a, __m256i b, __m256i choose)
{
    return _mm256_castps_si256(
        _mm256_blendv_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), _mm256_castsi256_ps(choose)));
}

/* The next nodes of 8 trees: packed words, which name their features too, or wide thresholds (n_features == WIDE) and
 * their feature numbers. */
struct nodes {
    __m256i word, feature;
};

/* One group of 16 trees: packed nodes, or pairs of threshold and feature. */
struct group {
    const int *nodes;
    const long long *pairs;
    const int *leaf_pairs;
};

static ALWAYS_INLINE struct nodes nodes_fetch(const struct group *group, __m256i k, int n_features)
{
    if (n_features == WIDE) { /* even and odd lanes by 64-bit indices: nothing has to cross lanes */
        const __m256i low = _mm256_blend_epi32(k, _mm256_setzero_si256(), 0xaa);
        const __m256i even = _mm256_i64gather_epi64(group->pairs, low, 8);
        const __m256i odd = _mm256_i64gather_epi64(group->pairs, _mm256_srli_epi64(k, 32), 8);
        return (struct nodes){_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa),
                              _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa)};
    }
    const __m256i word = _mm256_i32gather_epi32(group->nodes, k, 4);
    return (struct nodes){word, word};
}

static ALWAYS_INLINE struct nodes nodes_choose(__m256i right, struct nodes a, struct nodes b)
{
    return (struct nodes){blend(a.word, b.word, right), blend(a.feature, b.feature, right)};
}

static ALWAYS_INLINE __m256 feature_of_16(const float *row, __m256i node)
{
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps(row), node);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_load_ps(row + 8), node);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(node, 31 - 3)));
}

/* -1 where the tree sends the row right, else 0. */
static ALWAYS_INLINE __m256i goes_right(const float *row, struct nodes node, int n_features)
{
    __m256 x;
    if (n_features == WIDE)
        x = _mm256_i32gather_ps(row, node.feature, 4);
    else if (n_features <= 8)
        x = _mm256_permutevar8x32_ps(_mm256_load_ps(row), node.word);
    else if (n_features <= 16)
        x = feature_of_16(row, node.word);
    else /* two more permutes and blends would cost more than a gather from the row */
        x = _mm256_i32gather_ps(row, _mm256_and_si256(node.word, _mm256_set1_epi32(AVVIK_FEATURE_MASK)), 4);
    return _mm256_castps_si256(_mm256_cmp_ps(x, _mm256_castsi256_ps(node.word), _CMP_NLT_UQ));
}

/* The sums of 8 registers of 8 int32 each. */
static ALWAYS_INLINE __m256i sums_of_8(const __m256i v[8])
{
    const __m256i v0123 = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
    const __m256i v4567 = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(v0123, v4567, 0x20),
                            _mm256_permute2x128_si256(v0123, v4567, 0x31));
}

/* 2k + bit, from k and -bit */
static ALWAYS_INLINE __m256i child(__m256i k, __m256i right)
{
    return _mm256_sub_epi32(_mm256_add_epi32(k, k), right);
}

/* The nodes of levels 0 to 2, in heap order from 1 on. */
static ALWAYS_INLINE void top_fetch(struct nodes *top, const struct group *group, __m256i lane, int n_features)
{
    for (int level = 0; level < TOP_LEVELS; level++)
        for (int j = 0; j < 1 << level; j++)
            top[(1 << level) + j] =
                nodes_fetch(group, _mm256_add_epi32(_mm256_slli_epi32(lane, level), _mm256_set1_epi32(j)), n_features);
}

/* k of level 3. Where values are gathered all rows go level by level (forest_path_avx512.c,
 * nodes_fetch_ahead). */
static ALWAYS_INLINE void walk_top(__m256i *k, const float *const *row, const struct nodes *top, __m256i lane,
                                   int n_features)
{
    __m256i right0[ROWS], right1[ROWS];
    if (GATHERS_VALUES(n_features)) {
        AVVIK_UNROLL
        for (int i = 0; i < ROWS; i++)
            right0[i] = goes_right(row[i], top[1], n_features);
        AVVIK_UNROLL
        for (int i = 0; i < ROWS; i++)
            right1[i] = goes_right(row[i], nodes_choose(right0[i], top[2], top[3]), n_features);
    }
    AVVIK_UNROLL
    for (int i = 0; i < ROWS; i++) {
        if (!GATHERS_VALUES(n_features)) {
            right0[i] = goes_right(row[i], top[1], n_features);
            right1[i] = goes_right(row[i], nodes_choose(right0[i], top[2], top[3]), n_features);
        }
        const struct nodes node =
            nodes_choose(right1[i], nodes_choose(right0[i], top[4], top[6]), nodes_choose(right0[i], top[5], top[7]));
        k[i] = child(child(child(lane, right0[i]), right1[i]), goes_right(row[i], node, n_features));
    }
}

static ALWAYS_INLINE void nodes_fetch_ahead(struct nodes *node, const struct group *group, const __m256i *k,
                                            int n_features)
{
    if (GATHERS_VALUES(n_features)) {
        AVVIK_UNROLL
        for (int i = 0; i < ROWS; i++)
            node[i] = nodes_fetch(group, k[i], n_features);
    }
}

/* Levels 3 and below, and the leaves. */
static ALWAYS_INLINE void walk_below(__m256i *leaf, __m256i *k, const float *const *row, const struct group *group,
                                     uint32_t height, int n_features)
{
    struct nodes ahead[ROWS];
    for (uint32_t level = TOP_LEVELS; level + 1 < height; level++) {
        nodes_fetch_ahead(ahead, group, k, n_features);
        AVVIK_UNROLL
        for (int i = 0; i < ROWS; i++) {
            const struct nodes node = GATHERS_VALUES(n_features) ? ahead[i] : nodes_fetch(group, k[i], n_features);
            k[i] = child(k[i], goes_right(row[i], node, n_features));
        }
    }
    nodes_fetch_ahead(ahead, group, k, n_features);
    AVVIK_UNROLL
    for (int i = 0; i < ROWS; i++) {
        const struct nodes node = GATHERS_VALUES(n_features) ? ahead[i] : nodes_fetch(group, k[i], n_features);
        const __m256i right = goes_right(row[i], node, n_features);
        const __m256i pair = _mm256_i32gather_epi32(group->leaf_pairs, k[i], 4);
        leaf[i] = _mm256_blend_epi16(blend(pair, _mm256_srli_epi32(pair, 16), right), _mm256_setzero_si256(), 0xaa);
    }
}

static ALWAYS_INLINE void walk_half(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                    const struct group *group, uint32_t height, __m256i lane, int n_features)
{
    struct nodes top[1 << TOP_LEVELS];
    top_fetch(top, group, lane, n_features);
    for (size_t first = 0; first < n_rows; first += ROWS) {
        const float *row[ROWS];
        __m256i k[ROWS], leaf[ROWS];
        for (size_t i = 0; i < ROWS; i++)
            row[i] = tile + (first + i < n_rows ? first + i : n_rows - 1) * stride;
        walk_top(k, row, top, lane, n_features);
        walk_below(leaf, k, row, group, height, n_features);
        int32_t sums[ROWS] __attribute__((aligned(32)));
        _mm256_store_si256((__m256i *)sums, sums_of_8(leaf));
        for (size_t i = 0; i < ROWS && first + i < n_rows; i++)
            path_sum[first + i] += sums[i];
    }
}

static ALWAYS_INLINE void walk(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                               const struct avvik__forest_view *forest, uint32_t group_number, int n_features)
{
    const size_t n_words = (size_t)AVVIK_LANES << forest->height;
    const struct group group = {n_features == WIDE ? NULL : (const int *)forest->lane_nodes + group_number * n_words,
                                n_features == WIDE ? (const long long *)forest->lane_pairs + group_number * n_words
                                                   : NULL,
                                (const int *)forest->lane_leaf_pairs + group_number * n_words};
    for (uint32_t half = 0; half < AVVIK_LANES / HALF_LANES; half++) {
        if (group_number * AVVIK_LANES + half * HALF_LANES >= forest->n_trees)
            break;
        const __m256i lane = _mm256_add_epi32(_mm256_set1_epi32((int)(AVVIK_LANES + half * HALF_LANES)),
                                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        walk_half(path_sum, tile, stride, n_rows, &group, forest->height, lane, n_features);
    }
}

#define WALK(n)                                                                                                        \
    static void walk_##n(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,                           \
                         const struct avvik__forest_view *forest, uint32_t group)                                      \
    {                                                                                                                  \
        walk(path_sum, tile, stride, n_rows, forest, group, n);                                                        \
    }
WALK(8)
WALK(16)
WALK(64)
WALK(WIDE)

void avvik__forest_path_avx2(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                             const struct avvik__forest_view *forest)
{
    avvik__walk_fn *const fn = forest->n_features <= 8 ? walk_8 : forest->n_features <= 16 ? walk_16 : walk_64;
    avvik__walk_groups(path_sum, tile, stride, n_rows, forest, fn);
}

void avvik__forest_path_wide_avx2(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                  const struct avvik__forest_view *forest)
{
    avvik__walk_groups(path_sum, tile, stride, n_rows, forest, walk_WIDE);
}

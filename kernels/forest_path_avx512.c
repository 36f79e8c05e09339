/* AVX-512 walk with trees in lanes (kernels/README.md, "Trees in lanes").
 *
 * One row meets 16 trees at a time. Its features lie in one to four registers; a node's word is threshold and permute
 * index at once. The nodes of levels 0 to 3 stay in registers and the comparisons' masks blend them; below, each level
 * is one gather from the group's nodes, which fit in L1. ROWS rows are walked side by side, because one row alone waits
 * for permute, compare and gather in turn. */
#include <immintrin.h>

#include "forest_path_x86.h"

#define ROWS 8
#define TOP_LEVELS 3
#define WIDE 0 /* for n_registers */

/* The next nodes of 16 trees: packed words, which name their features too, or wide thresholds (n_registers == WIDE) and
 * their feature numbers. */
struct nodes {
    __m512i word, feature;
};

/* One group of 16 trees: packed nodes, or pairs of threshold and feature. */
struct group {
    const uint32_t *nodes;
    const uint64_t *pairs;
    const uint32_t *leaf_pairs;
};

static ALWAYS_INLINE struct nodes nodes_fetch(const struct group *group, __m512i k, int n_registers)
{
    if (n_registers == WIDE) { /* even and odd lanes by 64-bit indices: nothing has to cross lanes */
        const __m512i even = _mm512_i64gather_epi64(_mm512_maskz_mov_epi32(0x5555, k), group->pairs, 8);
        const __m512i odd = _mm512_i64gather_epi64(_mm512_srli_epi64(k, 32), group->pairs, 8);
        return (struct nodes){_mm512_mask_shuffle_epi32(even, 0xaaaa, odd, 0xa0),
                              _mm512_mask_shuffle_epi32(odd, 0x5555, even, 0xf5)};
    }
    const __m512i word = _mm512_i32gather_epi32(k, group->nodes, 4);
    return (struct nodes){word, word};
}

/* b where `right` is set, else a. */
static ALWAYS_INLINE struct nodes nodes_choose(__mmask16 right, struct nodes a, struct nodes b)
{
    return (struct nodes){_mm512_mask_blend_epi32(right, a.word, b.word),
                          _mm512_mask_blend_epi32(right, a.feature, b.feature)};
}

/* Which of the trees send the row right? */
static ALWAYS_INLINE __mmask16 goes_right(const float *row, struct nodes node, int n_registers)
{
    __m512 x;
    if (n_registers == WIDE) {
        x = _mm512_i32gather_ps(node.feature, row, 4);
    } else if (n_registers == 1) {
        x = _mm512_permutexvar_ps(node.word, _mm512_load_ps(row));
    } else {
        x = _mm512_permutex2var_ps(_mm512_load_ps(row), node.word, _mm512_load_ps(row + 16));
        if (n_registers > 2) {
            const __m512 third = _mm512_load_ps(row + 32);
            const __m512 fourth = n_registers > 3 ? _mm512_load_ps(row + 48) : third;
            x = _mm512_mask_blend_ps(_mm512_test_epi32_mask(node.word, _mm512_set1_epi32(32)), x,
                                     _mm512_permutex2var_ps(third, node.word, fourth));
        }
    }
    return _mm512_cmp_ps_mask(x, _mm512_castsi512_ps(node.word), _CMP_NLT_UQ);
}

/* The sums of 8 registers of 16 int32 each. */
static ALWAYS_INLINE __m256i sums_of_8(const __m512i v[8])
{
    __m512i pair[4], quad[2];
    for (int i = 0; i < 4; i++)
        pair[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                                   _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    for (int i = 0; i < 2; i++)
        quad[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(pair[2 * i], pair[2 * i + 1]),
                                   _mm512_unpackhi_epi64(pair[2 * i], pair[2 * i + 1]));
    const __m512i halves =
        _mm512_add_epi32(_mm512_shuffle_i32x4(quad[0], quad[1], 0x44), _mm512_shuffle_i32x4(quad[0], quad[1], 0xee));
    const __m512i swapped = _mm512_shuffle_i32x4(halves, halves, 0xb1);
    const __m512i sums = _mm512_add_epi32(halves, swapped); /* lanes 0 and 2 of four */
    return _mm512_castsi512_si256(_mm512_shuffle_i32x4(sums, sums, 0x08));
}

/* The nodes of levels 0 to 2, in heap order from 1 on. */
static ALWAYS_INLINE void top_fetch(struct nodes *top, const struct group *group, __m512i lane, int n_registers)
{
    for (unsigned level = 0; level < TOP_LEVELS; level++)
        for (int j = 0; j < 1 << level; j++)
            top[(1 << level) + j] =
                nodes_fetch(group, _mm512_add_epi32(_mm512_slli_epi32(lane, level), _mm512_set1_epi32(j)), n_registers);
}

/* k of level 3, from the turns at levels 0 and 1. */
static ALWAYS_INLINE __m512i top_leave(const float *row, const struct nodes *top, __m512i lane, __mmask16 right0,
                                       __mmask16 right1, int n_registers)
{
    const struct nodes node =
        nodes_choose(right1, nodes_choose(right0, top[4], top[6]), nodes_choose(right0, top[5], top[7]));
    const __mmask16 right2 = goes_right(row, node, n_registers);
    __m512i k = _mm512_slli_epi32(lane, TOP_LEVELS);
    k = _mm512_mask_add_epi32(k, right0, k, _mm512_set1_epi32(4));
    k = _mm512_mask_add_epi32(k, right1, k, _mm512_set1_epi32(2));
    return _mm512_mask_add_epi32(k, right2, k, _mm512_set1_epi32(1));
}

/* Wide: all rows level by level, because values are gathered (see nodes_fetch_ahead). */
static ALWAYS_INLINE void walk_top(__m512i *k, const float *const *row, const struct nodes *top, __m512i lane,
                                   int n_registers)
{
    __mmask16 right0[ROWS], right1[ROWS];
    if (n_registers == WIDE) {
        AVVIK_UNROLL
        for (int i = 0; i < ROWS; i++)
            right0[i] = goes_right(row[i], top[1], n_registers);
        AVVIK_UNROLL
        for (int i = 0; i < ROWS; i++)
            right1[i] = goes_right(row[i], nodes_choose(right0[i], top[2], top[3]), n_registers);
    }
    AVVIK_UNROLL
    for (int i = 0; i < ROWS; i++) {
        if (n_registers != WIDE) {
            right0[i] = goes_right(row[i], top[1], n_registers);
            right1[i] = goes_right(row[i], nodes_choose(right0[i], top[2], top[3]), n_registers);
        }
        k[i] = top_leave(row[i], top, lane, right0[i], right1[i], n_registers);
    }
}

/* The nodes of all rows, where they are fetched before the first value (n_registers == WIDE): a gather that waits for
 * another's result holds a place in the scheduler for each of its loads. If each row's values were gathered right after
 * its nodes, a few rows would fill the scheduler and the rest could not start. */
static ALWAYS_INLINE void nodes_fetch_ahead(struct nodes *node, const struct group *group, const __m512i *k,
                                            int n_registers)
{
    if (n_registers == WIDE) {
        AVVIK_UNROLL
        for (int i = 0; i < ROWS; i++)
            node[i] = nodes_fetch(group, k[i], n_registers);
    }
}

/* Levels 3 and below, and the leaves. */
static ALWAYS_INLINE void walk_below(__m512i *leaf, __m512i *k, const float *const *row, const struct group *group,
                                     uint32_t height, int n_registers)
{
    const __m512i one = _mm512_set1_epi32(1), low_half = _mm512_set1_epi32(0xffff);
    struct nodes ahead[ROWS];
    for (uint32_t level = TOP_LEVELS; level + 1 < height; level++) {
        nodes_fetch_ahead(ahead, group, k, n_registers);
        AVVIK_UNROLL
        for (int i = 0; i < ROWS; i++) {
            const struct nodes node = n_registers == WIDE ? ahead[i] : nodes_fetch(group, k[i], n_registers);
            const __mmask16 right = goes_right(row[i], node, n_registers);
            k[i] = _mm512_add_epi32(k[i], k[i]);
            k[i] = _mm512_mask_add_epi32(k[i], right, k[i], one);
        }
    }
    nodes_fetch_ahead(ahead, group, k, n_registers);
    AVVIK_UNROLL
    for (int i = 0; i < ROWS; i++) {
        const struct nodes node = n_registers == WIDE ? ahead[i] : nodes_fetch(group, k[i], n_registers);
        const __mmask16 right = goes_right(row[i], node, n_registers);
        const __m512i pair = _mm512_i32gather_epi32(k[i], group->leaf_pairs, 4);
        leaf[i] = _mm512_and_epi32(_mm512_mask_srli_epi32(pair, right, pair, 16), low_half);
    }
}

static ALWAYS_INLINE void walk(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                               const struct avvik__forest_view *forest, uint32_t group_number, int n_registers)
{
    const size_t n_words = (size_t)AVVIK_LANES << forest->height;
    const struct group group = {n_registers == WIDE ? NULL : forest->lane_nodes + group_number * n_words,
                                n_registers == WIDE ? forest->lane_pairs + group_number * n_words : NULL,
                                forest->lane_leaf_pairs + group_number * n_words};
    const __m512i lane = _mm512_setr_epi32(16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    struct nodes top[1 << TOP_LEVELS];
    top_fetch(top, &group, lane, n_registers);

    for (size_t first = 0; first < n_rows; first += ROWS) {
        const float *row[ROWS];
        __m512i k[ROWS], leaf[ROWS];
        for (size_t i = 0; i < ROWS; i++)
            row[i] = tile + (first + i < n_rows ? first + i : n_rows - 1) * stride;
        walk_top(k, row, top, lane, n_registers);
        walk_below(leaf, k, row, &group, forest->height, n_registers);
        const __mmask8 present = (__mmask8)(n_rows - first < ROWS ? (1u << (n_rows - first)) - 1 : 0xff);
        const __m256i before = _mm256_maskz_loadu_epi32(present, path_sum + first);
        _mm256_mask_storeu_epi32(path_sum + first, present, _mm256_add_epi32(before, sums_of_8(leaf)));
    }
}

#define WALK(n)                                                                                                        \
    static void walk_##n(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,                           \
                         const struct avvik__forest_view *forest, uint32_t group)                                      \
    {                                                                                                                  \
        walk(path_sum, tile, stride, n_rows, forest, group, n);                                                        \
    }
WALK(1)
WALK(2)
WALK(3)
WALK(4)
WALK(WIDE)

void avvik__forest_path_avx512(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                               const struct avvik__forest_view *forest)
{
    static avvik__walk_fn *const walks[] = {walk_1, walk_2, walk_3, walk_4};
    avvik__walk_groups(path_sum, tile, stride, n_rows, forest, walks[(forest->n_features - 1) / 16]);
}

void avvik__forest_path_wide_avx512(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                    const struct avvik__forest_view *forest)
{
    avvik__walk_groups(path_sum, tile, stride, n_rows, forest, walk_WIDE);
}

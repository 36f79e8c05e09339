/* AVX-512 VBMI: the byte walk (kernels/README.md, "Byte walk"). 64 rows in lanes, one tree at a time, no gathers.
 *
 * Within a group of trees every value is replaced by its rank among the group's thresholds of its feature, a byte. Then
 * a node's rank is one byte permute of a table; the row's feature is chosen by a tree of byte blends, at the upper
 * levels by the path (2^level - 1 blends of the nodes' columns), at the lower levels by the bits of the feature number
 * (columns - 1 blends). */
#include <immintrin.h>
#include <string.h>

#include "kernels.h"
#include "transpose_x86.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define SUB_ROWS 64        /* rows in lanes */
#define BLOCK_FLOATS 16384 /* values of a block of rows that are ranked together: the search tables are read once */
#define BLOCK_ROWS 512
#define FEW_ROWS 24 /* up to so many rows the walk with trees in lanes is faster than 64 lanes, mostly empty */

/* Rows of a tile as columns: columns[f * n_rows + i] for n_rows rows, a multiple of 64. In every 64 rows, row
 * 16 a + 4 b + c lies at 16 b + 4 a + c: the order that two packs turn into the rows' own. */
static void columns_from_tile(float *columns, const float *tile, size_t stride, size_t n_rows, size_t n_present,
                              size_t n_features)
{
    for (size_t first = 0; first < n_rows; first += SUB_ROWS) {
        for (size_t b = 0; b < 4; b++) {
            for (size_t f = 0; f < n_features; f += 16) {
                __m512 x[16];
#pragma GCC unroll 16
                for (size_t i = 0; i < 16; i++) {
                    const size_t r = first + 16 * (i / 4) + 4 * b + i % 4;
                    x[i] = _mm512_load_ps(tile + (r < n_present ? r : n_present - 1) * stride + f);
                }
                avvik__transpose_16x16(x);
#pragma GCC unroll 16
                for (size_t i = 0; i < 16; i++)
                    _mm512_store_ps(columns + (f + i) * n_rows + first + 16 * b, x[i]);
            }
        }
    }
}

/* Reverse the bits of every byte. */
ALWAYS_INLINE __m512i reversed(__m512i v)
{
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i reverse = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15));
    const __m512i low = _mm512_shuffle_epi8(_mm512_slli_epi16(reverse, 4), _mm512_and_si512(v, nibble));
    return _mm512_or_si512(low, _mm512_shuffle_epi8(reverse, _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble)));
}

/* One step of the search: set bit `level` of the paths of values that are not below `threshold`. */
ALWAYS_INLINE __mmask16 search_step(__m512i *path, __m512 x, __m512 threshold, unsigned level)
{
    const __mmask16 above = _mm512_cmp_ps_mask(x, threshold, _CMP_GE_OQ);
    *path = _mm512_mask_or_epi32(*path, above, *path, _mm512_set1_epi32(1 << level));
    return above;
}

ALWAYS_INLINE __m512 of_32(const float *table, __m512i path)
{
    return _mm512_permutex2var_ps(_mm512_load_ps(table), path, _mm512_load_ps(table + 16));
}

ALWAYS_INLINE __m512i search(__m512 x, const struct avvik__byte_search *s, uint32_t n_steps)
{
    __m512i path = _mm512_setzero_si512();
    search_step(&path, x, _mm512_set1_ps(s->level_0), 0);
    search_step(&path, x, _mm512_permutexvar_ps(path, _mm512_load_ps(s->level_1)), 1);
    search_step(&path, x, _mm512_permutexvar_ps(path, _mm512_load_ps(s->level_2)), 2);
    search_step(&path, x, _mm512_permutexvar_ps(path, _mm512_load_ps(s->level_3)), 3);
    if (n_steps == 4)
        return path;
    search_step(&path, x, _mm512_permutexvar_ps(path, _mm512_load_ps(s->level_4)), 4);
    const __mmask16 m5 = search_step(&path, x, of_32(s->level_5, path), 5);
    if (n_steps == 6)
        return path;
    const __m512 level_6 = _mm512_mask_blend_ps(m5, of_32(s->level_6, path), of_32(s->level_6 + 32, path));
    const __mmask16 m6 = search_step(&path, x, level_6, 6);
    if (n_steps == 7)
        return path;
    const __m512 low = _mm512_mask_blend_ps(m5, of_32(s->level_7, path), of_32(s->level_7 + 32, path));
    const __m512 high = _mm512_mask_blend_ps(m5, of_32(s->level_7 + 64, path), of_32(s->level_7 + 96, path));
    search_step(&path, x, _mm512_mask_blend_ps(m6, low, high), 7);
    return path;
}

/* Ranks of one column of a block, 64 bytes every `step` bytes; the values as columns_from_tile() leaves them. */
ALWAYS_INLINE void rank_column(uint8_t *ranks, size_t step, const float *column, size_t n_rows,
                               const struct avvik__byte_search *s, uint32_t n_steps)
{
    for (size_t first = 0; first < n_rows; first += SUB_ROWS, ranks += step) {
        __m512i path[4];
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            path[i] = search(_mm512_load_ps(column + first + 16 * i), s, n_steps);
        _mm512_store_si512(ranks, reversed(_mm512_packus_epi16(_mm512_packus_epi32(path[0], path[1]),
                                                               _mm512_packus_epi32(path[2], path[3]))));
    }
}

/* Ranks of a block: ranks[(sub * n_columns + f) * 64 + row]. A feature without thresholds keeps whatever ranks it has,
 * because no node that splits looks at them. */
static void rank_columns(uint8_t *ranks, size_t n_columns, const float *columns, size_t n_rows, size_t n_features,
                         const struct avvik__byte_search *searches)
{
    const size_t step = n_columns * SUB_ROWS;
    for (size_t f = 0; f < n_features; f++, ranks += SUB_ROWS, columns += n_rows) {
        switch (searches[f].n_steps) {
        case 0: break;
        case 4: rank_column(ranks, step, columns, n_rows, &searches[f], 4); break;
        case 6: rank_column(ranks, step, columns, n_rows, &searches[f], 6); break;
        case 7: rank_column(ranks, step, columns, n_rows, &searches[f], 7); break;
        default: rank_column(ranks, step, columns, n_rows, &searches[f], 8); break;
        }
    }
}

/* The ranks of the features of the nodes that the paths lead to: 2^level columns, blended by the turns taken. */
ALWAYS_INLINE __m512i pick_by_path(const uint8_t *ranks, const uint16_t *column, const __mmask64 *turn, int level)
{
    __m512i v[32];
#pragma GCC unroll 16
    for (int i = 0; i < 1 << (level - 1); i++)
        v[i] = _mm512_mask_blend_epi8(turn[0], _mm512_load_si512(ranks + column[2 * i]),
                                      _mm512_load_si512(ranks + column[2 * i + 1]));
#pragma GCC unroll 8
    for (int l = 1; l < level; l++)
#pragma GCC unroll 16
        for (int i = 0; i < 1 << (level - 1 - l); i++)
            v[i] = _mm512_mask_blend_epi8(turn[l], v[2 * i], v[2 * i + 1]);
    return v[0];
}

/* The same by feature numbers: 2^column_bits columns, blended by the bits of `feature`. */
ALWAYS_INLINE __m512i pick_by_feature(const uint8_t *ranks, __m512i feature, const __m512i *bits, int column_bits)
{
    __m512i v[32];
#pragma GCC unroll 8
    for (int bit = 0; bit < column_bits; bit++) {
        const __mmask64 set = _mm512_test_epi8_mask(feature, bits[bit]);
#pragma GCC unroll 32
        for (int i = 0; i < 1 << (column_bits - 1 - bit); i++)
            v[i] = bit == 0 ? _mm512_mask_blend_epi8(set, _mm512_load_si512(ranks + 2 * i * SUB_ROWS),
                                                     _mm512_load_si512(ranks + (2 * i + 1) * SUB_ROWS))
                            : _mm512_mask_blend_epi8(set, v[2 * i], v[2 * i + 1]);
    }
    return v[0];
}

/* table[path], for a table of 128; bit 6 of the path comes as a mask. */
ALWAYS_INLINE __m512i of_128(const uint8_t *table, __m512i path, __mmask64 bit_6)
{
    const __m512i low = _mm512_permutexvar_epi8(path, _mm512_load_si512(table));
    return _mm512_mask_permutexvar_epi8(low, bit_6, path, _mm512_load_si512(table + 64));
}

ALWAYS_INLINE __m512i of_16(const uint8_t *table, __m512i path)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)table)), path);
}

ALWAYS_INLINE __m512i of_at_most_32(const uint8_t *table, __m512i path)
{
    return _mm512_permutexvar_epi8(path, _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i *)table)));
}

/* Sums of leaves' bytes, 16 bits wide: of whole words (even byte + 256 x odd byte, modulo 65536) and of odd bytes. */
struct byte_sums {
    __m512i words, odd;
};

ALWAYS_INLINE void byte_sums_add(struct byte_sums *sums, __m512i v)
{
    sums->words = _mm512_add_epi16(sums->words, v);
    sums->odd = _mm512_add_epi16(sums->odd, _mm512_srli_epi16(v, 8));
}

ALWAYS_INLINE __m512i byte_sums_even(const struct byte_sums *sums)
{
    return _mm512_sub_epi16(sums->words, _mm512_slli_epi16(sums->odd, 8));
}

/* Levels 0 to 4 of 64 rows (0 to 5 from 32 columns on), which are chosen by path where that costs no more. */
ALWAYS_INLINE __m512i walk_upper(const uint8_t *ranks, const struct avvik__byte_tree *tree, const __m512i *bits,
                                 int column_bits)
{
    __mmask64 turn[6];
    __m512i path, v;
    turn[0] =
        _mm512_cmpgt_epu8_mask(_mm512_load_si512(ranks + tree->column[1]), _mm512_set1_epi32((int)tree->rank_0[0]));
    path = _mm512_maskz_mov_epi8(turn[0], bits[0]);
    v = _mm512_mask_blend_epi8(turn[0], _mm512_set1_epi32((int)tree->rank_1[0]),
                               _mm512_set1_epi32((int)tree->rank_1[1]));
    turn[1] = _mm512_cmpgt_epu8_mask(pick_by_path(ranks, tree->column + 2, turn, 1), v);
    path = _mm512_mask_add_epi8(path, turn[1], path, bits[1]);
    turn[2] = _mm512_cmpgt_epu8_mask(pick_by_path(ranks, tree->column + 4, turn, 2), of_16(tree->rank_2, path));
    path = _mm512_mask_add_epi8(path, turn[2], path, bits[2]);
    turn[3] = _mm512_cmpgt_epu8_mask(pick_by_path(ranks, tree->column + 8, turn, 3), of_16(tree->rank_3, path));
    path = _mm512_mask_add_epi8(path, turn[3], path, bits[3]);
    v = column_bits < 4 ? pick_by_feature(ranks, of_16(tree->feature_4, path), bits, column_bits)
                        : pick_by_path(ranks, tree->column + 16, turn, 4);
    turn[4] = _mm512_cmpgt_epu8_mask(v, of_16(tree->rank_4, path));
    path = _mm512_mask_add_epi8(path, turn[4], path, bits[4]);
    if (column_bits >= 5) {
        turn[5] =
            _mm512_cmpgt_epu8_mask(pick_by_path(ranks, tree->column + 32, turn, 5), of_at_most_32(tree->rank_5, path));
        path = _mm512_mask_add_epi8(path, turn[5], path, bits[5]);
    }
    return path;
}

/* One tree and n_sub times 64 rows, side by side: one chain of comparisons alone would leave the ports waiting. */
ALWAYS_INLINE void walk_tree(struct byte_sums *low, struct byte_sums *high, const uint8_t *ranks,
                             const struct avvik__byte_tree *tree, const __m512i *bits, int column_bits, int n_sub)
{
    const int step = SUB_ROWS << column_bits;
    __m512i path[2], v;
    __mmask64 turn_6[2];
#pragma GCC unroll 2
    for (int s = 0; s < n_sub; s++)
        path[s] = walk_upper(ranks + s * step, tree, bits, column_bits);
    if (column_bits < 5) {
#pragma GCC unroll 2
        for (int s = 0; s < n_sub; s++) {
            v = pick_by_feature(ranks + s * step, of_at_most_32(tree->feature_5, path[s]), bits, column_bits);
            const __mmask64 turn_5 = _mm512_cmpgt_epu8_mask(v, of_at_most_32(tree->rank_5, path[s]));
            path[s] = _mm512_mask_add_epi8(path[s], turn_5, path[s], bits[5]);
        }
    }
#pragma GCC unroll 2
    for (int s = 0; s < n_sub; s++) {
        v = _mm512_permutexvar_epi8(path[s], _mm512_load_si512(tree->feature_6));
        v = pick_by_feature(ranks + s * step, v, bits, column_bits);
        turn_6[s] = _mm512_cmpgt_epu8_mask(v, _mm512_permutexvar_epi8(path[s], _mm512_load_si512(tree->rank_6)));
    }
#pragma GCC unroll 2
    for (int s = 0; s < n_sub; s++) {
        v = pick_by_feature(ranks + s * step, of_128(tree->feature_7, path[s], turn_6[s]), bits, column_bits);
        const __mmask64 turn_7 = _mm512_cmpgt_epu8_mask(v, of_128(tree->rank_7, path[s], turn_6[s]));
        byte_sums_add(&low[s], _mm512_mask_blend_epi8(turn_7, of_128(tree->leaf_low, path[s], turn_6[s]),
                                                      of_128(tree->leaf_low + 128, path[s], turn_6[s])));
        byte_sums_add(&high[s], _mm512_mask_blend_epi8(turn_7, of_128(tree->leaf_high, path[s], turn_6[s]),
                                                       of_128(tree->leaf_high + 128, path[s], turn_6[s])));
    }
}

/* Add low + 256 x high to the path sums of 64 rows, of which the first n are there. */
static void path_sums_add(int32_t *path_sum, size_t n, const struct byte_sums *low, const struct byte_sums *high)
{
    const __m512i even_low = byte_sums_even(low), even_high = byte_sums_even(high);
    const __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    int32_t sums[SUB_ROWS] __attribute__((aligned(64)));
#define WIDEN(v, half) _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, half))
#define SUM(l, h, half) _mm512_add_epi32(WIDEN(l, half), _mm512_slli_epi32(WIDEN(h, half), 8))
#define STORE_HALF(half)                                                                                               \
    do {                                                                                                               \
        const __m512i even = SUM(even_low, even_high, half), odd = SUM(low->odd, high->odd, half);                     \
        _mm512_store_si512(sums + 32 * half, _mm512_permutex2var_epi32(even, first, odd));                             \
        _mm512_store_si512(sums + 32 * half + 16,                                                                      \
                           _mm512_permutex2var_epi32(even, _mm512_add_epi32(first, _mm512_set1_epi32(8)), odd));       \
    } while (0)
    STORE_HALF(0);
    STORE_HALF(1);
    for (size_t i = 0; i < n; i++)
        path_sum[i] += sums[i];
}

/* All trees of a group over n_sub times 64 rows, of which n are there. */
ALWAYS_INLINE void walk_rows(int32_t *path_sum, size_t n, const uint8_t *ranks, const struct avvik__byte_tree *trees,
                             size_t n_trees, int column_bits, int n_sub)
{
    struct byte_sums low[2], high[2];
    __m512i bits[6];
#pragma GCC unroll 6
    for (int bit = 0; bit < 6; bit++) {
        bits[bit] = _mm512_set1_epi8((char)(1 << bit));
        /* A compiler that knew these constants would make them anew each time, on port 5, the busiest. */
        __asm__("" : "+v"(bits[bit]));
    }
    memset(low, 0, sizeof low);
    memset(high, 0, sizeof high);
    for (size_t t = 0; t < n_trees; t++)
        walk_tree(low, high, ranks, &trees[t], bits, column_bits, n_sub);
    path_sums_add(path_sum, n < SUB_ROWS ? n : SUB_ROWS, &low[0], &high[0]);
    if (n_sub > 1)
        path_sums_add(path_sum + SUB_ROWS, n - SUB_ROWS < SUB_ROWS ? n - SUB_ROWS : SUB_ROWS, &low[1], &high[1]);
}

ALWAYS_INLINE void walk_group(int32_t *path_sum, size_t n_rows, const uint8_t *ranks,
                              const struct avvik__byte_tree *trees, size_t n_trees, int column_bits)
{
    size_t first = 0;
    for (; n_rows - first > SUB_ROWS; first += 2 * SUB_ROWS) {
        const size_t n = n_rows - first < 2 * SUB_ROWS ? n_rows - first : 2 * SUB_ROWS;
        walk_rows(path_sum + first, n, ranks + (first << column_bits), trees, n_trees, column_bits, 2);
        if (n < 2 * SUB_ROWS)
            return;
    }
    if (first < n_rows)
        walk_rows(path_sum + first, n_rows - first, ranks + (first << column_bits), trees, n_trees, column_bits, 1);
}

#define WALK_GROUP(bits)                                                                                               \
    static void walk_group_##bits(int32_t *path_sum, size_t n_present, const uint8_t *ranks,                           \
                                  const struct avvik__byte_tree *trees, size_t n_trees)                                \
    {                                                                                                                  \
        walk_group(path_sum, n_present, ranks, trees, n_trees, bits);                                                  \
    }
WALK_GROUP(3)
WALK_GROUP(4)
WALK_GROUP(5)
WALK_GROUP(6)

void avvik__forest_path_avx512vbmi(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                   const struct avvik__forest_view *forest)
{
    typedef void walk_group_fn(int32_t *, size_t, const uint8_t *, const struct avvik__byte_tree *, size_t);
    static walk_group_fn *const walks[] = {walk_group_3, walk_group_4, walk_group_5, walk_group_6};
    float columns[BLOCK_FLOATS] __attribute__((aligned(64)));
    uint8_t ranks[BLOCK_FLOATS] __attribute__((aligned(64)));
    const struct avvik__byte_forest *bytes = forest->bytes;
    const size_t n_features = forest->n_features;
    const size_t column_bits = n_features <= 8 ? 3 : n_features <= 16 ? 4 : n_features <= 32 ? 5 : 6;
    const size_t block_rows = column_bits < 6 ? BLOCK_ROWS : BLOCK_ROWS / 2;
    size_t n_few = bytes == NULL ? n_rows : n_rows % SUB_ROWS <= FEW_ROWS ? n_rows % SUB_ROWS : 0;
    const size_t n_walked = n_rows - n_few;

    if (n_walked > 0) /* columns without a feature are chosen by no node that counts, but are read */
        memset(ranks, 0, sizeof ranks);
    for (size_t first = 0; first < n_walked; first += block_rows) {
        const size_t n = n_walked - first < block_rows ? n_walked - first : block_rows;
        const size_t n_padded = (n + SUB_ROWS - 1) / SUB_ROWS * SUB_ROWS;
        columns_from_tile(columns, tile + first * stride, stride, n_padded, n, n_features);
        memset(path_sum + first, 0, n * sizeof *path_sum);
        for (uint32_t g = 0; g < bytes->n_groups; g++) {
            const struct avvik__byte_group *group = &bytes->groups[g];
            rank_columns(ranks, (size_t)1 << column_bits, columns, n_padded, n_features,
                         bytes->searches + g * n_features);
            walks[column_bits - 3](path_sum + first, n, ranks, bytes->trees + group->first_tree, group->n_trees);
        }
    }
    if (n_few > 0)
        avvik__forest_path_avx512(path_sum + n_walked, tile + n_walked * stride, stride, n_few, forest);
}

/* AVX-512 VBMI: the byte walk (kernels/README.md, "Byte walk"). 64 rows in lanes, one tree at a time, no gathers.
 *
 * Within a group of trees every value is replaced by its rank among the group's thresholds of its feature, a byte. Then
 * a node's rank is one byte permute of a table; the row's feature is chosen by a tree of byte blends, at the upper
 * levels by the path (2^level - 1 blends of the nodes' columns), at the lower levels by the bits of the feature number
 * (columns - 1 blends). */
#include <immintrin.h>
#include <string.h>

#include "byte_ranks_avx512.h"
#include "kernels.h"
#include "unroll.h"

#define BLOCK_FLOATS 65536 /* values of a block of rows that are ranked together: the search tables are read once */
#define BLOCK_ROWS 512
#define FEW_ROWS 24 /* up to so many rows the walk with trees in lanes is faster than 64 lanes, mostly empty */

/* One level of a tree of blends: n registers out of 2n. */
ALWAYS_INLINE void blend_pairs(__m512i *v, __mmask64 second, int n)
{
    AVVIK_UNROLL
    for (int i = 0; i < n; i++)
        v[i] = _mm512_mask_blend_epi8(second, v[2 * i], v[2 * i + 1]);
}

/* The ranks of the features of the nodes that the paths lead to: 2^level columns, blended by the turns taken, in blocks
 * of at most 16 columns, whose registers are there. */
ALWAYS_INLINE __m512i pick_by_path(const uint8_t *ranks, const uint16_t *column, const __mmask64 *turn, int level)
{
    const int block_bits = level < 4 ? level : 4;
    __m512i blocks[8], v[16];
    AVVIK_UNROLL
    for (int block = 0; block < 1 << (level - block_bits); block++) {
        AVVIK_UNROLL
        for (int i = 0; i < 1 << block_bits; i++)
            v[i] = _mm512_load_si512(ranks + column[(block << block_bits) + i]);
        AVVIK_UNROLL
        for (int l = 0; l < block_bits; l++)
            blend_pairs(v, turn[l], 1 << (block_bits - 1 - l));
        blocks[block] = v[0];
    }
    AVVIK_UNROLL
    for (int l = block_bits; l < level; l++)
        blend_pairs(blocks, turn[l], 1 << (level - 1 - l));
    return blocks[0];
}

/* The ranks of n_slots columns at `column` (NULL: the first columns), chosen by `slot`, whose bit 0 is the byte's sign.
 */
ALWAYS_INLINE __m512i pick_by_slot(const uint8_t *ranks, const uint16_t *column, __m512i slot, const __m512i *bits,
                                   int n_slots)
{
    __m512i v[24];
    AVVIK_UNROLL
    for (int i = 0; i < n_slots; i++)
        v[i] = _mm512_load_si512(ranks + (column == NULL ? i * SUB_ROWS : column[i]));
    AVVIK_UNROLL
    for (int bit = 0, n = n_slots; bit < 5; bit++, n = (n + 1) / 2) {
        if (n > 1) {
            blend_pairs(v, bit == 0 ? _mm512_movepi8_mask(slot) : _mm512_test_epi8_mask(slot, bits[bit - 1]), n / 2);
            if (n % 2 != 0)
                v[n / 2] = v[n - 1];
        }
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

/* One or two times 64 rows: their ranks, `step` bytes apart, and their paths in the tree at hand. */
struct rows {
    const uint8_t *ranks;
    ptrdiff_t step;
    __m512i path[2];
};

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

/* The paths of 64 rows through levels 0 to 3, or to 4: n_levels. */
ALWAYS_INLINE __m512i walk_upper(const uint8_t *ranks, const struct avvik__byte_tree *tree, const __m512i *bits,
                                 int n_levels)
{
    __mmask64 turn[5];
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
    if (n_levels == 4)
        return path;
    turn[4] = _mm512_cmpgt_epu8_mask(pick_by_path(ranks, tree->column + 16, turn, 4), of_16(tree->rank_4, path));
    return _mm512_mask_add_epi8(path, turn[4], path, bits[4]);
}

/* Entries of the tables of level 4 to 7 along the paths; at level 7, bit 6 of the path comes as a mask. */
ALWAYS_INLINE __m512i of_level(const uint8_t *table, __m512i path, __mmask64 bit_6, int level)
{
    return level == 4   ? of_16(table, path)
           : level == 5 ? of_at_most_32(table, path)
           : level == 6 ? _mm512_permutexvar_epi8(path, _mm512_load_si512(table))
                        : of_128(table, path, bit_6);
}

/* The turns at one of the levels 4 to 7 (its tables like those of level `lookup`) of n_sub times 64 rows, side by side:
 * one chain of comparisons alone would leave the ports waiting. n_slots is known to the compiler. */
ALWAYS_INLINE void turn_by(__mmask64 *turn, const struct rows *rows, const uint8_t *rank, const uint8_t *slot,
                           const uint16_t *column, const __m512i *bits, int level, int lookup, int n_slots, int n_sub)
{
    AVVIK_UNROLL
    for (int s = 0; s < n_sub; s++) {
        const uint8_t *ranks = rows->ranks + s * rows->step;
        const __m512i path = rows->path[s];
        __mmask64 turns[7];
        __m512i v;
        if (n_slots == AVVIK_BYTE_BY_PATH) {
            AVVIK_UNROLL
            for (int l = 0; l < level; l++)
                turns[l] = l == 6 ? turn[s] : _mm512_test_epi8_mask(path, bits[l]);
            v = pick_by_path(ranks, column, turns, level);
        } else {
            v = pick_by_slot(ranks, column, of_level(slot, path, turn[s], lookup), bits, n_slots);
        }
        turn[s] = _mm512_cmpgt_epu8_mask(v, of_level(rank, path, turn[s], lookup));
    }
}

/* The same by what the tree says of this level; n_fixed: by the columns there are, if they are 8 or 16. */
ALWAYS_INLINE void turn_at(__mmask64 *turn, const struct rows *rows, const struct avvik__byte_tree *tree,
                           const uint8_t *rank, const uint8_t *slot, const __m512i *bits, int level, int lookup,
                           int n_fixed, int n_sub)
{
    const uint16_t *column = tree->column + (1 << level);
#define TURN_BY(n_slots) turn_by(turn, rows, rank, slot, column, bits, level, lookup, n_slots, n_sub)
    if (n_fixed > 0) {
        turn_by(turn, rows, rank, slot, NULL, bits, level, lookup, n_fixed, n_sub);
    } else {
        switch (tree->n_slots[level]) {
        case 0:
            AVVIK_UNROLL
            for (int s = 0; s < n_sub; s++)
                turn[s] = 0;
            break;
        case 8: TURN_BY(8); break;
        case 12: TURN_BY(12); break;
        case 16: TURN_BY(16); break;
        case 24: TURN_BY(24); break;
        default:
            if (level == lookup) /* ends have no paths */
                TURN_BY(AVVIK_BYTE_BY_PATH);
            break;
        }
    }
}

/* Level 7 and the leaves of a tree that has_ends: each table is one register. */
ALWAYS_INLINE void walk_ends(struct byte_sums *low, struct byte_sums *high, struct rows *rows,
                             const struct avvik__byte_tree *tree, const __mmask64 *turn_6, const __m512i *bits,
                             int n_fixed, int n_sub)
{
    __mmask64 turn[2] = {0, 0};
    AVVIK_UNROLL
    for (int s = 0; s < n_sub; s++)
        rows->path[s] = of_128(tree->end, rows->path[s], turn_6[s]);
    turn_at(turn, rows, tree, tree->rank_7, tree->slot_7, bits, 7, 6, n_fixed, n_sub);
    AVVIK_UNROLL
    for (int s = 0; s < n_sub; s++) {
        byte_sums_add(&low[s], of_128(tree->leaf_low, rows->path[s], turn[s]));
        byte_sums_add(&high[s], of_128(tree->leaf_high, rows->path[s], turn[s]));
    }
}

/* One tree and n_sub times 64 rows. */
ALWAYS_INLINE void walk_tree(struct byte_sums *low, struct byte_sums *high, struct rows *rows,
                             const struct avvik__byte_tree *tree, const __m512i *bits, int n_fixed, int n_sub)
{
    __mmask64 turn[2] = {0, 0}, turn_6[2];
    AVVIK_UNROLL
    for (int s = 0; s < n_sub; s++)
        rows->path[s] = walk_upper(rows->ranks + s * rows->step, tree, bits, n_fixed == 16 ? 5 : 4);
    if (n_fixed != 16) { /* by path is cheaper than by 16 columns, and than by 12 */
        turn_at(turn, rows, tree, tree->rank_4, tree->slot_4, bits, 4, 4, n_fixed, n_sub);
        AVVIK_UNROLL
        for (int s = 0; s < n_sub; s++)
            rows->path[s] = _mm512_mask_add_epi8(rows->path[s], turn[s], rows->path[s], bits[4]);
    }
    turn_at(turn, rows, tree, tree->rank_5, tree->slot_5, bits, 5, 5, n_fixed, n_sub);
    AVVIK_UNROLL
    for (int s = 0; s < n_sub; s++)
        rows->path[s] = _mm512_mask_add_epi8(rows->path[s], turn[s], rows->path[s], bits[5]);
    turn_at(turn, rows, tree, tree->rank_6, tree->slot_6, bits, 6, 6, n_fixed, n_sub);
    AVVIK_UNROLL
    for (int s = 0; s < n_sub; s++)
        turn_6[s] = turn[s];
    if (tree->has_ends) {
        walk_ends(low, high, rows, tree, turn_6, bits, n_fixed, n_sub);
        return;
    }
    turn_at(turn, rows, tree, tree->rank_7, tree->slot_7, bits, 7, 7, n_fixed, n_sub);
    AVVIK_UNROLL
    for (int s = 0; s < n_sub; s++) {
        const __m512i path = rows->path[s];
        byte_sums_add(&low[s], _mm512_mask_blend_epi8(turn[s], of_128(tree->leaf_low, path, turn_6[s]),
                                                      of_128(tree->leaf_low + 128, path, turn_6[s])));
        byte_sums_add(&high[s], _mm512_mask_blend_epi8(turn[s], of_128(tree->leaf_high, path, turn_6[s]),
                                                       of_128(tree->leaf_high + 128, path, turn_6[s])));
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
                             size_t n_trees, size_t n_columns, int n_fixed, int n_sub)
{
    struct rows rows = {.ranks = ranks, .step = (ptrdiff_t)n_columns * SUB_ROWS};
    struct byte_sums low[2], high[2];
    __m512i bits[6];
    AVVIK_UNROLL
    for (int bit = 0; bit < 6; bit++) {
        bits[bit] = _mm512_set1_epi8((char)(1 << bit));
        /* A compiler that knew these constants would make them anew each time, on port 5, the busiest. */
        __asm__("" : "+v"(bits[bit]));
    }
    memset(low, 0, sizeof low);
    memset(high, 0, sizeof high);
    for (size_t t = 0; t < n_trees; t++)
        walk_tree(low, high, &rows, &trees[t], bits, n_fixed, n_sub);
    path_sums_add(path_sum, n < SUB_ROWS ? n : SUB_ROWS, &low[0], &high[0]);
    if (n_sub > 1)
        path_sums_add(path_sum + SUB_ROWS, n - SUB_ROWS < SUB_ROWS ? n - SUB_ROWS : SUB_ROWS, &low[1], &high[1]);
}

ALWAYS_INLINE void walk_group(int32_t *path_sum, size_t n_rows, const uint8_t *ranks,
                              const struct avvik__byte_tree *trees, size_t n_trees, size_t n_columns, int n_fixed)
{
    size_t first = 0;
    for (; n_rows - first > SUB_ROWS; first += 2 * SUB_ROWS) {
        const size_t n = n_rows - first < 2 * SUB_ROWS ? n_rows - first : 2 * SUB_ROWS;
        walk_rows(path_sum + first, n, ranks + first * n_columns, trees, n_trees, n_columns, n_fixed, 2);
        if (n < 2 * SUB_ROWS)
            return;
    }
    if (first < n_rows)
        walk_rows(path_sum + first, n_rows - first, ranks + first * n_columns, trees, n_trees, n_columns, n_fixed, 1);
}

typedef void walk_group_fn(int32_t *, size_t, const uint8_t *, const struct avvik__byte_tree *, size_t, size_t);

static void walk_group_8(int32_t *path_sum, size_t n_rows, const uint8_t *ranks, const struct avvik__byte_tree *trees,
                         size_t n_trees, size_t n_columns)
{
    (void)n_columns;
    walk_group(path_sum, n_rows, ranks, trees, n_trees, 8, 8);
}

static void walk_group_16(int32_t *path_sum, size_t n_rows, const uint8_t *ranks, const struct avvik__byte_tree *trees,
                          size_t n_trees, size_t n_columns)
{
    (void)n_columns;
    walk_group(path_sum, n_rows, ranks, trees, n_trees, 16, 16);
}

static void walk_group_any(int32_t *path_sum, size_t n_rows, const uint8_t *ranks, const struct avvik__byte_tree *trees,
                           size_t n_trees, size_t n_columns)
{
    walk_group(path_sum, n_rows, ranks, trees, n_trees, n_columns, 0);
}

/* All rows but the last few, which the walk with trees in lanes does faster; returns how many. */
static size_t walk_blocks(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                          const struct avvik__forest_view *forest)
{
    float columns[BLOCK_FLOATS] __attribute__((aligned(64)));
    uint8_t ranks[BLOCK_FLOATS] __attribute__((aligned(64)));
    const struct avvik__byte_forest *bytes = forest->bytes;
    const size_t n_features = forest->n_features;
    walk_group_fn *const walk = n_features <= 8 ? walk_group_8 : n_features <= 16 ? walk_group_16 : walk_group_any;
    const size_t n_columns = n_features <= 8 ? 8 : n_features <= 16 ? 16 : n_features;
    const size_t padded = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES; /* columns_from_tile's */
    const size_t fitting = BLOCK_FLOATS / padded / (2 * SUB_ROWS) * (2 * SUB_ROWS);
    const size_t block_rows = fitting < BLOCK_ROWS ? fitting : BLOCK_ROWS;
    const size_t n_walked = n_rows - (n_rows % SUB_ROWS <= FEW_ROWS ? n_rows % SUB_ROWS : 0);
    if (n_walked > 0) /* columns without a threshold are chosen by no node that counts, but are read */
        memset(ranks, 0, n_columns * block_rows);
    for (size_t first = 0; first < n_walked; first += block_rows) {
        const size_t n = n_walked - first < block_rows ? n_walked - first : block_rows;
        const size_t n_padded = (n + SUB_ROWS - 1) / SUB_ROWS * SUB_ROWS;
        columns_from_tile(columns, tile + first * stride, stride, n_padded, n, n_features);
        memset(path_sum + first, 0, n * sizeof *path_sum);
        for (uint32_t g = 0; g < bytes->n_groups; g++) {
            const struct avvik__byte_group *group = &bytes->groups[g];
            rank_columns(ranks, n_columns, columns, n_padded, n_features, bytes->searches + g * n_features);
            walk(path_sum + first, n, ranks, bytes->trees + group->first_tree, group->n_trees, n_columns);
        }
    }
    return n_walked;
}

void avvik__forest_path_avx512vbmi(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                   const struct avvik__forest_view *forest)
{
    const size_t n = forest->bytes == NULL ? 0 : walk_blocks(path_sum, tile, stride, n_rows, forest);
    if (n < n_rows)
        avvik__forest_path_avx512(path_sum + n, tile + n * stride, stride, n_rows - n, forest);
}

void avvik__forest_path_wide_avx512vbmi(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                        const struct avvik__forest_view *forest)
{
    const size_t n = forest->bytes == NULL ? 0 : walk_blocks(path_sum, tile, stride, n_rows, forest);
    if (n < n_rows)
        avvik__forest_path_wide_avx512(path_sum + n, tile + n * stride, stride, n_rows - n, forest);
}

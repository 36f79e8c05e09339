/* Sixteen trees in lanes, as in forest_path_avx512.c, but only to find out in which leaves a row ends: what a leaf
 * adds, feature by feature, stands ready in a table (kernels/README.md, "Reasons"). */
#include <immintrin.h>

#include "kernels.h"

#define ROWS 8         /* in flight: a walk waits for its gathers */
#define BLOCK_ROWS 256 /* for which a group's table stays in the second-level cache */
#define NARROW 4       /* trees that are added in 32 bits: 4 x 6 x 2^25 at most */

/* The lanes' nodes after the last step. values: of a row with up to 16 features, which a permute then finds. */
static inline __m512i step(__m512i k, const uint32_t *nodes, const float *row, __m512 values, int is_narrow)
{
    const __m512i word = _mm512_i32gather_epi32(k, nodes, 4);
    const __m512 x = is_narrow ? _mm512_permutexvar_ps(word, values)
                               : _mm512_i32gather_ps(_mm512_and_si512(word, _mm512_set1_epi32(63)), row, 4);
    const __mmask16 goes_left = _mm512_cmp_ps_mask(x, _mm512_castsi512_ps(word), _CMP_LT_OQ);
    const __m512i left = _mm512_add_epi32(k, k);
    return _mm512_mask_add_epi32(left, (__mmask16)~goes_left, left, _mm512_set1_epi32(1));
}

/* Add the table's rows of n_trees leaves (their offsets) to the contributions of one row. */
static inline void leaves_add(int64_t *contributions, const int32_t *table, const uint32_t *leaves, uint32_t n_trees,
                              size_t stride)
{
    for (size_t f = 0; f < stride; f += AVVIK_LANES) {
        __m512i low = _mm512_load_si512(contributions + f), high = _mm512_load_si512(contributions + f + 8);
        for (uint32_t tree = 0; tree < n_trees; tree += NARROW) {
            __m512i sum = _mm512_setzero_si512();
            for (uint32_t i = tree; i < tree + NARROW && i < n_trees; i++)
                sum = _mm512_add_epi32(sum, _mm512_load_si512(table + leaves[i] * stride + f));
            low = _mm512_add_epi64(low, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum)));
            high = _mm512_add_epi64(high, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sum, 1)));
        }
        _mm512_store_si512(contributions + f, low);
        _mm512_store_si512(contributions + f + 8, high);
    }
}

/* One group of trees over n (1 to ROWS) rows. */
static inline void rows_add(int64_t *contributions, const float *tile, size_t stride, size_t n, uint32_t group,
                            const struct avvik__reasons_view *view, int is_narrow)
{
    const struct avvik__forest_view *forest = view->forest;
    const uint32_t height = forest->height, first = group * AVVIK_LANES;
    const uint32_t n_trees = forest->n_trees - first < AVVIK_LANES ? forest->n_trees - first : AVVIK_LANES;
    const uint32_t *nodes = forest->lane_nodes + ((size_t)group * AVVIK_LANES << height);
    const int32_t *table = view->leaf_reasons + ((size_t)first << height) * view->stride;
    const __m512i start = _mm512_add_epi32(_mm512_set1_epi32(AVVIK_LANES),
                                           _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    __m512i k[ROWS];
    __m512 values[ROWS];
    for (size_t r = 0; r < n; r++) {
        k[r] = start;
        values[r] = _mm512_load_ps(tile + r * stride);
    }
    for (uint32_t level = 0; level < height; level++)
        for (size_t r = 0; r < n; r++)
            k[r] = step(k[r], nodes, tile + r * stride, values[r], is_narrow);
    /* k is (16 + lane) 2^height + leaf: less 2^(height + 4) it is the leaf's place in the group's part of the table */
    for (size_t r = 0; r < n; r++) {
        uint32_t leaves[AVVIK_LANES];
        _mm512_storeu_si512(leaves, _mm512_sub_epi32(k[r], _mm512_set1_epi32(AVVIK_LANES << height)));
        leaves_add(contributions + r * view->stride, table, leaves, n_trees, view->stride);
    }
}

static inline void block_add(int64_t *contributions, const float *tile, size_t stride, size_t n_rows,
                             const struct avvik__reasons_view *view, int is_narrow)
{
    for (uint32_t group = 0; group < view->forest->n_groups; group++) {
        size_t r = 0;
        for (; r + ROWS <= n_rows; r += ROWS)
            rows_add(contributions + r * view->stride, tile + r * stride, stride, ROWS, group, view, is_narrow);
        for (; r < n_rows; r++)
            rows_add(contributions + r * view->stride, tile + r * stride, stride, 1, group, view, is_narrow);
    }
}

void avvik__forest_reasons_avx512(int64_t *contributions, const float *tile, size_t stride, size_t n_rows,
                                  const struct avvik__reasons_view *view)
{
    if (view->leaf_reasons == NULL || view->forest->lane_nodes == NULL) {
        avvik__forest_reasons_scalar(contributions, tile, stride, n_rows, view);
        return;
    }
    for (size_t i = 0; i < n_rows * view->stride; i += 8)
        _mm512_store_si512(contributions + i, _mm512_setzero_si512());
    for (size_t first = 0; first < n_rows; first += BLOCK_ROWS) {
        const size_t n = n_rows - first < BLOCK_ROWS ? n_rows - first : BLOCK_ROWS;
        if (view->forest->n_features <= AVVIK_LANES)
            block_add(contributions + first * view->stride, tile + first * stride, stride, n, view, 1);
        else
            block_add(contributions + first * view->stride, tile + first * stride, stride, n, view, 0);
    }
}

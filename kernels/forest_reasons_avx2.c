/* As forest_reasons_avx512.c, eight trees in lanes: half a group. */
#include <immintrin.h>

#include "kernels.h"

#define LANES 8
#define ROWS 4
#define BLOCK_ROWS 256
#define NARROW 4 /* trees that are added in 32 bits: 4 x 6 x 2^25 at most */

static inline __m256i step(__m256i k, const uint32_t *nodes, const float *row)
{
    const __m256i word = _mm256_i32gather_epi32((const int *)nodes, k, 4);
    const __m256 x = _mm256_i32gather_ps(row, _mm256_and_si256(word, _mm256_set1_epi32(63)), 4);
    const __m256 goes_left = _mm256_cmp_ps(x, _mm256_castsi256_ps(word), _CMP_LT_OQ); /* -1 where it does */
    return _mm256_add_epi32(_mm256_add_epi32(_mm256_add_epi32(k, k), _mm256_set1_epi32(1)),
                            _mm256_castps_si256(goes_left));
}

static inline void leaves_add(int64_t *contributions, const int32_t *table, const uint32_t *leaves, uint32_t n_trees,
                              size_t stride)
{
    for (size_t f = 0; f < stride; f += LANES) {
        __m256i *out = (__m256i *)(contributions + f);
        __m256i low = _mm256_load_si256(out), high = _mm256_load_si256(out + 1);
        for (uint32_t tree = 0; tree < n_trees; tree += NARROW) {
            __m256i sum = _mm256_setzero_si256();
            for (uint32_t i = tree; i < tree + NARROW && i < n_trees; i++)
                sum = _mm256_add_epi32(sum, _mm256_load_si256((const __m256i *)(table + leaves[i] * stride + f)));
            low = _mm256_add_epi64(low, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum)));
            high = _mm256_add_epi64(high, _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sum, 1)));
        }
        _mm256_store_si256(out, low);
        _mm256_store_si256(out + 1, high);
    }
}

/* Eight trees from number `first` on over n (1 to ROWS) rows. */
static inline void rows_add(int64_t *contributions, const float *tile, size_t stride, size_t n, uint32_t first,
                            const struct avvik__reasons_view *view)
{
    const struct avvik__forest_view *forest = view->forest;
    const uint32_t height = forest->height, group = first / AVVIK_LANES, lane = first % AVVIK_LANES;
    const uint32_t n_trees = forest->n_trees - first < LANES ? forest->n_trees - first : LANES;
    const uint32_t *nodes = forest->lane_nodes + ((size_t)group * AVVIK_LANES << height);
    const int32_t *table = view->leaf_reasons + ((size_t)first << height) * view->stride;
    __m256i k[ROWS];
    for (size_t r = 0; r < n; r++)
        k[r] = _mm256_add_epi32(_mm256_set1_epi32((int)(AVVIK_LANES + lane)), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
    for (uint32_t level = 0; level < height; level++)
        for (size_t r = 0; r < n; r++)
            k[r] = step(k[r], nodes, tile + r * stride);
    for (size_t r = 0; r < n; r++) {
        uint32_t leaves[LANES];
        _mm256_storeu_si256((__m256i *)leaves,
                            _mm256_sub_epi32(k[r], _mm256_set1_epi32((int)((AVVIK_LANES + lane) << height))));
        leaves_add(contributions + r * view->stride, table, leaves, n_trees, view->stride);
    }
}

void avvik__forest_reasons_avx2(int64_t *contributions, const float *tile, size_t stride, size_t n_rows,
                                const struct avvik__reasons_view *view)
{
    if (view->leaf_reasons == NULL || view->forest->lane_nodes == NULL) {
        avvik__forest_reasons_scalar(contributions, tile, stride, n_rows, view);
        return;
    }
    for (size_t i = 0; i < n_rows * view->stride; i += 4)
        _mm256_store_si256((__m256i *)(contributions + i), _mm256_setzero_si256());
    for (size_t block = 0; block < n_rows; block += BLOCK_ROWS) {
        const size_t end = n_rows - block < BLOCK_ROWS ? n_rows : block + BLOCK_ROWS;
        for (uint32_t first = 0; first < view->forest->n_trees; first += LANES) {
            size_t r = block;
            for (; r + ROWS <= end; r += ROWS)
                rows_add(contributions + r * view->stride, tile + r * stride, stride, ROWS, first, view);
            for (; r < end; r++)
                rows_add(contributions + r * view->stride, tile + r * stride, stride, 1, first, view);
        }
    }
}

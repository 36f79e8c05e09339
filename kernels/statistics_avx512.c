/* AVX-512 moments of a block: 16 rows a step, each in the partial sum that its number gives it (kernels/README.md,
 * "Statistics"). */
#include <immintrin.h>

#include "kernels.h"

#define IS_NAN 0x81 /* classes of vfpclassps */
#define IS_INFINITE 0x18
#define IS_ZERO 0x26 /* zeros and denormals */

void avvik__statistics_avx512(struct avvik__moments *moments, const float *column, size_t n_rows)
{
    *moments = (struct avvik__moments){0};
    size_t start = 0;
    while (start < n_rows && !__builtin_isfinite(column[start]))
        start++;
    const __m512 first_finite = _mm512_set1_ps(start < n_rows ? column[start] : 0);
    const __m512 pivots =
        _mm512_maskz_mov_ps(_knot_mask16(_mm512_fpclass_ps_mask(first_finite, IS_ZERO)), first_finite);
    const float pivot = _mm512_cvtss_f32(pivots);
    const __m512d wide_pivots = _mm512_set1_pd(pivot);

    __m512 min = pivots, max = pivots;
    __m512d sum[2] = {{0}}, squares[2] = {{0}};
    uint32_t n = 0, n_nan = 0;
    for (size_t i = 0; i < n_rows; i += 16) {
        const __mmask16 present = (__mmask16)(n_rows - i < 16 ? (1u << (n_rows - i)) - 1 : 0xffff);
        const __m512 raw = _mm512_maskz_loadu_ps(present, column + i);
        const __mmask16 odd = _mm512_fpclass_ps_mask(raw, IS_NAN | IS_INFINITE);
        const __mmask16 used = (__mmask16)(present & ~odd);
        const __mmask16 zero = _mm512_fpclass_ps_mask(raw, IS_ZERO);
        const __m512 x = _mm512_maskz_mov_ps((__mmask16)(used & ~zero), raw);
        min = _mm512_mask_min_ps(min, used, min, x);
        max = _mm512_mask_max_ps(max, used, max, x);
        const __m512d d0 = _mm512_sub_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(x)), wide_pivots);
        const __m512d d1 = _mm512_sub_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)), wide_pivots);
        const __mmask8 used0 = (__mmask8)used, used1 = (__mmask8)(used >> 8);
        sum[0] = _mm512_mask_add_pd(sum[0], used0, sum[0], d0);
        sum[1] = _mm512_mask_add_pd(sum[1], used1, sum[1], d1);
        squares[0] = _mm512_mask_add_pd(squares[0], used0, squares[0], _mm512_mul_pd(d0, d0));
        squares[1] = _mm512_mask_add_pd(squares[1], used1, squares[1], _mm512_mul_pd(d1, d1));
        n += (uint32_t)__builtin_popcount(used);
        if (odd)
            n_nan += (uint32_t)__builtin_popcount(_mm512_fpclass_ps_mask(raw, IS_NAN));
    }
    moments->n = n;
    moments->n_nan = n_nan;
    moments->n_infinite = (uint32_t)n_rows - n - n_nan;
    if (n == 0)
        return;
    double lane_sum[AVVIK_LANES], lane_squares[AVVIK_LANES], total = 0, total_squares = 0;
    for (int half = 0; half < 2; half++) {
        _mm512_storeu_pd(lane_sum + 8 * half, sum[half]);
        _mm512_storeu_pd(lane_squares + 8 * half, squares[half]);
    }
    for (int lane = 0; lane < AVVIK_LANES; lane++) {
        total += lane_sum[lane];
        total_squares += lane_squares[lane];
    }
    const double m2 = total_squares - total * total / n;
    moments->min = _mm512_reduce_min_ps(min);
    moments->max = _mm512_reduce_max_ps(max);
    moments->mean = pivot + total / n;
    moments->m2 = m2 > 0 ? m2 : 0;
}

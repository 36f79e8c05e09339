/* AVX2 moments of a block: as statistics_avx512.c. A value that is left out is replaced by the pivot, whose difference
 * to itself adds nothing to any sum. */
#include <float.h>
#include <immintrin.h>
#include <math.h>

#include "kernels.h"
#include "unroll.h"

struct sums {
    __m256 min, max;
    __m256d sum[4], squares[4]; /* 16 partial sums */
    uint32_t n_nan, n_infinite;
};

static inline __attribute__((always_inline)) void add_16(struct sums *sums, const float *x16, __m256 pivots)
{
    const __m256d wide_pivots = _mm256_cvtps_pd(_mm256_castps256_ps128(pivots));
    const __m256 sign = _mm256_set1_ps(-0.0f), tiny = _mm256_set1_ps(FLT_MIN), infinity = _mm256_set1_ps(INFINITY);
    AVVIK_UNROLL
    for (int half = 0; half < 2; half++) {
        const __m256 raw = _mm256_loadu_ps(x16 + 8 * half), magnitude = _mm256_andnot_ps(sign, raw);
        const __m256 finite = _mm256_cmp_ps(magnitude, infinity, _CMP_LT_OQ);
        __m256 x = _mm256_and_ps(raw, _mm256_cmp_ps(magnitude, tiny, _CMP_GE_OQ));
        if (_mm256_movemask_ps(finite) != 0xff) {
            x = _mm256_blendv_ps(pivots, x, finite);
            sums->n_nan +=
                (uint32_t)__builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(raw, raw, _CMP_UNORD_Q)));
            sums->n_infinite += (uint32_t)__builtin_popcount(
                (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(magnitude, infinity, _CMP_EQ_OQ)));
        }
        sums->min = _mm256_min_ps(sums->min, x);
        sums->max = _mm256_max_ps(sums->max, x);
        const __m256d d0 = _mm256_sub_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(x)), wide_pivots);
        const __m256d d1 = _mm256_sub_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)), wide_pivots);
        sums->sum[2 * half] = _mm256_add_pd(sums->sum[2 * half], d0);
        sums->sum[2 * half + 1] = _mm256_add_pd(sums->sum[2 * half + 1], d1);
        sums->squares[2 * half] = _mm256_add_pd(sums->squares[2 * half], _mm256_mul_pd(d0, d0));
        sums->squares[2 * half + 1] = _mm256_add_pd(sums->squares[2 * half + 1], _mm256_mul_pd(d1, d1));
    }
}

void avvik__statistics_avx2(struct avvik__moments *moments, const float *column, size_t n_rows)
{
    *moments = (struct avvik__moments){0};
    size_t start = 0, i = 0;
    while (start < n_rows && !isfinite(column[start]))
        start++;
    const float first_finite = start < n_rows ? column[start] : 0;
    const float pivot = fabsf(first_finite) < FLT_MIN ? 0.0f : first_finite;
    const __m256 pivots = _mm256_set1_ps(pivot);
    struct sums sums = {.min = pivots, .max = pivots};
    for (; i + AVVIK_LANES <= n_rows; i += AVVIK_LANES)
        add_16(&sums, column + i, pivots);
    if (i < n_rows) {
        float rest[AVVIK_LANES];
        for (size_t lane = 0; lane < AVVIK_LANES; lane++)
            rest[lane] = i + lane < n_rows ? column[i + lane] : pivot;
        add_16(&sums, rest, pivots);
    }
    moments->n_nan = sums.n_nan;
    moments->n_infinite = sums.n_infinite;
    moments->n = (uint32_t)n_rows - sums.n_nan - sums.n_infinite;
    if (moments->n == 0)
        return;
    double lane_sum[AVVIK_LANES], lane_squares[AVVIK_LANES], total = 0, total_squares = 0;
    for (int quarter = 0; quarter < 4; quarter++) {
        _mm256_storeu_pd(lane_sum + 4 * quarter, sums.sum[quarter]);
        _mm256_storeu_pd(lane_squares + 4 * quarter, sums.squares[quarter]);
    }
    for (int lane = 0; lane < AVVIK_LANES; lane++) {
        total += lane_sum[lane];
        total_squares += lane_squares[lane];
    }
    float min[8], max[8];
    _mm256_storeu_ps(min, sums.min);
    _mm256_storeu_ps(max, sums.max);
    moments->min = min[0];
    moments->max = max[0];
    for (int lane = 1; lane < 8; lane++) {
        moments->min = min[lane] < moments->min ? min[lane] : moments->min;
        moments->max = max[lane] > moments->max ? max[lane] : moments->max;
    }
    const double m2 = total_squares - total * total / moments->n;
    moments->mean = pivot + total / moments->n;
    moments->m2 = m2 > 0 ? m2 : 0;
}

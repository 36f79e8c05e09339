/* AVX2: 8 values become masks; what is kept is written one by one, without a branch. */
#include <float.h>
#include <immintrin.h>

#include "kernels.h"

static inline size_t window_keep(float *kept, size_t *below, const float *values, size_t n_values, int is_distance,
                                 float center, float low, float high)
{
    const __m256 first = _mm256_set1_ps(low), last = _mm256_set1_ps(high), middle = _mm256_set1_ps(center);
    const __m256 tiny = _mm256_set1_ps(FLT_MIN), largest = _mm256_set1_ps(FLT_MAX), sign = _mm256_set1_ps(-0.0f);
    size_t n = 0, n_below = 0, i = 0;
    for (; i + 8 <= n_values; i += 8) {
        __m256 x = _mm256_loadu_ps(values + i);
        float lanes[8];
        if (is_distance) {
            x = _mm256_andnot_ps(sign, _mm256_sub_ps(x, middle));
            x = _mm256_and_ps(_mm256_min_ps(x, largest), _mm256_cmp_ps(x, tiny, _CMP_NLT_UQ));
        }
        const unsigned before = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x, first, _CMP_LT_OQ));
        const unsigned keep = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x, last, _CMP_LE_OQ)) & ~before;
        _mm256_storeu_ps(lanes, x);
        for (unsigned lane = 0; lane < 8; lane++) {
            kept[n] = lanes[lane];
            n += keep >> lane & 1;
        }
        n_below += (size_t)__builtin_popcount(before);
    }
    *below += n_below;
    return n + avvik__narrow_scalar(kept + n, below, values + i, n_values - i, is_distance, center, low, high);
}

size_t avvik__narrow_avx2(float *kept, size_t *below, const float *values, size_t n_values, int is_distance,
                          float center, float low, float high)
{
    return is_distance ? window_keep(kept, below, values, n_values, 1, center, low, high)
                       : window_keep(kept, below, values, n_values, 0, 0, low, high);
}

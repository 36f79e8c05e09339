/* AVX-512: 16 values become masks; what is kept is compressed. */
#include <float.h>
#include <immintrin.h>

#include "kernels.h"

static inline size_t window_keep(float *kept, size_t *below, const float *values, size_t n_values, int is_distance,
                                 float center, float low, float high)
{
    const __m512 first = _mm512_set1_ps(low), last = _mm512_set1_ps(high), middle = _mm512_set1_ps(center);
    const __m512 tiny = _mm512_set1_ps(FLT_MIN), largest = _mm512_set1_ps(FLT_MAX);
    size_t n = 0, n_below = 0;
    for (size_t i = 0; i < n_values; i += 16) {
        const __mmask16 present = (__mmask16)(n_values - i < 16 ? (1u << (n_values - i)) - 1 : 0xffff);
        __m512 x = _mm512_maskz_loadu_ps(present, values + i);
        if (is_distance) {
            x = _mm512_abs_ps(_mm512_sub_ps(x, middle));
            x = _mm512_maskz_min_ps(_mm512_cmp_ps_mask(x, tiny, _CMP_NLT_UQ), x, largest);
        }
        const __mmask16 before = _mm512_mask_cmp_ps_mask(present, x, first, _CMP_LT_OQ);
        const __mmask16 keep = _mm512_mask_cmp_ps_mask((__mmask16)(present & ~before), x, last, _CMP_LE_OQ);
        _mm512_storeu_ps(kept + n, _mm512_maskz_compress_ps(keep, x));
        n += (size_t)__builtin_popcount(keep);
        n_below += (size_t)__builtin_popcount(before);
    }
    *below += n_below;
    return n;
}

size_t avvik__narrow_avx512(float *kept, size_t *below, const float *values, size_t n_values, int is_distance,
                            float center, float low, float high)
{
    return is_distance ? window_keep(kept, below, values, n_values, 1, center, low, high)
                       : window_keep(kept, below, values, n_values, 0, 0, low, high);
}

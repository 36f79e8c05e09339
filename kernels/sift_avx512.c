/* AVX-512: 16 values become masks, whose bits are counted, and what is kept is compressed (kernels/README.md,
 * "Medians"). */
#include <float.h>
#include <immintrin.h>

#include "kernels.h"

static inline uint64_t count(__mmask16 mask)
{
    return (uint64_t)__builtin_popcount(mask);
}

size_t avvik__sift_avx512(float *kept, struct avvik__sift_counts *counts, const float *column, size_t n_rows,
                          const struct avvik__sieve *sieve)
{
    const __m512 largest = _mm512_set1_ps(FLT_MAX), tiny = _mm512_set1_ps(FLT_MIN), tie = _mm512_set1_ps(sieve->tie);
    const __m512 first = _mm512_set1_ps(sieve->first), low_last = _mm512_set1_ps(sieve->low_last);
    const __m512 middle_first = _mm512_set1_ps(sieve->middle_first), middle_last = _mm512_set1_ps(sieve->middle_last);
    const __m512 high_first = _mm512_set1_ps(sieve->high_first), last = _mm512_set1_ps(sieve->last);
    size_t n = 0;
    for (size_t i = 0; i < n_rows; i += 16) {
        const __mmask16 present = (__mmask16)(n_rows - i < 16 ? (1u << (n_rows - i)) - 1 : 0xffff);
        const __m512 raw = _mm512_maskz_loadu_ps(present, column + i), size = _mm512_abs_ps(raw);
        const __m512 x = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(size, tiny, _CMP_NLT_UQ), raw);
        const __mmask16 finite = _mm512_mask_cmp_ps_mask(present, size, largest, _CMP_LE_OQ);
        const __mmask16 ties = _mm512_mask_cmp_ps_mask(finite, x, tie, _CMP_EQ_OQ);
        const __mmask16 rest = (__mmask16)(finite & ~ties);
        const __mmask16 below = _mm512_mask_cmp_ps_mask(rest, x, first, _CMP_LT_OQ);
        const __mmask16 above = _mm512_mask_cmp_ps_mask(rest, x, last, _CMP_GT_OQ);
        const __mmask16 low_gap = _mm512_mask_cmp_ps_mask(_mm512_mask_cmp_ps_mask(rest, x, low_last, _CMP_GT_OQ), x,
                                                          middle_first, _CMP_LT_OQ);
        const __mmask16 high_gap = _mm512_mask_cmp_ps_mask(_mm512_mask_cmp_ps_mask(rest, x, middle_last, _CMP_GT_OQ), x,
                                                           high_first, _CMP_LT_OQ);
        const __mmask16 keep = (__mmask16)(rest & ~(below | above | low_gap | high_gap));
        counts->ties += count(ties);
        counts->below += count(below);
        counts->above += count(above);
        counts->low_gap += count(low_gap);
        counts->high_gap += count(high_gap);
        _mm512_storeu_ps(kept + n, _mm512_maskz_compress_ps(keep, x));
        n += (size_t)count(keep);
    }
    return n;
}

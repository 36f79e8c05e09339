/* AVX2: as sift_avx512.c, 8 values at a time; what is kept is picked out bit by bit, for it is little. */
#include <float.h>
#include <immintrin.h>

#include "kernels.h"

static inline unsigned mask_of(__m256 comparison)
{
    return (unsigned)_mm256_movemask_ps(comparison);
}

static inline uint64_t count(unsigned mask)
{
    return (uint64_t)__builtin_popcount(mask);
}

size_t avvik__sift_avx2(float *kept, struct avvik__sift_counts *counts, const float *column, size_t n_rows,
                        const struct avvik__sieve *sieve)
{
    const __m256 largest = _mm256_set1_ps(FLT_MAX), tiny = _mm256_set1_ps(FLT_MIN), sign = _mm256_set1_ps(-0.0f);
    const __m256 first = _mm256_set1_ps(sieve->first), low_last = _mm256_set1_ps(sieve->low_last);
    const __m256 middle_first = _mm256_set1_ps(sieve->middle_first), middle_last = _mm256_set1_ps(sieve->middle_last);
    const __m256 high_first = _mm256_set1_ps(sieve->high_first), last = _mm256_set1_ps(sieve->last);
    const __m256 tie = _mm256_set1_ps(sieve->tie);
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    size_t n = 0;
    for (size_t i = 0; i < n_rows; i += 8) {
        const int here = n_rows - i < 8 ? (int)(n_rows - i) : 8;
        const __m256i present = _mm256_cmpgt_epi32(_mm256_set1_epi32(here), lane);
        const __m256 raw = _mm256_maskload_ps(column + i, present), size = _mm256_andnot_ps(sign, raw);
        const __m256 x = _mm256_and_ps(raw, _mm256_cmp_ps(size, tiny, _CMP_NLT_UQ));
        const unsigned finite =
            mask_of(_mm256_castsi256_ps(present)) & mask_of(_mm256_cmp_ps(size, largest, _CMP_LE_OQ));
        const unsigned ties = finite & mask_of(_mm256_cmp_ps(x, tie, _CMP_EQ_OQ)), rest = finite & ~ties;
        const unsigned below = rest & mask_of(_mm256_cmp_ps(x, first, _CMP_LT_OQ));
        const unsigned above = rest & mask_of(_mm256_cmp_ps(x, last, _CMP_GT_OQ));
        const unsigned low_gap = rest & mask_of(_mm256_and_ps(_mm256_cmp_ps(x, low_last, _CMP_GT_OQ),
                                                              _mm256_cmp_ps(x, middle_first, _CMP_LT_OQ)));
        const unsigned high_gap = rest & mask_of(_mm256_and_ps(_mm256_cmp_ps(x, middle_last, _CMP_GT_OQ),
                                                               _mm256_cmp_ps(x, high_first, _CMP_LT_OQ)));
        counts->ties += count(ties);
        counts->below += count(below);
        counts->above += count(above);
        counts->low_gap += count(low_gap);
        counts->high_gap += count(high_gap);
        float lanes[8];
        _mm256_storeu_ps(lanes, x);
        for (unsigned keep = rest & ~(below | above | low_gap | high_gap); keep != 0; keep &= keep - 1)
            kept[n++] = lanes[__builtin_ctz(keep)];
    }
    return n;
}

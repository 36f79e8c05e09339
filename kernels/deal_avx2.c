/* AVX2: as deal_avx512.c, 8 values at a time. */
#include <float.h>
#include <immintrin.h>

#include "kernels.h"

#define AHEAD 8

void avvik__deal_avx2(float *values, const float *column, const uint16_t *order, const uint32_t *starts,
                      const uint32_t *places, size_t n_hands)
{
    const __m256 tiny = _mm256_set1_ps(FLT_MIN), sign = _mm256_set1_ps(-0.0f), zero = _mm256_setzero_ps();
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (size_t h = 0; h < n_hands; h++) {
        if (h + AHEAD < n_hands)
            __builtin_prefetch(values + places[h + AHEAD], 1);
        for (uint32_t i = starts[h]; i < starts[h + 1]; i += 8) {
            const __m256i present = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(starts[h + 1] - i)), lane);
            const __m256i rows = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(order + i)));
            const __m256 raw = _mm256_mask_i32gather_ps(zero, column, rows, _mm256_castsi256_ps(present), 4);
            const __m256 x = _mm256_and_ps(raw, _mm256_cmp_ps(_mm256_andnot_ps(sign, raw), tiny, _CMP_NLT_UQ));
            _mm256_maskstore_ps(values + places[h] + (i - starts[h]), present, x);
        }
    }
}

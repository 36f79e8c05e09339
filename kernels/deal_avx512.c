/* AVX-512: 16 rows of a hand are gathered and stored at once, while the line comes into the cache that a hand further
 * on begins with: hands lie too far apart for the hardware to see a pattern. */
#include <float.h>
#include <immintrin.h>

#include "kernels.h"

#define AHEAD 8

void avvik__deal_avx512(float *values, const float *column, const uint16_t *order, const uint32_t *starts,
                        const uint32_t *places, size_t n_hands)
{
    const __m512 tiny = _mm512_set1_ps(FLT_MIN);
    for (size_t h = 0; h < n_hands; h++) {
        if (h + AHEAD < n_hands) {
            const uint32_t n = starts[h + AHEAD + 1] - starts[h + AHEAD];
            __builtin_prefetch(values + places[h + AHEAD], 1);
            __builtin_prefetch(values + places[h + AHEAD] + (n > 0 ? n - 1 : 0), 1);
        }
        for (uint32_t i = starts[h]; i < starts[h + 1]; i += 16) {
            const uint32_t left = starts[h + 1] - i;
            const __mmask16 present = (__mmask16)(left < 16 ? (1u << left) - 1 : 0xffff);
            const __m512i rows = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(order + i)));
            const __m512 raw = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), present, rows, column, 4);
            const __mmask16 normal = _mm512_cmp_ps_mask(_mm512_abs_ps(raw), tiny, _CMP_NLT_UQ);
            _mm512_mask_storeu_ps(values + places[h] + (i - starts[h]), present, _mm512_maskz_mov_ps(normal, raw));
        }
    }
}

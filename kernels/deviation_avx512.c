/* AVX-512 z-scores: 16 rows at a time, transposed 16 features at a time, so that the maximum, its feature and the count
 * are kept lane by lane (kernels/README.md, "Deviation"). */
#include <float.h>

#include "kernels.h"
#include "transpose_x86.h"

/* Without peers the values are transposed and then measured, a feature at a time. With peers (group is not NULL) each
 * row is measured with what its group has, and the z-scores are transposed. Both ways lane r has row r in the end. */
static inline __attribute__((always_inline)) void rows_measure(float *deviation, uint16_t *feature, uint16_t *beyond,
                                                               const float *tile, size_t stride, size_t n_rows,
                                                               size_t n_features, const uint32_t *group,
                                                               const float *center, const float *rscale, float cut)
{
    const __m512 tiny = _mm512_set1_ps(FLT_MIN);
    /* The largest number that counts as 0. A maximum that starts here and cuts no lower flush |z| at no cost. */
    const __m512 below = _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(tiny), _mm512_set1_epi32(1)));
    const __m512 cuts = cut < 0 ? _mm512_set1_ps(cut) : _mm512_max_ps(_mm512_set1_ps(cut), below);
    const __m512i one = _mm512_set1_epi32(1);

    for (size_t first = 0; first < n_rows; first += 16) {
        const size_t n = n_rows - first < 16 ? n_rows - first : 16;
        __m512 largest = below;
        __m512i attained_by = _mm512_setzero_si512(), n_beyond = _mm512_setzero_si512(), f = _mm512_setzero_si512();
        for (size_t block = 0; block < n_features; block += 16) {
            __m512 x[16];
            AVVIK_UNROLL
            for (size_t i = 0; i < 16; i++) {
                const size_t row = first + (i < n ? i : n - 1);
                x[i] = _mm512_load_ps(tile + row * stride + block);
                if (group != NULL) {
                    const size_t at = group[row] * stride + block;
                    const __m512 d = _mm512_sub_ps(x[i], _mm512_load_ps(center + at));
                    const __mmask16 kept = _mm512_cmp_ps_mask(_mm512_abs_ps(d), tiny, _CMP_NLT_UQ);
                    x[i] = _mm512_abs_ps(_mm512_maskz_mul_ps(kept, d, _mm512_load_ps(rscale + at)));
                }
            }
            avvik__transpose_16x16(x);
            AVVIK_UNROLL
            for (size_t i = 0; i < 16; i++) {
                if (block + i >= n_features)
                    break;
                __m512 z = x[i];
                if (group == NULL) {
                    const __m512 d = _mm512_sub_ps(x[i], _mm512_set1_ps(center[block + i]));
                    const __mmask16 kept = _mm512_cmp_ps_mask(_mm512_abs_ps(d), tiny, _CMP_NLT_UQ);
                    z = _mm512_abs_ps(_mm512_maskz_mul_ps(kept, d, _mm512_set1_ps(rscale[block + i])));
                }
                const __mmask16 larger = _mm512_cmp_ps_mask(z, largest, _CMP_GT_OQ);
                largest = _mm512_mask_mov_ps(largest, larger, z);
                attained_by = _mm512_mask_mov_epi32(attained_by, larger, f);
                n_beyond = _mm512_mask_add_epi32(n_beyond, _mm512_cmp_ps_mask(z, cuts, _CMP_GT_OQ), n_beyond, one);
                f = _mm512_add_epi32(f, one);
            }
        }
        const __mmask16 rows = (__mmask16)(0xffffu >> (16 - n));
        const __mmask16 deviates = _mm512_cmp_ps_mask(largest, tiny, _CMP_GE_OQ);
        _mm512_mask_storeu_ps(deviation + first, rows, _mm512_maskz_mov_ps(deviates, largest));
        _mm512_mask_cvtepi32_storeu_epi16(feature + first, rows, attained_by);
        _mm512_mask_cvtepi32_storeu_epi16(beyond + first, rows, n_beyond);
    }
}

void avvik__deviation_avx512(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile, size_t stride,
                             size_t n_rows, size_t n_features, const float *center, const float *rscale, float cut)
{
    rows_measure(deviation, feature, beyond, tile, stride, n_rows, n_features, NULL, center, rscale, cut);
}

void avvik__deviation_peers_avx512(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile,
                                   size_t stride, size_t n_rows, size_t n_features, const uint32_t *group,
                                   const float *center, const float *rscale, float cut)
{
    rows_measure(deviation, feature, beyond, tile, stride, n_rows, n_features, group, center, rscale, cut);
}

/* AVX-512 z-scores: 16 rows at a time, transposed 16 features at a time, so that the maximum, its feature and the count
 * are kept lane by lane (kernels/README.md, "Deviation"). */
#include <float.h>

#include "deviation_x86.h"
#include "kernels.h"
#include "transpose_x86.h"

static inline __attribute__((always_inline)) void rows_measure(float *deviation, uint16_t *feature, uint16_t *beyond,
                                                               const float *tile, size_t stride, size_t n,
                                                               size_t n_features, const uint32_t *group,
                                                               const float *center, const float *rscale, float cut,
                                                               int flushes, float *apart, const float *mean)
{
    const __m512 tiny = _mm512_set1_ps(FLT_MIN);
    /* The largest number that counts as 0. A maximum that starts here and cuts no lower flush |z| at no cost. */
    const __m512 below = _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(tiny), _mm512_set1_epi32(1)));
    const __m512 cuts = cut < 0 ? _mm512_set1_ps(cut) : _mm512_max_ps(_mm512_set1_ps(cut), below);
    const __m512i one = _mm512_set1_epi32(1);
    __m512 largest = below;
    __m512i attained_by = _mm512_setzero_si512(), n_beyond = _mm512_setzero_si512(), f = _mm512_setzero_si512();
    for (size_t block = 0; block < n_features; block += 16) {
        __m512 x[16];
        AVVIK_UNROLL
        for (size_t i = 0; i < 16; i++) {
            const size_t row = i < n ? i : n - 1;
            x[i] = _mm512_load_ps(tile + row * stride + block);
            if (group != NULL) {
                const size_t at = group[row] * stride + block;
                const __m512 d = _mm512_sub_ps(x[i], _mm512_load_ps(center + at));
                const __mmask16 kept = _mm512_cmp_ps_mask(_mm512_abs_ps(d), tiny, _CMP_NLT_UQ);
                x[i] = _mm512_maskz_mul_ps(kept, d, _mm512_load_ps(rscale + at));
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
                const __mmask16 kept =
                    flushes ? _mm512_cmp_ps_mask(_mm512_abs_ps(d), tiny, _CMP_NLT_UQ) : (__mmask16)0xffff;
                z = _mm512_maskz_mul_ps(kept, d, _mm512_set1_ps(rscale[block + i]));
            }
            const __m512 size = _mm512_abs_ps(z);
            const __mmask16 larger = _mm512_cmp_ps_mask(size, largest, _CMP_GT_OQ);
            largest = _mm512_mask_mov_ps(largest, larger, size);
            attained_by = _mm512_mask_mov_epi32(attained_by, larger, f);
            n_beyond = _mm512_mask_add_epi32(n_beyond, _mm512_cmp_ps_mask(size, cuts, _CMP_GT_OQ), n_beyond, one);
            f = _mm512_add_epi32(f, one);
            if (apart != NULL)
                _mm512_store_ps(apart + (block + i) * JOINT_ROWS,
                                joint_apart(z, size, _mm512_set1_ps(mean[block + i])));
        }
    }
    const __mmask16 rows = (__mmask16)(0xffffu >> (16 - n));
    const __mmask16 deviates = _mm512_cmp_ps_mask(largest, tiny, _CMP_GE_OQ);
    _mm512_mask_storeu_ps(deviation, rows, _mm512_maskz_mov_ps(deviates, largest));
    _mm512_mask_cvtepi32_storeu_epi16(feature, rows, attained_by);
    _mm512_mask_cvtepi32_storeu_epi16(beyond, rows, n_beyond);
}

void avvik__deviation_avx512(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile, size_t stride,
                             size_t n_rows, size_t n_features, const float *center, const float *rscale, float cut)
{
    if (n_rows > 0 && is_any_center_tiny(center, n_features))
        all_rows_measure(deviation, feature, beyond, tile, stride, n_rows, n_features, NULL, center, rscale, cut, 1);
    else
        all_rows_measure(deviation, feature, beyond, tile, stride, n_rows, n_features, NULL, center, rscale, cut, 0);
}

void avvik__deviation_peers_avx512(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile,
                                   size_t stride, size_t n_rows, size_t n_features, const uint32_t *group,
                                   const float *center, const float *rscale, float cut)
{
    all_rows_measure(deviation, feature, beyond, tile, stride, n_rows, n_features, group, center, rscale, cut, 1);
}

void avvik__deviation_joint_avx512(float *deviation, uint16_t *feature, uint16_t *beyond, float *joint,
                                   const float *tile, size_t stride, size_t n_rows, size_t n_features,
                                   const float *center, const float *rscale, float cut, const float *mean,
                                   const float *factor)
{
    if (n_rows > 0 && is_any_center_tiny(center, n_features))
        all_rows_join(deviation, feature, beyond, joint, tile, stride, n_rows, n_features, center, rscale, cut, mean,
                      factor, 1);
    else
        all_rows_join(deviation, feature, beyond, joint, tile, stride, n_rows, n_features, center, rscale, cut, mean,
                      factor, 0);
}

void avvik__joint_peers_avx512(float *joint, const float *tile, size_t stride, size_t n_rows, size_t n_features,
                               const uint32_t *table, const float *tables)
{
    all_rows_join_peers(joint, tile, stride, n_rows, n_features, table, tables);
}

/* AVX2 z-scores: as deviation_avx512.c, 8 rows and 8 features at a time. */
#include <float.h>
#include <string.h>

#include "deviation_x86.h"
#include "kernels.h"
#include "transpose_x86.h"

/* 8 int32 in [0, 65535] as 8 uint16, for the first n of them. */
static inline void store_uint16(uint16_t *to, __m256i v, size_t n)
{
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(v, v), 0x08);
    uint16_t lanes[8];
    _mm_storeu_si128((__m128i *)lanes, _mm256_castsi256_si128(packed));
    memcpy(to, lanes, n * sizeof *to);
}

/* z, not flushed; NaN for NaN. */
static inline __attribute__((always_inline)) __m256 z_score(__m256 x, __m256 center, __m256 rscale, __m256 tiny,
                                                            __m256 sign, int flushes)
{
    const __m256 d = _mm256_sub_ps(x, center);
    const __m256 kept = _mm256_cmp_ps(_mm256_andnot_ps(sign, d), tiny, _CMP_NLT_UQ);
    return _mm256_mul_ps(flushes ? _mm256_and_ps(d, kept) : d, rscale);
}

static inline __attribute__((always_inline)) void rows_measure(float *deviation, uint16_t *feature, uint16_t *beyond,
                                                               const float *tile, size_t stride, size_t n,
                                                               size_t n_features, const uint32_t *group,
                                                               const float *center, const float *rscale, float cut,
                                                               int flushes, float *apart, const float *mean)
{
    const __m256 tiny = _mm256_set1_ps(FLT_MIN), sign = _mm256_set1_ps(-0.0f);
    const __m256 below = _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(tiny), _mm256_set1_epi32(1)));
    const __m256 cuts = cut < 0 ? _mm256_set1_ps(cut) : _mm256_max_ps(_mm256_set1_ps(cut), below);
    const __m256i one = _mm256_set1_epi32(1);
    __m256 largest = below, attained_by = _mm256_setzero_ps();
    __m256i n_beyond = _mm256_setzero_si256(), f = _mm256_setzero_si256();
    for (size_t block = 0; block < n_features; block += 8) {
        __m256 x[8];
        AVVIK_UNROLL
        for (size_t i = 0; i < 8; i++) {
            const size_t row = i < n ? i : n - 1;
            x[i] = _mm256_load_ps(tile + row * stride + block);
            if (group != NULL) {
                const size_t at = group[row] * stride + block;
                x[i] = z_score(x[i], _mm256_load_ps(center + at), _mm256_load_ps(rscale + at), tiny, sign, flushes);
            }
        }
        avvik__transpose_8x8(x);
        AVVIK_UNROLL
        for (size_t i = 0; i < 8; i++) {
            if (block + i >= n_features)
                break;
            const __m256 z = group != NULL ? x[i]
                                           : z_score(x[i], _mm256_set1_ps(center[block + i]),
                                                     _mm256_set1_ps(rscale[block + i]), tiny, sign, flushes);
            const __m256 size = _mm256_andnot_ps(sign, z), larger = _mm256_cmp_ps(size, largest, _CMP_GT_OQ);
            largest = _mm256_blendv_ps(largest, size, larger);
            attained_by = _mm256_blendv_ps(attained_by, _mm256_castsi256_ps(f), larger);
            n_beyond = _mm256_sub_epi32(n_beyond, _mm256_castps_si256(_mm256_cmp_ps(size, cuts, _CMP_GT_OQ)));
            f = _mm256_add_epi32(f, one);
            if (apart != NULL)
                _mm256_store_ps(apart + (block + i) * JOINT_ROWS,
                                joint_apart(z, size, _mm256_set1_ps(mean[block + i])));
        }
    }
    float lanes[8];
    _mm256_storeu_ps(lanes, _mm256_and_ps(largest, _mm256_cmp_ps(largest, tiny, _CMP_GE_OQ)));
    memcpy(deviation, lanes, n * sizeof *lanes);
    store_uint16(feature, _mm256_castps_si256(attained_by), n);
    store_uint16(beyond, n_beyond, n);
}

void avvik__deviation_avx2(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile, size_t stride,
                           size_t n_rows, size_t n_features, const float *center, const float *rscale, float cut)
{
    if (n_rows > 0 && is_any_center_tiny(center, n_features))
        all_rows_measure(deviation, feature, beyond, tile, stride, n_rows, n_features, NULL, center, rscale, cut, 1);
    else
        all_rows_measure(deviation, feature, beyond, tile, stride, n_rows, n_features, NULL, center, rscale, cut, 0);
}

void avvik__deviation_peers_avx2(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile,
                                 size_t stride, size_t n_rows, size_t n_features, const uint32_t *group,
                                 const float *center, const float *rscale, float cut)
{
    all_rows_measure(deviation, feature, beyond, tile, stride, n_rows, n_features, group, center, rscale, cut, 1);
}

void avvik__deviation_joint_avx2(float *deviation, uint16_t *feature, uint16_t *beyond, float *joint, const float *tile,
                                 size_t stride, size_t n_rows, size_t n_features, const float *center,
                                 const float *rscale, float cut, const float *mean, const float *factor)
{
    if (n_rows > 0 && is_any_center_tiny(center, n_features))
        all_rows_join(deviation, feature, beyond, joint, tile, stride, n_rows, n_features, center, rscale, cut, mean,
                      factor, 1);
    else
        all_rows_join(deviation, feature, beyond, joint, tile, stride, n_rows, n_features, center, rscale, cut, mean,
                      factor, 0);
}

void avvik__joint_peers_avx2(float *joint, const float *tile, size_t stride, size_t n_rows, size_t n_features,
                             const uint32_t *table, const float *tables)
{
    all_rows_join_peers(joint, tile, stride, n_rows, n_features, table, tables);
}

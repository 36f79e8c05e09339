/* What deviation_avx2.c and deviation_avx512.c share: the joint deviation with rows in lanes, two registers of them
 * side by side, of a width that the including file's flags decide. The operations are deviation_scalar.c's, one by one.
 *
 * As many of a panel's sums as registers hold are formed at once; a weight that is loaded serves both registers of
 * rows. */
#ifndef AVVIK_DEVIATION_X86_H
#define AVVIK_DEVIATION_X86_H

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "unroll.h"

#if defined(__AVX512F__)
typedef __m512 float_lanes;
#define DEVIATION_ROWS 16
#define JOINT_SUMS 8 /* of a panel at once, for two registers of rows */
#define V(operation) _mm512_##operation
#define V_BITS(x) _mm512_castps_si512(x)
#define V_KEEP(x, size, least) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(size, least, _CMP_NLT_UQ), x) /* else 0 */
#else
typedef __m256 float_lanes;
#define DEVIATION_ROWS 8
#define JOINT_SUMS 4
#define V(operation) _mm256_##operation
#define V_BITS(x) _mm256_castps_si256(x)
#define V_KEEP(x, size, least) _mm256_and_ps(_mm256_cmp_ps(size, least, _CMP_NLT_UQ), x)
#endif
#define V_AT_LEAST(x, least) V_KEEP(x, x, least) /* or NaN, else 0 */
#define JOINT_ROWS (2 * DEVIATION_ROWS)
#define JOINT_ABREAST 4 /* rows, each with a table of its own */

/* Can x - center be a denormal for any feature? Only near a center that is tiny itself: x - c is a multiple of the last
 * place of the smaller one, which for |c| >= 2^-102 and x within a factor of 2 is at least FLT_MIN; and x, if c is 0,
 * is no denormal. Elsewhere differences need no flushing. */
static inline int is_any_center_tiny(const float *center, size_t n_features)
{
    int is_tiny = 0;
    for (size_t f = 0; f < n_features; f++)
        is_tiny |= center[f] != 0 && fabsf(center[f]) < 0x1p-102f;
    return is_tiny;
}

/* How far each row is from the mean on the scale of the signed logarithm; size: |z|. Neither need be flushed: a |z|
 * that should be 0 vanishes beside 1, and of NaN and 0 the maximum is 0. */
static inline __attribute__((always_inline)) float_lanes joint_apart(float_lanes z, float_lanes size, float_lanes mean)
{
    const float_lanes one = V(set1_ps)(1.0f), sign = V(set1_ps)(-0.0f);
    const float_lanes one_more = V(add_ps)(V(max_ps)(size, V(setzero_ps)()), one);
    const float_lanes log = V(cvtepi32_ps)(V(sub_epi32)(V_BITS(one_more), V_BITS(one)));
    return V(sub_ps)(V(or_ps)(log, V(and_ps)(z, sign)), mean);
}

/* Rows [first, first + JOINT_SUMS) of the factor times `apart`; their squares are added to `squares`. */
static inline __attribute__((always_inline)) void joint_sums(float_lanes (*squares)[2], const float *apart,
                                                             size_t first, const float *factor)
{
    float_lanes sum[JOINT_SUMS][2];
    AVVIK_UNROLL
    for (size_t i = 0; i < JOINT_SUMS; i++)
        sum[i][0] = sum[i][1] = V(setzero_ps)();
#define ADD_PRODUCTS(f, from)                                                                                          \
    do {                                                                                                               \
        const float_lanes a = V(load_ps)(apart + (f)*JOINT_ROWS);                                                      \
        const float_lanes b = V(load_ps)(apart + (f)*JOINT_ROWS + DEVIATION_ROWS);                                     \
        AVVIK_UNROLL                                                                                                   \
        for (size_t i = from; i < JOINT_SUMS; i++) {                                                                   \
            const float_lanes weight = V(set1_ps)(factor[(f)*AVVIK_JOINT_PANEL + i]);                                  \
            sum[i][0] = V(fmadd_ps)(weight, a, sum[i][0]);                                                             \
            sum[i][1] = V(fmadd_ps)(weight, b, sum[i][1]);                                                             \
        }                                                                                                              \
    } while (0)
    for (size_t f = 0; f < first; f++)
        ADD_PRODUCTS(f, 0);
    AVVIK_UNROLL
    for (size_t j = 0; j < JOINT_SUMS; j++) /* the triangle at the end */
        ADD_PRODUCTS(first + j, j);
#undef ADD_PRODUCTS
    AVVIK_UNROLL
    for (size_t i = 0; i < JOINT_SUMS; i++) {
        squares[i][0] = V(fmadd_ps)(sum[i][0], sum[i][0], squares[i][0]);
        squares[i][1] = V(fmadd_ps)(sum[i][1], sum[i][1], squares[i][1]);
    }
}

/* The joint deviations of n rows (at most JOINT_ROWS) from their `apart`, [feature][JOINT_ROWS], 64-byte aligned. */
static inline __attribute__((always_inline)) void joint_distances(float *joint, size_t n, const float *apart,
                                                                  size_t n_features, const float *factor)
{
    const float_lanes least = V(set1_ps)(AVVIK_JOINT_LEAST);
    float_lanes squares[AVVIK_JOINT_PANEL][2];
    float lanes[JOINT_ROWS] __attribute__((aligned(64)));
    AVVIK_UNROLL
    for (size_t i = 0; i < AVVIK_JOINT_PANEL; i++)
        squares[i][0] = squares[i][1] = V(setzero_ps)();
    for (size_t i = 0; i < n_features; factor += (i += AVVIK_JOINT_PANEL) * AVVIK_JOINT_PANEL) {
        AVVIK_UNROLL
        for (size_t part = 0; part < AVVIK_JOINT_PANEL; part += JOINT_SUMS)
            joint_sums(squares + part, apart, i + part, factor + part);
    }
    AVVIK_UNROLL
    for (size_t half = AVVIK_JOINT_PANEL / 2; half > 0; half /= 2) {
        AVVIK_UNROLL
        for (size_t i = 0; i < half; i++) {
            squares[i][0] = V(add_ps)(squares[i][0], squares[i + half][0]);
            squares[i][1] = V(add_ps)(squares[i][1], squares[i + half][1]);
        }
    }
    V(store_ps)(lanes, V_AT_LEAST(squares[0][0], least));
    V(store_ps)(lanes + DEVIATION_ROWS, V_AT_LEAST(squares[0][1], least));
    memcpy(joint, lanes, n * sizeof *lanes);
}

/* n rows, at most DEVIATION_ROWS, from `tile` on. Without peers the values are transposed and then measured, a feature
 * at a time. With peers (group is not NULL) each row is measured with what its group has, and the z-scores are
 * transposed. Both ways lane r has row r in the end. flushes: differences may be denormals. If `apart` is not NULL, it
 * gets feature f's at [f][JOINT_ROWS]. */
static inline __attribute__((always_inline)) void rows_measure(float *deviation, uint16_t *feature, uint16_t *beyond,
                                                               const float *tile, size_t stride, size_t n,
                                                               size_t n_features, const uint32_t *group,
                                                               const float *center, const float *rscale, float cut,
                                                               int flushes, float *apart, const float *mean);

static inline __attribute__((always_inline)) void all_rows_measure(float *deviation, uint16_t *feature,
                                                                   uint16_t *beyond, const float *tile, size_t stride,
                                                                   size_t n_rows, size_t n_features,
                                                                   const uint32_t *group, const float *center,
                                                                   const float *rscale, float cut, int flushes)
{
    for (size_t r = 0; r < n_rows; r += DEVIATION_ROWS)
        rows_measure(deviation + r, feature + r, beyond + r, tile + r * stride, stride,
                     n_rows - r < DEVIATION_ROWS ? n_rows - r : DEVIATION_ROWS, n_features,
                     group == NULL ? NULL : group + r, center, rscale, cut, flushes, NULL, NULL);
}

static inline __attribute__((always_inline)) void all_rows_join(float *deviation, uint16_t *feature, uint16_t *beyond,
                                                                float *joint, const float *tile, size_t stride,
                                                                size_t n_rows, size_t n_features, const float *center,
                                                                const float *rscale, float cut, const float *mean,
                                                                const float *factor, int flushes)
{
    float apart[AVVIK_JOINT_FEATURES * JOINT_ROWS] __attribute__((aligned(64)));
    memset(apart, 0, sizeof apart); /* also what is not a feature, or not a row */
    for (size_t first = 0; first < n_rows; first += JOINT_ROWS) {
        const size_t n = n_rows - first < JOINT_ROWS ? n_rows - first : JOINT_ROWS;
        for (size_t half = 0; half < n; half += DEVIATION_ROWS)
            rows_measure(deviation + first + half, feature + first + half, beyond + first + half,
                         tile + (first + half) * stride, stride, n - half < DEVIATION_ROWS ? n - half : DEVIATION_ROWS,
                         n_features, NULL, center, rscale, cut, flushes, apart + half, mean);
        joint_distances(joint + first, n, apart, n_features, factor);
    }
}

/* How far each feature of a row is from the mean of its table, features in lanes; `apart` is 64-byte aligned. */
static inline void row_apart(float *apart, const float *row, size_t stride, size_t n_features, const float *table)
{
    const float_lanes tiny = V(set1_ps)(FLT_MIN), sign = V(set1_ps)(-0.0f);
    const float *center = table, *rscale = center + stride, *mean = rscale + stride;
    for (size_t f = 0; f < n_features; f += DEVIATION_ROWS) {
        const float_lanes d = V(sub_ps)(V(load_ps)(row + f), V(load_ps)(center + f));
        const float_lanes kept = V_KEEP(d, V(andnot_ps)(sign, d), tiny), z = V(mul_ps)(kept, V(load_ps)(rscale + f));
        V(store_ps)(apart + f, joint_apart(z, V(andnot_ps)(sign, z), V(load_ps)(mean + f)));
    }
}

/* The 8 partial sums of squares, added in halves. */
static inline float squares_add(__m256 squares)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(squares), _mm256_extractf128_ps(squares, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    const float joint = _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    return joint < AVVIK_JOINT_LEAST ? 0 : joint;
}

/* Rows that are measured with different tables: the factor is read as it lies, panel by panel, with its rows in lanes,
 * and costs the same whatever the neighbours' is. The zeros above the diagonal add nothing. Several rows abreast,
 * because each is a chain of sums that wait for each other. */
static inline void all_rows_join_peers(float *joint, const float *tile, size_t stride, size_t n_rows, size_t n_features,
                                       const uint32_t *table, const float *tables)
{
    float apart[JOINT_ABREAST][AVVIK_JOINT_FEATURES] __attribute__((aligned(64)));
    for (size_t first = 0; first < n_rows; first += JOINT_ABREAST) {
        const size_t n = n_rows - first < JOINT_ABREAST ? n_rows - first : JOINT_ABREAST;
        const float *factor[JOINT_ABREAST];
        __m256 squares[JOINT_ABREAST];
        AVVIK_UNROLL
        for (size_t i = 0; i < JOINT_ABREAST; i++) {
            const size_t row = first + (i < n ? i : n - 1);
            const float *own = tables + table[row] * AVVIK_JOINT_TABLE(stride, n_features);
            row_apart(apart[i], tile + row * stride, stride, n_features, own);
            factor[i] = own + 3 * stride;
            squares[i] = _mm256_setzero_ps();
        }
        for (size_t end = AVVIK_JOINT_PANEL, at = 0; end < n_features + AVVIK_JOINT_PANEL; end += AVVIK_JOINT_PANEL) {
            __m256 sum[JOINT_ABREAST];
            AVVIK_UNROLL
            for (size_t i = 0; i < JOINT_ABREAST; i++)
                sum[i] = _mm256_setzero_ps();
            for (size_t f = 0; f < end; f++, at += AVVIK_JOINT_PANEL) {
                AVVIK_UNROLL
                for (size_t i = 0; i < JOINT_ABREAST; i++)
                    sum[i] = _mm256_fmadd_ps(_mm256_load_ps(factor[i] + at), _mm256_set1_ps(apart[i][f]), sum[i]);
            }
            AVVIK_UNROLL
            for (size_t i = 0; i < JOINT_ABREAST; i++)
                squares[i] = _mm256_fmadd_ps(sum[i], sum[i], squares[i]);
        }
        for (size_t i = 0; i < n; i++)
            joint[first + i] = squares_add(squares[i]);
    }
}

#endif

/* What joint_sums_avx2.c and joint_sums_avx512.c share, of a width that the including file's flags decide: rows in
 * lanes. */
#ifndef AVVIK_JOINT_SUMS_X86_H
#define AVVIK_JOINT_SUMS_X86_H

#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels.h"
#include "unroll.h"

#if defined(__AVX512F__)
typedef __m512d double_lanes;
#define LANES 8
#define D(operation) _mm512_##operation
#define ROUND(x) _mm512_roundscale_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
static inline double lanes_largest(double_lanes x)
{
    return _mm512_reduce_max_pd(x);
}
#else
typedef __m256d double_lanes;
#define LANES 4
#define D(operation) _mm256_##operation
#define ROUND(x) _mm256_round_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
static inline double lanes_largest(double_lanes x)
{
    const __m128d two = _mm_max_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_max_sd(two, _mm_unpackhi_pd(two, two)));
}
#endif

/* Signed logarithms of 8 values in steps of 2^-23, as floats; 0 for NaN and infinities. */
static inline __m256 logs_of(__m256 x, __m256 center, __m256 rscale)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), tiny = _mm256_set1_ps(FLT_MIN), one = _mm256_set1_ps(1.0f);
    const __m256 is_finite = _mm256_cmp_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(FLT_MAX), _CMP_LE_OQ);
    const __m256 clean = _mm256_and_ps(x, _mm256_cmp_ps(_mm256_andnot_ps(sign, x), tiny, _CMP_NLT_UQ));
    const __m256 d = _mm256_sub_ps(clean, center);
    const __m256 kept = _mm256_and_ps(d, _mm256_cmp_ps(_mm256_andnot_ps(sign, d), tiny, _CMP_NLT_UQ));
    const __m256 z = _mm256_and_ps(is_finite, _mm256_mul_ps(kept, rscale));
    /* A |z| that should be 0 vanishes beside 1, and of NaN and 0 the maximum is 0. */
    const __m256 size = _mm256_max_ps(_mm256_andnot_ps(sign, z), _mm256_setzero_ps());
    const __m256i steps = _mm256_sub_epi32(_mm256_castps_si256(_mm256_add_ps(size, one)), _mm256_castps_si256(one));
    return _mm256_or_ps(_mm256_cvtepi32_ps(steps), _mm256_and_ps(z, sign));
}

/* Those of x in whole steps, and never -0. */
static inline void logs_store(double *values, __m256 x, __m256 center, __m256 rscale, double_lanes *largest)
{
    const double_lanes sign = D(set1_pd)(-0.0), step = D(set1_pd)(AVVIK_SUMS_LOG / 0x1p23);
    const __m256 logs = logs_of(x, center, rscale);
#if LANES == 8
    const double_lanes wide[1] = {_mm512_cvtps_pd(logs)};
#else
    const double_lanes wide[2] = {_mm256_cvtps_pd(_mm256_castps256_ps128(logs)),
                                  _mm256_cvtps_pd(_mm256_extractf128_ps(logs, 1))};
#endif
    AVVIK_UNROLL
    for (size_t i = 0; i < 8 / LANES; i++) {
        const double_lanes value = D(add_pd)(ROUND(D(mul_pd)(wide[i], step)), D(setzero_pd)());
        *largest = D(max_pd)(*largest, D(andnot_pd)(sign, value));
        D(storeu_pd)(values + i * LANES, value);
    }
}

static inline double joint_logs(double *values, const float *x, size_t n_rows, float center, float rscale)
{
    const __m256 centers = _mm256_set1_ps(center), rscales = _mm256_set1_ps(rscale);
    const size_t n_whole = n_rows / 8 * 8;
    double_lanes largest = D(setzero_pd)();
    double left[8];
    for (size_t r = 0; r < n_whole; r += 8)
        logs_store(values + r, _mm256_loadu_ps(x + r), centers, rscales, &largest);
    if (n_whole < n_rows) {
        float few[8] = {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN}; /* whose logarithms are 0 */
        memcpy(few, x + n_whole, (n_rows - n_whole) * sizeof *few);
        logs_store(left, _mm256_loadu_ps(few), centers, rscales, &largest);
        memcpy(values + n_whole, left, (n_rows - n_whole) * sizeof *left);
    }
    return lanes_largest(largest);
}

#endif

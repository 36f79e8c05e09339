/* Square transposes of floats in registers, for variants that see a tile by rows in one place and by columns in
 * another. v[i] lane j becomes v[j] lane i. */
#ifndef AVVIK_TRANSPOSE_X86_H
#define AVVIK_TRANSPOSE_X86_H

#include <immintrin.h>

#include "unroll.h"

/* 4x4 inside every 128-bit lane, of four registers `step` apart. */
#define AVVIK_TRANSPOSE_4X4(bits, v, i, step)                                                                          \
    do {                                                                                                               \
        const __m##bits low01 = _mm##bits##_unpacklo_ps(v[i], v[i + step]);                                            \
        const __m##bits high01 = _mm##bits##_unpackhi_ps(v[i], v[i + step]);                                           \
        const __m##bits low23 = _mm##bits##_unpacklo_ps(v[i + 2 * step], v[i + 3 * step]);                             \
        const __m##bits high23 = _mm##bits##_unpackhi_ps(v[i + 2 * step], v[i + 3 * step]);                            \
        v[i] = _mm##bits##_shuffle_ps(low01, low23, 0x44);                                                             \
        v[i + step] = _mm##bits##_shuffle_ps(low01, low23, 0xee);                                                      \
        v[i + 2 * step] = _mm##bits##_shuffle_ps(high01, high23, 0x44);                                                \
        v[i + 3 * step] = _mm##bits##_shuffle_ps(high01, high23, 0xee);                                                \
    } while (0)

#if defined(__AVX512F__)
static inline __attribute__((always_inline)) void avvik__transpose_16x16(__m512 v[16])
{
    AVVIK_TRANSPOSE_4X4(512, v, 0, 1);
    AVVIK_TRANSPOSE_4X4(512, v, 4, 1);
    AVVIK_TRANSPOSE_4X4(512, v, 8, 1);
    AVVIK_TRANSPOSE_4X4(512, v, 12, 1);
    AVVIK_UNROLL
    for (int i = 0; i < 4; i++) { /* now the 4x4 matrix of 128-bit lanes */
        const __m512 low0 = _mm512_shuffle_f32x4(v[i], v[i + 4], 0x88);
        const __m512 low1 = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0x88);
        const __m512 high0 = _mm512_shuffle_f32x4(v[i], v[i + 4], 0xdd);
        const __m512 high1 = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0xdd);
        v[i] = _mm512_shuffle_f32x4(low0, low1, 0x88);
        v[i + 4] = _mm512_shuffle_f32x4(high0, high1, 0x88);
        v[i + 8] = _mm512_shuffle_f32x4(low0, low1, 0xdd);
        v[i + 12] = _mm512_shuffle_f32x4(high0, high1, 0xdd);
    }
}
#else
static inline __attribute__((always_inline)) void avvik__transpose_8x8(__m256 v[8])
{
    AVVIK_TRANSPOSE_4X4(256, v, 0, 1);
    AVVIK_TRANSPOSE_4X4(256, v, 4, 1);
    AVVIK_UNROLL
    for (int i = 0; i < 4; i++) { /* now the 2x2 matrix of 128-bit lanes */
        const __m256 low = _mm256_permute2f128_ps(v[i], v[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x31);
        v[i] = low;
    }
}
#endif
#endif

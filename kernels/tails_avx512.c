/* AVX-512 tails: 64 rows at a time, whose values of one feature are four registers that share the feature's table,
 * which is 14 registers. All levels of the search are permutes, and so is the number at its end (kernels/README.md,
 * "Tails").
 */
#include <string.h>

#include "byte_ranks_avx512.h"
#include "kernels.h"

#define PARTS 4 /* registers of rows */
#define ROWS (16 * PARTS)

ALWAYS_INLINE __m512i bits_of(__m512 x, const struct avvik__tail_table *table)
{
    const float *level = table->level;
    const __m512i *bits = (const __m512i *)(const void *)table->bits;
    __m512i path = _mm512_setzero_si512();
    search_step(&path, x, _mm512_set1_ps(level[1]), 0);
    AVVIK_UNROLL
    for (unsigned step = 1; step < 5; step++)
        search_step(&path, x, _mm512_permutexvar_ps(path, _mm512_loadu_ps(level + (1 << step))), step);
    const __mmask16 m5 = search_step(&path, x, of_32(level + 32, path), 5);
    const __mmask16 m6 =
        search_step(&path, x, _mm512_mask_blend_ps(m5, of_32(level + 64, path), of_32(level + 96, path)), 6);
    /* 16-bit words, of which every other one is that of a path: the others become 0. */
    const __mmask32 low = 0x55555555;
    return _mm512_mask_blend_epi32(m6, _mm512_maskz_permutex2var_epi16(low, bits[0], path, bits[1]),
                                   _mm512_maskz_permutex2var_epi16(low, bits[2], path, bits[3]));
}

void avvik__tails_avx512(int32_t *tails, const float *tile, size_t stride, size_t n_rows, size_t n_features,
                         const struct avvik__tail_table *tables)
{
    for (size_t first = 0; first < n_rows; first += ROWS) {
        const size_t n = n_rows - first < ROWS ? n_rows - first : ROWS;
        __m512i sum[PARTS] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                              _mm512_setzero_si512()};
        for (size_t block = 0; block < n_features; block += 16) {
            float columns[16][ROWS] __attribute__((aligned(64)));
            const size_t n_columns = n_features - block < 16 ? n_features - block : 16;
            for (size_t part = 0; part < PARTS; part++) {
                __m512 x[16];
                AVVIK_UNROLL
                for (size_t i = 0; i < 16; i++) {
                    const size_t row = 16 * part + i;
                    x[i] = _mm512_load_ps(tile + (first + (row < n ? row : n - 1)) * stride + block);
                }
                avvik__transpose_16x16(x);
                AVVIK_UNROLL
                for (size_t i = 0; i < 16; i++)
                    _mm512_store_ps(columns[i] + 16 * part, x[i]);
            }
            for (size_t i = 0; i < n_columns; i++) {
                AVVIK_UNROLL
                for (size_t part = 0; part < PARTS; part++)
                    sum[part] = _mm512_add_epi32(sum[part],
                                                 bits_of(_mm512_load_ps(columns[i] + 16 * part), &tables[block + i]));
            }
        }
        int32_t lanes[ROWS] __attribute__((aligned(64)));
        AVVIK_UNROLL
        for (size_t part = 0; part < PARTS; part++)
            _mm512_store_si512(lanes + 16 * part, sum[part]);
        memcpy(tails + first, lanes, n * sizeof *lanes);
    }
}

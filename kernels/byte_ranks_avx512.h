/* The first half of the byte walk: values become their ranks among a group's thresholds (kernels/README.md, "Byte
 * walk").
 */
#ifndef AVVIK_BYTE_RANKS_AVX512_H
#define AVVIK_BYTE_RANKS_AVX512_H

#include <immintrin.h>

#include "kernel_types.h"
#include "transpose_x86.h"
#include "unroll.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define SUB_ROWS 64 /* rows in lanes */

/* Rows of a tile as columns: columns[f * n_rows + i] for n_rows rows, a multiple of 64. In every 64 rows, row
 * 16 a + 4 b + c lies at 16 b + 4 a + c: the order that two packs turn into the rows' own. */
static inline void columns_from_tile(float *columns, const float *tile, size_t stride, size_t n_rows, size_t n_present,
                                     size_t n_features)
{
    for (size_t first = 0; first < n_rows; first += SUB_ROWS) {
        for (size_t b = 0; b < 4; b++) {
            for (size_t f = 0; f < n_features; f += 16) {
                __m512 x[16];
                AVVIK_UNROLL
                for (size_t i = 0; i < 16; i++) {
                    const size_t r = first + 16 * (i / 4) + 4 * b + i % 4;
                    x[i] = _mm512_load_ps(tile + (r < n_present ? r : n_present - 1) * stride + f);
                }
                avvik__transpose_16x16(x);
                AVVIK_UNROLL
                for (size_t i = 0; i < 16; i++)
                    _mm512_store_ps(columns + (f + i) * n_rows + first + 16 * b, x[i]);
            }
        }
    }
}

/* Reverse the bits of every byte. */
ALWAYS_INLINE __m512i reversed(__m512i v)
{
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i reverse = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15));
    const __m512i low = _mm512_shuffle_epi8(_mm512_slli_epi16(reverse, 4), _mm512_and_si512(v, nibble));
    return _mm512_or_si512(low, _mm512_shuffle_epi8(reverse, _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble)));
}

/* One step of the search: set bit `level` of the paths of values that are not below `threshold`. */
ALWAYS_INLINE __mmask16 search_step(__m512i *path, __m512 x, __m512 threshold, unsigned level)
{
    const __mmask16 above = _mm512_cmp_ps_mask(x, threshold, _CMP_GE_OQ);
    *path = _mm512_mask_or_epi32(*path, above, *path, _mm512_set1_epi32(1 << level));
    return above;
}

ALWAYS_INLINE __m512 of_32(const float *table, __m512i path)
{
    return _mm512_permutex2var_ps(_mm512_load_ps(table), path, _mm512_load_ps(table + 16));
}

ALWAYS_INLINE __m512i search(__m512 x, const struct avvik__byte_search *s, uint32_t n_steps)
{
    __m512i path = _mm512_setzero_si512();
    search_step(&path, x, _mm512_set1_ps(s->level_0), 0);
    search_step(&path, x, _mm512_permutexvar_ps(path, _mm512_load_ps(s->level_1)), 1);
    search_step(&path, x, _mm512_permutexvar_ps(path, _mm512_load_ps(s->level_2)), 2);
    search_step(&path, x, _mm512_permutexvar_ps(path, _mm512_load_ps(s->level_3)), 3);
    if (n_steps == 4)
        return path;
    search_step(&path, x, _mm512_permutexvar_ps(path, _mm512_load_ps(s->level_4)), 4);
    const __mmask16 m5 = search_step(&path, x, of_32(s->level_5, path), 5);
    if (n_steps == 6)
        return path;
    const __m512 level_6 = _mm512_mask_blend_ps(m5, of_32(s->level_6, path), of_32(s->level_6 + 32, path));
    const __mmask16 m6 = search_step(&path, x, level_6, 6);
    if (n_steps == 7)
        return path;
    const __m512 low = _mm512_mask_blend_ps(m5, of_32(s->level_7, path), of_32(s->level_7 + 32, path));
    const __m512 high = _mm512_mask_blend_ps(m5, of_32(s->level_7 + 64, path), of_32(s->level_7 + 96, path));
    search_step(&path, x, _mm512_mask_blend_ps(m6, low, high), 7);
    return path;
}

/* Ranks of one column of a block, 64 bytes every `step` bytes; the values as columns_from_tile() leaves them. */
ALWAYS_INLINE void rank_column(uint8_t *ranks, size_t step, const float *column, size_t n_rows,
                               const struct avvik__byte_search *s, uint32_t n_steps)
{
    for (size_t first = 0; first < n_rows; first += SUB_ROWS, ranks += step) {
        __m512i path[4];
        AVVIK_UNROLL
        for (size_t i = 0; i < 4; i++)
            path[i] = search(_mm512_load_ps(column + first + 16 * i), s, n_steps);
        _mm512_store_si512(ranks, reversed(_mm512_packus_epi16(_mm512_packus_epi32(path[0], path[1]),
                                                               _mm512_packus_epi32(path[2], path[3]))));
    }
}

/* Ranks of a block: ranks[(sub * n_columns + f) * 64 + row]. A feature without thresholds keeps whatever ranks it has,
 * because no node that splits looks at them. */
static inline void rank_columns(uint8_t *ranks, size_t n_columns, const float *columns, size_t n_rows,
                                size_t n_features, const struct avvik__byte_search *searches)
{
    const size_t step = n_columns * SUB_ROWS;
    for (size_t f = 0; f < n_features; f++, ranks += SUB_ROWS, columns += n_rows) {
        switch (searches[f].n_steps) {
        case 0: break;
        case 4: rank_column(ranks, step, columns, n_rows, &searches[f], 4); break;
        case 6: rank_column(ranks, step, columns, n_rows, &searches[f], 6); break;
        case 7: rank_column(ranks, step, columns, n_rows, &searches[f], 7); break;
        default: rank_column(ranks, step, columns, n_rows, &searches[f], 8); break;
        }
    }
}

#endif

/* AVX-512: bringing columns or rows into a tile, and replacing what is missing. */
#include "kernels.h"
#include "transpose_x86.h"

#define IS_NAN 0x81 /* classes of vfpclassps */
#define IS_INFINITE 0x18
#define IS_ZERO 0x26 /* zeros and denormals */

/* What the tile holds for x; *odd: lanes that are NaN or infinite. */
static inline __m512 cleaned(__m512 x, __mmask16 *odd)
{
    *odd = _mm512_fpclass_ps_mask(x, IS_NAN | IS_INFINITE);
    x = _mm512_mask_mov_ps(x, _mm512_fpclass_ps_mask(x, IS_ZERO), _mm512_setzero_ps());
    return _mm512_mask_mov_ps(x, *odd, _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000)));
}

/* Columns side by side: 16 rows of 16 columns at a time, transposed in registers. */
static void pack_columns(float *tile, size_t stride, const float *values, size_t n_rows, size_t n_features,
                         size_t column_stride, uint64_t *nan_count, uint64_t *infinite_count)
{
    for (size_t first = 0; first < n_rows; first += 16) {
        const size_t n = n_rows - first < 16 ? n_rows - first : 16;
        const __mmask16 rows = (__mmask16)(0xffffu >> (16 - n));
        for (size_t block = 0; block < stride; block += 16) {
            __m512 x[16];
            AVVIK_UNROLL
            for (size_t i = 0; i < 16; i++) {
                const size_t f = block + i;
                x[i] = _mm512_setzero_ps();
                if (f >= n_features)
                    continue;
                const __m512 raw = _mm512_maskz_loadu_ps(rows, values + f * column_stride + first);
                __mmask16 odd;
                x[i] = cleaned(raw, &odd);
                if (__builtin_expect(odd, 0)) {
                    const __mmask16 nan = _mm512_fpclass_ps_mask(raw, IS_NAN);
                    nan_count[f] += (uint64_t)__builtin_popcount(nan);
                    infinite_count[f] += (uint64_t)__builtin_popcount(odd & ~(unsigned)nan);
                }
            }
            avvik__transpose_16x16(x);
            float *to = tile + first * stride + block;
            AVVIK_UNROLL
            for (size_t i = 0; i < 16; i++)
                if (i < n)
                    _mm512_store_ps(to + i * stride, x[i]);
        }
    }
}

/* Rows of adjacent values. */
static void pack_rows(float *tile, size_t stride, const float *values, size_t n_rows, size_t n_features,
                      size_t row_stride, uint64_t *nan_count, uint64_t *infinite_count)
{
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t block = 0; block < stride; block += 16) {
            const size_t n = n_features > block ? n_features - block : 0;
            const __mmask16 present = (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
            const __m512 raw = _mm512_maskz_loadu_ps(present, values + r * row_stride + (n ? block : 0));
            __mmask16 odd;
            _mm512_store_ps(tile + r * stride + block, cleaned(raw, &odd));
            const unsigned nan = _mm512_fpclass_ps_mask(raw, IS_NAN);
            for (unsigned left = odd; left != 0; left &= left - 1) {
                const unsigned lane = (unsigned)__builtin_ctz(left);
                nan_count[block + lane] += nan >> lane & 1;
                infinite_count[block + lane] += ~nan >> lane & 1;
            }
        }
    }
}

void avvik__tile_pack_avx512(float *tile, size_t stride, const float *values, size_t n_rows, size_t n_features,
                             size_t row_stride, size_t column_stride, uint64_t *nan_count, uint64_t *infinite_count)
{
    if (row_stride == 1)
        pack_columns(tile, stride, values, n_rows, n_features, column_stride, nan_count, infinite_count);
    else if (column_stride == 1)
        pack_rows(tile, stride, values, n_rows, n_features, row_stride, nan_count, infinite_count);
    else
        avvik__tile_pack_scalar(tile, stride, values, n_rows, n_features, row_stride, column_stride, nan_count,
                                infinite_count);
}

void avvik__fill_missing_avx512(float *tile, size_t stride, size_t n_rows, size_t n_features, const float *fill,
                                uint16_t *missing)
{
    for (size_t r = 0; r < n_rows; r++) {
        unsigned count = 0;
        for (size_t block = 0; block < n_features; block += 16) { /* the padding is not NaN */
            const __m512 x = _mm512_load_ps(tile + r * stride + block);
            const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
            if (nan) {
                _mm512_mask_store_ps(tile + r * stride + block, nan, _mm512_load_ps(fill + block));
                count += (unsigned)__builtin_popcount(nan);
            }
        }
        missing[r] = (uint16_t)count;
    }
}

/* AVX2: bringing columns or rows into a tile, and replacing what is missing. As tile_avx512.c, 8 by 8. */
#include <float.h>
#include <math.h>

#include "kernels.h"
#include "transpose_x86.h"

/* What the tile holds for x; *odd: bits of the lanes that are NaN or infinite. */
static inline __m256 cleaned(__m256 x, unsigned *odd)
{
    const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    const __m256 finite = _mm256_cmp_ps(magnitude, _mm256_set1_ps(INFINITY), _CMP_LT_OQ);
    const __m256 kept = _mm256_and_ps(x, _mm256_cmp_ps(magnitude, _mm256_set1_ps(FLT_MIN), _CMP_GE_OQ));
    *odd = (unsigned)_mm256_movemask_ps(finite) ^ 0xff;
    return _mm256_blendv_ps(_mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)), kept, finite);
}

static inline unsigned nan_bits(__m256 x)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

/* -1 in the first n lanes. */
static inline __m256i first_lanes(size_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), lane);
}

static void pack_columns(float *tile, size_t stride, const float *values, size_t n_rows, size_t n_features,
                         size_t column_stride, uint64_t *nan_count, uint64_t *infinite_count)
{
    for (size_t first = 0; first < n_rows; first += 8) {
        const size_t n = n_rows - first < 8 ? n_rows - first : 8;
        const __m256i rows = first_lanes(n);
        for (size_t block = 0; block < stride; block += 8) {
            __m256 x[8];
            AVVIK_UNROLL
            for (size_t i = 0; i < 8; i++) {
                const size_t f = block + i;
                x[i] = _mm256_setzero_ps();
                if (f >= n_features)
                    continue;
                const float *from = values + f * column_stride + first;
                const __m256 raw = n == 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, rows);
                unsigned odd;
                x[i] = cleaned(raw, &odd);
                if (__builtin_expect(odd != 0, 0)) {
                    const unsigned nan = nan_bits(raw);
                    nan_count[f] += (uint64_t)__builtin_popcount(nan);
                    infinite_count[f] += (uint64_t)__builtin_popcount(odd & ~nan);
                }
            }
            avvik__transpose_8x8(x);
            float *to = tile + first * stride + block;
            AVVIK_UNROLL
            for (size_t i = 0; i < 8; i++)
                if (i < n)
                    _mm256_store_ps(to + i * stride, x[i]);
        }
    }
}

static void pack_rows(float *tile, size_t stride, const float *values, size_t n_rows, size_t n_features,
                      size_t row_stride, uint64_t *nan_count, uint64_t *infinite_count)
{
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t block = 0; block < stride; block += 8) {
            const size_t n = n_features > block ? n_features - block : 0;
            const __m256 raw = _mm256_maskload_ps(values + r * row_stride + (n ? block : 0), first_lanes(n));
            unsigned odd;
            _mm256_store_ps(tile + r * stride + block, cleaned(raw, &odd));
            const unsigned nan = nan_bits(raw);
            for (unsigned left = odd; left != 0; left &= left - 1) {
                const unsigned lane = (unsigned)__builtin_ctz(left);
                nan_count[block + lane] += nan >> lane & 1;
                infinite_count[block + lane] += ~nan >> lane & 1;
            }
        }
    }
}

void avvik__tile_pack_avx2(float *tile, size_t stride, const float *values, size_t n_rows, size_t n_features,
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

void avvik__fill_missing_avx2(float *tile, size_t stride, size_t n_rows, size_t n_features, const float *fill,
                              uint16_t *missing)
{
    for (size_t r = 0; r < n_rows; r++) {
        unsigned count = 0;
        for (size_t block = 0; block < n_features; block += 8) { /* the padding is not NaN */
            float *at = tile + r * stride + block;
            const __m256 x = _mm256_load_ps(at), is_nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
            const unsigned nan = (unsigned)_mm256_movemask_ps(is_nan);
            if (nan) {
                _mm256_store_ps(at, _mm256_blendv_ps(x, _mm256_load_ps(fill + block), is_nan));
                count += (unsigned)__builtin_popcount(nan);
            }
        }
        missing[r] = (uint16_t)count;
    }
}

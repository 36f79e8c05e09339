/* Scalar reference: bringing rows into a tile, and replacing what is missing. */
#include <float.h>
#include <math.h>

#include "kernels.h"

void avvik__tile_pack_scalar(float *tile, size_t stride, const float *values, size_t n_rows, size_t n_features,
                             size_t row_stride, size_t column_stride, uint64_t *nan_count, uint64_t *infinite_count)
{
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t f = 0; f < n_features; f++) {
            float x = values[r * row_stride + f * column_stride];
            nan_count[f] += isnan(x) ? 1 : 0;
            infinite_count[f] += isinf(x) ? 1 : 0;
            if (!isfinite(x))
                x = __builtin_nanf("");
            else if (fabsf(x) < FLT_MIN)
                x = 0.0f;
            tile[r * stride + f] = x;
        }
        for (size_t f = n_features; f < stride; f++)
            tile[r * stride + f] = 0.0f;
    }
}

void avvik__fill_missing_scalar(float *tile, size_t stride, size_t n_rows, size_t n_features, const float *fill,
                                uint16_t *missing)
{
    for (size_t r = 0; r < n_rows; r++) {
        uint16_t count = 0;
        for (size_t f = 0; f < n_features; f++) {
            if (isnan(tile[r * stride + f])) {
                tile[r * stride + f] = fill[f];
                count++;
            }
        }
        missing[r] = count;
    }
}

/* Scalar reference: classical z-scores and their maximum (kernels/README.md, "Deviation"). */
#include <float.h>
#include <math.h>

#include "kernels.h"

static inline float flush(float x)
{
    return fabsf(x) < FLT_MIN ? 0.0f : x;
}

void avvik__deviation_scalar(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile, size_t stride,
                             size_t n_rows, size_t n_features, const float *mean, const float *rscale, float cut)
{
    for (size_t r = 0; r < n_rows; r++) {
        float largest = 0.0f;
        uint16_t attained_by = 0, n_beyond = 0;
        for (size_t f = 0; f < n_features; f++) {
            const float difference = flush(tile[r * stride + f] - mean[f]);
            const float z = fabsf(flush(difference * rscale[f]));
            if (z > largest) { /* false for NaN */
                largest = z;
                attained_by = (uint16_t)f;
            }
            if (z > cut)
                n_beyond++;
        }
        deviation[r] = largest;
        feature[r] = attained_by;
        beyond[r] = n_beyond;
    }
}

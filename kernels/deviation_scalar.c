/* Scalar reference: z-scores and their maximum (kernels/README.md, "Deviation"). */
#include <float.h>
#include <math.h>

#include "kernels.h"

static inline float flush(float x)
{
    return fabsf(x) < FLT_MIN ? 0.0f : x;
}

/* One row, measured with the center and rscale of each feature. */
static inline void row_measure(float *deviation, uint16_t *feature, uint16_t *beyond, const float *row,
                               size_t n_features, const float *center, const float *rscale, float cut)
{
    float largest = 0.0f;
    uint16_t attained_by = 0, n_beyond = 0;
    for (size_t f = 0; f < n_features; f++) {
        const float difference = flush(row[f] - center[f]);
        const float z = fabsf(flush(difference * rscale[f]));
        if (z > largest) { /* false for NaN */
            largest = z;
            attained_by = (uint16_t)f;
        }
        if (z > cut)
            n_beyond++;
    }
    *deviation = largest;
    *feature = attained_by;
    *beyond = n_beyond;
}

void avvik__deviation_scalar(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile, size_t stride,
                             size_t n_rows, size_t n_features, const float *center, const float *rscale, float cut)
{
    for (size_t r = 0; r < n_rows; r++)
        row_measure(deviation + r, feature + r, beyond + r, tile + r * stride, n_features, center, rscale, cut);
}

void avvik__deviation_peers_scalar(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile,
                                   size_t stride, size_t n_rows, size_t n_features, const uint32_t *group,
                                   const float *center, const float *rscale, float cut)
{
    for (size_t r = 0; r < n_rows; r++)
        row_measure(deviation + r, feature + r, beyond + r, tile + r * stride, n_features, center + group[r] * stride,
                    rscale + group[r] * stride, cut);
}

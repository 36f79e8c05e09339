/* Scalar reference: z-scores and their maximum (kernels/README.md, "Deviation"). */
#include <math.h>

#include "kernels.h"
#include "signed_log.h"

/* One row, measured with the center and rscale of each feature. */
static inline void row_measure(float *deviation, uint16_t *feature, uint16_t *beyond, const float *row,
                               size_t n_features, const float *center, const float *rscale, float cut)
{
    float largest = 0.0f;
    uint16_t attained_by = 0, n_beyond = 0;
    for (size_t f = 0; f < n_features; f++) {
        const float difference = avvik__flush(row[f] - center[f]);
        const float z = fabsf(avvik__flush(difference * rscale[f]));
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

static inline float row_join(const float *row, size_t n_features, const float *center, const float *rscale,
                             const float *mean, const float *factor)
{
    float apart[AVVIK_JOINT_FEATURES], squares[AVVIK_JOINT_PANEL] = {0};
    for (size_t f = 0; f < n_features; f++)
        apart[f] = avvik__signed_log(row[f], center[f], rscale[f]) * AVVIK_LOG_ONE - mean[f];
    for (size_t i = 0; i < n_features; i++) {
        float sum = 0;
        for (size_t f = 0; f <= i; f++)
            sum = fmaf(factor[AVVIK_JOINT_AT(i, f)], apart[f], sum);
        squares[i % AVVIK_JOINT_PANEL] = fmaf(sum, sum, squares[i % AVVIK_JOINT_PANEL]);
    }
    for (size_t half = AVVIK_JOINT_PANEL / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            squares[i] += squares[i + half];
    return squares[0] < AVVIK_JOINT_LEAST ? 0 : squares[0];
}

void avvik__deviation_joint_scalar(float *deviation, uint16_t *feature, uint16_t *beyond, float *joint,
                                   const float *tile, size_t stride, size_t n_rows, size_t n_features,
                                   const float *center, const float *rscale, float cut, const float *mean,
                                   const float *factor)
{
    avvik__deviation_scalar(deviation, feature, beyond, tile, stride, n_rows, n_features, center, rscale, cut);
    for (size_t r = 0; r < n_rows; r++)
        joint[r] = row_join(tile + r * stride, n_features, center, rscale, mean, factor);
}

void avvik__joint_peers_scalar(float *joint, const float *tile, size_t stride, size_t n_rows, size_t n_features,
                               const uint32_t *table, const float *tables)
{
    for (size_t r = 0; r < n_rows; r++) {
        const float *own = tables + table[r] * AVVIK_JOINT_TABLE(stride, n_features);
        joint[r] = row_join(tile + r * stride, n_features, own, own + stride, own + 2 * stride, own + 3 * stride);
    }
}

/* The joint deviation of 64 rows at a time, a row a lane: each operation of joint_scalar.c over all lanes, which a
 * compiler turns into vectors of whatever width the including file is built for. Four vectors of 16 hide one another's
 * latency, and share each broadcast of a weight. */
#ifndef AVVIK_JOINT_LANES_H
#define AVVIK_JOINT_LANES_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels.h"

#define AVVIK_JOINT_LANES 64

/* signed_log(z) - mean of one column of n rows; the other lanes hold what the column would give for 0. */
static inline void avvik__joint_column(float *apart, const float *column, size_t n, float center, float rscale,
                                       float mean)
{
    float x[AVVIK_JOINT_LANES] = {0}, z[AVVIK_JOINT_LANES], one_more[AVVIK_JOINT_LANES];
    int32_t bits[AVVIK_JOINT_LANES];
    memcpy(x, column, n * sizeof *x);
    for (size_t l = 0; l < AVVIK_JOINT_LANES; l++) {
        const float kept = fabsf(x[l]) < FLT_MIN ? 0.0f : x[l];
        const float difference = kept - center;
        const float scaled = (fabsf(difference) < FLT_MIN ? 0.0f : difference) * rscale;
        const float flushed = fabsf(scaled) >= FLT_MIN ? scaled : 0.0f; /* NaN becomes 0 */
        z[l] = fabsf(x[l]) <= FLT_MAX ? flushed : 0.0f;
        one_more[l] = 1.0f + fabsf(z[l]);
    }
    memcpy(bits, one_more, sizeof bits);
    for (size_t l = 0; l < AVVIK_JOINT_LANES; l++) {
        const float log = (float)(bits[l] - 0x3f800000) * 0x1p-23f;
        apart[l] = (z[l] < 0 ? -log : log) - mean;
    }
}

static inline void avvik__joint_rows(float *joint, const float *values, size_t column_stride, size_t n_rows,
                                     size_t n_features, const float *center, const float *rscale, const float *mean,
                                     const float *factor)
{
    float apart[AVVIK_JOINT_FEATURES][AVVIK_JOINT_LANES];
    for (size_t first = 0; first < n_rows; first += AVVIK_JOINT_LANES) {
        const size_t n = n_rows - first < AVVIK_JOINT_LANES ? n_rows - first : AVVIK_JOINT_LANES;
        float sum[AVVIK_JOINT_LANES] = {0};
        const float *weight = factor;
        for (size_t f = 0; f < n_features; f++)
            avvik__joint_column(apart[f], values + f * column_stride + first, n, center[f], rscale[f], mean[f]);
        for (size_t i = 0; i < n_features; i++) {
            float whitened[AVVIK_JOINT_LANES] = {0};
            for (size_t f = 0; f <= i; f++, weight++)
                for (size_t l = 0; l < AVVIK_JOINT_LANES; l++)
                    whitened[l] += *weight * apart[f][l];
            for (size_t l = 0; l < AVVIK_JOINT_LANES; l++)
                sum[l] += whitened[l] * whitened[l];
        }
        memcpy(joint + first, sum, n * sizeof *sum);
    }
}

#endif

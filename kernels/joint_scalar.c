/* Scalar reference: the joint deviation of rows (kernels/README.md, "Joint deviation"). */
#include "kernels.h"
#include "signed_log.h"

void avvik__joint_scalar(float *joint, const float *values, size_t column_stride, size_t n_rows, size_t n_features,
                         const float *center, const float *rscale, const float *mean, const float *factor)
{
    for (size_t r = 0; r < n_rows; r++) {
        float apart[AVVIK_JOINT_FEATURES], sum = 0;
        const float *weight = factor;
        for (size_t f = 0; f < n_features; f++)
            apart[f] = avvik__signed_log(values[f * column_stride + r], center[f], rscale[f]) - mean[f];
        for (size_t i = 0; i < n_features; i++) {
            float whitened = 0;
            for (size_t f = 0; f <= i; f++)
                whitened += *weight++ * apart[f];
            sum += whitened * whitened;
        }
        joint[r] = sum;
    }
}

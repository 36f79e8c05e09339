/* Joint deviation, 64 rows at a time in AVX-512 registers. */
#include "joint_lanes.h"

void avvik__joint_avx512(float *joint, const float *values, size_t column_stride, size_t n_rows, size_t n_features,
                         const float *center, const float *rscale, const float *mean, const float *factor)
{
    avvik__joint_rows(joint, values, column_stride, n_rows, n_features, center, rscale, mean, factor);
}

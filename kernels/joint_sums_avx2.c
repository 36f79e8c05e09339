/* joint_sums_x86.h in registers of 256 bits. */
#include "joint_sums_x86.h"

double avvik__joint_logs_avx2(double *values, const float *x, size_t n_rows, float center, float rscale)
{
    return joint_logs(values, x, n_rows, center, rscale);
}

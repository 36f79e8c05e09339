/* Scalar reference: what the covariance of a group's signed logarithms is summed up from (kernels/README.md, "Joint
 * deviation"). */
#include <math.h>

#include "kernels.h"
#include "signed_log.h"

double avvik__joint_logs_scalar(double *values, const float *x, size_t n_rows, float center, float rscale)
{
    double largest = 0;
    for (size_t r = 0; r < n_rows; r++) {
        values[r] = rint((double)avvik__signed_log(x[r], center, rscale) * AVVIK_SUMS_LOG) + 0.0; /* not -0 */
        largest = fmax(largest, fabs(values[r]));
    }
    return largest;
}

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

void avvik__joint_products_scalar(int64_t *products, const double (*columns)[AVVIK_SUMS_ROWS], size_t n_columns,
                                  size_t n_rows)
{
    for (size_t i = 0; i < n_columns; i++)
        for (size_t j = 0; j <= i; j++, products++) {
            double sum = 0;
            for (size_t r = 0; r < n_rows; r++)
                sum += columns[i][r] * columns[j][r];
            *products += (int64_t)sum;
        }
}

/* Scalar reference: moments of a block of one column (kernels/README.md, "Statistics"). */
#include <float.h>
#include <math.h>

#include "kernels.h"

void avvik__statistics_scalar(struct avvik__moments *moments, const float *column, size_t n_rows)
{
    double sum[AVVIK_LANES] = {0}, squares[AVVIK_LANES] = {0}, pivot = 0;
    *moments = (struct avvik__moments){0};
    for (size_t i = 0; i < n_rows; i++) {
        if (!isfinite(column[i])) {
            moments->n_nan += isnan(column[i]) ? 1 : 0;
            moments->n_infinite += isinf(column[i]) ? 1 : 0;
            continue;
        }
        const float x = fabsf(column[i]) < FLT_MIN ? 0.0f : column[i];
        if (moments->n++ == 0) {
            pivot = x;
            moments->min = moments->max = x;
        }
        moments->min = x < moments->min ? x : moments->min;
        moments->max = x > moments->max ? x : moments->max;
        const double d = x - pivot;
        sum[i % AVVIK_LANES] += d;
        squares[i % AVVIK_LANES] += d * d;
    }
    if (moments->n == 0)
        return;
    double total = 0, total_squares = 0;
    for (int lane = 0; lane < AVVIK_LANES; lane++) {
        total += sum[lane];
        total_squares += squares[lane];
    }
    const double m2 = total_squares - total * total / moments->n;
    moments->mean = pivot + total / moments->n;
    moments->m2 = m2 > 0 ? m2 : 0;
}

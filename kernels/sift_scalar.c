/* Scalar reference: what a search for a median keeps of a column (kernels/README.md, "Medians"). */
#include <float.h>
#include <math.h>

#include "kernels.h"

size_t avvik__sift_scalar(float *kept, struct avvik__sift_counts *counts, const float *column, size_t n_rows,
                          const struct avvik__sieve *sieve)
{
    size_t n = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const float x = fabsf(column[i]) < FLT_MIN ? 0.0f : column[i];
        if (!(fabsf(x) <= FLT_MAX))
            continue;
        if (x == sieve->tie)
            counts->ties++;
        else if (x < sieve->first)
            counts->below++;
        else if (x > sieve->last)
            counts->above++;
        else if (x > sieve->low_last && x < sieve->middle_first)
            counts->low_gap++;
        else if (x > sieve->middle_last && x < sieve->high_first)
            counts->high_gap++;
        else
            kept[n++] = x;
    }
    return n;
}

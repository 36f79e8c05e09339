/* Scalar reference: rows of a column dealt out (kernels/README.md, "Medians"). */
#include <float.h>
#include <math.h>

#include "kernels.h"

void avvik__deal_scalar(float *values, const float *column, const uint16_t *order, const uint32_t *starts,
                        const uint32_t *places, size_t n_hands)
{
    for (size_t h = 0; h < n_hands; h++)
        for (uint32_t i = starts[h]; i < starts[h + 1]; i++) {
            const float x = column[order[i]];
            values[places[h] + (i - starts[h])] = fabsf(x) < FLT_MIN ? 0.0f : x;
        }
}

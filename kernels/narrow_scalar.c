/* Scalar reference: values of a window (kernels/README.md, "Medians"). */
#include <float.h>
#include <math.h>

#include "kernels.h"

size_t avvik__narrow_scalar(float *kept, size_t *below, const float *values, size_t n_values, int is_distance,
                            float center, float low, float high)
{
    size_t n = 0, n_below = 0;
    for (size_t i = 0; i < n_values; i++) {
        float x = values[i];
        if (is_distance) {
            x = fabsf(x - center);
            x = x < FLT_MIN ? 0 : x > FLT_MAX ? FLT_MAX : x;
        }
        kept[n] = x;
        n += x >= low && x <= high;
        n_below += x < low;
    }
    *below += n_below;
    return n;
}

/* A value on the scale of the joint deviation: the signed logarithm of its z-score (kernels/README.md). */
#ifndef AVVIK_SIGNED_LOG_H
#define AVVIK_SIGNED_LOG_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float avvik__flush(float x)
{
    return fabsf(x) < FLT_MIN ? 0.0f : x;
}

#define AVVIK_LOG_ONE 0x1p23f /* the logarithm of 2 in the steps that kernels count in */

/* sign(z) log2(1 + |z|), a multiple of 2^-23, linear between powers of two: exponent and mantissa of a float, read as one
 * integer, are its logarithm (Mitchell 1962). 0 where x is NaN or infinite. */
static inline float avvik__signed_log(float x, float center, float rscale)
{
    const float z = avvik__flush(avvik__flush(avvik__flush(x) - center) * rscale);
    const float kept = isfinite(x) && !isnan(z) ? z : 0.0f, one_more = 1.0f + fabsf(kept);
    int32_t bits;
    memcpy(&bits, &one_more, sizeof bits);
    return copysignf((float)(bits - 0x3f800000) / AVVIK_LOG_ONE, kept);
}

#endif

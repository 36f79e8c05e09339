/* How rare something is, in bits: by the same operations on every machine. */
#ifndef AVVIK_BITS_H
#define AVVIK_BITS_H

#include <math.h>

/* -log2(p), 0 < p <= 1, from IEEE operations alone: the C library's differs from machine to machine in the last bit.
 * p = 2^e m with m in [1/sqrt 2, sqrt 2), and ln m = 2 artanh((m - 1) / (m + 1)), a series in t^2 <= 0.0295. */
static inline double avvik__bits_of(double p)
{
    int exponent;
    double m = frexp(p, &exponent), sum = 0;
    if (m < 0.70710678118654752440) {
        m *= 2;
        exponent--;
    }
    const double t = (m - 1) / (m + 1), square = t * t;
    for (int i = 21; i >= 1; i -= 2)
        sum = sum * square + 1.0 / i;
    return -(exponent + 2 * t * sum * 1.44269504088896340736);
}

#endif

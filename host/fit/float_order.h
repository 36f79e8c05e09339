/* Floats by their bits, whose order as unsigned integers is the order of the numbers; and the smallest of many. */
#ifndef AVVIK_FLOAT_ORDER_H
#define AVVIK_FLOAT_ORDER_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

/* The bits of a float (no NaN) in the order of the numbers: negative ones turned over, positive ones above them. */
static inline uint32_t avvik__float_key(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ ((uint32_t) - (int32_t)(bits >> 31) | 0x80000000u);
}

static inline float avvik__float_of_key(uint32_t key)
{
    const uint32_t bits = key >> 31 ? key ^ 0x80000000u : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* What is below FLT_MIN is 0, everywhere in avvik. */
static inline float avvik__flush(float x)
{
    return fabsf(x) < FLT_MIN ? 0.0f : x;
}

/* How far x is from the center: the difference that the z-score takes, without its sign; FLT_MAX where it overflows. */
static inline float avvik__distance(float x, float center)
{
    const float distance = fabsf(avvik__flush(x - center));
    return distance > FLT_MAX ? FLT_MAX : distance;
}

/* The middle of two floats, a <= b, as NumPy has it: rounded once. */
static inline float avvik__middle(float a, float b)
{
    return avvik__flush((float)(((double)a + b) / 2));
}

/* Sort n values (finite, no -0.0; fewer than 2^32), a digit of the key at a time from the lowest on. scratch holds n
 * more. */
void avvik__float_sort(float *values, float *scratch, size_t n);

/* Neighbours in the order of n values. */
struct avvik__neighbours {
    float at, next; /* number `rank`, counted from 0, and number rank + 1; `at` again where it is the last */
};

/* Of n finite values without -0.0, or (is_distance) of their distances from the center: keeps what lies in windows that
 * a few values promise, and counts on the bits where they lied. rank < n; scratch holds 2 (n + AVVIK_LANES). */
struct avvik__neighbours avvik__float_select(const float *values, size_t n, size_t rank, int is_distance, float center,
                                             const struct avvik__kernels *kernels, float *scratch);

#endif

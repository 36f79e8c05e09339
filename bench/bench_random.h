/* Numbers for benchmarks: a value depends on seed, row and column only, so that blocks of a table can be made in any
 * order and on any number of threads. */
#ifndef AVVIK_BENCH_RANDOM_H
#define AVVIK_BENCH_RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* splitmix64's mixing (Steele, Lea and Flood 2014) */
static inline uint64_t bench_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Roughly normal, mean 0, standard deviation 1: eight uniform numbers of 16 bits added up. */
static inline double bench_normal(uint64_t seed, uint64_t row, uint64_t column)
{
    const uint64_t key = bench_mix((seed << 20) + column) + row * 0x9e3779b97f4a7c15u;
    uint64_t words[2] = {bench_mix(key), bench_mix(key ^ 0x5851f42d4c957f2du)};
    double sum = -8 * 0.5;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 4; k++, words[i] >>= 16)
            sum += (double)(words[i] & 0xffff) * 0x1p-16;
    return sum * 1.2247448713915889; /* sqrt(12 / 8) */
}

/* As tables have them: of four columns one is skewed and one rounded to quarters, and 1 value in 128 is missing. */
static inline double bench_value(uint64_t seed, uint64_t row, uint64_t column)
{
    const double normal = bench_normal(seed, row, column);
    if ((row + 7 * column) % 128 == 0)
        return NAN;
    return column % 4 == 1 ? exp(normal) : column % 4 == 2 ? rint(4 * normal) / 4 : normal;
}

#endif

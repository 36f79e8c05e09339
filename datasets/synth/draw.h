/* Numbers that depend on nothing but what they are for: Philox4x32-10 (Salmon et al. 2011), keyed by the seed, with the
 * counter (draw, purpose, month, unit). So any part of the country can be made alone, by any thread, in any order.
 *
 * exp, log and the normal quantile are our own because a country has to come out the same on every machine: those of
 * the C library differ in the last bit between versions and between CPUs with and without fused multiply-add. */
#ifndef AVVIK_SYNTH_DRAW_H
#define AVVIK_SYNTH_DRAW_H

#include <stdint.h>

/* What a draw is for; no two purposes share a number. */
enum avvik__purpose {
    AVVIK_DRAW_HOUSEHOLD = 1,
    AVVIK_DRAW_MEMBER,
    AVVIK_DRAW_LIFE,
    AVVIK_DRAW_YEAR,
    AVVIK_DRAW_TYPOLOGY,
    AVVIK_DRAW_BENEFIT,
    AVVIK_DRAW_WAGE,
    AVVIK_DRAW_BUSINESS,
    AVVIK_DRAW_VAT,
    AVVIK_DRAW_RING,
    AVVIK_DRAW_CHILD
};

struct avvik__words {
    uint32_t v[4];
};

/* unit: a person, household, business or ring. month: months (or years) since the first, may be negative. */
struct avvik__words avvik__draw(uint64_t seed, uint32_t unit, int month, enum avvik__purpose purpose, uint32_t draw);

/* Uniform in (0, 1) on a lattice of 2^-32, never 0 or 1. */
static inline double avvik__unit(uint32_t word)
{
    return ((double)word + 0.5) * 0x1p-32;
}

/* Uniform in [0, bound). */
static inline uint32_t avvik__below(uint32_t word, uint32_t bound)
{
    return (uint32_t)((uint64_t)word * bound >> 32);
}

/* The word mixed anew: a second number from one that only decided something. */
static inline uint32_t avvik__remix(uint32_t word)
{
    word = (word ^ word >> 16) * 0x7feb352du;
    word = (word ^ word >> 15) * 0x846ca68bu;
    return word ^ word >> 16;
}

double avvik__exp(double x);             /* |x| < 700 */
double avvik__log(double x);             /* x > 0, normal */
double avvik__normal(uint32_t word);     /* standard normal */
double avvik__waiting(uint32_t word);    /* exponential, mean 1 */
double avvik__power(double x, double y); /* x > 0 */

#endif

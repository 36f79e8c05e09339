/* Every random number of avvik: Philox4x32-10 of a counter (kernels/README.md, "Draws"). */
#ifndef AVVIK_COUNTER_DRAW_H
#define AVVIK_COUNTER_DRAW_H

#include <stdint.h>

#include <Random123/philox.h>

/* What a draw is for: the last word of the counter (Salmon et al. 2011), so that no two purposes share a number. */
enum avvik__draw_purpose {
    AVVIK_DRAW_ROWS = 1,
    AVVIK_DRAW_SPLIT = 2,
    AVVIK_DRAW_CALIBRATION = 3,
    AVVIK_DRAW_AUDIT = 4,
    AVVIK_DRAW_OUTLINE = 5,
    AVVIK_DRAW_JOINT = 6
};

struct avvik__draw {
    uint64_t first, second;
};

static inline struct avvik__draw avvik__draw_make(uint64_t seed, enum avvik__draw_purpose purpose, uint32_t tree,
                                                  uint32_t node, uint32_t number)
{
    const philox4x32_ctr_t counter = {{number, node, tree, (uint32_t)purpose}};
    const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    const philox4x32_ctr_t word = philox4x32(counter, key); /* ten rounds */
    return (struct avvik__draw){word.v[0] | (uint64_t)word.v[1] << 32, word.v[2] | (uint64_t)word.v[3] << 32};
}

/* Uniform in [0, bound), by multiplication; the bias is below bound / 2^64. */
static inline uint64_t avvik__draw_below(uint64_t word, uint64_t bound)
{
    return (uint64_t)((unsigned __int128)word * bound >> 64);
}

/* Uniform in [0, 1) on a lattice of 2^-53. */
static inline double avvik__draw_unit(uint64_t word)
{
    return (double)(word >> 11) * 0x1p-53;
}

/* The first of the `part`-th of n equal parts of [0, total): their lengths differ by 1 at most. */
static inline uint64_t avvik__draw_stratum(uint64_t part, uint64_t n, uint64_t total)
{
    return (uint64_t)((unsigned __int128)part * total / n);
}

/* Row number `part` of n that are drawn from [0, total) without replacement, one from each of n equal parts: every row
 * is as likely, but for the parts' lengths, and the result is ascending. n <= total. */
static inline uint64_t avvik__draw_stratified(uint64_t seed, enum avvik__draw_purpose purpose, uint64_t part,
                                              uint64_t n, uint64_t total)
{
    const uint64_t begin = avvik__draw_stratum(part, n, total), end = avvik__draw_stratum(part + 1, n, total);
    const struct avvik__draw draw = avvik__draw_make(seed, purpose, 0, (uint32_t)(part >> 32), (uint32_t)part);
    return begin + avvik__draw_below(draw.first, end - begin);
}

#endif

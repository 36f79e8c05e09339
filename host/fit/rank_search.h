/* The values at given places of one column that is too long to be kept or sorted: exact, in three passes over it,
 * whatever its values are. Each pass counts on the bits of the floats, in their order: the first on 12 of them, the
 * second on 10 more within every cell of the first that has a place in it, the third likewise on the last 10. Counts
 * are whole numbers, so what is found does not depend on the order of the rows, nor on who counted them. */
#ifndef AVVIK_RANK_SEARCH_H
#define AVVIK_RANK_SEARCH_H

#include "tails.h"

#define AVVIK_RANK_FIRST_BITS 12
#define AVVIK_RANK_MORE_BITS 10
#define AVVIK_RANK_PASSES 3

/* Runs of keys (avvik__float_key()) in which places lie: their first bits, and the values before and in them. */
struct avvik__rank_cells {
    uint32_t n, bits[AVVIK_TAIL_QUANTILES];
    uint64_t before[AVVIK_TAIL_QUANTILES], within[AVVIK_TAIL_QUANTILES];
    uint32_t of_place[AVVIK_TAIL_QUANTILES]; /* the number of the cell in which each place lies */
};

struct avvik__rank_search {
    uint32_t n_places, pass; /* pass: AVVIK_RANK_PASSES once all is found */
    uint64_t places[AVVIK_TAIL_QUANTILES];
    struct avvik__rank_cells cells;
    /* 1 + the number of the cell that the first bits belong to, and the next bits within each of these; else 0. */
    uint8_t first[1u << AVVIK_RANK_FIRST_BITS];
    uint8_t next[AVVIK_TAIL_QUANTILES][1u << AVVIK_RANK_MORE_BITS];
};

/* Begin, for the places that tails have among n finite values. */
void avvik__rank_search_begin(struct avvik__rank_search *search, uint64_t n);

/* Counters that the coming pass takes; they begin at 0. */
size_t avvik__rank_search_counters(const struct avvik__rank_search *search);

/* Count n values of the column (raw: NaN and infinities are left out). Any number of threads, each with counters of its
 * own, which are added up afterwards. */
void avvik__rank_search_take(const struct avvik__rank_search *search, uint64_t *counters, const float *column,
                             size_t n);

/* After a pass. quantiles_out is filled by the last one. 0 if the column is not the one that began: it has changed. */
int avvik__rank_search_advance(struct avvik__rank_search *search, const uint64_t *counters,
                               struct avvik__tail_quantiles *quantiles_out);

#endif

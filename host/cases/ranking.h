/* The one order in which rows are ranked, for lists and for evaluation. */
#ifndef AVVIK_RANKING_H
#define AVVIK_RANKING_H

#include "avvik/cases.h"

/* What a row is ranked by: its surprise (larger first, equal for tied rows), then its number. */
struct avvik__rank_key {
    double surprise;
    uint64_t row;
};

static inline struct avvik__rank_key avvik__rank_key(enum avvik_detector detector, int32_t path_sum, float deviation,
                                                     uint64_t row)
{
    return (struct avvik__rank_key){detector == AVVIK_BY_FOREST ? -(double)path_sum : deviation, row};
}

static inline int avvik__rank_before(struct avvik__rank_key a, struct avvik__rank_key b)
{
    return a.surprise != b.surprise ? a.surprise > b.surprise : a.row < b.row;
}

#endif

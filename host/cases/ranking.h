/* The one order in which rows are ranked, for lists and for evaluation. */
#ifndef AVVIK_RANKING_H
#define AVVIK_RANKING_H

#include <stdint.h>

/* What a row is ranked by: its surprise (larger first, equal for tied rows), then its number. */
struct avvik__rank_key {
    double surprise;
    uint64_t row;
};

static inline int avvik__rank_before(struct avvik__rank_key a, struct avvik__rank_key b)
{
    return a.surprise != b.surprise ? a.surprise > b.surprise : a.row < b.row;
}

#endif

/* From path sums to anomaly scores: 2^(-(path_sum / 2048 / trees) / c(sample)), Liu, Ting and Zhou (2012), eq. 1.
 *
 * A path sum is cut in two, p = 2048 a + b, and the score is the product of 2^(-2048 a / s) and 2^(-b / s) in double,
 * rounded to float32 once. So a table of each factor gives the very same bits as two calls of exp2(). */
#ifndef AVVIK_FOREST_SCORE_H
#define AVVIK_FOREST_SCORE_H

#include "forest.h"

#define AVVIK_SCORE_FINE_BITS 11

struct avvik__score_table {
    double *coarse; /* by path_sum >> 11; for every path sum that this forest can have */
    double fine[1 << AVVIK_SCORE_FINE_BITS];
};

/* 1, or 0 if there is no memory. Release with avvik__score_table_destroy(). */
int avvik__score_table_init(struct avvik__score_table *table, const struct avvik__forest *forest);
void avvik__score_table_destroy(struct avvik__score_table *table);

/* The score of one path sum (0 to trees x 65,535). */
static inline float avvik__score_lookup(const struct avvik__score_table *table, int32_t path_sum)
{
    return (float)(table->coarse[path_sum >> AVVIK_SCORE_FINE_BITS] *
                   table->fine[path_sum & ((1 << AVVIK_SCORE_FINE_BITS) - 1)]);
}

/* The same without a table. */
float avvik__score_of(const struct avvik__forest *forest, int32_t path_sum);

#endif

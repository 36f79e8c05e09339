#include "forest_score.h"

#include <math.h>
#include <stdlib.h>

#include "kernel_types.h"

#define FINE (1 << AVVIK_SCORE_FINE_BITS)

static double factor(const struct avvik__forest *forest, int64_t steps)
{
    const double mean_path = (double)steps / AVVIK_LEAF_ONE / forest->n_trees;
    return exp2(-mean_path / forest->average_path);
}

int avvik__score_table_init(struct avvik__score_table *table, const struct avvik__forest *forest)
{
    const size_t n_coarse = (((size_t)forest->n_trees * UINT16_MAX) >> AVVIK_SCORE_FINE_BITS) + 1;
    if ((table->coarse = malloc(n_coarse * sizeof *table->coarse)) == NULL)
        return 0;
    for (size_t i = 0; i < n_coarse; i++)
        table->coarse[i] = factor(forest, (int64_t)i * FINE);
    for (int i = 0; i < FINE; i++)
        table->fine[i] = factor(forest, i);
    return 1;
}

void avvik__score_table_destroy(struct avvik__score_table *table)
{
    free(table->coarse);
    table->coarse = NULL;
}

float avvik__score_of(const struct avvik__forest *forest, int32_t path_sum)
{
    const int32_t fine = path_sum & (FINE - 1);
    return (float)(factor(forest, path_sum - fine) * factor(forest, fine));
}

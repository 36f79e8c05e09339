#include "fdr.h"

#include <math.h>

#include "avvik/cases.h"

/* b_j = 1 - delta^(1/k) (i (i-1) ... (i-k+1) / (n (n-1) ... (n-k+1)))^(1/k), i = n + 1 - j: the fraction is the product
 * of (i - k) / i over the i of all smaller j. */
struct bound {
    uint32_t n, k, rank;
    double log_fraction, now; /* of `rank` */
};

static struct bound bound_first(uint32_t n)
{
    struct bound bound = {.n = n, .k = n / 2, .rank = 1, .now = 1};
    if (bound.k > 0)
        bound.now = -expm1(log(1 - AVVIK_FDR_CONFIDENCE) / bound.k);
    return bound;
}

static void bound_next(struct bound *bound)
{
    const uint32_t i = bound->n + 1 - bound->rank++;
    if (bound->now >= 1)
        return;
    if (i <= bound->k || bound->rank > bound->n) {
        bound->now = 1;
        return;
    }
    bound->log_fraction += log((double)(i - bound->k) / i);
    bound->now = -expm1((log(1 - AVVIK_FDR_CONFIDENCE) + bound->log_fraction) / bound->k);
}

double avvik__p_bound(uint32_t rank, uint32_t n)
{
    struct bound bound = bound_first(n);
    while (bound.rank < rank)
        bound_next(&bound);
    return bound.now;
}

uint32_t avvik__fdr_cut(const uint64_t *counts, uint32_t n, uint64_t n_rows, double fdr)
{
    uint32_t cut = 0;
    uint64_t n_listed = 0;
    for (struct bound bound = bound_first(n); bound.rank <= n; bound_next(&bound)) {
        n_listed += counts[bound.rank];
        if (n_listed > 0 && bound.now * (double)n_rows <= fdr * (double)n_listed)
            cut = bound.rank;
    }
    return cut;
}

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

/* Of n_rows rows that are exchangeable with n calibration rows, so many lie above the rank-th largest of these: V is
 * beta-binomial (n_rows, rank, n + 1 - rank). P(V = v + 1) / P(V = v) = (v + rank) (n_rows - v) / ((v + 1) (n_rows - v
 * + n - rank)). Is P(V <= most) at least 90 %? */
static int is_likely_at_most(uint64_t most, uint32_t rank, uint32_t n, uint64_t n_rows)
{
    const double a = rank, b = (double)n + 1 - rank, total = a + b, rows = (double)n_rows;
    const double mean = rows * a / total, variance = mean * b / total * (total + rows) / (total + 1);
    if ((double)most >= mean + 3 * sqrt(variance)) /* Cantelli's inequality: P(V >= mean + 3 sd) <= 1 / 10 */
        return 1;
    double log_p = lgamma(rows + b) - lgamma(b) + lgamma(total) - lgamma(rows + total), sum = exp(log_p);
    for (uint64_t v = 0; v < most && sum < AVVIK_FDR_CONFIDENCE; v++) {
        const double x = (double)v;
        log_p += log((x + a) * (rows - x) / ((x + 1) * (rows - x - 1 + b)));
        sum += exp(log_p);
    }
    return sum >= AVVIK_FDR_CONFIDENCE;
}

/* The smallest such number. */
static uint64_t likely_most(uint32_t rank, uint32_t n, uint64_t n_rows)
{
    uint64_t low = 0, high = n_rows;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (is_likely_at_most(middle, rank, n, n_rows))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

double avvik__fdr_bound(uint32_t rank, uint32_t n, uint64_t n_rows, uint64_t n_listed)
{
    struct bound bound = bound_first(n);
    if (rank > n)
        return 1;
    while (bound.rank < rank)
        bound_next(&bound);
    const double expected = bound.now * (double)n_rows, in_one = (double)likely_most(rank, n, n_rows);
    return fmin(1, fmax(expected, in_one) / (double)n_listed);
}

uint32_t avvik__fdr_cut(const uint64_t *counts, uint32_t n, uint64_t n_rows, double fdr)
{
    uint32_t cut = 0;
    uint64_t n_listed = 0;
    for (struct bound bound = bound_first(n); bound.rank <= n; bound_next(&bound)) {
        n_listed += counts[bound.rank];
        const double most = fdr * (double)n_listed;
        if (counts[bound.rank] > 0 && bound.now * (double)n_rows <= most &&
            is_likely_at_most((uint64_t)most, bound.rank, n, n_rows))
            cut = bound.rank;
    }
    return cut;
}

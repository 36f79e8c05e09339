#include "shift.h"

#include <math.h>

#define SMALLEST_SHARE 1e-4 /* of a bin: an empty one would make the index infinite */
#define N_BINS 10

void avvik__shift_edges(const struct avvik__feature *feature, struct avvik__measure *measure)
{
    measure->n_edges = 0;
    for (int i = 0; i < AVVIK_QUANTILES; i++)
        if (i == 0 || feature->quantiles[i] > feature->quantiles[i - 1])
            measure->edges[measure->n_edges++] = feature->quantiles[i];
}

/* Is the edge that is quantile i, and maybe some after it, the end of a bin of the index? */
static int ends_bin(const struct avvik__feature *feature, uint32_t n_edges, int i)
{
    const float x = feature->quantiles[i];
    if (x == feature->quantiles[AVVIK_QUANTILES - 1])
        return 0; /* the last bin has no end */
    if (n_edges <= N_BINS)
        return 1;
    const int step = (AVVIK_QUANTILES - 1) / N_BINS;
    for (; i < AVVIK_QUANTILES && feature->quantiles[i] == x; i++)
        if (i > 0 && i % step == 0)
            return 1;
    return 0;
}

static double bin_term(double learnt, double here)
{
    learnt = learnt < SMALLEST_SHARE ? SMALLEST_SHARE : learnt;
    here = here < SMALLEST_SHARE ? SMALLEST_SHARE : here;
    return (here - learnt) * log(here / learnt);
}

void avvik__shift_measure(const struct avvik__feature *feature, const struct avvik__measure *measure,
                          const uint64_t *at_most, uint64_t n, double *psi_out, double *ks_out)
{
    const double n_learnt = feature->quantile_rows[AVVIK_QUANTILES - 1], n_here = (double)n;
    double psi = 0, ks = 0, learnt_before = 0, here_before = 0;
    *psi_out = *ks_out = NAN;
    if (n == 0 || feature->quantile_rows[AVVIK_QUANTILES - 1] == 0)
        return;
    for (int i = 0, edge = -1; i < AVVIK_QUANTILES; i++) {
        if (i > 0 && feature->quantiles[i] == feature->quantiles[i - 1])
            continue;
        edge++;
        const double learnt = feature->quantile_rows[i] / n_learnt, here = (double)at_most[edge] / n_here;
        ks = fmax(ks, fabs(here - learnt));
        if (ends_bin(feature, measure->n_edges, i)) {
            psi += bin_term(learnt - learnt_before, here - here_before);
            learnt_before = learnt;
            here_before = here;
        }
    }
    *psi_out = psi + bin_term(1 - learnt_before, 1 - here_before);
    *ks_out = ks;
}

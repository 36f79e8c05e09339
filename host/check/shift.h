/* How far a column has moved from what a model learnt. */
#ifndef AVVIK_SHIFT_H
#define AVVIK_SHIFT_H

#include "column_measure.h"
#include "model_internal.h"

/* The distinct quantiles of the feature as edges of `measure`. */
void avvik__shift_edges(const struct avvik__feature *feature, struct avvik__measure *measure);

/* Population stability index and Kolmogorov-Smirnov statistic of n finite values, at_most[i] of which do not exceed
 * measure->edges[i], against the model's quantiles (README.md, "Shift"). NAN where either side has no value. */
void avvik__shift_measure(const struct avvik__feature *feature, const struct avvik__measure *measure,
                          const uint64_t *at_most, uint64_t n, double *psi_out, double *ks_out);

#endif

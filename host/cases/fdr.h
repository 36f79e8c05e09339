/* How long a list may be for the false discoveries that it may have. */
#ifndef AVVIK_FDR_H
#define AVVIK_FDR_H

#include <stdint.h>

/* A bound on the p-value of rank `rank` (1 to n + 1), good for all but one in ten draws of the n calibration rows at
 * once, where p = rank / (n + 1) is good on the average of all draws: the Simes adjustment of Bates, Candes, Lei,
 * Romano and Sesia (2023), "Testing for outliers with conformal p-values", section 3.2, with k = n / 2. 1 where nothing
 * is known. */
double avvik__p_bound(uint32_t rank, uint32_t n);

/* Benjamini and Hochberg (1995) over n_rows rows, of which counts[r] have rank r (counts[0] is unused): the largest
 * rank such that the bound of its p-value is at most fdr x (rows of that rank or less) / n_rows. 0: no row. */
uint32_t avvik__fdr_cut(const uint64_t *counts, uint32_t n, uint64_t n_rows, double fdr);

#endif

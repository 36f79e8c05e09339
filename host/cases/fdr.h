/* How long a list may be for the false discoveries that it may have. */
#ifndef AVVIK_FDR_H
#define AVVIK_FDR_H

#include <stdint.h>

/* The rate of false discoveries that a list of the n_listed rows of rank `rank` (1 to n + 1) or less, out of n_rows,
 * keeps nine times in ten. It is the larger of two numbers, where p = rank / (n + 1) alone would be right on average:
 *
 * - what is expected of it, by all but one in ten draws of the n calibration rows, at every rank at once: the Simes
 *   adjustment of Bates, Candes, Lei, Romano and Sesia (2023), "Testing for outliers with conformal p-values", section
 *   3.2, with k = n / 2;
 * - what comes of it in one batch of n_rows: as many rows as the calibration rows of that rank are beta-binomial, and
 *   this is the 90 % quantile.
 *
 * 1 at most. */
double avvik__fdr_bound(uint32_t rank, uint32_t n, uint64_t n_rows, uint64_t n_listed);

/* Benjamini and Hochberg (1995) with that bound: the largest rank whose list keeps `fdr`. counts[r] of the n_rows rows
 * have rank r (counts[0] is unused). 0: no row. */
uint32_t avvik__fdr_cut(const uint64_t *counts, uint32_t n, uint64_t n_rows, double fdr);

#endif

/* How long a list may be whose p-values come from several strata of held-out rows. */
#ifndef AVVIK_FDR_STRATA_H
#define AVVIK_FDR_STRATA_H

#include <stdint.h>

#include "avvik/status.h"

/* p = rank / (n + 1), exactly. */
struct avvik__p_level {
    uint32_t rank, n;
};

/* 1 if a is larger than b. */
static inline int avvik__p_above(struct avvik__p_level a, struct avvik__p_level b)
{
    return a.rank * (b.n + (uint64_t)1) > b.rank * (a.n + (uint64_t)1);
}

/* Benjamini and Hochberg's procedure (1995) over the p-values of all strata together. They are uniform in each stratum
 * whatever the others are, so that of N_s rows of stratum s, which has n_s held-out ones, N_s R_s / (n_s + 1) ordinary
 * rows are expected to have p <= t, R_s being the whole part of t (n_s + 1).
 *
 * What nine lists in ten keep is, as of one stratum (fdr.h), the larger of two numbers. With one stratum in the batch
 * it is that of fdr.h. With several, let U_s be the share of ordinary rows of stratum s beyond its R_s-th largest
 * held-out row: beta (R_s, n_s + 1 - R_s), independent of the other strata, and E exp(u U) <= (1 - u / (n + 1))^-R
 * because the moments of U are at most those of a gamma (R) variable over n + 1. So by Chernoff's bound
 *
 * - the expected number sum N_s U_s is at most min over u of (log(J / d) - sum R_s log(1 - u N_s / (n_s + 1))) / u, d =
 * 0.1, at all t at once: J levels t are looked at, every eighth part further, and a list between two of them takes that
 * of the next. Which levels, follows from the n_s alone;
 * - what comes of it in one batch: binomial given the U_s, so that the same holds of the number itself with log(1 / d)
 * in place of log(J / d) and log(1 + u) as the divisor.
 */
struct avvik__fdr_strata {
    uint32_t n;
    const uint32_t *held_out; /* [stratum] */
    const uint64_t *rows;     /* [stratum]: of the batch */
    struct avvik__fdr_step {
        uint32_t stratum, rank;
    } * steps; /* the held-out rows of all strata with rows, by rank / (held_out + 1); NULL where only one has */
    uint32_t n_steps, n_levels;
    uint32_t only; /* that one */
    uint32_t *at;  /* [stratum]: scratch */
};

/* held_out and rows must stay. AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__fdr_strata_init(struct avvik__fdr_strata *strata, uint32_t n, const uint32_t *held_out,
                                         const uint64_t *rows, struct avvik_error *error);
void avvik__fdr_strata_destroy(struct avvik__fdr_strata *strata);

/* Ordinary rows that are expected to have p no larger than `level`. */
double avvik__fdr_strata_expected(const struct avvik__fdr_strata *strata, struct avvik__p_level level);

/* The rate of false discoveries that a list of n_listed rows, none of them with a larger p than `level`, keeps nine
 * times in ten. 1 at most. */
double avvik__fdr_strata_bound(const struct avvik__fdr_strata *strata, struct avvik__p_level level, uint64_t n_listed);

/* The largest level whose list keeps `fdr`; rank 0: none. counts[first[s] + r]: rows of stratum s of rank r, from 1 to
 * held_out[s]. */
struct avvik__p_level avvik__fdr_strata_cut(const struct avvik__fdr_strata *strata, const uint32_t *first,
                                            const uint64_t *counts, double fdr);

#endif

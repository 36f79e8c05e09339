/* How much slower is b than a, and how sure is that? */
#ifndef AVVIK_BENCH_INTERVAL_H
#define AVVIK_BENCH_INTERVAL_H

#include <stddef.h>

struct bench_interval {
    double ratio;      /* b over a: the median of all b_j / a_i (Hodges and Lehmann 1963, of logarithms) */
    double low, high;  /* ends of the interval */
    double confidence; /* of the interval: at least 0.95, less where there are too few samples for that */
};

/* The interval of Moses (1965): all ratios b_j / a_i that the exact test of Mann and Whitney (1947) does not reject at
 * 0.05, two-sided. It knows no distribution of times; it takes samples of a run for independent.
 * a, b: n_a and n_b times above 0, 1 to BENCH_MAX_SAMPLES each. Returns 0 if there is no memory. */
int bench_interval_of(const double *a, size_t n_a, const double *b, size_t n_b, struct bench_interval *out);

#endif

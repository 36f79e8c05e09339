#include "bench_interval.h"

#include <math.h>
#include <stdlib.h>

#define TAIL 0.025 /* on each side */

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How many of the orders of n_a + n_b values have u pairs with b before a, for every u: count[u], u <= n_a n_b.
 * The last value is an a, which all n_b of the others precede, or a b: f(a, b, u) = f(a - 1, b, u - b) + f(a, b - 1,
 * u). Up to 1e38 of them: a double holds that, and sums of positive numbers lose nothing. */
static double *orders_count(size_t n_a, size_t n_b)
{
    const size_t size = n_a * n_b + 1;
    double *rows = calloc((n_b + 1) * size, sizeof *rows); /* [b][u] for the present a */
    if (rows == NULL)
        return NULL;
    for (size_t b = 0; b <= n_b; b++)
        rows[b * size] = 1;
    for (size_t a = 1; a <= n_a; a++) {
        for (size_t b = 0; b <= n_b; b++) {
            double *row = rows + b * size;
            const double *shorter = b > 0 ? rows + (b - 1) * size : NULL;
            for (size_t u = size; u-- > 0;)
                row[u] = (u >= b ? row[u - b] : 0) + (b > 0 ? shorter[u] : 0);
        }
    }
    return rows;
}

/* The largest k with P(U < k) <= TAIL, at least 1; *tail_out is that probability. */
static size_t rank_choose(const double *count, size_t n_pairs, double *tail_out)
{
    double all = 0, below = count[0];
    size_t k = 1;
    for (size_t u = 0; u <= n_pairs; u++)
        all += count[u];
    while (k < n_pairs && (below + count[k]) / all <= TAIL)
        below += count[k++];
    *tail_out = below / all;
    return k;
}

int bench_interval_of(const double *a, size_t n_a, const double *b, size_t n_b, struct bench_interval *out)
{
    const size_t n = n_a * n_b;
    double tail;
    double *count = orders_count(n_a, n_b), *difference = malloc(n * sizeof *difference);
    if (count == NULL || difference == NULL) {
        free(count);
        free(difference);
        return 0;
    }
    for (size_t i = 0; i < n_a; i++)
        for (size_t j = 0; j < n_b; j++)
            difference[i * n_b + j] = log(b[j]) - log(a[i]);
    qsort(difference, n, sizeof *difference, compare_doubles);
    const size_t k = rank_choose(count + n_b * (n + 1), n, &tail);
    *out = (struct bench_interval){exp((difference[n / 2] + difference[(n - 1) / 2]) / 2), exp(difference[k - 1]),
                                   exp(difference[n - k]), tail >= 0.5 ? 0 : 1 - 2 * tail};
    free(count);
    free(difference);
    return 1;
}

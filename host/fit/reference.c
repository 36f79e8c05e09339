/* What the trees' rows looked like: quantiles that later batches are compared with, and the median that fills gaps. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "float_order.h"
#include "model_internal.h"

/* Place of quantile i among n values: ceil(n i / 40) values are at or before it, and one at least. */
static uint64_t quantile_rank(uint64_t n, uint64_t i)
{
    const uint64_t rank = (n * i + AVVIK_QUANTILES - 2) / (AVVIK_QUANTILES - 1);
    return rank == 0 ? 1 : rank;
}

void avvik__feature_reference(struct avvik__feature *feature, float *values, float *scratch, size_t n)
{
    feature->fill = 0;
    memset(feature->quantiles, 0, sizeof feature->quantiles);
    memset(feature->quantile_rows, 0, sizeof feature->quantile_rows);
    if (n == 0)
        return;
    avvik__float_sort(values, scratch, n);
    feature->fill = avvik__middle(values[(n - 1) / 2], values[n / 2]);
    size_t end = 0; /* the first place behind the values equal to the quantile */
    for (uint64_t i = 0; i < AVVIK_QUANTILES; i++) {
        const size_t place = (size_t)quantile_rank(n, i) - 1;
        for (end = end > place ? end : place; end < n && values[end] == values[place];)
            end++;
        feature->quantiles[i] = values[place];
        feature->quantile_rows[i] = (uint32_t)end;
    }
}

int avvik__feature_reference_fits(const struct avvik__feature *feature, uint64_t n_draws)
{
    const uint64_t n = feature->quantile_rows[AVVIK_QUANTILES - 1];
    if (n > n_draws)
        return 0;
    for (uint64_t i = 0; i < AVVIK_QUANTILES; i++) {
        const float x = feature->quantiles[i];
        const uint32_t rows = feature->quantile_rows[i];
        if (!isfinite(x) || (x != 0 && fabsf(x) < FLT_MIN))
            return 0;
        if (n == 0 ? x != 0 || rows != 0
                   : rows < quantile_rank(n, i) || rows > n || x < feature->moments.min || x > feature->moments.max)
            return 0;
        if (i > 0 &&
            !(x > feature->quantiles[i - 1] ? rows > feature->quantile_rows[i - 1]
                                            : x == feature->quantiles[i - 1] && rows == feature->quantile_rows[i - 1]))
            return 0;
    }
    return 1;
}

/* What is counted of a column's values beside their moments, a piece at a time. */
#ifndef AVVIK_COLUMN_MEASURE_H
#define AVVIK_COLUMN_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/check.h"
#include "model_internal.h"

/* Dates outside these are impossible: 1850-01-01 and 2199-12-31. */
#define AVVIK_FIRST_DAY (-43829)
#define AVVIK_LAST_DAY 84005

struct avvik__measure {
    int is_date, has_codes;
    float from, to; /* the period, within AVVIK_FIRST_DAY..AVVIK_LAST_DAY */
    float n_codes;
    float edges[AVVIK_QUANTILES]; /* distinct, ascending */
    uint32_t n_edges;
};

struct avvik__measured {
    uint64_t zeros, negative; /* magnitudes below FLT_MIN are zeros */
    uint64_t unknown_codes, impossible_dates, outside_period;
    uint64_t at_most[AVVIK_QUANTILES]; /* values <= edges[i] */
};

/* Add n (1 to AVVIK_STATISTICS_ROWS) values to `measured`; NaN are left out, and so are infinities, of which there are
 * n_infinite. */
void avvik__measure_add(const struct avvik__measure *measure, const float *values, size_t n, uint32_t n_infinite,
                        struct avvik__measured *measured);

#endif

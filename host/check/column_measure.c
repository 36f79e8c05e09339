#include "column_measure.h"

#include <float.h>
#include <math.h>

/* Every loop here is one that compilers turn into vector code: no branch, counts of 32 bits. */

static void signs_count(const float *values, size_t n, struct avvik__measured *measured)
{
    uint32_t zeros = 0, negative = 0;
    for (size_t i = 0; i < n; i++) {
        zeros += fabsf(values[i]) < FLT_MIN;
        negative += values[i] <= -FLT_MIN;
    }
    measured->zeros += zeros;
    measured->negative += negative;
}

static void codes_count(const float *values, size_t n, float n_codes, struct avvik__measured *measured)
{
    uint32_t known = 0, values_there = 0;
    for (size_t i = 0; i < n; i++) {
        const float x = values[i];
        const int is_inside = (x >= 0) & (x < n_codes);
        const float inside = is_inside ? x : 0;
        known += (uint32_t)is_inside & (uint32_t)((float)(int32_t)inside == inside);
        values_there += x == x;
    }
    measured->unknown_codes += values_there - known;
}

static void dates_count(const float *values, size_t n, float from, float to, struct avvik__measured *measured)
{
    uint32_t possible = 0, within = 0, values_there = 0;
    for (size_t i = 0; i < n; i++) {
        const float x = values[i];
        const int is_inside = (x >= AVVIK_FIRST_DAY) & (x <= AVVIK_LAST_DAY);
        const float inside = is_inside ? x : 0;
        const uint32_t is_day = (uint32_t)is_inside & (uint32_t)((float)(int32_t)inside == inside);
        possible += is_day;
        within += is_day & (uint32_t)(x >= from) & (uint32_t)(x <= to);
        values_there += x == x;
    }
    measured->impossible_dates += values_there - possible;
    measured->outside_period += possible - within;
}

/* Four edges in one pass over the piece, which is in the first-level cache. */
static void edges_count(const float *values, size_t n, const float *edges, uint64_t *at_most)
{
    const float a = edges[0], b = edges[1], c = edges[2], d = edges[3];
    uint32_t n_a = 0, n_b = 0, n_c = 0, n_d = 0;
    for (size_t i = 0; i < n; i++) {
        n_a += values[i] <= a;
        n_b += values[i] <= b;
        n_c += values[i] <= c;
        n_d += values[i] <= d;
    }
    at_most[0] += n_a;
    at_most[1] += n_b;
    at_most[2] += n_c;
    at_most[3] += n_d;
}

void avvik__measure_add(const struct avvik__measure *measure, const float *values, size_t n, uint32_t n_infinite,
                        struct avvik__measured *measured)
{
    float finite[AVVIK_STATISTICS_ROWS];
    if (n_infinite > 0) {
        for (size_t i = 0; i < n; i++)
            finite[i] = isinf(values[i]) ? NAN : values[i];
        values = finite;
    }
    signs_count(values, n, measured);
    if (measure->has_codes)
        codes_count(values, n, measure->n_codes, measured);
    if (measure->is_date)
        dates_count(values, n, measure->from, measure->to, measured);
    uint32_t e = 0;
    for (; e + 4 <= measure->n_edges; e += 4)
        edges_count(values, n, measure->edges + e, measured->at_most + e);
    if (e < measure->n_edges) { /* the last few, with edges that nobody asks for */
        float edges[4] = {0};
        uint64_t at_most[4] = {0};
        for (uint32_t i = e; i < measure->n_edges; i++)
            edges[i - e] = measure->edges[i];
        edges_count(values, n, edges, at_most);
        for (uint32_t i = e; i < measure->n_edges; i++)
            measured->at_most[i] += at_most[i - e];
    }
}

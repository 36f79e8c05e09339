#include "tails.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "bits.h"
#include "float_order.h"

#define N AVVIK_TAIL_QUANTILES

enum avvik_status avvik__tails_init(struct avvik__tails *tails, uint32_t n_features, struct avvik_error *error)
{
    tails->n_features = n_features;
    tails->features = calloc(n_features, sizeof *tails->features);
    return tails->features != NULL ? AVVIK_OK : avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
}

void avvik__tails_destroy(struct avvik__tails *tails)
{
    free(tails->features);
    *tails = (struct avvik__tails){0};
}

uint32_t avvik__tail_places(uint64_t n, uint64_t *places_out)
{
    const uint64_t middle = n - n / 2;
    uint32_t n_low = 0;
    if (n == 0)
        return 0;
    for (uint64_t power = 1; power < middle && n_low + 1 < AVVIK_TAIL_RANKS; power *= 2) {
        places_out[n_low++] = power;
        if (power > 1 && power / 2 * 3 < middle && n_low + 1 < AVVIK_TAIL_RANKS)
            places_out[n_low++] = power / 2 * 3;
    }
    places_out[n_low++] = middle;
    uint32_t n_places = n_low;
    for (uint32_t i = n_low; i-- > 0;)
        if (n + 1 - places_out[i] > middle)
            places_out[n_places++] = n + 1 - places_out[i];
    return n_places;
}

/* ---- What values are worth ---- */

/* The float after x, where denormals do not exist. */
static float float_after(float x)
{
    if (x == 0)
        return FLT_MIN;
    return avvik__flush(avvik__float_of_key(avvik__float_key(x) + 1));
}

/* -log2 of the share of `rows` among n values, in steps; beyond all of them, where rows is 0, of one among n + 1. */
static uint16_t steps_of(uint64_t rows, uint64_t n, float weight)
{
    const double share = rows > 0 ? (double)rows / (double)n : 1 / ((double)n + 1);
    const double steps = rint(avvik__bits_of(share) * AVVIK_TAIL_ONE * (double)weight);
    return (uint16_t)(steps < AVVIK_TAIL_MOST ? steps : AVVIK_TAIL_MOST);
}

/* What x is worth in [first, end): as much as in the tail, of the two, in which fewer rows are known to be so far out.
 */
static uint16_t worth(const struct avvik__tail_quantiles *quantiles, uint64_t n, float first, float end, float weight)
{
    uint64_t low = 0, high = 0; /* rows at or below the last quantile before x; at or above the first one after it */
    for (uint32_t i = 0; i < quantiles->n_quantiles; i++)
        low = quantiles->value[i] <= first ? quantiles->at_most[i] : low;
    for (uint32_t i = quantiles->n_quantiles; i-- > 0;)
        high = float_after(quantiles->value[i]) >= end ? n - quantiles->below[i] : high;
    return steps_of(low < high ? low : high, n, weight);
}

void avvik__tail_layout(const struct avvik__tail_quantiles *quantiles, uint64_t n, float weight,
                        struct avvik__tail_table *table)
{
    /* Each begins a cell. The first is below all numbers, so that cell 0 is NaN's alone. A quantile of the lower half
     * begins a cell and one of the upper half ends one, so that each is exact: it is the farthest out of its cell. A
     * middle that is of both does both. */
    float thresholds[AVVIK_TAIL_CELLS - 1];
    uint16_t bits[AVVIK_TAIL_CELLS] = {0};
    uint32_t n_thresholds = 0;
    thresholds[n_thresholds++] = -INFINITY;
    for (uint32_t i = 0; i < (quantiles->n_quantiles + 1) / 2; i++)
        thresholds[n_thresholds++] = quantiles->value[i];
    for (uint32_t i = quantiles->n_quantiles / 2; i < quantiles->n_quantiles; i++)
        thresholds[n_thresholds++] = float_after(quantiles->value[i]);
    for (uint32_t i = n_thresholds; i < AVVIK_TAIL_CELLS - 1; i++)
        thresholds[i] = INFINITY;
    for (uint32_t i = 0; i < n_thresholds && n > 0; i++)
        bits[1 + i] = worth(quantiles, n, thresholds[i], i + 1 < n_thresholds ? thresholds[i + 1] : INFINITY, weight);
    memset(table, 0, sizeof *table);
    for (uint32_t step = 0; step <= AVVIK_TAIL_STEPS; step++)
        for (uint32_t path = 0; path < 1u << step; path++) {
            uint32_t cell = 0;
            for (uint32_t i = 0; i < step; i++)
                cell += (path >> i & 1) * (AVVIK_TAIL_CELLS / 2 >> i);
            if (step < AVVIK_TAIL_STEPS)
                table->level[(1u << step) + path] = thresholds[cell + (AVVIK_TAIL_CELLS / 2 >> step) - 1];
            else
                table->bits[path] = bits[cell];
        }
}

uint64_t avvik__tail_rows(const struct avvik__tail_quantiles *quantiles, uint64_t n, float x, int *side_out)
{
    uint64_t low = n, high = n; /* that are x or less, and x or more */
    for (uint32_t i = quantiles->n_quantiles; i-- > 0;)
        low = quantiles->value[i] > x ? quantiles->below[i] : quantiles->value[i] == x ? quantiles->at_most[i] : low;
    for (uint32_t i = 0; i < quantiles->n_quantiles; i++)
        high = quantiles->value[i] < x    ? n - quantiles->at_most[i]
               : quantiles->value[i] == x ? n - quantiles->below[i]
                                          : high;
    *side_out = low < high ? -1 : low > high;
    return low < high ? low : high;
}

/* ---- In the model file ---- */

/* Quantiles that can be those of n values: in order, with as many rows below each as its place says. */
static int quantiles_fit(const struct avvik__tail_quantiles *quantiles, uint64_t n)
{
    uint64_t places[N];
    const uint32_t n_quantiles = avvik__tail_places(n, places);
    for (uint32_t i = 0; i < n_quantiles; i++) {
        const float x = quantiles->value[i];
        const uint64_t below = quantiles->below[i], at_most = quantiles->at_most[i];
        if (!isfinite(x) || (x == 0 ? signbit(x) != 0 : fabsf(x) < FLT_MIN) || below >= places[i] ||
            at_most < places[i] || at_most > n)
            return 0;
        if (i > 0 && !(x > quantiles->value[i - 1] ? below >= quantiles->at_most[i - 1]
                                                   : x == quantiles->value[i - 1] && below == quantiles->below[i - 1] &&
                                                         at_most == quantiles->at_most[i - 1]))
            return 0;
    }
    return n == 0 || (quantiles->below[0] == 0 && quantiles->at_most[n_quantiles - 1] == n);
}

enum avvik_status avvik__tails_put(const struct avvik__tails *tails, struct avvik__record *record,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t dims[2] = {tails->n_features, N};
    const size_t n = (size_t)tails->n_features * N;
    if (tails->n_features == 0)
        return AVVIK_OK;
    float *values = calloc(n, sizeof *values);
    uint64_t *counts = calloc(2 * n, sizeof *counts);
    if (values == NULL || counts == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < tails->n_features; f++) {
        memcpy(values + (size_t)f * N, tails->features[f].value, N * sizeof *values);
        memcpy(counts + (size_t)f * N, tails->features[f].below, N * sizeof *counts);
        memcpy(counts + n + (size_t)f * N, tails->features[f].at_most, N * sizeof *counts);
    }
    AVVIK_TRY(avvik__record_group(record, "/tails", error));
    AVVIK_TRY(avvik__record_put(record, "/tails/quantile", AVVIK_F32, 2, dims, values, error));
    AVVIK_TRY(avvik__record_put(record, "/tails/below", AVVIK_U64, 2, dims, counts, error));
    AVVIK_TRY(avvik__record_put(record, "/tails/at_most", AVVIK_U64, 2, dims, counts + n, error));
done:
    free(values);
    free(counts);
    return status;
}

enum avvik_status avvik__tails_get(struct avvik__tails *tails, uint32_t n_features, const uint64_t *n_values,
                                   struct avvik__record *record, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t dims[2] = {n_features, N};
    void *values = NULL, *below = NULL, *at_most = NULL;
    *tails = (struct avvik__tails){0};
    if (!avvik__record_has(record, "/tails"))
        return AVVIK_OK;
    AVVIK_TRY(avvik__record_get(record, "/tails/quantile", AVVIK_F32, 2, dims, &values, error));
    AVVIK_TRY(avvik__record_get(record, "/tails/below", AVVIK_U64, 2, dims, &below, error));
    AVVIK_TRY(avvik__record_get(record, "/tails/at_most", AVVIK_U64, 2, dims, &at_most, error));
    AVVIK_TRY(avvik__tails_init(tails, n_features, error));
    for (uint32_t f = 0; f < n_features; f++) {
        struct avvik__tail_quantiles *quantiles = &tails->features[f];
        uint64_t places[N];
        memcpy(quantiles->value, (const float *)values + (size_t)f * N, sizeof quantiles->value);
        memcpy(quantiles->below, (const uint64_t *)below + (size_t)f * N, sizeof quantiles->below);
        memcpy(quantiles->at_most, (const uint64_t *)at_most + (size_t)f * N, sizeof quantiles->at_most);
        quantiles->n_quantiles = avvik__tail_places(n_values[f], places);
        if (!quantiles_fit(quantiles, n_values[f]))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the tails of feature %u cannot be; the model was changed or damaged",
                       path, f);
    }
done:
    free(values);
    free(below);
    free(at_most);
    if (status != AVVIK_OK)
        avvik__tails_destroy(tails);
    return status;
}

#include "surprise.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "bits.h"

/* The first of n ascending values that is not below x. */
static uint32_t first_not_below(const double *values, uint32_t n, double x)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (values[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The share of n ascending values that is x or more, made smooth so that no two scores become one: straight lines
 * between the values that there are. x is from values[0] on and no larger than the largest. */
static double share_between(const double *values, uint32_t n, double x)
{
    const uint32_t above = first_not_below(values, n, x); /* not 0 unless x is values[0] */
    if (values[above] == x)
        return (double)(n - above) / (n + 1);
    const uint32_t below = first_not_below(values, above, values[above - 1]);
    const double share = (x - values[above - 1]) / (values[above] - values[above - 1]);
    return ((n - below) - share * (above - below)) / (n + 1);
}

/* The same of the reference, and beyond the k-th largest, where few are left, a tail. The tail is the generalised
 * Pareto distribution of shape 1 (Pickands 1975) through the 2k-th and the k-th largest: the share halves from the one
 * to the other. It only says how much more a score beyond the reference is worth; p-values do not depend on it. */
static double share_above(const double *values, uint32_t n, double x)
{
    const uint32_t root = (uint32_t)sqrt((double)n) / 4, k = root < 1 ? 1 : root;
    if (n < 2 || x < values[0])
        return 1;
    const double from = values[n - 2 * k], to = values[n - k];
    if (x >= to) {
        const double halving = to > from ? to - from : to > values[0] ? to - values[0] : 1;
        return (double)k / (n + 1) / (1 + (x - to) / (2 * halving));
    }
    return share_between(values, n, x);
}

double avvik__surprise_of(const struct avvik__surprise *surprise, enum avvik_detector detector,
                          const struct avvik__row_scores *row)
{
    const double own[AVVIK_N_COMBINED] = {[AVVIK_BY_FOREST] = -(double)row->path_sum,
                                          [AVVIK_BY_DEVIATION] = fminf(row->deviation, FLT_MAX),
                                          [AVVIK_BY_JOINT] = fminf(row->joint, FLT_MAX),
                                          [AVVIK_BY_TAILS] = row->tails};
    double sum = 0;
    if (detector != AVVIK_BY_COMBINED)
        return own[detector];
    for (int d = 0; d < AVVIK_N_COMBINED; d++)
        if (surprise->weights[d] > 0)
            sum += surprise->weights[d] *
                   avvik__bits_of(share_above(surprise->reference[d], surprise->n_reference, own[d]));
    return sum;
}

/* A surprise on the scale of bits; that of the combination is. */
static double scale_of(const struct avvik__surprise *surprise, enum avvik_detector detector, double of_row)
{
    return detector == AVVIK_BY_COMBINED
               ? of_row
               : avvik__bits_of(share_above(surprise->reference[detector], surprise->n_reference, of_row));
}

double avvik__surprise_bits(const struct avvik__surprise *surprise, enum avvik_detector detector,
                            const struct avvik__row_scores *row)
{
    return scale_of(surprise, detector, avvik__surprise_of(surprise, detector, row));
}

uint32_t avvik__surprise_stratum(const struct avvik__surprise *surprise, uint32_t peer_group)
{
    return surprise->n_strata == 1 ? 0 : avvik__strata_of(&surprise->strata, peer_group);
}

uint32_t avvik__surprise_group(const struct avvik__surprise *surprise, uint32_t stratum)
{
    return surprise->n_strata == 1 ? 0 : surprise->strata.group[stratum];
}

uint32_t avvik__surprise_rank(const struct avvik__surprise *surprise, enum avvik_detector detector, uint32_t stratum,
                              double of_row)
{
    const uint32_t n = surprise->n_in[stratum];
    return 1 + n - first_not_below(surprise->held_out[detector] + surprise->first[stratum], n, of_row);
}

double avvik__surprise_p(const struct avvik__surprise *surprise, enum avvik_detector detector, uint32_t stratum,
                         double of_row)
{
    return avvik__surprise_rank(surprise, detector, stratum, of_row) / (surprise->n_in[stratum] + 1.0);
}

/* How many of n held-out rows are beyond where the tail begins. */
static uint32_t tail_rows(uint32_t n)
{
    const uint32_t root = (uint32_t)sqrt((double)n) / 2;
    return root < 1 ? 1 : root;
}

double avvik__surprise_order(const struct avvik__surprise *surprise, enum avvik_detector detector, uint32_t stratum,
                             double of_row)
{
    const double *values = surprise->held_out[detector] + surprise->first[stratum];
    const uint32_t n = surprise->n_in[stratum], k = tail_rows(n);
    if (surprise->n_strata == 1)
        return of_row;
    if (n < 2 || of_row < values[0])
        return 0;
    if (of_row < values[n - k])
        return avvik__bits_of(share_between(values, n, of_row));
    const double beyond = scale_of(surprise, detector, of_row) - scale_of(surprise, detector, values[n - k]);
    return avvik__bits_of((double)k / (n + 1)) + beyond / surprise->halving[detector];
}

static double halving_find(const struct avvik__surprise *surprise, enum avvik_detector detector)
{
    double sum = 0, weight = 0;
    for (uint32_t s = 0; s < surprise->n_strata; s++) {
        const uint32_t n = surprise->n_in[s], k = tail_rows(n);
        const double *end = surprise->held_out[detector] + surprise->first[s] + n;
        if (n < 2)
            continue;
        sum += k * (scale_of(surprise, detector, end[-(ptrdiff_t)k]) -
                    scale_of(surprise, detector, end[-2 * (ptrdiff_t)k]));
        weight += k;
    }
    return sum > 0 ? sum / weight : 1; /* a bit is what a half is worth */
}

/* Doubles as integers in the same order, and back. */
static int64_t ordered(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? INT64_MIN - bits : bits;
}

static double unordered(int64_t place)
{
    const int64_t bits = place < 0 ? INT64_MIN - place : place;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

double avvik__surprise_of_order(const struct avvik__surprise *surprise, enum avvik_detector detector, uint32_t stratum,
                                double order)
{
    int64_t below = ordered(-FLT_MAX), from = ordered(FLT_MAX);
    if (surprise->n_strata == 1)
        return order;
    while (below < from) {
        const int64_t middle = (below & from) + ((below ^ from) >> 1);
        if (avvik__surprise_order(surprise, detector, stratum, unordered(middle)) >= order)
            from = middle;
        else
            below = middle + 1;
    }
    return unordered(from);
}

static int numbers_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum avvik_status weights_take(struct avvik__surprise *surprise, const double *weights,
                                      struct avvik_error *error)
{
    double sum = 0;
    for (int d = 0; d < AVVIK_N_COMBINED; d++) {
        if (!(weights[d] >= 0) || !isfinite(weights[d]))
            return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a weight of %g for %s is not a number from 0 on",
                                    weights[d], avvik_detector_name((enum avvik_detector)d));
        sum += weights[d];
    }
    if (!(sum > 0) || !isfinite(sum))
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "the weights of the detectors add up to %g", sum);
    for (int d = 0; d < AVVIK_N_COMBINED; d++)
        surprise->weights[d] = weights[d] / sum;
    return AVVIK_OK;
}

void avvik__surprise_destroy(struct avvik__surprise *surprise)
{
    for (int d = 0; d < AVVIK_N_DETECTORS; d++)
        free(surprise->held_out[d]);
    for (int d = 0; d < AVVIK_N_COMBINED; d++)
        free(surprise->reference[d]);
    free(surprise->first);
    free(surprise->n_in);
    avvik__strata_destroy(&surprise->strata);
    memset(surprise, 0, sizeof *surprise);
}

static struct avvik__row_scores scores_at(const struct avvik__scored *scored, uint32_t i)
{
    return (struct avvik__row_scores){scored->path_sum[i], scored->deviation[i], scored->joint[i],
                                      scored->tails == NULL ? 0 : scored->tails[i]};
}

static enum avvik_status reference_take(struct avvik__surprise *surprise, const struct avvik__scored *reference,
                                        struct avvik_error *error)
{
    surprise->n_reference = reference->n;
    for (int d = 0; d < AVVIK_N_COMBINED; d++) {
        if ((surprise->reference[d] = calloc((size_t)reference->n + 1, sizeof(double))) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        for (uint32_t i = 0; i < reference->n; i++) {
            const struct avvik__row_scores row = scores_at(reference, i);
            surprise->reference[d][i] = avvik__surprise_of(surprise, (enum avvik_detector)d, &row);
        }
        qsort(surprise->reference[d], reference->n, sizeof(double), numbers_compare);
    }
    return AVVIK_OK;
}

/* Which strata there are, and how many held-out rows each has; stratum[i] is that of the i-th row. */
static enum avvik_status strata_take(struct avvik__surprise *surprise, const struct avvik__calibration *calibration,
                                     enum avvik_p_by p_by, uint32_t *stratum, const char *path,
                                     struct avvik_error *error)
{
    const struct avvik__strata *strata = &calibration->strata;
    struct avvik__strata *own = &surprise->strata;
    if (p_by == AVVIK_P_BY_GROUP && strata->n == 0)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0,
                                "%s: p-values by group need held-out rows with peer groups, which the model has none "
                                "of; fit it with --peers (anew, if an earlier version did), or take everyone",
                                path);
    surprise->n_strata = p_by == AVVIK_P_BY_EVERYONE || strata->n == 0 ? 1 : strata->n;
    surprise->first = calloc(surprise->n_strata, sizeof *surprise->first);
    surprise->n_in = calloc(surprise->n_strata, sizeof *surprise->n_in);
    if (surprise->first == NULL || surprise->n_in == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    if (surprise->n_strata > 1) {
        const size_t size = strata->n * sizeof(uint32_t);
        *own = (struct avvik__strata){strata->n, malloc(size), malloc(size), malloc(size)};
        if (own->group == NULL || own->last == NULL || own->parent == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        memcpy(own->group, strata->group, size);
        memcpy(own->last, strata->last, size);
        memcpy(own->parent, strata->parent, size);
    }
    for (uint32_t i = 0; i < surprise->n; i++) {
        stratum[i] = surprise->n_strata == 1 ? 0 : avvik__strata_of(own, calibration->held_out_groups[i]);
        surprise->n_in[stratum[i]]++;
    }
    for (uint32_t s = 0; s + 1 < surprise->n_strata; s++)
        surprise->first[s + 1] = surprise->first[s] + surprise->n_in[s];
    for (uint32_t s = 0; s < surprise->n_strata && surprise->n_strata > 1; s++)
        if (surprise->n_in[s] == 0)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                    "%s: a group of held-out rows is empty; the file was changed or damaged", path);
    return AVVIK_OK;
}

enum avvik_status avvik__surprise_init(struct avvik__surprise *surprise, const struct avvik__calibration *calibration,
                                       const double *weights, enum avvik_p_by p_by, const char *path,
                                       struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__scored *held_out = &calibration->held_out;
    uint32_t *stratum = calloc((size_t)held_out->n + 1, sizeof *stratum);
    uint32_t *next = NULL;
    *surprise = (struct avvik__surprise){.n = held_out->n};
    if (stratum == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(weights_take(surprise, weights, error));
    AVVIK_TRY(reference_take(surprise, &calibration->reference, error));
    AVVIK_TRY(strata_take(surprise, calibration, p_by, stratum, path, error));
    if ((next = malloc(surprise->n_strata * sizeof *next)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (int d = 0; d < AVVIK_N_DETECTORS; d++) {
        if ((surprise->held_out[d] = calloc((size_t)held_out->n + 1, sizeof(double))) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        memcpy(next, surprise->first, surprise->n_strata * sizeof *next);
        for (uint32_t i = 0; i < held_out->n; i++) {
            const struct avvik__row_scores row = scores_at(held_out, i);
            surprise->held_out[d][next[stratum[i]]++] = avvik__surprise_of(surprise, (enum avvik_detector)d, &row);
        }
        for (uint32_t s = 0; s < surprise->n_strata; s++)
            qsort(surprise->held_out[d] + surprise->first[s], surprise->n_in[s], sizeof(double), numbers_compare);
        surprise->halving[d] = halving_find(surprise, (enum avvik_detector)d);
    }
done:
    free(stratum);
    free(next);
    if (status != AVVIK_OK)
        avvik__surprise_destroy(surprise);
    return status;
}

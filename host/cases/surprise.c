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

/* The share of the reference that is x or more, made smooth so that no two scores become one: straight lines between
 * the values that there are, and beyond the k-th largest, where few are left, a tail. The tail is the generalised
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
    const uint32_t above = first_not_below(values, n, x); /* not 0, and below n - k */
    if (values[above] == x)
        return (double)(n - above) / (n + 1);
    const uint32_t below = first_not_below(values, above, values[above - 1]);
    const double share = (x - values[above - 1]) / (values[above] - values[above - 1]);
    return ((n - below) - share * (above - below)) / (n + 1);
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

double avvik__surprise_bits(const struct avvik__surprise *surprise, enum avvik_detector detector,
                            const struct avvik__row_scores *row)
{
    const double own = avvik__surprise_of(surprise, detector, row);
    return avvik__bits_of(share_above(surprise->reference[detector], surprise->n_reference, own));
}

uint32_t avvik__surprise_rank(const struct avvik__surprise *surprise, enum avvik_detector detector, double of_row)
{
    return 1 + surprise->n - first_not_below(surprise->held_out[detector], surprise->n, of_row);
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
    memset(surprise, 0, sizeof *surprise);
}

/* The surprise of row i of those that the model was calibrated on. */
static double scored_surprise(const struct avvik__surprise *surprise, enum avvik_detector detector,
                              const struct avvik__scored *scored, uint32_t i)
{
    const struct avvik__row_scores row = {scored->path_sum[i], scored->deviation[i], scored->joint[i],
                                          scored->tails == NULL ? 0 : scored->tails[i]};
    return avvik__surprise_of(surprise, detector, &row);
}

enum avvik_status avvik__surprise_init(struct avvik__surprise *surprise, const struct avvik__calibration *calibration,
                                       const double *weights, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__scored *reference = &calibration->reference, *held_out = &calibration->held_out;
    *surprise = (struct avvik__surprise){.n = held_out->n, .n_reference = reference->n};
    AVVIK_TRY(weights_take(surprise, weights, error));
    for (int d = 0; d < AVVIK_N_COMBINED; d++) {
        if ((surprise->reference[d] = calloc((size_t)reference->n + 1, sizeof(double))) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        for (uint32_t i = 0; i < reference->n; i++)
            surprise->reference[d][i] = scored_surprise(surprise, (enum avvik_detector)d, reference, i);
        qsort(surprise->reference[d], reference->n, sizeof(double), numbers_compare);
    }
    for (int d = 0; d < AVVIK_N_DETECTORS; d++) {
        if ((surprise->held_out[d] = calloc((size_t)held_out->n + 1, sizeof(double))) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        for (uint32_t i = 0; i < held_out->n; i++)
            surprise->held_out[d][i] = scored_surprise(surprise, (enum avvik_detector)d, held_out, i);
        qsort(surprise->held_out[d], held_out->n, sizeof(double), numbers_compare);
    }
done:
    if (status != AVVIK_OK)
        avvik__surprise_destroy(surprise);
    return status;
}

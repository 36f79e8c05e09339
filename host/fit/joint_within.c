#include "joint_within.h"

#include <stdlib.h>

#include "avvik_internal.h"

int avvik__joint_within_init(struct avvik__joint_within *within, uint32_t n_features, uint32_t n)
{
    *within = (struct avvik__joint_within){n,
                                           n_features,
                                           calloc(n, sizeof *within->rows),
                                           calloc(n, sizeof *within->squares),
                                           calloc((size_t)n * n_features, sizeof *within->means),
                                           calloc(n * AVVIK_JOINT_FACTOR(n_features), sizeof *within->covariances)};
    return within->rows != NULL && within->squares != NULL && within->means != NULL && within->covariances != NULL;
}

void avvik__joint_within_destroy(struct avvik__joint_within *within)
{
    free(within->rows);
    free(within->squares);
    free(within->means);
    free(within->covariances);
    *within = (struct avvik__joint_within){0};
}

uint64_t avvik__joint_within_bytes(uint32_t n_features)
{
    return sizeof(uint64_t) + (1 + n_features + AVVIK_JOINT_FACTOR(n_features)) * sizeof(double);
}

static double *covariance_of(const struct avvik__joint_within *within, uint32_t number)
{
    return within->covariances + number * AVVIK_JOINT_FACTOR(within->n_features);
}

void avvik__joint_within_take(struct avvik__joint_within *within, uint32_t number, const struct avvik__joint_sums *sums)
{
    struct avvik__covariance c = {0};
    size_t columns[AVVIK_JOINT_FEATURES];
    double *covariance = covariance_of(within, number);
    avvik__joint_sums_covariance(sums, within->n_features, &c, columns,
                                 within->means + (size_t)number * within->n_features);
    within->rows[number] = sums->n;
    within->squares[number] = c.squares;
    for (size_t i = 0; i < c.n_features; i++)
        for (size_t j = 0; j <= i; j++)
            covariance[AVVIK_SUMS_AT(columns[i], columns[j])] = c.matrix[i][j];
}

/* Of the features that vary in a group, c being zeros. */
static void matrix_take(const struct avvik__joint_within *within, uint32_t number, struct avvik__covariance *c,
                        size_t *columns)
{
    const double *covariance = covariance_of(within, number);
    for (size_t f = 0; f < within->n_features; f++)
        if (covariance[AVVIK_SUMS_AT(f, f)] > 0)
            columns[c->n_features++] = f;
    for (size_t i = 0; i < c->n_features; i++)
        for (size_t j = 0; j <= i; j++)
            c->matrix[i][j] = covariance[AVVIK_SUMS_AT(columns[i], columns[j])];
}

void avvik__joint_within_pool(struct avvik__joint_within *within)
{
    struct avvik__covariance c = {0};
    size_t columns[AVVIK_JOINT_FEATURES];
    const size_t n_entries = AVVIK_JOINT_FACTOR(within->n_features);
    double *pooled = covariance_of(within, 0);
    for (uint32_t k = 1; k < within->n; k++)
        within->rows[0] += within->rows[k];
    for (uint32_t k = 1; k < within->n; k++)
        for (size_t i = 0; i < n_entries; i++)
            pooled[i] += (double)within->rows[k] / (double)within->rows[0] * covariance_of(within, k)[i];
    matrix_take(within, 0, &c, columns);
    for (uint32_t k = 1; k < within->n; k++)
        c.squares += within->squares[k];
    if (c.n_features > 0)
        avvik__covariance_shrink(&c, (double)within->rows[0]);
    for (size_t i = 0; i < c.n_features; i++)
        for (size_t j = 0; j <= i; j++)
            pooled[AVVIK_SUMS_AT(columns[i], columns[j])] = c.matrix[i][j];
}

enum avvik_status avvik__joint_within_learn(const struct avvik__joint_within *within, uint32_t number, float *mean,
                                            float *factor, uint32_t *n_constant, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__covariance c = {0};
    size_t columns[AVVIK_JOINT_FEATURES];
    const double *pooled = covariance_of(within, 0);
    matrix_take(within, number, &c, columns);
    const double n = (double)within->rows[number], prior = (double)AVVIK_JOINT_FACTOR(c.n_features);
    for (size_t i = 0; i < c.n_features; i++)
        for (size_t j = 0; j <= i; j++)
            c.matrix[i][j] = (n * c.matrix[i][j] + prior * pooled[AVVIK_SUMS_AT(columns[i], columns[j])]) / (n + prior);
    /* Without squares there is no noise to shrink for: by the least, which keeps columns apart. */
    AVVIK_TRY(avvik__covariance_whiten(&c, n, error));
    avvik__joint_store(&c, columns, within->means + (size_t)number * within->n_features, within->n_features, mean,
                       factor);
    *n_constant = within->n_features - (uint32_t)c.n_features;
done:
    return status;
}

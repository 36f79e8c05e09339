#include "covariance.h"

#include <math.h>

#define N AVVIK_JOINT_FEATURES
#define LEAST_SHRINKAGE 1e-6 /* so that no two columns that are one make the covariance singular */

/* Towards mu I, as far as sampling noise makes it worth while. */
static void covariance_shrink(struct avvik__covariance *c, double rows)
{
    double mu = 0, norm = 0; /* mean variance; squared Frobenius norm */
    const double p = (double)c->n_features;
    for (size_t i = 0; i < c->n_features; i++) {
        mu += c->matrix[i][i] / p;
        for (size_t j = 0; j <= i; j++)
            norm += (i == j ? 1 : 2) * c->matrix[i][j] * c->matrix[i][j];
    }
    const double noise = (c->squares / rows - norm) / (p * rows), distance = norm / p - mu * mu;
    const double wanted = noise <= 0 ? 0 : noise < distance ? noise / distance : 1;
    const double shrinkage = wanted < LEAST_SHRINKAGE ? LEAST_SHRINKAGE : wanted;
    for (size_t i = 0; i < c->n_features; i++) {
        for (size_t j = 0; j <= i; j++)
            c->matrix[i][j] *= 1 - shrinkage;
        c->matrix[i][i] += shrinkage * mu;
    }
}

/* The lower triangle becomes the inverse of its Cholesky factor: L by rows, then W L = I row by row. */
static void factor_invert(struct avvik__covariance *c)
{
    double(*l)[N] = c->matrix, inverse[N];
    for (size_t i = 0; i < c->n_features; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = l[i][j];
            for (size_t k = 0; k < j; k++)
                sum -= l[i][k] * l[j][k];
            l[i][j] = i == j ? sqrt(sum) : sum / l[j][j];
        }
    for (size_t i = 0; i < c->n_features; i++) { /* rows above i hold W already */
        for (size_t j = 0; j < i; j++) {
            inverse[j] = 0;
            for (size_t k = j; k < i; k++)
                inverse[j] -= l[i][k] * l[k][j];
        }
        for (size_t j = 0; j < i; j++)
            l[i][j] = inverse[j] / l[i][i];
        l[i][i] = 1 / l[i][i];
    }
}

void avvik__covariance_whiten(struct avvik__covariance *c, double n)
{
    covariance_shrink(c, n);
    factor_invert(c);
}

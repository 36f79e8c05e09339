#include "joint.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

#define N AVVIK_JOINT_FEATURES
#define LEAST_SHRINKAGE 1e-6 /* so that no two columns that are one make the covariance singular */
#define LEAST_FACTOR 1e-20f  /* smaller entries are 0, so that no product is a denormal */

struct covariance {
    size_t n_features; /* that vary */
    double matrix[N][N];
    double squares; /* sum over rows of (sum of squares of the row)^2 */
};

/* About the mean, over the n rows of which `columns` vary. */
static void covariance_sum(struct covariance *c, const float *values, size_t n, size_t stride, const double *mean,
                           const size_t *columns)
{
    double row[N];
    for (size_t r = 0; r < n; r++) {
        double square = 0;
        for (size_t i = 0; i < c->n_features; i++) {
            row[i] = values[r * stride + columns[i]] - mean[columns[i]];
            square += row[i] * row[i];
        }
        c->squares += square * square;
        for (size_t i = 0; i < c->n_features; i++)
            for (size_t j = 0; j <= i; j++)
                c->matrix[i][j] += row[i] * row[j];
    }
    for (size_t i = 0; i < c->n_features; i++)
        for (size_t j = 0; j <= i; j++)
            c->matrix[i][j] /= (double)n;
}

/* Towards mu I, as far as sampling noise makes it worth while. */
static void covariance_shrink(struct covariance *c, size_t n)
{
    double mu = 0, norm = 0; /* mean variance; squared Frobenius norm */
    const double p = (double)c->n_features, rows = (double)n;
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
static void factor_invert(struct covariance *c)
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

void avvik__joint_learn(struct avvik__joint *joint, const float *values, size_t n, uint32_t n_features)
{
    struct covariance c = {0};
    double mean[N] = {0};
    size_t columns[N];
    *joint = (struct avvik__joint){.n_features = n_features};
    for (size_t r = 0; r < n; r++)
        for (size_t f = 0; f < n_features; f++)
            mean[f] += values[r * n_features + f];
    for (size_t f = 0; f < n_features; f++) {
        int varies = 0;
        for (size_t r = 1; r < n && !varies; r++)
            varies = values[r * n_features + f] != values[f];
        mean[f] /= (double)n;
        if (varies)
            columns[c.n_features++] = f;
    }
    covariance_sum(&c, values, n, n_features, mean, columns);
    covariance_shrink(&c, n);
    factor_invert(&c);
    for (size_t i = 0; i < c.n_features; i++) {
        const size_t row = columns[i];
        joint->mean[row] = fabs(mean[row]) < FLT_MIN ? 0 : (float)mean[row];
        for (size_t j = 0; j <= i; j++) {
            const float entry = (float)c.matrix[i][j];
            joint->factor[row * (row + 1) / 2 + columns[j]] = fabsf(entry) < LEAST_FACTOR ? 0 : entry;
        }
    }
}

enum avvik_status avvik__joint_put(const struct avvik__joint *joint, struct avvik__record *record,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t n = joint->n_features, n_factor = n * (n + 1) / 2;
    if (n == 0)
        return AVVIK_OK;
    AVVIK_TRY(avvik__record_group(record, "/joint", error));
    AVVIK_TRY(avvik__record_put(record, "/joint/mean", AVVIK_F32, 1, &n, joint->mean, error));
    AVVIK_TRY(avvik__record_put(record, "/joint/factor", AVVIK_F32, 1, &n_factor, joint->factor, error));
done:
    return status;
}

/* n numbers that are finite, and 0 or at least `least` in magnitude. */
static enum avvik_status floats_get(struct avvik__record *record, const char *name, uint64_t n, float least,
                                    float *into, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    void *data = NULL;
    AVVIK_TRY(avvik__record_get(record, name, AVVIK_F32, 1, &n, &data, error));
    memcpy(into, data, n * sizeof *into);
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(into[i]) || (into[i] != 0 && fabsf(into[i]) < least))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s has a number that cannot be; the model was changed or damaged",
                       path, name);
done:
    free(data);
    return status;
}

enum avvik_status avvik__joint_get(struct avvik__joint *joint, uint32_t n_features, struct avvik__record *record,
                                   const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t n = n_features;
    *joint = (struct avvik__joint){0};
    if (!avvik__record_has(record, "/joint"))
        return AVVIK_OK;
    if (n > AVVIK_JOINT_FEATURES)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: a joint deviation over %u features is not known", path,
                                n_features);
    joint->n_features = n_features;
    AVVIK_TRY(floats_get(record, "/joint/mean", n, FLT_MIN, joint->mean, path, error));
    AVVIK_TRY(floats_get(record, "/joint/factor", n * (n + 1) / 2, LEAST_FACTOR, joint->factor, path, error));
done:
    return status;
}

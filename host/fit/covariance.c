#include "covariance.h"

#include <lapack.h>
#include <math.h>
#include <string.h>

#include "avvik_internal.h"

#define N AVVIK_JOINT_FEATURES
#define LEAST_SHRINKAGE 1e-6 /* so that no two columns that are one make the covariance singular */
#define NEAR 0x1p-40         /* W C W' differs from I by so little: after one more step by 2^-80 */
#define FAR 0x1p-20          /* by more: that is no inverse */

pthread_mutex_t avvik__blas_lock = PTHREAD_MUTEX_INITIALIZER;

void avvik__covariance_shrink(struct avvik__covariance *c, double rows)
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

/* A sum of two doubles, the second at most half a last place of the first (Dekker 1971). */
struct twofold {
    double high, low;
};

/* sum + a b. Both roundings of order 2^-104 that are left out are far below what is asked for. */
static struct twofold product_add(struct twofold sum, struct twofold a, struct twofold b)
{
    const double product = a.high * b.high, high = sum.high + product, part = high - sum.high;
    const double low = fma(a.high, b.high, -product) + (a.high * b.low + a.low * b.high) + sum.low +
                       ((sum.high - (high - part)) + (product - part));
    const double rounded = high + low;
    return (struct twofold){rounded, low - (rounded - high)};
}

/* W becomes nearer to the inverse Cholesky factor of c: of W c W' = I + R it is W - (lower half of R) W up to terms in
 * R^2 (Newton's step). From the last row to the first, as each needs those above it as they were. Returns the largest
 * entry of R. */
static double factor_refine(struct twofold (*w)[N], const struct avvik__covariance *c)
{
    double largest = 0;
    for (size_t i = c->n_features; i-- > 0;) {
        struct twofold row[N], change[N]; /* of W c; of -(lower half of R), then of the product with W */
        for (size_t j = 0; j <= i; j++) {
            row[j] = (struct twofold){0, 0};
            for (size_t k = 0; k <= i; k++)
                row[j] = product_add(row[j], w[i][k], (struct twofold){k > j ? c->matrix[k][j] : c->matrix[j][k], 0});
        }
        for (size_t j = 0; j <= i; j++) {
            struct twofold sum = {i == j ? -1 : 0, 0};
            for (size_t k = 0; k <= j; k++)
                sum = product_add(sum, row[k], w[j][k]);
            largest = fabs(sum.high) < HUGE_VAL ? fmax(largest, fabs(sum.high)) : HUGE_VAL; /* NaN is no small one */
            const double part = i == j ? -0.5 : -1;
            change[j] = (struct twofold){part * sum.high, part * sum.low};
        }
        for (size_t j = 0; j <= i; j++) {
            struct twofold sum = w[i][j];
            for (size_t k = j; k <= i; k++)
                sum = product_add(sum, change[k], w[k][j]);
            row[j] = sum;
        }
        memcpy(w[i], row, (i + 1) * sizeof row[0]);
    }
    return largest;
}

/* The lower triangle becomes the inverse of its Cholesky factor. LAPACK's has last bits that depend on the machine, and
 * an error up to 1e-8 where columns are nearly one; it is refined until the double next to it is the same everywhere. */
static enum avvik_status factor_invert(struct avvik__covariance *c, struct avvik_error *error)
{
    double l[N][N];
    struct twofold w[N][N];
    int n = (int)c->n_features, lda = N, factored = 0, inverted = 0;
    memcpy(l, c->matrix, sizeof l); /* the lower triangle by rows is the upper one by columns, which LAPACK wants */
    pthread_mutex_lock(&avvik__blas_lock);
    LAPACK_dpotrf("U", &n, l[0], &lda, &factored);
    LAPACK_dtrtri("U", "N", &n, l[0], &lda, &inverted);
    pthread_mutex_unlock(&avvik__blas_lock);
    for (size_t i = 0; i < c->n_features; i++)
        for (size_t j = 0; j <= i; j++)
            w[i][j] = (struct twofold){l[i][j], 0};
    double off = factor_refine(w, c); /* before the step */
    if (off >= NEAR && off < FAR)
        off = factor_refine(w, c);
    if (factored != 0 || inverted != 0 || !(off < NEAR))
        return avvik__error_set(
            error, AVVIK_ERR_INTERNAL, 0,
            "LAPACK does not invert the covariance of the features (dpotrf %d, dtrtri %d, off by %g)", factored,
            inverted, off);
    for (size_t i = 0; i < c->n_features; i++)
        for (size_t j = 0; j <= i; j++)
            c->matrix[i][j] = w[i][j].high;
    return AVVIK_OK;
}

enum avvik_status avvik__covariance_whiten(struct avvik__covariance *c, double n, struct avvik_error *error)
{
    if (c->n_features == 0)
        return AVVIK_OK;
    avvik__covariance_shrink(c, n);
    return factor_invert(c, error);
}

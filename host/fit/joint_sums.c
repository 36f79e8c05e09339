#include "joint_sums.h"

#include <cblas.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "avvik_internal.h"
#include "covariance.h"
#include "joint.h"

#define USUAL (16 * AVVIK_SUMS_LOG)               /* values up to here, and none is above 8 times as much, */
#define FEW_ROWS 2                                /* else products of more rows might not be exact */
#define SQUARE (AVVIK_SUMS_LOG * AVVIK_SUMS_LOG)  /* a squared norm of 1 */
#define SQUARE_STEP (INT64_C(1) << (2 * 19 - 24)) /* 2^-24, the step of `squares` */
#define REST_STEP (SQUARE * 0x1p-27)

size_t avvik__joint_sums_bytes(size_t n_features)
{
    return sizeof(struct avvik__joint_sums) + AVVIK_SUMS_PRODUCTS(n_features) * sizeof(avvik__int128);
}

void avvik__joint_batch_take(struct avvik__joint_batch *batch, const struct avvik__kernels *kernels, size_t feature,
                             const float *column, const uint32_t *places, size_t n, float center, float rscale)
{
    float x[AVVIK_SUMS_ROWS];
    for (size_t i = 0; i < n; i++)
        x[i] = column[places[i]];
    batch->largest = fmax(batch->largest, kernels->joint_logs(batch->columns[feature], x, n, center, rscale));
}

/* Squared norms of the rows, and what else is multiplied. A squared norm is at most 2^58; in eighths of 1 it is at most
 * 2^23, and so is what is left of it, in steps of 2^-27. */
static void norms_find(struct avvik__joint_batch *batch, size_t n_features, size_t n)
{
    double *eighths = batch->columns[n_features], *rests = batch->columns[n_features + 1];
    double *ones = batch->columns[n_features + 2], usual[AVVIK_SUMS_ROWS] = {0};
    int64_t norms[AVVIK_SUMS_ROWS] = {0};
    for (size_t f = 0; f < n_features; f++)
        for (size_t i = 0; i < n; i++)
            usual[i] += batch->columns[f][i] * batch->columns[f][i]; /* exact up to USUAL: below 2^53 */
    for (size_t i = 0; i < n; i++)
        norms[i] = (int64_t)usual[i];
    for (size_t i = 0; i < n && batch->largest > USUAL; i++) {
        norms[i] = 0;
        for (size_t f = 0; f < n_features; f++)
            norms[i] += (int64_t)batch->columns[f][i] * (int64_t)batch->columns[f][i];
    }
    batch->squares = 0;
    for (size_t i = 0; i < n; i++) {
        const int64_t norm = norms[i] / SQUARE_STEP;
        batch->squares += (avvik__int128)norm * norm;
        eighths[i] = rint((double)norms[i] / (SQUARE / 8));
        rests[i] = rint((double)(norms[i] - (int64_t)(eighths[i] * (SQUARE / 8))) / REST_STEP);
        ones[i] = 1;
    }
}

/* Rows [first, first + n). No sum is above 2^53: exact in whatever order OpenBLAS adds on this machine. */
static void products_add(struct avvik__joint_batch *batch, size_t n_features, size_t first, size_t n)
{
    const size_t n_columns = AVVIK_SUMS_COLUMNS(n_features);
    int64_t *products = batch->products;
    pthread_mutex_lock(&avvik__blas_lock);
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, (int)n_columns, (int)n, 1, batch->columns[0] + first,
                AVVIK_SUMS_ROWS, 0, batch->gram, (int)n_columns);
    pthread_mutex_unlock(&avvik__blas_lock);
    for (size_t i = 0; i < n_columns; i++)
        for (size_t j = 0; j <= i; j++)
            *products++ += (int64_t)batch->gram[i * n_columns + j];
}

/* Sums of products of 128 rows with values up to 2^23, or of two with values up to 2^26, are not above 2^53. */
void avvik__joint_batch_multiply(struct avvik__joint_batch *batch, size_t n_features, size_t n)
{
    const size_t at_once = batch->largest <= USUAL ? n : FEW_ROWS;
    norms_find(batch, n_features, n);
    memset(batch->products, 0, AVVIK_SUMS_PRODUCTS(n_features) * sizeof *batch->products);
    for (size_t first = 0; first < n; first += at_once)
        products_add(batch, n_features, first, n - first < at_once ? n - first : at_once);
    batch->largest = 0;
}

void avvik__joint_sums_add(struct avvik__joint_sums *sums, const struct avvik__joint_batch *batch, size_t n_features,
                           size_t n)
{
    sums->n += n;
    sums->squares += batch->squares;
    for (size_t i = 0; i < AVVIK_SUMS_PRODUCTS(n_features); i++)
        sums->products[i] += batch->products[i];
}

/* The sum over rows of |s - m|^4, from sums that are not about the mean:
 *   sum |s|^4 + 4 m' (sum s s') m - 3 n |m|^4 - 4 m' (sum |s|^2 s) + 2 |m|^2 sum |s|^2 */
static double fourth_moment(const struct avvik__joint_sums *sums, uint32_t n_features, const double *mean)
{
    const avvik__int128 *eighths = sums->products + AVVIK_SUMS_AT((size_t)n_features, 0);
    const avvik__int128 *rests = sums->products + AVVIK_SUMS_AT((size_t)n_features + 1, 0);
    const double step = 1.0 / AVVIK_SUMS_LOG, square = step * step;
    double norm = 0, trace = 0, inner = 0, outer = 0; /* |m|^2, sum |s|^2, m' (sum s s') m, m' (sum |s|^2 s) */
    for (size_t i = 0; i < n_features; i++) {
        norm += mean[i] * mean[i];
        trace += (double)sums->products[AVVIK_SUMS_AT(i, i)] * square;
        outer += mean[i] * (((double)eighths[i] / 8 + (double)rests[i] * 0x1p-27) * step);
        for (size_t j = 0; j <= i; j++)
            inner += (i == j ? 1 : 2) * mean[i] * mean[j] * ((double)sums->products[AVVIK_SUMS_AT(i, j)] * square);
    }
    return (double)sums->squares * 0x1p-48 + 4 * inner - 3 * (double)sums->n * norm * norm - 4 * outer +
           2 * norm * trace;
}

void avvik__joint_store(const struct avvik__covariance *c, const size_t *columns, const double *means,
                        uint32_t n_features, float *mean, float *factor)
{
    memset(mean, 0, n_features * sizeof *mean);
    memset(factor, 0, AVVIK_JOINT_FACTOR(n_features) * sizeof *factor);
    for (size_t i = 0; i < c->n_features; i++) {
        const size_t row = columns[i];
        mean[row] = fabs(means[row]) < FLT_MIN ? 0 : (float)means[row];
        for (size_t j = 0; j <= i; j++) {
            const float entry = (float)c->matrix[i][j];
            factor[row * (row + 1) / 2 + columns[j]] = fabsf(entry) < AVVIK_JOINT_LEAST_FACTOR ? 0 : entry;
        }
    }
}

void avvik__joint_sums_covariance(const struct avvik__joint_sums *sums, uint32_t n_features,
                                  struct avvik__covariance *c, size_t *columns, double *means)
{
    const avvik__int128 n = (avvik__int128)sums->n, *products = sums->products;
    const avvik__int128 *all = products + AVVIK_SUMS_AT((size_t)n_features + 2, 0);
    const double scale = (double)sums->n * (double)sums->n * AVVIK_SUMS_LOG * AVVIK_SUMS_LOG;
    for (size_t f = 0; f < n_features; f++) {
        means[f] = (double)all[f] / (double)sums->n / AVVIK_SUMS_LOG;
        if (n * products[AVVIK_SUMS_AT(f, f)] != all[f] * all[f])
            columns[c->n_features++] = f;
    }
    for (size_t i = 0; i < c->n_features; i++)
        for (size_t j = 0; j <= i; j++) { /* n sum s_i s_j - sum s_i sum s_j is below 2^126, of 2^37 rows */
            const size_t at = AVVIK_SUMS_AT(columns[i], columns[j]);
            c->matrix[i][j] = (double)(n * products[at] - all[columns[i]] * all[columns[j]]) / scale;
        }
    c->squares = fourth_moment(sums, n_features, means);
}

enum avvik_status avvik__joint_sums_learn(const struct avvik__joint_sums *sums, uint32_t n_features, float *mean,
                                          float *factor, uint32_t *n_constant, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__covariance c = {0};
    double means[AVVIK_JOINT_FEATURES];
    size_t columns[AVVIK_JOINT_FEATURES];
    avvik__joint_sums_covariance(sums, n_features, &c, columns, means);
    AVVIK_TRY(avvik__covariance_whiten(&c, (double)sums->n, error));
    avvik__joint_store(&c, columns, means, n_features, mean, factor);
    if (n_constant != NULL)
        *n_constant = n_features - (uint32_t)c.n_features;
done:
    return status;
}

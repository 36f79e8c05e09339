/* Exact sums over the rows of a group, from which its covariance follows: in whole numbers, so that rows may be added
 * in any order, by any thread, and the result is the same. */
#ifndef AVVIK_JOINT_SUMS_H
#define AVVIK_JOINT_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"
#include "covariance.h"
#include "kernels.h"

__extension__ typedef __int128 avvik__int128;

/* Row i, column j <= i of a lower triangle by rows. */
#define AVVIK_SUMS_AT(i, j) ((size_t)(i) * ((i) + 1) / 2 + (j))
/* A row's numbers: its values, its squared norm in whole eighths, what is left of that in steps of 2^-27, and 1. */
#define AVVIK_SUMS_COLUMNS(n_features) ((n_features) + 3)
/* Sums of products of two of them. */
#define AVVIK_SUMS_PRODUCTS(n_features) AVVIK_SUMS_AT(AVVIK_SUMS_COLUMNS(n_features), 0)

/* Sums of one group; n_features is known to who uses them. */
struct avvik__joint_sums {
    uint64_t n;               /* rows */
    avvik__int128 squares;    /* sum of the squares of the squared norms, which are in steps of 2^-24 */
    avvik__int128 products[]; /* AVVIK_SUMS_PRODUCTS(n_features) */
};

/* Bytes of one; a multiple of 16. */
size_t avvik__joint_sums_bytes(size_t n_features);

/* Scratch of a thread: rows in steps of 1 / AVVIK_SUMS_LOG, and what they add to the sums. */
struct avvik__joint_batch {
    double columns[AVVIK_SUMS_COLUMNS(AVVIK_JOINT_FEATURES)][AVVIK_SUMS_ROWS]; /* whole numbers */
    double gram[AVVIK_SUMS_COLUMNS(AVVIK_JOINT_FEATURES) * AVVIK_SUMS_COLUMNS(AVVIK_JOINT_FEATURES)];
    double largest; /* of the rows' values, since it was set to 0 */
    int64_t products[AVVIK_SUMS_PRODUCTS(AVVIK_JOINT_FEATURES)];
    avvik__int128 squares;
};

/* From values of a column at the given places, missing ones being NaN, to feature `feature` of the batch. */
void avvik__joint_batch_take(struct avvik__joint_batch *batch, const struct avvik__kernels *kernels, size_t feature,
                             const float *column, const uint32_t *places, size_t n, float center, float rscale);
/* All features of n rows (1 to AVVIK_SUMS_ROWS) are taken: form their products; largest is 0 again. */
void avvik__joint_batch_multiply(struct avvik__joint_batch *batch, size_t n_features, size_t n);
/* Add the products to the sums of a group. */
void avvik__joint_sums_add(struct avvik__joint_sums *sums, const struct avvik__joint_batch *batch, size_t n_features,
                           size_t n);

/* Means (n_features) of rows that are all added, and their covariance over those features that vary, whose numbers are
 * in `columns` (n_features). *c is zeros before. */
void avvik__joint_sums_covariance(const struct avvik__joint_sums *sums, uint32_t n_features,
                                  struct avvik__covariance *c, size_t *columns, double *means);

/* Mean and factor as a model has them, from a covariance that is whitened; columns: those of its features. */
void avvik__joint_store(const struct avvik__covariance *c, const size_t *columns, const double *means,
                        uint32_t n_features, float *mean, float *factor);

/* Mean (n_features) and factor (lower triangle by rows) of rows that are all added (2 or more), as struct avvik__joint
 * has them. A feature that does not vary has mean and factor 0; n_constant (out, may be NULL) counts those. Fails as
 * avvik__covariance_whiten() does. */
enum avvik_status avvik__joint_sums_learn(const struct avvik__joint_sums *sums, uint32_t n_features, float *mean,
                                          float *factor, uint32_t *n_constant, struct avvik_error *error);

#endif

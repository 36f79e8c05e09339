/* A covariance that rows have, shrunk so that it can be inverted, and what whitens it (kernels/README.md, "Joint
 * deviation"). Sums run in a fixed order, in double and without a library: the same on every machine. */
#ifndef AVVIK_COVARIANCE_H
#define AVVIK_COVARIANCE_H

#include <stddef.h>

#include "kernel_types.h"

struct avvik__covariance {
    size_t n_features;                                         /* that vary */
    double matrix[AVVIK_JOINT_FEATURES][AVVIK_JOINT_FEATURES]; /* lower triangle */
    double squares;                                            /* sum over rows of (squared distance from the mean)^2 */
};

/* The covariance of n rows, divided by n, is shrunk towards its mean variance (Ledoit and Wolf 2004, "A
 * well-conditioned estimator for large-dimensional covariance matrices", lemma 3.2 to 3.4) and becomes the inverse of
 * its Cholesky factor. */
void avvik__covariance_whiten(struct avvik__covariance *c, double n);

#endif

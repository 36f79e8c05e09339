/* A covariance that rows have, shrunk so that it can be inverted, and what whitens it (kernels/README.md, "Joint
 * deviation"). The same on every machine, whatever OpenBLAS does there. */
#ifndef AVVIK_COVARIANCE_H
#define AVVIK_COVARIANCE_H

#include <stddef.h>

#include "avvik/status.h"
#include "kernel_types.h"

struct avvik__covariance {
    size_t n_features;                                         /* that vary */
    double matrix[AVVIK_JOINT_FEATURES][AVVIK_JOINT_FEATURES]; /* lower triangle */
    double squares;                                            /* sum over rows of (squared distance from the mean)^2 */
};

/* The covariance of n rows, divided by n, is shrunk towards its mean variance (Ledoit and Wolf 2004, "A
 * well-conditioned estimator for large-dimensional covariance matrices", lemma 3.2 to 3.4) and becomes the inverse of
 * its Cholesky factor, rounded to double. AVVIK_ERR_INTERNAL if LAPACK's is none. */
enum avvik_status avvik__covariance_whiten(struct avvik__covariance *c, double n, struct avvik_error *error);

#endif

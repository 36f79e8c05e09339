/* A covariance that rows have, shrunk so that it can be inverted, and what whitens it (kernels/README.md, "Joint
 * deviation"). The same on every machine, whatever OpenBLAS does there. */
#ifndef AVVIK_COVARIANCE_H
#define AVVIK_COVARIANCE_H

#include <pthread.h>
#include <stddef.h>

#include "avvik/status.h"
#include "kernel_types.h"

/* Debian's serial OpenBLAS must not be called by two threads at once, whatever the function: they share its buffers. */
extern pthread_mutex_t avvik__blas_lock;

struct avvik__covariance {
    size_t n_features;                                         /* that vary */
    double matrix[AVVIK_JOINT_FEATURES][AVVIK_JOINT_FEATURES]; /* lower triangle */
    double squares;                                            /* sum over rows of (squared distance from the mean)^2 */
};

/* The covariance of n rows, divided by n, is shrunk towards its mean variance as far as sampling noise makes it worth
 * while (Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", lemma 3.2 to
 * 3.4), by 1e-6 at least. */
void avvik__covariance_shrink(struct avvik__covariance *c, double n);

/* The same, and it becomes the inverse of its Cholesky factor, rounded to double. AVVIK_ERR_INTERNAL if LAPACK's is
 * none. */
enum avvik_status avvik__covariance_whiten(struct avvik__covariance *c, double n, struct avvik_error *error);

#endif

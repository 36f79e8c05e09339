/* How features vary together: a shrunk covariance of the signed logarithms of z-scores, and its inverse Cholesky factor
 * (kernels/README.md, "Joint deviation"). */
#ifndef AVVIK_JOINT_H
#define AVVIK_JOINT_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"
#include "kernel_types.h"
#include "record_file.h"

#define AVVIK_JOINT_FACTOR (AVVIK_JOINT_FEATURES * (AVVIK_JOINT_FEATURES + 1) / 2)
#define AVVIK_JOINT_ROWS 16384 /* that it is learnt from, at most */

struct avvik__joint {
    uint32_t n_features; /* 0: the model has none */
    float mean[AVVIK_JOINT_FEATURES];
    float factor[AVVIK_JOINT_FACTOR]; /* W, lower triangle by rows: row i from i (i + 1) / 2 on */
};

/* From n rows of n_features values (1 to AVVIK_JOINT_FEATURES; finite; n >= 2): Ledoit and Wolf (2004), "A
 * well-conditioned estimator for large-dimensional covariance matrices", lemma 3.2 to 3.4, then its Cholesky factor
 * inverted. A column that does not vary has mean and factor 0. Sums run in row order, in double: the same on every
 * machine. */
void avvik__joint_learn(struct avvik__joint *joint, const float *values, size_t n, uint32_t n_features);

/* /joint of a model, if it has one. What is read is checked: AVVIK_ERR_FORMAT, named after `path`. */
enum avvik_status avvik__joint_put(const struct avvik__joint *joint, struct avvik__record *record,
                                   struct avvik_error *error);
enum avvik_status avvik__joint_get(struct avvik__joint *joint, uint32_t n_features, struct avvik__record *record,
                                   const char *path, struct avvik_error *error);

#endif

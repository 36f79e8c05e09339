/* Covariances of large groups, each shrunk towards what all of them have within (kernels/README.md, "Joint
 * deviation"). */
#ifndef AVVIK_JOINT_WITHIN_H
#define AVVIK_JOINT_WITHIN_H

#include <stdint.h>

#include "joint.h"
#include "joint_sums.h"

/* What is known of each group, by numbers of struct avvik__joint; number 0 is what is within all of them. */
struct avvik__joint_within {
    uint32_t n, n_features;
    uint64_t *rows;      /* [n] */
    double *squares;     /* [n]: as in struct avvik__covariance */
    double *means;       /* [n][feature] */
    double *covariances; /* [n][lower triangle by rows]; 0 where a feature does not vary */
};

/* n: of groups, and 1. 0 without memory. Release with avvik__joint_within_destroy(). */
int avvik__joint_within_init(struct avvik__joint_within *within, uint32_t n_features, uint32_t n);
void avvik__joint_within_destroy(struct avvik__joint_within *within);
/* Bytes of one group in it. */
uint64_t avvik__joint_within_bytes(uint32_t n_features);

/* What a group's rows add up to; groups in any order, by any thread. */
void avvik__joint_within_take(struct avvik__joint_within *within, uint32_t number,
                              const struct avvik__joint_sums *sums);

/* All groups are taken: the covariance within them, which is the mean of theirs, each weighted by its rows, shrunk by
 * Ledoit and Wolf (2004). */
void avvik__joint_within_pool(struct avvik__joint_within *within);

/* Mean and factor of a group, as avvik__joint_store() has them, of its covariance S and that within all groups, T,
 *   (n S + v T) / (n + v),   v = p (p + 1) / 2,
 * n being its rows and v the numbers that a covariance of its p features has: an inverse Wishart prior that is worth v
 * rows (Greene and Rayens 1989, "Partially pooled covariance matrix estimation in discriminant analysis"; one line of
 * Friedman 1989, "Regularized discriminant analysis"). n_constant (out) counts features that do not vary in the group.
 * Fails as avvik__covariance_whiten() does. */
enum avvik_status avvik__joint_within_learn(const struct avvik__joint_within *within, uint32_t number, float *mean,
                                            float *factor, uint32_t *n_constant, struct avvik_error *error);

#endif

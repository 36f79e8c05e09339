/* How features vary together, among everyone and within large peer groups: a shrunk covariance of the signed logarithms
 * of z-scores, and its inverse Cholesky factor (kernels/README.md, "Joint deviation"). */
#ifndef AVVIK_JOINT_H
#define AVVIK_JOINT_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"
#include "groups.h"
#include "kernel_types.h"
#include "record_file.h"

#define AVVIK_JOINT_FACTOR(n_features) ((size_t)(n_features) * ((n_features) + 1) / 2)
#define AVVIK_JOINT_LEAST_FACTOR 1e-20f       /* smaller entries are 0, so that no product is a denormal */
#define AVVIK_JOINT_PEERS_LEAST 16            /* rows of a group that has its own, whatever somebody says */
#define AVVIK_JOINT_ROWS 16384                /* that everyone's is learnt from, at most */
#define AVVIK_JOINT_BYTES ((uint64_t)8 << 20) /* of all means and factors of groups, at most */

/* Several of them: everyone's first, then those of groups that have their own. Rows of other groups are measured with
 * that of the nearest group around theirs. */
struct avvik__joint {
    uint32_t n_features; /* 0: the model has none, and n is 0 */
    uint32_t n;
    uint64_t min_rows; /* that a group must have to get one; 0 where none has */
    uint32_t *group;   /* [n]: whose; ascending from 0, everyone */
    uint64_t *rows;    /* [n]: of the group that it was learnt from; 0 for everyone's */
    float *mean;       /* [n][feature] */
    float *factor;     /* [n]: W, lower triangle by rows: row i from i (i + 1) / 2 on */
};

/* One of them. */
struct avvik__joint_measure {
    float *mean, *factor;
};
static inline struct avvik__joint_measure avvik__joint_measure(const struct avvik__joint *joint, uint32_t number)
{
    return (struct avvik__joint_measure){joint->mean + (size_t)number * joint->n_features,
                                         joint->factor + number * AVVIK_JOINT_FACTOR(joint->n_features)};
}

/* How many groups can have one beside everyone's. */
uint32_t avvik__joint_most(uint32_t n_features);

/* Bytes that a group's takes in a model, and once more in the order that kernels want. */
uint64_t avvik__joint_peer_bytes(uint32_t n_features);

/* Room for n of them (1 or more), zeros; what there is already is kept. 0 without memory. */
int avvik__joint_grow(struct avvik__joint *joint, uint32_t n_features, uint32_t n);
void avvik__joint_destroy(struct avvik__joint *joint);

/* /joint of a model, if it has one. What is read is checked: AVVIK_ERR_FORMAT, named after `path`. groups: those of the
 * model, n being 0 where there are none. */
enum avvik_status avvik__joint_put(const struct avvik__joint *joint, struct avvik__record *record,
                                   struct avvik_error *error);
enum avvik_status avvik__joint_get(struct avvik__joint *joint, uint32_t n_features, const struct avvik__groups *groups,
                                   struct avvik__record *record, const char *path, struct avvik_error *error);

#endif

/* Rows that the joint deviations of large peer groups are learnt from: fit_joint_rows.c (whose and which they are, and
 * their values), fit_joint_peers.c (what is learnt). */
#ifndef AVVIK_FIT_JOINT_H
#define AVVIK_FIT_JOINT_H

#include "fit_internal.h"

/* A group that is to have its own; number 0 is everyone, who has not. */
struct joint_owner {
    uint32_t group;
    uint32_t within; /* the first owner behind this one that is not within it */
    uint64_t rows;   /* that are not held out */
    uint64_t limit;  /* rows whose draw is below, of 2^32, count */
};

/* Rows that a worker has chosen; then those of all. Ascending. */
struct joint_rows {
    size_t n, capacity;
    uint64_t *row;
    uint32_t *owner; /* innermost */
    uint32_t *draw;
};

struct joint_sample {
    uint32_t n_owners;
    struct joint_owner *owners; /* as groups are: each is followed by those within it */
    uint32_t *owner_of;         /* [group]: the innermost owner that it is in */
    uint16_t *first_bytes;      /* [group]: the first byte of a draw that counts is below */
    struct joint_rows chosen[AVVIK_MAX_WORKERS];
    atomic_uint n_started;
    struct joint_rows rows;
    uint32_t *places; /* [row of rows]: where it is when they are in the order of their owners */
    uint32_t *starts; /* [owner + 2]: the first place of an owner */
    uint32_t *draws;  /* [place] */
    float *values;    /* [feature][place] */
};

/* Bytes that all of this takes at most, and what is learnt from it. */
uint64_t avvik__fit_joint_bytes(const struct fit *fit);

/* Once groups are counted, before their values are gathered: which rows. A pass over the keys where the groups of rows
 * are not kept. AVVIK_ERR_MEMORY; what reading returns. */
enum avvik_status avvik__fit_joint_choose(struct fit *fit, struct avvik_error *error);
void avvik__fit_joint_free(struct fit *fit);

/* Which of these are among rows [first, first + n_rows); and one column of those, which begins at row `first`. */
struct range avvik__fit_joint_range(const struct fit *fit, uint64_t first, size_t n_rows);
void avvik__fit_joint_take(const struct fit *fit, struct range range, uint64_t first, size_t feature,
                           const float *column);

#endif

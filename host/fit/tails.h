/* How far out values lie among those that a model was fitted on: exact quantiles of every feature, closer together
 * towards its ends, with the number of rows at and below each (kernels/README.md, "Tails"). */
#ifndef AVVIK_TAILS_H
#define AVVIK_TAILS_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"
#include "kernel_types.h"
#include "record_file.h"

#define AVVIK_TAIL_RANKS 63 /* from each end, at most */
#define AVVIK_TAIL_QUANTILES (2 * AVVIK_TAIL_RANKS)

/* Of one feature. below and at_most: how many of its n values are less than the quantile, and are it or less. */
struct avvik__tail_quantiles {
    uint32_t n_quantiles; /* avvik__tail_places() of the feature's number of values */
    float value[AVVIK_TAIL_QUANTILES];
    uint64_t below[AVVIK_TAIL_QUANTILES], at_most[AVVIK_TAIL_QUANTILES];
};

struct avvik__tails {
    uint32_t n_features;                    /* 0: the model has none */
    struct avvik__tail_quantiles *features; /* owned */
};

/* Room for n_features. AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__tails_init(struct avvik__tails *tails, uint32_t n_features, struct avvik_error *error);
void avvik__tails_destroy(struct avvik__tails *tails);

/* The places, from 1, of the quantiles among n values in ascending order: from each end 1, 2, 3, 4, 6, 8, 12, 16, ...
 * as far as the middle, and the middle itself. Ascending; returns how many there are. */
uint32_t avvik__tail_places(uint64_t n, uint64_t *places_out);

/* What a kernel looks values up in, of a feature with n values. weight: multiplies what they are worth. */
void avvik__tail_layout(const struct avvik__tail_quantiles *quantiles, uint64_t n, float weight,
                        struct avvik__tail_table *table);

/* Rows whose value is x or farther out, at most, of the n of the feature: the quantile next to x on the side of the
 * middle says so. side: -1 or 1, where x lies; 0 where it is in the middle between. */
uint64_t avvik__tail_rows(const struct avvik__tail_quantiles *quantiles, uint64_t n, float x, int *side_out);

/* /tails of a model, if it has one. What is read is checked against n_values, the number of values of each feature:
 * AVVIK_ERR_FORMAT, named after `path`. On error nothing is held. */
enum avvik_status avvik__tails_put(const struct avvik__tails *tails, struct avvik__record *record,
                                   struct avvik_error *error);
enum avvik_status avvik__tails_get(struct avvik__tails *tails, uint32_t n_features, const uint64_t *n_values,
                                   struct avvik__record *record, const char *path, struct avvik_error *error);

#endif

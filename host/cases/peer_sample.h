/* How the values of a case's peers lie: the quantiles of the feature that explains it most, among the rows of its
 * group. All rows count as long as they are few; of more, a sample by the row's number, which is the same whoever draws
 * it. */
#ifndef AVVIK_PEER_SAMPLE_H
#define AVVIK_PEER_SAMPLE_H

#include "avvik/explain.h"

struct avvik__sampled {
    float value;
    uint32_t draw; /* of the row: a hash of its number */
};

/* The rows of one group, by one feature. */
struct avvik__peer_sample {
    uint32_t group, feature;
    uint64_t n_rows;      /* that have a value, */
    float least, largest; /* and between which these lie */
    uint32_t below;       /* rows whose draw is below or at this are kept */
    struct avvik__sampled *kept;
    size_t n, room;
};

struct avvik__peer_samples {
    struct avvik__peer_sample *samples; /* by group and feature */
    size_t n;
    size_t most; /* rows that each keeps */
};

/* For the groups and first reasons of all rows. AVVIK_OK or AVVIK_ERR_MEMORY; to be freed in either case. */
enum avvik_status avvik__peer_samples_init(struct avvik__peer_samples *samples,
                                           const struct avvik_explanations *explanations, struct avvik_error *error);
void avvik__peer_samples_free(struct avvik__peer_samples *samples);

/* A row of the group: values of its columns, `stride` apart; its number. AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__peer_samples_add(struct avvik__peer_samples *samples, uint32_t group, const float *values,
                                          size_t stride, uint64_t row, struct avvik_error *error);

/* Add what another thread has drawn for the same rows. AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__peer_samples_merge(struct avvik__peer_samples *samples, const struct avvik__peer_samples *more,
                                            struct avvik_error *error);

/* The quantiles become the explanations'. AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__peer_samples_tell(struct avvik__peer_samples *samples, struct avvik_explanations *explanations,
                                           struct avvik_error *error);

#endif

/* What the parts of a fit with peer groups share: fit_census.c (which groups there are), fit_gather.c (their values
 * side by side) and fit_peers.c (what is found in them). */
#ifndef AVVIK_FIT_PEERS_H
#define AVVIK_FIT_PEERS_H

#include "fit_internal.h"

#define GROUP_BYTES 96 /* of a group in a census: its arrays, its share of the table, while both grow */

/* A run of groups whose values stay in the cache, as long as no single group of it is larger. */
struct bucket {
    uint32_t first_group, end_group;
    size_t first, n; /* places */
    int is_whole;    /* every group of it has all of its rows in it; else it is what one group has for itself */
    atomic_size_t n_taken;
};

/* The census; then the passes that gather: which groups and features, and where their values go. */
struct fit_peers {
    uint32_t max_groups;
    int is_counted;       /* the first pass counts, or has */
    float *sample_keys;   /* [row of fit->sample][key] */
    uint32_t *row_groups; /* [row]: the group it is in, first in its worker's census, then in the model; NULL: there is
                             no room for that, and keys are read again */
    uint8_t *block_workers; /* [block]: who counted it */
    uint32_t **numbers_now; /* [worker][group in its census]: the group in the model */
    uint64_t *starts;       /* [group + 1]: places of the rows whose innermost group it is */
    uint32_t *n_placed;     /* [group]: of these, placed */
    uint32_t first_group, end_group;
    size_t first_feature, n_features;
    size_t n_places;         /* of all groups from first_group to end_group - 1 */
    size_t features_at_most; /* of these groups' passes */
    size_t stride;           /* of a column in the workers' pieces: rows there is room for */
    size_t piece_rows;       /* rows that are dealt out at once */
    struct deal *deals;      /* [piece]; NULL: there is no room to keep them */
    void *deals_memory;
    int is_dealt; /* deals and numbers are those of an earlier pass */
    struct bucket *buckets;
    uint32_t n_buckets, max_buckets;
    uint32_t *bucket_of; /* [group]: the bucket of a group's own rows; n_buckets for groups that are not in the pass */
    uint32_t *large;     /* groups that are not in one bucket */
    uint32_t n_large, max_large;
    size_t max_bucket; /* rows of the largest bucket of several groups */
    float *values;     /* [feature of the pass][place] */
    uint32_t *numbers; /* [place]: the group within its bucket of the row that is there; then the place within the
                          bucket that it has when the groups lie side by side */
    size_t values_bytes;
    uint64_t max_rows;  /* of the largest group but everyone */
    unsigned n_threads; /* that look for medians: each needs scratch for the largest group */
    atomic_uint n_started;
    atomic_ullong next; /* bucket, or large group, and feature of the pass */
};

/* The key columns in a worker's piece, where a column has room for `stride` rows. */
static inline const float *avvik__fit_keys(const struct fit *fit, const struct fit_worker *worker, size_t stride)
{
    return worker->piece + fit->model->n_features * stride;
}

/* The groups of the model, and those of the drawn rows. AVVIK_ERR_USAGE for too many groups. */
enum avvik_status avvik__fit_census(struct fit *fit, struct avvik_error *error);

/* fit_deal.c: which rows go where. Buckets for the groups of the pass; how many there may be. */
void avvik__fit_buckets_make(struct fit *fit);
size_t avvik__fit_buckets_at_most(const struct fit *fit);
/* Room to keep the deals of all pieces, and the bytes that it takes. 0 without memory. */
uint64_t avvik__fit_deals_bytes(const struct fit *fit);
int avvik__fit_deals_make(struct fit *fit);
void avvik__fit_deals_free(struct fit_peers *pass);
/* The deal of a piece, rows [first, first + n_rows), whose keys the worker has where groups are not kept. NULL if there
 * are rows that were not there before. */
const struct deal *avvik__fit_deal(struct fit *fit, const struct fit_worker *worker, uint64_t first, size_t n_rows);
/* After a pass: places within buckets. fit->has_changed if rows are missing. */
void avvik__fit_deal_finish(struct fit *fit);

/* Decide how large the workers' pieces are. Returns the bytes that gathering takes beside the values and their numbers.
 */
uint64_t avvik__fit_gather_cut(struct fit *fit);
/* What does not change from pass to pass: room for places and buckets. 0 without memory. */
int avvik__fit_gather_init(struct fit *fit);
void avvik__fit_gather_free(struct fit *fit);

/* Before the passes over some groups: buckets, memory for values, how many features a pass has at most. *bytes: how
 * many there are; then how many are left. AVVIK_ERR_MEMORY. */
enum avvik_status avvik__fit_gather_begin(struct fit *fit, uint64_t *bytes, struct avvik_error *error);

/* One pass over the features of the pass: their values in pass->values, by bucket, with where they belong in it. */
enum avvik_status avvik__fit_gather(struct fit *fit, struct avvik_error *error);

#endif

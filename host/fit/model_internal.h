/* A model in memory. */
#ifndef AVVIK_MODEL_INTERNAL_H
#define AVVIK_MODEL_INTERNAL_H

#include "avvik/model.h"
#include "calibration.h"
#include "forest.h"
#include "groups.h"
#include "joint.h"
#include "kernel_types.h"
#include "record_file.h"
#include "tails.h"

#define AVVIK_QUANTILES 41 /* at 0, 1/40, ... 1: deciles are every fourth */

/* What is known of one feature over all training rows, and over those that the trees were grown from. */
struct avvik__feature {
    char name[AVVIK_NAME_SIZE];
    struct avvik__moments_total {
        uint64_t n, n_nan, n_infinite;
        float min, max;
        double mean, m2;
    } moments;
    float weight;          /* 0 to AVVIK_MAX_WEIGHT: of its z-scores, and of its choice in the trees */
    double sd;             /* sample standard deviation (n - 1); 0 where n < 2 */
    float median, mad;     /* over all training rows; 0 where the deviation is classical */
    double mean_deviation; /* mean distance from the median, where mad is 0 and the deviation robust; else 0 */
    float fill;            /* median of the values in the trees' rows; 0 where there is none */
    float center32;        /* what the kernels take: median or mean as float32, and the reciprocal of the spread, */
    float rscale32;        /* or 0 for a constant feature */
    float quantiles[AVVIK_QUANTILES];        /* of the values in the trees' rows, missing ones left out; else 0 */
    uint32_t quantile_rows[AVVIK_QUANTILES]; /* how many of them are at most that */
};

/* Whom rows are compared with, and what their z-scores are measured with. n_keys 0: everyone, and nothing else is set.
 */
struct avvik__peers {
    uint32_t n_keys;
    char keys[AVVIK_MAX_KEYS][AVVIK_NAME_SIZE];
    uint64_t min_rows;           /* smaller groups are not told apart */
    struct avvik__groups groups; /* in order */
    float *center32, *rscale32;  /* [group][feature]; where a group says nothing of a feature, what its parent has */
};

struct avvik_model {
    char *table;
    char created[32], producer[64];
    char content_hash[AVVIK_HASH_SIZE], input_hash[AVVIK_HASH_SIZE];
    uint64_t seed, n_rows;
    uint32_t n_features;
    enum avvik_deviation deviation;
    struct avvik__feature *features;
    struct avvik__forest forest;
    struct avvik__joint joint;
    struct avvik__tails tails;
    struct avvik__calibration calibration;
    struct avvik__peers peers;
};

void avvik__peers_destroy(struct avvik__peers *peers);

/* /peers of a model file; nothing where there are no keys. Reading: untrusted; the features and n_rows are there. */
enum avvik_status avvik__peers_put(const struct avvik_model *model, struct avvik__record *record,
                                   struct avvik_error *error);
enum avvik_status avvik__peers_get(struct avvik_model *model, struct avvik__record *record, const char *path,
                                   struct avvik_error *error);

/* Add a block of rows that comes right after those of `total` (Chan, Golub and LeVeque 1983, eq. 2.1). */
void avvik__moments_add(struct avvik__moments_total *total, const struct avvik__moments *block);

/* sd, center32 and rscale32 from the moments and, for the robust deviation, median, mad and mean_deviation. */
void avvik__feature_finish(struct avvik__feature *feature, enum avvik_deviation deviation);

/* Can median, mad and mean_deviation be those of values with these moments? */
int avvik__feature_spread_fits(const struct avvik__feature *feature, enum avvik_deviation deviation);

/* fill, quantiles and quantile_rows from the n values (0 to 2^32 - 1, finite, no -0.0) of the feature in the trees'
 * rows. Quantile i is the smallest value that at least i / 40 of them do not exceed (NumPy's `inverted_cdf`); fill is
 * their median, the mean of the middle two where n is even. values is sorted; scratch holds n more. */
void avvik__feature_reference(struct avvik__feature *feature, float *values, float *scratch, size_t n);

/* Do quantiles and quantile_rows have values that avvik__feature_reference() can have given, of n_draws rows? */
int avvik__feature_reference_fits(const struct avvik__feature *feature, uint64_t n_draws);

#endif

/* How far what one model learnt is from what another did: which features have drifted between two fits. */
#ifndef AVVIK_COMPARE_H
#define AVVIK_COMPARE_H

#include <stddef.h>

#include "avvik/model.h"
#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where drift begins. A measure has drifted above its limit; NAN: it never has. */
struct avvik_drift_limits {
    double psi;            /* population stability index */
    double ks;             /* Kolmogorov-Smirnov statistic, 0 to 1 */
    double shift;          /* of the center, in standard deviations of before */
    double missing_change; /* of the share of missing values */
};
#define AVVIK_DRIFT_LIMITS                                                                                             \
    {                                                                                                                  \
        0.25, 0.2, 1, 0.1                                                                                              \
    }

/* "psi=0.3,ks=0.25,shift=2,missing_change=0.05": the named limits; the others are left as they are. 1 on success. */
int avvik_drift_limits_parse(const char *text, struct avvik_drift_limits *limits);

/* One feature of both models, or of one. What cannot be measured is NAN. */
struct avvik_drift {
    const char *name;            /* a model's */
    int is_before, is_after;     /* which model has it */
    double psi, ks;              /* of what the trees of both were grown from, to the resolution of 40 quantiles */
    double center[2], spread[2]; /* before and after: median and MAD over all rows, or mean and sd; NAN where the
                                    models are not of one kind */
    double shift;                /* of the center, by the spread of before made a standard deviation */
    double missing_share[2];     /* missing values and infinities */
    int has_drifted;             /* one of these is above its limit, or the feature is in one model only */
};

/* Features of both models by name, in the order of `before`, then those of `after` alone.
 *
 * drifts_out  on success *n_out of them, to be freed by the caller; names are the models', which must stay.
 * Returns AVVIK_OK or AVVIK_ERR_MEMORY. Thread-safe. */
enum avvik_status avvik_model_compare(const struct avvik_model *before, const struct avvik_model *after,
                                      const struct avvik_drift_limits *limits, struct avvik_drift **drifts_out,
                                      size_t *n_out, struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

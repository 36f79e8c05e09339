/* How far the values that one file is about are from those of another: which features have drifted between two fits,
 * two nights, or a fit and a night. */
#ifndef AVVIK_COMPARE_H
#define AVVIK_COMPARE_H

#include <stddef.h>

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

/* What a model or a score file says of its features: of all rows that the model learnt from, with the distribution of
 * those that its trees were grown from; of 2,048 rows of the batch that was scored, drawn by row number. */
struct avvik_outlines;

/* Read a model or a score file, all of it. outlines_out: release with avvik_outlines_free(). Returns AVVIK_OK;
 * AVVIK_ERR_IO; AVVIK_ERR_FORMAT (neither; damaged; a score file of an earlier version, which says nothing of its
 * batch); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_outlines_load(const char *path, struct avvik_outlines **outlines_out,
                                      struct avvik_error *error);
void avvik_outlines_free(struct avvik_outlines *outlines); /* NULL is a no-op */

/* One feature of both files, or of one. What cannot be measured is NAN. */
struct avvik_drift {
    const char *name;            /* an outline's */
    int is_before, is_after;     /* which file has it */
    double psi, ks;              /* to the resolution of 40 quantiles */
    double center[2], spread[2]; /* before and after: median and MAD, or mean and sd; NAN where the files are not of one
                                    kind */
    double shift;                /* of the center, by the spread of before made a standard deviation */
    double missing_share[2];     /* missing values and infinities */
    int has_drifted;             /* one of these is above its limit, or the feature is in one file only */
};

/* Features of both files by name, in the order of `before`, then those of `after` alone.
 *
 * drifts_out  on success *n_out of them, to be freed by the caller; names are the outlines', which must stay.
 * Returns AVVIK_OK or AVVIK_ERR_MEMORY. Thread-safe. */
enum avvik_status avvik_outlines_compare(const struct avvik_outlines *before, const struct avvik_outlines *after,
                                         const struct avvik_drift_limits *limits, struct avvik_drift **drifts_out,
                                         size_t *n_out, struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

/* What a row's scores can be while one or two of its features vary and all else stays. Within an interval of the
 * forest's thresholds the path sum is constant; |z| falls towards 0 and rises behind it, and so, in steps, does what a
 * value is worth in the tails, towards its middle; the joint deviation is a parabola in the signed logarithms, which
 * rise with the values. So over any box of values each detector is least at a place that is known, and the surprise is
 * nowhere below that of all these least scores together. */
#ifndef AVVIK_SECTION_H
#define AVVIK_SECTION_H

#include "explainer.h"

#define AVVIK_FURTHEST 3 /* features whose |z| is largest: two of them may vary */

/* A row, from which sections are cut. */
struct avvik__profile {
    const struct avvik_explainer *explainer;
    const struct avvik__surprise *surprise;
    enum avvik_detector by;
    uint32_t group;
    uint32_t furthest[AVVIK_FURTHEST]; /* the largest |z| first; UINT32_MAX: there are no more features */
    float largest[AVVIK_FURTHEST];
    const float *center, *rscale;                            /* of the joint deviation that the row is measured with */
    uint32_t n_joint;                                        /* features of it; 0: there is none */
    double distance;                                         /* the squared distance */
    double rounding;                                         /* of its root, in the kernels */
    double logs[AVVIK_JOINT_FEATURES];                       /* signed logarithms */
    double slope[AVVIK_JOINT_FEATURES];                      /* half of its derivatives: W^T w */
    double bend[AVVIK_JOINT_FEATURES][AVVIK_JOINT_FEATURES]; /* W^T W */
    int has_tails;                                           /* the surprise comes from tails, too; else these are 0 */
    int32_t *tails, all_tails; /* [feature]: what each value is worth; the memory is the owner's */
};

/* profile->tails is there. */
void avvik__profile_take(struct avvik__profile *profile, const struct avvik_explainer *explainer,
                         const struct avvik__surprise *surprise, enum avvik_detector by,
                         const struct avvik__explained_row *row);

/* Does the surprise of `by` come from tails, too? */
int avvik__counts_tails(const struct avvik_explainer *explainer, const struct avvik__surprise *surprise,
                        enum avvik_detector by);

struct avvik__section {
    const struct avvik__profile *profile;
    int n; /* features that vary: 1 or 2 */
    uint32_t features[2];
    float others;         /* the largest |z| of all others */
    int32_t others_tails; /* what they are worth in the tails */
};

struct avvik__section avvik__section_cut(const struct avvik__profile *profile, const uint32_t *features, int n);

/* A surprise that none of the box low[i] <= x[i] <= high[i] is below, with a path sum that none exceeds. At a single
 * value (low = high) it is that value's own, in double, with what the kernels round set against it: where it is below
 * the cut, so is the score that a kernel gives. */
double avvik__section_least(const struct avvik__section *section, const float *low, const float *high,
                            int32_t path_sum);

/* The same over all values. */
double avvik__section_least_anywhere(const struct avvik__section *section, int32_t path_sum);

#endif

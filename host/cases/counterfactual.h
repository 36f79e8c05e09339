/* What would make a row ordinary: the smallest change of one feature, and of two (README.md, "What would make it
 * ordinary"). */
#ifndef AVVIK_COUNTERFACTUAL_H
#define AVVIK_COUNTERFACTUAL_H

#include "explainer.h"

#define AVVIK_PAIR_INTERVALS 1024 /* of each of two features, the nearest */

/* The thresholds of one feature in the whole forest, ascending, each once. Interval i of a feature is [border i - 1,
 * border i): within it no tree can tell values apart. */
struct avvik__borders {
    float *values;
    uint32_t n;
};

struct avvik__counterfactual {
    const struct avvik_explainer *explainer;
    const struct avvik__surprise *surprise;
    enum avvik_detector by;
    double cut;                     /* a row whose surprise is below this is ordinary */
    const uint8_t *is_fixed;        /* [feature]: may not change, because its values are codes; the caller's */
    struct avvik__borders *borders; /* [feature] */
    int32_t *sums;                  /* scratch: path sums of intervals, or of cells */
    struct avvik__point *points;    /* scratch: of two features */
};

/* A value that a feature might change to. */
struct avvik__point {
    float x;
    uint32_t interval;
    double size; /* of the change, in z-scores */
};

/* explainer, surprise, by, cut and is_fixed are set. AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__counterfactual_init(struct avvik__counterfactual *search, struct avvik_error *error);
void avvik__counterfactual_destroy(struct avvik__counterfactual *search);

/* Fill n_one, one, n_two and two of an explanation whose reasons are there. row has its values and tile, and the same
 * afterwards. */
void avvik__counterfactual_find(struct avvik__counterfactual *search, struct avvik__explained_row *row,
                                struct avvik_explanation *explanation);

/* Two features: a change smaller than `least` into changes, and what it takes; `least` if there is none. */
double avvik__counterfactual_pair(struct avvik__counterfactual *search, struct avvik__explained_row *row,
                                  const uint32_t *features, double least, struct avvik_change *changes);

/* What both searches share. The row's surprise with the path sum given; the float before or after one, where denormals
 * do not exist; a change to x, with its border and a round value. */
double avvik__counterfactual_surprise(const struct avvik__counterfactual *search,
                                      const struct avvik__explained_row *row, int32_t path_sum);
float avvik__float_before(float x);
float avvik__float_after(float x);
void avvik__change_set(struct avvik__explained_row *row, uint32_t feature, float x);
double avvik__change_size(const struct avvik__counterfactual *search, const struct avvik__explained_row *row,
                          uint32_t feature, float from, float to);
uint32_t avvik__interval_of(const struct avvik__borders *borders, float x);
/* The least path sum with which the row could be ordinary, if nothing but `features` changes: INT32_MAX if none. */
int32_t avvik__least_path_sum(const struct avvik__counterfactual *search, const struct avvik__explained_row *row,
                              const uint32_t *features, int n_features);
/* Where the joint deviation is least, all else being equal; the row's own value where it has none. */
float avvik__joint_best(const struct avvik__counterfactual *search, const struct avvik__explained_row *row,
                        uint32_t feature);
/* Everything about a change to x, once the row has it (and any other change). */
struct avvik_change avvik__change_describe(const struct avvik__counterfactual *search, struct avvik__explained_row *row,
                                           uint32_t feature, float from, float x);

#endif

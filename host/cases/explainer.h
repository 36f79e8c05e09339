/* A model made ready to explain rows, and one row as its detectors see it. */
#ifndef AVVIK_EXPLAINER_H
#define AVVIK_EXPLAINER_H

#include "avvik/explain.h"
#include "scoring_plan.h"
#include "surprise.h"

struct avvik_explainer {
    const struct avvik_model *model;
    struct avvik__plan_memory memory; /* the forest as kernels walk it; center, rscale and fill */
    struct avvik__kernels kernels;
    struct avvik__reasons_view reasons;
    struct avvik__cl_reasons *device; /* NULL: the CPU */
    int32_t *leaf_reasons;            /* owned; NULL where rows are walked node by node */
    int64_t expected;                 /* the sum of g(root) over trees */
};

/* As avvik_explainer_open() on the CPU, for so few rows that a table of all leaves is not worth its making. */
enum avvik_status avvik__explainer_open(const struct avvik_model *model, struct avvik_explainer **explainer_out,
                                        struct avvik_error *error);

/* A row. values and tile have explainer->memory.plan.stride floats and are 64-byte aligned. */
struct avvik__explained_row {
    float *values; /* as read, NaN where missing */
    float *tile;   /* cleaned, missing values replaced: what the forest sees */
    uint32_t group;
};

/* What the joint deviation of rows of a group is measured with: the group's own, or that of the nearest group around it
 * that has one. The model has a joint deviation. */
struct avvik__joint_scale {
    const float *center, *rscale;        /* [feature] */
    struct avvik__joint_measure measure; /* mean and factor, in the model's units */
};
struct avvik__joint_scale avvik__explainer_joint_scale(const struct avvik_explainer *explainer, uint32_t group);

/* Clean and fill row->values into row->tile. */
void avvik__explained_row_fill(const struct avvik_explainer *explainer, struct avvik__explained_row *row);

/* The scores of a row by the kernels that score files come from: the same bits. values and tile are filled. */
struct avvik__row_scores avvik__explained_row_score(const struct avvik_explainer *explainer,
                                                    const struct avvik__explained_row *row);

/* Its deviation, joint deviation and tails only, into scores. */
void avvik__explained_row_distances(const struct avvik_explainer *explainer, const struct avvik__explained_row *row,
                                    struct avvik__row_scores *scores);

/* The z-score of x in feature f, with its sign, among the peers `group`: 0 if it is no number. */
float avvik__explainer_z(const struct avvik_explainer *explainer, uint32_t group, uint32_t feature, float x);

/* What x, of feature f, is worth in the tails, in steps; 0 if it is no number, or the model has none. */
int32_t avvik__explainer_tail(const struct avvik_explainer *explainer, uint32_t feature, float x);

/* Where that is least: it falls towards this value, and rises behind it. */
float avvik__explainer_middle(const struct avvik_explainer *explainer, uint32_t feature);

/* What each feature adds to the squared distance of the row, in double: (s_f - m_f) (W^T w)_f. These add up to it. */
void avvik__explainer_joint(const struct avvik_explainer *explainer, const struct avvik__explained_row *row,
                            double *parts);

/* Fill reasons (n_features, in the features' order), whose cells are there, and put the largest share first.
 * contributions: of the forest. */
void avvik__reasons_find(const struct avvik_explainer *explainer, const struct avvik__surprise *surprise,
                         enum avvik_detector by, const struct avvik__explained_row *row,
                         const struct avvik__row_scores *scores, const int64_t *contributions,
                         struct avvik_reason *reasons);

#endif

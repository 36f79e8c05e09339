/* The joint deviation of rows as a run reads them, column by column. The CPU computes it, whatever backend walks the
 * trees: a row of 16 features costs 10 ns where its walk takes 63, and the columns are in the cache. */
#ifndef AVVIK_JOINT_RUN_H
#define AVVIK_JOINT_RUN_H

#include "kernels.h"
#include "model_internal.h"

struct avvik__joint_run {
    const struct avvik__joint *joint;
    avvik__joint_fn *kernel;
    float center[AVVIK_JOINT_FEATURES], rscale[AVVIK_JOINT_FEATURES];
};

/* The model must stay. */
void avvik__joint_run_init(struct avvik__joint_run *run, const struct avvik_model *model);

/* Of n rows, feature f of row r at columns[f * stride + r]; 0 where the model has no joint deviation. */
void avvik__joint_score(const struct avvik__joint_run *run, float *joint, const float *columns, size_t stride,
                        size_t n);

#endif

/* A model in the shape the kernels want. */
#ifndef AVVIK_SCORING_PLAN_H
#define AVVIK_SCORING_PLAN_H

#include "backend.h"
#include "forest_layout.h"
#include "model_internal.h"

/* A plan and the memory behind it. */
struct avvik__plan_memory {
    struct avvik__scoring_plan plan;
    struct avvik__forest_layout layout;
    struct avvik__tail_table *tails;
    float *parameters; /* center, rscale, fill and the tables of the joint deviation, one after the other */
    uint32_t *joint_of;
};

/* AVVIK_OK or AVVIK_ERR_MEMORY; the model may be freed afterwards. On error nothing is held. */
enum avvik_status avvik__plan_init(struct avvik__plan_memory *memory, const struct avvik_model *model,
                                   struct avvik_error *error);
void avvik__plan_destroy(struct avvik__plan_memory *memory);

#endif

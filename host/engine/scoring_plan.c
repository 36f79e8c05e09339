#include "scoring_plan.h"

#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

enum avvik_status avvik__plan_init(struct avvik__plan_memory *memory, const struct avvik_model *model,
                                   struct avvik_error *error)
{
    const size_t stride = (model->n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    memset(memory, 0, sizeof *memory);
    const enum avvik_status status = avvik__forest_layout_init(&memory->layout, &model->forest, error);
    if (status != AVVIK_OK)
        return status;
    if ((memory->parameters = avvik__aligned_calloc(3 * stride, sizeof(float))) == NULL) {
        avvik__forest_layout_destroy(&memory->layout);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    for (size_t f = 0; f < model->n_features; f++) {
        memory->parameters[f] = model->features[f].center32;
        memory->parameters[stride + f] = model->features[f].rscale32;
        memory->parameters[2 * stride + f] = model->features[f].fill;
    }
    memory->plan = (struct avvik__scoring_plan){.n_features = model->n_features,
                                                .stride = stride,
                                                .mean = memory->parameters,
                                                .rscale = memory->parameters + stride,
                                                .fill = memory->parameters + 2 * stride,
                                                .forest = memory->layout.view,
                                                .is_wide = model->forest.nodes == NULL};
    return AVVIK_OK;
}

void avvik__plan_destroy(struct avvik__plan_memory *memory)
{
    avvik__forest_layout_destroy(&memory->layout);
    free(memory->parameters);
    memset(memory, 0, sizeof *memory);
}

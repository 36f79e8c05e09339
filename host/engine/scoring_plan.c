#include "scoring_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "signed_log.h"

/* From the model's units, in which the logarithm of 2 is 1, to the kernels', in which it is AVVIK_LOG_ONE. */
static void joint_layout(const struct avvik__joint *joint, float *mean, float *factor)
{
    for (uint32_t i = 0; i < joint->n_features; i++) {
        mean[i] = rintf(joint->mean[i] * AVVIK_LOG_ONE);
        for (uint32_t f = 0; f <= i; f++)
            factor[AVVIK_JOINT_AT(i, f)] = joint->factor[i * (i + 1) / 2 + f] / AVVIK_LOG_ONE;
    }
}

static enum avvik_status tails_layout(struct avvik__plan_memory *memory, const struct avvik_model *model,
                                      struct avvik_error *error)
{
    if (model->tails.n_features == 0)
        return AVVIK_OK;
    if ((memory->tails = avvik__aligned_calloc(model->n_features, sizeof *memory->tails)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < model->n_features; f++)
        avvik__tail_layout(&model->tails.features[f], model->features[f].moments.n, model->features[f].weight,
                           &memory->tails[f]);
    return AVVIK_OK;
}

enum avvik_status avvik__plan_init(struct avvik__plan_memory *memory, const struct avvik_model *model,
                                   struct avvik_error *error)
{
    const size_t stride = (model->n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    memset(memory, 0, sizeof *memory);
    enum avvik_status status = avvik__forest_layout_init(&memory->layout, &model->forest, error);
    if (status != AVVIK_OK)
        return status;
    if ((status = tails_layout(memory, model, error)) != AVVIK_OK) {
        avvik__plan_destroy(memory);
        return status;
    }
    const uint32_t n_groups = model->peers.n_keys == 0 ? 1 : model->peers.groups.n;
    const size_t table = n_groups * stride;
    if ((memory->parameters = avvik__aligned_calloc(2 * table + 2 * stride + AVVIK_JOINT_ENTRIES, sizeof(float))) ==
        NULL) {
        avvik__plan_destroy(memory);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    float *joint_mean = memory->parameters + 2 * table + stride, *joint_factor = joint_mean + stride;
    joint_layout(&model->joint, joint_mean, joint_factor);
    for (size_t f = 0; f < model->n_features; f++) {
        memory->parameters[f] = model->features[f].center32;
        memory->parameters[table + f] = model->features[f].rscale32;
        memory->parameters[2 * table + f] = model->features[f].fill;
    }
    for (uint32_t g = 1; g < n_groups; g++)
        for (size_t f = 0; f < model->n_features; f++) {
            memory->parameters[g * stride + f] = model->peers.center32[g * (size_t)model->n_features + f];
            memory->parameters[table + g * stride + f] = model->peers.rscale32[g * (size_t)model->n_features + f];
        }
    memory->plan = (struct avvik__scoring_plan){.n_features = model->n_features,
                                                .stride = stride,
                                                .n_groups = n_groups,
                                                .center = memory->parameters,
                                                .rscale = memory->parameters + table,
                                                .fill = memory->parameters + 2 * table,
                                                .has_joint = model->joint.n_features > 0,
                                                .joint_mean = joint_mean,
                                                .joint_factor = joint_factor,
                                                .tails = memory->tails,
                                                .forest = memory->layout.view,
                                                .is_wide = model->forest.nodes == NULL};
    return AVVIK_OK;
}

void avvik__plan_destroy(struct avvik__plan_memory *memory)
{
    avvik__forest_layout_destroy(&memory->layout);
    free(memory->tails);
    free(memory->parameters);
    memset(memory, 0, sizeof *memory);
}

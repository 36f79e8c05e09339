#include "scoring_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "signed_log.h"

/* From the model's units, in which the logarithm of 2 is 1, to the kernels', in which it is AVVIK_LOG_ONE. */
static void joint_layout(const struct avvik__joint *joint, uint32_t number, const float *center, const float *rscale,
                         size_t stride, float *table)
{
    const struct avvik__joint_measure measure = avvik__joint_measure(joint, number);
    float *mean = table + 2 * stride, *factor = mean + stride;
    memcpy(table, center, stride * sizeof *table);
    memcpy(table + stride, rscale, stride * sizeof *table);
    for (uint32_t i = 0; i < joint->n_features; i++) {
        mean[i] = rintf(measure.mean[i] * AVVIK_LOG_ONE);
        for (uint32_t f = 0; f <= i; f++)
            factor[AVVIK_JOINT_AT(i, f)] = measure.factor[i * (i + 1) / 2 + f] / AVVIK_LOG_ONE;
    }
}

/* Whose tables rows of each group are measured with: the group's own, or those of the nearest group around it. */
static void joint_share(const struct avvik_model *model, uint32_t n_groups, uint32_t *joint_of)
{
    const struct avvik__joint *joint = &model->joint;
    for (uint32_t g = 1, next = 1; g < n_groups; g++) {
        const int is_own = next < joint->n && joint->group[next] == g;
        joint_of[g] = is_own ? next++ : joint_of[model->peers.groups.parent[g]];
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
    const size_t joint_table = AVVIK_JOINT_TABLE(stride, model->joint.n_features);
    memory->parameters = avvik__aligned_calloc(2 * table + stride + model->joint.n * joint_table, sizeof(float));
    memory->joint_of = calloc(n_groups, sizeof *memory->joint_of);
    if (memory->parameters == NULL || memory->joint_of == NULL) {
        avvik__plan_destroy(memory);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
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
    float *joint = memory->parameters + 2 * table + stride;
    joint_share(model, n_groups, memory->joint_of);
    for (uint32_t k = 0; k < model->joint.n; k++) {
        const size_t own = (k == 0 ? 0 : model->joint.group[k]) * stride;
        joint_layout(&model->joint, k, memory->parameters + own, memory->parameters + table + own, stride,
                     joint + k * joint_table);
    }
    memory->plan = (struct avvik__scoring_plan){.n_features = model->n_features,
                                                .stride = stride,
                                                .n_groups = n_groups,
                                                .center = memory->parameters,
                                                .rscale = memory->parameters + table,
                                                .fill = memory->parameters + 2 * table,
                                                .n_joint = model->joint.n,
                                                .joint = joint,
                                                .joint_of = memory->joint_of,
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
    free(memory->joint_of);
    memset(memory, 0, sizeof *memory);
}

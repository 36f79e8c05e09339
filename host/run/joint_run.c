#include "joint_run.h"

#include <string.h>

void avvik__joint_run_init(struct avvik__joint_run *run, const struct avvik_model *model)
{
    struct avvik__kernels kernels;
    avvik__kernels_select(&kernels, avvik__cpu_features());
    *run = (struct avvik__joint_run){.joint = &model->joint, .kernel = kernels.joint};
    for (uint32_t f = 0; f < model->joint.n_features; f++) {
        run->center[f] = model->features[f].center32;
        run->rscale[f] = model->features[f].rscale32;
    }
}

void avvik__joint_score(const struct avvik__joint_run *run, float *joint, const float *columns, size_t stride, size_t n)
{
    if (run->joint->n_features == 0)
        memset(joint, 0, n * sizeof *joint);
    else
        run->kernel(joint, columns, stride, n, run->joint->n_features, run->center, run->rscale, run->joint->mean,
                    run->joint->factor);
}

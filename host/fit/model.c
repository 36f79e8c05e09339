#include "model_internal.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

void avvik__moments_add(struct avvik__moments_total *total, const struct avvik__moments *block)
{
    total->n_nan += block->n_nan;
    total->n_infinite += block->n_infinite;
    if (block->n == 0)
        return;
    if (total->n == 0) {
        total->min = block->min;
        total->max = block->max;
    }
    total->min = block->min < total->min ? block->min : total->min;
    total->max = block->max > total->max ? block->max : total->max;
    const double n_old = (double)total->n, n_block = block->n, n = n_old + n_block;
    const double difference = block->mean - total->mean;
    total->mean += difference * (n_block / n);
    total->m2 += block->m2 + difference * difference * (n_old * n_block / n);
    total->n += block->n;
}

static float flush(float x)
{
    return fabsf(x) < FLT_MIN ? 0.0f : x;
}

void avvik__feature_finish(struct avvik__feature *feature)
{
    const struct avvik__moments_total *moments = &feature->moments;
    feature->sd = moments->n < 2 ? 0 : sqrt(moments->m2 / (double)(moments->n - 1));
    feature->mean32 = flush((float)moments->mean);
    const double rscale = feature->sd > 0 && moments->min < moments->max ? 1 / feature->sd : 0;
    feature->rscale32 = rscale > FLT_MAX ? FLT_MAX : flush((float)rscale);
}

void avvik_model_free(struct avvik_model *model)
{
    if (model == NULL)
        return;
    avvik__forest_destroy(&model->forest);
    free(model->features);
    free(model->table);
    free(model);
}

void avvik_model_summarize(const struct avvik_model *model, struct avvik_model_summary *summary_out)
{
    *summary_out = (struct avvik_model_summary){.table = model->table,
                                                .created = model->created,
                                                .producer = model->producer,
                                                .content_hash = model->content_hash,
                                                .input_hash = model->input_hash,
                                                .seed = model->seed,
                                                .n_rows = model->n_rows,
                                                .trees = model->forest.n_trees,
                                                .sample = model->forest.sample,
                                                .height = model->forest.height,
                                                .n_features = model->n_features,
                                                .is_wide = model->forest.nodes == NULL};
}

void avvik_model_feature(const struct avvik_model *model, uint32_t feature, struct avvik_feature_summary *feature_out)
{
    const struct avvik__feature *from = &model->features[feature];
    *feature_out = (struct avvik_feature_summary){.name = from->name,
                                                  .mean = from->moments.mean,
                                                  .sd = from->sd,
                                                  .min = from->moments.min,
                                                  .max = from->moments.max,
                                                  .fill = from->fill,
                                                  .count = from->moments.n,
                                                  .missing = from->moments.n_nan,
                                                  .infinite = from->moments.n_infinite,
                                                  .is_constant = from->rscale32 == 0};
}

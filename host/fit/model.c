#include "model_internal.h"

#include "float_order.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

/* Iglewicz and Hoaglin (1993), p. 11: what makes MAD and mean absolute deviation of normal values their standard
 * deviation. */
#define MAD_FACTOR 0.6745
#define MEAN_DEVIATION_FACTOR 1.253314

void avvik__feature_finish(struct avvik__feature *feature, enum avvik_deviation deviation)
{
    const struct avvik__moments_total *moments = &feature->moments;
    feature->sd = moments->n < 2 ? 0 : sqrt(moments->m2 / (double)(moments->n - 1));
    double center = moments->mean, rscale = feature->sd > 0 && moments->min < moments->max ? 1 / feature->sd : 0;
    if (deviation == AVVIK_DEVIATION_ROBUST) {
        center = feature->median;
        rscale = feature->mad > 0              ? MAD_FACTOR / feature->mad
                 : feature->mean_deviation > 0 ? 1 / (MEAN_DEVIATION_FACTOR * feature->mean_deviation)
                                               : 0;
    }
    rscale *= feature->weight;
    feature->center32 = avvik__flush((float)center);
    feature->rscale32 = rscale > FLT_MAX ? FLT_MAX : avvik__flush((float)rscale);
}

int avvik__feature_spread_fits(const struct avvik__feature *feature, enum avvik_deviation deviation)
{
    const struct avvik__moments_total *moments = &feature->moments;
    const double median = feature->median, mad = feature->mad, mean = feature->mean_deviation;
    if (deviation == AVVIK_DEVIATION_CLASSICAL || moments->n == 0)
        return median == 0 && mad == 0 && mean == 0;
    const double range = ((double)moments->max - moments->min) * (1 + FLT_EPSILON); /* differences are rounded */
    return median >= moments->min && median <= moments->max && mad >= 0 && mad <= range && mean >= 0 && mean <= range &&
           (mad == 0 || mean == 0);
}

void avvik__peers_destroy(struct avvik__peers *peers)
{
    avvik__groups_destroy(&peers->groups);
    free(peers->center32);
    free(peers->rscale32);
    peers->center32 = peers->rscale32 = NULL;
    peers->n_keys = 0;
}

void avvik_model_free(struct avvik_model *model)
{
    if (model == NULL)
        return;
    avvik__forest_destroy(&model->forest);
    avvik__tails_destroy(&model->tails);
    avvik__calibration_destroy(&model->calibration);
    avvik__peers_destroy(&model->peers);
    avvik__joint_destroy(&model->joint);
    free(model->features);
    free(model->table);
    free(model);
}

static const char *const splits_names[] = {
    [AVVIK_SPLITS_UNIFORM] = "uniform", [AVVIK_SPLITS_MIXED] = "mixed", [AVVIK_SPLITS_KURTOSIS] = "kurtosis"};

const char *avvik_splits_name(enum avvik_splits splits)
{
    return splits_names[splits];
}

int avvik_splits_parse(const char *name, enum avvik_splits *splits_out)
{
    for (size_t i = 0; i < sizeof splits_names / sizeof splits_names[0]; i++) {
        if (strcmp(name, splits_names[i]) == 0) {
            *splits_out = (enum avvik_splits)i;
            return 1;
        }
    }
    return 0;
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
                                                .splits = model->forest.splits,
                                                .deviation = model->deviation,
                                                .held_out = model->calibration.held_out.n,
                                                .n_keys = model->peers.n_keys,
                                                .n_groups = model->peers.n_keys == 0 ? 1 : model->peers.groups.n,
                                                .min_peers = model->peers.min_rows,
                                                .has_joint = model->joint.n > 0,
                                                .joint_groups = model->joint.n > 0 ? model->joint.n - 1 : 0,
                                                .joint_peers = model->joint.min_rows,
                                                .has_tails = model->tails.n_features > 0,
                                                .is_wide = model->forest.nodes == NULL};
}

const char *avvik_model_key(const struct avvik_model *model, uint32_t key)
{
    return model->peers.keys[key];
}

void avvik_model_group(const struct avvik_model *model, uint32_t group, struct avvik_group_summary *group_out)
{
    const struct avvik__groups *groups = &model->peers.groups;
    *group_out = model->peers.n_keys == 0 ? (struct avvik_group_summary){.rows = model->n_rows}
                                          : (struct avvik_group_summary){groups->parent[group], groups->code[group],
                                                                         groups->level[group], groups->rows[group]};
}

uint32_t avvik_model_group_of(const struct avvik_model *model, const float *keys, size_t key_stride)
{
    return avvik__groups_of_row(&model->peers.groups, keys, key_stride, model->peers.n_keys);
}

void avvik_model_feature(const struct avvik_model *model, uint32_t feature, struct avvik_feature_summary *feature_out)
{
    const struct avvik__feature *from = &model->features[feature];
    *feature_out = (struct avvik_feature_summary){.name = from->name,
                                                  .mean = from->moments.mean,
                                                  .sd = from->sd,
                                                  .weight = (double)from->weight,
                                                  .median = (double)from->median,
                                                  .mad = (double)from->mad,
                                                  .mean_deviation = from->mean_deviation,
                                                  .min = from->moments.min,
                                                  .max = from->moments.max,
                                                  .fill = from->fill,
                                                  .count = from->moments.n,
                                                  .missing = from->moments.n_nan,
                                                  .infinite = from->moments.n_infinite,
                                                  .is_constant = !(from->moments.min < from->moments.max)};
}

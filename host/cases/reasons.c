/* What each feature has to do with a row's scores (README.md, "Reasons"). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "explainer.h"

/* Those that push a score up share it; the others get nothing. */
static double part_of(double push, double pushes)
{
    return push > 0 && pushes > 0 ? push / pushes : 0;
}

/* The share of reference rows whose value is at most x, by the model's quantiles and straight lines between them. */
static double percentile_of(const struct avvik__feature *feature, float x)
{
    const float *quantiles = feature->quantiles;
    const uint32_t *rows = feature->quantile_rows, n = rows[AVVIK_QUANTILES - 1];
    int i = 0;
    if (n == 0)
        return NAN;
    if (x < quantiles[0])
        return 0;
    while (i + 1 < AVVIK_QUANTILES && quantiles[i + 1] <= x)
        i++;
    double count = rows[i];
    if (i + 1 < AVVIK_QUANTILES)
        count += ((double)x - quantiles[i]) / ((double)quantiles[i + 1] - quantiles[i]) * (rows[i + 1] - count);
    return 100 * count / n;
}

/* How far out the value is, and how many others are. */
static void tail_describe(const struct avvik_explainer *explainer, const struct avvik__explained_row *row,
                          struct avvik_reason *reason)
{
    const struct avvik_model *model = explainer->model;
    const uint32_t f = reason->feature;
    if (model->tails.n_features == 0 || !isfinite(row->values[f]))
        return;
    reason->tails = avvik__explainer_tail(explainer, f, row->values[f]);
    reason->tail_of = model->features[f].moments.n;
    reason->tail_rows = avvik__tail_rows(&model->tails.features[f], reason->tail_of, row->tile[f], &reason->tail_side);
}

static int reason_compare(const void *a, const void *b)
{
    const struct avvik_reason *x = a, *y = b;
    if (x->share != y->share)
        return x->share > y->share ? -1 : 1;
    if (fabsf(x->z) != fabsf(y->z))
        return fabsf(x->z) > fabsf(y->z) ? -1 : 1;
    return x->feature < y->feature ? -1 : 1;
}

/* The bits of each detector go to the features that its score comes from: the forest's in proportion to what makes the
 * path shorter, the deviation's to the feature that has the largest |z|, the joint deviation's in proportion to the
 * positive parts of the distance, the tails' in proportion to what each value is worth. */
void avvik__reasons_find(const struct avvik_explainer *explainer, const struct avvik__surprise *surprise,
                         enum avvik_detector by, const struct avvik__explained_row *row,
                         const struct avvik__row_scores *scores, const int64_t *contributions,
                         struct avvik_reason *reasons)
{
    const struct avvik_model *model = explainer->model;
    const struct avvik__scoring_plan *plan = &explainer->memory.plan;
    const uint32_t n = plan->n_features;
    double joint[AVVIK_JOINT_FEATURES] = {0}, bits[AVVIK_N_COMBINED], pushes[AVVIK_N_COMBINED] = {0}, all = 0;
    uint32_t furthest = 0;
    avvik__explainer_joint(explainer, row, joint);
    for (uint32_t f = 0; f < n; f++) {
        struct avvik_reason *reason = &reasons[f];
        *reason = (struct avvik_reason){
            .feature = f,
            .contribution = contributions[f],
            .joint = f < model->joint.n_features ? joint[f] : 0,
            .z = avvik__explainer_z(explainer, row->group, f, row->values[f]),
            .center = plan->center[row->group * plan->stride + f],
            .percentile = isfinite(row->values[f]) ? percentile_of(&model->features[f], row->tile[f]) : NAN,
            .cell = reason->cell};
        pushes[AVVIK_BY_FOREST] += reason->contribution < 0 ? -(double)reason->contribution : 0;
        pushes[AVVIK_BY_JOINT] += reason->joint > 0 ? reason->joint : 0;
        tail_describe(explainer, row, reason);
        pushes[AVVIK_BY_TAILS] += reason->tails;
        furthest = fabsf(reason->z) > fabsf(reasons[furthest].z) ? f : furthest;
    }
    for (int d = 0; d < AVVIK_N_COMBINED; d++)
        bits[d] = surprise->weights[d] * avvik__surprise_bits(surprise, (enum avvik_detector)d, scores);
    for (uint32_t f = 0; f < n; f++) {
        struct avvik_reason *reason = &reasons[f];
        const double parts[AVVIK_N_COMBINED] = {[AVVIK_BY_FOREST] =
                                                    part_of(-(double)reason->contribution, pushes[AVVIK_BY_FOREST]),
                                                [AVVIK_BY_DEVIATION] = f == furthest && reason->z != 0 ? 1 : 0,
                                                [AVVIK_BY_JOINT] = part_of(reason->joint, pushes[AVVIK_BY_JOINT]),
                                                [AVVIK_BY_TAILS] = part_of(reason->tails, pushes[AVVIK_BY_TAILS])};
        for (int d = 0; d < AVVIK_N_COMBINED; d++)
            reason->bits += bits[d] * parts[d];
        reason->share = by == AVVIK_BY_COMBINED ? reason->bits : parts[by];
        all += reason->share;
    }
    for (uint32_t f = 0; f < n && all > 0; f++)
        reasons[f].share /= all;
    qsort(reasons, n, sizeof *reasons, reason_compare);
}

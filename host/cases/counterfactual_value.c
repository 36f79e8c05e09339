/* What the searches for one and for two changes share. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "counterfactual.h"
#include "signed_log.h"

double avvik__counterfactual_surprise(const struct avvik__counterfactual *search,
                                      const struct avvik__explained_row *row, int32_t path_sum)
{
    struct avvik__row_scores scores = {path_sum, 0, 0};
    if (search->by != AVVIK_BY_FOREST)
        avvik__explained_row_distances(search->explainer, row, &scores);
    return avvik__surprise_of(search->surprise, search->by, &scores);
}

float avvik__float_before(float x)
{
    if (x == 0)
        return -FLT_MIN;
    const float before = nextafterf(x, -INFINITY);
    return fabsf(before) < FLT_MIN ? 0 : before;
}

float avvik__float_after(float x)
{
    return -avvik__float_before(-x);
}

void avvik__change_set(struct avvik__explained_row *row, uint32_t feature, float x)
{
    row->values[feature] = row->tile[feature] = x;
}

double avvik__change_size(const struct avvik__counterfactual *search, const struct avvik__explained_row *row,
                          uint32_t feature, float from, float to)
{
    const struct avvik__scoring_plan *plan = &search->explainer->memory.plan;
    return fabs((double)to - from) * (double)plan->rscale[row->group * plan->stride + feature];
}

uint32_t avvik__interval_of(const struct avvik__borders *borders, float x)
{
    uint32_t low = 0, high = borders->n;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (borders->values[middle] <= x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t avvik__least_path_sum(const struct avvik__counterfactual *search, const struct avvik__explained_row *row,
                              const uint32_t *features, int n_features)
{
    const uint32_t n = search->explainer->memory.plan.n_features;
    struct avvik__row_scores scores = {0, 0, 0}; /* at best, the joint deviation is 0 */
    int32_t low = 0, high = (int32_t)search->explainer->model->forest.n_trees * UINT16_MAX;
    for (uint32_t f = 0; f < n; f++) {
        const float z = avvik__explainer_z(search->explainer, row->group, f, row->values[f]);
        if (f != features[0] && (n_features < 2 || f != features[1]))
            scores.deviation = fmaxf(scores.deviation, fabsf(z));
    }
    scores.path_sum = high;
    if (!(avvik__surprise_of(search->surprise, search->by, &scores) < search->cut))
        return INT32_MAX;
    while (low < high) {
        scores.path_sum = low + (high - low) / 2;
        if (avvik__surprise_of(search->surprise, search->by, &scores) < search->cut)
            high = scores.path_sum;
        else
            low = scores.path_sum + 1;
    }
    return high;
}

/* The squared distance is a parabola in s_f, whose slope is 2 (W^T w)_f and whose bend is 2 (W^T W)_ff. */
float avvik__joint_best(const struct avvik__counterfactual *search, const struct avvik__explained_row *row,
                        uint32_t feature)
{
    const struct avvik_explainer *explainer = search->explainer;
    const struct avvik__joint *joint = &explainer->model->joint;
    double slope = 0, bend = 0;
    float at = 0;
    for (uint32_t i = 0; i < joint->n_features; i++) {
        const float *weights = joint->factor + i * (i + 1) / 2;
        double whitened = 0;
        for (uint32_t f = 0; f <= i; f++) {
            const float s = avvik__signed_log(row->values[f], explainer->joint_center[f], explainer->joint_rscale[f]);
            whitened += (double)weights[f] * ((double)s - (double)joint->mean[f]);
            at = f == feature ? s : at;
        }
        const double own = feature <= i ? (double)weights[feature] : 0;
        slope += own * whitened;
        bend += own * own;
    }
    if (!(bend > 0) || !(explainer->joint_rscale[feature] > 0))
        return row->values[feature];
    /* Back from the logarithm (kernels/README.md): the integer is exponent and mantissa of 1 + |z|. */
    const double s = (double)at - slope / bend, bits = fmin(fabs(s) * 0x1p23, 0x3f000000);
    const int32_t integer = 0x3f800000 + (int32_t)bits;
    float one_more;
    memcpy(&one_more, &integer, sizeof one_more);
    const double z = copysign((double)one_more - 1, s);
    return avvik__flush((float)(explainer->joint_center[feature] + z / explainer->joint_rscale[feature]));
}

/* Is the row ordinary with x for this feature? Walks the forest. */
static int is_ordinary_with(const struct avvik__counterfactual *search, struct avvik__explained_row *row,
                            uint32_t feature, float x)
{
    const float value = row->values[feature], tile = row->tile[feature];
    avvik__change_set(row, feature, x);
    const struct avvik__row_scores scores = avvik__explained_row_score(search->explainer, row);
    row->values[feature] = value;
    row->tile[feature] = tile;
    return avvik__surprise_of(search->surprise, search->by, &scores) < search->cut;
}

struct avvik_change avvik__change_describe(const struct avvik__counterfactual *search, struct avvik__explained_row *row,
                                           uint32_t feature, float from, float x)
{
    struct avvik_change change = {
        .feature = feature, .is_from = x > from, .size = avvik__change_size(search, row, feature, from, x)};
    change.value = change.rounded = change.is_from ? x : avvik__float_after(x);
    const double distance = fabs((double)change.value - from), value = change.value;
    double step = pow(10, floor(log10(distance > 0 ? distance : 1)));
    for (int i = 0; i < 9; i++, step /= 10) {
        const double round_value = (change.is_from ? ceil(value / step) : floor(value / step)) * step;
        const float rounded = avvik__flush((float)round_value);
        const float tried = change.is_from ? rounded : avvik__float_before(rounded);
        const int is_beyond = change.is_from ? rounded >= change.value : rounded <= change.value;
        if (is_beyond && fabs(round_value - value) <= 0.02 * distance &&
            is_ordinary_with(search, row, feature, tried)) {
            change.rounded = rounded;
            break;
        }
    }
    return change;
}

/* What the searches for one and for two changes share. */
#include <float.h>
#include <math.h>

#include "counterfactual.h"
#include "signed_log.h"

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

float avvik__float_between(float x, float y)
{
    return avvik__flush((float)(((double)x + y) / 2));
}

void avvik__change_set(struct avvik__looking *looking, uint32_t feature, float x)
{
    looking->row.values[feature] = looking->row.tile[feature] = x;
}

double avvik__change_size(const struct avvik__looking *looking, uint32_t feature, float from, float to)
{
    const struct avvik__scoring_plan *plan = &looking->search->explainer->memory.plan;
    return fabs((double)to - from) * (double)plan->rscale[looking->row.group * plan->stride + feature];
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

int avvik__is_ordinary(const struct avvik__looking *looking, int32_t path_sum)
{
    const struct avvik__counterfactual *search = looking->search;
    struct avvik__row_scores scores = {.path_sum = path_sum};
    if (search->by != AVVIK_BY_FOREST)
        avvik__explained_row_distances(search->explainer, &looking->row, &scores);
    return avvik__surprise_of(search->surprise, search->by, &scores) < looking->cut;
}

int avvik__is_ordinary_walked(const struct avvik__looking *looking)
{
    const struct avvik__counterfactual *search = looking->search;
    const struct avvik__row_scores scores = avvik__explained_row_score(search->explainer, &looking->row);
    return avvik__surprise_of(search->surprise, search->by, &scores) < looking->cut;
}

struct avvik_change avvik__change_describe(struct avvik__looking *looking, uint32_t feature, float from, float x)
{
    struct avvik_change change = {
        .feature = feature, .is_from = x > from, .size = avvik__change_size(looking, feature, from, x)};
    const float value_now = looking->row.values[feature];
    change.value = change.rounded = change.is_from ? x : avvik__float_after(x);
    const double distance = fabs((double)change.value - from), value = change.value;
    double step = pow(10, floor(log10(distance > 0 ? distance : 1)));
    for (int i = 0; i < 9; i++, step /= 10) {
        const double round_value = (change.is_from ? ceil(value / step) : floor(value / step)) * step;
        const float rounded = avvik__flush((float)round_value);
        const int is_beyond = change.is_from ? rounded >= change.value : rounded <= change.value;
        if (!is_beyond || fabs(round_value - value) > 0.02 * distance)
            continue;
        avvik__change_set(looking, feature, change.is_from ? rounded : avvik__float_before(rounded));
        if (avvik__is_ordinary_walked(looking)) {
            change.rounded = rounded;
            break;
        }
    }
    avvik__change_set(looking, feature, value_now);
    return change;
}

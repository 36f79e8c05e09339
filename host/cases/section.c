#include "section.h"

#include <float.h>
#include <math.h>

#include "signed_log.h"

#define ROUNDING 0x1p-24 /* of a float operation */

static void furthest_find(struct avvik__profile *profile, const struct avvik__explained_row *row)
{
    for (int i = 0; i < AVVIK_FURTHEST; i++) {
        profile->furthest[i] = UINT32_MAX;
        profile->largest[i] = 0;
    }
    for (uint32_t f = 0; f < profile->explainer->memory.plan.n_features; f++) {
        const float z = fabsf(avvik__explainer_z(profile->explainer, row->group, f, row->values[f]));
        int i = AVVIK_FURTHEST;
        for (; i > 0 && (profile->furthest[i - 1] == UINT32_MAX || z > profile->largest[i - 1]); i--)
            if (i < AVVIK_FURTHEST) {
                profile->furthest[i] = profile->furthest[i - 1];
                profile->largest[i] = profile->largest[i - 1];
            }
        if (i < AVVIK_FURTHEST) {
            profile->furthest[i] = f;
            profile->largest[i] = z;
        }
    }
}

/* The distance with its first and second derivatives; and by how much the kernel's root of it may be larger: each of n
 * terms of a component is rounded once as it is added, and the sum of squares a few times more (Higham 2002, section
 * 3.1). */
static void joint_find(struct avvik__profile *profile, const struct avvik__explained_row *row)
{
    const uint32_t n = profile->n_joint = profile->explainer->model->joint.n_features;
    double apart[AVVIK_JOINT_FEATURES], sizes = 0;
    profile->distance = profile->rounding = 0;
    if (n == 0)
        return;
    const struct avvik__joint_scale scale = avvik__explainer_joint_scale(profile->explainer, row->group);
    profile->center = scale.center;
    profile->rscale = scale.rscale;
    for (uint32_t f = 0; f < n; f++) {
        profile->logs[f] = (double)avvik__signed_log(row->values[f], profile->center[f], profile->rscale[f]);
        apart[f] = profile->logs[f] - (double)scale.measure.mean[f];
        profile->slope[f] = 0;
        for (uint32_t g = 0; g < n; g++)
            profile->bend[f][g] = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        const float *weights = scale.measure.factor + i * (i + 1) / 2;
        double whitened = 0, size = 0;
        for (uint32_t f = 0; f <= i; f++) {
            whitened += (double)weights[f] * apart[f];
            size += fabs((double)weights[f] * apart[f]);
        }
        for (uint32_t f = 0; f <= i; f++) {
            profile->slope[f] += (double)weights[f] * whitened;
            for (uint32_t g = 0; g <= i; g++)
                profile->bend[f][g] += (double)weights[f] * (double)weights[g];
        }
        profile->distance += whitened * whitened;
        sizes += size * size;
    }
    profile->rounding = (n + 8) * ROUNDING * sqrt(sizes);
}

int avvik__counts_tails(const struct avvik_explainer *explainer, const struct avvik__surprise *surprise,
                        enum avvik_detector by)
{
    return explainer->memory.plan.tails != NULL &&
           (by == AVVIK_BY_TAILS || (by == AVVIK_BY_COMBINED && surprise->weights[AVVIK_BY_TAILS] > 0));
}

void avvik__profile_take(struct avvik__profile *profile, const struct avvik_explainer *explainer,
                         const struct avvik__surprise *surprise, enum avvik_detector by,
                         const struct avvik__explained_row *row)
{
    profile->explainer = explainer;
    profile->surprise = surprise;
    profile->by = by;
    profile->group = row->group;
    furthest_find(profile, row);
    joint_find(profile, row);
    profile->has_tails = avvik__counts_tails(explainer, surprise, by);
    profile->all_tails = 0;
    for (uint32_t f = 0; f < explainer->memory.plan.n_features; f++) {
        profile->tails[f] = profile->has_tails ? avvik__explainer_tail(explainer, f, row->values[f]) : 0;
        profile->all_tails += profile->tails[f];
    }
}

struct avvik__section avvik__section_cut(const struct avvik__profile *profile, const uint32_t *features, int n)
{
    struct avvik__section section = {.profile = profile, .n = n, .features = {features[0], features[n - 1]}};
    int i = 0;
    while (i < AVVIK_FURTHEST &&
           (profile->furthest[i] == section.features[0] || profile->furthest[i] == section.features[1]))
        i++;
    section.others = i < AVVIK_FURTHEST ? profile->largest[i] : 0;
    section.others_tails = profile->all_tails;
    for (i = 0; i < n; i++)
        section.others_tails -= profile->tails[section.features[i]];
    return section;
}

static double within(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* A parabola q + 2 g d + h d^2 over low <= d <= high, h >= 0. */
static double parabola_least(double q, double g, double h, double low, double high)
{
    const double d = h > 0 ? within(-g / h, low, high) : g > 0 ? low : high;
    return g == 0 && !(h > 0) ? q : q + d * (2 * g + h * d);
}

/* The squared distance where the signed logarithms differ by low[i] to high[i] from the row's: a convex function of
 * them, which is least where its slope is 0, or else on the border of the rectangle. */
static double distance_least(const struct avvik__section *section, const double *low, const double *high)
{
    const struct avvik__profile *profile = section->profile;
    const uint32_t a = section->features[0], b = section->features[1];
    const double q = profile->distance, g = profile->slope[a], h = profile->bend[a][a];
    if (section->n == 1)
        return parabola_least(q, g, h, low[0], high[0]);
    const double g_b = profile->slope[b], h_b = profile->bend[b][b], cross = profile->bend[a][b];
    const double det = h * h_b - cross * cross;
    if (det > 0) {
        const double x = (cross * g_b - h_b * g) / det, y = (cross * g - h * g_b) / det;
        if (x >= low[0] && x <= high[0] && y >= low[1] && y <= high[1])
            return q + g * x + g_b * y;
    }
    double least = INFINITY;
    for (int end = 0; end < 2; end++) {
        const double x = end == 0 ? low[0] : high[0], y = end == 0 ? low[1] : high[1];
        least = fmin(least, parabola_least(q + x * (2 * g + h * x), g_b + cross * x, h_b, low[1], high[1]));
        least = fmin(least, parabola_least(q + y * (2 * g_b + h_b * y), g + cross * y, h, low[0], high[0]));
    }
    return least;
}

/* The surprise of the least scores. The kernel's root may be larger by `rounding`. */
static double surprise_find(const struct avvik__section *section, float deviation, double distance, int32_t tails,
                            int32_t path_sum)
{
    const struct avvik__profile *profile = section->profile;
    const double root = sqrt(fmax(distance, 0)) + profile->rounding;
    return avvik__surprise_of(
        profile->surprise, profile->by,
        &(struct avvik__row_scores){path_sum, deviation, profile->n_joint == 0 ? 0 : (float)(root * root), tails});
}

/* What feature f is worth in the tails where that is least: next to the middle. */
static int32_t tail_least(const struct avvik__profile *profile, uint32_t f, float low, float high)
{
    if (!profile->has_tails)
        return 0;
    const float middle = avvik__explainer_middle(profile->explainer, f);
    return avvik__explainer_tail(profile->explainer, f, middle < low ? low : middle > high ? high : middle);
}

double avvik__section_least(const struct avvik__section *section, const float *low, const float *high, int32_t path_sum)
{
    const struct avvik__profile *profile = section->profile;
    const struct avvik_explainer *explainer = profile->explainer;
    const struct avvik__scoring_plan *plan = &explainer->memory.plan;
    float deviation = section->others;
    int32_t tails = section->others_tails;
    double logs_low[2] = {0, 0}, logs_high[2] = {0, 0};
    if (profile->by == AVVIK_BY_FOREST)
        return -(double)path_sum;
    for (int i = 0; i < section->n; i++) {
        const uint32_t f = section->features[i];
        const float center = plan->center[profile->group * plan->stride + f];
        if (low[i] > center || high[i] < center) {
            const float nearest = low[i] > center ? low[i] : high[i];
            deviation = fmaxf(deviation, fabsf(avvik__explainer_z(explainer, profile->group, f, nearest)));
        }
        tails += tail_least(profile, f, low[i], high[i]);
        if (profile->n_joint > 0) {
            const float c = profile->center[f], r = profile->rscale[f];
            logs_low[i] = (double)avvik__signed_log(low[i], c, r) - profile->logs[f];
            logs_high[i] =
                low[i] == high[i] ? logs_low[i] : (double)avvik__signed_log(high[i], c, r) - profile->logs[f];
        }
    }
    const double distance = profile->n_joint == 0 ? 0 : distance_least(section, logs_low, logs_high);
    return surprise_find(section, deviation, distance, tails, path_sum);
}

double avvik__section_least_anywhere(const struct avvik__section *section, int32_t path_sum)
{
    static const double low[2] = {-256, -256}, high[2] = {256, 256}; /* logarithms of floats are below 129 */
    const struct avvik__profile *profile = section->profile;
    int32_t tails = section->others_tails;
    for (int i = 0; i < section->n; i++)
        tails += tail_least(profile, section->features[i], -FLT_MAX, FLT_MAX);
    return surprise_find(section, section->others, profile->n_joint == 0 ? 0 : distance_least(section, low, high),
                         tails, path_sum);
}

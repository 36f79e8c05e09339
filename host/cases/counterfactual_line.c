/* One feature: along it the path sum is constant between the forest's thresholds, so that one walk of the trees gives
 * it for every value; within such an interval values are passed over where no detector lets the row be ordinary. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "counterfactual.h"
#include "forest_node.h"

/* One feature of one row. */
struct line {
    struct avvik__looking *looking;
    struct avvik__section section;
    const struct avvik__borders *borders;
    uint32_t feature;
    float from;   /* its value in the row */
    float best;   /* the nearest value found that makes the row ordinary, */
    double least; /* and how far it is; only nearer ones are looked for */
    int is_found;
};

/* Add the leaf values below node k to the intervals [low, high), as differences to the interval before. */
static void node_add(const struct line *line, uint32_t tree, uint32_t k, uint32_t low, uint32_t high)
{
    const struct avvik__forest *forest = &line->looking->search->explainer->model->forest;
    const uint32_t size = 1u << forest->height;
    const size_t base = (size_t)tree << forest->height;
    struct avvik__split split;
    while (k < size) {
        const int is_split = avvik__split_of(forest, base + k, &split);
        if (is_split && split.feature == line->feature) {
            const uint32_t middle = avvik__interval_of(line->borders, split.threshold); /* the first that goes right */
            if (low < middle && middle < high) {
                node_add(line, tree, 2 * k, low, middle);
                k = 2 * k + 1;
                low = middle;
            } else
                k = 2 * k + (low >= middle);
        } else
            k = 2 * k + (is_split && !(line->looking->row.tile[split.feature] < split.threshold));
    }
    line->looking->sums[low] += forest->leaves[base + k - size];
    line->looking->sums[high] -= forest->leaves[base + k - size];
}

/* The path sum of every interval. Trees that do not ask for the feature on the row's path never will. */
static void sums_fill(const struct line *line)
{
    const struct avvik__looking *looking = line->looking;
    int32_t *sums = looking->sums;
    memset(sums, 0, (line->borders->n + 2) * sizeof *sums);
    sums[0] = looking->path_sum;
    for (uint32_t i = looking->first_tree[line->feature]; i < looking->first_tree[line->feature + 1]; i++) {
        sums[0] -= looking->leaves[looking->trees[i]];
        node_add(line, looking->trees[i], 1, 0, line->borders->n + 1);
    }
    for (uint32_t i = 1; i <= line->borders->n; i++)
        sums[i] += sums[i - 1];
}

/* The first value from `near` on to `far` that is surely ordinary, by halves: 1 and into *x_out. A half is passed over
 * where the least that every detector can say is too much. */
static int first_find(const struct line *line, float near, float far, int32_t path_sum, float *x_out)
{
    const float low = fminf(near, far), high = fmaxf(near, far), middle = avvik__float_between(near, far);
    if (avvik__change_size(line->looking, line->feature, line->from, near) >= line->least)
        return 0;
    if (avvik__section_least(&line->section, &near, &near, path_sum) < line->looking->cut) {
        *x_out = near;
        return 1;
    }
    if (near == far ||
        avvik__section_least(&line->section, &low, &high, path_sum) >= line->looking->cut - line->looking->slack)
        return 0;
    if (middle == near || middle == far)
        return first_find(line, far, far, path_sum, x_out);
    return first_find(line, near, middle, path_sum, x_out) || first_find(line, middle, far, path_sum, x_out);
}

static int is_ordinary_at(const struct line *line, float x, int32_t path_sum)
{
    avvik__change_set(line->looking, line->feature, x);
    return avvik__is_ordinary(line->looking, path_sum);
}

/* Look through one interval, from its value `near` to its value `far`. */
static void interval_look(struct line *line, float near, float far, int32_t path_sum)
{
    float x, out = near;
    if (!first_find(line, near, far, path_sum, &x) || !is_ordinary_at(line, x, path_sum))
        return;
    if (near != line->from && is_ordinary_at(line, near, path_sum))
        x = near;       /* but for what rounding might do, not surely so */
    while (x != near) { /* from what is surely ordinary to the border itself, next to a value that is not */
        const float middle = avvik__float_between(out, x);
        if (middle == out || middle == x)
            break;
        if (is_ordinary_at(line, middle, path_sum))
            x = middle;
        else
            out = middle;
    }
    const double size = avvik__change_size(line->looking, line->feature, line->from, x);
    if (size < line->least) {
        line->least = size;
        line->best = x;
        line->is_found = 1;
    }
}

int avvik__counterfactual_line(struct avvik__looking *looking, uint32_t feature, float *best, double *least)
{
    struct line line = {.looking = looking,
                        .section = avvik__section_cut(&looking->profile, &feature, 1),
                        .borders = &looking->search->borders[feature],
                        .feature = feature,
                        .from = looking->row.tile[feature],
                        .least = *least};
    const struct avvik__borders *borders = line.borders;
    const uint32_t own = avvik__interval_of(borders, line.from);
    const int64_t most = looking->path_sum + looking->gains[feature];
    if (avvik__section_least_anywhere(&line.section, (int32_t)most) >= looking->cut - looking->slack)
        return 0;
    sums_fill(&line);
    for (int is_up = 0; is_up < 2; is_up++)
        for (uint32_t i = own; i <= borders->n; i += is_up ? 1 : UINT32_MAX) { /* below 0 it is a large number */
            const float low = i == 0 ? -FLT_MAX : borders->values[i - 1];
            const float high = i == borders->n ? FLT_MAX : avvik__float_before(borders->values[i]);
            const float near = i == own ? line.from : is_up ? low : high;
            if (avvik__change_size(looking, feature, line.from, near) >= line.least)
                break;
            interval_look(&line, near, is_up ? high : low, looking->sums[i]);
        }
    avvik__change_set(looking, feature, line.from);
    *best = line.best;
    *least = line.least;
    return line.is_found;
}

/* One feature: along a single feature a path sum is constant between the forest's thresholds, so that it is known for
 * every value at once; the other detectors fall towards where they are least, and rise behind it. */
#include "counterfactual.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "forest_node.h"

#define STEPS 8         /* in which the stretch between two places is looked through */
#define PAIR_FEATURES 5 /* the features that explain most, of which two may change */

static int floats_compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

enum avvik_status avvik__counterfactual_init(struct avvik__counterfactual *search, struct avvik_error *error)
{
    const struct avvik__forest *forest = &search->explainer->model->forest;
    const size_t size = (size_t)1 << forest->height;
    struct avvik__split split;
    uint32_t most = 0;
    if ((search->borders = calloc(forest->n_features, sizeof *search->borders)) == NULL)
        goto no_memory;
    for (size_t at = 0; at < forest->n_trees * size; at++)
        if (at % size > 0 && avvik__split_of(forest, at, &split))
            search->borders[split.feature].n++;
    for (uint32_t f = 0; f < forest->n_features; f++) {
        if ((search->borders[f].values = calloc((size_t)search->borders[f].n + 1, sizeof(float))) == NULL)
            goto no_memory;
        search->borders[f].n = 0;
    }
    for (size_t at = 0; at < forest->n_trees * size; at++)
        if (at % size > 0 && avvik__split_of(forest, at, &split))
            search->borders[split.feature].values[search->borders[split.feature].n++] = split.threshold;
    for (uint32_t f = 0; f < forest->n_features; f++) {
        struct avvik__borders *borders = &search->borders[f];
        uint32_t n = 0;
        qsort(borders->values, borders->n, sizeof(float), floats_compare);
        for (uint32_t i = 0; i < borders->n; i++)
            if (n == 0 || borders->values[i] != borders->values[n - 1])
                borders->values[n++] = borders->values[i];
        borders->n = n;
        most = n > most ? n : most;
    }
    const size_t cells = (size_t)(AVVIK_PAIR_INTERVALS + 1) * (AVVIK_PAIR_INTERVALS + 1);
    search->sums = calloc(most + 2 > cells ? most + 2 : cells, sizeof *search->sums);
    search->points = calloc(2 * ((size_t)most + 64), sizeof *search->points);
    if (search->sums != NULL && search->points != NULL)
        return AVVIK_OK;
no_memory:
    avvik__counterfactual_destroy(search);
    return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
}

void avvik__counterfactual_destroy(struct avvik__counterfactual *search)
{
    for (uint32_t f = 0; search->borders != NULL && f < search->explainer->model->forest.n_features; f++)
        free(search->borders[f].values);
    free(search->borders);
    free(search->sums);
    free(search->points);
    search->borders = NULL;
    search->sums = NULL;
    search->points = NULL;
}

/* One feature of one row. */
struct line {
    struct avvik__counterfactual *search;
    struct avvik__explained_row *row;
    const struct avvik__borders *borders;
    uint32_t feature;
    float from;    /* its value in the row */
    float keys[2]; /* where the deviation and the joint deviation are least */
    float best;    /* the nearest value found that makes the row ordinary, */
    double least;  /* and how far it is; only nearer ones are looked for */
    int is_found;
};

/* Add the leaf values below node k to the intervals [low, high), as differences to the interval before. */
static void node_add(const struct line *line, uint32_t tree, uint32_t k, uint32_t low, uint32_t high)
{
    const struct avvik__forest *forest = &line->search->explainer->model->forest;
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
            k = 2 * k + (is_split && !(line->row->tile[split.feature] < split.threshold));
    }
    line->search->sums[low] += forest->leaves[base + k - size];
    line->search->sums[high] -= forest->leaves[base + k - size];
}

static int is_ordinary_at(const struct line *line, float x, int32_t path_sum)
{
    avvik__change_set(line->row, line->feature, x);
    return avvik__counterfactual_surprise(line->search, line->row, path_sum) < line->search->cut;
}

/* Between `out`, where the row is not ordinary, and `in`, where it is: the value next to the border. */
static float border_find(const struct line *line, float out, float in, int32_t path_sum)
{
    for (;;) {
        const float middle = (float)(((double)out + in) / 2);
        if (middle == out || middle == in)
            return in;
        if (is_ordinary_at(line, middle, path_sum))
            in = middle;
        else
            out = middle;
    }
}

static void found(struct line *line, float x)
{
    const double size = avvik__change_size(line->search, line->row, line->feature, line->from, x);
    if (size < line->least) {
        line->least = size;
        line->best = x;
        line->is_found = 1;
    }
}

/* Look through one interval, from its value `near` to its value `far`. */
static void interval_look(struct line *line, float near, float far, int32_t path_sum)
{
    const float sign = far < near ? -1.0f : 1.0f;
    float places[3], from = near;
    int n = 0;
    if (near != line->from && is_ordinary_at(line, near, path_sum)) {
        found(line, near);
        return;
    }
    if (line->search->by == AVVIK_BY_FOREST)
        return;
    for (int i = 0; i < 2; i++)
        if (sign * line->keys[i] > sign * near && sign * line->keys[i] < sign * far)
            places[n++] = line->keys[i];
    if (n == 2 && sign * places[1] < sign * places[0]) {
        const float first = places[1];
        places[1] = places[0];
        places[0] = first;
    }
    if (isfinite(far))
        places[n++] = far;
    for (int i = 0; i < n; from = places[i++])
        for (int step = 1; step <= STEPS; step++) {
            const float x = step == STEPS ? places[i] : (float)(from + ((double)places[i] - from) * step / STEPS);
            if (avvik__change_size(line->search, line->row, line->feature, line->from, x) >= line->least && step > 1)
                return;
            if (is_ordinary_at(line, x, path_sum)) {
                const float out = step == 1 ? from : (float)(from + ((double)places[i] - from) * (step - 1) / STEPS);
                found(line, border_find(line, out, x, path_sum));
                return;
            }
        }
}

/* The nearest value of `feature` that makes the row ordinary. */
static void line_search(struct line *line)
{
    struct avvik__counterfactual *search = line->search;
    const struct avvik__borders *borders = line->borders;
    const uint32_t own = avvik__interval_of(borders, line->from);
    const int32_t least = avvik__least_path_sum(search, line->row, &line->feature, 1);
    memset(search->sums, 0, (borders->n + 2) * sizeof *search->sums);
    for (uint32_t tree = 0; tree < search->explainer->model->forest.n_trees; tree++)
        node_add(line, tree, 1, 0, borders->n + 1);
    for (uint32_t i = 1; i <= borders->n; i++)
        search->sums[i] += search->sums[i - 1];
    for (int is_up = 0; is_up < 2; is_up++)
        for (uint32_t i = own; i <= borders->n; i += is_up ? 1 : UINT32_MAX) { /* below 0 it is a large number */
            const float low = i == 0 ? -INFINITY : borders->values[i - 1];
            const float high = i == borders->n ? INFINITY : avvik__float_before(borders->values[i]);
            const float near = i == own ? line->from : is_up ? low : high;
            if (avvik__change_size(search, line->row, line->feature, line->from, near) >= line->least)
                break;
            if (search->sums[i] >= least)
                interval_look(line, near, is_up ? high : low, search->sums[i]);
        }
}

/* May this feature change at all? */
static int may_change(const struct avvik__counterfactual *search, const struct avvik__explained_row *row, uint32_t f)
{
    const struct avvik__scoring_plan *plan = &search->explainer->memory.plan;
    return !search->is_fixed[f] && isfinite(row->values[f]) && plan->rscale[row->group * plan->stride + f] > 0;
}

void avvik__counterfactual_find(struct avvik__counterfactual *search, struct avvik__explained_row *row,
                                struct avvik_explanation *explanation)
{
    const struct avvik__scoring_plan *plan = &search->explainer->memory.plan;
    double least = INFINITY;
    uint32_t changing[PAIR_FEATURES];
    int n_changing = 0;
    for (uint32_t i = 0; i < plan->n_features; i++) {
        const uint32_t f = explanation->reasons[i].feature;
        if (!may_change(search, row, f))
            continue;
        if (n_changing < PAIR_FEATURES)
            changing[n_changing++] = f;
        struct line line = {.search = search,
                            .row = row,
                            .borders = &search->borders[f],
                            .feature = f,
                            .from = row->tile[f],
                            .keys = {plan->center[row->group * plan->stride + f], avvik__joint_best(search, row, f)},
                            .least = least};
        line_search(&line);
        avvik__change_set(row, f, line.from);
        if (line.is_found) {
            least = line.least;
            explanation->one[0] = avvik__change_describe(search, row, f, line.from, line.best);
            explanation->n_one = 1;
        }
    }
    for (int i = 0; i < n_changing; i++)
        for (int k = i + 1; k < n_changing; k++) {
            const double size = avvik__counterfactual_pair(search, row, (const uint32_t[2]){changing[i], changing[k]},
                                                           least, explanation->two);
            explanation->n_two = size < least ? 2 : explanation->n_two;
            least = fmin(least, size);
        }
}

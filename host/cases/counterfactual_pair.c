/* Two features: the path sum is constant within each cell of the grid that the thresholds of both make. Every leaf that
 * the row can reach by changing both covers a rectangle of it, so that all sums come from the rectangles' corners. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "counterfactual.h"
#include "forest_node.h"

#define PLACES 16 /* between a value and where a detector is least, besides */

/* The intervals of one of the two features that are looked at. */
struct side {
    uint32_t feature, first, end; /* [first, end) */
    const struct avvik__borders *borders;
    float from;
    struct avvik__point *points; /* the smallest change first */
    size_t n_points;
};

struct grid {
    struct avvik__counterfactual *search;
    struct avvik__explained_row *row;
    struct side sides[2];
    size_t width; /* of a line of search->sums */
};

static int points_compare(const void *a, const void *b)
{
    const struct avvik__point *x = a, *y = b;
    return (x->size > y->size) - (x->size < y->size);
}

static void point_add(const struct grid *grid, struct side *side, float x, double least)
{
    const double size = avvik__change_size(grid->search, grid->row, side->feature, side->from, x);
    const uint32_t interval = avvik__interval_of(side->borders, x);
    if (x != side->from && size < least && interval >= side->first && interval < side->end)
        side->points[side->n_points++] = (struct avvik__point){x, interval, size};
}

/* The nearest intervals, the value of each that is nearest to the row's, and places on the way to where the deviation
 * and the joint deviation are least. */
static void side_set(const struct grid *grid, struct side *side, double least)
{
    const struct avvik__scoring_plan *plan = &grid->search->explainer->memory.plan;
    const float keys[2] = {plan->center[grid->row->group * plan->stride + side->feature],
                           avvik__joint_best(grid->search, grid->row, side->feature)};
    const uint32_t own = avvik__interval_of(side->borders, side->from), n = side->borders->n;
    side->first = own;
    side->end = own + 1;
    while (side->end - side->first < AVVIK_PAIR_INTERVALS && (side->first > 0 || side->end <= n)) {
        const double down = side->first > 0 ? (double)side->from - side->borders->values[side->first - 1] : INFINITY;
        const double up = side->end <= n ? (double)side->borders->values[side->end - 1] - side->from : INFINITY;
        if (down < up)
            side->first--;
        else
            side->end++;
    }
    for (uint32_t i = side->first; i < side->end; i++)
        if (i != own)
            point_add(grid, side,
                      i > own ? side->borders->values[i - 1] : avvik__float_before(side->borders->values[i]), least);
    for (int k = 0; k < 2 && grid->search->by != AVVIK_BY_FOREST; k++)
        for (int i = 1; i <= PLACES; i++)
            point_add(grid, side, (float)(side->from + ((double)keys[k] - side->from) * i / PLACES), least);
    qsort(side->points, side->n_points, sizeof *side->points, points_compare);
}

/* Add the leaf values below node k to the cells [low, high) of both sides, as differences at the corners. */
static void node_add(const struct grid *grid, uint32_t tree, uint32_t k, const uint32_t *low, const uint32_t *high)
{
    const struct avvik__forest *forest = &grid->search->explainer->model->forest;
    const uint32_t size = 1u << forest->height;
    const size_t base = (size_t)tree << forest->height;
    uint32_t from[2] = {low[0], low[1]};
    struct avvik__split split;
    while (k < size) {
        const int is_split = avvik__split_of(forest, base + k, &split);
        const int side = split.feature == grid->sides[0].feature ? 0 : split.feature == grid->sides[1].feature ? 1 : -1;
        if (is_split && side >= 0) {
            const uint32_t middle = avvik__interval_of(grid->sides[side].borders, split.threshold);
            if (from[side] < middle && middle < high[side]) {
                uint32_t to[2] = {high[0], high[1]};
                to[side] = middle;
                node_add(grid, tree, 2 * k, from, to);
                k = 2 * k + 1;
                from[side] = middle;
            } else
                k = 2 * k + (from[side] >= middle);
        } else
            k = 2 * k + (is_split && !(grid->row->tile[split.feature] < split.threshold));
    }
    const int32_t leaf = forest->leaves[base + k - size];
    int32_t *sums = grid->search->sums;
    const size_t top = (from[0] - grid->sides[0].first) * grid->width,
                 end = (high[0] - grid->sides[0].first) * grid->width;
    const size_t left = from[1] - grid->sides[1].first, right = high[1] - grid->sides[1].first;
    sums[top + left] += leaf;
    sums[top + right] -= leaf;
    sums[end + left] -= leaf;
    sums[end + right] += leaf;
}

static void sums_fill(const struct grid *grid)
{
    const size_t height = grid->sides[0].end - grid->sides[0].first, width = grid->width;
    const uint32_t low[2] = {grid->sides[0].first, grid->sides[1].first};
    const uint32_t high[2] = {grid->sides[0].end, grid->sides[1].end};
    int32_t *sums = grid->search->sums;
    memset(sums, 0, (height + 1) * width * sizeof *sums);
    for (uint32_t tree = 0; tree < grid->search->explainer->model->forest.n_trees; tree++)
        node_add(grid, tree, 1, low, high);
    for (size_t i = 0; i < height; i++)
        for (size_t k = 1; k < width; k++)
            sums[i * width + k] += sums[i * width + k - 1];
    for (size_t i = 1; i < height; i++)
        for (size_t k = 0; k < width; k++)
            sums[i * width + k] += sums[(i - 1) * width + k];
}

double avvik__counterfactual_pair(struct avvik__counterfactual *search, struct avvik__explained_row *row,
                                  const uint32_t *features, double least, struct avvik_change *changes)
{
    struct grid grid = {.search = search, .row = row};
    float best[2] = {0, 0};
    int is_found = 0;
    const int32_t least_sum = avvik__least_path_sum(search, row, features, 2);
    if (least_sum == INT32_MAX)
        return least;
    for (int i = 0; i < 2; i++) {
        struct side *side = &grid.sides[i];
        *side = (struct side){.feature = features[i],
                              .borders = &search->borders[features[i]],
                              .from = row->tile[features[i]],
                              .points = i == 0 ? search->points : grid.sides[0].points + grid.sides[0].n_points};
        side_set(&grid, side, least);
    }
    const struct side *a = &grid.sides[0], *b = &grid.sides[1];
    grid.width = b->end - b->first + 1;
    sums_fill(&grid);
    for (size_t i = 0; i < a->n_points; i++)
        for (size_t k = 0; k < b->n_points && a->points[i].size + b->points[k].size < least; k++) {
            const int32_t sum =
                search->sums[(a->points[i].interval - a->first) * grid.width + (b->points[k].interval - b->first)];
            if (sum < least_sum)
                continue;
            avvik__change_set(row, a->feature, a->points[i].x);
            avvik__change_set(row, b->feature, b->points[k].x);
            if (avvik__counterfactual_surprise(search, row, sum) < search->cut) {
                least = a->points[i].size + b->points[k].size;
                best[0] = a->points[i].x;
                best[1] = b->points[k].x;
                is_found = 1;
            }
        }
    for (int i = 0; i < 2 && is_found; i++) { /* each is rounded while the other has changed */
        avvik__change_set(row, a->feature, best[0]);
        avvik__change_set(row, b->feature, best[1]);
        changes[i] = avvik__change_describe(search, row, features[i], grid.sides[i].from, best[i]);
        best[i] = changes[i].is_from ? changes[i].rounded : avvik__float_before(changes[i].rounded);
    }
    avvik__change_set(row, a->feature, a->from);
    avvik__change_set(row, b->feature, b->from);
    return least;
}

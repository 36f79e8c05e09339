/* Two features: the path sum is constant within each cell of the grid that the thresholds of both make. Every leaf that
 * the row can reach by changing both covers a rectangle of it, so that all sums come from the rectangles' corners.
 * Cells in which no detector lets the row be ordinary are passed over, and the others looked through by halves, the
 * smallest change first. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "counterfactual.h"
#include "forest_node.h"

#define NEARER (1 - 0x1p-10) /* a change is only sought if it is smaller by this factor */

/* The intervals of one of the two features, as far as the row's trees tell them apart. */
struct side {
    uint32_t feature;
    const struct avvik__borders *borders;
    float from;
    uint32_t first, end; /* intervals of the whole forest that are near enough: [first, end) */
    uint32_t *starts;    /* of the side's intervals; starts[n] is `end` */
    uint32_t n, own;     /* own: where the row is */
};

struct pair {
    struct avvik__looking *looking;
    struct avvik__section section;
    struct side sides[2];
    double least;
    float best[2];
};

/* ---- Rectangles ---- */

static enum avvik_status rectangle_add(struct avvik__looking *looking, const uint32_t *low, const uint32_t *high,
                                       int32_t leaf, struct avvik_error *error)
{
    if (looking->n_rectangles == looking->room_rectangles) {
        const size_t room = 2 * looking->room_rectangles + 1024;
        void *larger = realloc(looking->rectangles, room * sizeof *looking->rectangles);
        if (larger == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        looking->rectangles = larger;
        looking->room_rectangles = room;
    }
    looking->rectangles[looking->n_rectangles++] =
        (struct avvik__rectangle){{low[0], low[1]}, {high[0], high[1]}, leaf};
    return AVVIK_OK;
}

/* The leaves below node k that the row reaches from intervals [low, high) of both sides; and the largest of them. */
static enum avvik_status node_add(const struct pair *pair, uint32_t tree, uint32_t k, const uint32_t *low,
                                  const uint32_t *high, int32_t *longest, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__forest *forest = &pair->looking->search->explainer->model->forest;
    const uint32_t size = 1u << forest->height;
    const size_t base = (size_t)tree << forest->height;
    uint32_t from[2] = {low[0], low[1]};
    struct avvik__split split;
    while (k < size) {
        const int is_split = avvik__split_of(forest, base + k, &split);
        const int side = split.feature == pair->sides[0].feature ? 0 : split.feature == pair->sides[1].feature ? 1 : -1;
        if (is_split && side >= 0) {
            const uint32_t middle = avvik__interval_of(pair->sides[side].borders, split.threshold);
            if (from[side] < middle && middle < high[side]) {
                uint32_t to[2] = {high[0], high[1]};
                to[side] = middle;
                AVVIK_TRY(node_add(pair, tree, 2 * k, from, to, longest, error));
                k = 2 * k + 1;
                from[side] = middle;
            } else
                k = 2 * k + (from[side] >= middle);
        } else
            k = 2 * k + (is_split && !(pair->looking->row.tile[split.feature] < split.threshold));
    }
    const int32_t leaf = forest->leaves[base + k - size];
    *longest = leaf > *longest ? leaf : *longest;
    status = rectangle_add(pair->looking, from, high, leaf, error);
done:
    return status;
}

/* All rectangles of the trees that ask for either feature on the row's path; others never will. *most_out: a path sum
 * that none exceeds; *others_out: what the other trees add. */
static enum avvik_status rectangles_find(struct pair *pair, int64_t *most_out, int32_t *others_out,
                                         struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__looking *looking = pair->looking;
    const uint32_t low[2] = {pair->sides[0].first, pair->sides[1].first};
    const uint32_t high[2] = {pair->sides[0].end, pair->sides[1].end};
    const uint32_t *trees = looking->trees, *first = looking->first_tree;
    uint32_t i = first[pair->sides[0].feature], k = first[pair->sides[1].feature];
    const uint32_t i_end = first[pair->sides[0].feature + 1], k_end = first[pair->sides[1].feature + 1];
    int64_t most = 0;
    int32_t others = looking->path_sum;
    looking->n_rectangles = 0;
    while (i < i_end || k < k_end) {
        const uint32_t tree = i == i_end ? trees[k] : k == k_end || trees[i] < trees[k] ? trees[i] : trees[k];
        int32_t longest = 0;
        AVVIK_TRY(node_add(pair, tree, 1, low, high, &longest, error));
        most += longest;
        others -= looking->leaves[tree];
        i += i < i_end && trees[i] == tree;
        k += k < k_end && trees[k] == tree;
    }
    *most_out = most + others;
    *others_out = others;
done:
    return status;
}

/* ---- The grid ---- */

/* Intervals whose nearest value is near enough. */
static void side_set(struct pair *pair, int s, uint32_t feature)
{
    const struct avvik__looking *looking = pair->looking;
    struct side *side = &pair->sides[s];
    *side = (struct side){.feature = feature,
                          .borders = &looking->search->borders[feature],
                          .from = looking->row.tile[feature],
                          .starts = looking->places[s]};
    side->first = avvik__interval_of(side->borders, side->from);
    side->end = side->first + 1;
    const float *values = side->borders->values;
    while (side->first > 0 &&
           avvik__change_size(looking, feature, side->from, values[side->first - 1]) < pair->least * NEARER)
        side->first--;
    while (side->end <= side->borders->n &&
           avvik__change_size(looking, feature, side->from, values[side->end - 1]) < pair->least * NEARER)
        side->end++;
}

/* Mark the intervals of a side, from its first on, in which a value is worth something else in the tails than in the
 * one before. */
static void tails_mark(const struct pair *pair, const struct side *side, uint32_t *marks, uint32_t n)
{
    const struct avvik_explainer *explainer = pair->looking->search->explainer;
    for (uint32_t i = 1; i < n && pair->looking->profile.has_tails; i++) {
        const float start = side->borders->values[side->first + i - 1];
        if (avvik__explainer_tail(explainer, side->feature, start) !=
            avvik__explainer_tail(explainer, side->feature, avvik__float_before(start)))
            marks[i] = 1;
    }
}

/* Only where a rectangle begins does a path sum change, and only there or at a quantile what the tails say. The
 * rectangles then count intervals of the side. */
static void side_reduce(struct pair *pair, int s)
{
    struct avvik__looking *looking = pair->looking;
    struct side *side = &pair->sides[s];
    const uint32_t n = side->end - side->first, own = avvik__interval_of(side->borders, side->from);
    uint32_t *numbers = looking->places[s] + n + 2; /* [interval - first]: its number on the side */
    memset(numbers, 0, (n + 1) * sizeof *numbers);
    for (size_t r = 0; r < looking->n_rectangles; r++)
        numbers[looking->rectangles[r].low[s] - side->first] = 1;
    tails_mark(pair, side, numbers, n);
    numbers[0] = numbers[n] = 1;
    side->n = 0;
    for (uint32_t i = 0; i <= n; i++)
        if (numbers[i] != 0) {
            side->starts[side->n] = side->first + i;
            side->own = side->first + i <= own ? side->n : side->own;
            numbers[i] = side->n++;
        }
    side->n--; /* the last is the end */
    for (size_t r = 0; r < looking->n_rectangles; r++) {
        struct avvik__rectangle *rectangle = &looking->rectangles[r];
        rectangle->low[s] = numbers[rectangle->low[s] - side->first];
        rectangle->high[s] = numbers[rectangle->high[s] - side->first];
    }
}

/* The values of an interval of the side. */
static void side_values(const struct side *side, uint32_t i, float *low, float *high)
{
    const uint32_t start = side->starts[i], end = side->starts[i + 1];
    *low = start == 0 ? -FLT_MAX : side->borders->values[start - 1];
    *high = end > side->borders->n ? FLT_MAX : avvik__float_before(side->borders->values[end - 1]);
}

/* The path sums of the rows [top, bottom) of the grid. */
static void sums_fill(const struct pair *pair, uint32_t top, uint32_t bottom, int32_t others)
{
    const struct avvik__looking *looking = pair->looking;
    const size_t width = pair->sides[1].n + 1;
    int32_t *sums = looking->sums;
    memset(sums, 0, (bottom - top + 1) * width * sizeof *sums);
    sums[0] = others;
    for (size_t r = 0; r < looking->n_rectangles; r++) {
        const struct avvik__rectangle *of = &looking->rectangles[r];
        const size_t low = of->low[0] > top ? of->low[0] - top : 0;
        const size_t high = of->high[0] < bottom ? (of->high[0] > top ? of->high[0] - top : 0) : bottom - top;
        if (low >= high)
            continue;
        sums[low * width + of->low[1]] += of->leaf;
        sums[low * width + of->high[1]] -= of->leaf;
        sums[high * width + of->low[1]] -= of->leaf;
        sums[high * width + of->high[1]] += of->leaf;
    }
    for (size_t i = 0; i < bottom - top; i++)
        for (size_t k = 1; k < width; k++)
            sums[i * width + k] += sums[i * width + k - 1];
    for (size_t i = 1; i < bottom - top; i++)
        for (size_t k = 0; k < width; k++)
            sums[i * width + k] += sums[(i - 1) * width + k];
}

static double size_of(const struct pair *pair, const float *x)
{
    return avvik__change_size(pair->looking, pair->sides[0].feature, pair->sides[0].from, x[0]) +
           avvik__change_size(pair->looking, pair->sides[1].feature, pair->sides[1].from, x[1]);
}

/* What the smallest change into interval i of a side takes. */
static double size_into(const struct pair *pair, int s, uint32_t i)
{
    const struct side *side = &pair->sides[s];
    float low, high;
    side_values(side, i, &low, &high);
    return i == side->own ? 0
                          : avvik__change_size(pair->looking, side->feature, side->from, i > side->own ? low : high);
}

static enum avvik_status cell_add(struct avvik__looking *looking, struct avvik__cell cell, struct avvik_error *error)
{
    if (looking->n_cells == looking->room_cells) {
        const size_t room = 2 * looking->room_cells + 1024;
        void *larger = realloc(looking->cells, room * sizeof *looking->cells);
        if (larger == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        looking->cells = larger;
        looking->room_cells = room;
    }
    looking->cells[looking->n_cells++] = cell;
    return AVVIK_OK;
}

/* The cells of the rows [top, bottom) in which the row might be ordinary. */
static enum avvik_status cells_find(struct pair *pair, uint32_t top, uint32_t bottom, int32_t least_sum,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__looking *looking = pair->looking;
    const size_t width = pair->sides[1].n + 1;
    looking->n_cells = 0;
    for (uint32_t i = top; i < bottom; i++) {
        const double size = size_into(pair, 0, i);
        float low[2], high[2];
        side_values(&pair->sides[0], i, &low[0], &high[0]);
        for (uint32_t k = 0; k < pair->sides[1].n; k++) {
            const int32_t sum = looking->sums[(i - top) * width + k];
            if (sum < least_sum)
                continue;
            const struct avvik__cell cell = {{i, k}, sum, size + size_into(pair, 1, k)};
            side_values(&pair->sides[1], k, &low[1], &high[1]);
            if (cell.size < pair->least * NEARER &&
                avvik__section_least(&pair->section, low, high, sum) < pair->looking->cut - pair->looking->slack)
                AVVIK_TRY(cell_add(looking, cell, error));
        }
    }
done:
    return status;
}

/* ---- Within a cell ---- */

static int is_surely_ordinary(const struct pair *pair, const float *x, int32_t path_sum)
{
    return avvik__section_least(&pair->section, x, x, path_sum) < pair->looking->cut;
}

static void found(struct pair *pair, const float *x)
{
    const double size = size_of(pair, x);
    if (size < pair->least) {
        pair->least = size;
        pair->best[0] = x[0];
        pair->best[1] = x[1];
    }
}

/* From the corner `near` of a box, which is the smallest change into it, to the corner `far`. */
static void box_look(struct pair *pair, const float *near, const float *far, int32_t path_sum)
{
    const float low[2] = {fminf(near[0], far[0]), fminf(near[1], far[1])};
    const float high[2] = {fmaxf(near[0], far[0]), fmaxf(near[1], far[1])};
    if (size_of(pair, near) >= pair->least * NEARER)
        return;
    if (is_surely_ordinary(pair, near, path_sum)) {
        found(pair, near);
        return;
    }
    if (avvik__section_least(&pair->section, low, high, path_sum) >= pair->looking->cut - pair->looking->slack)
        return;
    const double sizes[2] = {avvik__change_size(pair->looking, pair->sides[0].feature, near[0], far[0]),
                             avvik__change_size(pair->looking, pair->sides[1].feature, near[1], far[1])};
    for (int tried = 0, s = sizes[1] > sizes[0]; tried < 2; tried++, s = !s) {
        const float middle = avvik__float_between(near[s], far[s]);
        float first_far[2] = {far[0], far[1]}, second_near[2] = {near[0], near[1]};
        if (middle == near[s] || middle == far[s])
            continue;
        first_far[s] = second_near[s] = middle;
        box_look(pair, near, first_far, path_sum);
        box_look(pair, second_near, far, path_sum);
        return;
    }
}

static int cell_compare(const void *a, const void *b)
{
    const struct avvik__cell *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->at[0] != y->at[0] ? (x->at[0] < y->at[0] ? -1 : 1) : (x->at[1] > y->at[1]) - (x->at[1] < y->at[1]);
}

/* A cell, the smallest changes first: where the row is in an interval itself, upward and downward. */
static void cell_look(struct pair *pair, const struct avvik__cell *cell)
{
    float ends[2][2][2]; /* [side][which][near, far] */
    int n[2];
    for (int s = 0; s < 2; s++) {
        const struct side *side = &pair->sides[s];
        float low, high;
        side_values(side, cell->at[s], &low, &high);
        n[s] = cell->at[s] == side->own ? 2 : 1;
        ends[s][0][0] = cell->at[s] == side->own ? side->from : cell->at[s] > side->own ? low : high;
        ends[s][0][1] = cell->at[s] >= side->own ? high : low;
        ends[s][1][0] = side->from;
        ends[s][1][1] = low;
    }
    for (int i = 0; i < n[0]; i++)
        for (int k = 0; k < n[1]; k++)
            box_look(pair, (const float[2]){ends[0][i][0], ends[1][k][0]},
                     (const float[2]){ends[0][i][1], ends[1][k][1]}, cell->path_sum);
}

/* ---- The whole ---- */

/* The least path sum with which the row could be ordinary at best, up to `most`; INT32_MAX if none. */
static int32_t least_sum_find(const struct pair *pair, int64_t most)
{
    int32_t low = 0, high = (int32_t)most;
    if (avvik__section_least_anywhere(&pair->section, high) >= pair->looking->cut - pair->looking->slack)
        return INT32_MAX;
    while (low < high) {
        const int32_t middle = low + (high - low) / 2;
        if (avvik__section_least_anywhere(&pair->section, middle) < pair->looking->cut - pair->looking->slack)
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

/* What was found within a cell becomes exact: each feature in turn, as near to the row as its border is. */
static void best_refine(struct pair *pair)
{
    struct avvik__looking *looking = pair->looking;
    for (int s = 0; s < 2; s++)
        avvik__change_set(looking, pair->sides[s].feature, pair->best[s]);
    for (int s = 0; s < 2; s++) {
        float out = pair->sides[s].from;
        for (;;) {
            const float middle = avvik__float_between(out, pair->best[s]);
            if (middle == out || middle == pair->best[s])
                break;
            avvik__change_set(looking, pair->sides[s].feature, middle);
            if (avvik__is_ordinary_walked(looking))
                pair->best[s] = middle;
            else
                out = middle;
        }
        avvik__change_set(looking, pair->sides[s].feature, pair->best[s]);
    }
}

enum avvik_status avvik__counterfactual_pair(struct avvik__looking *looking, const uint32_t *features, float *best,
                                             double *least, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct pair pair = {
        .looking = looking, .section = avvik__section_cut(&looking->profile, features, 2), .least = *least};
    const int64_t all = (int64_t)looking->search->explainer->model->forest.n_trees * UINT16_MAX;
    int64_t most = looking->path_sum + looking->gains[features[0]] + looking->gains[features[1]];
    most = most < all ? most : all; /* gains of both may count a tree twice */
    int32_t others = 0, least_sum = least_sum_find(&pair, most);
    if (least_sum == INT32_MAX)
        return AVVIK_OK;
    for (int s = 0; s < 2; s++)
        side_set(&pair, s, features[s]);
    AVVIK_TRY(rectangles_find(&pair, &most, &others, error));
    if (most < least_sum)
        goto done;
    for (int s = 0; s < 2; s++)
        side_reduce(&pair, s);
    const size_t band = AVVIK_GRID_CELLS / (pair.sides[1].n + 1) > 1 ? AVVIK_GRID_CELLS / (pair.sides[1].n + 1) - 1 : 1;
    for (uint32_t top = 0; top < pair.sides[0].n; top += (uint32_t)band) {
        const uint32_t bottom = pair.sides[0].n - top < band ? pair.sides[0].n : top + (uint32_t)band;
        sums_fill(&pair, top, bottom, others);
        AVVIK_TRY(cells_find(&pair, top, bottom, least_sum, error));
        if (looking->n_cells > 0)
            qsort(looking->cells, looking->n_cells, sizeof *looking->cells, cell_compare);
        for (size_t c = 0; c < looking->n_cells; c++)
            cell_look(&pair, &looking->cells[c]);
    }
    if (pair.least < *least) {
        best_refine(&pair);
        *least = size_of(&pair, pair.best);
        memcpy(best, pair.best, sizeof pair.best);
    }
done:
    for (int s = 0; s < 2; s++)
        avvik__change_set(looking, features[s], pair.sides[s].from);
    return status;
}

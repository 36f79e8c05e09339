/* What would make a row ordinary: which features may change, alone and in pairs. */
#include "counterfactual.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "forest_node.h"

#define SLACK 0x1p-20 /* of the cut */

static int floats_compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void borders_fill(struct avvik__counterfactual *search)
{
    const struct avvik__forest *forest = &search->explainer->model->forest;
    const size_t size = (size_t)1 << forest->height;
    const struct avvik__scoring_plan *plan = &search->explainer->memory.plan;
    const int has_tails = avvik__counts_tails(search->explainer, search->surprise, search->by);
    struct avvik__split split;
    for (size_t at = 0; at < forest->n_trees * size; at++)
        if (at % size > 0 && avvik__split_of(forest, at, &split))
            search->borders[split.feature].values[search->borders[split.feature].n++] = split.threshold;
    for (uint32_t f = 0; f < forest->n_features; f++) {
        struct avvik__borders *borders = &search->borders[f];
        uint32_t n = 0;
        for (uint32_t i = 1; has_tails && i < AVVIK_TAIL_CELLS; i++)
            if (isfinite(plan->tails[f].level[i]))
                borders->values[borders->n++] = plan->tails[f].level[i];
        qsort(borders->values, borders->n, sizeof(float), floats_compare);
        for (uint32_t i = 0; i < borders->n; i++)
            if (n == 0 || borders->values[i] != borders->values[n - 1])
                borders->values[n++] = borders->values[i];
        borders->n = n;
        search->most_borders = n > search->most_borders ? n : search->most_borders;
    }
    for (size_t leaf = 0; leaf < forest->n_trees * size; leaf++)
        if (forest->leaves[leaf] > search->longest[leaf / size])
            search->longest[leaf / size] = forest->leaves[leaf];
}

enum avvik_status avvik__counterfactual_init(struct avvik__counterfactual *search, struct avvik_error *error)
{
    const struct avvik__forest *forest = &search->explainer->model->forest;
    const size_t size = (size_t)1 << forest->height;
    struct avvik__split split;
    search->most_borders = 0;
    search->longest = calloc(forest->n_trees, sizeof *search->longest);
    search->borders = calloc(forest->n_features, sizeof *search->borders);
    if (search->longest == NULL || search->borders == NULL)
        goto no_memory;
    for (size_t at = 0; at < forest->n_trees * size; at++)
        if (at % size > 0 && avvik__split_of(forest, at, &split))
            search->borders[split.feature].n++;
    for (uint32_t f = 0; f < forest->n_features; f++) {
        if ((search->borders[f].values = calloc((size_t)search->borders[f].n + AVVIK_TAIL_CELLS, sizeof(float))) ==
            NULL)
            goto no_memory;
        search->borders[f].n = 0;
    }
    borders_fill(search);
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
    free(search->longest);
    search->borders = NULL;
    search->longest = NULL;
}

enum avvik_status avvik__looking_init(struct avvik__looking *looking, const struct avvik__counterfactual *search,
                                      struct avvik_error *error)
{
    const struct avvik__forest *forest = &search->explainer->model->forest;
    const size_t stride = search->explainer->memory.plan.stride, n_intervals = 2 * ((size_t)search->most_borders + 4);
    *looking = (struct avvik__looking){.search = search};
    looking->row.values = avvik__aligned_calloc(stride, sizeof(float));
    looking->row.tile = avvik__aligned_calloc(stride, sizeof(float));
    looking->leaves = calloc(forest->n_trees, sizeof *looking->leaves);
    looking->first_tree = calloc((size_t)forest->n_features + 2, sizeof *looking->first_tree);
    looking->trees = calloc((size_t)forest->n_trees * (forest->height + 1), sizeof *looking->trees);
    looking->gains = calloc(forest->n_features, sizeof *looking->gains);
    looking->profile.tails = calloc(forest->n_features, sizeof *looking->profile.tails);
    looking->sums = calloc(n_intervals > AVVIK_GRID_CELLS ? n_intervals : AVVIK_GRID_CELLS, sizeof *looking->sums);
    looking->places[0] = calloc(n_intervals, sizeof(uint32_t));
    looking->places[1] = calloc(n_intervals, sizeof(uint32_t));
    return looking->row.values == NULL || looking->row.tile == NULL || looking->leaves == NULL ||
                   looking->first_tree == NULL || looking->trees == NULL || looking->gains == NULL ||
                   looking->profile.tails == NULL || looking->sums == NULL || looking->places[0] == NULL ||
                   looking->places[1] == NULL
               ? avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory")
               : AVVIK_OK;
}

void avvik__looking_destroy(struct avvik__looking *looking)
{
    free(looking->row.values);
    free(looking->row.tile);
    free(looking->leaves);
    free(looking->first_tree);
    free(looking->trees);
    free(looking->gains);
    free(looking->profile.tails);
    free(looking->sums);
    free(looking->places[0]);
    free(looking->places[1]);
    free(looking->rectangles);
    free(looking->cells);
}

/* The features that a row's path through a tree asks for, each once: into features (the height of a tree), and how many
 * there are. *leaf_out: where the path ends. */
static uint32_t path_walk(const struct avvik__looking *looking, uint32_t tree, uint32_t *features, int32_t *leaf_out)
{
    const struct avvik__forest *forest = &looking->search->explainer->model->forest;
    const uint32_t size = 1u << forest->height;
    const size_t base = (size_t)tree << forest->height;
    struct avvik__split split;
    uint32_t n = 0, k = 1;
    while (k < size) {
        const int is_split = avvik__split_of(forest, base + k, &split);
        uint32_t i = is_split ? 0 : n;
        while (i < n && features[i] != split.feature)
            i++;
        if (is_split && i == n)
            features[n++] = split.feature;
        k = 2 * k + (is_split && !(looking->row.tile[split.feature] < split.threshold));
    }
    *leaf_out = forest->leaves[base + k - size];
    return n;
}

/* In which trees the row's path asks for each feature. Where the score does not come from the forest, it is in none. */
static void paths_take(struct avvik__looking *looking)
{
    const struct avvik__counterfactual *search = looking->search;
    const struct avvik__forest *forest = &search->explainer->model->forest;
    const int has_forest = search->by == AVVIK_BY_FOREST || search->by == AVVIK_BY_COMBINED;
    uint32_t features[32], *first = looking->first_tree;
    memset(first, 0, ((size_t)forest->n_features + 2) * sizeof *first);
    memset(looking->gains, 0, forest->n_features * sizeof *looking->gains);
    looking->path_sum = 0;
    for (uint32_t tree = 0; tree < forest->n_trees; tree++) {
        const uint32_t n = path_walk(looking, tree, features, &looking->leaves[tree]);
        looking->path_sum += looking->leaves[tree];
        for (uint32_t i = 0; i < n && has_forest; i++) {
            first[features[i] + 2]++;
            looking->gains[features[i]] += search->longest[tree] - looking->leaves[tree];
        }
    }
    for (uint32_t f = 2; f < forest->n_features + 2; f++)
        first[f] += first[f - 1];
    for (uint32_t tree = 0; tree < forest->n_trees && has_forest; tree++) {
        int32_t leaf;
        const uint32_t n = path_walk(looking, tree, features, &leaf);
        for (uint32_t i = 0; i < n; i++)
            looking->trees[first[features[i] + 1]++] = tree;
    }
}

/* Might a change of this feature do anything? It must be allowed to, and some detector must see it. */
static int may_change(const struct avvik__looking *looking, uint32_t f)
{
    const struct avvik__counterfactual *search = looking->search;
    const struct avvik__scoring_plan *plan = &search->explainer->memory.plan;
    int is_furthest = 0;
    for (int i = 0; i < AVVIK_FURTHEST; i++)
        is_furthest |= looking->profile.furthest[i] == f;
    return !search->is_fixed[f] && isfinite(looking->row.values[f]) &&
           plan->rscale[looking->row.group * plan->stride + f] > 0 &&
           (is_furthest || f < looking->profile.n_joint || looking->profile.tails[f] > 0 ||
            looking->first_tree[f] < looking->first_tree[f + 1]);
}

static enum avvik_status pairs_look(struct avvik__looking *looking, const uint32_t *changing, uint32_t n, double least,
                                    struct avvik_explanation *explanation, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    uint32_t pair[2] = {0, 0};
    float best[2] = {0, 0};
    const double before = least;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = i + 1; k < n; k++) {
            const double least_now = least;
            AVVIK_TRY(avvik__counterfactual_pair(looking, (const uint32_t[2]){changing[i], changing[k]}, best, &least,
                                                 error));
            if (least < least_now) {
                pair[0] = changing[i];
                pair[1] = changing[k];
            }
        }
    if (least < before) {
        const float from[2] = {looking->row.tile[pair[0]], looking->row.tile[pair[1]]};
        for (int s = 0; s < 2; s++)
            avvik__change_set(looking, pair[s], best[s]);
        for (int s = 0; s < 2; s++) { /* the second is rounded while the first is round */
            struct avvik_change *change = &explanation->two[s];
            *change = avvik__change_describe(looking, pair[s], from[s], best[s]);
            avvik__change_set(looking, pair[s],
                              change->is_from ? change->rounded : avvik__float_before(change->rounded));
        }
        explanation->n_two = 2;
    }
done:
    return status;
}

enum avvik_status avvik__counterfactual_find(struct avvik__looking *looking, struct avvik_explanation *explanation,
                                             struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__counterfactual *search = looking->search;
    const uint32_t n_features = search->explainer->memory.plan.n_features;
    double least = INFINITY;
    float best = 0;
    uint32_t *changing = calloc(n_features, sizeof *changing), n_changing = 0;
    if (changing == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    looking->cut = explanation->cut;
    looking->slack = search->by == AVVIK_BY_FOREST ? 0 : SLACK * fabs(explanation->cut);
    memcpy(looking->row.values, explanation->values, n_features * sizeof(float));
    looking->row.group = explanation->group;
    avvik__explained_row_fill(search->explainer, &looking->row);
    avvik__profile_take(&looking->profile, search->explainer, search->surprise, search->by, &looking->row);
    paths_take(looking);
    for (uint32_t i = 0; i < n_features; i++) { /* what explains most comes first: it is most likely to be near */
        const uint32_t f = explanation->reasons[i].feature;
        if (!may_change(looking, f))
            continue;
        changing[n_changing++] = f;
        if (avvik__counterfactual_line(looking, f, &best, &least)) {
            const float from = looking->row.tile[f];
            avvik__change_set(looking, f, best);
            explanation->one[0] = avvik__change_describe(looking, f, from, best);
            explanation->n_one = 1;
            avvik__change_set(looking, f, from);
        }
    }
    AVVIK_TRY(pairs_look(looking, changing, n_changing, least, explanation, error));
done:
    free(changing);
    return status;
}

#include "tree_shap.h"

#include "forest_node.h"

/* The distinct features on the way to a node: the share of training rows that go this way when the feature is not
 * known, whether this row does (0 or 1), and for every size of coalition the weight of those that reach the node. */
struct step {
    uint32_t feature;
    double zero, one, weight;
};

#define MAX_STEPS (AVVIK_MAX_HEIGHT + 2)

struct walk {
    const struct avvik__forest *forest;
    const float *row;
    double *values;
    uint32_t tree;
    double mean;
};

static void path_extend(struct step *path, uint32_t depth, double zero, double one, uint32_t feature)
{
    path[depth] = (struct step){feature, zero, one, depth == 0 ? 1 : 0};
    for (uint32_t i = depth; i-- > 0;) {
        path[i + 1].weight += one * path[i].weight * (i + 1) / (depth + 1.0);
        path[i].weight = zero * path[i].weight * (depth - i) / (depth + 1.0);
    }
}

/* Take step `index` out again, as if it had never been taken in. */
static void path_unwind(struct step *path, uint32_t depth, uint32_t index)
{
    const double one = path[index].one, zero = path[index].zero;
    double next = path[depth].weight;
    for (uint32_t i = depth; i-- > 0;) {
        if (one != 0) {
            const double before = path[i].weight;
            path[i].weight = next * (depth + 1.0) / ((i + 1) * one);
            next = before - path[i].weight * zero * (depth - i) / (depth + 1.0);
        } else
            path[i].weight = path[i].weight * (depth + 1.0) / (zero * (depth - i));
    }
    for (uint32_t i = index; i < depth; i++) {
        path[i].feature = path[i + 1].feature;
        path[i].zero = path[i + 1].zero;
        path[i].one = path[i + 1].one;
    }
}

/* The sum of the weights that would be left without step `index`. */
static double unwound_sum(const struct step *path, uint32_t depth, uint32_t index)
{
    const double one = path[index].one, zero = path[index].zero;
    double next = path[depth].weight, sum = 0;
    for (uint32_t i = depth; i-- > 0;) {
        if (one != 0) {
            const double weight = next * (depth + 1.0) / ((i + 1) * one);
            sum += weight;
            next = path[i].weight - weight * zero * (depth - i) / (depth + 1.0);
        } else
            sum += path[i].weight / zero * (depth + 1.0) / (depth - i);
    }
    return sum;
}

static void leaf_add(struct walk *walk, const struct step *path, uint32_t depth, double value)
{
    double share = 1;
    for (uint32_t i = 1; i <= depth; i++) {
        walk->values[path[i].feature] += unwound_sum(path, depth, i) * (path[i].one - path[i].zero) * value;
        share *= path[i].zero;
    }
    walk->mean += share * value;
}

/* path[0, depth) are the steps so far; the one to node k is taken here. */
static void node_walk(struct walk *walk, uint32_t k, const struct step *before, uint32_t depth, double zero, double one,
                      uint32_t feature)
{
    const struct avvik__forest *forest = walk->forest;
    const uint32_t size = 1u << forest->height;
    const size_t base = (size_t)walk->tree << forest->height;
    const uint32_t *rows = forest->rows + 2 * base;
    struct step path[MAX_STEPS];
    struct avvik__split split;
    if (depth > 0)
        memcpy(path, before, depth * sizeof *path);
    path_extend(path, depth, zero, one, feature);
    if (k >= size || !avvik__split_of(forest, base + k, &split)) {
        while (k < size)
            k *= 2; /* a leaf is repeated below itself */
        leaf_add(walk, path, depth, (double)forest->leaves[base + k - size] / AVVIK_LEAF_ONE);
        return;
    }
    const uint32_t hot = 2 * k + !(walk->row[split.feature] < split.threshold), cold = hot ^ 1;
    double zero_before = 1, one_before = 1;
    for (uint32_t i = 1; i <= depth; i++)
        if (path[i].feature == split.feature) { /* once on a path is enough */
            zero_before = path[i].zero;
            one_before = path[i].one;
            path_unwind(path, depth--, i);
            break;
        }
    node_walk(walk, hot, path, depth + 1, zero_before * rows[hot] / rows[k], one_before, split.feature);
    node_walk(walk, cold, path, depth + 1, zero_before * rows[cold] / rows[k], 0, split.feature);
}

double avvik__tree_shap(const struct avvik__forest *forest, const float *row, double *values)
{
    struct walk walk = {.forest = forest, .row = row, .values = values};
    memset(values, 0, forest->n_features * sizeof *values);
    for (walk.tree = 0; walk.tree < forest->n_trees; walk.tree++)
        node_walk(&walk, 1, NULL, 0, 1, 1, UINT32_MAX);
    for (uint32_t f = 0; f < forest->n_features; f++)
        values[f] /= forest->n_trees;
    return walk.mean / forest->n_trees;
}

#include "bench_work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_random.h"
#include "leaf_reasons.h"

void bench_work_destroy(struct work *w)
{
    void *const owned[] = {w->columns,  w->tile,         w->out_tile,      w->mean,         w->rscale,
                           w->path_sum, w->deviation,    w->feature,       w->beyond,       w->counts,
                           w->moments,  w->sifted,       w->group,         w->group_center, w->group_rscale,
                           w->expected, w->leaf_reasons, w->contributions, w->joint,        w->tables,
                           w->tails,    w->joint_tables, w->sums};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free(owned[i]);
    avvik__forest_layout_destroy(&w->layout);
}

int bench_layout_make(struct work *w, uint64_t seed)
{
    int is_made = 0;
    const uint32_t sample = (uint32_t)w->shape->sample;
    struct avvik__forest forest = {.n_trees = (uint32_t)w->shape->trees,
                                   .sample = sample,
                                   .height = avvik__forest_height(sample),
                                   .n_features = (uint32_t)w->n_features,
                                   .average_path = avvik__average_path(sample)};
    uint32_t *scratch = malloc(sample * sizeof *scratch);
    if (scratch == NULL || avvik__forest_init(&forest, NULL) != AVVIK_OK)
        goto done;
    for (uint32_t tree = 0; tree < forest.n_trees; tree++) {
        const size_t first = tree * (size_t)sample % (w->n_rows - sample + 1);
        avvik__forest_grow(&forest, tree, w->tile + first * w->stride, w->stride, seed, scratch);
    }
    w->contributions = avvik__aligned_calloc(w->n_rows * w->stride, sizeof *w->contributions);
    w->leaf_reasons = avvik__leaf_reasons_make(&forest, w->stride); /* none for a wide forest */
    w->expected = forest.expected;
    forest.expected = NULL;
    is_made = w->contributions != NULL && avvik__forest_layout_init(&w->layout, &forest, NULL) == AVVIK_OK;
done:
    avvik__forest_destroy(&forest);
    free(scratch);
    return is_made;
}

/* All thresholds that there can be, closer together towards the ends. */
static void tables_make(struct work *w)
{
    static struct avvik__tail_quantiles quantiles;
    const uint64_t n = UINT64_C(1) << 40;
    uint64_t places[AVVIK_TAIL_QUANTILES];
    quantiles.n_quantiles = avvik__tail_places(n, places);
    for (uint32_t i = 0; i < quantiles.n_quantiles; i++) {
        const double share = (double)places[i] / (double)(n + 1);
        quantiles.value[i] = (float)(log(share / (1 - share)) / 4);
        quantiles.below[i] = places[i] - 1;
        quantiles.at_most[i] = places[i];
    }
    for (size_t f = 0; f < w->n_features; f++)
        avvik__tail_layout(&quantiles, n, 1, &w->tables[f]);
}

/* A factor that is 1 on and 1/2 below the diagonal, for each group. */
static int joint_tables_make(struct work *w)
{
    const size_t size = AVVIK_JOINT_TABLE(w->stride, w->n_features);
    if (w->n_features > AVVIK_JOINT_FEATURES)
        return 1;
    w->joint_tables = avvik__aligned_calloc(N_GROUPS * size, sizeof(float));
    w->sums = avvik__aligned_calloc(w->n_features, sizeof *w->sums);
    if (w->joint_tables == NULL || w->sums == NULL)
        return 0;
    for (size_t g = 0; g < N_GROUPS; g++) {
        float *table = w->joint_tables + g * size;
        memcpy(table, w->group_center + g * w->stride, w->stride * sizeof *table);
        memcpy(table + w->stride, w->group_rscale + g * w->stride, w->stride * sizeof *table);
        for (size_t i = 0; i < w->n_features; i++)
            for (size_t j = 0; j <= i; j++)
                table[3 * w->stride + AVVIK_JOINT_AT(i, j)] = i == j ? 1.0f : 0.5f;
    }
    return 1;
}

int bench_work_init(struct work *w, const struct bench_shape *shape, uint64_t seed)
{
    const size_t n_rows = shape->rows, n_features = shape->features;
    const size_t stride = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    *w = (struct work){.shape = shape, .n_rows = n_rows, .n_features = n_features, .stride = stride};
    w->columns = avvik__aligned_alloc(n_rows * n_features, sizeof(float));
    w->tile = avvik__aligned_calloc(n_rows * stride, sizeof(float));
    w->out_tile = avvik__aligned_calloc(n_rows * stride + AVVIK_LANES, sizeof(float)); /* sift writes whole vectors */
    w->mean = avvik__aligned_calloc(stride, sizeof(float));
    w->rscale = avvik__aligned_calloc(stride, sizeof(float));
    w->group = avvik__aligned_calloc(n_rows, sizeof *w->group);
    w->group_center = avvik__aligned_calloc(N_GROUPS * stride, sizeof(float));
    w->group_rscale = avvik__aligned_calloc(N_GROUPS * stride, sizeof(float));
    w->path_sum = avvik__aligned_calloc(n_rows, sizeof(int32_t));
    w->deviation = avvik__aligned_calloc(n_rows, sizeof(float));
    w->joint = avvik__aligned_calloc(n_rows, sizeof(float));
    w->tails = avvik__aligned_calloc(n_rows, sizeof *w->tails);
    w->tables = avvik__aligned_calloc(n_features, sizeof *w->tables);
    w->feature = avvik__aligned_calloc(n_rows, sizeof(uint16_t));
    w->beyond = avvik__aligned_calloc(n_rows, sizeof(uint16_t));
    w->counts = avvik__aligned_calloc(2 * n_features, sizeof(uint64_t));
    w->moments = avvik__aligned_calloc(n_features * n_blocks(w), sizeof *w->moments);
    w->sifted = avvik__aligned_calloc(n_features, sizeof *w->sifted);
    if (w->columns == NULL || w->tile == NULL || w->out_tile == NULL || w->mean == NULL || w->rscale == NULL ||
        w->path_sum == NULL || w->deviation == NULL || w->feature == NULL || w->beyond == NULL || w->counts == NULL ||
        w->moments == NULL || w->sifted == NULL || w->group == NULL || w->group_center == NULL ||
        w->group_rscale == NULL || w->joint == NULL || w->tails == NULL || w->tables == NULL)
        return 0;
    for (size_t r = 0; r < n_rows; r++)
        w->group[r] = (uint32_t)(r * 2654435761u % 4294967296u >> 22) % N_GROUPS;
    for (size_t i = 0; i < N_GROUPS * n_features; i++) {
        w->group_center[i / n_features * stride + i % n_features] = (float)(i % 97) / 64;
        w->group_rscale[i / n_features * stride + i % n_features] = 1.0f;
    }
    if (!joint_tables_make(w))
        return 0;
    for (size_t f = 0; f < n_features; f++) {
        w->mean[f] = (float)f / 64;
        w->rscale[f] = 1.0f;
        for (size_t r = 0; r < n_rows; r++) {
            const float x = (float)bench_value(seed, r, f);
            w->columns[f * n_rows + r] = x;
            w->tile[r * stride + f] = isnan(x) ? 0 : x;
        }
    }
    tables_make(w);
    return 1;
}

/* What the tests of the engine score with. */
#ifndef ENGINE_CASES_H
#define ENGINE_CASES_H

#include <check.h>
#include <math.h>

#include "engine_internal.h"

enum { N_FEATURES = 5 };

/* A model of 20 trees over N_FEATURES features, always in the same memory; release with avvik__forest_destroy(). */
static inline struct avvik_model *model_make(void)
{
    static struct avvik__feature features[N_FEATURES];
    static struct avvik_model model;
    static float sample[64 * N_FEATURES];
    uint32_t scratch[64];
    model = (struct avvik_model){.n_features = N_FEATURES,
                                 .features = features,
                                 .forest = {.n_trees = 20, .sample = 64, .height = 6, .n_features = N_FEATURES}};
    static uint32_t everyone;
    static float joint_mean[N_FEATURES], joint_factor[AVVIK_JOINT_FACTOR(N_FEATURES)];
    model.joint = (struct avvik__joint){N_FEATURES, 1, 0, &everyone, NULL, joint_mean, joint_factor};
    for (size_t i = 0; i < AVVIK_JOINT_FACTOR(N_FEATURES); i++)
        joint_factor[i] = (float)(1 + i % 3) / 4;
    static struct avvik__tail_quantiles quantiles[N_FEATURES];
    model.tails = (struct avvik__tails){N_FEATURES, quantiles};
    for (int f = 0; f < N_FEATURES; f++) {
        uint64_t places[AVVIK_TAIL_QUANTILES];
        features[f] = (struct avvik__feature){
            .center32 = 0.5f, .rscale32 = 3, .fill = 0.25f, .weight = 1, .moments.n = 1000 + (unsigned)f};
        quantiles[f].n_quantiles = avvik__tail_places(features[f].moments.n, places);
        for (uint32_t i = 0; i < quantiles[f].n_quantiles; i++) {
            quantiles[f].value[i] = (float)places[i] / 1000;
            quantiles[f].below[i] = places[i] - 1;
            quantiles[f].at_most[i] = places[i];
        }
    }
    ck_assert_int_eq(avvik__forest_init(&model.forest, NULL), AVVIK_OK);
    for (uint32_t tree = 0; tree < 20; tree++) {
        for (uint32_t i = 0; i < 64 * N_FEATURES; i++)
            sample[i] = (float)((i * 2654435761u + tree * 40503u) % 1009) / 1009;
        avvik__forest_grow(&model.forest, tree, sample, N_FEATURES, 1, scratch);
    }
    return &model;
}

/* n_rows x N_FEATURES values; some are missing and some infinite. */
static inline void values_make(float *values, size_t n_rows)
{
    for (size_t i = 0; i < n_rows * N_FEATURES; i++)
        values[i] = i % 97 == 3 ? NAN : i % 89 == 5 ? INFINITY : (float)(i * 2654435761u % 2003) / 1500;
}

#endif

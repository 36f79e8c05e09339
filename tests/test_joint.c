/* The joint deviation: every variant against the scalar kernel, bit by bit, with guard pages behind or before what
 * it reads; the signed logarithm against the C library's; and the factor against the covariance that it is to whiten.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "guard_memory.h"
#include "joint.h"
#include "kernel_cases.h"
#include "kernels.h"
#include "signed_log.h"
#include "suite_run.h"

typedef void any_fn(void);
static const struct {
    const char *kernel, *variant;
    unsigned needs;
    any_fn *function;
} variants[] = {
#define AVVIK_KERNEL(kernel, variant, bits) {#kernel, #variant, bits, (any_fn *)avvik__##kernel##_##variant},
#include "kernels.def"
};
#define N_VARIANTS (sizeof variants / sizeof variants[0])

static void compare(size_t n_rows, size_t n_features, enum data_kind kind, uint64_t seed)
{
    uint64_t state = seed;
    const size_t stride = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    const size_t n_factor =
        AVVIK_JOINT_AT((n_features + AVVIK_JOINT_PANEL - 1) / AVVIK_JOINT_PANEL * AVVIK_JOINT_PANEL, 0);
    const enum guard_side side = seed % 2 ? GUARD_BEHIND : GUARD_BEFORE;
    struct guarded tile = guarded_alloc(n_rows * stride * sizeof(float), side);
    struct guarded parameters = guarded_alloc(3 * stride * sizeof(float), side);
    struct guarded weights = guarded_alloc(n_factor * sizeof(float), side);
    const float scale = seed % 5 == 0 ? 0x1p-75f : 0x1p-23f; /* joint deviations around AVVIK_JOINT_LEAST, and large */
    float *center = parameters.data, *rscale = center + stride, *mean = rscale + stride, *factor = weights.data;
    memset(tile.data, 0, n_rows * stride * sizeof(float));
    memset(center, 0, 3 * stride * sizeof(float));
    memset(factor, 0, n_factor * sizeof(float));
    for (size_t f = 0; f < n_features; f++) {
        for (size_t r = 0; r < n_rows; r++) {
            const float x = avvik__flush(random_of_kind(kind, &state));
            ((float *)tile.data)[r * stride + f] = isfinite(x) ? x : NAN;
        }
        center[f] = seed % 4 == 0                  ? 1.5f * FLT_MIN /* which is a denormal away from FLT_MIN */
                    : random_next(&state) % 3 != 0 ? random_float(&state)
                                                   : 1.25f;
        rscale[f] = seed % 4 == 0 ? 0x1p120f : random_next(&state) % 5 ? fabsf(random_float(&state)) : 0.0f;
        mean[f] = rintf(random_float(&state) * 0x1p23f);
        for (size_t i = f; i < n_features; i++)
            factor[AVVIK_JOINT_AT(i, f)] = random_next(&state) % 7 ? random_float(&state) * scale : 0.0f;
    }
    float *values[2];
    uint16_t *numbers[2];
    for (int i = 0; i < 2; i++) {
        values[i] = malloc(n_rows * sizeof *values[i]);
        numbers[i] = malloc(n_rows * sizeof *numbers[i]);
    }
    avvik__deviation_joint_scalar(values[0], numbers[0], numbers[1], values[1], tile.data, stride, n_rows, n_features,
                                  center, rscale, 3.5f, mean, factor);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (strcmp(variants[i].kernel, "deviation_joint") != 0 || (variants[i].needs & ~avvik__cpu_features()) != 0)
            continue;
        const size_t sizes[4] = {sizeof(float), sizeof(float), sizeof(uint16_t), sizeof(uint16_t)};
        const void *const expected[4] = {values[0], values[1], numbers[0], numbers[1]};
        static const char *const names[4] = {"deviation", "joint deviation", "feature", "number beyond"};
        struct canaried got[4];
        for (int k = 0; k < 4; k++)
            got[k] = canaried_alloc(n_rows * sizes[k]);
        ((avvik__deviation_joint_fn *)variants[i].function)(
            (float *)got[0].data, (uint16_t *)got[2].data, (uint16_t *)got[3].data, (float *)got[1].data, tile.data,
            stride, n_rows, n_features, center, rscale, 3.5f, mean, factor);
        for (int k = 0; k < 4; k++) {
            for (size_t r = 0; r < n_rows; r++)
                ck_assert_msg(memcmp((const char *)expected[k] + r * sizes[k], got[k].data + r * sizes[k], sizes[k]) ==
                                  0,
                              "%s: %s of row %zu of %zu, %zu features, data kind %d, seed %llu", variants[i].variant,
                              names[k], r, n_rows, n_features, (int)kind, (unsigned long long)seed);
            ck_assert_int_eq(canaried_damage(&got[k]), 0);
            canaried_free(&got[k]);
        }
    }
    for (size_t r = 0; r < n_rows; r++)
        ck_assert(!isnan(values[1][r]));
    for (int i = 0; i < 2; i++) {
        free(values[i]);
        free(numbers[i]);
    }
    guarded_free(&tile);
    guarded_free(&parameters);
    guarded_free(&weights);
}

START_TEST(variants_equal_scalar)
{
    static const size_t rows[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100},
                        features[] = {1, 2, 7, 8, 9, 16, 17, 33, 64};
    uint64_t seed = 1;
    for (size_t f = 0; f < sizeof features / sizeof features[0]; f++)
        for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++)
            for (int kind = 0; kind < N_DATA_KINDS; kind++)
                compare(rows[n], features[f], (enum data_kind)kind, seed++);
}
END_TEST

/* Within 0.0861 of log2(1 + |z|), never above it, exact at powers of two, monotone; odd; 0 for what is missing. */
START_TEST(logarithm_is_nearly_one)
{
    float before = 0;
    for (double z = 0; z < 1e38; z = z * 1.01 + 1e-3) {
        const float x = (float)z, s = avvik__signed_log(x, 0, 1);
        ck_assert(s >= before && s <= log2(1.0 + (double)x) + 1e-6 && s > log2(1.0 + (double)x) - 0.08608);
        ck_assert(avvik__signed_log(-x, 0, 1) == -s);
        before = s;
    }
    for (int i = 0; i < 20; i++)
        ck_assert(avvik__signed_log(ldexpf(1, i) - 1, 0, 1) == (float)i);
    ck_assert(avvik__signed_log(5, 3, 1.5f) == 2);
    ck_assert(avvik__signed_log(NAN, 3, 1) == 0 && avvik__signed_log(INFINITY, 3, 1) == 0);
    ck_assert(avvik__signed_log(FLT_MAX, -FLT_MAX, FLT_MAX) == 128);
    ck_assert(avvik__signed_log(7, 3, 0) == 0);
}
END_TEST

/* Columns that do not vary, and two that are one: what is learnt is finite, and leaves them out or shares them. */
START_TEST(constant_and_equal_columns)
{
    enum { ROWS = 500, COLUMNS = 5 };
    static float values[ROWS][COLUMNS];
    static struct avvik__joint joint;
    uint64_t state = 3;
    for (size_t r = 0; r < ROWS; r++) {
        values[r][0] = 2;
        values[r][1] = values[r][3] = random_float(&state);
        values[r][2] = 0;
        values[r][4] = random_float(&state) + values[r][1];
    }
    avvik__joint_learn(&joint, values[0], ROWS, COLUMNS);
    for (size_t i = 0; i < COLUMNS * (COLUMNS + 1) / 2; i++)
        ck_assert(isfinite(joint.factor[i]));
    for (size_t f = 0; f < COLUMNS; f += 2) {
        if (f == 4)
            continue;
        ck_assert(joint.mean[f] == 0);
        for (size_t i = 0; i < COLUMNS; i++)
            ck_assert(joint.factor[i > f ? i * (i + 1) / 2 + f : f * (f + 1) / 2 + i] == 0);
    }
    ck_assert(joint.factor[3 * 4 / 2 + 3] > 1); /* the second of two equal columns adds next to nothing of its own */
    for (size_t r = 0; r < ROWS; r++)
        for (size_t f = 0; f < COLUMNS; f++)
            values[r][f] = 1;
    avvik__joint_learn(&joint, values[0], ROWS, COLUMNS);
    for (size_t i = 0; i < COLUMNS * (COLUMNS + 1) / 2; i++)
        ck_assert(joint.factor[i] == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("joint");
    TCase *cases = tcase_create("joint");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, variants_equal_scalar);
    tcase_add_test(cases, logarithm_is_nearly_one);
    tcase_add_test(cases, constant_and_equal_columns);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

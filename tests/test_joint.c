/* The joint deviation: every variant against the scalar kernel, bit by bit, with a guard page behind or before the
 * columns; the signed logarithm against the C library's; and the factor against the covariance that it is to whiten. */
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
    const size_t stride = n_rows + seed % 3, n_factor = n_features * (n_features + 1) / 2;
    const enum guard_side side = seed % 2 ? GUARD_BEHIND : GUARD_BEFORE;
    struct guarded values = guarded_alloc(((n_features - 1) * stride + n_rows) * sizeof(float), side);
    struct guarded parameters = guarded_alloc(3 * n_features * sizeof(float), side);
    struct guarded factor = guarded_alloc(n_factor * sizeof(float), side);
    float *center = parameters.data, *rscale = center + n_features, *mean = rscale + n_features;
    for (size_t f = 0; f < n_features; f++) {
        for (size_t r = 0; r < n_rows; r++)
            ((float *)values.data)[f * stride + r] = random_of_kind(kind, &state);
        center[f] = random_next(&state) % 3 ? random_float(&state) : 1.25f;
        rscale[f] = random_next(&state) % 5 ? fabsf(random_float(&state)) : 0.0f;
        mean[f] = random_float(&state);
    }
    for (size_t i = 0; i < n_factor; i++)
        ((float *)factor.data)[i] = random_next(&state) % 7 ? random_float(&state) : 0.0f;
    float *expected = malloc(n_rows * sizeof *expected);
    avvik__joint_scalar(expected, values.data, stride, n_rows, n_features, center, rscale, mean, factor.data);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (strcmp(variants[i].kernel, "joint") != 0 || (variants[i].needs & ~avvik__cpu_features()) != 0)
            continue;
        struct canaried got = canaried_alloc(n_rows * sizeof(float));
        ((avvik__joint_fn *)variants[i].function)((float *)got.data, values.data, stride, n_rows, n_features, center,
                                                  rscale, mean, factor.data);
        for (size_t r = 0; r < n_rows; r++)
            ck_assert_msg(memcmp(&expected[r], got.data + 4 * r, 4) == 0 && !isnan(expected[r]),
                          "%s: row %zu of %zu, %zu features, data kind %d, seed %llu: %a, not %a", variants[i].variant,
                          r, n_rows, n_features, (int)kind, (unsigned long long)seed, ((float *)got.data)[r],
                          expected[r]);
        ck_assert_int_eq(canaried_damage(&got), 0);
        canaried_free(&got);
    }
    free(expected);
    guarded_free(&values);
    guarded_free(&parameters);
    guarded_free(&factor);
}

START_TEST(variants_equal_scalar)
{
    static const size_t rows[] = {1, 15, 63, 64, 65, 200}, features[] = {1, 2, 3, 7, 16, 17, 33, 64};
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

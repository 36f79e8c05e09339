/* Medians, quantiles and moments against plain definitions: a full sort, counting, and two passes in long double. */
#include <math.h>
#include <stdlib.h>

#include "kernels.h"
#include "model_internal.h"
#include "suite_run.h"

static uint64_t noise_state = 1;
static uint32_t noise(void)
{
    noise_state = noise_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(noise_state >> 33);
}

static int float_compare(const void *a, const void *b)
{
    const float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

/* The k-th of n sorted values that at least i / 40 of them do not exceed, by counting. */
static size_t quantile_place(const float *sorted, size_t n, int i)
{
    size_t place = 0;
    while ((place + 1) * (AVVIK_QUANTILES - 1) < n * (size_t)i)
        place++;
    while (place > 0 && sorted[place - 1] == sorted[place])
        place--;
    return place;
}

START_TEST(test_reference_is_that_of_the_sorted_values)
{
    enum { MAX = 3000 };
    float values[MAX], sorted[MAX], scratch[MAX];
    struct avvik__feature feature;
    for (int trial = 0; trial < 4000; trial++) {
        const size_t n = trial % 100 == 0 ? MAX - noise() % 2 : 1 + noise() % 100;
        for (size_t i = 0; i < n; i++) {
            switch (trial % 4) {
            case 0: values[i] = (float)(noise() % 5) - 2; break;
            case 1: values[i] = ldexpf((float)(noise() % 1000) - 500, (int)(noise() % 200) - 100); break;
            case 2: values[i] = (float)noise() * 0x1p-31f; break;
            default: values[i] = i % 2 == 0 ? 3.4e38f : -3.4e38f; break;
            }
            sorted[i] = values[i] = fabsf(values[i]) < 0x1p-126f ? 0 : values[i];
        }
        qsort(sorted, n, sizeof *sorted, float_compare);
        avvik__feature_reference(&feature, values, scratch, n);
        const float middle = n % 2 == 1 ? sorted[n / 2] : (float)(((double)sorted[n / 2 - 1] + sorted[n / 2]) / 2);
        ck_assert_msg(feature.fill == (fabsf(middle) < 0x1p-126f ? 0 : middle), "trial %d, %zu values: %a, not %a",
                      trial, n, (double)feature.fill, (double)middle);
        for (int i = 0; i < AVVIK_QUANTILES; i++) {
            const float expected = sorted[quantile_place(sorted, n, i)];
            size_t at_most = 0;
            for (size_t k = 0; k < n; k++)
                at_most += sorted[k] <= expected;
            ck_assert_msg(feature.quantiles[i] == expected, "trial %d, %zu values, quantile %d", trial, n, i);
            ck_assert_uint_eq(feature.quantile_rows[i], at_most);
        }
        feature.moments = (struct avvik__moments_total){.min = sorted[0], .max = sorted[n - 1]};
        ck_assert(avvik__feature_reference_fits(&feature, n));
        ck_assert(!avvik__feature_reference_fits(&feature, n - 1));
        feature.quantiles[noise() % AVVIK_QUANTILES] = NAN;
        ck_assert(!avvik__feature_reference_fits(&feature, n));
    }
    avvik__feature_reference(&feature, values, scratch, 0);
    ck_assert(feature.fill == 0 && feature.quantiles[40] == 0 && feature.quantile_rows[40] == 0);
    ck_assert(avvik__feature_reference_fits(&feature, 100));
}
END_TEST

START_TEST(test_moments_are_those_of_two_passes)
{
    enum { N = 20000 };
    static float values[N];
    static const float centres[] = {0, 1e6f, -3e-5f, 1e20f};
    struct avvik__feature feature = {.weight = 1};
    for (size_t i = 0; i < N; i++) {
        values[i] = centres[_i] + ((float)noise() * 0x1p-31f - 0.5f) * (_i == 3 ? 1e19f : _i == 2 ? 1e-5f : 1);
        if (i % 101 == 7)
            values[i] = i % 2 == 0 ? NAN : INFINITY;
    }
    struct avvik__kernels kernels;
    avvik__kernels_select(&kernels, avvik__cpu_features());
    for (size_t first = 0; first < N; first += AVVIK_STATISTICS_ROWS) {
        struct avvik__moments block;
        kernels.statistics(&block, values + first,
                           N - first < AVVIK_STATISTICS_ROWS ? N - first : AVVIK_STATISTICS_ROWS);
        avvik__moments_add(&feature.moments, &block);
    }
    avvik__feature_finish(&feature, AVVIK_DEVIATION_CLASSICAL);
    long double sum = 0, squares = 0;
    uint64_t n = 0, n_odd = 0;
    for (size_t i = 0; i < N; i++) {
        if (isfinite(values[i])) {
            sum += values[i];
            n++;
        } else {
            n_odd++;
        }
    }
    const long double mean = sum / n;
    for (size_t i = 0; i < N; i++)
        if (isfinite(values[i]))
            squares += (values[i] - mean) * (values[i] - mean);
    const double sd = (double)sqrtl(squares / (n - 1));
    ck_assert_uint_eq(feature.moments.n, n);
    ck_assert_uint_eq(feature.moments.n_nan + feature.moments.n_infinite, n_odd);
    ck_assert_double_eq_tol(feature.moments.mean, (double)mean, 1e-13 * (fabs((double)mean) + sd));
    ck_assert_double_eq_tol(feature.sd, sd, 1e-12 * sd);
    ck_assert_float_eq_tol(feature.rscale32 * (float)sd, 1, 1e-6f);
}
END_TEST

START_TEST(test_a_feature_that_does_not_vary_has_no_scale)
{
    struct avvik__feature feature = {.moments = {.n = 10, .min = 4, .max = 4, .mean = 4, .m2 = 1e-30}};
    avvik__feature_finish(&feature, AVVIK_DEVIATION_CLASSICAL);
    ck_assert(feature.rscale32 == 0);
    ck_assert(feature.center32 == 4);
    feature = (struct avvik__feature){.moments = {.n = 1, .min = 4, .max = 4, .mean = 4}};
    avvik__feature_finish(&feature, AVVIK_DEVIATION_CLASSICAL);
    ck_assert(feature.rscale32 == 0 && feature.sd == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *cases = tcase_create("model");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, test_reference_is_that_of_the_sorted_values);
    tcase_add_loop_test(cases, test_moments_are_those_of_two_passes, 0, 4);
    tcase_add_test(cases, test_a_feature_that_does_not_vary_has_no_scale);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

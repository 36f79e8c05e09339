/* Tails: every variant against the scalar kernel, bit by bit, with guard pages behind or before what it reads; what the
 * tables say against counting all values; and the search for quantiles against sorting. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "float_order.h"
#include "kernel_cases.h"
#include "kernel_variants.h"
#include "rank_search.h"
#include "suite_run.h"

enum { MOST = 5000 };

static void compare(size_t n_rows, size_t n_features, enum data_kind kind, uint64_t seed)
{
    uint64_t state = now.seed = seed;
    const size_t stride = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    const enum guard_side side = seed % 2 ? GUARD_BEHIND : GUARD_BEFORE;
    struct guarded tile = guarded_alloc(n_rows * stride * sizeof(float), side);
    struct guarded memory = guarded_alloc(n_features * sizeof(struct avvik__tail_table), side);
    struct avvik__tail_table *tables = memory.data;
    memset(tile.data, 0, n_rows * stride * sizeof(float));
    snprintf(now.size, sizeof now.size, "%zu rows of %zu features, data kind %d", n_rows, n_features, (int)kind);
    for (size_t f = 0; f < n_features; f++) {
        static float values[300];
        const size_t n = 1 + random_next(&state) % 300;
        const struct avvik__tail_quantiles few = random_quantiles(values, n, kind, &state);
        const struct avvik__tail_quantiles all = all_quantiles(kind, &state);
        if ((f + seed) % 2 == 0)
            avvik__tail_layout(&few, n, 1, &tables[f]);
        else
            avvik__tail_layout(&all, MANY_VALUES, 1, &tables[f]);
        for (size_t r = 0; r < n_rows; r++) {
            const float x = avvik__flush(random_of_kind(kind, &state));
            ((float *)tile.data)[r * stride + f] = !isfinite(x) ? NAN : random_next(&state) % 3 ? x : values[r % n];
        }
    }
    int32_t *expected = malloc(n_rows * sizeof *expected);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, "tails"))
            continue;
        struct canaried got = canaried_alloc(n_rows * sizeof *expected);
        ((avvik__tails_fn *)variants[i].function)((int32_t *)got.data, tile.data, stride, n_rows, n_features, tables);
        check_output("tails", expected, &got, n_rows, sizeof *expected, 1);
    }
    free(expected);
    guarded_free(&tile);
    guarded_free(&memory);
}

START_TEST(variants_equal_scalar)
{
    static const size_t rows[] = {1, 7, 8, 9, 16, 17, 63, 64, 65, 200}, features[] = {1, 7, 8, 9, 16, 17, 33, 100};
    uint64_t seed = 1;
    for (size_t f = 0; f < sizeof features / sizeof features[0]; f++)
        for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++)
            for (int kind = 0; kind < N_DATA_KINDS; kind++)
                compare(rows[n], features[f], (enum data_kind)kind, seed++);
}
END_TEST

/* What one value is worth, by the kernel. */
static int32_t worth(const struct avvik__tail_table *table, float x)
{
    int32_t steps;
    avvik__tails_scalar(&steps, &x, 1, 1, 1, table);
    return steps;
}

/* The smaller tail of x by counting, in bits. */
static double bits_counted(const float *values, size_t n, float x)
{
    size_t low = 0, high = 0;
    for (size_t i = 0; i < n; i++) {
        low += values[i] <= x;
        high += values[i] >= x;
    }
    const size_t rows = low < high ? low : high;
    return rows == 0 ? log2((double)n + 1) : log2((double)n / (double)rows);
}

/* Never less than ECOD's -log2 p, and never more than log2(3 / 2) above it, rounding aside; exact at the quantiles that
 * are nearer to their own end; of NaN 0. */
START_TEST(a_table_counts_as_it_should)
{
    static float values[MOST];
    uint64_t state = 11;
    for (int round = 0; round < 60; round++) {
        const size_t n = round < 10 ? 1 + (size_t)round : 1 + random_next(&state) % MOST;
        const enum data_kind kind = (enum data_kind)(round % N_FINITE_KINDS);
        const struct avvik__tail_quantiles quantiles = random_quantiles(values, n, kind, &state);
        struct avvik__tail_table table;
        avvik__tail_layout(&quantiles, n, 1, &table);
        ck_assert_int_eq(worth(&table, NAN), 0);
        for (int i = 0; i < 300; i++) {
            const float x = i % 2 ? values[random_next(&state) % n] : avvik__flush(random_of_kind(kind, &state));
            if (!isfinite(x))
                continue;
            const double got = (double)worth(&table, x) / AVVIK_TAIL_ONE, want = bits_counted(values, n, x);
            ck_assert_msg(got >= want - 0.002 && got <= want + log2(1.5) + 0.002,
                          "%zu values of kind %d: %g is worth %g bits, not %g", n, (int)kind, (double)x, got, want);
            int side;
            const uint64_t rows = avvik__tail_rows(&quantiles, n, x, &side);
            ck_assert(rows == 0 ? want == log2((double)n + 1) : (double)n / (double)rows <= exp2(want) * 1.0000001);
        }
        for (uint32_t i = 0; i < quantiles.n_quantiles; i++)
            ck_assert(fabs((double)worth(&table, quantiles.value[i]) / AVVIK_TAIL_ONE -
                           bits_counted(values, n, quantiles.value[i])) <= 0.002);
        avvik__tail_layout(&quantiles, n, 0, &table); /* a weight of 0 leaves the feature out */
        ck_assert_int_eq(worth(&table, -FLT_MAX), 0);
    }
}
END_TEST

/* 1, 2, 3, 4, 6, 8, 12, ... from both ends, and the middle, whatever n is; no more than there is room for. */
START_TEST(places_are_those_of_the_contract)
{
    uint64_t places[AVVIK_TAIL_QUANTILES + 1];
    static const uint64_t numbers[] = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000, 65536, 10000000, UINT64_C(1) << 40, UINT64_MAX / 4};
    ck_assert_uint_eq(avvik__tail_places(0, places), 0);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const uint64_t n = numbers[i];
        const uint32_t n_places = avvik__tail_places(n, places);
        ck_assert_uint_le(n_places, AVVIK_TAIL_QUANTILES);
        ck_assert(places[0] == 1 && places[n_places - 1] == n);
        for (uint32_t k = 1; k < n_places; k++)
            ck_assert_uint_lt(places[k - 1], places[k]);
        for (uint32_t k = 0; k < n_places; k++)
            ck_assert_uint_eq(places[k] + places[n_places - 1 - k], n + 1);
        for (uint32_t k = 1; k < n_places && places[k] < (n + 1) / 2; k++) {
            const uint64_t odd = places[k] & (places[k] - 1); /* 0 for a power of two */
            ck_assert(odd == 0 || odd == 2 * (places[k] ^ odd));
        }
        for (uint32_t k = 1; k < n_places && n < UINT64_C(1) << 31 && places[k] <= (n + 1) / 2; k++)
            ck_assert_uint_le(places[k], places[k - 1] == 1 ? 2 : places[k - 1] + places[k - 1] / 2);
    }
}
END_TEST

/* Values that thousands share, that differ in the last bit, and of every size; two that count, added up. */
START_TEST(quantiles_equal_those_of_sorting)
{
    static float values[MOST], sorted[MOST];
    static struct avvik__rank_search search;
    uint64_t state = 5;
    for (int round = 0; round < 40; round++) {
        const size_t n = round < 10 ? (size_t)round : 1 + random_next(&state) % MOST;
        const enum data_kind kind = (enum data_kind)(round % N_DATA_KINDS);
        size_t n_finite = 0;
        for (size_t i = 0; i < n; i++) {
            values[i] =
                round % 3 == 0 ? 1 + (float)(random_next(&state) % 64) * FLT_EPSILON : random_of_kind(kind, &state);
            if (isfinite(values[i]))
                sorted[n_finite++] = avvik__flush(values[i]);
        }
        qsort(sorted, n_finite, sizeof *sorted, ascending);
        struct avvik__tail_quantiles got = {0};
        uint64_t places[AVVIK_TAIL_QUANTILES];
        const uint32_t n_places = avvik__tail_places(n_finite, places);
        avvik__rank_search_begin(&search, n_finite);
        while (avvik__rank_search_counters(&search) > 0) {
            const size_t n_counters = avvik__rank_search_counters(&search);
            uint64_t *counters = calloc(2 * n_counters, sizeof *counters);
            avvik__rank_search_take(&search, counters, values, n / 3);
            avvik__rank_search_take(&search, counters + n_counters, values + n / 3, n - n / 3);
            for (size_t i = 0; i < n_counters; i++)
                counters[i] += counters[n_counters + i];
            ck_assert(avvik__rank_search_advance(&search, counters, &got));
            free(counters);
        }
        ck_assert_uint_eq(got.n_quantiles, n_places);
        for (uint32_t i = 0; i < n_places; i++) {
            const float x = sorted[places[i] - 1];
            uint64_t below = 0, at_most = 0;
            for (size_t k = 0; k < n_finite; k++) {
                below += sorted[k] < x;
                at_most += sorted[k] <= x;
            }
            ck_assert_msg(memcmp(&got.value[i], &x, sizeof x) == 0, "place %llu of %zu", (unsigned long long)places[i],
                          n_finite);
            ck_assert_uint_eq(got.below[i], below);
            ck_assert_uint_eq(got.at_most[i], at_most);
        }
    }
}
END_TEST

START_TEST(a_column_that_changes_is_noticed)
{
    static const float values[] = {1, 2, 3, 4, 5}, more[] = {1, 2, 3, 4, 5, 3};
    static struct avvik__rank_search search;
    struct avvik__tail_quantiles quantiles;
    for (unsigned changed = 0; changed < AVVIK_RANK_PASSES; changed++) {
        avvik__rank_search_begin(&search, 5);
        for (unsigned pass = 0; pass <= changed; pass++) {
            uint64_t *counters = calloc(avvik__rank_search_counters(&search), sizeof *counters);
            avvik__rank_search_take(&search, counters, pass == changed ? more : values, pass == changed ? 6 : 5);
            ck_assert_int_eq(avvik__rank_search_advance(&search, counters, &quantiles), pass < changed);
            free(counters);
        }
    }
}
END_TEST

static int is_here(const char *kernel)
{
    return strcmp(kernel, "tails") == 0;
}

START_TEST(expected_variants_run)
{
    check_expected(is_here);
}
END_TEST

int main(void)
{
    if (!runs_count())
        return EXIT_FAILURE;
    signal(SIGSEGV, on_forbidden_page);
    Suite *suite = suite_create("tails");
    TCase *cases = tcase_create("tails");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, variants_equal_scalar);
    tcase_add_test(cases, a_table_counts_as_it_should);
    tcase_add_test(cases, places_are_those_of_the_contract);
    tcase_add_test(cases, quantiles_equal_those_of_sorting);
    tcase_add_test(cases, a_column_that_changes_is_noticed);
    tcase_add_test(cases, expected_variants_run);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

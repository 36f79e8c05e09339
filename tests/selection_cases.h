/* The kernels that fits select with: sift, narrow, deal, each variant compared with the scalar one. */
#ifndef AVVIK_TESTS_SELECTION_CASES_H
#define AVVIK_TESTS_SELECTION_CASES_H

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "kernel_cases.h"
#include "kernel_variants.h"

/* --- sift --- */

static void compare_sift(size_t n_rows, enum data_kind kind, uint64_t seed)
{
    uint64_t state = now.seed = seed;
    snprintf(now.size, sizeof now.size, "%zu rows, data kind %d", n_rows, (int)kind);
    struct guarded column = guarded_alloc(n_rows * sizeof(float), seed % 2 ? GUARD_BEHIND : GUARD_BEFORE);
    for (size_t i = 0; i < n_rows; i++)
        ((float *)column.data)[i] = random_of_kind(kind, &state);
    float edges[6]; /* ascending, values of the column where it has finite ones */
    for (int i = 0; i < 6; i++) {
        const float x = fabsf(((float *)column.data)[random_next(&state) % n_rows]);
        edges[i] = (i == 0 ? -3 : edges[i - 1]) + (x < 4 && x >= FLT_MIN ? x : (float)(seed % 2));
    }
    const struct avvik__sieve sieve = {
        edges[0], edges[1], edges[2], edges[3], edges[4], edges[5], seed % 3 == 0 ? 1.0f : NAN};
    struct avvik__sift_counts expected_counts;
    size_t expected_n = 0;
    float *expected = malloc((n_rows + AVVIK_LANES) * sizeof *expected);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, "sift"))
            continue;
        struct canaried kept = canaried_alloc((n_rows + AVVIK_LANES) * sizeof(float));
        struct canaried counts = canaried_alloc(sizeof expected_counts);
        memset(counts.data, 0, sizeof expected_counts);
        const size_t n = ((avvik__sift_fn *)variants[i].function)(
            (float *)kept.data, (struct avvik__sift_counts *)counts.data, column.data, n_rows, &sieve);
        expected_n = now.variant->cpu_bits == 0 ? n : expected_n;
        ck_assert_msg(n == expected_n, "sift %s keeps %zu, scalar %zu (%s)", now.variant->name, n, expected_n,
                      now.size);
        check_output("what is kept", expected, &kept, n, sizeof *expected, 1);
        check_output("the counts", &expected_counts, &counts, 5, sizeof(uint64_t), 5);
    }
    free(expected);
    guarded_free(&column);
}

static void check_sift(void)
{
    uint64_t seed = 1;
    for (int kind = 0; kind < N_DATA_KINDS; kind++)
        for (size_t n = 0; n < N_ROW_COUNTS; n++)
            for (int repeat = 0; repeat < 3; repeat++)
                compare_sift(row_counts[n], (enum data_kind)kind, seed++);
}

/* --- narrow --- */

static void compare_narrow(size_t n_rows, enum data_kind kind, int is_distance, uint64_t seed)
{
    uint64_t state = now.seed = seed;
    snprintf(now.size, sizeof now.size, "%zu values, data kind %d, distances %d", n_rows, (int)kind, is_distance);
    struct guarded values = guarded_alloc(n_rows * sizeof(float), seed % 2 ? GUARD_BEHIND : GUARD_BEFORE);
    float *x = values.data;
    for (size_t i = 0; i < n_rows; i++)
        do
            x[i] = random_of_kind(kind, &state);
        while (fabsf(x[i]) < FLT_MIN && (x[i] != 0 || signbit(x[i]))); /* as they are once they are clean */
    const float center = x[random_next(&state) % n_rows], a = x[random_next(&state) % n_rows], b = random_float(&state);
    const float low = is_distance ? fabsf(a) : a < b ? a : b, high = is_distance ? low + fabsf(b) : a < b ? b : a;
    size_t expected_below = 0, expected_n = 0;
    float *expected = malloc((n_rows + AVVIK_LANES) * sizeof *expected);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, "narrow"))
            continue;
        struct canaried kept = canaried_alloc((n_rows + AVVIK_LANES) * sizeof(float));
        struct canaried below = canaried_alloc(sizeof expected_below);
        memset(below.data, 0, sizeof expected_below);
        const size_t n = ((avvik__narrow_fn *)variants[i].function)((float *)kept.data, (size_t *)below.data, x, n_rows,
                                                                    is_distance, center, low, high);
        expected_n = now.variant->cpu_bits == 0 ? n : expected_n;
        ck_assert_msg(n == expected_n, "narrow %s keeps %zu, scalar %zu (%s)", now.variant->name, n, expected_n,
                      now.size);
        check_output("what is kept", expected, &kept, n, sizeof *expected, 1);
        check_output("what lies below", &expected_below, &below, 1, sizeof expected_below, 1);
    }
    free(expected);
    guarded_free(&values);
}

static void check_narrow(void)
{
    uint64_t seed = 1;
    for (int kind = 0; kind < N_FINITE_KINDS; kind++)
        for (size_t n = 0; n < N_ROW_COUNTS; n++)
            for (int repeat = 0; repeat < 4; repeat++)
                compare_narrow(row_counts[n], (enum data_kind)kind, repeat % 2, seed++);
}

/* --- deal --- */

/* Rows go to random hands, some of which get nothing; hands lie in any order and next to each other. */
static void compare_deal(size_t n_rows, size_t n_hands, uint64_t seed)
{
    uint64_t state = now.seed = seed;
    snprintf(now.size, sizeof now.size, "%zu rows, %zu hands", n_rows, n_hands);
    struct guarded column = guarded_alloc(n_rows * sizeof(float), seed % 2 ? GUARD_BEHIND : GUARD_BEFORE);
    struct guarded order = guarded_alloc((n_rows + AVVIK_LANES) * sizeof(uint16_t), GUARD_BEHIND);
    uint32_t starts[64] = {0}, places[64] = {0}, next = 0;
    for (size_t i = 0; i < n_rows; i++)
        ((float *)column.data)[i] = random_of_kind((enum data_kind)(seed % N_DATA_KINDS), &state);
    for (size_t i = 0; i < n_rows + AVVIK_LANES; i++)
        ((uint16_t *)order.data)[i] = (uint16_t)(i < n_rows ? random_next(&state) % n_rows : 0xffff);
    for (size_t i = 0; i < n_rows; i++)
        starts[random_next(&state) % n_hands + 1]++;
    for (size_t h = 0; h < n_hands; h++)
        starts[h + 1] += starts[h];
    for (size_t i = 0; i < n_hands; i++) {
        const size_t h = (i + seed) % n_hands;
        places[h] = next;
        next += starts[h + 1] - starts[h];
    }
    float *expected = malloc((n_rows + 1) * sizeof *expected);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, "deal"))
            continue;
        struct canaried values = canaried_alloc(n_rows * sizeof(float));
        ((avvik__deal_fn *)variants[i].function)((float *)values.data, column.data, order.data, starts, places,
                                                 n_hands);
        check_output("what was dealt out", expected, &values, n_rows, sizeof *expected, 1);
    }
    free(expected);
    guarded_free(&column);
    guarded_free(&order);
}

static void check_deal(void)
{
    uint64_t seed = 1;
    for (size_t n = 0; n < N_ROW_COUNTS; n++)
        for (int repeat = 0; repeat < 8; repeat++)
            compare_deal(row_counts[n], (size_t)1 << (repeat % 6), seed++);
}

#endif

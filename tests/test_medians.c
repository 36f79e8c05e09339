/* Medians and MADs from passes over a column, compared with a full sort: whatever the values, however they are dealt
 * out among threads, whether the sample told the truth, and with room for what is kept or without. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "float_order.h"
#include "kernel_cases.h"
#include "median_search.h"
#include "suite_run.h"

enum { MAX_ROWS = 60000, PARTS = 3, SAMPLE = 1500, N_SHAPES = 9, N_SAMPLES = 3 };

static float scratch[2 * (PARTS * MAX_ROWS + AVVIK_LANES)];
static struct avvik__kernels kernels;
static float column[MAX_ROWS], sorted[MAX_ROWS], distances[MAX_ROWS];

static int float_compare(const void *a, const void *b)
{
    const float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

static float value_of_shape(int shape, uint64_t *state)
{
    const float x = random_float(state);
    switch (shape) {
    case 0: return x;
    case 1: return expf(3 * x) * 1000;
    case 2: return random_uniform(state) < 0.6 ? 0 : x; /* more than half are equal: the MAD is 0 */
    case 3: return roundf(3 * x);
    case 4: return random_uniform(state) < 0.5 ? 0 : 1;
    case 5: return random_of_kind(DATA_MIXED, state);
    case 6: return 7;
    case 7: return random_of_kind(DATA_HUGE, state);
    default: return 1e7f + roundf(x * 4); /* far from 0, with few neighbours */
    }
}

/* What the definition says: sort, take the middle, sort the distances, take the middle. n finite values in `sorted`. */
static void expected_make(size_t n, float *median, float *mad, double *mean)
{
    double sum = 0;
    qsort(sorted, n, sizeof *sorted, float_compare);
    *median = (float)(((double)sorted[(n - 1) / 2] + sorted[n / 2]) / 2);
    *median = fabsf(*median) < FLT_MIN ? 0 : *median;
    for (size_t i = 0; i < n; i++) {
        const float d = fabsf(sorted[i] - *median);
        distances[i] = d < FLT_MIN ? 0 : d > FLT_MAX ? FLT_MAX : d;
        sum += distances[i];
    }
    qsort(distances, n, sizeof *distances, float_compare);
    *mad = (float)(((double)distances[(n - 1) / 2] + distances[n / 2]) / 2);
    *mad = *mad < FLT_MIN ? 0 : *mad;
    *mean = *mad > 0 ? 0 : sum / (double)n;
}

/* One pass of `search` over the column, by PARTS threads in turn; `room`: values that each may keep. */
static int pass_run(struct avvik__median_search *search, size_t n_rows, size_t room)
{
    struct avvik__search_part parts[PARTS] = {0};
    for (int i = 0; i < PARTS; i++) {
        parts[i].next = UINT32_MAX;
        parts[i].kept = malloc((PARTS * MAX_ROWS + AVVIK_LANES) * sizeof(float));
        if (avvik__search_needs_buckets(search))
            parts[i].buckets = calloc(AVVIK_SEARCH_BUCKETS, sizeof(uint64_t));
        if (avvik__search_needs_exponents(search))
            parts[i].exponents = calloc(AVVIK_SEARCH_EXPONENTS, sizeof(uint64_t));
    }
    for (size_t first = 0, k = 0; first < n_rows; first += 1000, k++) {
        struct avvik__search_part *part = &parts[k * k % PARTS];
        avvik__search_take(search, part, &kernels, column + first, n_rows - first < 1000 ? n_rows - first : 1000);
        part->is_full |= part->n_kept > room;
    }
    for (int i = 1; i < PARTS; i++)
        avvik__search_join(&parts[0], &parts[i]);
    const int is_same = avvik__search_advance(search, &parts[0], &kernels, scratch);
    for (int i = 0; i < PARTS; i++) {
        free(parts[i].kept);
        free(parts[i].buckets);
        free(parts[i].exponents);
    }
    return is_same;
}

/* The moments and a sample, as a fit has them: sample 0 is drawn from the column, 1 lies, 2 is a single value. */
static void begin(struct avvik__median_search *search, size_t n_rows, int kind_of_sample, uint64_t *state)
{
    static float sample[SAMPLE], twice[2 * SAMPLE];
    size_t n = 0, n_sample = 0;
    float min = 0, max = 0;
    for (size_t i = 0; i < n_rows; i++) {
        if (!isfinite(column[i]))
            continue;
        const float x = avvik__flush(column[i]);
        min = n == 0 || x < min ? x : min;
        max = n == 0 || x > max ? x : max;
        sorted[n++] = x;
    }
    while (n > 0 && n_sample < (kind_of_sample == 2 ? 1 : SAMPLE))
        sample[n_sample++] = kind_of_sample == 1 ? random_float(state) * 0.01f + 3 : sorted[random_next(state) % n];
    qsort(sample, n_sample, sizeof *sample, float_compare);
    avvik__search_begin(search, n, min, max, sample, twice, n_sample);
}

START_TEST(test_median_and_mad_are_those_of_a_full_sort)
{
    static const size_t rows[] = {1, 2, 3, 48, 49, 1000, 16384, 16385, 59999, 60000};
    static const size_t rooms[] = {SIZE_MAX, 0, 5000};
    const int shape = _i % N_SHAPES, kind_of_sample = _i / N_SHAPES;
    uint64_t state = (uint64_t)_i + 1;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        for (size_t room = 0; room < 3; room++) {
            struct avvik__median_search search;
            float median = 0, mad = 0;
            double mean = 0;
            int n_passes = 0;
            for (size_t i = 0; i < rows[r]; i++)
                column[i] = value_of_shape(shape, &state);
            begin(&search, rows[r], kind_of_sample, &state);
            if (search.n > 0)
                expected_make(search.n, &median, &mad, &mean);
            for (; search.phase != AVVIK_SEARCH_DONE; n_passes++) {
                ck_assert_int_lt(n_passes, AVVIK_SEARCH_MAX_PASSES);
                ck_assert(pass_run(&search, rows[r], rooms[room]));
            }
            if (kind_of_sample == 0 && room == 0 && shape < 5)
                ck_assert_msg(n_passes == 1, "%d passes for %zu values of shape %d", n_passes, rows[r], shape);
            ck_assert_msg(search.median == median && search.mad == mad,
                          "shape %d, sample %d, %zu rows, room %zu: median %a and MAD %a, not %a and %a", shape,
                          kind_of_sample, rows[r], rooms[room], (double)search.median, (double)search.mad,
                          (double)median, (double)mad);
            ck_assert(fabs(search.mean_deviation - mean) <= 1e-13 * mean);
        }
}
END_TEST

START_TEST(test_no_sieve_misleads)
{
    uint64_t state = (uint64_t)_i + 77;
    const size_t n_rows = 20000 + random_next(&state) % 2;
    for (int trial = 0; trial < 60; trial++) {
        struct avvik__median_search search;
        float median, mad, edges[6];
        double mean;
        int n_passes = 0;
        for (size_t i = 0; i < n_rows; i++)
            column[i] = value_of_shape(_i, &state);
        begin(&search, n_rows, 0, &state);
        if (search.n == 0)
            continue;
        expected_make(search.n, &median, &mad, &mean);
        for (int i = 0; i < 6; i++) /* the middle window is right more often than not, the others anywhere */
            edges[i] = sorted[(size_t)((i < 2    ? 0.0
                                        : i == 2 ? 0.45
                                        : i == 3 ? 0.51
                                                 : 0.52) *
                                       (double)search.n) +
                              random_next(&state) % (i == 2 || i == 3 ? search.n / 25 : search.n * 2 / 5)];
        qsort(edges, 6, sizeof *edges, float_compare);
        search.sieve = (struct avvik__sieve){
            edges[0], edges[1], edges[2], edges[3], edges[4], edges[5], edges[2] == edges[3] ? edges[2] : NAN};
        for (; search.phase != AVVIK_SEARCH_DONE; n_passes++) {
            ck_assert_int_lt(n_passes, AVVIK_SEARCH_MAX_PASSES);
            ck_assert(pass_run(&search, n_rows, SIZE_MAX));
        }
        ck_assert_msg(search.median == median && search.mad == mad, "trial %d: median %a and MAD %a, not %a and %a",
                      trial, (double)search.median, (double)search.mad, (double)median, (double)mad);
        ck_assert(fabs(search.mean_deviation - mean) <= 1e-13 * mean);
    }
}
END_TEST

START_TEST(test_a_column_that_changes_between_passes_is_noticed)
{
    uint64_t state = 1;
    struct avvik__median_search search;
    for (size_t i = 0; i < MAX_ROWS; i++)
        column[i] = random_float(&state);
    begin(&search, MAX_ROWS, 0, &state);
    column[5] = NAN; /* one value less */
    ck_assert(!pass_run(&search, MAX_ROWS, SIZE_MAX));
    column[5] = 0;
    begin(&search, MAX_ROWS, 0, &state);
    avvik__search_count(&search);
    for (size_t i = 0; i < MAX_ROWS; i++)
        column[i] += 100; /* beyond the largest that was there */
    ck_assert(!pass_run(&search, MAX_ROWS, SIZE_MAX));
}
END_TEST

START_TEST(test_select_is_a_place_in_the_order)
{
    uint64_t state = 9;
    for (int trial = 0; trial < 900; trial++) {
        const size_t n = 1 + random_next(&state) % (trial % 10 == 0   ? 5000
                                                    : trial % 50 == 1 ? 40000
                                                                      : 120),
                     rank = random_next(&state) % n;
        const int shape = trial % N_SHAPES, is_distance = trial % 2;
        const float center = random_float(&state);
        for (size_t i = 0; i < n; i++) {
            do
                column[i] = avvik__flush(value_of_shape(shape, &state));
            while (!isfinite(column[i]));
            if (trial % 3 == 0 && i % (n / 32 + 1) == 0)
                column[i] = 5; /* what a sample would take is not what the others are like */
            sorted[i] = is_distance ? avvik__distance(column[i], center) : column[i];
        }
        qsort(sorted, n, sizeof *sorted, float_compare);
        const struct avvik__neighbours got =
            avvik__float_select(column, n, rank, is_distance, center, &kernels, scratch);
        ck_assert(got.at == sorted[rank] && got.next == sorted[rank + 1 < n ? rank + 1 : rank]);
    }
}
END_TEST

START_TEST(test_medians_of_values_in_memory)
{
    static const size_t rows[] = {0, 1, 2, 31, 33, 1000, 16384, 16385, 50000};
    static float buffers[3 * (MAX_ROWS + AVVIK_LANES)];
    uint64_t state = (uint64_t)_i + 5;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        for (int how = 0; how < 3; how++) { /* as they come, in order, clean */
            struct avvik__median_search found;
            float median = 0, mad = 0;
            double mean = 0;
            size_t n = 0;
            for (size_t i = 0; i < rows[r]; i++)
                column[i] = value_of_shape(_i, &state);
            for (size_t i = 0; i < rows[r]; i++)
                if (isfinite(column[i]))
                    sorted[n++] = avvik__flush(column[i]);
            if (n > 0)
                expected_make(n, &median, &mad, &mean);
            if (how == 1 && n == rows[r])
                memcpy(column, sorted, n * sizeof *column);
            const int is_clean = how == 2 && n == rows[r];
            for (size_t i = 0; is_clean && i < n; i++)
                column[i] = avvik__flush(column[i]);
            ck_assert_uint_eq(avvik__median_of(column, rows[r], is_clean, &kernels, buffers, &found), n);
            ck_assert_msg(found.median == median && found.mad == mad, "shape %d, %zu rows: %a and %a, not %a and %a",
                          _i, rows[r], (double)found.median, (double)found.mad, (double)median, (double)mad);
            ck_assert(fabs(found.mean_deviation - mean) <= 1e-13 * mean);
        }
}
END_TEST

int main(void)
{
    avvik__kernels_select(&kernels, avvik__cpu_features());
    Suite *suite = suite_create("medians");
    TCase *cases = tcase_create("medians");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, test_median_and_mad_are_those_of_a_full_sort, 0, N_SHAPES * N_SAMPLES);
    tcase_add_loop_test(cases, test_no_sieve_misleads, 0, N_SHAPES);
    tcase_add_test(cases, test_a_column_that_changes_between_passes_is_noticed);
    tcase_add_test(cases, test_select_is_a_place_in_the_order);
    tcase_add_loop_test(cases, test_medians_of_values_in_memory, 0, N_SHAPES);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

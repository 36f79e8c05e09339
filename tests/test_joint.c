/* The joint deviation: every variant against the scalar kernel, bit by bit, with guard pages behind or before what
 * it reads; the signed logarithm against the C library's; what is learnt from rows against what is learnt from sums. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "covariance.h"
#include "joint.h"
#include "joint_sums.h"
#include "kernel_cases.h"
#include "kernel_variants.h"
#include "signed_log.h"
#include "suite_run.h"

/* Tables that rows are measured with, and rows. */
struct joint_case {
    size_t stride, n_tables;
    struct guarded tile, tables, numbers; /* numbers: of each row's table */
};

static void table_make(float *table, size_t stride, size_t n_features, uint64_t seed, uint64_t *state)
{
    const float scale = seed % 5 == 0 ? 0x1p-75f : 0x1p-23f; /* joint deviations around AVVIK_JOINT_LEAST, and large */
    float *center = table, *rscale = center + stride, *mean = rscale + stride, *factor = mean + stride;
    for (size_t f = 0; f < n_features; f++) {
        center[f] = seed % 4 == 0                 ? 1.5f * FLT_MIN /* which is a denormal away from FLT_MIN */
                    : random_next(state) % 3 != 0 ? random_float(state)
                                                  : 1.25f;
        rscale[f] = seed % 4 == 0 ? 0x1p120f : random_next(state) % 5 ? fabsf(random_float(state)) : 0.0f;
        mean[f] = rintf(random_float(state) * 0x1p23f);
        for (size_t i = f; i < n_features; i++)
            factor[AVVIK_JOINT_AT(i, f)] = random_next(state) % 7 ? random_float(state) * scale : 0.0f;
    }
}

static struct joint_case case_make(size_t n_rows, size_t n_features, enum data_kind kind, uint64_t seed)
{
    uint64_t state = now.seed = seed;
    const size_t stride = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    const size_t n_tables = 1 + seed % 4, size = AVVIK_JOINT_TABLE(stride, n_features);
    const enum guard_side side = seed % 2 ? GUARD_BEHIND : GUARD_BEFORE;
    struct joint_case c = {stride, n_tables, guarded_alloc(n_rows * stride * sizeof(float), side),
                           guarded_alloc(n_tables * size * sizeof(float), side),
                           guarded_alloc(n_rows * sizeof(uint32_t), side)};
    snprintf(now.size, sizeof now.size, "%zu rows of %zu features, data kind %d, %zu tables", n_rows, n_features,
             (int)kind, n_tables);
    for (size_t r = 0; r < n_rows; r++) {
        ((uint32_t *)c.numbers.data)[r] = (uint32_t)(random_next(&state) % n_tables);
        for (size_t f = 0; f < n_features; f++) {
            const float x = avvik__flush(random_of_kind(kind, &state));
            ((float *)c.tile.data)[r * stride + f] = isfinite(x) ? x : NAN;
        }
    }
    for (size_t t = 0; t < n_tables; t++)
        table_make((float *)c.tables.data + t * size, stride, n_features, seed, &state);
    return c;
}

/* Both kernels, every variant: the one with the case's first table, the other with all of them. By scalar, each row is
 * measured by either as the other measures it. */
static void compare(size_t n_rows, size_t n_features, enum data_kind kind, uint64_t seed)
{
    struct joint_case c = case_make(n_rows, n_features, kind, seed);
    const size_t stride = c.stride, bytes[4] = {sizeof(float), sizeof(float), sizeof(uint16_t), sizeof(uint16_t)};
    const float *table = c.tables.data;
    const uint32_t *numbers = c.numbers.data;
    void *expected[4];
    float *among_peers = malloc(n_rows * sizeof *among_peers);
    for (int k = 0; k < 4; k++)
        expected[k] = malloc(n_rows * bytes[k]);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        static const char *const names[4] = {"deviation", "joint deviation", "feature", "number beyond"};
        struct canaried got[4];
        if (!begin_variant(i, "deviation_joint"))
            continue;
        for (int k = 0; k < 4; k++)
            got[k] = canaried_alloc(n_rows * bytes[k]);
        ((avvik__deviation_joint_fn *)variants[i].function)(
            (float *)got[0].data, (uint16_t *)got[2].data, (uint16_t *)got[3].data, (float *)got[1].data, c.tile.data,
            stride, n_rows, n_features, table, table + stride, 3.5f, table + 2 * stride, table + 3 * stride);
        for (int k = 0; k < 4; k++)
            check_output(names[k], expected[k], &got[k], n_rows, bytes[k], 1);
    }
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, "joint_peers"))
            continue;
        struct canaried got = canaried_alloc(n_rows * sizeof(float));
        ((avvik__joint_peers_fn *)variants[i].function)((float *)got.data, c.tile.data, stride, n_rows, n_features,
                                                        numbers, table);
        check_output("joint deviation", among_peers, &got, n_rows, sizeof(float), 1);
    }
    size_t n_alike = 0;
    for (size_t r = 0; r < n_rows; r++) {
        const int is_same = memcmp(&among_peers[r], (float *)expected[1] + r, sizeof(float)) == 0;
        n_alike += (size_t)is_same;
        ck_assert(!isnan(among_peers[r]));
        ck_assert_msg(numbers[r] != 0 || is_same, "row %zu, %s", r, now.size);
    }
    ck_assert(c.n_tables == 1 || n_rows < 100 || kind != DATA_RANDOM || seed % 5 == 0 || n_alike < n_rows);
    for (int k = 0; k < 4; k++)
        free(expected[k]);
    free(among_peers);
    guarded_free(&c.tile);
    guarded_free(&c.tables);
    guarded_free(&c.numbers);
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

/* Logarithms of every kind of value. */
static void compare_logs(size_t n_rows, enum data_kind kind, uint64_t seed)
{
    uint64_t state = now.seed = seed;
    const enum guard_side side = seed % 2 ? GUARD_BEHIND : GUARD_BEFORE;
    struct guarded x = guarded_alloc(n_rows * sizeof(float), side);
    double *expected = malloc(n_rows * sizeof *expected), largest = 0;
    const float center = random_float(&state), rscale = seed % 3 == 0 ? 0x1p120f : fabsf(random_float(&state));
    snprintf(now.size, sizeof now.size, "%zu rows, data kind %d", n_rows, (int)kind);
    for (size_t i = 0; i < n_rows; i++)
        ((float *)x.data)[i] = random_of_kind(kind, &state);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (begin_variant(i, "joint_logs")) {
            struct canaried got = canaried_alloc(n_rows * sizeof(double));
            const double most =
                ((avvik__joint_logs_fn *)variants[i].function)((double *)got.data, x.data, n_rows, center, rscale);
            largest = variants[i].cpu_bits == 0 ? most : largest;
            ck_assert_msg(most == largest, "%s, %s", variants[i].name, now.size);
            check_output("logarithm", expected, &got, n_rows, sizeof(double), 1);
        }
    }
    for (size_t i = 0; i < n_rows; i++)
        ck_assert(expected[i] == rint((double)avvik__signed_log(((float *)x.data)[i], center, rscale) * 0x1p19));
    free(expected);
    guarded_free(&x);
}

START_TEST(logs_equal_scalar)
{
    static const size_t rows[] = {1, 2, 3, 4, 7, 8, 9, 15, 17, 100, 127, 128};
    uint64_t seed = 1;
    for (int kind = 0; kind < N_DATA_KINDS; kind++)
        for (size_t n = 0; n < sizeof rows / sizeof rows[0]; n++, seed++)
            compare_logs(rows[n], (enum data_kind)kind, seed);
}
END_TEST

/* Products of whole numbers as large as they may be, of any number of rows: what 64-bit integers have. */
START_TEST(products_are_exact)
{
    static const size_t rows[] = {1, 2, 3, 7, 8, 17, 100, 127, 128}, features[] = {1, 2, 5, 16, 64};
    static struct avvik__joint_batch batch;
    uint64_t state = 5;
    for (size_t s = 0; s < sizeof rows / sizeof rows[0] * (sizeof features / sizeof features[0]) * 2; s++) {
        const size_t n = rows[s / 2 % 9], n_features = features[s / 18];
        const uint64_t range = s % 2 == 0 ? 1 << 24 : 1 << 27; /* values up to 2^23, then up to 2^26 */
        for (size_t f = 0; f < n_features; f++)
            for (size_t i = 0; i < n; i++) {
                batch.columns[f][i] = (double)(random_next(&state) % range) - (double)(range / 2);
                batch.largest = fmax(batch.largest, fabs(batch.columns[f][i]));
            }
        avvik__joint_batch_multiply(&batch, n_features, n);
        ck_assert(batch.largest == 0);
        for (size_t i = 0; i < AVVIK_SUMS_COLUMNS(n_features); i++)
            for (size_t j = 0; j <= i; j++) {
                int64_t sum = 0;
                for (size_t r = 0; r < n; r++)
                    sum += (int64_t)batch.columns[i][r] * (int64_t)batch.columns[j][r];
                ck_assert_msg(batch.products[AVVIK_SUMS_AT(i, j)] == sum, "%zu rows, %zu features: %zu with %zu", n,
                              n_features, i, j);
            }
    }
}
END_TEST

static int is_here(const char *kernel)
{
    return strcmp(kernel, "deviation_joint") == 0 || strncmp(kernel, "joint_", 6) == 0;
}

START_TEST(expected_variants_run)
{
    check_expected(is_here);
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

/* What is learnt of rows from exact sums: mean and factor. Rows are added in runs of the given length. */
static uint32_t sums_learn(const struct avvik__kernels *kernels, const float *values, size_t n, size_t n_features,
                           size_t run, float *mean, float *factor)
{
    struct avvik__joint_sums *sums = calloc(1, avvik__joint_sums_bytes(n_features));
    struct avvik__joint_batch *batch = calloc(1, sizeof *batch);
    struct avvik_error error;
    float *column = malloc(n * sizeof *column);
    uint32_t places[AVVIK_SUMS_ROWS];
    for (size_t first = 0; first < n; first += run) {
        const size_t n_run = n - first < run ? n - first : run;
        for (size_t f = 0; f < n_features; f++) {
            for (size_t i = 0; i < n_run; i++) { /* x with signed logarithm `value` */
                const float s = fabsf(values[(first + i) * n_features + f]);
                column[i] =
                    copysignf(ldexpf(1 + (s - floorf(s)), (int)floorf(s)) - 1, values[(first + i) * n_features + f]);
                places[i] = (uint32_t)i;
            }
            avvik__joint_batch_take(batch, kernels, f, column, places, n_run, 0, 1);
        }
        avvik__joint_batch_multiply(batch, n_features, n_run);
        avvik__joint_sums_add(sums, batch, n_features, n_run);
    }
    uint32_t n_constant = 0;
    ck_assert_int_eq(avvik__joint_sums_learn(sums, (uint32_t)n_features, mean, factor, &n_constant, &error), AVVIK_OK);
    free(sums);
    free(batch);
    free(column);
    return n_constant;
}

/* Columns that do not vary, and two that are one: what is learnt is finite, and leaves them out or shares them; and it
 * is the same however rows are added. */
START_TEST(constant_and_equal_columns)
{
    enum { ROWS = 500, COLUMNS = 5, ENTRIES = COLUMNS * (COLUMNS + 1) / 2 };
    static float values[ROWS][COLUMNS], mean[2][COLUMNS], factor[2][ENTRIES];
    struct avvik__kernels kernels[2];
    uint64_t state = 3;
    avvik__kernels_select(&kernels[0], 0);
    avvik__kernels_select(&kernels[1], avvik__cpu_features());
    for (size_t r = 0; r < ROWS; r++) {
        values[r][0] = 2;
        values[r][1] = values[r][3] = rintf(random_float(&state) * 4096) / 4096;
        values[r][2] = 0;
        values[r][4] = rintf(random_float(&state) * 4096) / 4096 + values[r][1];
    }
    ck_assert_uint_eq(sums_learn(&kernels[0], values[0], ROWS, COLUMNS, 1, mean[0], factor[0]), 2);
    ck_assert_uint_eq(sums_learn(&kernels[1], values[0], ROWS, COLUMNS, AVVIK_SUMS_ROWS, mean[1], factor[1]), 2);
    ck_assert_mem_eq(mean[0], mean[1], sizeof mean[0]);
    ck_assert_mem_eq(factor[0], factor[1], sizeof factor[0]);
    for (size_t i = 0; i < ENTRIES; i++)
        ck_assert(isfinite(factor[0][i]));
    for (size_t f = 0; f < COLUMNS; f += 2) {
        if (f == 4)
            continue;
        ck_assert(mean[0][f] == 0);
        for (size_t i = 0; i < COLUMNS; i++)
            ck_assert(factor[0][i > f ? i * (i + 1) / 2 + f : f * (f + 1) / 2 + i] == 0);
    }
    ck_assert(factor[0][3 * 4 / 2 + 3] > 1); /* the second of two equal columns adds next to nothing of its own */
    for (size_t r = 0; r < ROWS; r++)
        for (size_t f = 0; f < COLUMNS; f++)
            values[r][f] = 1;
    ck_assert_uint_eq(sums_learn(&kernels[1], values[0], ROWS, COLUMNS, 100, mean[0], factor[0]), COLUMNS);
    for (size_t i = 0; i < ENTRIES; i++)
        ck_assert(factor[0][i] == 0);
}
END_TEST

#ifdef __SIZEOF_FLOAT128__
__extension__ typedef __float128 wide;
#else
typedef long double wide;
#endif

static wide wide_sqrt(wide x)
{
    wide root = (wide)sqrt((double)x);
    for (int i = 0; i < 3; i++)
        root = (root + x / root) / 2;
    return root;
}

/* The inverse of the Cholesky factor of a covariance, as the textbook has it, in numbers of 113 bits. */
static void whiten_widely(size_t n, const double (*matrix)[AVVIK_JOINT_FEATURES], wide (*l)[AVVIK_JOINT_FEATURES],
                          wide (*inverse)[AVVIK_JOINT_FEATURES])
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            wide sum = matrix[i][j];
            for (size_t k = 0; k < j; k++)
                sum -= l[i][k] * l[j][k];
            l[i][j] = i == j ? wide_sqrt(sum) : sum / l[j][j];
        }
    for (size_t j = 0; j < n; j++)
        for (size_t i = j; i < n; i++) {
            wide sum = i == j;
            for (size_t k = j; k < i; k++)
                sum -= l[i][k] * inverse[k][j];
            inverse[i][j] = sum / l[i][i];
        }
}

/* What whitens is the double next to the true one, whatever LAPACK's last bits are on this machine: also where columns
 * are nearly one. The covariance is scaled so that its mean variance is the shrinkage's: no shrinkage but the least. */
START_TEST(whitening_is_rounded_once)
{
    static struct avvik__covariance c;
    static double shrunk[AVVIK_JOINT_FEATURES][AVVIK_JOINT_FEATURES];
    static wide l[AVVIK_JOINT_FEATURES][AVVIK_JOINT_FEATURES], inverse[AVVIK_JOINT_FEATURES][AVVIK_JOINT_FEATURES];
    static const size_t sizes[] = {1, 2, 3, 5, 16, 33, 64};
    uint64_t state = 7;
    struct avvik_error error;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int alike = 0; alike < 3; alike++) { /* condition numbers up to some 10, 10^4 and 10^7 */
            const size_t n = c.n_features = sizes[s];
            double mu = 0;
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j <= i; j++)
                    c.matrix[i][j] = (i == j       ? 1
                                      : alike == 0 ? 0.0
                                      : alike == 1 ? 0.999
                                                   : 0.9999999) +
                                     (i == j ? 1e-7 : 1e-9) * random_float(&state);
            c.squares = 0; /* no noise: only the least shrinkage, 1e-6 */
            for (size_t i = 0; i < n; i++)
                mu += c.matrix[i][i] / (double)n;
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j <= i; j++)
                    shrunk[i][j] = c.matrix[i][j] * (1 - 1e-6) + (i == j ? 1e-6 * mu : 0);
            ck_assert_int_eq(avvik__covariance_whiten(&c, 1000, &error), AVVIK_OK);
            whiten_widely(n, shrunk, l, inverse);
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j <= i; j++)
                    ck_assert_msg(c.matrix[i][j] == (double)inverse[i][j], "%zu columns, %d: [%zu][%zu] %a, not %a", n,
                                  alike, i, j, c.matrix[i][j], (double)inverse[i][j]);
        }
}
END_TEST

/* LAPACK's word is not taken for it: a covariance that is none is refused. */
START_TEST(no_covariance)
{
    static struct avvik__covariance c = {.n_features = 2, .matrix = {{1, 0}, {3, 1}}};
    static struct avvik__covariance odd = {.n_features = 2, .matrix = {{1, 0}, {NAN, 1}}};
    struct avvik_error error;
    ck_assert_int_eq(avvik__covariance_whiten(&c, 10, &error), AVVIK_ERR_INTERNAL);
    ck_assert_ptr_nonnull(strstr(error.text, "does not invert the covariance"));
    ck_assert_int_eq(avvik__covariance_whiten(&odd, 10, &error), AVVIK_ERR_INTERNAL);
}
END_TEST

/* The largest values that there are, 64 of them, in more rows than are added at a time: sums stay exact. */
START_TEST(largest_values)
{
    enum { ROWS = 1000, COLUMNS = AVVIK_JOINT_FEATURES, ENTRIES = COLUMNS * (COLUMNS + 1) / 2 };
    struct avvik__joint_sums *sums = calloc(1, avvik__joint_sums_bytes(COLUMNS));
    struct avvik__joint_batch *batch = calloc(1, sizeof *batch);
    static float mean[COLUMNS], factor[ENTRIES];
    float column[AVVIK_SUMS_ROWS];
    uint32_t places[AVVIK_SUMS_ROWS], n_constant = 0;
    struct avvik_error error;
    struct avvik__kernels all[2], *kernels = all;
    avvik__kernels_select(&all[0], 0);
    avvik__kernels_select(&all[1], avvik__cpu_features());
    for (size_t first = 0; first < ROWS; first += 100, kernels = &all[first / 100 % 2]) {
        for (size_t f = 0; f < COLUMNS; f++) {
            for (uint32_t i = 0; i < 100; i++) {
                column[i] = i == 0 && f == 0 ? 0 : -FLT_MAX;
                places[i] = i;
            }
            avvik__joint_batch_take(batch, kernels, f, column, places, 100, FLT_MAX, FLT_MAX);
            ck_assert(batch->columns[f][1] == -128.0 * AVVIK_SUMS_LOG);
        }
        avvik__joint_batch_multiply(batch, COLUMNS, 100);
        avvik__joint_sums_add(sums, batch, COLUMNS, 100);
    }
    const avvik__int128 step = (avvik__int128)1 << 52;
    for (size_t i = 0; i < COLUMNS; i++)
        for (size_t j = 0; j <= i; j++)
            ck_assert(sums->products[AVVIK_SUMS_AT(i, j)] == ROWS * step);
    ck_assert(sums->squares == ROWS * ((avvik__int128)1 << 88));
    ck_assert_int_eq(avvik__joint_sums_learn(sums, COLUMNS, mean, factor, &n_constant, &error), AVVIK_OK);
    ck_assert_uint_eq(n_constant, COLUMNS);
    free(sums);
    free(batch);
}
END_TEST

int main(void)
{
    if (!runs_count())
        return EXIT_FAILURE;
    signal(SIGSEGV, on_forbidden_page);
    Suite *suite = suite_create("joint");
    TCase *cases = tcase_create("joint");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, variants_equal_scalar);
    tcase_add_test(cases, logs_equal_scalar);
    tcase_add_test(cases, products_are_exact);
    tcase_add_test(cases, logarithm_is_nearly_one);
    tcase_add_test(cases, constant_and_equal_columns);
    tcase_add_test(cases, whitening_is_rounded_once);
    tcase_add_test(cases, no_covariance);
    tcase_add_test(cases, largest_values);
    tcase_add_test(cases, expected_variants_run);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

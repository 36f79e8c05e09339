/* The engine: choosing a backend, noticing a wrong one, results that do not depend on how rows are handed in. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"
#include "suite_run.h"

enum { N_FEATURES = 5, N_ROWS = 1000 };

static struct avvik_model *model_make(void)
{
    static struct avvik__feature features[N_FEATURES];
    static struct avvik_model model;
    static float sample[64 * N_FEATURES];
    uint32_t scratch[64];
    model = (struct avvik_model){.n_features = N_FEATURES,
                                 .features = features,
                                 .forest = {.n_trees = 20, .sample = 64, .height = 6, .n_features = N_FEATURES}};
    for (int f = 0; f < N_FEATURES; f++)
        features[f] = (struct avvik__feature){.mean32 = 0.5f, .rscale32 = 3, .fill = 0.25f};
    ck_assert_int_eq(avvik__forest_init(&model.forest, NULL), AVVIK_OK);
    for (uint32_t tree = 0; tree < 20; tree++) {
        for (uint32_t i = 0; i < 64 * N_FEATURES; i++)
            sample[i] = (float)((i * 2654435761u + tree * 40503u) % 1009) / 1009;
        avvik__forest_grow(&model.forest, tree, sample, N_FEATURES, 1, scratch);
    }
    return &model;
}

/* A backend that scores right but for one bit of one row, as a broken driver might. */
static int broken_field = -1;
static enum avvik_status broken_score(void *worker, const struct avvik_rows *rows, const struct avvik_scores *scores,
                                      struct avvik_error *error)
{
    const enum avvik_status status = avvik__backend_scalar.worker_score(worker, rows, scores, error);
    const size_t last = rows->n_rows - 1;
    switch (broken_field) {
    case 0: scores->path_sum[last] ^= 1; break;
    case 1: scores->deviation[last] = nextafterf(scores->deviation[last], INFINITY); break;
    case 2: scores->deviation_feature[last] ^= 1; break;
    case 3: scores->beyond[last] ^= 1; break;
    case 4: scores->missing[last] ^= 1; break;
    default: break;
    }
    return status;
}

START_TEST(test_selftest_notices_one_wrong_bit)
{
    static const char *const names[] = {"path_sum", "deviation", "deviation_feature", "beyond", "missing"};
    struct avvik__backend broken = avvik__backend_scalar;
    struct avvik__plan_memory memory;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_model *model = model_make();
    char device[192];
    void *state;
    broken.name = "broken";
    broken.worker_score = broken_score;
    broken_field = _i - 1;
    ck_assert_int_eq(avvik__plan_init(&memory, model, NULL), AVVIK_OK);
    ck_assert_int_eq(broken.open(NULL, &memory.plan, &state, device, sizeof device, NULL), AVVIK_OK);
    const enum avvik_status status = avvik__plan_selftest(&broken, state, &memory.plan, &error);
    if (_i == 0) {
        ck_assert_int_eq(status, AVVIK_OK);
    } else {
        ck_assert_int_eq(status, AVVIK_ERR_SELFTEST);
        ck_assert_ptr_nonnull(strstr(error.text, "broken"));
        ck_assert_ptr_nonnull(strstr(error.text, names[_i - 1]));
    }
    broken.close(state);
    avvik__plan_destroy(&memory);
    avvik__forest_destroy(&model->forest);
}
END_TEST

struct results {
    int32_t path_sum[N_ROWS];
    float deviation[N_ROWS];
    uint16_t deviation_feature[N_ROWS], beyond[N_ROWS], missing[N_ROWS];
    uint64_t column_missing[N_FEATURES], column_infinite[N_FEATURES];
};

static void rows_score(struct avvik_engine *engine, const float *values, size_t row_stride, size_t column_stride,
                       size_t piece, struct results *results)
{
    struct avvik_worker *worker;
    memset(results, 0, sizeof *results);
    ck_assert_int_eq(avvik_worker_create(engine, piece, &worker, NULL), AVVIK_OK);
    for (size_t first = 0; first < N_ROWS; first += piece) {
        const struct avvik_rows rows = {values + first * row_stride, N_ROWS - first < piece ? N_ROWS - first : piece,
                                        row_stride, column_stride};
        const struct avvik_scores scores = {
            results->path_sum + first, results->deviation + first, results->deviation_feature + first,
            results->beyond + first,   results->missing + first,   results->column_missing,
            results->column_infinite};
        ck_assert_int_eq(avvik_worker_score(worker, &rows, &scores, NULL), AVVIK_OK);
    }
    const struct avvik_rows too_many = {values, piece + 1, row_stride, column_stride};
    const struct avvik_scores nowhere = {0};
    ck_assert_int_eq(avvik_worker_score(worker, &too_many, &nowhere, NULL), AVVIK_ERR_USAGE);
    avvik_worker_free(worker);
}

START_TEST(test_results_do_not_depend_on_backend_layout_or_pieces)
{
    static float by_row[N_ROWS * N_FEATURES], by_column[N_ROWS * N_FEATURES];
    static struct results reference, results;
    struct avvik_device *devices;
    size_t n_devices, n_infinite = 0, n_missing = 0;
    struct avvik_model *model = model_make();
    for (size_t i = 0; i < N_ROWS * N_FEATURES; i++) {
        const float value = i % 97 == 3 ? NAN : i % 89 == 5 ? INFINITY : (float)(i * 2654435761u % 2003) / 1500;
        by_row[i] = by_column[i % N_FEATURES * N_ROWS + i / N_FEATURES] = value;
        n_missing += isnan(value) ? 1 : 0;
        n_infinite += isinf(value) ? 1 : 0;
    }
    ck_assert_int_eq(avvik_devices_list(&devices, &n_devices, NULL), AVVIK_OK);
    ck_assert_str_eq(devices[0].backend, "scalar");
    ck_assert_int_eq(devices[0].is_available, 1);
    for (size_t d = 0; d < n_devices; d++) {
        struct avvik_engine *engine;
        struct avvik_error error;
        if (!devices[d].is_available) {
            ck_assert_str_ne(devices[d].reason, "");
            continue;
        }
        ck_assert_msg(avvik_engine_open(model, devices[d].backend, &engine, &error) == AVVIK_OK, "%s", error.text);
        ck_assert_str_eq(avvik_engine_backend(engine), devices[d].backend);
        ck_assert_ptr_null(avvik_engine_warning(engine));
        static const size_t pieces[] = {N_ROWS, 1, 17, 300};
        for (size_t p = 0; p < sizeof pieces / sizeof pieces[0]; p++) {
            rows_score(engine, by_row, N_FEATURES, 1, pieces[p], &results);
            if (d == 0 && p == 0)
                reference = results;
            ck_assert_msg(memcmp(&reference, &results, sizeof results) == 0, "%s by row, pieces of %zu",
                          devices[d].backend, pieces[p]);
            rows_score(engine, by_column, 1, N_ROWS, pieces[p], &results);
            ck_assert_msg(memcmp(&reference, &results, sizeof results) == 0, "%s by column, pieces of %zu",
                          devices[d].backend, pieces[p]);
        }
        avvik_engine_close(engine);
    }
    uint64_t counted[2] = {0, 0};
    for (int f = 0; f < N_FEATURES; f++) {
        counted[0] += reference.column_missing[f];
        counted[1] += reference.column_infinite[f];
    }
    ck_assert_uint_eq(counted[0], n_missing);
    ck_assert_uint_eq(counted[1], n_infinite);
    free(devices);
    avvik__forest_destroy(&model->forest);
}
END_TEST

START_TEST(test_unknown_backends_are_refused)
{
    static const char *const names[] = {"abacus", "", "avx", "scalar:1", "opencl:", "opencl:77.0", "opencl:0.0.0", ":"};
    struct avvik_engine *engine = NULL;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_model *model = model_make();
    ck_assert_int_eq(avvik_engine_open(model, names[_i], &engine, &error), AVVIK_ERR_BACKEND);
    ck_assert_ptr_null(engine);
    ck_assert_str_ne(error.text, "");
    avvik__forest_destroy(&model->forest);
}
END_TEST

START_TEST(test_score_is_the_equation_of_the_paper)
{
    struct avvik_model *model = model_make();
    double harmonic = 0;
    for (int i = 1; i < 64; i++)
        harmonic += 1.0 / i;
    const double c = 2 * harmonic - 2 * 63.0 / 64;
    for (int32_t path_sum = 0; path_sum < 20 * 12 * 2048; path_sum += 977)
        ck_assert_float_eq_tol(avvik_forest_score(model, path_sum), (float)pow(2, -(path_sum / 2048.0 / 20) / c),
                               1e-7f);
    avvik__forest_destroy(&model->forest);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine");
    TCase *cases = tcase_create("engine");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, test_selftest_notices_one_wrong_bit, 0, 6);
    tcase_add_test(cases, test_results_do_not_depend_on_backend_layout_or_pieces);
    tcase_add_loop_test(cases, test_unknown_backends_are_refused, 0, 8);
    tcase_add_test(cases, test_score_is_the_equation_of_the_paper);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

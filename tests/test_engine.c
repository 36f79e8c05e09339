/* The engine: choosing a backend, noticing a wrong one, results that do not depend on how rows are handed in. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine_cases.h"
#include "suite_run.h"

enum { N_ROWS = 1000 };

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
    case 5: scores->joint[last] = nextafterf(scores->joint[last], INFINITY); break;
    case 6: scores->tails[last] ^= 1; break;
    default: break;
    }
    return status;
}

START_TEST(test_selftest_notices_one_wrong_bit)
{
    static const char *const names[] = {"path_sum", "deviation", "deviation_feature", "beyond", "missing",
                                        "joint",    "tails"};
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
    float deviation[N_ROWS], joint[N_ROWS];
    int32_t tails[N_ROWS];
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
                                        row_stride, column_stride, NULL};
        const struct avvik_scores scores = {
            results->path_sum + first, results->deviation + first, results->deviation_feature + first,
            results->beyond + first,   results->missing + first,   results->column_missing,
            results->column_infinite,  results->joint + first,     results->tails + first};
        ck_assert_int_eq(avvik_worker_score(worker, &rows, &scores, NULL), AVVIK_OK);
    }
    const struct avvik_rows too_many = {values, piece + 1, row_stride, column_stride, NULL};
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

/* The same device twice is two devices: workers are dealt out to both, and the results are those of one. */
START_TEST(test_devices_share_the_work)
{
    static const char *const names[] = {"opencl:0.0,0.0", "opencl:all", "opencl:0.0,0.0,0.0"};
    static const uint32_t n_devices[] = {2, 0, 3};
    static float values[N_ROWS * N_FEATURES];
    static struct results want, got;
    struct avvik_model *model = model_make();
    struct avvik_engine *engine;
    struct avvik_engine_faults faults;
    struct avvik_worker *workers[3];
    struct avvik_error error;
    const char *expected = getenv("AVVIK_EXPECT");
    values_make(values, N_ROWS);
    ck_assert_int_eq(avvik_engine_open(model, "scalar", &engine, NULL), AVVIK_OK);
    rows_score(engine, values, N_FEATURES, 1, N_ROWS, &want);
    avvik_engine_close(engine);
    const enum avvik_status status = avvik_engine_open(model, names[_i], &engine, &error);
    ck_assert_msg(status == AVVIK_OK || expected == NULL || strstr(expected, "opencl") == NULL, "%s", error.text);
    if (status != AVVIK_OK) {
        printf("SKIPPED test_devices_share_the_work: %s\n", error.text);
        return;
    }
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(avvik_worker_create(engine, N_ROWS, &workers[i], NULL), AVVIK_OK);
    memset(&got, 0, sizeof got);
    for (size_t first = 0; first < N_ROWS; first += 100) {
        const struct avvik_rows rows = {values + first * N_FEATURES, 100, N_FEATURES, 1, NULL};
        const struct avvik_scores scores = {got.path_sum + first, got.deviation + first, got.deviation_feature + first,
                                            got.beyond + first,   got.missing + first,   got.column_missing,
                                            got.column_infinite,  got.joint + first,     got.tails + first};
        ck_assert_int_eq(avvik_worker_score(workers[first / 100 % 3], &rows, &scores, NULL), AVVIK_OK);
    }
    ck_assert_mem_eq(&want, &got, sizeof want);
    avvik_engine_faults(engine, &faults);
    ck_assert_uint_ge(faults.n_devices, 1);
    if (n_devices[_i] > 0)
        ck_assert_uint_eq(faults.n_devices, n_devices[_i]);
    ck_assert_uint_eq(faults.device_failures, 0);
    ck_assert_uint_eq(faults.rows_on_cpu, 0);
    ck_assert_uint_eq(faults.tiles_checked, 3); /* the first of each worker: none sat idle */
    if (strchr(names[_i], ',') != NULL)
        ck_assert_str_eq(avvik_engine_backend(engine), names[_i]);
    for (int i = 0; i < 3; i++)
        avvik_worker_free(workers[i]);
    avvik_engine_close(engine);
    avvik__forest_destroy(&model->forest);
}
END_TEST

START_TEST(test_unknown_backends_are_refused)
{
    static const char *const names[] = {"abacus",       "",  "avx",         "scalar:1", "opencl:",   "opencl:77.0",
                                        "opencl:0.0.0", ":", "opencl:0.0,", "opencl:,", "scalar:0,1"};
    struct avvik_engine *engine = NULL;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_model *model = model_make();
    ck_assert_int_eq(avvik_engine_open(model, names[_i], &engine, &error), AVVIK_ERR_BACKEND);
    ck_assert_ptr_null(engine);
    ck_assert_str_ne(error.text, "");
    avvik__forest_destroy(&model->forest);
}
END_TEST

/* The rule that keeps OpenCL's drivers unloaded: without any device file of a GPU there is no GPU. */
START_TEST(test_gpus_are_looked_for_by_their_device_files)
{
    static const struct {
        const char *name;
        int is_gpu;
    } files[] = {{NULL, 0},         {"null", 0}, {"nvme0", 0}, {"random", 0},   {"nvidia0", 1},        {"nvidiactl", 1},
                 {"kfd", 1},        {"dxg", 1},  {"mali0", 1}, {"kgsl-3d0", 1}, {"dri/renderD128", 1}, {"dri/card0", 1},
                 {"dri/by-path", 0}};
    char devices[] = "/tmp/avvik-test-XXXXXX", dri[64], path[128];
    unsetenv("POCL_DEVICES");
    ck_assert_ptr_nonnull(mkdtemp(devices));
    ck_assert_int_eq(avvik__gpu_may_be_here(devices), 0);
    snprintf(dri, sizeof dri, "%s/dri", devices);
    ck_assert_int_eq(mkdir(dri, 0700), 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i].name != NULL) {
            snprintf(path, sizeof path, "%s/%s", devices, files[i].name);
            FILE *file = fopen(path, "w");
            ck_assert_ptr_nonnull(file);
            fclose(file);
        }
        ck_assert_msg(avvik__gpu_may_be_here(devices) == files[i].is_gpu, "%s", files[i].name);
        if (files[i].name != NULL)
            ck_assert_int_eq(unlink(path), 0);
    }
    ck_assert_int_eq(rmdir(dri), 0);
    ck_assert_int_eq(rmdir(devices), 0);
    setenv("POCL_DEVICES", "remote", 1);
    ck_assert_int_eq(avvik__gpu_may_be_here("/nonexistent"), 1);
}
END_TEST

/* The choice is the same whether OpenCL was asked or not. */
START_TEST(test_auto_is_the_same_with_and_without_asking)
{
    struct avvik_engine *engine[2];
    struct avvik_model *model = model_make();
    unsetenv("POCL_DEVICES");
    ck_assert_int_eq(avvik_engine_open(model, "auto", &engine[0], NULL), AVVIK_OK);
    setenv("POCL_DEVICES", "pthread", 1);
    ck_assert_int_eq(avvik_engine_open(model, "auto", &engine[1], NULL), AVVIK_OK);
    ck_assert_str_eq(avvik_engine_backend(engine[0]), avvik_engine_backend(engine[1]));
    ck_assert_str_eq(avvik_engine_device(engine[0]), avvik_engine_device(engine[1]));
    avvik_engine_close(engine[0]);
    avvik_engine_close(engine[1]);
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
    tcase_add_loop_test(cases, test_selftest_notices_one_wrong_bit, 0, 8);
    tcase_add_test(cases, test_results_do_not_depend_on_backend_layout_or_pieces);
    tcase_add_loop_test(cases, test_devices_share_the_work, 0, 3);
    tcase_add_loop_test(cases, test_unknown_backends_are_refused, 0, 11);
    tcase_add_test(cases, test_gpus_are_looked_for_by_their_device_files);
    tcase_add_test(cases, test_auto_is_the_same_with_and_without_asking);
    tcase_add_test(cases, test_score_is_the_equation_of_the_paper);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

/* What an engine does about a device that fails, runs out of memory, falls silent, is slow or lies: the results must be
 * those of the scalar reference, bit by bit, and the counts must say what happened. The device is made up:
 * fake_device.h. */
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_cases.h"
#include "fake_device.h"
#include "suite_run.h"

enum { N_ROWS = 6000, PIECE = 250, N_CALLS = N_ROWS / PIECE, MAX_THREADS = 4 };

/* ---- A run: threads that take piece after piece ---- */

struct results {
    int32_t path_sum[N_ROWS];
    float deviation[N_ROWS], joint[N_ROWS];
    int32_t tails[N_ROWS];
    uint16_t deviation_feature[N_ROWS], beyond[N_ROWS], missing[N_ROWS];
    uint64_t column_missing[N_FEATURES], column_infinite[N_FEATURES];
};

struct job {
    struct avvik_engine *engine;
    size_t piece;
    struct results *results;
    atomic_size_t next;
    pthread_mutex_t lock; /* over the columns' counts */
    atomic_int n_selftest;
};

static float values[N_ROWS * N_FEATURES];
static struct results want, got;
static struct avvik_model *model;

static void *job_thread(void *opaque)
{
    struct job *job = opaque;
    struct results *results = job->results;
    struct avvik_worker *worker;
    uint64_t missing[N_FEATURES] = {0}, infinite[N_FEATURES] = {0};
    ck_assert_int_eq(avvik_worker_create(job->engine, job->piece, &worker, NULL), AVVIK_OK);
    for (size_t first; (first = atomic_fetch_add(&job->next, job->piece)) < N_ROWS;) {
        const size_t left = N_ROWS - first;
        const struct avvik_rows rows = {values + first * N_FEATURES, left < job->piece ? left : job->piece, N_FEATURES,
                                        1, NULL};
        const struct avvik_scores scores = {results->path_sum + first,
                                            results->deviation + first,
                                            results->deviation_feature + first,
                                            results->beyond + first,
                                            results->missing + first,
                                            missing,
                                            infinite,
                                            results->joint + first,
                                            results->tails + first};
        struct avvik_error error;
        const enum avvik_status status = avvik_worker_score(worker, &rows, &scores, &error);
        if (status == AVVIK_ERR_SELFTEST) {
            ck_assert_ptr_nonnull(strstr(error.text, "fake"));
            atomic_fetch_add(&job->n_selftest, 1);
            break;
        }
        ck_assert_int_eq(status, AVVIK_OK);
    }
    avvik_worker_free(worker);
    pthread_mutex_lock(&job->lock);
    for (int f = 0; f < N_FEATURES; f++) {
        results->column_missing[f] += missing[f];
        results->column_infinite[f] += infinite[f];
    }
    pthread_mutex_unlock(&job->lock);
    return NULL;
}

/* All rows through `n_threads` workers; how many of them were told that the device is not to be trusted. */
static int job_run(struct avvik_engine *engine, int n_threads, size_t piece, struct results *results)
{
    struct job job = {.engine = engine, .piece = piece, .results = results};
    pthread_t threads[MAX_THREADS];
    memset(results, 0, sizeof *results);
    ck_assert_int_eq(pthread_mutex_init(&job.lock, NULL), 0);
    for (int i = 0; i < n_threads; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, job_thread, &job), 0);
    for (int i = 0; i < n_threads; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    pthread_mutex_destroy(&job.lock);
    return job.n_selftest;
}

static void setup(void)
{
    struct avvik_engine *engine;
    model = model_make();
    values_make(values, N_ROWS);
    ck_assert_int_eq(avvik_engine_open(model, "scalar", &engine, NULL), AVVIK_OK);
    ck_assert_int_eq(job_run(engine, 1, N_ROWS, &want), 0);
    struct avvik_engine_faults faults;
    avvik_engine_faults(engine, &faults); /* no device, no faults */
    const struct avvik_engine_faults none = {0};
    ck_assert_mem_eq(&faults, &none, sizeof faults);
    avvik_engine_close(engine);
    memset(&plan, 0, sizeof plan);
}

static void teardown(void)
{
    avvik__forest_destroy(&model->forest);
}

/* An engine on the made-up devices; what is planned begins after its self-test. */
static struct avvik_engine *engine_open(const char *specs)
{
    struct avvik_engine *engine;
    struct avvik_error error;
    const enum fault fault = plan.fault;
    plan.fault = NONE;
    ck_assert_msg(avvik__engine_open_with(model, &fake, specs, &engine, &error) == AVVIK_OK, "%s", error.text);
    plan.fault = fault;
    atomic_store(&n_calls, 0);
    return engine;
}

/* Run and compare. Where the device is not to be trusted, everything is scored a second time, as a caller would. */
static struct avvik_engine_faults run(const char *specs, int n_threads, size_t piece, const char *what)
{
    struct avvik_engine_faults faults;
    struct avvik_engine *engine = engine_open(specs);
    const int n_told = job_run(engine, n_threads, piece, &got);
    if (n_told > 0)
        ck_assert_int_eq(job_run(engine, n_threads, piece, &got), 0);
    ck_assert_msg(memcmp(&want, &got, sizeof want) == 0, "%s, %d threads", what, n_threads);
    avvik_engine_faults(engine, &faults);
    ck_assert_msg((n_told > 0) == (faults.tiles_wrong > 0), "%s", what);
    ck_assert_str_ne(faults.cpu_backend, "");
    avvik_engine_close(engine);
    return faults;
}

/* ---- Failing ---- */

/* The first call, one in the middle, the last, the first two: those pieces are done by the CPU. */
START_TEST(test_single_failures)
{
    static const struct {
        int first, last;
    } calls[] = {{0, 0}, {N_CALLS / 2, N_CALLS / 2}, {N_CALLS - 1, N_CALLS - 1}, {0, 1}, {7, 8}};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
            const unsigned n = (unsigned)(calls[i].last - calls[i].first + 1);
            plan.fault = FAILS;
            plan.first = calls[i].first;
            plan.last = calls[i].last;
            const struct avvik_engine_faults faults = run("a", n_threads, PIECE, "single failures");
            ck_assert_uint_eq(faults.device_failures, n);
            ck_assert_uint_eq(faults.rows_on_cpu, n * PIECE);
            ck_assert_int_eq(faults.is_device_off, 0);
            ck_assert_uint_eq(faults.n_devices, 1);
            ck_assert_uint_eq(faults.n_devices_off, 0);
            ck_assert_uint_ge(faults.tiles_checked, 1);
            ck_assert_ptr_nonnull(strstr(faults.reason, "fake:a: the made-up device says no"));
        }
}
END_TEST

/* From some call on for ever: three failures, and the CPU does the rest. */
START_TEST(test_failing_for_ever)
{
    static const int firsts[] = {0, 1, N_CALLS / 2, N_CALLS - 3};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++)
        for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
            plan.fault = FAILS;
            plan.first = firsts[i];
            plan.last = INT_MAX;
            const struct avvik_engine_faults faults = run("a", n_threads, PIECE, "failing for ever");
            ck_assert_uint_ge(faults.device_failures, 3);
            ck_assert_uint_le(faults.device_failures, 2 + (unsigned)n_threads); /* those already under way */
            ck_assert_uint_eq(faults.rows_on_cpu, (unsigned)(N_CALLS - firsts[i]) * PIECE);
            ck_assert_int_eq(faults.is_device_off, 1);
            ck_assert_ptr_nonnull(strstr(faults.reason, "not used any more"));
        }
}
END_TEST

/* No answer: nothing of that device is asked again (fake_score insists), and one time is enough. */
START_TEST(test_silence)
{
    static const int firsts[] = {0, N_CALLS / 2, N_CALLS - 1};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++)
        for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
            plan.fault = FALLS_SILENT;
            plan.first = plan.last = firsts[i];
            const struct avvik_engine_faults faults = run("a", n_threads, PIECE, "silence");
            ck_assert_uint_eq(faults.device_failures, 1);
            ck_assert_int_eq(faults.is_device_off, 1);
            ck_assert_uint_ge(faults.rows_on_cpu, PIECE);
            if (n_threads == 1)
                ck_assert_uint_eq(faults.rows_on_cpu, (unsigned)(N_CALLS - firsts[i]) * PIECE);
        }
}
END_TEST

START_TEST(test_slow_is_no_fault)
{
    plan.fault = IS_SLOW;
    plan.last = INT_MAX;
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        const struct avvik_engine_faults faults = run("a", n_threads, PIECE, "slow");
        ck_assert_uint_eq(faults.device_failures, 0);
        ck_assert_uint_eq(faults.rows_on_cpu, 0);
        ck_assert_str_eq(faults.reason, "");
    }
}
END_TEST

/* ---- Memory ---- */

START_TEST(test_no_memory_for_a_worker)
{
    plan.fault = NO_MEMORY;
    plan.is_at_create = 1;
    plan.fitting = 1600; /* 6000, 3000, 1500 */
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        const struct avvik_engine_faults faults = run("a", n_threads, N_ROWS, "no memory for a worker");
        ck_assert_uint_eq(faults.smaller_pieces, 2 * (unsigned)n_threads);
        ck_assert_uint_eq(faults.device_failures, 0);
        ck_assert_uint_eq(faults.rows_on_cpu, 0);
        ck_assert_int_eq(atomic_load(&n_calls), N_ROWS / 1500);
    }
    plan.fitting = 100; /* nowhere near enough: the CPU does it all */
    const struct avvik_engine_faults faults = run("a", MAX_THREADS, N_ROWS, "no memory at all");
    ck_assert_uint_eq(faults.rows_on_cpu, N_ROWS);
    ck_assert_uint_ge(faults.device_failures, 3);
    ck_assert_int_eq(faults.is_device_off, 1);
    ck_assert_int_eq(atomic_load(&n_calls), 0);
}
END_TEST

START_TEST(test_failing_to_make_a_worker)
{
    plan.fault = FAILS;
    plan.is_at_create = 1;
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        const struct avvik_engine_faults faults = run("a", n_threads, PIECE, "failing to make a worker");
        ck_assert_uint_eq(faults.rows_on_cpu, N_ROWS);
        ck_assert_int_eq(faults.is_device_off, n_threads >= 3);
    }
}
END_TEST

START_TEST(test_memory_gets_short_while_scoring)
{
    static const int firsts[] = {0, 1};
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        plan.fault = NO_MEMORY;
        plan.first = firsts[i];
        plan.last = INT_MAX;
        plan.fitting = 1024;
        struct avvik_engine_faults faults = run("a", 1, 3000, "memory gets short"); /* 3000, 1500: too little of it */
        ck_assert_uint_ge(faults.smaller_pieces, 1);
        ck_assert_uint_ge(faults.device_failures, 1);
        plan.fitting = 1500;
        faults = run("a", 1, 3000, "memory gets short");
        ck_assert_uint_eq(faults.smaller_pieces, 1);
        ck_assert_uint_eq(faults.device_failures, 0);
        ck_assert_uint_eq(faults.rows_on_cpu, 0);
        ck_assert_ptr_nonnull(strstr(faults.reason, "1500 rows at a time"));
        for (int n_threads = 2; n_threads <= MAX_THREADS; n_threads++) {
            plan.fitting = 0;
            faults = run("a", n_threads, 1024, "no memory for a single piece");
            ck_assert_int_eq(faults.is_device_off, 1);
            ck_assert_uint_ge(faults.device_failures, 3);
        }
    }
}
END_TEST

/* ---- Lies ---- */

/* The first tile of a worker is checked: every field, the first row and the last of the tile. */
START_TEST(test_a_lie_is_found)
{
    plan.fault = LIES;
    plan.last = INT_MAX;
    plan.field = _i / 2;
    plan.is_last_row = _i % 2;
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads++) {
        const struct avvik_engine_faults faults = run("a", n_threads, PIECE, "lies");
        static const char *const fields[] = {"path_sum", "deviation", "deviation_feature", "beyond", "missing",
                                             "joint",    "tails"};
        ck_assert_uint_ge(faults.tiles_wrong, 1);
        ck_assert_int_eq(faults.is_device_off, 1);
        ck_assert_uint_ge(faults.rows_on_cpu, N_ROWS);
        ck_assert_ptr_nonnull(strstr(faults.reason, fields[plan.field]));
    }
}
END_TEST

/* Calls of a row are tiles of a row: number 0 is checked, and 1619, and no other below 2238. */
START_TEST(test_one_tile_in_a_thousand_is_checked)
{
    static const struct {
        int first, last, is_found, n_checked;
    } cases[] = {{1619, 1619, 1, 2}, {1620, 1620, 0, 6}, {1, 1618, 0, 6}, {5, INT_MAX, 1, 2}, {0, 0, 1, 1}};
    plan.fault = LIES;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct avvik_engine_faults faults;
        plan.first = cases[i].first;
        plan.last = cases[i].last;
        struct avvik_engine *engine = engine_open("a");
        ck_assert_int_eq(job_run(engine, 1, 1, &got), cases[i].is_found);
        avvik_engine_faults(engine, &faults);
        ck_assert_uint_eq(faults.tiles_wrong, (unsigned)cases[i].is_found);
        ck_assert_uint_eq(faults.tiles_checked, (unsigned)cases[i].n_checked);
        ck_assert_int_ne(memcmp(&want, &got, sizeof got), 0); /* it did lie */
        avvik_engine_close(engine);
    }
}
END_TEST

/* A worker made before the lie was found gives nothing any more; one made afterwards is as good as the CPU. */
START_TEST(test_workers_before_and_after_a_lie)
{
    struct avvik_worker *liar, *before, *after;
    struct avvik_error error;
    int32_t path_sum;
    float deviation;
    uint16_t feature, beyond, missing;
    const struct avvik_rows rows = {values, 1, N_FEATURES, 1, NULL};
    const struct avvik_scores scores = {&path_sum, &deviation, &feature, &beyond, &missing, NULL, NULL, NULL, NULL};
    plan.fault = LIES;
    plan.first = plan.last = 1;
    struct avvik_engine *engine = engine_open(NULL);
    ck_assert_int_eq(avvik_worker_create(engine, 1, &before, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik_worker_create(engine, 1, &liar, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik_worker_score(before, &rows, &scores, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik_worker_score(liar, &rows, &scores, &error), AVVIK_ERR_SELFTEST);
    ck_assert_int_eq(avvik_worker_score(before, &rows, &scores, &error), AVVIK_ERR_SELFTEST);
    ck_assert_int_eq(avvik_worker_score(liar, &rows, &scores, NULL), AVVIK_ERR_SELFTEST);
    ck_assert_int_eq(avvik_worker_create(engine, 1, &after, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik_worker_score(after, &rows, &scores, NULL), AVVIK_OK);
    ck_assert_int_eq(path_sum, want.path_sum[0]);
    ck_assert_int_eq(atomic_load(&n_calls), 2);
    avvik_worker_free(liar);
    avvik_worker_free(before);
    avvik_worker_free(after);
    avvik_engine_close(engine);
}
END_TEST

/* ---- Several devices ---- */

START_TEST(test_one_device_of_three_fails)
{
    plan.fault = FAILS;
    plan.last = INT_MAX;
    plan.on = "b";
    struct avvik_engine_faults faults = run("a,b,c", 3, PIECE, "one of three fails");
    ck_assert_uint_eq(faults.n_devices, 3);
    ck_assert_uint_le(faults.n_devices_off, 1);
    ck_assert_int_eq(faults.is_device_off, 0);
    ck_assert_uint_eq(faults.rows_on_cpu, faults.device_failures * PIECE); /* the rest moves to a and c */
    plan.is_at_create = 1;
    faults = run("b,c", 2, PIECE, "one of two has no room");
    ck_assert_uint_eq(faults.rows_on_cpu, 0);
    ck_assert_uint_ge(faults.device_failures, 1);
    ck_assert_int_eq(faults.is_device_off, 0);
    faults = run("b,b", 4, PIECE, "the same device twice");
    ck_assert_uint_eq(faults.n_devices, 2);
    ck_assert_uint_eq(faults.n_devices_off, 2);
    ck_assert_int_eq(faults.is_device_off, 1);
    ck_assert_uint_eq(faults.rows_on_cpu, N_ROWS);
}
END_TEST

static struct avvik_engine *contended;
static struct avvik_worker *other_worker;

static void other_worker_create(void)
{
    ck_assert_int_eq(avvik_worker_create(contended, PIECE, &other_worker, NULL), AVVIK_OK);
}

/* Of two workers that are made at the same time, the one that finds no room on "b" tries "c", whoever is there already;
 * and a worker of a device that another worker's failures have put off goes on with the other device too. */
START_TEST(test_every_worker_tries_every_device)
{
    struct avvik_worker *worker;
    struct avvik_engine_faults faults;
    struct avvik_scores scores = {
        got.path_sum, got.deviation, got.deviation_feature, got.beyond, got.missing, NULL, NULL, NULL, NULL};
    const struct avvik_rows rows = {values, PIECE, N_FEATURES, 1, NULL};
    contended = engine_open("b,c");
    plan.fault = FAILS;
    plan.on = "b";
    plan.is_at_create = 1;
    plan.meanwhile = other_worker_create;
    ck_assert_int_eq(avvik_worker_create(contended, PIECE, &worker, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik_worker_score(worker, &rows, &scores, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik_worker_score(other_worker, &rows, &scores, NULL), AVVIK_OK);
    avvik_engine_faults(contended, &faults);
    ck_assert_uint_eq(faults.rows_on_cpu, 0);
    ck_assert_int_eq(atomic_load(&n_calls), 2);
    avvik_worker_free(worker);
    avvik_worker_free(other_worker);
    avvik_engine_close(contended);

    memset(&plan, 0, sizeof plan);
    contended = engine_open("b,c");
    struct avvik_worker *workers[3]; /* on b, c, b */
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(avvik_worker_create(contended, PIECE, &workers[i], NULL), AVVIK_OK);
    plan.fault = FALLS_SILENT;
    plan.last = INT_MAX;
    plan.on = "b";
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(avvik_worker_score(workers[i], &rows, &scores, NULL), AVVIK_OK);
    avvik_engine_faults(contended, &faults);
    ck_assert_uint_eq(faults.rows_on_cpu, PIECE); /* of the first; the third has moved to c */
    ck_assert_uint_eq(faults.device_failures, 1);
    ck_assert_int_eq(atomic_load(&n_calls), 3);
    for (int i = 0; i < 3; i++)
        avvik_worker_free(workers[i]);
    avvik_engine_close(contended);
}
END_TEST

/* A single worker on a device that goes off goes on with another. */
START_TEST(test_work_moves_to_the_device_that_is_left)
{
    plan.fault = FALLS_SILENT;
    plan.last = INT_MAX;
    plan.on = "a";
    const struct avvik_engine_faults faults = run("a,c", 1, PIECE, "the other device");
    ck_assert_uint_eq(faults.device_failures, 1);
    ck_assert_uint_eq(faults.rows_on_cpu, PIECE);
    ck_assert_uint_eq(faults.n_devices_off, 1);
    ck_assert_int_eq(faults.is_device_off, 0);
}
END_TEST

/* ---- Anything ---- */

START_TEST(test_anything_at_any_call)
{
    static const enum fault faults[] = {FAILS, FALLS_SILENT, IS_SLOW, NO_MEMORY};
    uint32_t state = 2463534242u + (uint32_t)_i;
    for (int round = 0; round < 60; round++) {
        static const char *const specs[] = {"a", "a,b", "b,a,b"};
        uint32_t draw[7];
        for (size_t i = 0; i < 7; i++) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            draw[i] = state;
        }
        plan.fault = faults[draw[0] % 4];
        plan.first = (int)(draw[1] % 30);
        plan.last = plan.first + (int)(draw[2] % 10);
        plan.on = draw[3] % 2 ? "a" : NULL;
        plan.fitting = draw[4] % 3000;
        run(specs[draw[5] % 3], 1 + (int)(draw[6] % MAX_THREADS), 1 + draw[6] % 2500, "anything");
    }
}
END_TEST

/* A device that does not pass its self-test is not used at all. */
START_TEST(test_a_liar_is_not_opened)
{
    struct avvik_engine *engine = NULL;
    struct avvik_error error;
    plan.fault = LIES;
    plan.last = INT_MAX;
    ck_assert_int_eq(avvik__engine_open_with(model, &fake, "a", &engine, &error), AVVIK_ERR_SELFTEST);
    plan.on = "c";
    ck_assert_int_eq(avvik__engine_open_with(model, &fake, "a,b,c", &engine, &error), AVVIK_ERR_SELFTEST);
    ck_assert_ptr_null(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine faults");
    TCase *cases = tcase_create("faults");
    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, test_single_failures);
    tcase_add_test(cases, test_failing_for_ever);
    tcase_add_test(cases, test_silence);
    tcase_add_test(cases, test_slow_is_no_fault);
    tcase_add_test(cases, test_no_memory_for_a_worker);
    tcase_add_test(cases, test_failing_to_make_a_worker);
    tcase_add_test(cases, test_memory_gets_short_while_scoring);
    tcase_add_loop_test(cases, test_a_lie_is_found, 0, 14);
    tcase_add_test(cases, test_one_tile_in_a_thousand_is_checked);
    tcase_add_test(cases, test_workers_before_and_after_a_lie);
    tcase_add_test(cases, test_one_device_of_three_fails);
    tcase_add_test(cases, test_every_worker_tries_every_device);
    tcase_add_test(cases, test_work_moves_to_the_device_that_is_left);
    tcase_add_loop_test(cases, test_anything_at_any_call, 0, 4);
    tcase_add_test(cases, test_a_liar_is_not_opened);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

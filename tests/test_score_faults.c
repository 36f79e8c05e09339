/* A whole file scored on a device that fails or lies half-way: the score file must be the one that the scalar backend
 * writes, and the summary must say what happened. */
#include <limits.h>
#include <unistd.h>

#include "avvik/avvik.h"
#include "fake_device.h"
#include "record_file.h"
#include "suite_run.h"

static struct avvik_source *source;
static struct avvik_model *model;
static char folder[] = "/tmp/avvik-score-faults-XXXXXX", want[64], got[64];
static char want_hash[AVVIK_HASH_SIZE];

static void hash_read(const char *path, char *hash)
{
    struct avvik__record *record;
    ck_assert_int_eq(avvik__record_open(path, "scores", &record, NULL), AVVIK_OK);
    avvik__record_hash(record, hash);
    avvik__record_close(record);
}

static void setup(void)
{
    static const char *const paths[] = {TEST_DATASETS "/real/shuttle.h5"};
    const struct avvik_selection selection = {0};
    const struct avvik_fit_options fit = {.trees = 20, .sample = 64, .seed = 1};
    const struct avvik_score_options options = {.threads = 2};
    struct avvik_score_summary summary;
    struct avvik_engine *engine;
    struct avvik_error error;
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(want, sizeof want, "%s/want.h5", folder);
    snprintf(got, sizeof got, "%s/got.h5", folder);
    ck_assert_msg(avvik_source_open(paths, 1, &selection, &source, &error) == AVVIK_OK, "%s", error.text);
    ck_assert_msg(avvik_model_fit(source, &fit, &model, &error) == AVVIK_OK, "%s", error.text);
    ck_assert_int_eq(avvik_engine_open(model, "scalar", &engine, &error), AVVIK_OK);
    ck_assert_msg(avvik_score_file(model, engine, source, want, &options, &summary, &error) == AVVIK_OK, "%s",
                  error.text);
    avvik_engine_close(engine);
    hash_read(want, want_hash);
    memset(&plan, 0, sizeof plan);
}

static void teardown(void)
{
    avvik_model_free(model);
    avvik_source_close(source);
    unlink(want);
    unlink(got);
    rmdir(folder);
}

/* Score with what is planned, on `threads` workers; nothing but the right file may come out of it. */
static struct avvik_score_summary device_score(uint32_t threads, struct avvik_engine_faults *faults_out)
{
    const struct avvik_score_options options = {.threads = threads, .replace = 1};
    const enum fault fault = plan.fault;
    struct avvik_score_summary summary;
    struct avvik_engine *engine;
    struct avvik_error error;
    char hash[AVVIK_HASH_SIZE], leftover[80];
    plan.fault = NONE; /* the self-test at the opening goes well */
    ck_assert_int_eq(avvik__engine_open_with(model, &fake, "a", &engine, &error), AVVIK_OK);
    plan.fault = fault;
    atomic_store(&n_calls, 0);
    ck_assert_msg(avvik_score_file(model, engine, source, got, &options, &summary, &error) == AVVIK_OK, "%s",
                  error.text);
    avvik_engine_faults(engine, faults_out);
    avvik_engine_close(engine);
    hash_read(got, hash);
    ck_assert_str_eq(hash, want_hash);
    static const char *const endings[] = {".partial", ".journal"};
    for (int i = 0; i < 2; i++) {
        snprintf(leftover, sizeof leftover, "%s%s", got, endings[i]);
        ck_assert_int_ne(access(leftover, F_OK), 0);
    }
    ck_assert_uint_eq(summary.n_rows, avvik_source_n_rows(source));
    return summary;
}

/* Whatever was scored before the lie was found is scored again, and by the CPU. */
START_TEST(test_a_lie_scores_the_file_again)
{
    struct avvik_engine_faults faults;
    plan.fault = LIES;
    plan.last = INT_MAX;
    plan.field = _i % 6;
    const struct avvik_score_summary summary = device_score(1 + (uint32_t)_i / 6, &faults);
    ck_assert_int_eq(summary.is_rescored, 1);
    ck_assert_int_eq(faults.is_device_off, 1);
    ck_assert_uint_ge(faults.rows_on_cpu, summary.n_rows);
}
END_TEST

START_TEST(test_failures_are_stood_in_for)
{
    static const enum fault all[] = {FAILS, FALLS_SILENT, NO_MEMORY, IS_SLOW};
    struct avvik_engine_faults faults;
    plan.fault = all[_i % 4];
    plan.first = _i / 4;
    plan.last = _i / 4 < 2 ? plan.first : INT_MAX;
    const struct avvik_score_summary summary = device_score(3, &faults);
    ck_assert_int_eq(summary.is_rescored, 0);
    if (plan.fault != IS_SLOW)
        ck_assert_uint_gt(faults.rows_on_cpu + faults.smaller_pieces, 0);
    else
        ck_assert_uint_eq(faults.rows_on_cpu, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("score faults");
    TCase *cases = tcase_create("faults");
    tcase_set_timeout(cases, 120);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, test_a_lie_scores_the_file_again, 0, 18);
    tcase_add_loop_test(cases, test_failures_are_stood_in_for, 0, 12);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

/* Out of memory, everywhere: the n-th allocation of the whole job fails, for every n. Nothing may crash, leak (the
 * sanitizers watch) or be left on disk, and every failure has its sentence. The linker redirects avvik's allocations
 * here (tests/CMakeLists.txt); HDF5's own are not touched. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik/avvik.h"
#include "suite_run.h"

static atomic_long allocations_left = -1; /* until one fails; negative: none does */

static int fails_now(void)
{
    return atomic_load(&allocations_left) >= 0 && atomic_fetch_sub(&allocations_left, 1) == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails_now() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}

static const char batch[] = TEST_DATASETS "/real/glass.h5";
static char model_path[64], scores_path[64];

static enum avvik_status batch_check(const struct avvik_model *model, struct avvik_error *error)
{
    static const char *const paths[] = {batch};
    struct avvik_check_rules rules;
    struct avvik_check_report *report = NULL;
    const struct avvik_check_options options = {.model = model, .rules = &rules, .threads = 2, .id_memory = 1 << 20};
    avvik_check_rules_init(&rules);
    strcpy(rules.id, "class");
    const enum avvik_status status = avvik_check(paths, 1, &options, &report, error);
    avvik_check_report_free(report);
    return status;
}

/* From the batch to the evaluation. Returns the first status that is not AVVIK_OK. */
static enum avvik_status job_run(struct avvik_error *error)
{
    static const char *const paths[] = {batch}, *const keys[] = {"class"};
    const struct avvik_selection selection = {.keys = keys, .n_keys = 1};
    struct avvik_fit_options fit = AVVIK_FIT_DEFAULTS;
    const struct avvik_score_options score = {.threads = 1, .replace = 1};
    struct avvik_source *source = NULL;
    struct avvik_model *fitted = NULL, *model = NULL;
    struct avvik_engine *engine = NULL;
    struct avvik_score_summary summary;
    struct avvik_case_list list = {0};
    struct avvik_evaluation evaluation;
    enum avvik_status status;
    const char *const score_paths[] = {scores_path};
    struct avvik_flag_options flag = AVVIK_FLAG_DEFAULTS;
    flag.budget = 5;
    flag.fdr = 0.5;
    flag.random_share = 0.4;
    flag.by = AVVIK_BY_COMBINED;
    fit.trees = 3;
    fit.threads = 1;
    fit.min_peers = 20;
    fit.joint_peers = 16;
    (void)((status = avvik_source_open(paths, 1, &selection, &source, error)) != AVVIK_OK ||
           (status = avvik_model_fit(source, &fit, &fitted, error)) != AVVIK_OK ||
           (status = avvik_model_save(fitted, model_path, 1, error)) != AVVIK_OK ||
           (status = avvik_model_load(model_path, &model, error)) != AVVIK_OK ||
           (status = batch_check(model, error)) != AVVIK_OK ||
           (status = avvik_engine_open(model, "scalar", &engine, error)) != AVVIK_OK ||
           (status = avvik_score_file(model, engine, source, scores_path, &score, &summary, error)) != AVVIK_OK ||
           (status = avvik_flag(score_paths, 1, &flag, &list, error)) != AVVIK_OK ||
           (status = avvik_evaluate(scores_path, batch, "/glass/label", 0, flag.weights, flag.p_by, &evaluation,
                                    error)) != AVVIK_OK);
    avvik_case_list_destroy(&list);
    avvik_engine_close(engine);
    avvik_model_free(model);
    avvik_model_free(fitted);
    avvik_source_close(source);
    return status;
}

START_TEST(test_every_allocation_may_fail)
{
    struct avvik_error error = {AVVIK_OK, 0, ""};
    char partial[80];
    snprintf(model_path, sizeof model_path, "/tmp/avvik-memory-%d-model.h5", (int)getpid());
    snprintf(scores_path, sizeof scores_path, "/tmp/avvik-memory-%d-scores.h5", (int)getpid());
    atomic_store(&allocations_left, -1);
    ck_assert_msg(job_run(&error) == AVVIK_OK, "%s", error.text);
    long n = 0, n_failed = 0;
    for (enum avvik_status status = AVVIK_ERR_MEMORY;; n++) {
        error.text[0] = '\0';
        unlink(model_path);
        unlink(scores_path);
        atomic_store(&allocations_left, n);
        status = job_run(&error);
        if (atomic_exchange(&allocations_left, -1) >= 0) { /* none was left to fail: the job is through */
            ck_assert_int_eq(status, AVVIK_OK);
            break;
        }
        if (status != AVVIK_OK) {
            n_failed++;
            ck_assert_msg(error.text[0] != '\0', "allocation %ld: no sentence", n);
        }
        snprintf(partial, sizeof partial, "%s.partial", model_path);
        ck_assert_int_ne(access(partial, F_OK), 0);
        snprintf(partial, sizeof partial, "%s.partial", scores_path);
        ck_assert_int_ne(access(partial, F_OK), 0);
    }
    printf("%ld allocations failed one by one, %ld of them ended the job\n", n, n_failed);
    ck_assert_int_gt(n_failed, 60);
    unlink(model_path);
    unlink(scores_path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *cases = tcase_create("memory");
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, test_every_allocation_may_fail);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

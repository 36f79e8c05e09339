/* The OpenCL backend against the scalar reference, bit by bit, on the first device there is: every walk (trees in
 * lanes, tiles in local memory, global memory). AVVIK_EXPECT=opencl makes a missing device a failure. OpenCL is only
 * touched inside a test: a process that forked after PoCL has started hangs. */
#include <pthread.h>

#include "opencl_cases.h"

static const struct shape {
    uint32_t n_features, height, n_trees;
    int is_wide;
} shapes[] = {{1, 4, 1, 0},   {8, 5, 15, 0},  {15, 6, 16, 0},  {16, 7, 17, 0},  {16, 8, 100, 0},
              {17, 9, 33, 0}, {40, 8, 20, 0}, {64, 10, 16, 0}, {16, 11, 5, 0},  {9, 12, 18, 0},
              {8, 8, 17, 1},  {65, 4, 1, 1},  {65, 8, 100, 1}, {100, 9, 16, 1}, {80, 12, 5, 1}};
#define N_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

/* What AVVIK_OPENCL_WALK says: nothing (the device's own walk), NVIDIA's local memory, the least there is, some where
 * no group's rows fit, none. Each pair of walk and shape is a program to compile, hence not every pair. */
enum walk { OWN, LOCAL_48K, LOCAL_32K, LOCAL_4K, GLOBAL, LANES_8, LANES_16 };
static const char *const walk_names[] = {NULL,     "local:49152", "local:32768", "local:4096",
                                         "global", "lanes:8",     "lanes:16"};
static const struct {
    enum walk walk;
    int shape;
} other_cases[] = {{LOCAL_32K, 4}, {LOCAL_32K, 9}, {LOCAL_32K, 14}, {LOCAL_4K, 4}, {LOCAL_4K, 12}, {GLOBAL, 4},
                   {GLOBAL, 7},    {GLOBAL, 12},   {GLOBAL, 14},    {LANES_8, 0},  {LANES_8, 4},   {LANES_8, 5},
                   {LANES_8, 6},   {LANES_8, 7},   {LANES_8, 12},   {LANES_16, 4}, {LANES_16, 12}};
#define N_OTHER_CASES ((int)(sizeof other_cases / sizeof other_cases[0]))

static void walk_check(const char *walk, const struct shape *shape)
{
    static const size_t row_counts[] = {1, 63, 64, 65};
    const char *name = walk != NULL ? walk : "own walk";
    struct subject subject;
    if (walk != NULL)
        setenv("AVVIK_OPENCL_WALK", walk, 1);
    subject_init(&subject, shape->n_features, shape->height, shape->n_trees, shape->is_wide);
    void *state = state_open(&subject), *worker = worker_make(state, 1000);
    for (size_t i = 0; i < sizeof row_counts / sizeof row_counts[0]; i++)
        rows_check(&subject, worker, row_counts[i], DATA_MIXED, i % 2, name);
    for (int kind = 0; kind < N_DATA_KINDS; kind++)
        rows_check(&subject, worker, 1000, (enum data_kind)kind, kind % 2, name);
    avvik__backend_opencl.worker_free(worker);
    avvik__backend_opencl.close(state);
    subject_destroy(&subject);
}

START_TEST(walks_equal_scalar)
{
    const int other = _i - 2 * N_SHAPES;
    if (!has_device("walks_equal_scalar"))
        return;
    if (other < 0)
        walk_check(walk_names[_i / N_SHAPES], &shapes[_i % N_SHAPES]);
    else
        walk_check(walk_names[other_cases[other].walk], &shapes[other_cases[other].shape]);
}
END_TEST

/* For Oclgrind, which is slow: one walk and shape, few rows, in this process (AVVIK_OPENCL_WALK is the caller's). */
static struct shape single_shape;

START_TEST(once_equals_scalar)
{
    struct subject subject;
    ck_assert(has_device("once_equals_scalar"));
    subject_init(&subject, single_shape.n_features, single_shape.height, single_shape.n_trees, single_shape.is_wide);
    void *state = state_open(&subject), *worker = worker_make(state, 70);
    rows_check(&subject, worker, 70, DATA_MIXED, 0, "once");
    rows_check(&subject, worker, 70, DATA_TIES, 1, "once");
    avvik__backend_opencl.worker_free(worker);
    avvik__backend_opencl.close(state);
    subject_destroy(&subject);
}
END_TEST

/* One feature, so that no other hides it: differences and products below FLT_MIN, z equal to the cut, overflow. */
START_TEST(deviation_at_the_edges)
{
    static const struct {
        float mean, rscale;
    } edges[] = {{1.5f * FLT_MIN, 3}, {0, 0.5f}, {0, 1.75f}, {-FLT_MAX, 1}, {FLT_MAX, 0}, {1, FLT_MAX}};
    if (!has_device("deviation_at_the_edges"))
        return;
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        struct subject subject;
        subject_init(&subject, 1, 4, 1, 0);
        subject.parameters[0] = edges[i].mean;
        subject.parameters[subject.plan.stride] = edges[i].rscale;
        void *state = state_open(&subject), *worker = worker_make(state, 300);
        for (int kind = 0; kind < N_DATA_KINDS; kind++)
            rows_check(&subject, worker, 300, (enum data_kind)kind, 0, "edges");
        avvik__backend_opencl.worker_free(worker);
        avvik__backend_opencl.close(state);
        subject_destroy(&subject);
    }
}
END_TEST

/* 131,071 rows; at 100 features that is more than one piece. */
START_TEST(many_rows_equal_scalar)
{
    static const struct shape large[] = {{16, 8, 100, 0}, {100, 5, 7, 1}};
    struct subject subject;
    if (!has_device("many_rows_equal_scalar"))
        return;
    subject_init(&subject, large[_i].n_features, large[_i].height, large[_i].n_trees, large[_i].is_wide);
    void *state = state_open(&subject), *worker = worker_make(state, 131071);
    rows_check(&subject, worker, 131071, DATA_MIXED, 1, "many rows");
    rows_check(&subject, worker, 1, DATA_MIXED, 0, "one row after many");
    avvik__backend_opencl.worker_free(worker);
    avvik__backend_opencl.close(state);
    subject_destroy(&subject);
}
END_TEST

struct thread_case {
    const struct subject *subject;
    void *worker;
    int number;
};

static void *thread_main(void *opaque)
{
    const struct thread_case *own = opaque;
    for (size_t i = 0; i < 12; i++)
        rows_check(own->subject, own->worker, 500 + 137 * i + (size_t)own->number, DATA_MIXED, (int)i % 2, "thread");
    return NULL;
}

START_TEST(two_workers_in_two_threads)
{
    struct subject subject;
    struct thread_case cases[2];
    pthread_t threads[2];
    if (!has_device("two_workers_in_two_threads"))
        return;
    subject_init(&subject, 16, 8, 100, 0);
    void *state = state_open(&subject);
    for (int i = 0; i < 2; i++) {
        cases[i] = (struct thread_case){&subject, worker_make(state, 4096), i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, thread_main, &cases[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        avvik__backend_opencl.worker_free(cases[i].worker);
    }
    avvik__backend_opencl.close(state);
    subject_destroy(&subject);
}
END_TEST

START_TEST(counts_may_be_null_and_are_added_to)
{
    struct subject subject;
    if (!has_device("counts_may_be_null_and_are_added_to"))
        return;
    subject_init(&subject, 3, 4, 2, 0);
    void *state = state_open(&subject), *worker = worker_make(state, 4);
    const float values[] = {NAN, 1, INFINITY, 2, NAN, 3};
    const struct avvik_rows rows = {values, 2, 3, 1, NULL}, too_many = {values, 5, 0, 0, NULL};
    struct results got = results_create(2, 3);
    struct avvik_scores scores = results_view(&got);
    struct avvik_error error;
    got.column_missing[0] = 5;
    ck_assert_int_eq(avvik__backend_opencl.worker_score(worker, &rows, &scores, NULL), AVVIK_OK);
    ck_assert_uint_eq(got.column_missing[0], 6);
    ck_assert_uint_eq(got.column_missing[1], 1);
    ck_assert_uint_eq(got.column_infinite[2], 1);
    scores.column_missing = scores.column_infinite = NULL;
    ck_assert_int_eq(avvik__backend_opencl.worker_score(worker, &rows, &scores, NULL), AVVIK_OK);
    ck_assert_uint_eq(got.missing[0], 2);
    ck_assert_int_eq(avvik__backend_opencl.worker_score(worker, &too_many, &scores, &error), AVVIK_ERR_USAGE);
    results_free(&got);
    avvik__backend_opencl.worker_free(worker);
    avvik__backend_opencl.worker_free(NULL);
    avvik__backend_opencl.close(state);
    avvik__backend_opencl.close(NULL);
    subject_destroy(&subject);
}
END_TEST

#define HALF_OF_WALKS 22 /* most of the time goes to compiling: a test case for each of two processors */

/* Without arguments all tests; with FEATURES HEIGHT TREES WIDE that one shape. CMakeLists.txt runs a case at a time. */
int main(int n_arguments, char **arguments)
{
    Suite *suite = suite_create("opencl");
    TCase *equal = tcase_create("equal"), *more = tcase_create("more");
    SRunner *runner = srunner_create(suite);
    suite_add_tcase(suite, equal);
    suite_add_tcase(suite, more);
    if (n_arguments == 5) {
        single_shape = (struct shape){(uint32_t)atoi(arguments[1]), (uint32_t)atoi(arguments[2]),
                                      (uint32_t)atoi(arguments[3]), atoi(arguments[4])};
        srunner_set_fork_status(runner, CK_NOFORK);
        tcase_add_test(equal, once_equals_scalar);
    } else {
        tcase_set_timeout(equal, 120);
        tcase_set_timeout(more, 120);
        tcase_add_loop_test(equal, walks_equal_scalar, 0, HALF_OF_WALKS);
        tcase_add_loop_test(more, walks_equal_scalar, HALF_OF_WALKS, 2 * N_SHAPES + N_OTHER_CASES);
        tcase_add_test(equal, deviation_at_the_edges);
        tcase_add_loop_test(equal, many_rows_equal_scalar, 0, 2);
        tcase_add_test(equal, two_workers_in_two_threads);
        tcase_add_test(equal, counts_may_be_null_and_are_added_to);
    }
    srunner_run_all(runner, CK_NORMAL);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}

/* Contributions on the first OpenCL device there is, against the scalar kernel, bit by bit. AVVIK_EXPECT=opencl makes a
 * missing device a failure. */
#include "opencl_cases.h"
#include "opencl_reasons.h"
#include "suite_run.h"

static const struct {
    uint32_t n_features, height, n_trees;
    size_t n_rows;
    enum data_kind kind;
} shapes[] = {{1, 4, 1, 1, DATA_RANDOM},     {16, 8, 100, 131, DATA_TIES}, {17, 9, 33, 64, DATA_DENORMAL},
              {64, 12, 5, 65, DATA_RANDOM},  {65, 8, 20, 63, DATA_TIES},   {100, 5, 7, 200, DATA_HUGE},
              {16, 6, 3, 40000, DATA_RANDOM}};
#define N_SHAPES ((int)(sizeof shapes / sizeof shapes[0]))

START_TEST(device_equals_scalar)
{
    struct subject subject;
    struct avvik__cl_reasons *reasons = NULL;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    const size_t n_rows = shapes[_i].n_rows;
    if (!has_device("device_equals_scalar"))
        return;
    subject_init(&subject, shapes[_i].n_features, shapes[_i].height, shapes[_i].n_trees, 0);
    const struct avvik__scoring_plan *plan = &subject.plan;
    const size_t n = n_rows * plan->stride;
    uint64_t state = (uint64_t)_i + 1;
    for (size_t i = 0; i < (size_t)2 * shapes[_i].n_trees << shapes[_i].height; i++)
        subject.forest.expected[i] = (int32_t)(random_next(&state) % (1 << 25));
    float *tile = avvik__aligned_calloc(n, sizeof *tile);
    int64_t *expected = malloc(n * sizeof *expected), *got = malloc(n * sizeof *got);
    for (size_t r = 0; r < n_rows; r++)
        for (uint32_t f = 0; f < plan->n_features; f++) {
            const float x = random_next(&state) % 4 == 0 ? random_threshold(&subject.forest, f, &state)
                                                         : random_of_kind(shapes[_i].kind, &state);
            tile[r * plan->stride + f] = fabsf(x) < FLT_MIN ? 0 : x; /* as tile_pack leaves it */
        }
    const struct avvik__reasons_view view = {&plan->forest, subject.forest.expected, plan->stride, NULL};
    memset(got, 0x5a, n * sizeof *got);
    avvik__forest_reasons_scalar(expected, tile, plan->stride, n_rows, &view);
    ck_assert_msg(avvik__cl_reasons_open(NULL, plan, subject.forest.expected, &reasons, &error) == AVVIK_OK, "%s",
                  error.text);
    ck_assert_msg(avvik__cl_reasons_run(reasons, got, tile, n_rows, &view, &error) == AVVIK_OK, "%s", error.text);
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(got[i] == expected[i], "%u features, height %u, %u trees: row %zu, feature %zu: %lld, not %lld",
                      shapes[_i].n_features, shapes[_i].height, shapes[_i].n_trees, i / plan->stride, i % plan->stride,
                      (long long)got[i], (long long)expected[i]);
    ck_assert_int_eq(avvik__cl_reasons_run(reasons, NULL, NULL, 0, &view, &error), AVVIK_OK);
    avvik__cl_reasons_close(reasons);
    free(tile);
    free(expected);
    free(got);
    subject_destroy(&subject);
}
END_TEST

/* A device that computes with other g than the host has is noticed. */
START_TEST(wrong_contributions_are_noticed)
{
    struct subject subject;
    struct avvik__cl_reasons *reasons = NULL;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    if (!has_device("wrong_contributions_are_noticed"))
        return;
    subject_init(&subject, 8, 5, 3, 0);
    float *tile = avvik__aligned_calloc(subject.plan.stride, sizeof *tile);
    int64_t *got = calloc(subject.plan.stride, sizeof *got);
    const struct avvik__reasons_view view = {&subject.plan.forest, subject.forest.expected, subject.plan.stride, NULL};
    ck_assert_int_eq(avvik__cl_reasons_open(NULL, &subject.plan, subject.forest.expected, &reasons, &error), AVVIK_OK);
    subject.forest.expected[1] += 1;
    ck_assert_int_eq(avvik__cl_reasons_run(reasons, got, tile, 1, &view, &error), AVVIK_ERR_SELFTEST);
    ck_assert(strstr(error.text, "differ") != NULL);
    ck_assert_int_eq(avvik__cl_reasons_open("99.7", &subject.plan, subject.forest.expected, NULL, &error),
                     AVVIK_ERR_BACKEND);
    avvik__cl_reasons_close(reasons);
    free(tile);
    free(got);
    subject_destroy(&subject);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("opencl_reasons");
    TCase *cases = tcase_create("opencl_reasons");
    tcase_add_loop_test(cases, device_equals_scalar, 0, N_SHAPES);
    tcase_add_test(cases, wrong_contributions_are_noticed);
    tcase_set_timeout(cases, 300);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

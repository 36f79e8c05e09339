/* How features move a path sum: every variant against the scalar kernel, bit by bit, with and without the table of
 * leaves, guard pages around what is read; and against what the path sums say. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <check.h>

#include "forest_layout.h"
#include "kernel_cases.h"
#include "kernel_variants.h"
#include "leaf_reasons.h"
#include "suite_run.h"

static struct avvik__forest forest_make(uint32_t n_trees, uint32_t height, uint32_t n_features, enum tree_shape shape,
                                        uint64_t *state)
{
    struct avvik__forest forest = random_forest(n_trees, height, n_features, shape, state);
    const size_t size = (size_t)1 << height;
    for (size_t i = 0; i < 2 * n_trees * size; i++) /* any g will do, as long as a leaf's is its value */
        forest.expected[i] = (int32_t)(random_next(state) % (1 << 25));
    for (size_t i = 0; i < n_trees * size; i++)
        forest.expected[i / size * 2 * size + size + i % size] = forest.leaves[i] * 512;
    return forest;
}

/* Contributions add up to the path sum less what is expected; they come from features that the model has. */
static void check_sums(const int64_t *contributions, const float *tile, size_t n_rows,
                       const struct avvik__forest *forest, const struct avvik__reasons_view *view)
{
    int32_t *path_sums = malloc(n_rows * sizeof *path_sums);
    (forest->nodes != NULL ? avvik__forest_path_scalar : avvik__forest_path_wide_scalar)(path_sums, tile, view->stride,
                                                                                         n_rows, view->forest);
    for (size_t r = 0; r < n_rows; r++) {
        int64_t sum = 0;
        for (size_t tree = 0; tree < forest->n_trees; tree++)
            sum += forest->expected[(tree << (forest->height + 1)) + 1];
        for (size_t f = 0; f < view->stride; f++) {
            sum += contributions[r * view->stride + f];
            ck_assert(f < forest->n_features || contributions[r * view->stride + f] == 0);
        }
        ck_assert_msg(sum == (int64_t)path_sums[r] * 512, "row %zu: %lld, not 512 times %d", r, (long long)sum,
                      path_sums[r]);
    }
    free(path_sums);
}

static void compare(uint32_t n_trees, uint32_t height, uint32_t n_features, enum tree_shape shape, enum data_kind kind,
                    size_t n_rows, uint64_t seed)
{
    uint64_t state = now.seed = seed;
    const size_t stride = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    struct avvik__forest forest = forest_make(n_trees, height, n_features, shape, &state);
    struct avvik__forest_layout layout;
    struct guarded tile = guarded_alloc(n_rows * stride * sizeof(float), seed % 2 ? GUARD_BEHIND : GUARD_BEFORE);
    int64_t *expected = malloc(n_rows * stride * sizeof *expected);
    int32_t *table = avvik__leaf_reasons_make(&forest, stride);
    ck_assert_int_eq(avvik__forest_layout_init(&layout, &forest, NULL), AVVIK_OK);
    ck_assert((table == NULL) == (n_features > AVVIK_PACKED_FEATURES));
    for (size_t r = 0; r < n_rows; r++)
        for (size_t f = 0; f < stride; f++)
            ((float *)tile.data)[r * stride + f] = f >= n_features ? 0
                                                   : random_next(&state) % 4 == 0
                                                       ? random_threshold(&forest, (uint32_t)f, &state)
                                                       : random_of_kind(kind, &state);
    snprintf(now.size, sizeof now.size, "%u trees of height %u, shape %d, %zu rows of %u features, data kind %d",
             n_trees, height, (int)shape, n_rows, n_features, (int)kind);
    for (int has_table = 0; has_table < 2; has_table++) {
        const struct avvik__reasons_view view = {&layout.view, forest.expected, stride, has_table ? table : NULL};
        for (size_t i = 0; i < N_VARIANTS; i++) {
            if (!begin_variant(i, "forest_reasons"))
                continue;
            struct canaried got = canaried_alloc(n_rows * stride * sizeof *expected);
            ((avvik__forest_reasons_fn *)variants[i].function)((int64_t *)got.data, tile.data, stride, n_rows, &view);
            check_output("contributions", expected, &got, n_rows * stride, sizeof *expected, stride);
        }
        check_sums(expected, tile.data, n_rows, &forest, &view);
    }
    free(table);
    free(expected);
    guarded_free(&tile);
    avvik__forest_layout_destroy(&layout);
    avvik__forest_destroy(&forest);
}

START_TEST(variants_equal_scalar)
{
    static const uint32_t features[] = {1, 7, 15, 16, 17, 33, 64, 65, 100}, trees[] = {1, 7, 8, 9, 16, 17, 100};
    unsigned turn = 0;
    uint64_t seed = 1;
    for (size_t f = 0; f < sizeof features / sizeof features[0]; f++) {
        for (size_t t = 0; t < sizeof trees / sizeof trees[0]; t++, turn++)
            compare(trees[t], 8, features[f], (enum tree_shape)(turn % N_TREE_SHAPES), turn % N_FINITE_KINDS,
                    row_counts[turn % (N_ROW_COUNTS - 1)], seed++);
        for (uint32_t height = AVVIK_MIN_HEIGHT; height <= AVVIK_MAX_HEIGHT; height++, turn++)
            compare(1 + turn % 18, height, features[f], (enum tree_shape)(turn % 2), turn % N_FINITE_KINDS, 17, seed++);
        for (int kind = 0; kind < N_FINITE_KINDS; kind++)
            compare(5, 5, features[f], TREE_GROWN, (enum data_kind)kind, 65, seed++);
    }
    compare(33, 8, 16, TREE_GROWN, DATA_RANDOM, 2049, seed);
}
END_TEST

START_TEST(no_rows_write_nothing)
{
    uint64_t state = 1;
    struct avvik__forest forest = forest_make(3, 4, 5, TREE_FULL, &state);
    struct avvik__forest_layout layout;
    int32_t *table = avvik__leaf_reasons_make(&forest, AVVIK_LANES);
    ck_assert_int_eq(avvik__forest_layout_init(&layout, &forest, NULL), AVVIK_OK);
    const struct avvik__reasons_view view = {&layout.view, forest.expected, AVVIK_LANES, table};
    for (size_t i = 0; i < N_VARIANTS; i++)
        if (begin_variant(i, "forest_reasons"))
            ((avvik__forest_reasons_fn *)variants[i].function)(NULL, NULL, AVVIK_LANES, 0, &view);
    free(table);
    avvik__forest_layout_destroy(&layout);
    avvik__forest_destroy(&forest);
}
END_TEST

static int is_here(const char *kernel)
{
    return strcmp(kernel, "forest_reasons") == 0;
}

START_TEST(expected_variants_run)
{
    check_expected(is_here);
}
END_TEST

int main(void)
{
    if (!runs_count())
        return EXIT_FAILURE;
    signal(SIGSEGV, on_forbidden_page);
    Suite *suite = suite_create("reasons");
    TCase *cases = tcase_create("reasons");
    tcase_add_test(cases, variants_equal_scalar);
    tcase_add_test(cases, no_rows_write_nothing);
    tcase_add_test(cases, expected_variants_run);
    tcase_set_timeout(cases, 300);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

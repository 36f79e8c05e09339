/* Every kernel variant against the scalar reference, bit by bit: all of kernels.def, over sizes, kinds of values and
 * shapes of forests; inputs end or begin at forbidden pages, outputs lie between canaries. AVVIK_EXPECT=avx2,avx512
 * names variants that must run here. */
#include "forest_layout.h"
#include "kernel_cases.h"
#include "kernel_variants.h"
#include "selection_cases.h"

static size_t stride_of(size_t n_features)
{
    return (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
}

/* --- forest_path, forest_path_wide --- */

/* Forests that the byte walk took, by the columns it blends: up to 8, 16, 32, 64, more. */
static unsigned n_byte_walks[5];

/* Levels of their trees, by the way they choose among columns (n_slots of struct avvik__byte_tree). */
static unsigned n_slot_levels[AVVIK_BYTE_HEIGHT][AVVIK_BYTE_BY_PATH + 1];

/* Their trees, by has_ends. */
static unsigned n_trees_by_ends[2];

static void count_byte_walk(const struct avvik__forest_view *view)
{
    const uint32_t n_features = view->n_features;
    n_byte_walks[(n_features > 8) + (n_features > 16) + (n_features > 32) + (n_features > 64)]++;
    for (uint32_t tree = 0; tree < view->n_trees; tree++)
        n_trees_by_ends[view->bytes->trees[tree].has_ends]++;
    for (uint32_t tree = 0; tree < view->n_trees; tree++)
        for (int level = 4; level < AVVIK_BYTE_HEIGHT; level++)
            n_slot_levels[level][view->bytes->trees[tree].n_slots[level]]++;
}

static void compare_forest(const struct avvik__forest *forest, enum data_kind kind, size_t n_rows, uint64_t seed)
{
    const char *kernel = forest->nodes != NULL ? "forest_path" : "forest_path_wide";
    const size_t n_features = forest->n_features, stride = stride_of(n_features);
    uint64_t state = now.seed = seed;
    snprintf(now.size, sizeof now.size, "%zu rows of %zu features, %u trees of height %u, data kind %d", n_rows,
             n_features, forest->n_trees, forest->height, (int)kind);

    struct avvik__forest_layout layout;
    ck_assert_int_eq(avvik__forest_layout_init(&layout, forest, NULL), AVVIK_OK);
    if (layout.view.bytes != NULL)
        count_byte_walk(&layout.view);
    struct guarded tile = guarded_alloc(n_rows * stride * sizeof(float), seed % 2 ? GUARD_BEHIND : GUARD_BEFORE);
    float *values = tile.data;
    for (size_t r = 0; r < n_rows; r++)
        for (size_t f = 0; f < n_features; f++)
            values[r * stride + f] =
                kind == DATA_TIES ? random_threshold(forest, (uint32_t)f, &state) : random_of_kind(kind, &state);
    int32_t *expected = malloc(n_rows * sizeof *expected);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, kernel))
            continue;
        struct canaried sums = canaried_alloc(n_rows * sizeof *expected);
        ((avvik__forest_path_fn *)variants[i].function)((int32_t *)sums.data, values, stride, n_rows, &layout.view);
        check_output("path sum", expected, &sums, n_rows, sizeof *expected, 1);
    }
    free(expected);
    guarded_free(&tile);
    avvik__forest_layout_destroy(&layout);
}

static void compare_random_forest(uint32_t n_trees, uint32_t height, uint32_t n_features, enum tree_shape shape,
                                  enum data_kind kind, size_t n_rows)
{
    static uint64_t seed = 1;
    uint64_t state = ++seed;
    struct avvik__forest forest = random_forest(n_trees, height, n_features, shape, &state);
    compare_forest(&forest, kind, n_rows, seed);
    avvik__forest_destroy(&forest);
}

static const uint32_t packed_features[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 49, 63, 64};
static const uint32_t wide_features[] = {65, 100, 257, AVVIK_BYTE_FEATURES, AVVIK_BYTE_FEATURES + 1};
static const uint32_t tree_counts[] = {1, 15, 16, 17, 100, 101};

static void compare_forests_over(const uint32_t *features, size_t n_feature_counts)
{
    unsigned turn = 0; /* goes through row counts, kinds and shapes at different speeds, so that all of them meet */
    for (size_t f = 0; f < n_feature_counts; f++) {
        for (size_t t = 0; t < sizeof tree_counts / sizeof tree_counts[0]; t++, turn++)
            compare_random_forest(tree_counts[t], 8, features[f], (enum tree_shape)(turn % 3), turn % N_FINITE_KINDS,
                                  row_counts[(f + t) % (N_ROW_COUNTS - 1)]);
        for (uint32_t height = AVVIK_MIN_HEIGHT; height <= AVVIK_MAX_HEIGHT; height++, turn++)
            compare_random_forest(1 + turn % 18, height, features[f], turn % 2 ? TREE_GROWN : TREE_FULL,
                                  turn % N_FINITE_KINDS, row_counts[turn % (N_ROW_COUNTS - 1)]);
        for (int kind = 0; kind < N_FINITE_KINDS; kind++)
            for (int shape = 0; shape < N_TREE_SHAPES; shape++, turn++)
                compare_random_forest(1 + turn % 33, AVVIK_MIN_HEIGHT + turn % 5, features[f], (enum tree_shape)shape,
                                      (enum data_kind)kind, 65 + turn % 3);
        for (size_t n = 0; n < N_ROW_COUNTS; n++)
            compare_random_forest(17, 8, features[f], TREE_GROWN, DATA_RANDOM, row_counts[n]);
    }
}

static void check_forest_path(void)
{
    compare_forests_over(packed_features, sizeof packed_features / sizeof packed_features[0]);
    compare_random_forest(101, 8, 16, TREE_GROWN, DATA_RANDOM, MANY_ROWS);
    compare_random_forest(17, 6, 33, TREE_FULL, DATA_TIES, MANY_ROWS);
    compare_random_forest(600, 8, 16, TREE_ONE_SPLIT, DATA_TIES, 200); /* leaves' bytes fill their sums */
    for (int i = 0; i < 4; i++)
        ck_assert_uint_ge(n_byte_walks[i], 20);
    for (int i = 0; i < 2; i++)
        ck_assert_uint_ge(n_trees_by_ends[i], 20);
}

static void check_forest_path_wide(void)
{
    compare_forests_over(wide_features, sizeof wide_features / sizeof wide_features[0]);
    compare_random_forest(17, 8, 100, TREE_GROWN, DATA_RANDOM, MANY_ROWS);
    compare_random_forest(600, 8, 65, TREE_ONE_SPLIT, DATA_TIES, 200); /* leaves' bytes fill their sums */
    static const float odd[] = {1e-40f, -1e-40f, -0.0f, 0.0f, FLT_MIN, -FLT_MIN, FLT_MAX, -INFINITY};
    uint64_t state = 1;
    struct avvik__forest forest = random_forest(33, 8, 65, TREE_FULL, &state); /* what an imported forest may hold */
    for (size_t i = 0; i < (size_t)forest.n_trees << forest.height; i += 3)
        forest.thresholds[i] = odd[i % (sizeof odd / sizeof odd[0])];
    for (int kind = 0; kind < N_FINITE_KINDS; kind++)
        compare_forest(&forest, (enum data_kind)kind, 300, 1);
    avvik__forest_destroy(&forest);
    ck_assert_uint_ge(n_byte_walks[4], 20);
    static const uint32_t choices[] = {0, AVVIK_BYTE_BY_PATH, 8, 12, 16, 24};
    for (int level = 4; level < AVVIK_BYTE_HEIGHT; level++)
        for (int i = 0; i < (level == 4 ? 3 : level == 5 ? 5 : 6); i++)
            ck_assert_uint_ge(n_slot_levels[level][choices[i]], 20);
}

/* --- tile_pack --- */

enum orientation { COLUMNS, ROWS, NEITHER, N_ORIENTATIONS };

static void compare_tile_pack(size_t n_rows, size_t n_features, enum orientation orientation, enum data_kind kind,
                              uint64_t seed)
{
    const size_t gap = seed % 4;
    const size_t row_stride = orientation == COLUMNS ? 1 : orientation == ROWS ? n_features + gap : 3;
    const size_t column_stride = orientation == COLUMNS ? n_rows + gap : orientation == ROWS ? 1 : 3 * n_rows + gap;
    const size_t n_values = (n_rows - 1) * row_stride + (n_features - 1) * column_stride + 1;
    const size_t stride = stride_of(n_features) + (seed % 8 == 0 ? AVVIK_LANES : 0);
    uint64_t state = now.seed = seed;
    snprintf(now.size, sizeof now.size, "%zu rows of %zu features, orientation %d, data kind %d", n_rows, n_features,
             (int)orientation, (int)kind);

    struct guarded memory = guarded_alloc(n_values * sizeof(float), seed % 2 ? GUARD_BEHIND : GUARD_BEFORE);
    float *values = memory.data;
    for (size_t i = 0; i < n_values; i++)
        values[i] = random_of_kind(kind, &state);
    float *expected = malloc(n_rows * stride * sizeof *expected);
    uint64_t *expected_counts = malloc(2 * n_features * sizeof *expected_counts);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, "tile_pack"))
            continue;
        struct canaried tile = canaried_alloc(n_rows * stride * sizeof *expected);
        struct canaried counts = canaried_alloc(2 * n_features * sizeof *expected_counts);
        uint64_t *nan_count = (uint64_t *)counts.data;
        ((avvik__tile_pack_fn *)variants[i].function)((float *)tile.data, stride, values, n_rows, n_features,
                                                      row_stride, column_stride, nan_count, nan_count + n_features);
        check_output("tile", expected, &tile, n_rows * stride, sizeof *expected, stride);
        check_output("counts", expected_counts, &counts, 2 * n_features, sizeof *expected_counts, n_features);
    }
    free(expected);
    free(expected_counts);
    guarded_free(&memory);
}

static const size_t feature_counts[] = {1, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100};
#define N_FEATURE_COUNTS (sizeof feature_counts / sizeof feature_counts[0])

static void check_tile_pack(void)
{
    uint64_t seed = 1;
    for (size_t f = 0; f < N_FEATURE_COUNTS; f++)
        for (size_t n = 0; n < N_ROW_COUNTS; n++)
            for (int orientation = 0; orientation < N_ORIENTATIONS; orientation++, seed++)
                compare_tile_pack(row_counts[n], feature_counts[f], (enum orientation)orientation, DATA_MIXED, seed);
    for (int kind = 0; kind < N_DATA_KINDS; kind++)
        for (int orientation = 0; orientation < N_ORIENTATIONS; orientation++, seed++)
            compare_tile_pack(83, 17, (enum orientation)orientation, (enum data_kind)kind, seed);
    compare_tile_pack(MANY_ROWS, 17, COLUMNS, DATA_NAN, ++seed);
}

/* --- deviation, fill_missing --- */

/* One tile with its parameters, each at the end of its own memory. */
struct tile_case {
    struct guarded tile, first, second, groups;
    size_t stride;
};

#define N_GROUPS 5 /* rows of `first` and `second`; kernels without peers take the first of them */

static struct tile_case tile_case_make(size_t n_rows, size_t n_features, enum data_kind kind, uint64_t seed)
{
    const enum guard_side side = seed % 2 ? GUARD_BEHIND : GUARD_BEFORE;
    const size_t stride = stride_of(n_features);
    struct tile_case c = {.stride = stride};
    uint64_t state = now.seed = seed;
    snprintf(now.size, sizeof now.size, "%zu rows of %zu features, data kind %d", n_rows, n_features, (int)kind);
    c.tile = guarded_alloc(n_rows * stride * sizeof(float), side);
    c.first = guarded_alloc(N_GROUPS * stride * sizeof(float), side);
    c.second = guarded_alloc(N_GROUPS * stride * sizeof(float), side);
    c.groups = guarded_alloc(n_rows * sizeof(uint32_t), side);
    for (size_t r = 0; r < n_rows; r++)
        ((uint32_t *)c.groups.data)[r] = (uint32_t)(random_next(&state) % N_GROUPS);
    for (size_t r = 0; r < n_rows; r++)
        for (size_t f = 0; f < n_features; f++) {
            const float x = random_of_kind(kind, &state);
            ((float *)c.tile.data)[r * stride + f] = fabsf(x) < FLT_MIN ? 0 : x;
        }
    /* A few means are values of the tile, a few factors are 0, huge or tiny: differences and products underflow. */
    for (size_t f = 0; f < N_GROUPS * stride; f++) {
        static const float factors[] = {0.0f, 1.0f, FLT_MAX, FLT_MIN, 0x1p-100f, 0x1p100f};
        const uint64_t draw = random_next(&state);
        ((float *)c.first.data)[f] = draw % 3 ? random_float(&state) : random_of_kind(kind % N_FINITE_KINDS, &state);
        ((float *)c.second.data)[f] = draw & 8 ? factors[draw / 16 % 6] : fabsf(random_float(&state));
        if (f % stride >= n_features)
            ((float *)c.first.data)[f] = ((float *)c.second.data)[f] = 0;
    }
    return c;
}

static void tile_case_free(struct tile_case *c)
{
    guarded_free(&c->tile);
    guarded_free(&c->first);
    guarded_free(&c->second);
    guarded_free(&c->groups);
}

static void compare_deviation(int has_peers, size_t n_rows, size_t n_features, enum data_kind kind, float cut,
                              uint64_t seed)
{
    struct tile_case c = tile_case_make(n_rows, n_features, kind, seed);
    float *expected = malloc(n_rows * sizeof *expected);
    uint16_t *expected_feature = malloc(n_rows * sizeof *expected_feature);
    uint16_t *expected_beyond = malloc(n_rows * sizeof *expected_beyond);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, has_peers ? "deviation_peers" : "deviation"))
            continue;
        struct canaried deviation = canaried_alloc(n_rows * sizeof *expected);
        struct canaried feature = canaried_alloc(n_rows * sizeof *expected_feature);
        struct canaried beyond = canaried_alloc(n_rows * sizeof *expected_beyond);
        float *z = (float *)deviation.data;
        uint16_t *by = (uint16_t *)feature.data, *n = (uint16_t *)beyond.data;
        if (has_peers)
            ((avvik__deviation_peers_fn *)variants[i].function)(z, by, n, c.tile.data, c.stride, n_rows, n_features,
                                                                c.groups.data, c.first.data, c.second.data, cut);
        else
            ((avvik__deviation_fn *)variants[i].function)(z, by, n, c.tile.data, c.stride, n_rows, n_features,
                                                          c.first.data, c.second.data, cut);
        check_output("deviation", expected, &deviation, n_rows, sizeof *expected, 1);
        check_output("feature", expected_feature, &feature, n_rows, sizeof *expected_feature, 1);
        check_output("beyond", expected_beyond, &beyond, n_rows, sizeof *expected_beyond, 1);
    }
    free(expected);
    free(expected_feature);
    free(expected_beyond);
    tile_case_free(&c);
}

static void check_deviations(int has_peers)
{
    static const float cuts[] = {3.5f, 0.0f, 0x1p-140f, 1e30f};
    uint64_t seed = 1;
    for (size_t f = 0; f < N_FEATURE_COUNTS; f++) {
        for (size_t n = 0; n < N_ROW_COUNTS; n++, seed++)
            compare_deviation(has_peers, row_counts[n], feature_counts[f], DATA_MIXED, cuts[seed % 4], seed);
        for (int kind = 0; kind < N_DATA_KINDS; kind++, seed++)
            compare_deviation(has_peers, 83, feature_counts[f], (enum data_kind)kind, cuts[seed % 4], seed);
    }
    compare_deviation(has_peers, MANY_ROWS, 17, DATA_NAN, 3.5f, ++seed);
}

static void check_deviation(void)
{
    check_deviations(0);
}

static void check_deviation_peers(void)
{
    check_deviations(1);
}

static void compare_fill_missing(size_t n_rows, size_t n_features, enum data_kind kind, uint64_t seed)
{
    struct tile_case c = tile_case_make(n_rows, n_features, kind, seed);
    const size_t n = n_rows * c.stride;
    float *expected = malloc(n * sizeof *expected);
    uint16_t *expected_missing = malloc(n_rows * sizeof *expected_missing);
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, "fill_missing"))
            continue;
        struct canaried tile = canaried_alloc(n * sizeof *expected);
        struct canaried missing = canaried_alloc(n_rows * sizeof *expected_missing);
        memcpy(tile.data, c.tile.data, n * sizeof *expected);
        ((avvik__fill_missing_fn *)variants[i].function)((float *)tile.data, c.stride, n_rows, n_features, c.first.data,
                                                         (uint16_t *)missing.data);
        check_output("tile", expected, &tile, n, sizeof *expected, c.stride);
        check_output("missing", expected_missing, &missing, n_rows, sizeof *expected_missing, 1);
    }
    free(expected);
    free(expected_missing);
    tile_case_free(&c);
}

static void check_fill_missing(void)
{
    uint64_t seed = 1;
    for (size_t f = 0; f < N_FEATURE_COUNTS; f++) {
        for (size_t n = 0; n < N_ROW_COUNTS; n++, seed++)
            compare_fill_missing(row_counts[n], feature_counts[f], DATA_NAN, seed);
        for (int kind = 0; kind < N_DATA_KINDS; kind++, seed++)
            compare_fill_missing(83, feature_counts[f], (enum data_kind)kind, seed);
    }
    compare_fill_missing(MANY_ROWS, 17, DATA_NAN, ++seed);
}

/* --- statistics --- */

static void compare_statistics(size_t n_rows, enum data_kind kind, size_t n_leading_nan, uint64_t seed)
{
    uint64_t state = now.seed = seed;
    snprintf(now.size, sizeof now.size, "%zu rows, data kind %d, the first %zu NaN", n_rows, (int)kind, n_leading_nan);
    struct guarded column = guarded_alloc(n_rows * sizeof(float), seed % 2 ? GUARD_BEHIND : GUARD_BEFORE);
    for (size_t i = 0; i < n_rows; i++)
        ((float *)column.data)[i] = i < n_leading_nan ? NAN : random_of_kind(kind, &state);
    struct avvik__moments expected;
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!begin_variant(i, "statistics"))
            continue;
        struct canaried moments = canaried_alloc(sizeof expected);
        struct avvik__moments *m = (struct avvik__moments *)moments.data;
        ((avvik__statistics_fn *)variants[i].function)(m, column.data, n_rows);
        struct avvik__moments clean; /* without the padding, which may be anything */
        memset(&clean, 0, sizeof clean);
        clean.n = m->n, clean.n_nan = m->n_nan, clean.n_infinite = m->n_infinite;
        clean.min = m->min, clean.max = m->max, clean.mean = m->mean, clean.m2 = m->m2;
        memcpy(m, &clean, sizeof clean);
        check_output("moments", &expected, &moments, sizeof expected / 4, 4, 1);
    }
    guarded_free(&column);
}

static void check_statistics(void)
{
    uint64_t seed = 1;
    for (int kind = 0; kind < N_DATA_KINDS; kind++) {
        for (size_t n = 0; n < N_ROW_COUNTS; n++, seed++)
            compare_statistics(row_counts[n], (enum data_kind)kind, n % 3 ? 0 : row_counts[n] / 2, seed);
        compare_statistics(AVVIK_STATISTICS_ROWS, (enum data_kind)kind, 0, ++seed);
        compare_statistics(AVVIK_STATISTICS_ROWS - 1, (enum data_kind)kind, 19, ++seed);
    }
}

/* --- the list --- */

static const struct {
    const char *kernel;
    void (*check)(void);
} checks[] = {
    {"tile_pack", check_tile_pack},
    {"deviation", check_deviation},
    {"deviation_peers", check_deviation_peers},
    {"fill_missing", check_fill_missing},
    {"statistics", check_statistics},
    {"sift", check_sift},
    {"narrow", check_narrow},
    {"deal", check_deal},
    {"forest_path", check_forest_path},
    {"forest_path_wide", check_forest_path_wide},
};
#define N_CHECKS (sizeof checks / sizeof checks[0])

START_TEST(variants_equal_scalar)
{
    checks[_i].check();
}
END_TEST

START_TEST(no_rows_write_nothing)
{
    uint64_t state = 1;
    struct avvik__forest forest = random_forest(3, 4, 5, TREE_FULL, &state);
    struct avvik__forest_layout layout;
    ck_assert_int_eq(avvik__forest_layout_init(&layout, &forest, NULL), AVVIK_OK);
    for (unsigned bits = 0; bits <= avvik__cpu_features(); bits++) {
        struct avvik__kernels kernels;
        if (bits & ~avvik__cpu_features())
            continue;
        avvik__kernels_select(&kernels, bits);
        kernels.forest_path(NULL, NULL, 16, 0, &layout.view);
        kernels.tile_pack(NULL, 16, NULL, 0, 5, 1, 0, NULL, NULL);
        kernels.deviation(NULL, NULL, NULL, NULL, 16, 0, 5, NULL, NULL, 3.5f);
        kernels.deviation_peers(NULL, NULL, NULL, NULL, 16, 0, 5, NULL, NULL, NULL, 3.5f);
        kernels.deviation_joint(NULL, NULL, NULL, NULL, NULL, 16, 0, 5, NULL, NULL, 3.5f, NULL, NULL);
        kernels.tails(NULL, NULL, 16, 0, 5, NULL);
        ck_assert(kernels.joint_logs(NULL, NULL, 0, 1, 1) == 0);
        kernels.joint_peers(NULL, NULL, 16, 0, 5, NULL, NULL);
        kernels.fill_missing(NULL, 16, 0, 5, NULL, NULL);
    }
    avvik__forest_layout_destroy(&layout);
    avvik__forest_destroy(&forest);
}
END_TEST

/* Every kernel has a scalar variant, first, and a check here; selection takes the last variant that can run. */
/* test_joint.c, test_tails.c and test_reasons.c compare them. */
static int is_here(const char *kernel)
{
    return strcmp(kernel, "deviation_joint") != 0 && strncmp(kernel, "joint_", 6) != 0 &&
           strcmp(kernel, "tails") != 0 && strcmp(kernel, "forest_reasons") != 0;
}

START_TEST(list_is_sound)
{
    for (size_t i = 0; i < N_VARIANTS; i++) {
        size_t first = i, check = 0;
        while (first > 0 && strcmp(variants[first - 1].kernel, variants[i].kernel) == 0)
            first--;
        ck_assert_msg(strcmp(variants[first].name, "scalar") == 0 && variants[first].cpu_bits == 0,
                      "the first variant of %s in kernels.def is not the scalar one", variants[i].kernel);
        while (check < N_CHECKS && strcmp(checks[check].kernel, variants[i].kernel) != 0)
            check++;
        ck_assert_msg(check < N_CHECKS || !is_here(variants[i].kernel), "no check for the kernel %s",
                      variants[i].kernel);
    }
    struct avvik__kernels kernels;
    avvik__kernels_select(&kernels, 0);
    ck_assert(kernels.forest_path == avvik__forest_path_scalar);
#if defined(__x86_64__)
    avvik__kernels_select(&kernels, AVVIK_CPU_AVX2);
    ck_assert(kernels.forest_path == avvik__forest_path_avx2);
    avvik__kernels_select(&kernels, AVVIK_CPU_AVX2 | AVVIK_CPU_AVX512);
    ck_assert(kernels.forest_path == avvik__forest_path_avx512);
#endif
}
END_TEST

/* Every name in AVVIK_EXPECT is that of a variant here, or of the OpenCL backend, which has its own test. */
START_TEST(expected_variants_run)
{
    check_expected(is_here);
    for (const char *list = getenv("AVVIK_EXPECT"); list != NULL && *list != '\0';) {
        int is_known = begins_with(list, "opencl");
        for (size_t i = 0; i < N_VARIANTS; i++)
            is_known |= begins_with(list, variants[i].name);
        ck_assert_msg(is_known, "AVVIK_EXPECT names %s, which no kernel has", list);
        list += strcspn(list, ",");
        list += *list == ',';
    }
}
END_TEST

/* A variant that did not run is named. */
START_TEST(variants_ran)
{
    unsigned n_ran = 0, n_can_run = 0;
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (!is_here(variants[i].kernel))
            continue;
        n_ran += n_runs[i] > 0;
        n_can_run += can_run(&variants[i]) ? 1u : 0u;
        if (n_runs[i] == 0)
            printf("skipped: %s %s (this CPU cannot run it)\n", variants[i].kernel, variants[i].name);
    }
    printf("%u of %zu kernel variants ran\n", n_ran, N_VARIANTS);
    ck_assert_uint_eq(n_ran, n_can_run);
    ck_assert_uint_ge(n_ran, N_CHECKS);
}
END_TEST

int main(void)
{
    if (!runs_count())
        return EXIT_FAILURE;
    signal(SIGSEGV, on_forbidden_page);
    Suite *suite = suite_create("kernels");
    TCase *equal = tcase_create("equal scalar"), *list = tcase_create("list");
    tcase_set_timeout(equal, 300);
    tcase_add_loop_test(equal, variants_equal_scalar, 0, (int)N_CHECKS);
    tcase_add_test(equal, no_rows_write_nothing);
    tcase_add_test(list, list_is_sound);
    tcase_add_test(list, variants_ran);
    tcase_add_test(list, expected_variants_run);
    suite_add_tcase(suite, equal);
    suite_add_tcase(suite, list);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The forest against an independent reference: trees with pointers and path lengths in double, written from Liu, Ting
 * and Zhou (2008), algorithms 2 and 3, and the draws as kernels/README.md describes them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <Random123/philox.h>

#include "forest.h"
#include "forest_layout.h"
#include "kernels.h"
#include "suite_run.h"

/* --- the reference ----------------------------------------------------------------------------------------------- */

struct itree {
    struct itree *left, *right; /* NULL: external node */
    unsigned feature, size;
    float threshold;
};

static double reference_c(unsigned n)
{
    long double harmonic = 0;
    if (n <= 1)
        return 0;
    for (unsigned i = 1; i < n; i++)
        harmonic += 1.0L / i;
    return (double)(2 * harmonic - 2.0L * (n - 1) / n);
}

static void reference_draw(uint64_t seed, unsigned tree, unsigned node, unsigned number, double *choice, double *place)
{
    const philox4x32_ctr_t counter = {{number, node, tree, 2}};
    const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    const philox4x32_ctr_t word = philox4x32(counter, key);
    *choice = ldexp((double)(((uint64_t)word.v[1] << 32 | word.v[0]) >> 11), -53);
    *place = ldexp((double)(((uint64_t)word.v[3] << 32 | word.v[2]) >> 11), -53);
}

/* The lattice of packed thresholds: multiples of 64 ulp plus the feature number. */
static int reference_lattice(double drawn, unsigned feature, float min, float max, float *threshold)
{
    const float nearest = (float)drawn;
    for (int step = 0; step < 3; step++) {
        union {
            float value;
            uint32_t bits;
        } word = {nearest};
        word.bits = word.bits / 64 * 64 + feature + (step == 1 ? 64 : 0) - (step == 2 ? 64 : 0);
        if (isnormal(word.value) && word.value > min && word.value <= max) {
            *threshold = word.value;
            return 1;
        }
    }
    return 0;
}

/* Of a column, to the nearest 1/256, as SciPy's kurtosis(fisher=False). */
static double reference_kurtosis(const float *const *rows, unsigned n, unsigned feature)
{
    long double mean = 0, second = 0, fourth = 0;
    for (unsigned i = 0; i < n; i++)
        mean += (long double)rows[i][feature] / n;
    for (unsigned i = 0; i < n; i++) {
        second += powl(rows[i][feature] - mean, 2) / n;
        fourth += powl(rows[i][feature] - mean, 4) / n;
    }
    return (double)roundl(256 * fourth / (second * second));
}

static struct itree *reference_grow(const float *const *rows, unsigned n, unsigned n_features, unsigned depth,
                                    unsigned limit, uint64_t seed, unsigned tree, unsigned node,
                                    unsigned kurtosis_levels)
{
    struct itree *made = calloc(1, sizeof *made);
    ck_assert_ptr_nonnull(made);
    made->size = n;
    unsigned *varying = malloc(n_features * sizeof *varying), n_varying = 0;
    float *min = malloc(n_features * sizeof *min), *max = malloc(n_features * sizeof *max);
    for (unsigned f = 0; f < n_features; f++) {
        min[f] = INFINITY;
        max[f] = -INFINITY;
        for (unsigned i = 0; i < n; i++) {
            min[f] = fminf(min[f], rows[i][f]);
            max[f] = fmaxf(max[f], rows[i][f]);
        }
        if (min[f] < max[f])
            varying[n_varying++] = f;
    }
    for (unsigned number = 0; n > 1 && depth < limit && n_varying > 0; number++) {
        double choice, place;
        reference_draw(seed, tree, node, number, &choice, &place);
        unsigned chosen = (unsigned)(choice * n_varying);
        if (depth < kurtosis_levels) {
            double all = 0;
            for (unsigned v = 0; v < n_varying; v++)
                all += reference_kurtosis(rows, n, varying[v]);
            choice *= all;
            for (chosen = 0; choice >= reference_kurtosis(rows, n, varying[chosen]); chosen++)
                choice -= reference_kurtosis(rows, n, varying[chosen]);
        }
        const unsigned q = varying[chosen];
        float p = (float)(min[q] + place * ((double)max[q] - min[q]));
        if (n_features > 64 ? (p = p > min[q] ? p : nextafterf(min[q], INFINITY), 1)
                            : reference_lattice(p, q, min[q], max[q], &p)) {
            const float **parts = malloc(n * sizeof *parts);
            unsigned n_left = 0, n_right = 0;
            for (unsigned i = 0; i < n; i++)
                if (rows[i][q] < p)
                    parts[n_left++] = rows[i];
                else
                    parts[n - ++n_right] = rows[i];
            made->feature = q;
            made->threshold = p;
            made->left =
                reference_grow(parts, n_left, n_features, depth + 1, limit, seed, tree, 2 * node, kurtosis_levels);
            made->right = reference_grow(parts + n_left, n_right, n_features, depth + 1, limit, seed, tree,
                                         2 * node + 1, kurtosis_levels);
            free(parts);
            break;
        }
        varying[chosen] = varying[--n_varying];
    }
    free(varying);
    free(min);
    free(max);
    return made;
}

static double reference_path(const struct itree *node, const float *row, double length)
{
    if (node->left == NULL)
        return length + reference_c(node->size);
    return reference_path(row[node->feature] < node->threshold ? node->left : node->right, row, length + 1);
}

static void reference_free(struct itree *node)
{
    if (node == NULL)
        return;
    reference_free(node->left);
    reference_free(node->right);
    free(node);
}

/* --- the tests --------------------------------------------------------------------------------------------------- */

static uint64_t noise_state;
static float noise(void)
{
    noise_state = noise_state * 6364136223846793005u + 1442695040888963407u;
    return (float)(noise_state >> 40) * 0x1p-24f;
}

/* Columns of different kinds: smooth, heavy tails, few values, constant, large with small spread. */
static float value_make(unsigned feature)
{
    switch (feature % 5) {
    case 0: return noise() * 10 - 5;
    case 1: return 1 / (noise() + 1e-4f);
    case 2: return floorf(noise() * 4);
    case 3: return 7;
    default: /* packed thresholds lie farther apart than these values, or nearly */
        return feature % 10 == 4 ? 3e8f + 32 * floorf(1 / (noise() + 0.02f)) : 1e6f + floorf(noise() * 8);
    }
}

static const struct shape {
    unsigned trees, sample, features;
    enum avvik_splits splits;
} shapes[] = {
    {20, 16, 1, AVVIK_SPLITS_UNIFORM},   {20, 17, 3, AVVIK_SPLITS_MIXED},    {30, 100, 5, AVVIK_SPLITS_UNIFORM},
    {40, 100, 7, AVVIK_SPLITS_KURTOSIS}, {40, 256, 9, AVVIK_SPLITS_MIXED},   {12, 300, 64, AVVIK_SPLITS_UNIFORM},
    {8, 256, 70, AVVIK_SPLITS_KURTOSIS}, {8, 256, 70, AVVIK_SPLITS_UNIFORM}, {3, 4096, 6, AVVIK_SPLITS_MIXED}};

START_TEST(test_path_sums_follow_the_paper)
{
    const struct shape shape = shapes[_i];
    const uint64_t seed = UINT64_C(0x123456789abcdef0) + (unsigned)_i;
    const size_t stride = (shape.features + 15) / 16 * 16;
    struct avvik__forest forest = {.n_trees = shape.trees,
                                   .sample = shape.sample,
                                   .height = avvik__forest_height(shape.sample),
                                   .n_features = shape.features,
                                   .splits = shape.splits};
    noise_state = (unsigned)_i;
    ck_assert_int_eq(avvik__forest_init(&forest, NULL), AVVIK_OK);
    enum { N_ROWS = 200 };
    float *sample = calloc((size_t)shape.sample * shape.features, sizeof *sample);
    float *rows = aligned_alloc(64, N_ROWS * stride * sizeof *rows);
    uint32_t *scratch = malloc(shape.sample * sizeof *scratch);
    const float **pointers = malloc(shape.sample * sizeof *pointers);
    double expected[N_ROWS] = {0};
    memset(rows, 0, N_ROWS * stride * sizeof *rows);
    for (size_t r = 0; r < N_ROWS; r++)
        for (unsigned f = 0; f < shape.features; f++)
            rows[r * stride + f] = value_make(f) * (r % 10 == 0 ? 2 : 1);
    for (unsigned tree = 0; tree < shape.trees; tree++) {
        for (size_t i = 0; i < (size_t)shape.sample * shape.features; i++)
            sample[i] = value_make((unsigned)(i % shape.features));
        avvik__forest_grow(&forest, tree, sample, shape.features, seed, scratch);
        for (unsigned i = 0; i < shape.sample; i++)
            pointers[i] = sample + (size_t)i * shape.features;
        const unsigned limit = (unsigned)ceil(log2(shape.sample));
        const unsigned kurtosis_levels = shape.splits == AVVIK_SPLITS_KURTOSIS ? limit
                                         : shape.splits == AVVIK_SPLITS_MIXED && tree % 2 != 0
                                             ? (unsigned)ceil(limit / 2.0)
                                             : 0;
        struct itree *reference =
            reference_grow(pointers, shape.sample, shape.features, 0, limit, seed, tree, 1, kurtosis_levels);
        for (size_t r = 0; r < N_ROWS; r++)
            expected[r] += reference_path(reference, rows + r * stride, 0);
        reference_free(reference);
    }
    uint32_t wrong_tree = 0, wrong_node = 0;
    const char *wrong = avvik__forest_check(&forest, &wrong_tree, &wrong_node);
    ck_assert_msg(wrong == NULL, "tree %u, node %u: %s", wrong_tree, wrong_node, wrong);
    struct avvik__forest_layout layout;
    int32_t path_sum[N_ROWS];
    ck_assert_int_eq(avvik__forest_layout_init(&layout, &forest, NULL), AVVIK_OK);
    (forest.nodes == NULL ? avvik__forest_path_wide_scalar : avvik__forest_path_scalar)(path_sum, rows, stride, N_ROWS,
                                                                                        &layout.view);
    for (size_t r = 0; r < N_ROWS; r++) /* each leaf value is rounded to 2^-11 once */
        ck_assert_msg(fabs(path_sum[r] / 2048.0 - expected[r]) <= shape.trees * 0.5 / 2048 + 1e-9,
                      "row %zu: %d / 2048 where the paper has %.9f", r, path_sum[r], expected[r]);
    avvik__forest_layout_destroy(&layout);
    avvik__forest_destroy(&forest);
    free(sample);
    free(rows);
    free(scratch);
    free(pointers);
}
END_TEST

START_TEST(test_average_path_is_the_exact_sum)
{
    ck_assert_double_eq(avvik__average_path(1), 0);
    ck_assert_double_eq(avvik__average_path(2), 1);
    ck_assert_double_eq_tol(avvik__average_path(3), 5.0 / 3, 1e-15);
    ck_assert_double_eq_tol(avvik__average_path(4), 2 * (1 + 1.0 / 2 + 1.0 / 3) - 3.0 / 2, 1e-15);
    for (unsigned n = 1; n <= 4096; n++)
        ck_assert_double_eq_tol(avvik__average_path(n), reference_c(n), 4e-15 * (1 + reference_c(n)));
}
END_TEST

START_TEST(test_rows_are_drawn_without_replacement_and_evenly)
{
    enum { N = 40, SAMPLE = 16, TREES = 20000 };
    const struct avvik__forest forest = {.sample = SAMPLE};
    unsigned count[N] = {0};
    for (uint32_t tree = 0; tree < TREES; tree++) {
        uint64_t rows[SAMPLE];
        avvik__forest_draw_rows(&forest, tree, N, 5, rows);
        for (int i = 0; i < SAMPLE; i++) {
            ck_assert_uint_lt(rows[i], N);
            ck_assert(i == 0 || rows[i - 1] < rows[i]);
            count[rows[i]]++;
        }
    }
    double chi_squared = 0; /* rows of one tree exclude one another, which makes the sum smaller than chi-squared */
    const double mean = (double)TREES * SAMPLE / N;
    for (int i = 0; i < N; i++)
        chi_squared += (count[i] - mean) * (count[i] - mean) / mean;
    ck_assert_double_lt(chi_squared, 73); /* 0.1 % point at 39 degrees of freedom is 72.1 */
    uint64_t all[SAMPLE];
    avvik__forest_draw_rows(&forest, 3, SAMPLE, 5, all);
    for (int i = 0; i < SAMPLE; i++)
        ck_assert_uint_eq(all[i], (unsigned)i);
}
END_TEST

START_TEST(test_check_finds_every_change)
{
    struct avvik__forest forest = {.n_trees = 2, .sample = 16, .height = 4, .n_features = 3};
    float sample[16 * 3];
    uint32_t scratch[16], tree, node;
    ck_assert_int_eq(avvik__forest_init(&forest, NULL), AVVIK_OK);
    for (uint32_t t = 0; t < 2; t++) {
        for (int i = 0; i < 16 * 3; i++)
            sample[i] = noise();
        avvik__forest_grow(&forest, t, sample, 3, 9, scratch);
    }
    ck_assert_ptr_null(avvik__forest_check(&forest, &tree, &node));
    for (int t = 0; t < 2; t++) {
        for (int i = 0; i < 16; i++) {
            forest.leaves[t * 16 + i] ^= 1;
            ck_assert_msg(avvik__forest_check(&forest, &tree, &node) != NULL, "leaf %d of tree %d", i, t);
            forest.leaves[t * 16 + i] ^= 1;
        }
        for (int k = 1; k < 32; k++) {
            forest.rows[t * 32 + k]++;
            ck_assert_msg(avvik__forest_check(&forest, &tree, &node) != NULL, "rows of node %d of tree %d", k, t);
            forest.rows[t * 32 + k]--;
            forest.expected[t * 32 + k]++;
            ck_assert_msg(avvik__forest_check(&forest, &tree, &node) != NULL, "g of node %d of tree %d", k, t);
            forest.expected[t * 32 + k]--;
        }
        for (int k = 1; k < 16; k++) {
            static const uint32_t words[] = {0x7fc00000, 0xff800000, 0x00000041, 63, 3};
            const uint32_t kept = forest.nodes[t * 16 + k];
            for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
                forest.nodes[t * 16 + k] = i < 3 ? words[i] : (kept & ~63u) | words[i];
                ck_assert_msg(avvik__forest_check(&forest, &tree, &node) != NULL, "word %zu at node %d of tree %d", i,
                              k, t);
            }
            forest.nodes[t * 16 + k] = kept;
        }
    }
    ck_assert_ptr_null(avvik__forest_check(&forest, &tree, &node));
    avvik__forest_destroy(&forest);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forest");
    TCase *cases = tcase_create("forest");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, test_path_sums_follow_the_paper, 0, sizeof shapes / sizeof shapes[0]);
    tcase_add_test(cases, test_average_path_is_the_exact_sum);
    tcase_add_test(cases, test_rows_are_drawn_without_replacement_and_evenly);
    tcase_add_test(cases, test_check_finds_every_change);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

/* The OpenCL backend against the scalar reference, bit by bit, on the first device there is: every walk (trees in
 * lanes, tiles in local memory, global memory), its cache, its errors. AVVIK_EXPECT=opencl makes a missing device a
 * failure. OpenCL is only touched inside a test: a process that forked after PoCL has started hangs. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "backend.h"
#include "forest_layout.h"
#include "kernel_cases.h"
#include "opencl_cache.h"
#include "opencl_program.h"

static int is_expected(void)
{
    const char *list = getenv("AVVIK_EXPECT");
    while (list != NULL && *list != '\0') {
        const size_t length = strcspn(list, ",");
        if (length == 6 && strncmp(list, "opencl", 6) == 0)
            return 1;
        list += length + (list[length] == ',');
    }
    return 0;
}

/* Whether a device can be used; where none can, the test is skipped by name. */
static int has_device(const char *test)
{
    struct avvik__cl_device device;
    struct avvik_error error;
    if (avvik__cl_device_choose(NULL, &device, &error) == AVVIK_OK)
        return 1;
    ck_assert_msg(!is_expected(), "AVVIK_EXPECT names opencl: %s", error.text);
    printf("SKIPPED %s: %s\n", test, error.text);
    return 0;
}

/* ---- What is scored, and what must come out ---- */

struct subject {
    struct avvik__forest forest;
    struct avvik__forest_layout layout;
    struct avvik__scoring_plan plan;
    float *parameters;
};

/* The same splits as wide nodes: a forest over few features may be wide too. */
static void forest_widen(struct avvik__forest *forest)
{
    const size_t n_nodes = (size_t)forest->n_trees << forest->height;
    forest->thresholds = avvik__aligned_calloc(n_nodes, sizeof *forest->thresholds);
    forest->features = avvik__aligned_calloc(n_nodes, sizeof *forest->features);
    for (size_t i = 0; i < n_nodes; i++) {
        forest->thresholds[i] = float_of_bits(forest->nodes[i]);
        forest->features[i] = (uint16_t)(forest->nodes[i] & AVVIK_FEATURE_MASK);
    }
    free(forest->nodes);
    forest->nodes = NULL;
}

static void subject_init(struct subject *subject, uint32_t n_features, uint32_t height, uint32_t n_trees, int is_wide)
{
    uint64_t state = n_features * 10007 + height * 101 + n_trees;
    const size_t stride = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    subject->forest = random_forest(n_trees, height, n_features, n_trees % 2 ? TREE_GROWN : TREE_FULL, &state);
    if (is_wide && subject->forest.nodes != NULL)
        forest_widen(&subject->forest);
    if (is_wide) { /* what an imported forest may hold */
        static const float odd[] = {1e-40f, -1e-40f, -0.0f, FLT_MIN, -FLT_MIN, FLT_MAX, -INFINITY};
        for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
            subject->forest.thresholds[1 + i] = odd[i];
    }
    ck_assert_int_eq(avvik__forest_layout_init(&subject->layout, &subject->forest, NULL), AVVIK_OK);
    subject->parameters = avvik__aligned_calloc(3 * stride, sizeof(float));
    for (uint32_t f = 0; f < n_features; f++) {
        subject->parameters[f] = f % 4 == 3 ? 0 : random_float(&state);
        subject->parameters[stride + f] = f % 5 == 4 ? 0 : (float)(random_uniform(&state) * 2);
        subject->parameters[2 * stride + f] = random_float(&state);
    }
    subject->plan = (struct avvik__scoring_plan){.n_features = n_features,
                                                 .stride = stride,
                                                 .mean = subject->parameters,
                                                 .rscale = subject->parameters + stride,
                                                 .fill = subject->parameters + 2 * stride,
                                                 .forest = subject->layout.view,
                                                 .is_wide = subject->forest.nodes == NULL};
}

static void subject_destroy(struct subject *subject)
{
    avvik__forest_layout_destroy(&subject->layout);
    avvik__forest_destroy(&subject->forest);
    free(subject->parameters);
}

struct results {
    size_t n_rows, n_features;
    int32_t *path_sum;
    float *deviation;
    uint16_t *feature, *beyond, *missing;
    uint64_t *column_missing, *column_infinite;
};

static struct results results_create(size_t n_rows, size_t n_features)
{
    const struct results results = {n_rows,
                                    n_features,
                                    calloc(n_rows, sizeof(int32_t)),
                                    calloc(n_rows, sizeof(float)),
                                    calloc(n_rows, sizeof(uint16_t)),
                                    calloc(n_rows, sizeof(uint16_t)),
                                    calloc(n_rows, sizeof(uint16_t)),
                                    calloc(n_features, sizeof(uint64_t)),
                                    calloc(n_features, sizeof(uint64_t))};
    memset(results.path_sum, 0x5a, n_rows * sizeof *results.path_sum); /* what nobody wrote shows */
    memset(results.missing, 0x5a, n_rows * sizeof *results.missing);
    return results;
}

static void results_free(struct results *results)
{
    free(results->path_sum);
    free(results->deviation);
    free(results->feature);
    free(results->beyond);
    free(results->missing);
    free(results->column_missing);
    free(results->column_infinite);
}

static struct avvik_scores results_view(const struct results *results)
{
    return (struct avvik_scores){results->path_sum, results->deviation,      results->feature,        results->beyond,
                                 results->missing,  results->column_missing, results->column_infinite};
}

static void scalar_score(const struct avvik__scoring_plan *plan, const struct avvik_rows *rows, struct results *out)
{
    float *tile = avvik__aligned_calloc(rows->n_rows * plan->stride, sizeof *tile);
    avvik__tile_pack_scalar(tile, plan->stride, rows->values, rows->n_rows, plan->n_features, rows->row_stride,
                            rows->column_stride, out->column_missing, out->column_infinite);
    avvik__deviation_scalar(out->deviation, out->feature, out->beyond, tile, plan->stride, rows->n_rows,
                            plan->n_features, plan->mean, plan->rscale, AVVIK_DEVIATION_CUT);
    avvik__fill_missing_scalar(tile, plan->stride, rows->n_rows, plan->n_features, plan->fill, out->missing);
    (plan->is_wide ? avvik__forest_path_wide_scalar : avvik__forest_path_scalar)(out->path_sum, tile, plan->stride,
                                                                                 rows->n_rows, &plan->forest);
    free(tile);
}

static uint32_t bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void results_compare(const struct results *want, const struct results *got, const char *what)
{
    for (size_t r = 0; r < want->n_rows; r++) {
        const struct {
            const char *name;
            uint32_t want, got;
        } pairs[] = {{"path_sum", (uint32_t)want->path_sum[r], (uint32_t)got->path_sum[r]},
                     {"deviation", bits_of_float(want->deviation[r]), bits_of_float(got->deviation[r])},
                     {"feature", want->feature[r], got->feature[r]},
                     {"beyond", want->beyond[r], got->beyond[r]},
                     {"missing", want->missing[r], got->missing[r]}};
        for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
            ck_assert_msg(pairs[i].want == pairs[i].got, "%s: %s of row %zu of %zu: scalar has 0x%08x, opencl 0x%08x",
                          what, pairs[i].name, r, want->n_rows, pairs[i].want, pairs[i].got);
    }
    for (size_t f = 0; f < want->n_features; f++) {
        ck_assert_msg(want->column_missing[f] == got->column_missing[f], "%s: missing values of feature %zu", what, f);
        ck_assert_msg(want->column_infinite[f] == got->column_infinite[f], "%s: infinities of feature %zu", what, f);
    }
}

/* n_rows x n_features values; one in four of DATA_TIES equals a threshold. */
static float *values_make(const struct subject *subject, size_t n_rows, enum data_kind kind)
{
    const size_t n_features = subject->plan.n_features;
    uint64_t state = n_rows * 31 + (uint64_t)kind;
    float *values = malloc(n_rows * n_features * sizeof *values);
    for (size_t i = 0; i < n_rows * n_features; i++) {
        values[i] = random_of_kind(kind, &state);
        if (kind == DATA_TIES && random_next(&state) % 4 == 0)
            values[i] = random_threshold(&subject->forest, (uint32_t)(i % n_features), &state);
    }
    return values;
}

/* Score n_rows rows of `kind` in one call of `worker` and compare. */
static void rows_check(const struct subject *subject, void *worker, size_t n_rows, enum data_kind kind,
                       int is_column_major, const char *what)
{
    const size_t n_features = subject->plan.n_features;
    float *values = values_make(subject, n_rows, kind);
    const struct avvik_rows rows = {values, n_rows, is_column_major ? 1 : n_features, is_column_major ? n_rows : 1};
    struct results want = results_create(n_rows, n_features), got = results_create(n_rows, n_features);
    struct avvik_scores scores = results_view(&got);
    struct avvik_error error = {AVVIK_OK, 0, ""};
    char text[256];
    snprintf(text, sizeof text, "%s, %zu features, height %u, %u trees, data kind %d", what, n_features,
             subject->forest.height, subject->forest.n_trees, (int)kind);
    scalar_score(&subject->plan, &rows, &want);
    ck_assert_msg(avvik__backend_opencl.worker_score(worker, &rows, &scores, &error) == AVVIK_OK, "%s: %s", text,
                  error.text);
    results_compare(&want, &got, text);
    results_free(&want);
    results_free(&got);
    free(values);
}

static void *state_open(const struct subject *subject)
{
    void *state = NULL;
    char device[192];
    struct avvik_error error = {AVVIK_OK, 0, ""};
    ck_assert_msg(avvik__backend_opencl.open(NULL, &subject->plan, &state, device, sizeof device, &error) == AVVIK_OK,
                  "%s", error.text);
    return state;
}

static void *worker_make(void *state, size_t max_rows)
{
    void *worker = NULL;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    ck_assert_msg(avvik__backend_opencl.worker_create(state, max_rows, &worker, &error) == AVVIK_OK, "%s", error.text);
    return worker;
}

/* ---- Every walk over shapes, sizes and kinds of values ---- */

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
    const struct avvik_rows rows = {values, 2, 3, 1}, too_many = {values, 5, 0, 0};
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

/* ---- What a device gets ---- */

START_TEST(geometry_fits_the_device)
{
    static const uint32_t features[] = {1, 16, 64, 100, 1000}, trees[] = {1, 2, 17, 1000};
    static const cl_ulong local[] = {0, 1024, 16384, 32768, 49152, 65536};
    static const size_t groups[] = {1, 8, 96, 256, 1024};
    struct avvik__cl_geometry geometry;
    for (size_t i = 0; i < 5 * 4 * 6 * 5 * 9; i++) {
        const struct avvik__cl_device device = {
            .local_bytes = local[i / 20 % 6], .max_group = groups[i / 120 % 5], .float_width = 1};
        struct avvik__scoring_plan plan = {.n_features = features[i % 5]};
        plan.forest.n_trees = trees[i / 5 % 4];
        plan.forest.height = (uint32_t)(AVVIK_MIN_HEIGHT + i / 600);
        plan.is_wide = plan.n_features > AVVIK_PACKED_FEATURES;
        ck_assert_int_eq(avvik__cl_geometry_choose(&device, &plan, &geometry, NULL), AVVIK_OK);
        const uint64_t nodes = 1u << plan.forest.height, tree_bytes = nodes * (plan.is_wide ? 8 : 6);
        const uint64_t used =
            (geometry.has_local_rows ? 4ull * plan.n_features * geometry.group : 0) + geometry.tile_trees * tree_bytes;
        ck_assert_uint_le(used, device.local_bytes);
        ck_assert_uint_ge(geometry.group, 1);
        ck_assert_uint_le(geometry.group, device.max_group);
        ck_assert_uint_ge(geometry.in_flight, 1);
        ck_assert_uint_eq(geometry.tile_trees % geometry.in_flight, 0);
        ck_assert_int_eq(geometry.is_lanes, 0);
    }
    const struct avvik__cl_device gpu = {
        .local_bytes = 49152, .has_fast_local = 1, .max_group = 1024, .float_width = 1};
    const struct avvik__cl_device cpu = {.local_bytes = 2 << 20, .max_group = 4096, .float_width = 16};
    struct avvik__scoring_plan plan = {.n_features = 16};
    plan.forest.n_trees = 100;
    plan.forest.height = 8;
    ck_assert_int_eq(avvik__cl_geometry_choose(&gpu, &plan, &geometry, NULL), AVVIK_OK);
    ck_assert_uint_eq(geometry.group, 256);
    ck_assert_uint_eq(geometry.tile_trees, 20);
    ck_assert_int_eq(geometry.has_local_rows, 1);
    ck_assert_int_eq(avvik__cl_geometry_choose(&cpu, &plan, &geometry, NULL), AVVIK_OK);
    ck_assert_int_eq(geometry.is_lanes, 1);
    ck_assert_uint_eq(geometry.vector, 16);
    setenv("AVVIK_OPENCL_WALK", "lanes", 1);
    ck_assert_int_eq(avvik__cl_geometry_choose(&cpu, &plan, &geometry, NULL), AVVIK_ERR_BACKEND);
}
END_TEST

/* ---- The cache ---- */

/* The one file in the cache directory: its path, inode and key. */
static ino_t cache_file(const char *directory, char *path, size_t size, struct avvik__cl_cache_key *key)
{
    struct stat info = {0};
    int n_files = 0;
    DIR *entries = opendir(directory);
    ck_assert_ptr_nonnull(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        n_files++;
        snprintf(path, size, "%s/%s", directory, entry->d_name);
        for (int i = 0; i < 16; i++) {
            unsigned byte = 0;
            ck_assert_int_eq(sscanf(entry->d_name + 2 * i, "%2x", &byte), 1);
            key->bytes[i] = (uint8_t)byte;
        }
    }
    closedir(entries);
    ck_assert_int_eq(n_files, 1);
    ck_assert_int_eq(stat(path, &info), 0);
    return info.st_ino;
}

static void open_and_score(const struct subject *subject, const char *what)
{
    void *state = state_open(subject), *worker = worker_make(state, 100);
    rows_check(subject, worker, 100, DATA_MIXED, 0, what);
    avvik__backend_opencl.worker_free(worker);
    avvik__backend_opencl.close(state);
}

static void byte_flip(const char *path, off_t at)
{
    uint8_t byte = 0;
    const int fd = open(path, O_RDWR);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

START_TEST(cache_cold_warm_and_damaged)
{
    static const uint8_t garbage[333] = {0x7f, 'E', 'L', 'F'};
    char directory[] = "/tmp/avvik-test-XXXXXX", inner[64], path[512], hard_link[64];
    struct subject subject;
    struct avvik__cl_cache_key key;
    struct stat info;
    if (!has_device("cache_cold_warm_and_damaged"))
        return;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(inner, sizeof inner, "%s/a/b", directory);
    snprintf(hard_link, sizeof hard_link, "%s/kept", directory); /* keeps an inode from being used again */
    setenv("AVVIK_CACHE", inner, 1);
    setenv("AVVIK_OPENCL_WALK", "lanes:16", 1); /* one program, where a GPU's group size may take several */
    subject_init(&subject, 5, 4, 3, 0);
    open_and_score(&subject, "cold cache");
    ino_t inode = cache_file(inner, path, sizeof path, &key);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
    open_and_score(&subject, "warm cache");
    ck_assert_msg(cache_file(inner, path, sizeof path, &key) == inode, "a warm cache was written again");

    /* Each of these must be seen, compiled around, and replaced by a whole file. */
    for (int damage = 0; damage < 7; damage++) {
        ck_assert_int_eq(link(path, hard_link), 0);
        switch (damage) {
        case 0: byte_flip(path, 0); break;                /* magic */
        case 1: byte_flip(path, 9); break;                /* key */
        case 2: byte_flip(path, 30); break;               /* length */
        case 3: byte_flip(path, info.st_size / 2); break; /* payload */
        case 4: ck_assert_int_eq(truncate(path, info.st_size - 1), 0); break;
        case 5: ck_assert_int_eq(truncate(path, 0), 0); break;
        case 6: ck_assert_int_eq(chmod(path, 0666), 0); break; /* anyone may have written it */
        }
        open_and_score(&subject, "damaged cache");
        inode = info.st_ino;
        ck_assert_msg(cache_file(inner, path, sizeof path, &key) != inode, "damage %d was not repaired", damage);
        ck_assert_int_eq(stat(path, &info), 0);
        ck_assert_int_eq(unlink(hard_link), 0);
    }
    avvik__cl_cache_store(&key, garbage, sizeof garbage); /* whole, but no program: compiled silently */
    open_and_score(&subject, "garbage in the cache");
    size_t size = 0;
    uint8_t *stored = avvik__cl_cache_load(&key, &size);
    ck_assert_msg(stored != NULL && size != sizeof garbage, "garbage was not replaced");
    free(stored);
    avvik__cl_cache_remove(&key);
    rmdir(inner);
    snprintf(inner, sizeof inner, "%s/a", directory);
    rmdir(inner);
    ck_assert_int_eq(rmdir(directory), 0);
    subject_destroy(&subject);
}
END_TEST

START_TEST(cache_may_be_unwritable)
{
    struct subject subject;
    if (!has_device("cache_may_be_unwritable"))
        return;
    setenv("AVVIK_CACHE", "/dev/null/cache", 1);
    subject_init(&subject, 5, 4, 3, 0);
    open_and_score(&subject, "unwritable cache");
    unsetenv("AVVIK_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    open_and_score(&subject, "no place for a cache");
    subject_destroy(&subject);
}
END_TEST

/* ---- Devices and errors ---- */

START_TEST(unknown_devices_are_refused)
{
    static const char *const specs[] = {"", "0", "0.", "x", "0.0x", "-1.0", "99.0", "0.99", "0.0.0"};
    struct subject subject;
    if (!has_device("unknown_devices_are_refused"))
        return;
    subject_init(&subject, 1, 4, 1, 0);
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        void *state = NULL;
        char device[192];
        struct avvik_error error;
        ck_assert_int_eq(avvik__backend_opencl.open(specs[i], &subject.plan, &state, device, sizeof device, &error),
                         AVVIK_ERR_BACKEND);
        ck_assert_ptr_null(state);
        ck_assert_msg(strstr(error.text, "here: 0.0 (") != NULL, "the text names no device: %s", error.text);
    }
    subject_destroy(&subject);
}
END_TEST

START_TEST(devices_are_listed)
{
    struct avvik_device *devices = NULL;
    size_t n_devices = 0;
    if (!has_device("devices_are_listed"))
        return;
    ck_assert_int_eq(avvik__opencl_devices_list(&devices, &n_devices, NULL), AVVIK_OK);
    const size_t once = n_devices;
    ck_assert_uint_ge(once, 1);
    ck_assert_int_eq(avvik__opencl_devices_list(&devices, &n_devices, NULL), AVVIK_OK); /* appends */
    ck_assert_uint_eq(n_devices, 2 * once);
    ck_assert_str_eq(devices[0].backend, "opencl:0.0");
    ck_assert_ptr_nonnull(strstr(devices[0].name, "driver "));
    for (size_t i = 0; i < n_devices; i++)
        ck_assert_int_eq(devices[i].is_available, devices[i].reason[0] == '\0');
    free(devices);
}
END_TEST

/* ocl-icd reads its variable once, at the first call: hence a test, and a process, of its own. */
START_TEST(no_platform_is_a_sentence)
{
    struct subject subject;
    struct avvik_device *devices = NULL;
    size_t n_devices = 0;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    void *state = NULL;
    char device[192];
    setenv("OCL_ICD_VENDORS", "/nonexistent/", 1);
    setenv("OCL_ICD_FILENAMES", "", 1);
    subject_init(&subject, 1, 4, 1, 0);
    const enum avvik_status status =
        avvik__backend_opencl.open(NULL, &subject.plan, &state, device, sizeof device, &error);
    if (status == AVVIK_OK) { /* another loader */
        printf("SKIPPED no_platform_is_a_sentence: this ICD loader does not read OCL_ICD_VENDORS\n");
        avvik__backend_opencl.close(state);
    } else {
        ck_assert_int_eq(status, AVVIK_ERR_BACKEND);
        ck_assert_msg(strstr(error.text, "no OpenCL platform is installed") != NULL, "%s", error.text);
        ck_assert_int_eq(avvik__opencl_devices_list(&devices, &n_devices, NULL), AVVIK_OK);
        ck_assert_uint_eq(n_devices, 1);
        ck_assert_str_eq(devices[0].backend, "opencl");
        ck_assert_int_eq(devices[0].is_available, 0);
        ck_assert_msg(strstr(devices[0].reason, "pocl-opencl-icd") != NULL, "%s", devices[0].reason);
        free(devices);
    }
    subject_destroy(&subject);
}
END_TEST

START_TEST(pocl_without_a_cache_is_a_sentence)
{
    struct avvik__cl_devices devices;
    setenv("POCL_CACHE_DIR", "/dev/null/pocl", 1);
    ck_assert_int_eq(avvik__cl_devices_init(&devices, NULL), AVVIK_OK);
    ck_assert_uint_ge(devices.n_devices, 1);
    for (size_t i = 0; i < devices.n_devices; i++)
        if (strstr(devices.devices[i].platform_name, "Portable Computing Language") != NULL)
            ck_assert_msg(strstr(devices.devices[i].reason, "POCL_CACHE_DIR") != NULL, "%s", devices.devices[i].reason);
    avvik__cl_devices_destroy(&devices);
}
END_TEST

START_TEST(codes_have_names)
{
    struct avvik_error error;
    ck_assert_int_eq(avvik__cl_check(CL_SUCCESS, "clFinish", NULL, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik__cl_check(CL_OUT_OF_RESOURCES, "clFinish", "a device", &error), AVVIK_ERR_BACKEND);
    ck_assert_str_eq(error.text, "OpenCL: clFinish failed with CL_OUT_OF_RESOURCES (-5) on a device");
    ck_assert_int_eq(error.foreign_code, CL_OUT_OF_RESOURCES);
}
END_TEST

/* Without arguments all tests; with FEATURES HEIGHT TREES WIDE that one shape. */
int main(int n_arguments, char **arguments)
{
    Suite *suite = suite_create("opencl");
    TCase *equal = tcase_create("equal to scalar"), *cache = tcase_create("cache"), *devices = tcase_create("devices");
    SRunner *runner = srunner_create(suite);
    suite_add_tcase(suite, equal);
    if (n_arguments == 5) {
        single_shape = (struct shape){(uint32_t)atoi(arguments[1]), (uint32_t)atoi(arguments[2]),
                                      (uint32_t)atoi(arguments[3]), atoi(arguments[4])};
        srunner_set_fork_status(runner, CK_NOFORK);
        tcase_add_test(equal, once_equals_scalar);
    } else {
        suite_add_tcase(suite, cache);
        suite_add_tcase(suite, devices);
        tcase_set_timeout(equal, 120);
        tcase_set_timeout(cache, 120);
        tcase_add_loop_test(equal, walks_equal_scalar, 0, 2 * N_SHAPES + N_OTHER_CASES);
        tcase_add_test(equal, deviation_at_the_edges);
        tcase_add_loop_test(equal, many_rows_equal_scalar, 0, 2);
        tcase_add_test(equal, two_workers_in_two_threads);
        tcase_add_test(equal, counts_may_be_null_and_are_added_to);
        tcase_add_test(cache, cache_cold_warm_and_damaged);
        tcase_add_test(cache, cache_may_be_unwritable);
        tcase_add_test(devices, geometry_fits_the_device);
        tcase_add_test(devices, unknown_devices_are_refused);
        tcase_add_test(devices, devices_are_listed);
        tcase_add_test(devices, no_platform_is_a_sentence);
        tcase_add_test(devices, pocl_without_a_cache_is_a_sentence);
        tcase_add_test(devices, codes_have_names);
    }
    srunner_run_all(runner, CK_NORMAL);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}

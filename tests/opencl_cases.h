/* What the OpenCL tests score, and the comparison with the scalar kernels. */
#ifndef OPENCL_CASES_H
#define OPENCL_CASES_H

#include <check.h>
#include <stdio.h>

#include "avvik_internal.h"
#include "backend.h"
#include "forest_layout.h"
#include "kernel_cases.h"
#include "opencl_program.h"

static inline int is_expected(void)
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
static inline int has_device(const char *test)
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
    struct avvik__tail_table *tails; /* NULL: none */
    uint32_t joint_of[3];            /* the first and the last group have tables of their own */
};

/* The same splits as wide nodes: a forest over few features may be wide too. */
static inline void forest_widen(struct avvik__forest *forest)
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

static inline void subject_init(struct subject *subject, uint32_t n_features, uint32_t height, uint32_t n_trees,
                                int is_wide)
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
    const uint32_t n_groups = 1 + (n_features + n_trees) % 3;
    const size_t table = n_groups * stride;
    const int has_joint = n_features <= AVVIK_JOINT_FEATURES && n_features % 7 != 0;
    const uint32_t n_joint = !has_joint ? 0 : n_groups == 1 ? 1 : 2;
    const size_t joint_table = has_joint ? AVVIK_JOINT_TABLE(stride, n_features) : 0;
    subject->parameters = avvik__aligned_calloc(2 * table + stride + n_joint * joint_table, sizeof(float));
    float *joint = subject->parameters + 2 * table + stride;
    for (size_t i = 0; i < table; i++) {
        const size_t f = i % stride;
        if (f >= n_features)
            continue;
        subject->parameters[i] = f % 4 == 3 ? 0 : random_float(&state);
        subject->parameters[table + i] = f % 5 == 4 ? 0 : (float)(random_uniform(&state) * 2);
        subject->parameters[2 * table + f] = random_float(&state);
    }
    for (uint32_t k = 0; k < n_joint; k++) {
        float *center = joint + k * joint_table, *rscale = center + stride, *mean = rscale + stride;
        memcpy(center, subject->parameters + (k == 0 ? 0 : n_groups - 1) * stride, stride * sizeof *center);
        memcpy(rscale, subject->parameters + table + (k == 0 ? 0 : n_groups - 1) * stride, stride * sizeof *rscale);
        for (size_t f = 0; f < n_features; f++) {
            mean[f] = rintf(random_float(&state) * 0x1p22f);
            for (size_t i = f; i < n_features; i++)
                mean[stride + AVVIK_JOINT_AT(i, f)] = (i + f) % 11 == 3 ? 0 : random_float(&state) * 0x1p-23f;
        }
    }
    subject->tails = n_features % 3 == 0 ? NULL : avvik__aligned_calloc(n_features, sizeof *subject->tails);
    for (size_t f = 0; f < n_features && subject->tails != NULL; f++) {
        float values[200];
        const size_t n = 1 + random_next(&state) % 200;
        const struct avvik__tail_quantiles few = random_quantiles(values, n, DATA_TIES, &state);
        const struct avvik__tail_quantiles all = all_quantiles(DATA_RANDOM, &state);
        if (f % 2 == 0)
            avvik__tail_layout(&few, n, f % 5 == 4 ? 0 : 1, &subject->tails[f]);
        else
            avvik__tail_layout(&all, MANY_VALUES, 1, &subject->tails[f]);
    }
    for (uint32_t g = 0; g < n_groups; g++)
        subject->joint_of[g] = n_joint > 1 && g == n_groups - 1 ? 1 : 0;
    subject->plan = (struct avvik__scoring_plan){.n_features = n_features,
                                                 .stride = stride,
                                                 .n_groups = n_groups,
                                                 .center = subject->parameters,
                                                 .rscale = subject->parameters + table,
                                                 .fill = subject->parameters + 2 * table,
                                                 .n_joint = n_joint,
                                                 .joint = joint,
                                                 .joint_of = subject->joint_of,
                                                 .tails = subject->tails,
                                                 .forest = subject->layout.view,
                                                 .is_wide = subject->forest.nodes == NULL};
}

static inline void subject_destroy(struct subject *subject)
{
    avvik__forest_layout_destroy(&subject->layout);
    avvik__forest_destroy(&subject->forest);
    free(subject->parameters);
    free(subject->tails);
}

struct results {
    size_t n_rows, n_features;
    int32_t *path_sum, *tails;
    float *deviation, *joint;
    uint16_t *feature, *beyond, *missing;
    uint64_t *column_missing, *column_infinite;
};

static inline struct results results_create(size_t n_rows, size_t n_features)
{
    const struct results results = {n_rows,
                                    n_features,
                                    calloc(n_rows, sizeof(int32_t)),
                                    calloc(n_rows, sizeof(int32_t)),
                                    calloc(n_rows, sizeof(float)),
                                    calloc(n_rows, sizeof(float)),
                                    calloc(n_rows, sizeof(uint16_t)),
                                    calloc(n_rows, sizeof(uint16_t)),
                                    calloc(n_rows, sizeof(uint16_t)),
                                    calloc(n_features, sizeof(uint64_t)),
                                    calloc(n_features, sizeof(uint64_t))};
    memset(results.path_sum, 0x5a, n_rows * sizeof *results.path_sum); /* what nobody wrote shows */
    memset(results.tails, 0x5a, n_rows * sizeof *results.tails);
    memset(results.joint, 0x5a, n_rows * sizeof *results.joint);
    memset(results.missing, 0x5a, n_rows * sizeof *results.missing);
    return results;
}

static inline void results_free(struct results *results)
{
    free(results->path_sum);
    free(results->tails);
    free(results->deviation);
    free(results->joint);
    free(results->feature);
    free(results->beyond);
    free(results->missing);
    free(results->column_missing);
    free(results->column_infinite);
}

static inline struct avvik_scores results_view(const struct results *results)
{
    return (struct avvik_scores){results->path_sum,        results->deviation, results->feature,
                                 results->beyond,          results->missing,   results->column_missing,
                                 results->column_infinite, results->joint,     results->tails};
}

static inline void scalar_score(const struct avvik__scoring_plan *plan, const struct avvik_rows *rows,
                                struct results *out)
{
    float *tile = avvik__aligned_calloc(rows->n_rows * plan->stride, sizeof *tile);
    avvik__tile_pack_scalar(tile, plan->stride, rows->values, rows->n_rows, plan->n_features, rows->row_stride,
                            rows->column_stride, out->column_missing, out->column_infinite);
    uint32_t *tables = calloc(rows->n_rows, sizeof *tables);
    for (size_t r = 0; r < rows->n_rows && rows->groups != NULL; r++)
        tables[r] = plan->joint_of[rows->groups[r]];
    memset(out->joint, 0, rows->n_rows * sizeof *out->joint);
    if (plan->n_joint > 0)
        avvik__joint_peers_scalar(out->joint, tile, plan->stride, rows->n_rows, plan->n_features, tables, plan->joint);
    free(tables);
    if (rows->groups != NULL)
        avvik__deviation_peers_scalar(out->deviation, out->feature, out->beyond, tile, plan->stride, rows->n_rows,
                                      plan->n_features, rows->groups, plan->center, plan->rscale, AVVIK_DEVIATION_CUT);
    else
        avvik__deviation_scalar(out->deviation, out->feature, out->beyond, tile, plan->stride, rows->n_rows,
                                plan->n_features, plan->center, plan->rscale, AVVIK_DEVIATION_CUT);
    if (plan->tails != NULL)
        avvik__tails_scalar(out->tails, tile, plan->stride, rows->n_rows, plan->n_features, plan->tails);
    else
        memset(out->tails, 0, rows->n_rows * sizeof *out->tails);
    avvik__fill_missing_scalar(tile, plan->stride, rows->n_rows, plan->n_features, plan->fill, out->missing);
    (plan->is_wide ? avvik__forest_path_wide_scalar : avvik__forest_path_scalar)(out->path_sum, tile, plan->stride,
                                                                                 rows->n_rows, &plan->forest);
    free(tile);
}

static inline uint32_t bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline void results_compare(const struct results *want, const struct results *got, const char *what)
{
    for (size_t r = 0; r < want->n_rows; r++) {
        const struct {
            const char *name;
            uint32_t want, got;
        } pairs[] = {{"path_sum", (uint32_t)want->path_sum[r], (uint32_t)got->path_sum[r]},
                     {"tails", (uint32_t)want->tails[r], (uint32_t)got->tails[r]},
                     {"joint", bits_of_float(want->joint[r]), bits_of_float(got->joint[r])},
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
static inline float *values_make(const struct subject *subject, size_t n_rows, enum data_kind kind)
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
static inline void rows_check(const struct subject *subject, void *worker, size_t n_rows, enum data_kind kind,
                              int is_column_major, const char *what)
{
    const size_t n_features = subject->plan.n_features;
    float *values = values_make(subject, n_rows, kind);
    uint32_t *groups = malloc(n_rows * sizeof *groups);
    for (size_t r = 0; r < n_rows; r++)
        groups[r] = (uint32_t)(r * 7 + r / 3) % subject->plan.n_groups;
    const struct avvik_rows rows = {values, n_rows, is_column_major ? 1 : n_features, is_column_major ? n_rows : 1,
                                    subject->plan.n_groups > 1 && kind != DATA_TIES ? groups : NULL};
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
    free(groups);
}

static inline void *state_open(const struct subject *subject)
{
    void *state = NULL;
    char device[192];
    struct avvik_error error = {AVVIK_OK, 0, ""};
    ck_assert_msg(avvik__backend_opencl.open(NULL, &subject->plan, &state, device, sizeof device, &error) == AVVIK_OK,
                  "%s", error.text);
    return state;
}

static inline void *worker_make(void *state, size_t max_rows)
{
    void *worker = NULL;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    ck_assert_msg(avvik__backend_opencl.worker_create(state, max_rows, &worker, &error) == AVVIK_OK, "%s", error.text);
    return worker;
}

/* ---- Every walk over shapes, sizes and kinds of values ---- */

#endif

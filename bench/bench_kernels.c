/* Every kernel variant, timed in turns with the others and checked against the scalar one first. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "bench.h"
#include "bench_random.h"
#include "forest_layout.h"
#include "kernels.h"
#include "leaf_reasons.h"
#include "tails.h"

typedef void any_fn(void);

static const struct variant {
    const char *kernel, *name;
    any_fn *function;
    unsigned cpu_bits;
} variants[] = {
#define AVVIK_KERNEL(kernel, variant, bits) {#kernel, #variant, (any_fn *)avvik__##kernel##_##variant, bits},
#include "kernels.def"
};
#define N_VARIANTS (sizeof variants / sizeof variants[0])

#define N_GROUPS ((size_t)1000)     /* of peers */
#define MAX_WALKS ((size_t)1 << 26) /* rows x trees of one run, a second of the scalar walk */
static const struct bench_list default_rows = {3, {65536, 4096, 2097152}}, quick_rows = {1, {8192}};

/* Inputs and outputs of all kernels at one shape. */
struct work {
    const struct bench_shape *shape;
    size_t n_rows, n_features, stride;
    float *columns; /* n_features columns side by side, 1 value in 128 NaN */
    float *tile;    /* the same rows without NaN */
    float *out_tile;
    float *mean, *rscale;
    uint32_t *group;                    /* of each row */
    float *group_center, *group_rscale; /* [group][stride] */
    struct avvik__tail_table *tables;   /* [feature] */
    float *joint_tables;                /* [group]: of the joint deviation; NULL for too many features */
    double (*sums)[AVVIK_SUMS_ROWS];    /* [feature]: some rows of a group, in steps; NULL likewise */
    struct avvik__forest_layout layout;
    int32_t *expected, *leaf_reasons; /* of that forest */

    int32_t *path_sum, *tails;
    int64_t *contributions; /* [row][stride] */
    float *deviation, *joint;
    uint16_t *feature, *beyond;
    uint64_t *counts;
    struct avvik__moments *moments;    /* [feature][block] */
    struct avvik__sift_counts *sifted; /* [feature] */
    size_t n_kept;
};

static size_t n_blocks(const struct work *w)
{
    return (w->n_rows + AVVIK_STATISTICS_ROWS - 1) / AVVIK_STATISTICS_ROWS;
}

static void work_destroy(struct work *w)
{
    void *const owned[] = {w->columns,  w->tile,         w->out_tile,      w->mean,         w->rscale,
                           w->path_sum, w->deviation,    w->feature,       w->beyond,       w->counts,
                           w->moments,  w->sifted,       w->group,         w->group_center, w->group_rscale,
                           w->expected, w->leaf_reasons, w->contributions, w->joint,        w->tables,
                           w->tails,    w->joint_tables, w->sums};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free(owned[i]);
    avvik__forest_layout_destroy(&w->layout);
}

/* A forest grown from the tile's rows, in the order the kernels want. */
static int layout_make(struct work *w, uint64_t seed)
{
    int is_made = 0;
    const uint32_t sample = (uint32_t)w->shape->sample;
    struct avvik__forest forest = {.n_trees = (uint32_t)w->shape->trees,
                                   .sample = sample,
                                   .height = avvik__forest_height(sample),
                                   .n_features = (uint32_t)w->n_features,
                                   .average_path = avvik__average_path(sample)};
    uint32_t *scratch = malloc(sample * sizeof *scratch);
    if (scratch == NULL || avvik__forest_init(&forest, NULL) != AVVIK_OK)
        goto done;
    for (uint32_t tree = 0; tree < forest.n_trees; tree++) {
        const size_t first = tree * (size_t)sample % (w->n_rows - sample + 1);
        avvik__forest_grow(&forest, tree, w->tile + first * w->stride, w->stride, seed, scratch);
    }
    w->contributions = avvik__aligned_calloc(w->n_rows * w->stride, sizeof *w->contributions);
    w->leaf_reasons = avvik__leaf_reasons_make(&forest, w->stride); /* none for a wide forest */
    w->expected = forest.expected;
    forest.expected = NULL;
    is_made = w->contributions != NULL && avvik__forest_layout_init(&w->layout, &forest, NULL) == AVVIK_OK;
done:
    avvik__forest_destroy(&forest);
    free(scratch);
    return is_made;
}

/* All thresholds that there can be, closer together towards the ends. */
static void tables_make(struct work *w)
{
    static struct avvik__tail_quantiles quantiles;
    const uint64_t n = UINT64_C(1) << 40;
    uint64_t places[AVVIK_TAIL_QUANTILES];
    quantiles.n_quantiles = avvik__tail_places(n, places);
    for (uint32_t i = 0; i < quantiles.n_quantiles; i++) {
        const double share = (double)places[i] / (double)(n + 1);
        quantiles.value[i] = (float)(log(share / (1 - share)) / 4);
        quantiles.below[i] = places[i] - 1;
        quantiles.at_most[i] = places[i];
    }
    for (size_t f = 0; f < w->n_features; f++)
        avvik__tail_layout(&quantiles, n, 1, &w->tables[f]);
}

/* A factor that is 1 on and 1/2 below the diagonal, for each group. */
static int joint_tables_make(struct work *w)
{
    const size_t size = AVVIK_JOINT_TABLE(w->stride, w->n_features);
    if (w->n_features > AVVIK_JOINT_FEATURES)
        return 1;
    w->joint_tables = avvik__aligned_calloc(N_GROUPS * size, sizeof(float));
    w->sums = avvik__aligned_calloc(w->n_features, sizeof *w->sums);
    if (w->joint_tables == NULL || w->sums == NULL)
        return 0;
    for (size_t g = 0; g < N_GROUPS; g++) {
        float *table = w->joint_tables + g * size;
        memcpy(table, w->group_center + g * w->stride, w->stride * sizeof *table);
        memcpy(table + w->stride, w->group_rscale + g * w->stride, w->stride * sizeof *table);
        for (size_t i = 0; i < w->n_features; i++)
            for (size_t j = 0; j <= i; j++)
                table[3 * w->stride + AVVIK_JOINT_AT(i, j)] = i == j ? 1.0f : 0.5f;
    }
    return 1;
}

static int work_init(struct work *w, const struct bench_shape *shape, uint64_t seed)
{
    const size_t n_rows = shape->rows, n_features = shape->features;
    const size_t stride = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    *w = (struct work){.shape = shape, .n_rows = n_rows, .n_features = n_features, .stride = stride};
    w->columns = avvik__aligned_alloc(n_rows * n_features, sizeof(float));
    w->tile = avvik__aligned_calloc(n_rows * stride, sizeof(float));
    w->out_tile = avvik__aligned_calloc(n_rows * stride + AVVIK_LANES, sizeof(float)); /* sift writes whole vectors */
    w->mean = avvik__aligned_calloc(stride, sizeof(float));
    w->rscale = avvik__aligned_calloc(stride, sizeof(float));
    w->group = avvik__aligned_calloc(n_rows, sizeof *w->group);
    w->group_center = avvik__aligned_calloc(N_GROUPS * stride, sizeof(float));
    w->group_rscale = avvik__aligned_calloc(N_GROUPS * stride, sizeof(float));
    w->path_sum = avvik__aligned_calloc(n_rows, sizeof(int32_t));
    w->deviation = avvik__aligned_calloc(n_rows, sizeof(float));
    w->joint = avvik__aligned_calloc(n_rows, sizeof(float));
    w->tails = avvik__aligned_calloc(n_rows, sizeof *w->tails);
    w->tables = avvik__aligned_calloc(n_features, sizeof *w->tables);
    w->feature = avvik__aligned_calloc(n_rows, sizeof(uint16_t));
    w->beyond = avvik__aligned_calloc(n_rows, sizeof(uint16_t));
    w->counts = avvik__aligned_calloc(2 * n_features, sizeof(uint64_t));
    w->moments = avvik__aligned_calloc(n_features * n_blocks(w), sizeof *w->moments);
    w->sifted = avvik__aligned_calloc(n_features, sizeof *w->sifted);
    if (w->columns == NULL || w->tile == NULL || w->out_tile == NULL || w->mean == NULL || w->rscale == NULL ||
        w->path_sum == NULL || w->deviation == NULL || w->feature == NULL || w->beyond == NULL || w->counts == NULL ||
        w->moments == NULL || w->sifted == NULL || w->group == NULL || w->group_center == NULL ||
        w->group_rscale == NULL || w->joint == NULL || w->tails == NULL || w->tables == NULL)
        return 0;
    for (size_t r = 0; r < n_rows; r++)
        w->group[r] = (uint32_t)(r * 2654435761u % 4294967296u >> 22) % N_GROUPS;
    for (size_t i = 0; i < N_GROUPS * n_features; i++) {
        w->group_center[i / n_features * stride + i % n_features] = (float)(i % 97) / 64;
        w->group_rscale[i / n_features * stride + i % n_features] = 1.0f;
    }
    if (!joint_tables_make(w))
        return 0;
    for (size_t f = 0; f < n_features; f++) {
        w->mean[f] = (float)f / 64;
        w->rscale[f] = 1.0f;
        for (size_t r = 0; r < n_rows; r++) {
            const float x = (float)bench_value(seed, r, f);
            w->columns[f * n_rows + r] = x;
            w->tile[r * stride + f] = isnan(x) ? 0 : x;
        }
    }
    tables_make(w);
    return 1;
}

/* --- one run of each kernel, and what it read, wrote and left behind --- */

#define N_OUTPUTS 4 /* at most */

struct trace {
    double bytes;
    const void *output[N_OUTPUTS];
    size_t output_bytes[N_OUTPUTS];
};

static void run_tile_pack(any_fn *f, struct work *w)
{
    memset(w->counts, 0, 2 * w->n_features * sizeof *w->counts);
    ((avvik__tile_pack_fn *)f)(w->out_tile, w->stride, w->columns, w->n_rows, w->n_features, 1, w->n_rows, w->counts,
                               w->counts + w->n_features);
}

static struct trace trace_tile_pack(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * (w->n_features + w->stride) * sizeof(float)),
                          {w->out_tile, w->counts},
                          {w->n_rows * w->stride * sizeof(float), 2 * w->n_features * sizeof *w->counts}};
}

static void run_deviation(any_fn *f, struct work *w)
{
    ((avvik__deviation_fn *)f)(w->deviation, w->feature, w->beyond, w->tile, w->stride, w->n_rows, w->n_features,
                               w->mean, w->rscale, 3.5f);
}

static struct trace trace_deviation(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * (w->stride * sizeof(float) + 8)),
                          {w->deviation, w->feature, w->beyond},
                          {w->n_rows * sizeof(float), w->n_rows * sizeof(uint16_t), w->n_rows * sizeof(uint16_t)}};
}

/* Each row among one of N_GROUPS groups, at random as a file has them. */
static void run_deviation_peers(any_fn *f, struct work *w)
{
    ((avvik__deviation_peers_fn *)f)(w->deviation, w->feature, w->beyond, w->tile, w->stride, w->n_rows, w->n_features,
                                     w->group, w->group_center, w->group_rscale, 3.5f);
}

static void run_fill_missing(any_fn *f, struct work *w)
{
    ((avvik__fill_missing_fn *)f)(w->tile, w->stride, w->n_rows, w->n_features, w->mean, w->feature);
}

static struct trace trace_fill_missing(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * (w->stride * sizeof(float) + 2)),
                          {w->tile, w->feature},
                          {w->n_rows * w->stride * sizeof(float), w->n_rows * sizeof(uint16_t)}};
}

static void run_statistics(any_fn *f, struct work *w)
{
    for (size_t column = 0; column < w->n_features; column++) {
        for (size_t block = 0; block < n_blocks(w); block++) {
            const size_t first = block * AVVIK_STATISTICS_ROWS, left = w->n_rows - first;
            ((avvik__statistics_fn *)f)(&w->moments[column * n_blocks(w) + block],
                                        w->columns + column * w->n_rows + first,
                                        left < AVVIK_STATISTICS_ROWS ? left : AVVIK_STATISTICS_ROWS);
        }
    }
}

static struct trace trace_statistics(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * w->n_features * sizeof(float)),
                          {w->moments},
                          {w->n_features * n_blocks(w) * sizeof *w->moments}};
}

/* Windows that keep one value in twenty of a normal column, as those do that a fit narrows from its sample. */
static void run_sift(any_fn *f, struct work *w)
{
    const struct avvik__sieve sieve = {-0.70f, -0.65f, -0.03f, 0.03f, 0.65f, 0.70f, NAN};
    memset(w->sifted, 0, w->n_features * sizeof *w->sifted);
    w->n_kept = 0;
    for (size_t column = 0; column < w->n_features; column++)
        for (size_t first = 0; first < w->n_rows; first += AVVIK_STATISTICS_ROWS) {
            const size_t left = w->n_rows - first;
            w->n_kept += ((avvik__sift_fn *)f)(w->out_tile + w->n_kept, &w->sifted[column],
                                               w->columns + column * w->n_rows + first,
                                               left < AVVIK_STATISTICS_ROWS ? left : AVVIK_STATISTICS_ROWS, &sieve);
        }
}

static struct trace trace_sift(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * w->n_features * sizeof(float)),
                          {w->sifted, w->out_tile},
                          {w->n_features * sizeof *w->sifted, w->n_kept * sizeof(float)}};
}

/* A window that keeps one value in four, as the first one of a group's does. */
static void run_narrow(any_fn *f, struct work *w)
{
    size_t below = 0;
    w->n_kept = 0;
    for (size_t column = 0; column < w->n_features; column++)
        for (size_t first = 0; first < w->n_rows; first += AVVIK_STATISTICS_ROWS) {
            const size_t left = w->n_rows - first;
            w->n_kept += ((avvik__narrow_fn *)f)(
                w->out_tile + w->n_kept, &below, w->columns + column * w->n_rows + first,
                left < AVVIK_STATISTICS_ROWS ? left : AVVIK_STATISTICS_ROWS, 0, 0, -0.32f, 0.32f);
        }
}

static struct trace trace_narrow(const struct work *w)
{
    return (struct trace){
        (double)(w->n_rows * w->n_features * sizeof(float)), {w->out_tile}, {w->n_kept * sizeof(float)}};
}

/* Rows of a piece to 256 buckets, whose number the row's group gives, as a fit with peer groups deals them out. */
static void run_deal(any_fn *f, struct work *w)
{
    enum { BUCKETS = 256, PIECE = AVVIK_STATISTICS_ROWS };
    static uint16_t order[PIECE + AVVIK_LANES];
    static uint32_t places[BUCKETS];
    for (size_t first = 0; first < w->n_rows; first += PIECE) {
        const size_t left = w->n_rows - first, n = left < PIECE ? left : PIECE;
        uint32_t starts[BUCKETS + 1] = {0}, next[BUCKETS];
        for (size_t i = 0; i < n; i++)
            starts[w->group[first + i] % BUCKETS + 1]++;
        for (size_t b = 0; b < BUCKETS; b++) {
            starts[b + 1] += starts[b];
            next[b] = starts[b];
            places[b] = starts[b];
        }
        for (size_t i = 0; i < n; i++)
            order[next[w->group[first + i] % BUCKETS]++] = (uint16_t)i;
        for (size_t column = 0; column < w->n_features; column++)
            ((avvik__deal_fn *)f)(w->out_tile + column * w->n_rows + first, w->columns + column * w->n_rows + first,
                                  order, starts, places, BUCKETS);
    }
}

static struct trace trace_deal(const struct work *w)
{
    const size_t bytes = w->n_rows * w->n_features * sizeof(float);
    return (struct trace){(double)(2 * bytes), {w->out_tile}, {bytes}};
}

static void run_deviation_joint(any_fn *f, struct work *w)
{
    ((avvik__deviation_joint_fn *)f)(w->deviation, w->feature, w->beyond, w->joint, w->tile, w->stride, w->n_rows,
                                     w->n_features, w->mean, w->rscale, 3.5f, w->mean, w->joint_tables + 3 * w->stride);
}

static void run_joint_peers(any_fn *f, struct work *w)
{
    ((avvik__joint_peers_fn *)f)(w->joint, w->tile, w->stride, w->n_rows, w->n_features, w->group, w->joint_tables);
}

static struct trace trace_joint_peers(const struct work *w)
{
    return (struct trace){
        (double)(w->n_rows * (w->stride + 2) * sizeof(float)), {w->joint}, {w->n_rows * sizeof(float)}};
}

static struct trace trace_deviation_joint(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * (w->stride * sizeof(float) + 12)),
                          {w->deviation, w->feature, w->beyond, w->joint},
                          {w->n_rows * sizeof(float), w->n_rows * sizeof(uint16_t), w->n_rows * sizeof(uint16_t),
                           w->n_rows * sizeof(float)}};
}

static void run_tails(any_fn *f, struct work *w)
{
    ((avvik__tails_fn *)f)(w->tails, w->tile, w->stride, w->n_rows, w->n_features, w->tables);
}

static struct trace trace_tails(const struct work *w)
{
    return (struct trace){
        (double)(w->n_rows * (w->stride + 1) * sizeof(float)), {w->tails}, {w->n_rows * sizeof(int32_t)}};
}

/* As many rows at a time as are multiplied. */
static void run_joint_logs(any_fn *f, struct work *w)
{
    for (size_t first = 0; first + AVVIK_SUMS_ROWS <= w->n_rows; first += AVVIK_SUMS_ROWS)
        for (size_t column = 0; column < w->n_features; column++)
            ((avvik__joint_logs_fn *)f)(w->sums[column], w->columns + column * w->n_rows + first, AVVIK_SUMS_ROWS,
                                        w->mean[column], w->rscale[column]);
}

static struct trace trace_joint_logs(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * w->n_features * 12), {w->sums}, {w->n_features * sizeof *w->sums}};
}

static void run_forest_path(any_fn *f, struct work *w)
{
    ((avvik__forest_path_fn *)f)(w->path_sum, w->tile, w->stride, w->n_rows, &w->layout.view);
}

static struct trace trace_forest_path(const struct work *w)
{
    return (struct trace){
        (double)(w->n_rows * (w->stride + 1) * sizeof(float)), {w->path_sum}, {w->n_rows * sizeof(int32_t)}};
}

static void run_forest_reasons(any_fn *f, struct work *w)
{
    const struct avvik__reasons_view view = {&w->layout.view, w->expected, w->stride, w->leaf_reasons};
    ((avvik__forest_reasons_fn *)f)(w->contributions, w->tile, w->stride, w->n_rows, &view);
}

static struct trace trace_forest_reasons(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * w->stride * (sizeof(float) + sizeof(int64_t))),
                          {w->contributions},
                          {w->n_rows * w->stride * sizeof(int64_t)}};
}

static const struct job {
    const char *kernel;
    void (*run)(any_fn *function, struct work *w);
    struct trace (*trace)(const struct work *w);
    enum bench_limit limit; /* BENCH_GATHER: it walks a forest */
} jobs[] = {
    {"tile_pack", run_tile_pack, trace_tile_pack, BENCH_COPY},
    {"fill_missing", run_fill_missing, trace_fill_missing, BENCH_READ},
    {"deviation", run_deviation, trace_deviation, BENCH_READ},
    {"deviation_joint", run_deviation_joint, trace_deviation_joint, BENCH_READ},
    {"tails", run_tails, trace_tails, BENCH_READ},
    {"deviation_peers", run_deviation_peers, trace_deviation, BENCH_READ},
    {"joint_peers", run_joint_peers, trace_joint_peers, BENCH_READ},
    {"joint_logs", run_joint_logs, trace_joint_logs, BENCH_READ},
    {"statistics", run_statistics, trace_statistics, BENCH_READ},
    {"sift", run_sift, trace_sift, BENCH_READ},
    {"narrow", run_narrow, trace_narrow, BENCH_READ},
    {"deal", run_deal, trace_deal, BENCH_COPY},
    {"forest_path", run_forest_path, trace_forest_path, BENCH_GATHER},
    {"forest_path_wide", run_forest_path, trace_forest_path, BENCH_GATHER},
    {"forest_reasons", run_forest_reasons, trace_forest_reasons, BENCH_GATHER},
};

/* --- timing --- */

/* A copy of what the last run left behind, or a comparison with such a copy. */
static unsigned char *output_copy(const struct trace *trace)
{
    size_t bytes = 0;
    for (int i = 0; i < N_OUTPUTS; i++)
        bytes += trace->output_bytes[i];
    unsigned char *copy = malloc(bytes), *to = copy;
    for (int i = 0; copy != NULL && i < N_OUTPUTS && trace->output[i] != NULL; to += trace->output_bytes[i++])
        memcpy(to, trace->output[i], trace->output_bytes[i]);
    return copy;
}

static int output_equals(const struct trace *trace, const unsigned char *copy)
{
    for (int i = 0; i < N_OUTPUTS && trace->output[i] != NULL; copy += trace->output_bytes[i++])
        if (memcmp(copy, trace->output[i], trace->output_bytes[i]) != 0)
            return 0;
    return 1;
}

static int can_run(const struct variant *variant, const struct job *job)
{
    return strcmp(variant->kernel, job->kernel) == 0 && (variant->cpu_bits & ~avvik__cpu_features()) == 0;
}

struct variant_run {
    const struct job *job;
    any_fn *function;
    struct work *work;
};

static int variant_time(void *context)
{
    const struct variant_run *run = context;
    run->job->run(run->function, run->work);
    return 1;
}

/* Run `variant` once and compare what it leaves behind with *expected; the scalar one, which comes first, makes
 * *expected. This warms caches, too. */
static enum bench_exit variant_check(const struct variant *variant, const struct job *job, struct work *w,
                                     struct trace *trace, unsigned char **expected)
{
    job->run(variant->function, w);
    *trace = job->trace(w);
    if (variant->cpu_bits == 0 && (*expected = output_copy(trace)) == NULL)
        return bench_fail(BENCH_FAILED, "not enough memory");
    if (output_equals(trace, *expected))
        return BENCH_DONE;
    return bench_fail(BENCH_DIFFERS, "%s %s differs from the scalar reference at %zu features, %zu trees of %zu rows",
                      variant->kernel, variant->name, w->n_features, w->shape->trees, w->shape->sample);
}

/* All variants of one kernel. */
static enum bench_exit job_time(const struct job *job, struct work *w, const struct bench_options *options,
                                struct bench_results *results)
{
    enum bench_exit status = BENCH_DONE;
    struct bench_turn turns[N_VARIANTS];
    struct variant_run runs[N_VARIANTS];
    struct trace trace;
    size_t n_turns = 0;
    unsigned char *expected = NULL;
    struct bench_result like = {.name = job->kernel,
                                .features = w->n_features,
                                .rows = w->n_rows,
                                .threads = 1,
                                .layout = "",
                                .types = "",
                                .limit = job->limit};
    if (job->limit == BENCH_GATHER) {
        like.trees = w->shape->trees;
        like.sample = w->shape->sample;
        like.height = w->layout.view.height;
    }
    for (size_t i = 0; i < N_VARIANTS && status == BENCH_DONE; i++) {
        if (!can_run(&variants[i], job) || (status = variant_check(&variants[i], job, w, &trace, &expected)))
            continue;
        like.bytes = trace.bytes;
        strcpy(like.variant, variants[i].name);
        runs[n_turns] = (struct variant_run){job, variants[i].function, w};
        turns[n_turns] = (struct bench_turn){
            .result = bench_results_add(results, &like), .run = variant_time, .context = &runs[n_turns]};
        if (turns[n_turns++].result == NULL)
            status = bench_fail(BENCH_FAILED, "not enough memory");
    }
    if (status == BENCH_DONE && !bench_take_turns(turns, n_turns, options))
        status = bench_fail(BENCH_FAILED, "not enough memory");
    for (size_t i = 0; i < n_turns && status == BENCH_DONE; i++)
        bench_ratio_add(turns[i].result, "scalar", turns[0].result);
    free(expected);
    return status;
}

/* Was the kernel measured at this shape? Those without a forest know rows and features only. */
static int is_known(const struct bench_results *results, const struct job *job, const struct bench_shape *shape)
{
    const int has_forest = job->limit == BENCH_GATHER;
    for (size_t i = 0; i < results->n; i++) {
        const struct bench_result *r = results->result[i];
        if (strcmp(r->name, job->kernel) == 0 && r->features == shape->features && r->rows == shape->rows &&
            (!has_forest || (r->trees == shape->trees && r->sample == shape->sample)))
            return 1;
    }
    return 0;
}

static int is_due(const struct bench_results *results, const struct job *job, const struct bench_options *options,
                  const struct bench_shape *shape)
{
    if (!bench_is_wanted(options->only, job->kernel) || is_known(results, job, shape))
        return 0;
    if (job->limit != BENCH_GATHER)
        return shape->features <= AVVIK_JOINT_FEATURES ||
               (strcmp(job->kernel, "deviation_joint") != 0 && strncmp(job->kernel, "joint_", 6) != 0);
    return shape->rows * shape->trees <= MAX_WALKS && shape->rows >= shape->sample &&
           (shape->features > AVVIK_PACKED_FEATURES) == (strcmp(job->kernel, "forest_path_wide") == 0);
}

struct kernels_walk {
    const struct bench_options *options;
    struct bench_results *results;
};

static enum bench_exit shape_measure(void *context, const struct bench_shape *shape)
{
    const struct kernels_walk *walk = context;
    enum bench_exit status = BENCH_DONE;
    struct work work = {0};
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0] && status == BENCH_DONE; i++) {
        const int has_forest = jobs[i].limit == BENCH_GATHER;
        if (!is_due(walk->results, &jobs[i], walk->options, shape))
            continue;
        if ((work.shape == NULL && !work_init(&work, shape, walk->options->seed)) ||
            (has_forest && work.expected == NULL && !layout_make(&work, walk->options->seed)))
            status = bench_fail(BENCH_FAILED, "not enough memory");
        else
            status = job_time(&jobs[i], &work, walk->options, walk->results);
    }
    work_destroy(&work);
    return status;
}

enum bench_exit bench_kernels(const struct bench_options *options, struct bench_results *results)
{
    struct kernels_walk walk = {options, results};
    return bench_shapes_walk(options, options->is_quick ? &quick_rows : &default_rows, shape_measure, &walk);
}

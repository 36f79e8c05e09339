/* Every kernel variant, timed in turns with the others and checked against the scalar one first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "forest_layout.h"
#include "kernels.h"

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

/* Inputs and outputs of all kernels at one number of features. */
struct work {
    size_t n_rows, n_features, stride;
    float *columns; /* n_features columns side by side, 1 value in 128 NaN */
    float *tile;    /* the same rows without NaN */
    float *out_tile;
    float *mean, *rscale;
    struct avvik__forest_layout layout;

    int32_t *path_sum;
    float *deviation;
    uint16_t *feature, *beyond;
    uint64_t *counts;
    struct avvik__moments *moments; /* [feature][block] */
};

static uint64_t random_state = 88172645463325252u;

/* xorshift64 (Marsaglia 2003), two numbers to a roughly normal one */
static float random_value(void)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        sum += (double)(random_state >> 11) * 0x1p-53;
    }
    return (float)sum;
}

static void *zeroed(size_t bytes)
{
    const size_t rounded = (bytes + 63) / 64 * 64;
    void *memory = aligned_alloc(64, rounded);
    return memory != NULL ? memset(memory, 0, rounded) : NULL;
}

static size_t n_blocks(const struct work *w)
{
    return (w->n_rows + AVVIK_STATISTICS_ROWS - 1) / AVVIK_STATISTICS_ROWS;
}

static void work_destroy(struct work *w)
{
    void *const owned[] = {w->columns,   w->tile,    w->out_tile, w->mean,   w->rscale, w->path_sum,
                           w->deviation, w->feature, w->beyond,   w->counts, w->moments};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free(owned[i]);
    avvik__forest_layout_destroy(&w->layout);
}

/* A forest grown from the tile's rows, in the order the kernels want. */
static enum bench_exit layout_make(struct work *w, const struct bench_options *options)
{
    enum bench_exit status = BENCH_FAILED;
    struct avvik__forest forest = {.n_trees = options->trees,
                                   .sample = options->sample,
                                   .height = avvik__forest_height(options->sample),
                                   .n_features = (uint32_t)w->n_features,
                                   .average_path = avvik__average_path(options->sample)};
    uint32_t *scratch = malloc(options->sample * sizeof *scratch);
    if (scratch == NULL || avvik__forest_init(&forest, NULL) != AVVIK_OK)
        goto done;
    for (uint32_t tree = 0; tree < options->trees; tree++) {
        const size_t first = tree * (size_t)options->sample % (w->n_rows - options->sample + 1);
        avvik__forest_grow(&forest, tree, w->tile + first * w->stride, w->stride, 1, scratch);
    }
    if (avvik__forest_layout_init(&w->layout, &forest, NULL) == AVVIK_OK)
        status = BENCH_DONE;
done:
    avvik__forest_destroy(&forest);
    free(scratch);
    return status;
}

static enum bench_exit work_init(struct work *w, size_t n_features, const struct bench_options *options)
{
    const size_t n_rows = options->rows, stride = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    *w = (struct work){.n_rows = n_rows, .n_features = n_features, .stride = stride};
    w->columns = zeroed(n_rows * n_features * sizeof(float));
    w->tile = zeroed(n_rows * stride * sizeof(float));
    w->out_tile = zeroed(n_rows * stride * sizeof(float));
    w->mean = zeroed(stride * sizeof(float));
    w->rscale = zeroed(stride * sizeof(float));
    w->path_sum = zeroed(n_rows * sizeof(int32_t));
    w->deviation = zeroed(n_rows * sizeof(float));
    w->feature = zeroed(n_rows * sizeof(uint16_t));
    w->beyond = zeroed(n_rows * sizeof(uint16_t));
    w->counts = zeroed(2 * n_features * sizeof(uint64_t));
    w->moments = zeroed(n_features * n_blocks(w) * sizeof *w->moments);
    if (w->columns == NULL || w->tile == NULL || w->out_tile == NULL || w->mean == NULL || w->rscale == NULL ||
        w->path_sum == NULL || w->deviation == NULL || w->feature == NULL || w->beyond == NULL || w->counts == NULL ||
        w->moments == NULL)
        return BENCH_FAILED;
    for (size_t f = 0; f < n_features; f++) {
        w->mean[f] = random_value();
        w->rscale[f] = 1.0f;
        for (size_t r = 0; r < n_rows; r++) {
            const float x = random_value();
            w->tile[r * stride + f] = x;
            w->columns[f * n_rows + r] = (r + 7 * f) % 128 == 0 ? NAN : x;
        }
    }
    return layout_make(w, options);
}

/* --- one run of each kernel, and what it read, wrote and left behind --- */

struct trace {
    double bytes;
    const void *output[3];
    size_t output_bytes[3];
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

static void run_forest_path(any_fn *f, struct work *w)
{
    ((avvik__forest_path_fn *)f)(w->path_sum, w->tile, w->stride, w->n_rows, &w->layout.view);
}

static struct trace trace_forest_path(const struct work *w)
{
    return (struct trace){
        (double)(w->n_rows * (w->stride + 1) * sizeof(float)), {w->path_sum}, {w->n_rows * sizeof(int32_t)}};
}

static const struct job {
    const char *kernel;
    void (*run)(any_fn *function, struct work *w);
    struct trace (*trace)(const struct work *w);
    int has_forest;
} jobs[] = {
    {"tile_pack", run_tile_pack, trace_tile_pack, 0},       {"fill_missing", run_fill_missing, trace_fill_missing, 0},
    {"deviation", run_deviation, trace_deviation, 0},       {"statistics", run_statistics, trace_statistics, 0},
    {"forest_path", run_forest_path, trace_forest_path, 1}, {"forest_path_wide", run_forest_path, trace_forest_path, 1},
};

/* --- timing --- */

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A copy of what the last run left behind, or a comparison with such a copy. */
static unsigned char *output_copy(const struct trace *trace)
{
    const size_t bytes = trace->output_bytes[0] + trace->output_bytes[1] + trace->output_bytes[2];
    unsigned char *copy = malloc(bytes), *to = copy;
    for (int i = 0; copy != NULL && i < 3 && trace->output[i] != NULL; to += trace->output_bytes[i++])
        memcpy(to, trace->output[i], trace->output_bytes[i]);
    return copy;
}

static int output_equals(const struct trace *trace, const unsigned char *copy)
{
    for (int i = 0; i < 3 && trace->output[i] != NULL; copy += trace->output_bytes[i++])
        if (memcmp(copy, trace->output[i], trace->output_bytes[i]) != 0)
            return 0;
    return 1;
}

static int can_run(const struct variant *variant, const struct job *job)
{
    return strcmp(variant->kernel, job->kernel) == 0 && (variant->cpu_bits & ~avvik__cpu_features()) == 0;
}

/* All variants of one kernel, in turns, so that whatever disturbs the machine disturbs all of them. */
static enum bench_exit time_job(const struct job *job, struct work *w, const struct bench_options *options,
                                struct bench_results *results)
{
    enum bench_exit status = BENCH_DONE;
    struct bench_result *of_variant[N_VARIANTS] = {NULL};
    unsigned char *expected = NULL;
    for (size_t i = 0; i < N_VARIANTS; i++) { /* results first; this warms caches, too */
        if (!can_run(&variants[i], job))
            continue;
        if (results->n == BENCH_MAX_RESULTS)
            return BENCH_FAILED;
        job->run(variants[i].function, w);
        const struct trace trace = job->trace(w);
        if (variants[i].cpu_bits == 0 && (expected = output_copy(&trace)) == NULL)
            return BENCH_FAILED;
        if (!output_equals(&trace, expected)) {
            fprintf(stderr, "avvik-bench: %s %s differs from the scalar reference at %zu features\n",
                    variants[i].kernel, variants[i].name, w->n_features);
            status = BENCH_DIFFERS;
            continue;
        }
        of_variant[i] = &results->result[results->n++];
        *of_variant[i] = (struct bench_result){.kernel = variants[i].kernel,
                                               .variant = variants[i].name,
                                               .n_features = w->n_features,
                                               .n_rows = w->n_rows,
                                               .trees = job->has_forest ? options->trees : 0,
                                               .height = job->has_forest ? w->layout.view.height : 0,
                                               .bytes = trace.bytes,
                                               .n_samples = options->n_samples};
    }
    for (int sample = 0; sample < options->n_samples; sample++) {
        for (size_t i = 0; i < N_VARIANTS; i++) {
            if (of_variant[i] == NULL)
                continue;
            const double start = bench_now_s();
            job->run(variants[i].function, w);
            of_variant[i]->sample_s[sample] = bench_now_s() - start;
        }
    }
    double scalar_s = 0;
    for (size_t i = 0; i < N_VARIANTS; i++) {
        if (of_variant[i] == NULL)
            continue;
        qsort(of_variant[i]->sample_s, (size_t)options->n_samples, sizeof(double), compare_doubles);
        if (variants[i].cpu_bits == 0)
            scalar_s = of_variant[i]->sample_s[0];
        of_variant[i]->ratio = scalar_s / of_variant[i]->sample_s[0];
    }
    free(expected);
    return status;
}

enum bench_exit bench_kernels(const struct bench_options *options, struct bench_results *results)
{
    enum bench_exit status = BENCH_DONE;
    for (size_t i = 0; i < options->n_feature_counts; i++) {
        struct work work;
        enum bench_exit worst = work_init(&work, options->n_features[i], options);
        const int is_wide = options->n_features[i] > AVVIK_PACKED_FEATURES;
        for (size_t j = 0; worst != BENCH_FAILED && j < sizeof jobs / sizeof jobs[0]; j++) {
            if (jobs[j].has_forest && is_wide != (strcmp(jobs[j].kernel, "forest_path_wide") == 0))
                continue;
            const enum bench_exit one = time_job(&jobs[j], &work, options, results);
            worst = one > worst ? one : worst;
        }
        status = worst > status ? worst : status;
        work_destroy(&work);
    }
    if (status == BENCH_FAILED)
        fprintf(stderr, "avvik-bench: not enough memory\n");
    return status;
}

/* Every kernel variant, timed in turns with the others and checked against the scalar one first. */
#include <stdlib.h>
#include <string.h>

#include "bench_work.h"

static const struct variant {
    const char *kernel, *name;
    any_fn *function;
    unsigned cpu_bits;
} variants[] = {
#define AVVIK_KERNEL(kernel, variant, bits) {#kernel, #variant, (any_fn *)avvik__##kernel##_##variant, bits},
#include "kernels.def"
};
#define N_VARIANTS (sizeof variants / sizeof variants[0])

#define MAX_WALKS ((size_t)1 << 26) /* rows x trees of one run, a second of the scalar walk */
static const struct bench_list default_rows = {3, {65536, 4096, 2097152}}, quick_rows = {1, {8192}};

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
    for (size_t i = 0; bench_jobs[i].kernel != NULL && status == BENCH_DONE; i++) {
        const int has_forest = bench_jobs[i].limit == BENCH_GATHER;
        if (!is_due(walk->results, &bench_jobs[i], walk->options, shape))
            continue;
        if ((work.shape == NULL && !bench_work_init(&work, shape, walk->options->seed)) ||
            (has_forest && work.expected == NULL && !bench_layout_make(&work, walk->options->seed)))
            status = bench_fail(BENCH_FAILED, "not enough memory");
        else
            status = job_time(&bench_jobs[i], &work, walk->options, walk->results);
    }
    bench_work_destroy(&work);
    return status;
}

enum bench_exit bench_kernels(const struct bench_options *options, struct bench_results *results)
{
    struct kernels_walk walk = {options, results};
    return bench_shapes_walk(options, options->is_quick ? &quick_rows : &default_rows, shape_measure, &walk);
}

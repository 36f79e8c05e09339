/* From a file of rows to a model and to a file of scores, by nothing but the public API. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/avvik.h"
#include "bench.h"
#include "bench_batch.h"

#define BLOCK_ROWS ((size_t)65536)
#define CHECKED_CASES 64
#define N_BARE 4 /* turns before the backends: pread, H5Dread, read, fit */

static const struct bench_list default_rows = {1, {1000000}}, quick_rows = {1, {100000}};

/* What a run says of its time. */
static const struct {
    const char *name;
    size_t offset;
} stages[] = {
#define STAGE(name)                                                                                                    \
    {                                                                                                                  \
#name, offsetof(struct avvik_stages, name##_ns)                                                                \
    }
    STAGE(plan), STAGE(read), STAGE(decode), STAGE(work), STAGE(write), STAGE(compress), STAGE(checkpoint),
#undef STAGE
};

/* One file, and what is done with it. */
struct stream {
    const struct bench_options *options;
    struct bench_batch batch;
    char scores[400];
    size_t trees, sample, n_threads;
    struct avvik_fit_summary fit;
    struct avvik_source *source; /* open during a run only: HDF5 would keep chunks for whoever comes next */
    struct avvik_model *model;
    float *block;
    struct bench_result *result[N_BARE];
    char hash[48]; /* content hash of the scores of these rows, whatever the backend and the layout */
};

struct score {
    struct stream *stream;
    struct avvik_engine *engine;
    struct avvik_score_summary summary;
    struct bench_result *result;
};

/* --- memory --- */

/* The process's peak so far, in MiB; 0 where the kernel does not tell. */
static double peak_mib(void)
{
    char line[128];
    unsigned long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %lu", &kib) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return (double)kib / 1024;
}

/* Start a new peak: give back what is free, and let the kernel forget the old one. */
static void peak_reset(void)
{
    malloc_trim(0);
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file != NULL) {
        fputs("5", file);
        fclose(file);
    }
}

static void before_run(void *context)
{
    const struct stream *stream = context;
    if (stream->options->is_cold)
        bench_batch_drop(&stream->batch);
    peak_reset();
}

static void peak_note(struct bench_result *result)
{
    const double mib = peak_mib();
    result->peak_mib = mib > result->peak_mib ? mib : result->peak_mib;
}

/* --- runs --- */

static int source_open(struct stream *stream)
{
    const char *const paths[1] = {stream->batch.path};
    const struct avvik_selection selection = {.table = "/rows"};
    return avvik_source_open(paths, 1, &selection, &stream->source, NULL) == AVVIK_OK;
}

static void source_close(struct stream *stream)
{
    avvik_source_close(stream->source);
    stream->source = NULL;
}

static int pread_run(void *context)
{
    return bench_batch_pread(&((const struct stream *)context)->batch);
}

static int h5dread_run(void *context)
{
    return bench_batch_h5dread(&((const struct stream *)context)->batch);
}

static int read_run(void *context)
{
    struct stream *stream = context;
    const size_t n_rows = stream->batch.n_rows;
    int is_read = source_open(stream);
    for (size_t first = 0; first < n_rows && is_read; first += BLOCK_ROWS) {
        const size_t n = n_rows - first < BLOCK_ROWS ? n_rows - first : BLOCK_ROWS;
        is_read = avvik_source_read(stream->source, first, n, stream->block, BLOCK_ROWS, NULL) == AVVIK_OK;
    }
    source_close(stream);
    return is_read;
}

static int fit_run(void *context)
{
    struct stream *stream = context;
    struct avvik_fit_options options = AVVIK_FIT_DEFAULTS;
    options.trees = (uint32_t)stream->trees;
    options.sample = (uint32_t)stream->sample;
    options.seed = stream->options->seed;
    options.threads = (uint32_t)stream->n_threads;
    options.summary = &stream->fit;
    avvik_model_free(stream->model);
    stream->model = NULL;
    const int is_fitted =
        source_open(stream) && avvik_model_fit(stream->source, &options, &stream->model, NULL) == AVVIK_OK;
    source_close(stream);
    return is_fitted;
}

/* Take over the stages that took any time. */
static void stages_note(struct bench_result *result, const struct avvik_stages *times)
{
    result->n_stages = 0;
    result->binding = avvik_stages_binding(times);
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        uint64_t ns;
        memcpy(&ns, (const char *)times + stages[i].offset, sizeof ns);
        if (ns > 0)
            result->stage[result->n_stages++] = (struct bench_stage){stages[i].name, 1e-9 * (double)ns};
    }
}

static void fit_after(void *context, int is_best)
{
    const struct stream *stream = context;
    struct bench_result *result = stream->result[3];
    peak_note(result);
    if (!is_best)
        return;
    stages_note(result, &stream->fit.stages);
    result->stage[result->n_stages++] = (struct bench_stage){"grow", 1e-9 * (double)stream->fit.grow_ns};
}

static void score_before(void *context)
{
    struct score *score = context;
    remove(score->stream->scores); /* so that taking the old file away is not timed */
    before_run(score->stream);
}

static int score_run(void *context)
{
    struct score *score = context;
    struct stream *stream = score->stream;
    const struct avvik_score_options options = {.replace = 1, .threads = (uint32_t)stream->n_threads};
    const int is_scored =
        source_open(stream) && avvik_score_file(stream->model, score->engine, stream->source, stream->scores, &options,
                                                &score->summary, NULL) == AVVIK_OK;
    source_close(stream);
    return is_scored;
}

static void score_after(void *context, int is_best)
{
    struct score *score = context;
    peak_note(score->result);
    if (is_best)
        stages_note(score->result, &score->summary.stages);
}

/* --- checks --- */

/* The case's row, read again and scored by the scalar backend, must have the case's numbers. */
static int case_is_right(struct stream *stream, struct avvik_worker *worker, const struct avvik_case *found)
{
    int32_t path_sum;
    float deviation;
    uint16_t small[3];
    const struct avvik_rows row = {stream->block, 1, 1, BLOCK_ROWS, NULL};
    const struct avvik_scores scores = {.path_sum = &path_sum,
                                        .deviation = &deviation,
                                        .deviation_feature = &small[0],
                                        .beyond = &small[1],
                                        .missing = &small[2]};
    if (avvik_source_read(stream->source, found->row, 1, stream->block, BLOCK_ROWS, NULL) != AVVIK_OK ||
        avvik_worker_score(worker, &row, &scores, NULL) != AVVIK_OK)
        return 0;
    const float forest = avvik_forest_score(stream->model, path_sum);
    return path_sum == found->path_sum && memcmp(&deviation, &found->deviation, sizeof deviation) == 0 &&
           memcmp(&forest, &found->forest, sizeof forest) == 0 && small[0] == found->deviation_feature &&
           small[1] == found->beyond && small[2] == found->missing;
}

/* The file of scores has the hash that the first one of these rows had, and its most unusual rows have the scores that
 * scalar gives them. */
static enum bench_exit scores_check(struct stream *stream, const char *backend)
{
    struct avvik_error error = {AVVIK_OK, 0, "not enough memory"};
    struct avvik_case_list list = {0};
    struct avvik_engine *engine = NULL;
    struct avvik_worker *worker = NULL;
    enum bench_exit status = BENCH_DONE;
    const char *const scores = stream->scores;
    struct avvik_flag_options options = AVVIK_FLAG_DEFAULTS;
    options.budget = stream->batch.n_rows < CHECKED_CASES ? stream->batch.n_rows : CHECKED_CASES;
    options.by = AVVIK_BY_FOREST;
    if (avvik_flag(&scores, 1, &options, &list, &error) != AVVIK_OK ||
        avvik_engine_open(stream->model, "scalar", &engine, &error) != AVVIK_OK ||
        avvik_worker_create(engine, 1, &worker, &error) != AVVIK_OK)
        status = bench_fail(BENCH_FAILED, "%s", error.text);
    if (status == BENCH_DONE && !source_open(stream))
        status = bench_fail(BENCH_FAILED, "%s cannot be opened again", stream->batch.path);
    for (size_t i = 0; i < list.n_cases && status == BENCH_DONE; i++)
        if (!case_is_right(stream, worker, &list.cases[i]))
            status = bench_fail(BENCH_DIFFERS, "%s scored row %llu of a %s file of %s unlike scalar", backend,
                                (unsigned long long)list.cases[i].row, stream->batch.layout, stream->batch.types);
    if (status == BENCH_DONE && stream->hash[0] == '\0')
        snprintf(stream->hash, sizeof stream->hash, "%s", list.content_hash);
    if (status == BENCH_DONE && strcmp(stream->hash, list.content_hash) != 0)
        status = bench_fail(BENCH_DIFFERS, "%s wrote other scores from a %s file of %s than the run before it", backend,
                            stream->batch.layout, stream->batch.types);
    source_close(stream);
    avvik_case_list_destroy(&list);
    avvik_worker_free(worker);
    avvik_engine_close(engine);
    return status;
}

/* --- one file --- */

static struct bench_result result_like(const struct stream *stream)
{
    const struct bench_batch *batch = &stream->batch;
    return (struct bench_result){.features = batch->n_features,
                                 .rows = batch->n_rows,
                                 .layout = batch->layout,
                                 .types = batch->types,
                                 .bytes = (double)batch->n_rows * (double)bench_batch_row_bytes(batch)};
}

/* The four turns that know no backend. */
static int bare_turns(struct stream *stream, struct bench_turn *turns, struct bench_results *results)
{
    static const struct {
        const char *name;
        int (*run)(void *context);
        void (*after)(void *context, int is_best);
    } bare[N_BARE] = {{"pread", pread_run, NULL},
                      {"H5Dread", h5dread_run, NULL},
                      {"read", read_run, NULL},
                      {"fit", fit_run, fit_after}};
    for (size_t i = 0; i < N_BARE; i++) {
        struct bench_result like = result_like(stream);
        like.name = bare[i].name;
        like.threads = i == 3 ? stream->n_threads : 1;
        like.trees = i == 3 ? stream->trees : 0;
        like.sample = i == 3 ? stream->sample : 0;
        if (i == 0)
            like.bytes = bench_batch_file_bytes(&stream->batch);
        turns[i] = (struct bench_turn){.result = bench_results_add(results, &like),
                                       .before = before_run,
                                       .run = bare[i].run,
                                       .after = bare[i].after,
                                       .context = stream};
        if ((stream->result[i] = turns[i].result) == NULL)
            return 0;
    }
    return 1;
}

static enum bench_exit score_turn(struct score *score, const char *backend, struct bench_turn *turn,
                                  struct bench_results *results)
{
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct stream *stream = score->stream;
    struct bench_result like = result_like(stream);
    like.name = "score";
    like.threads = stream->n_threads;
    like.trees = stream->trees;
    like.sample = stream->sample;
    snprintf(like.variant, sizeof like.variant, "%s", backend);
    if (avvik_engine_open(stream->model, backend, &score->engine, &error) != AVVIK_OK)
        return bench_fail(error.status == AVVIK_ERR_SELFTEST ? BENCH_DIFFERS : BENCH_NO_BACKEND, "%s", error.text);
    if (!score_run(score))
        return bench_fail(BENCH_FAILED, "%s could not score %s", backend, stream->batch.path);
    *turn = (struct bench_turn){.result = bench_results_add(results, &like),
                                .before = score_before,
                                .run = score_run,
                                .after = score_after,
                                .context = score};
    score->result = turn->result;
    return turn->result == NULL ? bench_fail(BENCH_FAILED, "not enough memory") : scores_check(stream, backend);
}

static enum bench_exit file_measure(struct stream *stream, struct bench_results *results)
{
    struct bench_turn turns[N_BARE + BENCH_MAX_DEVICES];
    struct score scores[BENCH_MAX_DEVICES] = {{0}};
    struct avvik_device *devices = NULL;
    size_t n_devices = 0, n_open = 0;
    enum bench_exit status = bench_backends_choose(stream->options->backends, &devices, &n_devices);
    if (status == BENCH_DONE && (!bare_turns(stream, turns, results) || !fit_run(stream)))
        status = bench_fail(BENCH_FAILED, "%s cannot be fitted", stream->batch.path);
    for (; n_open < n_devices && status == BENCH_DONE; n_open++) {
        scores[n_open].stream = stream;
        status = score_turn(&scores[n_open], devices[n_open].backend, &turns[N_BARE + n_open], results);
    }
    if (status == BENCH_DONE && !bench_take_turns(turns, N_BARE + n_open, stream->options))
        status = bench_fail(BENCH_FAILED, "%s could be read before, and not now", stream->batch.path);
    for (size_t i = 0; i < n_open && status == BENCH_DONE; i++)
        status = bench_faults_check(scores[i].engine);
    for (size_t i = 1; i < N_BARE + n_open && status == BENCH_DONE; i++) {
        bench_ratio_add(turns[i].result, "pread", turns[0].result);
        if (i > 1)
            bench_ratio_add(turns[i].result, "H5Dread", turns[1].result);
    }
    for (size_t i = 0; i < n_open; i++)
        avvik_engine_close(scores[i].engine);
    free(devices);
    return status;
}

/* --- every layout, every type --- */

struct stream_walk {
    struct stream stream;
    struct bench_results *results;
    size_t n_measured;
};

static enum bench_exit batch_measure(struct stream_walk *walk, const char *layout, const char *types)
{
    struct stream *stream = &walk->stream;
    stream->batch.layout = layout;
    stream->batch.types = types;
    enum bench_exit status = bench_batch_write(&stream->batch);
    stream->block = malloc(BLOCK_ROWS * stream->batch.n_features * sizeof *stream->block);
    if (status == BENCH_DONE && stream->block == NULL)
        status = bench_fail(BENCH_FAILED, "not enough memory");
    if (status == BENCH_DONE)
        status = file_measure(stream, walk->results);
    avvik_model_free(stream->model);
    free(stream->block);
    stream->model = NULL;
    return status;
}

/* Without --layout and --types: every layout of float32, and every other type contiguous. */
static int is_due(const struct bench_options *options, const char *layout, const char *types)
{
    if (!bench_is_wanted(options->layouts, layout) || !bench_is_wanted(options->types, types))
        return 0;
    if (options->types != NULL || options->is_grid || strcmp(types, "float32") == 0)
        return 1;
    return options->layouts == NULL && strcmp(layout, "contiguous") == 0 && !options->is_quick;
}

static enum bench_exit shape_measure(void *context, const struct bench_shape *shape)
{
    struct stream_walk *walk = context;
    struct stream *stream = &walk->stream;
    enum bench_exit status = BENCH_DONE;
    stream->batch.n_rows = shape->rows;
    stream->batch.n_features = shape->features;
    stream->batch.seed = stream->options->seed;
    stream->trees = shape->trees;
    stream->sample = shape->sample;
    stream->n_threads = shape->threads;
    for (const char *const *types = bench_types; *types != NULL; types++) {
        stream->hash[0] = '\0';
        for (const char *const *layout = bench_layouts; *layout != NULL && status == BENCH_DONE; layout++) {
            if (!is_due(stream->options, *layout, *types))
                continue;
            status = batch_measure(walk, *layout, *types);
            walk->n_measured++;
        }
    }
    return status;
}

enum bench_exit bench_stream(const struct bench_options *options, struct bench_results *results)
{
    struct bench_options own = *options;
    struct stream_walk walk = {.stream = {.options = &own}, .results = results};
    static const char *const unfinished[] = {"scores.h5.partial", "scores.h5.journal"}; /* of an interrupted run */
    char left_over[400];
    if (own.threads.n == 0)
        own.threads = (struct bench_list){1, {bench_cores_allowed()}};
    bench_file_name(options, "rows.h5", walk.stream.batch.path, sizeof walk.stream.batch.path);
    bench_file_name(options, "scores.h5", walk.stream.scores, sizeof walk.stream.scores);
    for (size_t i = 0; i < sizeof unfinished / sizeof unfinished[0]; i++)
        bench_file_name(options, unfinished[i], left_over, sizeof left_over);
    enum bench_exit status =
        bench_shapes_walk(&own, options->is_quick ? &quick_rows : &default_rows, shape_measure, &walk);
    if (status == BENCH_DONE && walk.n_measured == 0)
        status =
            bench_fail(BENCH_USAGE, "no such layout or type: '%s', '%s'",
                       options->layouts == NULL ? "" : options->layouts, options->types == NULL ? "" : options->types);
    bench_file_remove(walk.stream.batch.path);
    bench_file_remove(walk.stream.scores);
    return status;
}

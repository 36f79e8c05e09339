/* Fitting: one pass gathers the moments of every column and the rows that the trees grow from. */
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "block_pipeline.h"
#include "input_hash.h"
#include "kernels.h"
#include "model_internal.h"

#define MIN_ROWS 16
#define MAX_SAMPLE 4096
#define MAX_TREES 10000

/* A run of a tree's draws. */
struct range {
    uint32_t first, end;
};

struct fit {
    struct avvik_source *source;
    struct avvik_model *model;
    struct avvik__kernels kernels;
    size_t block_rows;
    float *columns;                 /* [slot][feature][block_rows] */
    struct avvik__moments *moments; /* [slot][block_rows / 4096][feature] */
    uint64_t *draws;                /* [tree][sample] row numbers, ascending in a tree */
    size_t n_draws;
    struct range *drawn;    /* [worker][tree]: the draws in the worker's block */
    float *sample;          /* [tree][sample][feature]: those rows */
    XXH128_hash_t *digests; /* [slot][block_rows / 4096][feature] */
    XXH3_state_t *hash;
    atomic_uint next;    /* feature or tree, for those who share the work */
    atomic_int is_short; /* one of them had no memory */
    uint64_t seed;
    const volatile int *stop;
    void (*progress)(void *user, uint64_t rows_done, uint64_t n_rows);
    void *user;
};

static size_t rows_of_block(const struct fit *fit, uint64_t block)
{
    const uint64_t left = fit->model->n_rows - block * fit->block_rows;
    return left < fit->block_rows ? (size_t)left : fit->block_rows;
}

static float *columns_of_slot(const struct fit *fit, unsigned slot)
{
    return fit->columns + slot * fit->model->n_features * fit->block_rows;
}

static struct avvik__moments *moments_of_slot(const struct fit *fit, unsigned slot)
{
    return fit->moments + slot * fit->model->n_features * (fit->block_rows / AVVIK_STATISTICS_ROWS);
}

static XXH128_hash_t *digests_of_slot(const struct fit *fit, unsigned slot)
{
    return fit->digests + slot * avvik__input_digest_count(fit->block_rows, fit->model->n_features);
}

static enum avvik_status block_read(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    const struct fit *fit = context;
    return avvik_source_read(fit->source, block * fit->block_rows, rows_of_block(fit, block),
                             columns_of_slot(fit, slot), fit->block_rows, error);
}

/* The first of a tree's draws that is not before `row`. */
static uint32_t first_draw(const uint64_t *draws, uint32_t n, uint64_t row)
{
    uint32_t low = 0, high = n;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (draws[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Copy one column of the rows that some tree has drawn from this block to their places. */
static void sample_gather(const struct fit *fit, const struct range *drawn, size_t feature, const float *column,
                          uint64_t first)
{
    const struct avvik__forest *forest = &fit->model->forest;
    for (size_t tree = 0; tree < forest->n_trees; tree++) {
        const uint64_t *draws = fit->draws + tree * forest->sample;
        float *sample = fit->sample + tree * forest->sample * forest->n_features + feature;
        for (uint32_t i = drawn[tree].first; i < drawn[tree].end; i++) {
            const float x = column[(size_t)(draws[i] - first)];
            sample[(size_t)i * forest->n_features] = !isfinite(x) ? NAN : fabsf(x) < FLT_MIN ? 0 : x;
        }
    }
}

/* A column at a time, so that it is in the cache for all that is wanted of it. */
static enum avvik_status block_work(void *context, unsigned worker, unsigned slot, uint64_t block,
                                    struct avvik_error *error)
{
    const struct fit *fit = context;
    const struct avvik__forest *forest = &fit->model->forest;
    const size_t n_rows = rows_of_block(fit, block), n_features = forest->n_features;
    const uint64_t first = block * fit->block_rows;
    struct avvik__moments *moments = moments_of_slot(fit, slot);
    XXH128_hash_t *digests = digests_of_slot(fit, slot);
    struct range *drawn = fit->drawn + (size_t)worker * forest->n_trees;
    (void)error;
    for (size_t tree = 0; tree < forest->n_trees; tree++) {
        const uint64_t *draws = fit->draws + tree * forest->sample;
        drawn[tree].first = first_draw(draws, forest->sample, first);
        drawn[tree].end = first_draw(draws, forest->sample, first + n_rows);
    }
    for (size_t f = 0; f < n_features; f++) {
        const float *column = columns_of_slot(fit, slot) + f * fit->block_rows;
        for (size_t i = 0, piece = f; i < n_rows; i += AVVIK_STATISTICS_ROWS, piece += n_features) {
            const size_t n = n_rows - i < AVVIK_STATISTICS_ROWS ? n_rows - i : AVVIK_STATISTICS_ROWS;
            fit->kernels.statistics(&moments[piece], column + i, n);
            digests[piece] = avvik__input_digest(column + i, n);
        }
        sample_gather(fit, drawn, f, column, first);
    }
    return AVVIK_OK;
}

static enum avvik_status block_add(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    const struct fit *fit = context;
    const size_t n_rows = rows_of_block(fit, block), n_features = fit->model->n_features;
    const struct avvik__moments *moments = moments_of_slot(fit, slot);
    (void)error;
    for (size_t i = 0; i < n_rows; i += AVVIK_STATISTICS_ROWS)
        for (size_t f = 0; f < n_features; f++)
            avvik__moments_add(&fit->model->features[f].moments, moments++);
    avvik__input_hash_add(fit->hash, digests_of_slot(fit, slot), n_rows, n_features);
    if (fit->progress != NULL)
        fit->progress(fit->user, block * fit->block_rows + n_rows, fit->model->n_rows);
    return AVVIK_OK;
}

static int is_stopped(const struct fit *fit)
{
    return fit->stop != NULL && *fit->stop;
}

static void *rows_draw(void *context)
{
    struct fit *fit = context;
    const struct avvik__forest *forest = &fit->model->forest;
    for (uint32_t tree; (tree = atomic_fetch_add(&fit->next, 1)) < forest->n_trees && !is_stopped(fit);)
        avvik__forest_draw_rows(forest, tree, fit->model->n_rows, fit->seed,
                                fit->draws + (size_t)tree * forest->sample);
    return NULL;
}

/* What a missing value becomes: the median of the feature over the sampled rows, each counted as often as it was
 * drawn. Features one after the other, until there are none left. */
static void *features_fill(void *context)
{
    struct fit *fit = context;
    const size_t n_features = fit->model->n_features;
    float *values = malloc(fit->n_draws * sizeof *values);
    if (values == NULL)
        atomic_store(&fit->is_short, 1);
    for (size_t f; values != NULL && (f = atomic_fetch_add(&fit->next, 1)) < n_features && !is_stopped(fit);) {
        size_t n = 0;
        for (size_t place = 0; place < fit->n_draws; place++)
            if (!isnan(fit->sample[place * n_features + f]))
                values[n++] = fit->sample[place * n_features + f];
        const float fill = n == 0 ? 0 : avvik__median(values, n);
        fit->model->features[f].fill = fill;
        for (size_t place = 0; n < fit->n_draws && place < fit->n_draws; place++)
            if (isnan(fit->sample[place * n_features + f]))
                fit->sample[place * n_features + f] = fill;
    }
    free(values);
    return NULL;
}

static void *trees_grow(void *context)
{
    struct fit *fit = context;
    struct avvik__forest *forest = &fit->model->forest;
    uint32_t scratch[MAX_SAMPLE];
    for (uint32_t tree; (tree = atomic_fetch_add(&fit->next, 1)) < forest->n_trees && !is_stopped(fit);)
        avvik__forest_grow(forest, tree, fit->sample + (size_t)tree * forest->sample * forest->n_features,
                           forest->n_features, fit->seed, scratch);
    return NULL;
}

/* Share `work` among n_threads threads, this one included; helpers that cannot be started are not missed. */
static void work_share(struct fit *fit, void *(*work)(void *), unsigned n_threads)
{
    pthread_t helpers[AVVIK_MAX_WORKERS];
    unsigned n_helpers = 0;
    atomic_store(&fit->next, 0);
    while (n_helpers + 1 < n_threads && pthread_create(&helpers[n_helpers], NULL, work, fit) == 0)
        n_helpers++;
    work(fit);
    while (n_helpers > 0)
        pthread_join(helpers[--n_helpers], NULL);
}

static enum avvik_status options_check(const struct avvik_fit_options *options, struct avvik_error *error)
{
    if (options->trees < 1 || options->trees > MAX_TREES)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a forest of %u trees is outside 1 to %d", options->trees,
                                MAX_TREES);
    if (options->sample < MIN_ROWS || options->sample > MAX_SAMPLE)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a sample of %u rows is outside %d to %d", options->sample,
                                MIN_ROWS, MAX_SAMPLE);
    return AVVIK_OK;
}

/* An empty model for the rows and columns of `source`. */
static enum avvik_status model_begin(struct avvik_source *source, const struct avvik_fit_options *options,
                                     struct avvik_model **model_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = avvik_source_n_features(source);
    struct avvik_model *model = calloc(1, sizeof *model);
    if (model == NULL || (model->table = strdup(avvik_source_table(source))) == NULL ||
        (model->features = calloc(n_features, sizeof *model->features)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    model->n_rows = avvik_source_n_rows(source);
    model->n_features = (uint32_t)n_features;
    model->seed = options->seed;
    if (model->n_rows < MIN_ROWS)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: table %s has %llu rows; a model needs at least %d",
                   avvik_source_path(source, 0), model->table, (unsigned long long)model->n_rows, MIN_ROWS);
    for (size_t f = 0; f < n_features; f++)
        snprintf(model->features[f].name, AVVIK_NAME_SIZE, "%s", avvik_source_feature(source, f));
    const uint32_t sample = model->n_rows < options->sample ? (uint32_t)model->n_rows : options->sample;
    model->forest = (struct avvik__forest){.n_trees = options->trees,
                                           .sample = sample,
                                           .height = avvik__forest_height(sample),
                                           .n_features = model->n_features};
    AVVIK_TRY(avvik__forest_init(&model->forest, error));
    *model_out = model;
    model = NULL;
done:
    avvik_model_free(model);
    return status;
}

enum avvik_status avvik_model_fit(struct avvik_source *source, const struct avvik_fit_options *options,
                                  struct avvik_model **model_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit fit = {.source = source,
                      .seed = options->seed,
                      .stop = options->stop,
                      .progress = options->progress,
                      .user = options->user};
    const unsigned n_threads = avvik__worker_count(options->threads), n_slots = n_threads + 2;
    AVVIK_TRY(options_check(options, error));
    AVVIK_TRY(model_begin(source, options, &fit.model, error));
    const size_t n_features = fit.model->n_features;
    fit.block_rows = avvik__block_rows(fit.model->n_rows, n_features, n_threads);
    fit.columns = avvik__aligned_alloc(n_slots * n_features, fit.block_rows * sizeof *fit.columns);
    fit.moments =
        avvik__aligned_alloc(n_slots * n_features, fit.block_rows / AVVIK_STATISTICS_ROWS * sizeof *fit.moments);
    fit.digests = calloc(n_slots * avvik__input_digest_count(fit.block_rows, n_features), sizeof *fit.digests);
    fit.hash = avvik__input_hash_new();
    if (fit.columns == NULL || fit.moments == NULL || fit.digests == NULL || fit.hash == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const struct avvik__forest *forest = &fit.model->forest;
    fit.n_draws = (size_t)forest->n_trees * forest->sample;
    fit.draws = calloc(fit.n_draws, sizeof *fit.draws);
    fit.drawn = calloc((size_t)n_threads * forest->n_trees, sizeof *fit.drawn);
    fit.sample = avvik__aligned_alloc(fit.n_draws * n_features, sizeof *fit.sample);
    if (fit.draws == NULL || fit.drawn == NULL || fit.sample == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for %zu sampled rows", fit.n_draws);
    work_share(&fit, rows_draw, n_threads);
    avvik__kernels_select(&fit.kernels, avvik__cpu_features());
    struct avvik__pipeline pipeline = {.n_blocks = (fit.model->n_rows + fit.block_rows - 1) / fit.block_rows,
                                       .n_workers = n_threads,
                                       .n_slots = n_slots,
                                       .context = &fit,
                                       .read = block_read,
                                       .work = block_work,
                                       .write = block_add,
                                       .stop = options->stop};
    AVVIK_TRY(avvik__pipeline_run(&pipeline, error));
    size_t n_varying = 0;
    for (size_t f = 0; f < n_features; f++) {
        avvik__feature_finish(&fit.model->features[f]);
        n_varying += fit.model->features[f].rscale32 != 0;
    }
    if (n_varying == 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: every column of %s is constant or empty; there is nothing to learn",
                   avvik_source_path(source, 0), fit.model->table);
    work_share(&fit, features_fill, n_threads);
    if (atomic_load(&fit.is_short))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    work_share(&fit, trees_grow, n_threads);
    if (is_stopped(&fit))
        AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
    avvik__input_hash_text(fit.hash, fit.model->input_hash);
    *model_out = fit.model;
    fit.model = NULL;
done:
    avvik_model_free(fit.model);
    XXH3_freeState(fit.hash);
    free(fit.digests);
    free(fit.columns);
    free(fit.moments);
    free(fit.draws);
    free(fit.drawn);
    free(fit.sample);
    return status;
}

/* The course of a fit: a pass over all rows, more of them for exact medians, then the trees. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_joint.h"
#include "fit_peers.h"
#include "float_order.h"
#include "rank_search.h"

#define MIN_ROWS 16
#define MAX_SAMPLE 4096
#define MAX_TREES 10000
#define LARGE_ROWS 4000000 /* where sorting a larger sample pays */
#define WEIGHT_STEPS 65536.0f
#define LEAST_KEPT_BYTES ((uint64_t)4 << 20) /* by the passes for medians; they can do with that */

static int is_stopped(const struct fit *fit)
{
    return avvik__is_stopped(fit->options->stop);
}

static void *rows_draw(void *context)
{
    struct fit *fit = context;
    const struct avvik__forest *forest = &fit->model->forest;
    const uint64_t *held_out = fit->draws + fit->n_draws, n_rows = fit->model->n_rows;
    for (uint32_t tree; (tree = atomic_fetch_add(&fit->next, 1)) < forest->n_trees && !is_stopped(fit);) {
        uint64_t *draws = fit->draws + (size_t)tree * forest->sample;
        avvik__forest_draw_rows(forest, tree, n_rows - fit->n_held_out, fit->model->seed, draws);
        avvik__calibration_skip(held_out, fit->n_held_out, n_rows, draws, forest->sample);
    }
    return NULL;
}

/* Values of a feature in rows [first, end) of the sample that are not missing. */
static size_t values_take(const struct fit *fit, size_t feature, size_t first, size_t end, float *values)
{
    const size_t n_features = fit->model->n_features;
    size_t n = 0;
    for (size_t place = first; place < end; place++)
        if (!isnan(fit->sample[place * n_features + feature]))
            values[n++] = fit->sample[place * n_features + feature];
    return n;
}

/* What a missing value becomes, and what later batches are compared with: median and quantiles of the feature over the
 * sampled rows, each counted as often as it was drawn. The search for median and MAD begins with these rows; in a large
 * table with those that are held out as well, which makes its windows narrower. Features one after the other, until
 * there are none left. */
static void *features_fill(void *context)
{
    struct fit *fit = context;
    const size_t n_features = fit->model->n_features, n_all = fit->n_draws + fit->n_held_out;
    const int is_large = fit->model->n_rows >= LARGE_ROWS;
    float *values = malloc(3 * n_all * sizeof *values), *scratch = values == NULL ? NULL : values + n_all;
    if (values == NULL)
        atomic_store(&fit->is_short, 1);
    for (size_t f; values != NULL && (f = atomic_fetch_add(&fit->next, 1)) < n_features && !is_stopped(fit);) {
        const size_t n = values_take(fit, f, 0, fit->n_draws, values);
        avvik__feature_reference(&fit->model->features[f], values, scratch, n);
        const struct avvik__moments_total *moments = &fit->model->features[f].moments;
        const size_t n_more = is_large ? values_take(fit, f, fit->n_draws, n_all, values + n) : 0;
        if (n_more > 0)
            avvik__float_sort(values, scratch, n + n_more);
        avvik__search_begin(&fit->searches[f], moments->n, moments->min, moments->max, values, scratch, n + n_more);
        const float fill = fit->model->features[f].fill;
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
                           forest->n_features, fit->model->seed, scratch);
    return NULL;
}

void avvik__threads_share(void *(*work)(void *), void *context, unsigned n_threads)
{
    pthread_t helpers[AVVIK_MAX_WORKERS];
    unsigned n_helpers = 0;
    while (n_helpers + 1 < n_threads && pthread_create(&helpers[n_helpers], NULL, work, context) == 0)
        n_helpers++;
    work(context);
    while (n_helpers > 0)
        pthread_join(helpers[--n_helpers], NULL);
}

void avvik__fit_share(struct fit *fit, void *(*work)(void *))
{
    atomic_store(&fit->next, 0);
    avvik__threads_share(work, fit, fit->cut.n_workers);
}

static enum avvik_status options_check(const struct avvik_fit_options *options, struct avvik_error *error)
{
    if (options->trees < 1 || options->trees > MAX_TREES)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a forest of %u trees is outside 1 to %d", options->trees,
                                MAX_TREES);
    if (options->sample < MIN_ROWS || options->sample > MAX_SAMPLE)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a sample of %u rows is outside %d to %d", options->sample,
                                MIN_ROWS, MAX_SAMPLE);
    if (options->joint_peers > 0 && options->joint_peers < AVVIK_JOINT_PEERS_LEAST)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0,
                                "a joint deviation of a group of %llu rows is not known; it takes %d at least",
                                (unsigned long long)options->joint_peers, AVVIK_JOINT_PEERS_LEAST);
    return AVVIK_OK;
}

/* What the trees choose features by, and what multiplies z-scores. */
static enum avvik_status weights_take(struct fit *fit, struct avvik_error *error)
{
    const float *given = fit->options->weights;
    struct avvik_model *model = fit->model;
    int has_any = 0;
    if ((fit->weights = calloc(model->n_features, sizeof *fit->weights)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < model->n_features; f++) {
        const float weight = given == NULL ? 1 : given[f];
        if (!(weight >= 0 && weight <= AVVIK_MAX_WEIGHT))
            return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "the weight %g of '%s' is outside 0 to %g",
                                    (double)weight, model->features[f].name, (double)AVVIK_MAX_WEIGHT);
        model->features[f].weight = weight;
        fit->weights[f] = (uint32_t)lrintf(weight * WEIGHT_STEPS);
        has_any |= fit->weights[f] > 0;
    }
    if (!has_any)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "no feature has a weight above 0");
    model->forest.weights = fit->weights;
    return AVVIK_OK;
}

/* An empty model for the rows and columns of `source`. */
static enum avvik_status model_begin(struct avvik_source *source, const struct avvik_fit_options *options,
                                     struct avvik_model **model_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = avvik_source_n_features(source);
    struct avvik_model *model = calloc(1, sizeof *model);
    if (avvik_source_n_keys(source) > AVVIK_MAX_KEYS)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "rows are grouped by %zu columns; there may be %d", avvik_source_n_keys(source),
                   AVVIK_MAX_KEYS);
    if (model == NULL || (model->table = strdup(avvik_source_table(source))) == NULL ||
        (model->features = calloc(n_features, sizeof *model->features)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    model->n_rows = avvik_source_n_rows(source);
    model->n_features = (uint32_t)n_features;
    model->seed = options->seed;
    model->deviation = options->deviation;
    if (model->n_rows < MIN_ROWS)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: table %s has %llu rows; a model needs at least %d",
                   avvik_source_path(source, 0), model->table, (unsigned long long)model->n_rows, MIN_ROWS);
    for (size_t f = 0; f < n_features; f++)
        snprintf(model->features[f].name, AVVIK_NAME_SIZE, "%s", avvik_source_feature(source, f));
    model->peers.n_keys = (uint32_t)avvik_source_n_keys(source);
    if (model->peers.n_keys > 0)
        model->peers.min_rows = options->min_peers == 0 ? AVVIK_MIN_PEERS_DEFAULT : options->min_peers;
    for (size_t k = 0; k < model->peers.n_keys; k++)
        snprintf(model->peers.keys[k], AVVIK_NAME_SIZE, "%s", avvik_source_key(source, k));
    const uint64_t left =
        model->n_rows - avvik__calibration_count(model->n_rows, model->n_features, options->calibration);
    const uint32_t sample = left < options->sample ? (uint32_t)left : options->sample;
    model->forest = (struct avvik__forest){.n_trees = options->trees,
                                           .sample = sample,
                                           .height = avvik__forest_height(sample),
                                           .n_features = model->n_features,
                                           .splits = options->splits};
    AVVIK_TRY(avvik__forest_init(&model->forest, error));
    *model_out = model;
    model = NULL;
done:
    avvik_model_free(model);
    return status;
}

/* How the rows are cut, the memory for it, and the rows that the trees grow from. */
static enum avvik_status fit_init(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__forest *forest = &fit->model->forest;
    const size_t n_features = fit->model->n_features;
    fit->n_draws = (size_t)forest->n_trees * forest->sample;
    fit->n_columns = avvik__source_n_columns(fit->source);
    fit->n_held_out = avvik__calibration_count(fit->model->n_rows, fit->model->n_features, fit->options->calibration);
    const size_t n_kept = fit->n_draws + fit->n_held_out; /* rows */
    const struct avvik__needs needs = {
        .threads = fit->options->threads,
        .memory_bytes = fit->options->memory_bytes,
        .slot_row_bytes =
            fit->n_columns * (sizeof(struct avvik__moments) + sizeof(XXH128_canonical_t)) / AVVIK_STATISTICS_ROWS + 1,
        .worker_bytes = avvik__fit_lists(fit) * sizeof(struct range) + 3 * n_kept * sizeof(float),
        .fixed_bytes = n_kept * (sizeof *fit->draws + n_features * sizeof *fit->sample) + avvik__fit_joint_bytes(fit) +
                       ((size_t)32 << 20)}; /* LEAST_KEPT_BYTES in it */
    AVVIK_TRY(avvik__rows_cut(fit->source, &needs, &fit->cut, error));
    fit->summary->stages.threads = fit->cut.n_workers;
    fit->summary->memory_bytes = fit->cut.bytes;
    AVVIK_TRY(avvik__fit_blocks_init(fit, error));
    fit->draws = calloc(n_kept, sizeof *fit->draws);
    fit->sample = avvik__aligned_alloc(n_kept * n_features, sizeof *fit->sample);
    fit->searches = calloc(n_features, sizeof *fit->searches);
    fit->is_taking_part = calloc(fit->n_columns, 1);
    fit->is_searched = calloc(n_features, 1);
    const uint64_t limit = fit->options->memory_bytes == 0 ? AVVIK_MEMORY_DEFAULT : fit->options->memory_bytes;
    fit->memory_bytes = LEAST_KEPT_BYTES + (limit > fit->cut.bytes ? limit - fit->cut.bytes : 0);
    fit->rows_planned = fit->model->n_rows * ((fit->model->deviation == AVVIK_DEVIATION_ROBUST ? 2u : 1u) +
                                              (fit->options->with_tails ? AVVIK_RANK_PASSES : 0u));
    if (fit->draws == NULL || fit->sample == NULL || fit->searches == NULL || fit->is_taking_part == NULL ||
        fit->is_searched == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for %zu sampled rows", n_kept);
    avvik__calibration_draw(fit->model->seed, fit->model->n_rows, fit->n_held_out, fit->draws + fit->n_draws);
    avvik__fit_share(fit, rows_draw);
    avvik__kernels_select(&fit->kernels, avvik__cpu_features());
done:
    return status;
}

/* One pass over all rows, or over those that an earlier fit has not seen. */
static enum avvik_status rows_pass(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_fit_options *options = fit->options;
    const uint64_t interval_ms = options->checkpoint_ms == 0 ? AVVIK_CHECKPOINT_DEFAULT_MS : options->checkpoint_ms;
    char note[64] = "", *identity = NULL;
    fit->pipeline =
        (struct avvik__pipeline){.n_blocks = (fit->model->n_rows + fit->cut.block_rows - 1) / fit->cut.block_rows,
                                 .n_workers = fit->cut.n_workers,
                                 .n_slots = fit->cut.n_slots,
                                 .context = fit,
                                 .plan = avvik__fit_block_plan,
                                 .work = avvik__fit_block_work,
                                 .write = avvik__fit_block_add,
                                 .stop = options->stop};
    if (options->journal != NULL) {
        if ((identity = avvik__fit_identity(fit)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(avvik__journal_open(options->journal, identity, options->resume, note, interval_ms * 1000000u,
                                      &fit->journal, error));
        avvik__fit_replay(fit, &fit->pipeline.first_block);
    }
    if (fit->peers != NULL)
        fit->peers->is_counted = fit->pipeline.first_block == 0;
    AVVIK_TRY(avvik__pipeline_run(&fit->pipeline, error));
done:
    fit->summary->passes++;
    fit->summary->stages.plan_ns += fit->pipeline.plan_ns;
    fit->summary->stages.write_ns += fit->pipeline.write_ns;
    fit->pipeline.plan_ns = fit->pipeline.write_ns = 0;
    fit->rows_before += fit->model->n_rows;
    free(identity);
    return status;
}

/* What is left behind: after a mistake nothing, after an interrupt what can be resumed, and so until the model that has
 * come of it is saved. */
static void journal_end(struct fit *fit, enum avvik_status status, struct avvik_error *error)
{
    struct avvik__journal_report report = {0};
    if (fit->journal == NULL)
        return;
    if (status == AVVIK_INTERRUPTED)
        avvik__journal_checkpoint(fit->journal, -1, 1);
    const int may_resume = status == AVVIK_INTERRUPTED || status == AVVIK_ERR_IO || status == AVVIK_ERR_MEMORY;
    const int is_kept = may_resume && avvik__journal_has_checkpoint(fit->journal);
    avvik__journal_close(fit->journal, is_kept || status == AVVIK_OK, &report);
    fit->summary->checkpoints = report.checkpoints;
    fit->summary->stages.checkpoint_ns = report.checkpoint_ns;
    memcpy(fit->summary->no_checkpoints, report.failure, sizeof report.failure);
    if (is_kept && error != NULL && strlen(error->text) + 64 < sizeof error->text)
        strcat(error->text, "; what is done is kept, and --resume goes on from there");
}

/* What a missing value becomes, and what z-scores are measured with. */
static enum avvik_status features_finish(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_model *model = fit->model;
    size_t n_varying = 0;
    for (size_t f = 0; f < model->n_features; f++)
        n_varying += fit->weights[f] > 0 && model->features[f].moments.min < model->features[f].moments.max;
    if (n_varying == 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: every column of %s is constant or empty; there is nothing to learn",
                   avvik_source_path(fit->source, 0), model->table);
    avvik__fit_share(fit, features_fill);
    if (atomic_load(&fit->is_short))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (model->peers.n_keys > 0 && !is_stopped(fit))
        AVVIK_TRY(avvik__fit_peers(fit, error));
    if (model->deviation == AVVIK_DEVIATION_ROBUST && !is_stopped(fit))
        AVVIK_TRY(avvik__fit_medians(fit, error));
    for (size_t f = 0; f < model->n_features; f++)
        avvik__feature_finish(&model->features[f], model->deviation);
    if (model->peers.n_keys > 0 && !is_stopped(fit))
        avvik__fit_peers_settle(model);
    if (fit->options->with_tails && !is_stopped(fit))
        AVVIK_TRY(avvik__fit_tails(fit, error));
done:
    return status;
}

static enum avvik_status forest_make(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    avvik__fit_share(fit, trees_grow);
    if (is_stopped(fit))
        AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
    avvik__input_hash_text(&fit->hash, fit->model->input_hash);
done:
    return status;
}

enum avvik_status avvik_model_fit(struct avvik_source *source, const struct avvik_fit_options *options,
                                  struct avvik_model **model_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_fit_summary summary = {.n_rows = avvik_source_n_rows(source)};
    struct fit fit = {.source = source, .options = options, .summary = &summary, .start_ns = avvik__now_ns()};
    AVVIK_TRY(options_check(options, error));
    AVVIK_TRY(model_begin(source, options, &fit.model, error));
    AVVIK_TRY(weights_take(&fit, error));
    AVVIK_TRY(fit_init(&fit, error));
    if (fit.model->peers.n_keys > 0)
        AVVIK_TRY(avvik__fit_census_begin(&fit, error));
    AVVIK_TRY(rows_pass(&fit, error));
    AVVIK_TRY(features_finish(&fit, error));
    const uint64_t start = avvik__now_ns();
    AVVIK_TRY(forest_make(&fit, error));
    AVVIK_TRY(avvik__fit_joint(&fit, error));
    AVVIK_TRY(avvik__fit_joint_peers(&fit, error));
    AVVIK_TRY(avvik__fit_calibrate(&fit, error));
    summary.grow_ns = avvik__now_ns() - start;
    fit.model->forest.weights = NULL;
    *model_out = fit.model;
    fit.model = NULL;
done:
    journal_end(&fit, status, error);
    summary.elapsed_ns = avvik__now_ns() - fit.start_ns;
    if (options->summary != NULL)
        *options->summary = summary;
    avvik_model_free(fit.model);
    avvik__fit_peers_free(&fit);
    avvik__fit_joint_free(&fit);
    avvik__fit_blocks_free(&fit);
    free(fit.draws);
    free(fit.sample);
    free(fit.searches);
    free(fit.weights);
    free(fit.sample_groups);
    free(fit.is_taking_part);
    free(fit.is_searched);
    return status;
}

/* Scoring the inputs of a night, one score file each. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik/score.h"
#include "avvik_internal.h"
#include "night_steps.h"
#include "night_text.h"

/* What all inputs are scored with; the engine is opened for the first that needs it. */
struct scoring {
    struct avvik_model *model;
    struct avvik_model_summary learnt;
    const char **features; /* and behind them the columns that rows are grouped by */
    struct avvik_engine *engine;
};

static void scoring_close(struct scoring *scoring)
{
    avvik_engine_close(scoring->engine);
    free(scoring->features);
    avvik_model_free(scoring->model);
}

static enum avvik_status scoring_open(struct scoring *scoring, const struct avvik__night *night,
                                      struct avvik_error *error)
{
    const enum avvik_status status = avvik__night_model(night, &scoring->model, error);
    if (status != AVVIK_OK)
        return status;
    avvik_model_summarize(scoring->model, &scoring->learnt);
    if ((scoring->features = calloc(scoring->learnt.n_features + scoring->learnt.n_keys, sizeof *scoring->features)) ==
        NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < scoring->learnt.n_features; f++) {
        struct avvik_feature_summary feature;
        avvik_model_feature(scoring->model, f, &feature);
        scoring->features[f] = feature.name;
    }
    for (uint32_t k = 0; k < scoring->learnt.n_keys; k++)
        scoring->features[scoring->learnt.n_features + k] = avvik_model_key(scoring->model, k);
    return AVVIK_OK;
}

static enum avvik_status engine_need(struct scoring *scoring, const struct avvik__night *night,
                                     struct avvik_error *error)
{
    if (scoring->engine != NULL)
        return AVVIK_OK;
    const enum avvik_status status = avvik_engine_open(scoring->model, night->config->backend, &scoring->engine, error);
    if (status == AVVIK_OK && avvik_engine_warning(scoring->engine) != NULL)
        avvik__night_tell(night, 1, "%s", avvik_engine_warning(scoring->engine));
    return status;
}

static json_t *score_facts(const struct avvik_score_summary *summary, const struct avvik_engine *engine)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:o}", "rows", (json_int_t)summary->n_rows, "rows_with_missing",
                     (json_int_t)summary->rows_with_missing, "missing", (json_int_t)summary->values_missing, "infinite",
                     (json_int_t)summary->values_infinite, "rows_absent", (json_int_t)summary->rows_absent, "backend",
                     avvik_engine_backend(engine), "device", avvik__json_text(avvik_engine_device(engine)));
}

/* resume: the same scoring was begun and not ended. */
static enum avvik_status input_score(struct avvik__night *night, struct scoring *scoring, size_t i, int resume,
                                     json_t *unit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_night_config *config = night->config;
    const struct avvik__night_input *input = &night->inputs[i];
    const struct avvik_selection selection = {.table = config->table == NULL ? scoring->learnt.table : config->table,
                                              .features = scoring->features,
                                              .n_features = scoring->learnt.n_features,
                                              .keys = scoring->features + scoring->learnt.n_features,
                                              .n_keys = scoring->learnt.n_keys};
    struct avvik__step_progress progress = {night, "score"};
    struct avvik_score_options options = {.threads = config->threads,
                                          .replace = 1,
                                          .stop = night->options->stop,
                                          .progress = avvik__step_progress_show,
                                          .user = &progress,
                                          .memory_bytes = config->memory_bytes,
                                          .compress = config->compress,
                                          .skip_damaged = config->skip_damaged,
                                          .resume = resume};
    struct avvik_score_summary summary;
    struct avvik_source *source = NULL;
    const char *const outputs[] = {input->scores};
    char count[AVVIK_COUNT_SIZE], *path = avvik__night_path(night, input->scores);
    if (path == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik_source_open(&input->path, 1, &selection, &source, error));
    status = avvik_score_file(scoring->model, scoring->engine, source, path, &options, &summary, error);
    if ((status == AVVIK_ERR_EXISTS && resume) || (status == AVVIK_OK && summary.is_complete_already)) {
        /* What lies there is of another run after all; or it is whole, which a kill just before the manifest said so
         * leaves, but then what it counted is lost. */
        options.resume = 0;
        status = avvik_score_file(scoring->model, scoring->engine, source, path, &options, &summary, error);
    }
    if (status != AVVIK_OK)
        goto done;
    if (!avvik__is_unchanged(input->path, json_array_get(json_object_get(night->manifest, "inputs"), i)))
        AVVIK_FAIL(AVVIK_ERR_IO, 0, "%s: changed while it was scored; run again once it is complete", input->path);
    AVVIK_TRY(avvik__unit_end(night, unit, outputs, 1, score_facts(&summary, scoring->engine), error));
    avvik__night_tell(night, 0, "scored %s: %s rows in %.2f s on %s", input->path, avvik__count(summary.n_rows, count),
                      (double)summary.elapsed_ns / 1e9, avvik_engine_backend(scoring->engine));
    if (summary.rows_absent > 0)
        avvik__night_tell(night, 1, "%s: %s rows are damaged and have no scores", input->path,
                          avvik__count(summary.rows_absent, count));
done:
    avvik_source_close(source);
    free(path);
    return status;
}

enum avvik_status avvik__step_score(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct scoring scoring = {0};
    char *folder = avvik__night_path(night, "scores");
    if (folder == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__directory_make(folder, error));
    AVVIK_TRY(scoring_open(&scoring, night, error));
    for (size_t i = 0; i < night->files.n; i++) {
        const struct avvik__night_input *input = &night->inputs[i];
        json_t *unit = avvik__unit(night, "score", input->path);
        char key[AVVIK_HASH_SIZE];
        struct avvik_error reason;
        if (input->is_bad)
            continue;
        if (avvik__night_stopped(night))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        avvik__unit_key(key, "score|%s|%s|%s|%u|%d", input->hash, scoring.learnt.content_hash,
                        night->config->table == NULL ? "" : night->config->table, night->config->compress,
                        night->config->skip_damaged);
        if (avvik__unit_is_done(night, unit, key))
            continue;
        AVVIK_TRY(engine_need(&scoring, night, error));
        const int resume = avvik__unit_is_begun(unit, key);
        AVVIK_TRY(avvik__unit_begin(night, unit, key, error));
        const enum avvik_status outcome = input_score(night, &scoring, i, resume, unit, &reason);
        if (avvik__is_fatal(outcome)) {
            status = avvik__error_set(error, outcome, reason.foreign_code, "%s", reason.text);
            goto done;
        }
        if (outcome != AVVIK_OK)
            AVVIK_TRY(avvik__input_fail(night, i, unit, 1, &reason, error));
    }
done:
    scoring_close(&scoring);
    free(folder);
    return status;
}

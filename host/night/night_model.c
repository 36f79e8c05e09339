/* The model of a night: the one that is there, or a new one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "avvik_internal.h"
#include "night_steps.h"
#include "night_text.h"

static void decision_key(const struct avvik_night_config *config, char key[AVVIK_HASH_SIZE])
{
    avvik__unit_key(key, "decide|%s|%d|%u", config->model, config->has_fit, config->fit_days);
}

enum avvik_status avvik__model_decide(const struct avvik__night *night, struct avvik__decision *decision,
                                      struct avvik_error *error)
{
    const struct avvik_night_config *config = night->config;
    const json_t *before = json_object_get(night->manifest, "model");
    struct avvik_model *model = NULL;
    struct avvik_model_summary summary;
    char key[AVVIK_HASH_SIZE];
    int32_t made = night->day;
    *decision = (struct avvik__decision){0};
    decision_key(config, key);
    if (strcmp(avvik__unit_text(before, "key"), key) == 0) { /* a fit that was begun goes on, whatever has come of it */
        decision->is_fit_due = strcmp(avvik__unit_text(before, "action"), "fit") == 0;
        decision->age_days = (int32_t)json_integer_value(json_object_get(before, "age_days"));
        decision->has_before = json_is_true(json_object_get(before, "has_before"));
        decision->is_old = 1;
        snprintf(decision->reason, sizeof decision->reason, "%s", avvik__unit_text(before, "reason"));
        return AVVIK_OK;
    }
    if (config->has_fit && access(config->model, F_OK) != 0 && errno == ENOENT) {
        decision->is_fit_due = 1;
        snprintf(decision->reason, sizeof decision->reason, "there is no model yet");
        return AVVIK_OK;
    }
    const enum avvik_status status = avvik_model_load(config->model, &model, error);
    if (status != AVVIK_OK)
        return status;
    avvik_model_summarize(model, &summary);
    avvik__date_days(summary.created, &made); /* an unreadable date counts as today */
    avvik_model_free(model);
    decision->has_before = 1;
    decision->age_days = night->day - made;
    decision->is_fit_due = config->has_fit && config->fit_days > 0 && decision->age_days >= (int32_t)config->fit_days;
    snprintf(decision->reason, sizeof decision->reason, "the model is %d days old%s", decision->age_days,
             decision->is_fit_due ? ", and a new one is due" : "");
    return AVVIK_OK;
}

enum avvik_status avvik__step_decide(struct avvik__night *night, struct avvik_error *error)
{
    struct avvik__decision decision;
    char key[AVVIK_HASH_SIZE];
    const enum avvik_status status = avvik__model_decide(night, &decision, error);
    if (status != AVVIK_OK)
        return status;
    night->is_fit_due = decision.is_fit_due;
    if (decision.is_old)
        return AVVIK_OK;
    decision_key(night->config, key);
    if (decision.is_fit_due && decision.has_before) {
        char *before = avvik__night_path(night, "before.h5");
        const enum avvik_status copied = before == NULL ? avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory")
                                                        : avvik__file_copy(night->config->model, before, error);
        free(before);
        if (copied != AVVIK_OK)
            return copied;
    }
    json_t *after =
        json_pack("{s:s, s:o, s:s, s:s, s:i, s:b}", "key", key, "path", avvik__json_text(night->config->model),
                  "action", decision.is_fit_due ? "fit" : "copy", "reason", decision.reason, "age_days",
                  decision.age_days, "has_before", decision.has_before);
    if (json_object_set_new(night->manifest, "model", after) != 0)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    return avvik__manifest_save(night, error);
}

/* What a finished model unit says of the model. */
static json_t *model_facts(const struct avvik_model *model)
{
    struct avvik_model_summary summary;
    avvik_model_summarize(model, &summary);
    return json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:I}", "content_hash", summary.content_hash, "created",
                     avvik__json_text(summary.created), "rows", (json_int_t)summary.n_rows, "features",
                     (json_int_t)summary.n_features, "trees", (json_int_t)summary.trees, "sample",
                     (json_int_t)summary.sample, "seed", (json_int_t)summary.seed);
}

static const char *const model_outputs[] = {"model.h5"};

enum avvik_status avvik__step_model_copy(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char key[AVVIK_HASH_SIZE], *path = avvik__night_path(night, "model.h5");
    struct avvik_model *model = NULL;
    json_t *unit = avvik__unit(night, "model", NULL);
    avvik__unit_key(key, "copy|%s", night->config->model);
    if (path == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (avvik__unit_is_done(night, unit, key))
        goto done;
    AVVIK_TRY(avvik__unit_begin(night, unit, key, error));
    AVVIK_TRY(avvik__file_copy(night->config->model, path, error));
    AVVIK_TRY(avvik_model_load(path, &model, error)); /* the copy: nobody can change it under our hands */
    status = avvik__unit_end(night, unit, model_outputs, 1, model_facts(model), error);
done:
    avvik_model_free(model);
    free(path);
    return status;
}

/* Only the batches tell whether the names are those of features. */
static enum avvik_status weights_take(const struct avvik_night_config *config, const struct avvik_source *source,
                                      float **weights_out, struct avvik_error *error)
{
    struct avvik_error reason;
    if (config->weights == NULL)
        return AVVIK_OK;
    const enum avvik_status status = avvik_feature_weights_parse(config->weights, source, weights_out, &reason);
    return status == AVVIK_OK ? AVVIK_OK
           : status == AVVIK_ERR_USAGE
               ? avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: model.fit.weights %s", config->path, reason.text)
               : avvik__error_set(error, status, reason.foreign_code, "%s", reason.text);
}

/* resume: a fit of these files by these settings was begun and not ended. */
static enum avvik_status model_fit(struct avvik__night *night, const struct avvik__file_list *files, const char *path,
                                   int resume, struct avvik_model **model_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_night_config *config = night->config;
    struct avvik_source *source = NULL;
    struct avvik_model *model = NULL;
    const struct avvik_selection selection = {.table = config->table,
                                              .features = (const char *const *)config->features,
                                              .n_features = config->n_features,
                                              .keys = (const char *const *)config->peers,
                                              .n_keys = config->n_peers};
    struct avvik_fit_options options = AVVIK_FIT_DEFAULTS;
    float *weights = NULL;
    struct avvik__step_progress progress = {night, "fit"};
    char *journal = avvik__text("%s.journal", path);
    const char **paths = calloc(files->n, sizeof *paths);
    if (paths == NULL || journal == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < files->n; i++)
        paths[i] = files->entries[i].path;
    options.trees = config->trees;
    options.sample = config->sample;
    options.splits = config->splits;
    options.seed = config->seed;
    options.threads = config->threads;
    options.stop = night->options->stop;
    options.progress = avvik__step_progress_show;
    options.user = &progress;
    options.memory_bytes = config->memory_bytes;
    options.journal = journal;
    options.resume = resume;
    options.min_peers = config->min_peers;
    options.joint_peers = config->joint_peers;
    options.with_tails = config->with_tails;
    AVVIK_TRY(avvik_source_open(paths, files->n, &selection, &source, error));
    AVVIK_TRY(weights_take(config, source, &weights, error));
    options.weights = weights;
    status = avvik_model_fit(source, &options, &model, error);
    if (status == AVVIK_ERR_EXISTS && resume) { /* the journal is of another fit after all */
        options.resume = 0;
        status = avvik_model_fit(source, &options, &model, error);
    }
    if (status != AVVIK_OK)
        goto done;
    AVVIK_TRY(avvik_model_save(model, path, 1, error));
    AVVIK_TRY(avvik_model_load(path, model_out, error)); /* only the file has a hash and a time */
done:
    avvik_model_free(model);
    free(weights);
    free(journal);
    avvik_source_close(source);
    free(paths);
    return status;
}

/* Hash of everything that a fit depends on; the first file that cannot be read ends it. */
static enum avvik_status fit_key(struct avvik__night *night, const struct avvik__file_list *files,
                                 char key[AVVIK_HASH_SIZE], struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_night_config *config = night->config;
    char list[AVVIK_HASH_SIZE];
    struct stat info;
    char(*hashes)[AVVIK_HASH_SIZE] = calloc(files->n, sizeof *hashes);
    struct avvik_error *reasons = calloc(files->n, sizeof *reasons);
    XXH3_state_t *state = XXH3_createState();
    if (hashes == NULL || reasons == NULL || state == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__files_identify(night, files, "fit_inputs", hashes, reasons, error));
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < files->n; i++) {
        if (reasons[i].status != AVVIK_OK)
            AVVIK_FAIL(reasons[i].status, 0, "no model can be fitted: %.900s", reasons[i].text);
        XXH3_128bits_update(state, hashes[i], AVVIK_HASH_SIZE);
    }
    for (size_t f = 0; f < config->n_features; f++)
        XXH3_128bits_update(state, config->features[f], strlen(config->features[f]) + 1);
    for (size_t k = 0; k < config->n_peers; k++) {
        XXH3_128bits_update(state, "peers", sizeof "peers");
        XXH3_128bits_update(state, config->peers[k], strlen(config->peers[k]) + 1);
    }
    if (config->weights != NULL)
        XXH3_128bits_update(state, config->weights, strlen(config->weights) + 1);
    if (config->are_weights_file) {
        if ((status = avvik__file_hash(config->weights, night->options->stop, list, &info, &reasons[0])) != AVVIK_OK)
            AVVIK_FAIL(status, 0, "%s: model.fit.weights is neither NAME=NUMBER,... nor a file: %.700s", config->path,
                       reasons[0].text);
        XXH3_128bits_update(state, list, strlen(list) + 1);
    }
    if (config->n_peers > 0)
        XXH3_128bits_update(state, &config->joint_peers, sizeof config->joint_peers);
    if (config->with_tails)
        XXH3_128bits_update(state, "tails", sizeof "tails");
    avvik__hash_text(XXH3_128bits_digest(state), list);
    avvik__unit_key(key, "fit|%s|%s|%u|%u|%s|%llu|%llu|%s", config->model, config->table == NULL ? "" : config->table,
                    config->trees, config->sample, avvik_splits_name(config->splits), (unsigned long long)config->seed,
                    (unsigned long long)config->min_peers, list);
done:
    XXH3_freeState(state);
    free(reasons);
    free(hashes);
    return status;
}

/* What was learnt must be of what the manifest says. */
static enum avvik_status files_unchanged(const struct avvik__night *night, const struct avvik__file_list *files,
                                         struct avvik_error *error)
{
    const json_t *records = json_object_get(night->manifest, "fit_inputs");
    for (size_t i = 0; i < files->n; i++)
        if (!avvik__is_unchanged(files->entries[i].path, json_array_get(records, i)))
            return avvik__error_set(error, AVVIK_ERR_IO, 0,
                                    "%s: changed while a model was fitted on it; run again once it is complete",
                                    files->entries[i].path);
    return AVVIK_OK;
}

enum avvik_status avvik__step_model_fit(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_night_config *config = night->config;
    char key[AVVIK_HASH_SIZE], *path = avvik__night_path(night, "model.h5");
    struct avvik_model *model = NULL;
    struct avvik__file_list files = {0};
    json_t *unit = avvik__unit(night, "model", NULL);
    if (path == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__files_find(config->fit_from, config->n_fit_from, config->folder, night->date, &files, error));
    AVVIK_TRY(fit_key(night, &files, key, error));
    if (avvik__unit_is_done(night, unit, key))
        goto done;
    const int resume = avvik__unit_is_begun(unit, key);
    AVVIK_TRY(avvik__unit_begin(night, unit, key, error));
    AVVIK_TRY(model_fit(night, &files, path, resume, &model, error));
    AVVIK_TRY(files_unchanged(night, &files, error));
    AVVIK_TRY(avvik__file_copy(path, config->model, error));
    AVVIK_TRY(avvik__unit_end(night, unit, model_outputs, 1, model_facts(model), error));
    avvik__night_tell(night, 0, "fitted a model on %zu file%s -> %s", files.n, files.n == 1 ? "" : "s", config->model);
done:
    avvik__files_destroy(&files);
    avvik_model_free(model);
    free(path);
    return status;
}

enum avvik_status avvik__night_model(const struct avvik__night *night, struct avvik_model **model_out,
                                     struct avvik_error *error)
{
    const struct avvik_night_config *config = night->config;
    struct avvik_model_summary summary;
    char *path = avvik__night_path(night, "model.h5");
    if (path == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    enum avvik_status status = avvik_model_load(path, model_out, error);
    free(path);
    if (status != AVVIK_OK || config->n_features == 0)
        return status;
    avvik_model_summarize(*model_out, &summary);
    int is_same = summary.n_features == config->n_features;
    for (uint32_t f = 0; is_same && f < summary.n_features; f++) {
        struct avvik_feature_summary feature;
        avvik_model_feature(*model_out, f, &feature);
        is_same = strcmp(feature.name, config->features[f]) == 0;
    }
    if (is_same)
        return AVVIK_OK;
    avvik_model_free(*model_out);
    *model_out = NULL;
    return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                            "%s: `features` are not those of the model %s, which has %u; leave them out or fit anew",
                            config->path, config->model, summary.n_features);
}

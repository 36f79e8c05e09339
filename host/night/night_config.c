#include "night_config.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "avvik/model.h"
#include "avvik_internal.h"
#include "check_config.h"
#include "night_text.h"
#include "yaml_file.h"

/* As libcyaml fills it. Numbers are texts: libcyaml would read "12x" as 12 and "maybe" as true. */
struct avvik__night_yaml {
    char *runs, *table, *lock, *metrics, *results, *store;
    char **features, **inputs;
    uint32_t n_features, n_inputs;
    struct model_yaml {
        char *path;
        struct fit_yaml {
            char **from, **peers;
            uint32_t n_from, n_peers;
            char *every, *trees, *sample, *splits, *seed, *min_peers, *joint_peers, *weights, *tails;
        } * fit;
    } * model;
    struct score_yaml {
        char *backend, *threads, *memory, *compress, *damaged;
    } * score;
    struct flag_yaml {
        char *budget, *by, *fdr, *random_share, *seed, *weights, *p_by;
    } * flag;
    struct explain_yaml {
        char **show;
        uint32_t n_show;
        char *language, *reasons, *entity, *time, *office;
        char **history;
        uint32_t n_history;
    } * explain;
    struct keep_yaml {
        char *nights, *days;
    } * keep;
    struct avvik__check_config *check;
};

#define OPTIONAL (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define TEXT(key, type, member) CYAML_FIELD_STRING_PTR(key, OPTIONAL, type, member, 1, 4096)
#define TEXTS(key, type, member, count) CYAML_FIELD_SEQUENCE_COUNT(key, OPTIONAL, type, member, count, &entry, 1, 10000)
#define BLOCK(key, type, member, fields) CYAML_FIELD_MAPPING_PTR(key, OPTIONAL, type, member, fields)

static const cyaml_schema_value_t entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, 4096)};
static const cyaml_schema_field_t fit_fields[] = {TEXTS("from", struct fit_yaml, from, n_from),
                                                  TEXT("every", struct fit_yaml, every),
                                                  TEXT("trees", struct fit_yaml, trees),
                                                  TEXT("sample", struct fit_yaml, sample),
                                                  TEXT("splits", struct fit_yaml, splits),
                                                  TEXT("seed", struct fit_yaml, seed),
                                                  TEXTS("peers", struct fit_yaml, peers, n_peers),
                                                  TEXT("min_peers", struct fit_yaml, min_peers),
                                                  TEXT("joint_peers", struct fit_yaml, joint_peers),
                                                  TEXT("weights", struct fit_yaml, weights),
                                                  TEXT("tails", struct fit_yaml, tails),
                                                  CYAML_FIELD_END};
static const cyaml_schema_field_t model_fields[] = {TEXT("path", struct model_yaml, path),
                                                    BLOCK("fit", struct model_yaml, fit, fit_fields), CYAML_FIELD_END};
static const cyaml_schema_field_t score_fields[] = {
    TEXT("backend", struct score_yaml, backend), TEXT("threads", struct score_yaml, threads),
    TEXT("memory", struct score_yaml, memory),   TEXT("compress", struct score_yaml, compress),
    TEXT("damaged", struct score_yaml, damaged), CYAML_FIELD_END};
static const cyaml_schema_field_t flag_fields[] = {
    TEXT("budget", struct flag_yaml, budget), TEXT("by", struct flag_yaml, by),
    TEXT("fdr", struct flag_yaml, fdr),       TEXT("random_share", struct flag_yaml, random_share),
    TEXT("seed", struct flag_yaml, seed),     TEXT("weights", struct flag_yaml, weights),
    TEXT("p_by", struct flag_yaml, p_by),     CYAML_FIELD_END};
static const cyaml_schema_field_t explain_fields[] = {TEXTS("show", struct explain_yaml, show, n_show),
                                                      TEXT("language", struct explain_yaml, language),
                                                      TEXT("reasons", struct explain_yaml, reasons),
                                                      TEXT("entity", struct explain_yaml, entity),
                                                      TEXT("time", struct explain_yaml, time),
                                                      TEXT("office", struct explain_yaml, office),
                                                      TEXTS("history", struct explain_yaml, history, n_history),
                                                      CYAML_FIELD_END};
static const cyaml_schema_field_t keep_fields[] = {TEXT("nights", struct keep_yaml, nights),
                                                   TEXT("days", struct keep_yaml, days), CYAML_FIELD_END};
static const cyaml_schema_field_t night_fields[] = {
    TEXT("runs", struct avvik__night_yaml, runs),
    TEXT("table", struct avvik__night_yaml, table),
    TEXT("lock", struct avvik__night_yaml, lock),
    TEXT("metrics", struct avvik__night_yaml, metrics),
    TEXT("results", struct avvik__night_yaml, results),
    TEXT("store", struct avvik__night_yaml, store),
    TEXTS("features", struct avvik__night_yaml, features, n_features),
    TEXTS("inputs", struct avvik__night_yaml, inputs, n_inputs),
    BLOCK("model", struct avvik__night_yaml, model, model_fields),
    BLOCK("score", struct avvik__night_yaml, score, score_fields),
    BLOCK("flag", struct avvik__night_yaml, flag, flag_fields),
    BLOCK("explain", struct avvik__night_yaml, explain, explain_fields),
    BLOCK("retention", struct avvik__night_yaml, keep, keep_fields),
    BLOCK("check", struct avvik__night_yaml, check, avvik__check_fields),
    CYAML_FIELD_END};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct avvik__night_yaml, night_fields)};

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit day_units[] = {{"days", 1}, {"day", 1}, {"weeks", 7}, {"week", 7}, {NULL, 0}};
static const struct unit byte_units[] = {
    {"MiB", 1u << 20}, {"GiB", 1u << 30}, {"MB", 1000000}, {"GB", 1000000000}, {NULL, 0}};

/* A whole number and one of `units` after it, within [min, max] once multiplied. NULL leaves *number as it is. `wanted`
 * says what belongs there. */
static enum avvik_status number_take(const struct avvik__yaml *file, const char *field, const char *text,
                                     const struct unit *units, uint64_t min, uint64_t max, const char *wanted,
                                     uint64_t *number, struct avvik_error *error)
{
    char *end;
    if (text == NULL)
        return AVVIK_OK;
    errno = 0;
    const unsigned long long count = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (text[0] >= '0' && text[0] <= '9' && errno == 0) {
        uint64_t result;
        for (end += strspn(end, " "); units->name != NULL; units++)
            if (strcmp(end, units->name) == 0 && !__builtin_mul_overflow((uint64_t)count, units->factor, &result) &&
                result >= min && result <= max) {
                *number = result;
                return AVVIK_OK;
            }
    }
    return avvik__yaml_bad(file, field, error, "takes %s, not '%.60s'", wanted, text);
}

/* The same for what fits 32 bits. */
static enum avvik_status count_take(const struct avvik__yaml *file, const char *field, const char *text,
                                    const struct unit *units, uint32_t min, uint32_t max, const char *wanted,
                                    uint32_t *count, struct avvik_error *error)
{
    uint64_t number = *count;
    const enum avvik_status status = number_take(file, field, text, units, min, max, wanted, &number, error);
    *count = (uint32_t)number;
    return status;
}

static char *absolute(const struct avvik_night_config *config, const char *path)
{
    return path[0] == '/' ? strdup(path) : avvik__text("%s/%s", config->folder, path);
}

/* A path of one place, whatever the night. */
static enum avvik_status path_take(const struct avvik_night_config *config, const struct avvik__yaml *file,
                                   const char *field, const char *text, char **path_out, struct avvik_error *error)
{
    if (text == NULL)
        return AVVIK_OK;
    if (strpbrk(text, "{}") != NULL)
        return avvik__yaml_bad(file, field, error, "is one place for all nights and takes no placeholder: '%.60s'",
                               text);
    return (*path_out = absolute(config, text)) == NULL ? avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory")
                                                        : AVVIK_OK;
}

static enum avvik_status placeholders_check(const struct avvik__yaml *file, const char *field, size_t number,
                                            const char *text, struct avvik_error *error)
{
    char *filled = avvik__date_fill(text, "2000-01-01"), place[64];
    snprintf(place, sizeof place, number == SIZE_MAX ? "%s" : "%s[%zu]", field, number);
    if (filled == NULL)
        return avvik__yaml_bad(file, place, error,
                               "has a placeholder that is not known: '%.60s'; there are {date}, {year}, {month} "
                               "and {day}",
                               text);
    free(filled);
    return AVVIK_OK;
}

static enum avvik_status model_take(struct avvik_night_config *config, const struct avvik__yaml *file,
                                    const struct model_yaml *model, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    if (model == NULL || model->path == NULL)
        return avvik__yaml_bad(file, "model.path", error, "is missing: where the model is, or will be put by a fit");
    AVVIK_TRY(path_take(config, file, "model.path", model->path, &config->model, error));
    config->trees = 128;
    config->sample = 256;
    config->splits = AVVIK_SPLITS_MIXED;
    config->seed = 1;
    config->min_peers = AVVIK_MIN_PEERS_DEFAULT;
    config->joint_peers = AVVIK_JOINT_PEERS_DEFAULT;
    const struct fit_yaml *fit = model->fit;
    if (fit == NULL)
        goto done;
    config->has_fit = 1;
    if (fit->n_from == 0) {
        status = avvik__yaml_bad(file, "model.fit.from", error, "is missing: the batches to learn from");
        goto done;
    }
    config->fit_from = fit->from;
    config->n_fit_from = fit->n_from;
    for (uint32_t i = 0; i < fit->n_from; i++)
        AVVIK_TRY(placeholders_check(file, "model.fit.from", i, fit->from[i], error));
    AVVIK_TRY(count_take(file, "model.fit.every", fit->every, day_units, 1, 36500, "a time such as '30 days'",
                         &config->fit_days, error));
    AVVIK_TRY(count_take(file, "model.fit.trees", fit->trees, no_units, 1, 10000, "a whole number from 1 to 10000",
                         &config->trees, error));
    AVVIK_TRY(count_take(file, "model.fit.sample", fit->sample, no_units, 16, 4096, "a whole number from 16 to 4096",
                         &config->sample, error));
    if (fit->splits != NULL && !avvik_splits_parse(fit->splits, &config->splits))
        AVVIK_TRY(avvik__yaml_bad(file, "model.fit.splits", error, "takes uniform, mixed or kurtosis, not '%.60s'",
                                  fit->splits));
    AVVIK_TRY(number_take(file, "model.fit.seed", fit->seed, no_units, 0, INT64_MAX, "a whole number from 0",
                          &config->seed, error));
    AVVIK_TRY(number_take(file, "model.fit.min_peers", fit->min_peers, no_units, 1, INT64_MAX, "a whole number from 1",
                          &config->min_peers, error));
    if (fit->min_peers != NULL && fit->n_peers == 0)
        AVVIK_TRY(avvik__yaml_bad(file, "model.fit.min_peers", error, "says nothing without model.fit.peers"));
    if (fit->joint_peers != NULL && strcmp(fit->joint_peers, "0") == 0)
        config->joint_peers = 0;
    else
        AVVIK_TRY(number_take(file, "model.fit.joint_peers", fit->joint_peers, no_units, 16, INT64_MAX,
                              "a whole number from 16, or 0 for none", &config->joint_peers, error));
    if (fit->joint_peers != NULL && fit->n_peers == 0)
        AVVIK_TRY(avvik__yaml_bad(file, "model.fit.joint_peers", error, "says nothing without model.fit.peers"));
    config->peers = fit->peers;
    config->n_peers = fit->n_peers;
    if (fit->weights != NULL && strchr(fit->weights, '=') == NULL) {
        AVVIK_TRY(path_take(config, file, "model.fit.weights", fit->weights, &config->weights, error));
        config->are_weights_file = 1;
    } else if (fit->weights != NULL && (config->weights = strdup(fit->weights)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    config->with_tails = fit->tails != NULL && strcmp(fit->tails, "yes") == 0;
    if (fit->tails != NULL && !config->with_tails && strcmp(fit->tails, "no") != 0)
        AVVIK_TRY(avvik__yaml_bad(file, "model.fit.tails", error, "takes yes or no, not '%.60s'", fit->tails));
done:
    return status;
}

static enum avvik_status score_take(struct avvik_night_config *config, const struct avvik__yaml *file,
                                    const struct score_yaml *score, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    config->backend = "auto";
    if (score == NULL)
        return AVVIK_OK;
    if (score->backend != NULL)
        config->backend = score->backend;
    AVVIK_TRY(count_take(file, "score.threads", score->threads, no_units, 0, 256,
                         "a whole number from 0 (one thread per CPU) to 256", &config->threads, error));
    AVVIK_TRY(number_take(file, "score.memory", score->memory, byte_units, 1 << 20, INT64_MAX,
                          "a size such as '512 MiB'", &config->memory_bytes, error));
    AVVIK_TRY(count_take(file, "score.compress", score->compress, no_units, 0, 9, "a deflate level from 0 (none) to 9",
                         &config->compress, error));
    config->skip_damaged = score->damaged != NULL && strcmp(score->damaged, "skip") == 0;
    if (score->damaged != NULL && !config->skip_damaged && strcmp(score->damaged, "stop") != 0)
        status = avvik__yaml_bad(file, "score.damaged", error, "takes stop or skip, not '%.60s'", score->damaged);
done:
    return status;
}

/* Cases are explained where there is a block for it, or a store that takes them. */
static enum avvik_status explain_take(struct avvik_night_config *config, const struct avvik__yaml *file,
                                      const struct avvik__night_yaml *yaml, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct explain_yaml *explain = yaml->explain;
    struct avvik_explain_options *options = &config->explain;
    *options = (struct avvik_explain_options)AVVIK_EXPLAIN_DEFAULTS;
    config->has_explain = explain != NULL || yaml->store != NULL;
    AVVIK_TRY(path_take(config, file, "store", yaml->store, &config->store, error));
    if (config->has_explain && config->flag.budget > AVVIK_MAX_EXPLAINED)
        AVVIK_TRY(avvik__yaml_bad(file, "flag.budget", error, "is at most %d where cases are explained",
                                  AVVIK_MAX_EXPLAINED));
    if (explain == NULL)
        goto done;
    options->show = (const char *const *)explain->show;
    options->n_show = explain->n_show;
    options->entity = explain->entity;
    options->time = explain->time;
    options->office = explain->office;
    config->history = explain->history;
    config->n_history = explain->n_history;
    AVVIK_TRY(count_take(file, "explain.reasons", explain->reasons, no_units, 1, 65535,
                         "a whole number from 1 to 65535", &options->n_reasons, error));
    if (explain->language == NULL)
        goto done;
    for (options->language = 0; options->language < AVVIK_N_LANGUAGES; options->language++)
        if (strcmp(explain->language, avvik_language_code(options->language)) == 0)
            goto done;
    status = avvik__yaml_bad(file, "explain.language", error, "takes en, nb or nn, not '%.60s'", explain->language);
done:
    return status;
}

/* "0.05" or "5 %", within [0, 1] as the command line takes it. NULL leaves *share as it is. */
static enum avvik_status share_take(const struct avvik__yaml *file, const char *field, const char *text, double *share,
                                    struct avvik_error *error)
{
    if (text == NULL || avvik_share_parse(text, share))
        return AVVIK_OK;
    return avvik__yaml_bad(file, field, error, "takes a share such as '5 %%' or '0.05', not '%.60s'", text);
}

static enum avvik_status flag_take(struct avvik_night_config *config, const struct avvik__yaml *file,
                                   const struct avvik__night_yaml *yaml, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_flag_options *flag = &config->flag;
    *flag = (struct avvik_flag_options)AVVIK_FLAG_DEFAULTS;
    if (yaml->flag != NULL) {
        AVVIK_TRY(number_take(file, "flag.budget", yaml->flag->budget, no_units, 1, 100000000,
                              "a whole number from 1 to 100000000", &flag->budget, error));
        AVVIK_TRY(share_take(file, "flag.fdr", yaml->flag->fdr, &flag->fdr, error));
        if (yaml->flag->fdr != NULL && yaml->flag->budget == NULL)
            flag->budget = 0; /* as long as the rate lets it be */
        if (yaml->flag->fdr != NULL && !(flag->fdr > 0 && flag->fdr < 1))
            AVVIK_TRY(
                avvik__yaml_bad(file, "flag.fdr", error, "takes a rate between 0 and 1, not '%.60s'", yaml->flag->fdr));
        AVVIK_TRY(share_take(file, "flag.random_share", yaml->flag->random_share, &flag->random_share, error));
        AVVIK_TRY(number_take(file, "flag.seed", yaml->flag->seed, no_units, 0, INT64_MAX, "a whole number",
                              &flag->seed, error));
        if (yaml->flag->weights != NULL && !avvik_weights_parse(yaml->flag->weights, flag->weights))
            AVVIK_TRY(avvik__yaml_bad(file, "flag.weights", error,
                                      "takes weights such as forest=4,deviation=1,joint=1, not '%.60s'",
                                      yaml->flag->weights));
        if (yaml->flag->p_by != NULL && !avvik_p_by_parse(yaml->flag->p_by, &flag->p_by))
            AVVIK_TRY(
                avvik__yaml_bad(file, "flag.p_by", error, "takes group or everyone, not '%.60s'", yaml->flag->p_by));
        if (yaml->flag->by != NULL) {
            for (flag->by = 0; flag->by < AVVIK_N_DETECTORS; flag->by++)
                if (strcmp(yaml->flag->by, avvik_detector_name(flag->by)) == 0)
                    break;
            if (flag->by == AVVIK_N_DETECTORS)
                AVVIK_TRY(avvik__yaml_bad(file, "flag.by", error,
                                          "takes forest, deviation, joint, tails or combined, not '%.60s'",
                                          yaml->flag->by));
        }
    }
    if (yaml->keep != NULL) {
        AVVIK_TRY(count_take(file, "retention.nights", yaml->keep->nights, no_units, 1, 1000000,
                             "a whole number from 1", &config->keep_nights, error));
        AVVIK_TRY(count_take(file, "retention.days", yaml->keep->days, no_units, 1, 1000000, "a whole number from 1",
                             &config->keep_days, error));
    }
done:
    return status;
}

static enum avvik_status yaml_take(struct avvik_night_config *config, const struct avvik__yaml *file,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__night_yaml *yaml = config->yaml;
    if (yaml == NULL || yaml->runs == NULL)
        return avvik__yaml_bad(file, "runs", error, "is missing: the directory that gets a directory a night");
    if (yaml->n_inputs == 0)
        return avvik__yaml_bad(file, "inputs", error, "is missing: the batches of the night");
    AVVIK_TRY(path_take(config, file, "runs", yaml->runs, &config->runs, error));
    AVVIK_TRY(path_take(config, file, "lock", yaml->lock, &config->lock, error));
    AVVIK_TRY(path_take(config, file, "metrics", yaml->metrics, &config->metrics, error));
    if (config->lock == NULL && (config->lock = avvik__text("%s/night.lock", config->runs)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (yaml->results != NULL) {
        AVVIK_TRY(placeholders_check(file, "results", SIZE_MAX, yaml->results, error));
        if ((config->results = absolute(config, yaml->results)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    config->table = yaml->table;
    config->features = yaml->features;
    config->n_features = yaml->n_features;
    config->inputs = yaml->inputs;
    config->n_inputs = yaml->n_inputs;
    for (uint32_t i = 0; i < yaml->n_inputs; i++)
        AVVIK_TRY(placeholders_check(file, "inputs", i, yaml->inputs[i], error));
    AVVIK_TRY(model_take(config, file, yaml->model, error));
    AVVIK_TRY(score_take(config, file, yaml->score, error));
    AVVIK_TRY(flag_take(config, file, yaml, error));
    AVVIK_TRY(explain_take(config, file, yaml, error));
    avvik_check_rules_init(&config->rules);
    if (yaml->check != NULL)
        AVVIK_TRY(avvik__check_config_apply(yaml->check, file, &config->rules, error));
done:
    return status;
}

void avvik_night_config_free(struct avvik_night_config *config)
{
    if (config == NULL)
        return;
    avvik_check_rules_destroy(&config->rules);
    avvik__yaml_release(&schema, config->yaml);
    free(config->path);
    free(config->folder);
    free(config->runs);
    free(config->lock);
    free(config->model);
    free(config->weights);
    free(config->metrics);
    free(config->results);
    free(config->store);
    free(config);
}

enum avvik_status avvik_night_config_load(const char *path, struct avvik_night_config **config_out,
                                          struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__yaml file = {0};
    void *data = NULL;
    char *folder = NULL;
    struct avvik_night_config *config = calloc(1, sizeof *config);
    if (config == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__yaml_open(&file, path, error));
    if ((config->path = realpath(path, NULL)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be found: %s", path, strerror(errno));
    if ((folder = strdup(config->path)) == NULL || (config->folder = strdup(dirname(folder))) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    avvik__hash_text(XXH3_128bits(file.text, file.size), config->hash);
    AVVIK_TRY(avvik__yaml_take(&file, &schema, &data, error));
    config->yaml = data;
    AVVIK_TRY(yaml_take(config, &file, error));
    *config_out = config;
    config = NULL;
done:
    free(folder);
    avvik__yaml_close(&file);
    avvik_night_config_free(config);
    return status;
}

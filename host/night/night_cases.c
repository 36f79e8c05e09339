/* The cases of a night: why each row is on the list, and their place in the case store. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "avvik/explain.h"
#include "avvik/report.h"
#include "avvik/store.h"
#include "avvik_internal.h"
#include "night_steps.h"
#include "night_text.h"
#include "table_schema.h"

static const char *const case_outputs[] = {"cases.jsonl"};

/* Hash of what the documents depend on: the list, which depends on inputs, model and scores, and the settings. Which
 * earlier batches there are is not in it: later ones, of which there are more every night, must not change the
 * documents of a night that is done. */
static enum avvik_status explain_key(const struct avvik__night *night, char key[AVVIK_HASH_SIZE],
                                     struct avvik_error *error)
{
    const struct avvik_night_config *config = night->config;
    const struct avvik_explain_options *explain = &config->explain;
    const json_t *lists = json_object_get(avvik__unit(night, "flag", NULL), "outputs");
    const char *const texts[] = {avvik__unit_text(json_array_get(lists, 1), "hash"), explain->entity, explain->time,
                                 explain->office, avvik_language_code(explain->language)};
    char hash[AVVIK_HASH_SIZE];
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const char *text = texts[i] == NULL ? "" : texts[i];
        XXH3_128bits_update(state, text, strlen(text) + 1);
    }
    for (size_t i = 0; i < explain->n_show; i++)
        XXH3_128bits_update(state, explain->show[i], strlen(explain->show[i]) + 1);
    for (size_t i = 0; i < config->n_history; i++)
        XXH3_128bits_update(state, config->history[i], strlen(config->history[i]) + 1);
    avvik__hash_text(XXH3_128bits_digest(state), hash);
    XXH3_freeState(state);
    avvik__unit_key(key, "explain|%s|%u|%s", hash, explain->n_reasons, night->date);
    return AVVIK_OK;
}

/* The score files that there are, as the list numbers them. paths_out: n_out malloc'ed texts. */
static enum avvik_status scores_find(const struct avvik__night *night, char **paths_out, size_t *n_out,
                                     struct avvik_error *error)
{
    *n_out = 0;
    for (size_t i = 0; i < night->files.n; i++) {
        if (night->inputs[i].is_bad)
            continue;
        if ((paths_out[*n_out] = avvik__night_path(night, night->inputs[i].scores)) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        ++*n_out;
    }
    return AVVIK_OK;
}

/* The earlier batches that can be read. A timeline without one of them is better than no cases in the morning. names:
 * room for as many as found->n. */
static size_t history_choose(const struct avvik__night *night, const struct avvik__file_list *found,
                             const struct avvik_model *model, const char **names)
{
    struct avvik_model_summary summary;
    size_t n = 0;
    avvik_model_summarize(model, &summary);
    const char *table = night->config->table == NULL ? summary.table : night->config->table;
    for (size_t i = 0; i < found->n; i++) {
        struct avvik__schema schema;
        struct avvik_error error = {AVVIK_OK, 0, ""};
        if (found->entries[i].is_missing)
            avvik__night_tell(night, 0, "no earlier batch is called %s", found->entries[i].path);
        else if (avvik__schema_read(found->entries[i].path, table, &schema, &error) != AVVIK_OK)
            avvik__night_tell(night, 1, "an earlier batch is left out of the timelines: %s", error.text);
        else {
            names[n++] = found->entries[i].path;
            avvik__schema_destroy(&schema);
        }
    }
    return n;
}

/* Explain the rows of the list `flags` into the file `to`. *n_out: how many. */
static enum avvik_status list_explain(const struct avvik__night *night, const char *flags, const char *to,
                                      uint64_t *n_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_explain_options options = night->config->explain;
    struct avvik_explanations all = {0};
    struct avvik_flags list = {0};
    struct avvik_model *model = NULL;
    struct avvik__file_list found = {0};
    const char **history = NULL;
    size_t n_paths = 0;
    char **paths = calloc(night->files.n, sizeof *paths);
    const struct avvik_night_config *config = night->config;
    if (paths == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__files_find(config->history, config->n_history, config->folder, night->date, &found, error));
    AVVIK_TRY(avvik_flags_read(flags, &list, error));
    AVVIK_TRY(avvik__night_model(night, &model, error));
    AVVIK_TRY(scores_find(night, paths, &n_paths, error));
    options.by = night->config->flag.by;
    memcpy(options.weights, night->config->flag.weights, sizeof options.weights);
    options.p_by = list.p_by;
    options.night = night->date;
    options.threads = night->config->threads;
    options.stop = night->options->stop;
    if ((history = calloc(found.n + 1, sizeof *history)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    options.n_history = history_choose(night, &found, model, history);
    options.history = history;
    options.with_scan = 1; /* the night has read these files already: a pass more is little */
    if (list.n_picks > 0)  /* a list that is to keep to a rate may be empty */
        AVVIK_TRY(
            avvik_explain(model, (const char *const *)paths, n_paths, list.picks, list.n_picks, &options, &all, error));
    AVVIK_TRY(avvik_explanations_save(&all, to, 1, error));
    *n_out = all.n_rows;
done:
    avvik_explanations_destroy(&all);
    avvik_model_free(model);
    avvik_flags_destroy(&list);
    for (size_t i = 0; i < n_paths; i++)
        free(paths[i]);
    free(paths);
    free(history);
    avvik__files_destroy(&found);
    return status;
}

enum avvik_status avvik__step_explain(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char key[AVVIK_HASH_SIZE], count[AVVIK_COUNT_SIZE];
    char *flags = NULL, *cases = NULL;
    uint64_t n_cases = 0;
    json_t *unit = avvik__unit(night, "explain", NULL);
    if (!night->config->has_explain)
        return AVVIK_OK;
    AVVIK_TRY(explain_key(night, key, error));
    if (avvik__unit_is_done(night, unit, key))
        goto done;
    AVVIK_TRY(avvik__unit_begin(night, unit, key, error));
    if ((flags = avvik__night_path(night, "flags.json")) == NULL ||
        (cases = avvik__night_path(night, case_outputs[0])) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(list_explain(night, flags, cases, &n_cases, error));
    AVVIK_TRY(avvik__unit_end(night, unit, case_outputs, 1, json_pack("{s:I}", "cases", (json_int_t)n_cases), error));
    avvik__night_tell(night, 0, "explained %s cases -> %s", avvik__count(n_cases, count), cases);
done:
    free(cases);
    free(flags);
    return status;
}

/* The checks of the inputs that are on the list, and the hash of their hashes. paths_out: n_out malloc'ed texts. */
static enum avvik_status checks_find(const struct avvik__night *night, char **paths_out, size_t *n_out,
                                     char hash[AVVIK_HASH_SIZE], struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    XXH3_state_t *state = XXH3_createState();
    *n_out = 0;
    if (state == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < night->files.n; i++) {
        const json_t *unit = avvik__unit(night, "check", night->inputs[i].path);
        const char *of_file = avvik__unit_text(json_array_get(json_object_get(unit, "outputs"), 0), "hash");
        if (night->inputs[i].is_bad)
            continue;
        if ((paths_out[*n_out] = avvik__night_path(night, night->inputs[i].report)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        ++*n_out;
        XXH3_128bits_update(state, of_file, strlen(of_file) + 1);
    }
    avvik__hash_text(XXH3_128bits_digest(state), hash);
done:
    XXH3_freeState(state);
    return status;
}

enum avvik_status avvik__step_report(struct avvik__night *night, struct avvik_error *error)
{
    static const char *const outputs[] = {"report.html"};
    enum avvik_status status = AVVIK_OK;
    const json_t *explained = avvik__unit(night, "explain", NULL);
    const json_int_t n_cases = avvik__unit_fact(explained, "cases");
    struct avvik_report_options options = AVVIK_REPORT_DEFAULTS;
    char key[AVVIK_HASH_SIZE], checked[AVVIK_HASH_SIZE], count[AVVIK_COUNT_SIZE];
    char *cases = NULL, *page = NULL, **checks = NULL;
    size_t n_checks = 0;
    json_t *unit = avvik__unit(night, "report", NULL);
    if (!night->config->has_explain)
        return AVVIK_OK;
    if ((checks = calloc(night->files.n, sizeof *checks)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(checks_find(night, checks, &n_checks, checked, error));
    options.language = avvik_language_code(night->config->explain.language);
    avvik__unit_key(key, "report|%s|%s|%s", options.language, checked,
                    avvik__unit_text(json_array_get(json_object_get(explained, "outputs"), 0), "hash"));
    if (avvik__unit_is_done(night, unit, key))
        goto done;
    AVVIK_TRY(avvik__unit_begin(night, unit, key, error));
    if ((cases = avvik__night_path(night, case_outputs[0])) == NULL ||
        (page = avvik__night_path(night, outputs[0])) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const int is_made = n_cases > 0 && n_cases <= AVVIK_REPORT_MAX_CASES;
    const char *const out[AVVIK_REPORT_FILES] = {[AVVIK_REPORT_PAGE] = page};
    options.checks = (const char *const *)checks;
    options.n_checks = n_checks;
    options.replace = 1;
    if (is_made)
        AVVIK_TRY(avvik_report((const char *const *)&cases, 1, &options, out, NULL, error));
    else
        unlink(page); /* of an earlier run of this night */
    AVVIK_TRY(avvik__unit_end(night, unit, outputs, (size_t)is_made, json_pack("{s:b}", "is_made", is_made), error));
    if (is_made)
        avvik__night_tell(night, 0, "the report -> %s", page);
    else if (n_cases > 0)
        avvik__night_tell(night, 1, "there is no page of %s cases; one takes %d at most",
                          avvik__count((uint64_t)n_cases, count), AVVIK_REPORT_MAX_CASES);
done:
    for (size_t i = 0; i < n_checks; i++)
        free(checks[i]);
    free(checks);
    free(page);
    free(cases);
    return status;
}

enum avvik_status avvik__step_store(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const char *place = night->config->store;
    const json_t *explained = avvik__unit(night, "explain", NULL);
    char key[AVVIK_HASH_SIZE], fresh[AVVIK_COUNT_SIZE], linked[AVVIK_COUNT_SIZE], known[AVVIK_COUNT_SIZE];
    char *cases = NULL;
    struct avvik_store *store = NULL;
    struct avvik_store_added added = {0, 0, 0};
    json_t *unit = avvik__unit(night, "store", NULL);
    if (place == NULL)
        return AVVIK_OK;
    avvik__unit_key(key, "store|%s|%s", place,
                    avvik__unit_text(json_array_get(json_object_get(explained, "outputs"), 0), "hash"));
    if (avvik__unit_is_done(night, unit, key) && access(place, F_OK) == 0)
        goto done;
    AVVIK_TRY(avvik__unit_begin(night, unit, key, error));
    if ((cases = avvik__night_path(night, case_outputs[0])) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik_store_open(place, 1, &store, error));
    if (avvik__unit_fact(explained, "cases") > 0)
        AVVIK_TRY(avvik_store_add(store, cases, night->date, &added, error));
    /* How many of them were new is told, and not kept: after a kill at this very place all are known. */
    AVVIK_TRY(avvik__unit_end(night, unit, NULL, 0,
                              json_pack("{s:I}", "cases", (json_int_t)avvik__unit_fact(explained, "cases")), error));
    avvik__night_tell(night, 0, "%s new cases, %s seen on earlier nights, %s known already -> %s",
                      avvik__count(added.n_new, fresh), avvik__count(added.n_linked, linked),
                      avvik__count(added.n_known, known), place);
done:
    avvik_store_close(store);
    free(cases);
    return status;
}

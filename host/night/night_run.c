/* A night from its lock to its last line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "avvik/version.h"
#include "avvik_internal.h"
#include "night_lock.h"
#include "night_metrics.h"
#include "night_retention.h"
#include "night_steps.h"
#include "night_text.h"

static size_t bad_count(const struct avvik__night *night)
{
    size_t n = 0;
    for (size_t i = 0; i < night->files.n; i++)
        n += (size_t)night->inputs[i].is_bad;
    return n;
}

/* The inputs that could not be used, by name, as far as one sentence holds them. */
static enum avvik_status bad_tell(const struct avvik__night *night, struct avvik_error *error)
{
    char names[640] = "";
    size_t length = 0, n_named = 0;
    const size_t n_bad = bad_count(night);
    for (size_t i = 0; i < night->files.n; i++) {
        const char *path = night->inputs[i].path;
        if (!night->inputs[i].is_bad || length + strlen(path) + 3 > sizeof names)
            continue;
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%s", n_named == 0 ? "" : ", ", path);
        n_named++;
    }
    return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%zu of %zu inputs could not be used: %s%s; %s", n_bad,
                            night->files.n, names, n_named < n_bad ? " and more that the manifest names" : "",
                            n_bad < night->files.n ? "the others are scored and flagged" : "nothing was flagged");
}

/* The folder that `path` is to be made in must be there before the work, not only after it. */
static enum avvik_status place_check(const char *name, const char *path, struct avvik_error *error)
{
    struct stat info;
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    if (slash == NULL || slash == path)
        return AVVIK_OK;
    char *folder = strndup(path, (size_t)(slash - path));
    if (folder == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    const int reason = stat(folder, &info) != 0 ? errno : S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
    const enum avvik_status status =
        reason == 0 ? AVVIK_OK
                    : avvik__error_set(error, AVVIK_ERR_IO, reason,
                                       "%s: %s, and `%s` of the night is made in it; make this folder first", folder,
                                       strerror(reason), name);
    free(folder);
    return status;
}

static enum avvik_status places_check(const struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_night_config *config = night->config;
    char *results = config->results == NULL ? NULL : avvik__date_fill(config->results, night->date);
    if (config->results != NULL && results == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(place_check("model", config->model, error));
    AVVIK_TRY(place_check("results", results, error));
    AVVIK_TRY(place_check("store", config->store, error));
    AVVIK_TRY(place_check("metrics", config->metrics, error));
done:
    free(results);
    return status;
}

static enum avvik_status steps_run(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    AVVIK_TRY(places_check(night, error));
    AVVIK_TRY(avvik__step_inputs(night, error));
    if (bad_count(night) < night->files.n) {
        AVVIK_TRY(avvik__step_decide(night, error));
        if (!night->is_fit_due)
            AVVIK_TRY(avvik__step_model_copy(night, error));
        AVVIK_TRY(avvik__step_check(night, error));
    }
    if (bad_count(night) < night->files.n) {
        if (night->is_fit_due)
            AVVIK_TRY(avvik__step_model_fit(night, error));
        AVVIK_TRY(avvik__step_score(night, error));
    }
    if (bad_count(night) < night->files.n) {
        AVVIK_TRY(avvik__step_flag(night, error));
        AVVIK_TRY(avvik__step_results(night, error));
        AVVIK_TRY(avvik__step_explain(night, error));
        AVVIK_TRY(avvik__step_report(night, error));
        AVVIK_TRY(avvik__step_store(night, error));
    }
    if (bad_count(night) > 0)
        status = bad_tell(night, error);
done:
    return status;
}

/* What is true of the whole night goes to the head of the manifest. */
static enum avvik_status head_write(struct avvik__night *night, struct avvik_error *error)
{
    json_t *root = night->manifest;
    struct avvik_version version;
    char now[32];
    avvik__now_text(now);
    avvik_version_get(&version);
    json_t *began = json_object_get(root, "began");
    int failed = json_object_set_new(root, "began", json_is_string(began) ? json_incref(began) : json_string(now));
    failed |= json_object_set_new(
        root, "config",
        json_pack("{s:o, s:s}", "path", avvik__json_text(night->config->path), "hash", night->config->hash));
    failed |= json_object_set_new(root, "versions",
                                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "avvik", version.avvik, "compiler",
                                            version.compiler, "build", version.build, "system", version.system, "hdf5",
                                            version.hdf5, "xxhash", version.xxhash));
    failed |= json_object_set_new(root, "runs", json_integer(json_integer_value(json_object_get(root, "runs")) + 1));
    failed |= json_object_set_new(root, "status", json_string("running"));
    failed |= json_object_set_new(root, "sentence", json_string(""));
    failed |= json_object_set_new(root, "exit_code", json_null());
    failed |= json_object_set_new(root, "ended", json_null());
    return failed ? avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory") : avvik__manifest_save(night, error);
}

static int list_is_made(const struct avvik__night *night)
{
    return strcmp(avvik__unit_text(avvik__unit(night, "flag", NULL), "status"), "done") == 0;
}

static const char *status_word(const struct avvik__night *night, enum avvik_status status)
{
    switch (status) {
    case AVVIK_OK: return "done";
    case AVVIK_GATE: return "gate";
    case AVVIK_INTERRUPTED: return "interrupted";
    case AVVIK_ERR_FORMAT: return bad_count(night) > 0 && list_is_made(night) ? "incomplete" : "failed";
    default: return "failed";
    }
}

/* A list that an earlier run has made must not stand for a night that was stopped by a gate, or has nothing to list. */
static void list_withdraw(struct avvik__night *night, enum avvik_status status)
{
    static const char *const made[] = {"flag", "explain", "report"};
    if (status != AVVIK_GATE && (status != AVVIK_ERR_FORMAT || bad_count(night) < night->files.n))
        return;
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        json_t *unit = avvik__unit(night, made[i], NULL);
        if (unit != NULL)
            avvik__unit_forget(night, unit);
    }
}

static enum avvik_status end_write(struct avvik__night *night, enum avvik_status outcome, const char *sentence,
                                   struct avvik_error *error)
{
    char now[32];
    avvik__now_text(now);
    list_withdraw(night, outcome);
    if (json_object_set_new(night->manifest, "status", json_string(status_word(night, outcome))) != 0 ||
        json_object_set_new(night->manifest, "exit_code", json_integer(avvik_status_exit_code(outcome))) != 0 ||
        json_object_set_new(night->manifest, "sentence", avvik__json_text(outcome == AVVIK_OK ? "" : sentence)) != 0 ||
        json_object_set_new(night->manifest, "ended", json_string(now)) != 0)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    return avvik__manifest_save(night, error);
}

static enum avvik_status past_clear(const struct avvik__night *night, struct avvik_error *error)
{
    struct avvik__past_night *nights = NULL;
    size_t n = 0;
    const enum avvik_status status = avvik__past_nights(night->config->runs, &nights, &n, error);
    if (status != AVVIK_OK)
        return status;
    avvik__past_nights_choose(nights, n, night->config, night->day, 0);
    for (size_t i = 0; i < n; i++) {
        char reason[256];
        if (!nights[i].is_to_go)
            continue;
        if (avvik__past_night_remove(night->config->runs, nights[i].date, reason))
            avvik__night_tell(night, 0, "removed the night %s", nights[i].date);
        else
            avvik__night_tell(night, 1, "the night %s is due for removal and stays: %s", nights[i].date, reason);
    }
    free(nights);
    return AVVIK_OK;
}

/* One more failure: it is the night's, or told where there is one already. */
static enum avvik_status failure_add(const struct avvik__night *night, enum avvik_status status,
                                     enum avvik_status later, const struct avvik_error *reason,
                                     struct avvik_error *error)
{
    if (later == AVVIK_OK)
        return status;
    if (status == AVVIK_OK)
        *error = *reason;
    else
        avvik__night_tell(night, 1, "%s", reason->text);
    return status == AVVIK_OK ? later : status;
}

/* Everything after the last step. What fails here is told, unless there is worse to tell. */
static enum avvik_status night_end(struct avvik__night *night, enum avvik_status outcome, struct avvik_error *error)
{
    struct avvik_error later = {0};
    enum avvik_status status = outcome;
    if (outcome == AVVIK_INTERRUPTED)
        avvik__error_set(error, outcome, 0, "the night %s was interrupted; run it again to go on", night->date);
    const int is_whole = outcome == AVVIK_OK || (outcome == AVVIK_ERR_FORMAT && list_is_made(night));
    enum avvik_status ending = end_write(night, outcome, error->text, &later);
    if (ending == AVVIK_OK && is_whole)
        ending = past_clear(night, &later);
    status = failure_add(night, status, ending, &later, error);
    ending = avvik__metrics_write(night, avvik_status_exit_code(status), &later);
    status = failure_add(night, status, ending, &later, error);
    if (status == AVVIK_OK)
        avvik__night_tell(night, 0, "the night %s is complete: %s", night->date, night->folder);
    return status;
}

enum avvik_status avvik_night_run(const struct avvik_night_config *config, const struct avvik_night_options *options,
                                  char **manifest_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__night night;
    struct avvik_error reason = {AVVIK_OK, 0, ""};
    int has_begun = 0;
    *manifest_out = NULL;
    AVVIK_TRY(avvik__night_init(&night, config, options, &reason));
    AVVIK_TRY(avvik__directory_make(config->runs, &reason));
    AVVIK_TRY(avvik__lock_take(config->lock, &night.lock, &reason));
    AVVIK_TRY(avvik__manifest_open(&night, &reason));
    AVVIK_TRY(avvik__night_find_inputs(&night, &reason));
    AVVIK_TRY(avvik__directory_make(night.folder, &reason));
    AVVIK_TRY(avvik__manifest_plan(&night, 0, &reason));
    has_begun = 1;
    AVVIK_TRY(head_write(&night, &reason));
    status = steps_run(&night, &reason);
done:
    if (has_begun) {
        status = night_end(&night, status, &reason);
        *manifest_out = json_dumps(night.manifest, AVVIK_MANIFEST_FORM);
    }
    avvik__lock_release(night.lock);
    avvik__night_destroy(&night);
    if (status != AVVIK_OK && error != NULL)
        *error = reason;
    return status;
}

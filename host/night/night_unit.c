/* Units of work in a manifest: begun, ended, and found done. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "night_state.h"
#include "night_text.h"

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int output_holds(const struct avvik__night *night, const json_t *output)
{
    struct stat info;
    char hash[AVVIK_HASH_SIZE];
    const char *name = avvik__unit_text(output, "path");
    const json_int_t bytes = json_integer_value(json_object_get(output, "bytes"));
    if (name[0] != '/' && !avvik__is_own_name(name))
        return 0;
    char *path = name[0] == '/' ? strdup(name) : avvik__night_path(night, name);
    const int holds = path != NULL && stat(path, &info) == 0 && info.st_size == bytes &&
                      avvik__file_hash(path, night->options->stop, hash, &info, NULL) == AVVIK_OK &&
                      strcmp(hash, avvik__unit_text(output, "hash")) == 0;
    free(path);
    return holds;
}

int avvik__unit_is_done(const struct avvik__night *night, const json_t *unit, const char *key)
{
    size_t i;
    json_t *output;
    if (strcmp(avvik__unit_text(unit, "status"), "done") != 0 || strcmp(avvik__unit_text(unit, "key"), key) != 0)
        return 0;
    json_array_foreach(json_object_get(unit, "outputs"), i, output) if (!output_holds(night, output)) return 0;
    return 1;
}

int avvik__unit_is_begun(const json_t *unit, const char *key)
{
    return strcmp(avvik__unit_text(unit, "status"), "running") == 0 && strcmp(avvik__unit_text(unit, "key"), key) == 0;
}

static int text_set(json_t *unit, const char *field, const char *text)
{
    return json_object_set_new(unit, field, avvik__json_text(text)) == 0;
}

enum avvik_status avvik__unit_begin(struct avvik__night *night, json_t *unit, const char *key,
                                    struct avvik_error *error)
{
    char now[32];
    avvik__now_text(now);
    night->unit_start_ns = now_ns();
    json_object_del(unit, "outputs");
    json_object_del(unit, "facts");
    json_object_del(unit, "sentence");
    json_object_del(unit, "seconds");
    if (!text_set(unit, "status", "running") || !text_set(unit, "key", key) || !text_set(unit, "began", now))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    return avvik__manifest_save(night, error);
}

static int seconds_set(const struct avvik__night *night, json_t *unit)
{
    return json_object_set_new(unit, "seconds", json_real((double)(now_ns() - night->unit_start_ns) / 1e9)) == 0;
}

enum avvik_status avvik__unit_end(struct avvik__night *night, json_t *unit, const char *const *outputs,
                                  size_t n_outputs, json_t *facts, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char *path = NULL;
    json_t *list = json_array();
    for (size_t i = 0; i < n_outputs; i++) {
        struct stat info;
        char hash[AVVIK_HASH_SIZE];
        free(path);
        path = outputs[i][0] == '/' ? strdup(outputs[i]) : avvik__night_path(night, outputs[i]);
        if (path == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(avvik__file_hash(path, night->options->stop, hash, &info, error));
        json_t *output = json_pack("{s:o, s:I, s:s}", "path", avvik__json_text(outputs[i]), "bytes",
                                   (json_int_t)info.st_size, "hash", hash);
        if (json_array_append_new(list, output) != 0)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    if (facts == NULL || !text_set(unit, "status", "done") || !seconds_set(night, unit) ||
        json_object_set(unit, "outputs", list) != 0 || json_object_set(unit, "facts", facts) != 0)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    status = avvik__manifest_save(night, error);
done:
    free(path);
    json_decref(list);
    json_decref(facts);
    return status;
}

enum avvik_status avvik__unit_fail(struct avvik__night *night, json_t *unit, const struct avvik_error *reason,
                                   struct avvik_error *error)
{
    if (!text_set(unit, "status", "failed") || !text_set(unit, "sentence", reason->text) || !seconds_set(night, unit))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    return avvik__manifest_save(night, error);
}

json_int_t avvik__unit_fact(const json_t *unit, const char *field)
{
    return json_integer_value(json_object_get(json_object_get(unit, "facts"), field));
}

/* The manifest of a night: what it consists of, what is done, and with which results. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik/version.h"
#include "avvik_internal.h"
#include "night_state.h"
#include "night_text.h"

#define MAX_MANIFEST_BYTES ((off_t)64 << 20)

static int ends_with(const char *text, size_t length, const char *end)
{
    const size_t n = strlen(end);
    return length > n && memcmp(text + length - n, end, n) == 0;
}

int avvik__is_own_name(const char *name)
{
    static const char *const whole[] = {"manifest.json", "model.h5",    "before.h5",  "flags.csv",
                                        "flags.json",    "cases.jsonl", "report.html"};
    size_t length = strlen(name);
    if (ends_with(name, length, ".partial") || ends_with(name, length, ".journal"))
        length -= sizeof ".partial" - 1;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (length == strlen(whole[i]) && memcmp(name, whole[i], length) == 0)
            return 1;
    const char *slash = strchr(name, '/');
    if (slash == NULL || strchr(slash + 1, '/') != NULL)
        return 0;
    const size_t rest = length - (size_t)(slash + 1 - name);
    return (strncmp(name, "scores/", 7) == 0 && ends_with(slash + 1, rest, ".scores.h5")) ||
           (strncmp(name, "check/", 6) == 0 && ends_with(slash + 1, rest, ".check.json"));
}

static json_t *manifest_new(const struct avvik__night *night)
{
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:n, s:i, s:n, s:n, s:{}, s:{}, s:{}, s:[], s:[], s:[]}", "kind",
                     "night", "format_version", 1, "date", night->date, "status", "running", "sentence", "",
                     "exit_code", "runs", 0, "began", "ended", "config", "versions", "model", "inputs", "fit_inputs",
                     "steps");
}

/* NULL unless `root` is the manifest of the night `date`, made of what the code below takes for granted. */
static json_t *manifest_check(json_t *root, const char *date)
{
    size_t i;
    json_t *unit;
    const char *kind = json_string_value(json_object_get(root, "kind"));
    const char *of = json_string_value(json_object_get(root, "date"));
    const json_t *steps = json_object_get(root, "steps");
    int is_good = kind != NULL && strcmp(kind, "night") == 0 && of != NULL && strcmp(of, date) == 0 &&
                  json_integer_value(json_object_get(root, "format_version")) == 1 && json_is_array(steps) &&
                  json_is_array(json_object_get(root, "inputs")) &&
                  json_is_array(json_object_get(root, "fit_inputs")) && json_is_object(json_object_get(root, "config"));
    json_array_foreach(steps, i, unit) is_good =
        is_good && json_is_string(json_object_get(unit, "step")) && json_is_string(json_object_get(unit, "status"));
    if (is_good)
        return root;
    json_decref(root);
    return NULL;
}

json_t *avvik__manifest_peek(int folder_descriptor, const char *date)
{
    struct stat info;
    const int file = openat(folder_descriptor, "manifest.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return NULL;
    json_t *root = NULL;
    if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= MAX_MANIFEST_BYTES)
        root = json_loadfd(file, JSON_REJECT_DUPLICATES, NULL);
    close(file);
    return root == NULL ? NULL : manifest_check(root, date);
}

/* 1 if a folder without a manifest holds nothing, or only what a night leaves that was killed while it wrote its first
 * manifest. */
static int is_fresh(int folder)
{
    const int copy = dup(folder);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    int is_empty = directory != NULL;
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        is_empty = is_empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                                strcmp(entry->d_name, "manifest.json.partial") == 0);
    if (directory != NULL)
        closedir(directory);
    else if (copy >= 0)
        close(copy);
    return is_empty;
}

/* Take over from `before` which files its steps have made, and nothing else: what the night will not make again is then
 * removed, as it is after a change of the configuration. */
static int steps_begin_anew(json_t *manifest, json_t *before)
{
    static const char *const forgotten[] = {"key", "facts", "sentence", "seconds", "began"};
    json_t *steps = json_object_get(before, "steps"), *unit;
    size_t i;
    json_array_foreach(steps, i, unit)
    {
        for (size_t k = 0; k < sizeof forgotten / sizeof forgotten[0]; k++)
            json_object_del(unit, forgotten[k]);
        if (json_object_set_new(unit, "status", json_string("pending")) != 0)
            return 0;
    }
    return json_object_set(manifest, "steps", steps) == 0;
}

enum avvik_status avvik__manifest_open(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const int folder = open(night->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0 && errno != ENOENT)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", night->folder, strerror(errno));
    if (folder >= 0 && faccessat(folder, "manifest.json", F_OK, 0) == 0) {
        night->manifest = avvik__manifest_peek(folder, night->date);
        if (night->manifest == NULL && !night->options->again)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                       "%s: is no manifest of the night %s, or damaged; run the night with --again",
                       night->manifest_path, night->date);
    } else if (folder >= 0 && !is_fresh(folder))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                   "%s: holds files and no manifest.json, so that it is not taken for a night of avvik's; move it "
                   "away",
                   night->folder);
    json_t *before = night->options->again || night->manifest == NULL ? night->manifest : NULL;
    if (before != NULL || night->manifest == NULL)
        night->manifest = manifest_new(night);
    const int is_made = night->manifest != NULL && (before == NULL || steps_begin_anew(night->manifest, before));
    json_decref(before);
    if (!is_made)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
done:
    if (folder >= 0)
        close(folder);
    return status;
}

static enum avvik_status manifest_fill(FILE *stream, void *context, struct avvik_error *error)
{
    if (json_dumpf(context, stream, AVVIK_MANIFEST_FORM) != 0 && !ferror(stream))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    fputc('\n', stream);
    return AVVIK_OK;
}

enum avvik_status avvik__manifest_save(struct avvik__night *night, struct avvik_error *error)
{
    return avvik__file_replace(night->manifest_path, manifest_fill, night->manifest, error);
}

const char *avvik__unit_text(const json_t *unit, const char *field)
{
    const char *text = json_string_value(json_object_get(unit, field));
    return text == NULL ? "" : text;
}

static json_t *unit_find(const json_t *steps, const char *step, const char *input)
{
    size_t i;
    json_t *unit;
    json_array_foreach(steps, i,
                       unit) if (strcmp(avvik__unit_text(unit, "step"), step) == 0 &&
                                 strcmp(avvik__unit_text(unit, "input"), input == NULL ? "" : input) == 0) return unit;
    return NULL;
}

json_t *avvik__unit(const struct avvik__night *night, const char *step, const char *input)
{
    json_t *name = input == NULL ? NULL : avvik__json_text(input);
    json_t *unit = unit_find(json_object_get(night->manifest, "steps"), step, json_string_value(name));
    json_decref(name);
    return unit;
}

void avvik__unit_key(char key[AVVIK_HASH_SIZE], const char *format, ...)
{
    va_list arguments;
    char text[12288]; /* two paths and numbers */
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* Only lists can be longer, and those are hashed before they come here. */
    avvik__hash_text(XXH3_128bits(text, length < (int)sizeof text ? (size_t)length : sizeof text - 1), key);
}

/* Remove the files that a unit says it has made. */
static void outputs_remove(const struct avvik__night *night, const json_t *unit)
{
    size_t i;
    json_t *output;
    json_array_foreach(json_object_get(unit, "outputs"), i, output)
    {
        const char *name = avvik__unit_text(output, "path");
        char *path = avvik__is_own_name(name) ? avvik__night_path(night, name) : NULL;
        if (path != NULL)
            unlink(path);
        free(path);
    }
}

static enum avvik_status unit_plan(const json_t *before, json_t *after, const char *step, const char *input,
                                   struct avvik_error *error)
{
    json_t *name = input == NULL ? NULL : avvik__json_text(input);
    json_t *unit = unit_find(before, step, json_string_value(name));
    if (unit != NULL)
        json_incref(unit);
    else {
        unit = json_pack("{s:s, s:s}", "step", step, "status", "pending");
        if (unit != NULL && name != NULL && json_object_set(unit, "input", name) != 0)
            unit = (json_decref(unit), NULL);
    }
    json_decref(name);
    return json_array_append_new(after, unit) == 0 ? AVVIK_OK
                                                   : avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
}

void avvik__unit_forget(const struct avvik__night *night, json_t *unit)
{
    static const char *const fields[] = {"key", "outputs", "facts", "sentence", "seconds", "began"};
    outputs_remove(night, unit);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        json_object_del(unit, fields[i]);
    json_object_set_new(unit, "status", json_string("pending"));
}

enum avvik_status avvik__manifest_plan(struct avvik__night *night, int is_dry, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    json_t *before = json_incref(json_object_get(night->manifest, "steps")), *after = json_array(), *unit;
    size_t i;
    if (after == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(unit_plan(before, after, "inputs", NULL, error));
    for (i = 0; i < night->files.n; i++)
        AVVIK_TRY(unit_plan(before, after, "check", night->files.entries[i].path, error));
    AVVIK_TRY(unit_plan(before, after, "model", NULL, error));
    for (i = 0; i < night->files.n; i++)
        AVVIK_TRY(unit_plan(before, after, "score", night->files.entries[i].path, error));
    AVVIK_TRY(unit_plan(before, after, "flag", NULL, error));
    if (night->config->results != NULL)
        AVVIK_TRY(unit_plan(before, after, "results", NULL, error));
    if (night->config->has_explain)
        AVVIK_TRY(unit_plan(before, after, "explain", NULL, error));
    if (night->config->has_explain)
        AVVIK_TRY(unit_plan(before, after, "report", NULL, error));
    if (night->config->store != NULL)
        AVVIK_TRY(unit_plan(before, after, "store", NULL, error));
    json_array_foreach(before, i, unit) if (!is_dry && unit_find(after, avvik__unit_text(unit, "step"),
                                                                 avvik__unit_text(unit, "input")) == NULL)
        outputs_remove(night, unit);
    if (json_object_set(night->manifest, "steps", after) != 0)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
done:
    json_decref(before);
    json_decref(after);
    return status;
}

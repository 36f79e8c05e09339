/* What goes in: files by name, size, time and hash. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "night_steps.h"
#include "night_text.h"

int avvik__is_fatal(enum avvik_status status)
{
    return status == AVVIK_INTERRUPTED || status == AVVIK_ERR_BACKEND || status == AVVIK_ERR_SELFTEST ||
           status == AVVIK_ERR_MEMORY || status == AVVIK_ERR_INTERNAL;
}

/* Times beyond the year 2262 wrap around: they are only compared. */
static json_int_t mtime_ns(const struct stat *info)
{
    return (json_int_t)((uint64_t)info->st_mtim.tv_sec * 1000000000u + (uint64_t)info->st_mtim.tv_nsec);
}

/* Is this the file that the record is of? */
static int is_recorded(const json_t *record, const struct stat *info)
{
    return json_integer_value(json_object_get(record, "bytes")) == info->st_size &&
           json_integer_value(json_object_get(record, "mtime_ns")) == mtime_ns(info) &&
           json_integer_value(json_object_get(record, "inode")) == (json_int_t)info->st_ino;
}

int avvik__is_unchanged(const char *path, const json_t *record)
{
    struct stat info;
    return stat(path, &info) == 0 && is_recorded(record, &info);
}

/* The hash a record has for the file as it is now, or "". */
static const char *record_hash(const json_t *records, const char *path, const struct stat *info)
{
    size_t i;
    json_t *record;
    json_array_foreach(records, i, record)
    {
        const char *hash = avvik__unit_text(record, "hash");
        if (strcmp(avvik__unit_text(record, "path"), path) == 0 && strlen(hash) < AVVIK_HASH_SIZE &&
            is_recorded(record, info))
            return hash;
    }
    return "";
}

static enum avvik_status file_identify(struct avvik__night *night, const struct avvik__file_entry *entry,
                                       const json_t *records, char hash[AVVIK_HASH_SIZE], struct stat *info,
                                       struct avvik_error *error)
{
    hash[0] = '\0';
    if (entry->is_missing)
        return avvik__error_set(error, AVVIK_ERR_IO, 0, "%s: there is no such file", entry->path);
    if (stat(entry->path, info) == 0) {
        snprintf(hash, AVVIK_HASH_SIZE, "%s", record_hash(records, entry->path, info));
        if (hash[0] != '\0')
            return AVVIK_OK;
    }
    return avvik__file_hash(entry->path, night->options->stop, hash, info, error);
}

enum avvik_status avvik__files_identify(struct avvik__night *night, const struct avvik__file_list *files,
                                        const char *records, char (*hashes)[AVVIK_HASH_SIZE],
                                        struct avvik_error *reasons, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const json_t *before = json_object_get(night->manifest, records);
    json_t *after = json_array();
    for (size_t i = 0; i < files->n; i++) {
        const struct avvik__file_entry *entry = &files->entries[i];
        struct stat info = {0};
        reasons[i].status = file_identify(night, entry, before, hashes[i], &info, &reasons[i]);
        if (avvik__is_fatal(reasons[i].status)) {
            status = reasons[i].status;
            if (error != NULL)
                *error = reasons[i];
            goto done;
        }
        json_t *record = reasons[i].status == AVVIK_OK
                             ? json_pack("{s:o, s:s, s:I, s:I, s:I, s:s}", "path", avvik__json_text(entry->path),
                                         "status", "ok", "bytes", (json_int_t)info.st_size, "mtime_ns", mtime_ns(&info),
                                         "inode", (json_int_t)info.st_ino, "hash", hashes[i])
                             : json_pack("{s:o, s:s, s:o}", "path", avvik__json_text(entry->path), "status", "bad",
                                         "sentence", avvik__json_text(reasons[i].text));
        if (json_array_append_new(after, record) != 0)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    if (json_object_set(night->manifest, records, after) != 0)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
done:
    json_decref(after);
    return status;
}

static void output_remove(const struct avvik__night *night, const char *name, const char *ending)
{
    char *whole = avvik__text("%s%s", name, ending), *path = whole == NULL ? NULL : avvik__night_path(night, whole);
    if (path != NULL)
        unlink(path);
    free(path);
    free(whole);
}

enum avvik_status avvik__input_fail(struct avvik__night *night, size_t i, json_t *unit, int has_report,
                                    const struct avvik_error *reason, struct avvik_error *error)
{
    static const char *const endings[] = {"", ".partial", ".journal"};
    struct avvik__night_input *input = &night->inputs[i];
    json_t *record = json_array_get(json_object_get(night->manifest, "inputs"), i);
    input->is_bad = 1;
    avvik__night_tell(night, 1, "%s", reason->text);
    for (size_t k = 0; k < sizeof endings / sizeof endings[0]; k++)
        output_remove(night, input->scores, endings[k]);
    if (!has_report)
        output_remove(night, input->report, "");
    if (record != NULL && (json_object_set_new(record, "status", json_string("bad")) != 0 ||
                           json_object_set_new(record, "sentence", avvik__json_text(reason->text)) != 0))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    return unit == NULL ? AVVIK_OK : avvik__unit_fail(night, unit, reason, error);
}

enum avvik_status avvik__step_inputs(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n = night->files.n;
    json_t *unit = avvik__unit(night, "inputs", NULL);
    char(*hashes)[AVVIK_HASH_SIZE] = calloc(n, sizeof *hashes);
    struct avvik_error *reasons = calloc(n, sizeof *reasons);
    size_t n_bad = 0;
    if (hashes == NULL || reasons == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__unit_begin(night, unit, "", error));
    AVVIK_TRY(avvik__files_identify(night, &night->files, "inputs", hashes, reasons, error));
    for (size_t i = 0; i < n; i++) {
        memcpy(night->inputs[i].hash, hashes[i], AVVIK_HASH_SIZE);
        if (reasons[i].status != AVVIK_OK) {
            n_bad++;
            AVVIK_TRY(avvik__input_fail(night, i, NULL, 0, &reasons[i], error));
        }
    }
    status = avvik__unit_end(night, unit, NULL, 0,
                             json_pack("{s:I, s:I}", "files", (json_int_t)n, "bad", (json_int_t)n_bad), error);
done:
    free(hashes);
    free(reasons);
    return status;
}

#include "night_retention.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "night_state.h"
#include "night_text.h"

static int newest_first(const void *a, const void *b)
{
    const struct avvik__past_night *left = a, *right = b;
    return strcmp(right->date, left->date);
}

/* 1 if the directory `name` of `runs` is a night. */
static int night_look(int runs, const char *name, struct avvik__past_night *night)
{
    *night = (struct avvik__past_night){.day = 0};
    if (strlen(name) != 10 || !avvik__date_days(name, &night->day))
        return 0;
    const int folder = openat(runs, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return 0;
    memcpy(night->date, name, sizeof night->date);
    json_t *manifest = avvik__manifest_peek(folder, night->date);
    close(folder);
    night->is_good = strcmp(avvik__unit_text(manifest, "status"), "done") == 0;
    snprintf(night->ended, sizeof night->ended, "%.31s", avvik__unit_text(manifest, "ended"));
    const int is_night = manifest != NULL;
    json_decref(manifest);
    return is_night;
}

enum avvik_status avvik__past_nights(const char *runs, struct avvik__past_night **nights_out, size_t *n_out,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__past_night *nights = NULL, night;
    size_t n = 0, capacity = 0;
    DIR *directory = opendir(runs);
    if (directory == NULL && errno != ENOENT)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be listed: %s", runs, strerror(errno));
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        if (!night_look(dirfd(directory), entry->d_name, &night))
            continue;
        if (n == capacity) {
            capacity = capacity == 0 ? 64 : 2 * capacity;
            struct avvik__past_night *more = realloc(nights, capacity * sizeof *more);
            if (more == NULL)
                AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
            nights = more;
        }
        nights[n++] = night;
    }
    if (n > 0)
        qsort(nights, n, sizeof *nights, newest_first);
    *nights_out = nights;
    *n_out = n;
    nights = NULL;
done:
    if (directory != NULL)
        closedir(directory);
    free(nights);
    return status;
}

void avvik__past_nights_choose(struct avvik__past_night *nights, size_t n, const struct avvik_night_config *config,
                               int32_t today, int is_ahead)
{
    int has_good = is_ahead, is_there = !is_ahead;
    for (size_t i = 0; i < n; i++)
        is_there = is_there || nights[i].day == today;
    for (size_t i = 0; i < n; i++) {
        const int is_newest_good = nights[i].is_good && !has_good;
        const size_t rank = i + (size_t)(!is_there && nights[i].day < today);
        const int is_among = config->keep_nights > 0 && rank < config->keep_nights;
        const int is_young = config->keep_days > 0 && (int64_t)today - nights[i].day < (int64_t)config->keep_days;
        has_good = has_good || nights[i].is_good;
        nights[i].is_to_go = (config->keep_nights > 0 || config->keep_days > 0) && !is_among && !is_young &&
                             !is_newest_good && nights[i].day != today;
    }
}

/* Go through a directory of a night, `prefix` being "" or "scores/" or "check/". Without `is_removing`: 1 if all in it
 * is a night's. With: remove its files but for the manifest. */
static int folder_walk(int folder, const char *prefix, int is_removing, dev_t device, char *reason)
{
    const int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    int is_good = directory != NULL;
    if (directory == NULL && copy >= 0)
        close(copy);
    for (struct dirent *entry; is_good && (entry = readdir(directory)) != NULL;) {
        struct stat info;
        char *name = avvik__text("%s%s", prefix, entry->d_name);
        const char *only = entry->d_name;
        is_good = name != NULL;
        if (!is_good || strcmp(only, ".") == 0 || strcmp(only, "..") == 0) {
            free(name);
            continue;
        }
        is_good = fstatat(copy, only, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_dev == device;
        if (is_good && S_ISDIR(info.st_mode) && prefix[0] == '\0' &&
            (strcmp(only, "scores") == 0 || strcmp(only, "check") == 0)) {
            const int inner = openat(copy, only, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            is_good =
                inner >= 0 &&
                folder_walk(inner, strcmp(only, "check") == 0 ? "check/" : "scores/", is_removing, device, reason) &&
                (!is_removing || unlinkat(copy, only, AT_REMOVEDIR) == 0);
            if (inner >= 0)
                close(inner);
        } else {
            is_good = is_good && S_ISREG(info.st_mode) && avvik__is_own_name(name);
            if (is_good && is_removing && strcmp(name, "manifest.json") != 0)
                is_good = unlinkat(copy, only, 0) == 0;
        }
        if (!is_good && reason[0] == '\0')
            snprintf(reason, 256, is_removing ? "%.120s cannot be removed" : "it holds %.120s, which is not avvik's",
                     name);
        free(name);
    }
    if (directory != NULL)
        closedir(directory);
    return is_good;
}

int avvik__past_night_remove(const char *runs, const char *date, char *reason)
{
    struct stat outer, inner;
    struct avvik__past_night night;
    int is_gone = 0, folder = -1;
    const int directory = open(runs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    reason[0] = '\0';
    if (directory >= 0 && night_look(directory, date, &night))
        folder = openat(directory, date, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 || fstat(directory, &outer) != 0 || fstat(folder, &inner) != 0 || outer.st_dev != inner.st_dev)
        snprintf(reason, 256, "it cannot be opened, or is on another file system");
    else if (folder_walk(folder, "", 0, inner.st_dev, reason) && folder_walk(folder, "", 1, inner.st_dev, reason)) {
        is_gone = unlinkat(folder, "manifest.json", 0) == 0 && unlinkat(directory, date, AT_REMOVEDIR) == 0;
        if (!is_gone)
            snprintf(reason, 256, "%s", strerror(errno));
    }
    if (folder >= 0)
        close(folder);
    if (directory >= 0)
        close(directory);
    return is_gone;
}

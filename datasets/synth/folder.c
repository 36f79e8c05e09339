#define _GNU_SOURCE /* renameat2 */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "record_file.h"

/* Is this a name of a country's file, or of one on its way? */
static int is_ours(const char *name)
{
    int year, month, end = -1;
    char plain[64];
    const size_t length = strlen(name), tail = sizeof ".partial" - 1;
    if (length >= sizeof plain)
        return 0;
    snprintf(plain, sizeof plain, "%s", name);
    if (length > tail && strcmp(plain + length - tail, ".partial") == 0)
        plain[length - tail] = '\0';
    if (strcmp(plain, "registry.h5") == 0 || strcmp(plain, "truth.h5") == 0 || strcmp(plain, "identity.key") == 0)
        return 1;
    return sscanf(plain, "batch_%4d-%2d.h5%n", &year, &month, &end) == 2 && end >= 0 && plain[end] == '\0';
}

/* The first name in a folder that is not ours, into `foreign` (256 bytes), "" if there is none. Returns the number of
 * names, -1 if it is no folder that can be read. */
static int names_count(const char *path, char *foreign)
{
    DIR *directory = opendir(path);
    int n = 0;
    foreign[0] = '\0';
    if (directory == NULL)
        return -1;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        n++;
        if (!is_ours(entry->d_name) && foreign[0] == '\0')
            snprintf(foreign, 256, "%s", entry->d_name);
    }
    closedir(directory);
    return n;
}

static void files_remove(const char *path)
{
    DIR *directory = opendir(path);
    if (directory == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (is_ours(entry->d_name))
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
}

static enum avvik_status place_check(struct avvik__folder *folder, int replace, struct avvik_error *error)
{
    struct stat info;
    char foreign[256];
    if (lstat(folder->path, &info) != 0)
        return errno == ENOENT ? AVVIK_OK
                               : avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be looked at: %s",
                                                  folder->path, strerror(errno));
    const int n = S_ISDIR(info.st_mode) ? names_count(folder->path, foreign) : -1;
    if (n < 0)
        return avvik__error_set(error, AVVIK_ERR_EXISTS, 0, "%s: is there, and is no folder that can be read",
                                folder->path);
    if (foreign[0] != '\0')
        return avvik__error_set(error, AVVIK_ERR_EXISTS, 0,
                                "%s: holds %s, which is no part of a country; choose a folder of its own", folder->path,
                                foreign);
    if (n > 0 && !replace)
        return avvik__error_set(error, AVVIK_ERR_EXISTS, EEXIST, "%s: holds a country already; --force replaces it",
                                folder->path);
    folder->is_there = n > 0;
    return AVVIK_OK;
}

enum avvik_status avvik__folder_begin(struct avvik__folder *folder, const char *path, int replace,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char foreign[256];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    *folder = (struct avvik__folder){.lock = -1};
    folder->path = strndup(path, length);
    folder->partial = malloc(length + sizeof ".partial");
    if (folder->path == NULL || folder->partial == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    memcpy(folder->partial, path, length);
    strcpy(folder->partial + length, ".partial");
    AVVIK_TRY(place_check(folder, replace, error));
    if (mkdir(folder->partial, 0777) != 0 && errno != EEXIST)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be made: %s", folder->path, strerror(errno));
    const int lock = open(folder->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (lock < 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be used: %s", folder->partial, strerror(errno));
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        close(lock);
        AVVIK_FAIL(AVVIK_ERR_EXISTS, errno, "%s: another process is writing it; wait for it to end", folder->path);
    }
    folder->lock = lock;
    files_remove(folder->partial); /* of a run that was killed */
    if (names_count(folder->partial, foreign) != 0)
        AVVIK_FAIL(AVVIK_ERR_EXISTS, 0, "%s: holds %s, which is no part of a country; move it away", folder->partial,
                   foreign);
done:
    if (status != AVVIK_OK)
        avvik__folder_end(folder);
    return status;
}

enum avvik_status avvik__folder_commit(struct avvik__folder *folder, struct avvik_error *error)
{
    char inside[4096];
    snprintf(inside, sizeof inside, "%s/.", folder->partial);
    avvik__directory_sync(inside);
    int failed = rename(folder->partial, folder->path); /* absent or empty */
    if (failed && folder->is_there) {                   /* the new one for the old, which is removed */
        failed = renameat2(AT_FDCWD, folder->partial, AT_FDCWD, folder->path, RENAME_EXCHANGE);
        if (failed && (errno == EINVAL || errno == ENOSYS)) { /* a file system that cannot exchange */
            files_remove(folder->path);
            failed = rename(folder->partial, folder->path);
        }
    }
    if (failed)
        return avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be put in place: %s", folder->path,
                                strerror(errno));
    avvik__directory_sync(folder->path);
    return AVVIK_OK;
}

void avvik__folder_end(struct avvik__folder *folder)
{
    if (folder->lock >= 0) { /* committed: what is left is the old country, if anything */
        files_remove(folder->partial);
        rmdir(folder->partial);
        close(folder->lock);
    }
    free(folder->partial);
    free(folder->path);
    *folder = (struct avvik__folder){.lock = -1};
}

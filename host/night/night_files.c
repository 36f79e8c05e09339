#include "night_files.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "avvik_internal.h"
#include "hash_text.h"
#include "night_text.h"

#define PIECE_BYTES ((size_t)1 << 20)

static int is_same_state(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

enum avvik_status avvik__file_hash(const char *path, const volatile int *stop, char hash[AVVIK_HASH_SIZE],
                                   struct stat *info_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct stat after;
    char *piece = malloc(PIECE_BYTES);
    XXH3_state_t *state = XXH3_createState();
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe of that name must not hold the night up */
    if (file < 0 || fstat(file, info_out) != 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", path, strerror(errno));
    if (!S_ISREG(info_out->st_mode))
        AVVIK_FAIL(AVVIK_ERR_IO, 0, "%s: is no regular file", path);
    if (piece == NULL || state == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    XXH3_128bits_reset(state);
    for (;;) {
        const ssize_t n = read(file, piece, PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be read: %s", path, strerror(errno));
        if (n == 0)
            break;
        if (avvik__is_stopped(stop))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        XXH3_128bits_update(state, piece, (size_t)n);
    }
    if (fstat(file, &after) != 0 || !is_same_state(info_out, &after))
        AVVIK_FAIL(AVVIK_ERR_IO, 0, "%s: changed while it was read; run again once it is complete", path);
    avvik__hash_text(XXH3_128bits_digest(state), hash);
done:
    if (file >= 0)
        close(file);
    XXH3_freeState(state);
    free(piece);
    return status;
}

/* A rename is safe once its directory is on the disk. Some file systems cannot sync one: the data are safe. */
static void folder_sync(const char *path)
{
    char *copy = strdup(path);
    const int descriptor = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
    free(copy);
}

enum avvik_status avvik__file_replace(const char *path,
                                      enum avvik_status (*fill)(FILE *stream, void *context, struct avvik_error *error),
                                      void *context, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char *partial = avvik__text("%s.partial", path);
    FILE *stream = NULL;
    int is_made = 0;
    if (partial == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if ((stream = fopen(partial, "wbe")) == NULL)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be written: %s", path, strerror(errno));
    is_made = 1;
    AVVIK_TRY(fill(stream, context, error));
    if (fflush(stream) != 0 || ferror(stream) || fsync(fileno(stream)) != 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be written: %s", path, strerror(errno));
    const int closed = fclose(stream);
    stream = NULL;
    if (closed != 0 || rename(partial, path) != 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be put in place: %s", path, strerror(errno));
    is_made = 0;
    folder_sync(path);
done:
    if (stream != NULL)
        fclose(stream);
    if (is_made)
        unlink(partial);
    free(partial);
    return status;
}

static enum avvik_status copy_fill(FILE *stream, void *context, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const char *from = context;
    char *piece = malloc(PIECE_BYTES);
    FILE *source = fopen(from, "rbe");
    if (source == NULL)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", from, strerror(errno));
    if (piece == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t n; (n = fread(piece, 1, PIECE_BYTES, source)) > 0;)
        if (fwrite(piece, 1, n, stream) != n)
            break; /* told by whoever flushes the stream */
    if (ferror(source))
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be read: %s", from, strerror(errno));
done:
    if (source != NULL)
        fclose(source);
    free(piece);
    return status;
}

enum avvik_status avvik__file_copy(const char *from, const char *to, struct avvik_error *error)
{
    char *source = strdup(from);
    if (source == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    const enum avvik_status status = avvik__file_replace(to, copy_fill, source, error);
    free(source);
    return status;
}

enum avvik_status avvik__directory_make(const char *path, struct avvik_error *error)
{
    struct stat info;
    if (mkdir(path, 0777) == 0) {
        folder_sync(path);
        return AVVIK_OK;
    }
    const int reason = errno;
    if (reason == EEXIST && lstat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return AVVIK_OK;
    return avvik__error_set(error, AVVIK_ERR_IO, reason, "%s: cannot be made: %s", path,
                            reason == EEXIST ? "something else has that name" : strerror(reason));
}

static enum avvik_status entry_add(struct avvik__file_list *list, const char *path, int is_missing,
                                   struct avvik_error *error)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->entries[i].path, path) == 0)
            return AVVIK_OK;
    if (list->n == AVVIK_MAX_INPUTS)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "more than %d files fit the patterns, up to %s",
                                AVVIK_MAX_INPUTS, path);
    if (list->n == list->capacity) {
        const size_t capacity = list->capacity == 0 ? 16 : 2 * list->capacity;
        struct avvik__file_entry *entries = realloc(list->entries, capacity * sizeof *entries);
        if (entries == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        list->entries = entries;
        list->capacity = capacity;
    }
    char *copy = strdup(path);
    if (copy == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    list->entries[list->n++] = (struct avvik__file_entry){copy, is_missing};
    return AVVIK_OK;
}

/* FOLDER/PATTERN for glob(3), with what glob would take for a pattern in the folder's own name taken literally. */
static char *pattern_join(const char *folder, const char *pattern)
{
    char *joined = malloc(2 * strlen(folder) + strlen(pattern) + 2), *to = joined;
    if (joined == NULL)
        return NULL;
    for (; pattern[0] != '/' && *folder != '\0'; folder++) {
        if (strchr("*?[]\\", *folder) != NULL)
            *to++ = '\\';
        *to++ = *folder;
    }
    if (pattern[0] != '/')
        *to++ = '/';
    strcpy(to, pattern);
    return joined;
}

static int path_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum avvik_status pattern_find(const char *pattern, const char *folder, const char *date,
                                      struct avvik__file_list *list, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    glob_t found = {0};
    char *filled = avvik__date_fill(pattern, date), *joined = filled == NULL ? NULL : pattern_join(folder, filled);
    char *shown = filled == NULL || filled[0] == '/' ? NULL : avvik__text("%s/%s", folder, filled);
    if (joined == NULL || (filled[0] != '/' && shown == NULL))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const char *name = shown == NULL ? filled : shown;
    const int code = glob(joined, GLOB_NOSORT | GLOB_ERR, NULL, &found);
    if (code == GLOB_NOSPACE)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (code != 0 || found.gl_pathc == 0) {
        status = entry_add(list, name, 1, error);
        goto done;
    }
    qsort(found.gl_pathv, found.gl_pathc, sizeof *found.gl_pathv, path_compare); /* by bytes, in any locale */
    for (size_t i = 0; i < found.gl_pathc; i++)
        AVVIK_TRY(entry_add(list, found.gl_pathv[i], 0, error));
done:
    globfree(&found);
    free(shown);
    free(joined);
    free(filled);
    return status;
}

enum avvik_status avvik__files_find(char *const *patterns, size_t n_patterns, const char *folder, const char *date,
                                    struct avvik__file_list *list, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    *list = (struct avvik__file_list){0};
    for (size_t i = 0; i < n_patterns; i++)
        AVVIK_TRY(pattern_find(patterns[i], folder, date, list, error));
done:
    return status;
}

void avvik__files_destroy(struct avvik__file_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->entries[i].path);
    free(list->entries);
    *list = (struct avvik__file_list){0};
}

#include "record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "build_info.h"
#include "hash_text.h"
#include "record_internal.h"

#define METADATA_BYTES ((size_t)32 << 10) /* the way to the next chunk of each column, and the groups */

enum avvik_status avvik__record_write_failed(const struct avvik__record *record, const char *what,
                                             struct avvik_error *error)
{
    char reason[256];
    if (record->output.first_errno != 0)
        snprintf(reason, sizeof reason, "%s", strerror(record->output.first_errno));
    else
        avvik__h5_reason(reason, sizeof reason);
    return avvik__error_set(error, AVVIK_ERR_IO, record->output.first_errno, "%s: %s cannot be written (%s)",
                            record->path, what, reason);
}

enum avvik_status avvik__record_read_failed(const struct avvik__record *record, const char *what,
                                            struct avvik_error *error)
{
    return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: %s is missing or not of the documented type and shape",
                            record->path, what);
}

enum avvik_status avvik__record_add(struct avvik__record *record, const char *path, XXH128_hash_t digest,
                                    struct avvik_error *error)
{
    if (record->n_items == record->capacity) {
        const size_t capacity = record->capacity == 0 ? 32 : 2 * record->capacity;
        void *larger = realloc(record->items, capacity * sizeof *record->items);
        if (larger == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        record->items = larger;
        record->capacity = capacity;
    }
    struct item *item = &record->items[record->n_items++];
    memset(item, 0, sizeof *item);
    snprintf(item->path, sizeof item->path, "%s", path);
    item->digest = digest;
    return AVVIK_OK;
}

static int item_compare(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path);
}

void avvik__hash_text(XXH128_hash_t hash, char *text)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    int length = snprintf(text, AVVIK_HASH_SIZE, "xxh3-128:");
    for (size_t i = 0; i < sizeof canonical.digest; i++)
        length += snprintf(text + length, AVVIK_HASH_SIZE - (size_t)length, "%02x", canonical.digest[i]);
}

static void hash_of_items(struct avvik__record *record, char *hash_out)
{
    qsort(record->items, record->n_items, sizeof *record->items, item_compare);
    avvik__hash_text(XXH3_128bits(record->items, record->n_items * sizeof *record->items), hash_out);
}

void avvik__record_hash(struct avvik__record *record, char *hash_out)
{
    if (record->partial != NULL)
        hash_of_items(record, hash_out);
    else if (!avvik__h5_string_attribute(record->file, "content_hash", hash_out, AVVIK_HASH_SIZE))
        snprintf(hash_out, AVVIK_HASH_SIZE, "none");
}

static void record_free(struct avvik__record *record)
{
    for (size_t i = 0; i < record->n_columns; i++) {
        avvik__h5_close(record->columns[i]->dataset);
        XXH3_freeState(record->columns[i]->digest);
        free(record->columns[i]);
    }
    free(record->columns);
    avvik__h5_close(record->file);
    if (record->output.descriptor >= 0)
        close(record->output.descriptor);
    free(record->output.spans);
    free(record->items);
    free(record->partial);
    free(record->path);
    free(record);
}

void avvik__record_leave(struct avvik__record *record)
{
    if (record == NULL)
        return;
    if (record->partial != NULL && record->output.first_errno == 0)
        record->output.first_errno = ECANCELED; /* what HDF5 still holds need not be written */
    record_free(record);
}

void avvik__record_close(struct avvik__record *record)
{
    if (record != NULL && record->partial != NULL)
        unlink(record->partial);
    avvik__record_leave(record);
}

static struct avvik__record *record_new(const char *path)
{
    struct avvik__record *record = calloc(1, sizeof *record);
    if (record == NULL || (record->path = strdup(path)) == NULL) {
        free(record);
        return NULL;
    }
    record->file = H5I_INVALID_HID;
    record->output.descriptor = -1;
    return record;
}

void avvik__record_now(char *text)
{
    const time_t now = time(NULL);
    struct tm utc;
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}

int avvik__record_descriptor(const struct avvik__record *record)
{
    return record->output.descriptor;
}

enum avvik_status avvik__record_sync_failed(const struct avvik__record *record, int code, struct avvik_error *error)
{
    return avvik__error_set(error, AVVIK_ERR_IO, code, "%s: cannot be brought to the disk: %s", record->path,
                            strerror(code));
}

/* Open NAME.partial and keep other processes from it. It is emptied unless it is to be resumed. */
static enum avvik_status partial_open(struct avvik__record *record, int is_resumed, struct avvik_error *error)
{
    struct stat opened, named;
    const char *name = record->partial;
    record->output.descriptor = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (record->output.descriptor < 0)
        return avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be created: %s", record->path,
                                errno == ELOOP ? "its .partial is a symbolic link" : strerror(errno));
    const int is_locked = flock(record->output.descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    const int is_ours = is_locked && fstat(record->output.descriptor, &opened) == 0 && stat(name, &named) == 0 &&
                        opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
    if (!is_ours) {
        record->partial = NULL; /* the other process's: not to be removed */
        return avvik__error_set(error, AVVIK_ERR_EXISTS, EWOULDBLOCK,
                                "%s: another process is writing it; wait for it to end", record->path);
    }
    if (!S_ISREG(opened.st_mode) || (!is_resumed && ftruncate(record->output.descriptor, 0) != 0))
        return avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be written: %s", record->path,
                                S_ISREG(opened.st_mode) ? strerror(errno) : "its .partial is no file");
    return AVVIK_OK;
}

static enum avvik_status record_begin(const char *path, const char *kind, int replace, const char *created,
                                      int is_resumed, struct avvik__record **record_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t length = strlen(path) + sizeof ".partial";
    struct avvik__record *record = record_new(path);
    char *partial = malloc(length);
    struct stat there;
    avvik__h5_quiet();
    if (record == NULL || partial == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (stat(path, &there) == 0 && S_ISDIR(there.st_mode))
        AVVIK_FAIL(AVVIK_ERR_IO, EISDIR, "%s: is a directory; name a file in it", path);
    if (!replace && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        AVVIK_FAIL(AVVIK_ERR_EXISTS, EEXIST, "%s: is already there; --force replaces it", path);
    snprintf(partial, length, "%s.partial", path);
    record->partial = partial;
    AVVIK_TRY(partial_open(record, is_resumed, error));
    record->output.is_over_old = is_resumed;
    if ((record->file = avvik__output_create(&record->output, partial)) < 0)
        AVVIK_TRY(avvik__record_write_failed(record, "the file", error));
    avvik__h5_metadata_limit(record->file, METADATA_BYTES);
    AVVIK_TRY(avvik__record_put_text(record, "/", "avvik_kind", kind, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/", "format_version", AVVIK_FORMAT_VERSION, 1, error));
    AVVIK_TRY(avvik__record_put_text(record, "/", "producer", "avvik " AVVIK_VERSION, 0, error));
    AVVIK_TRY(avvik__record_put_text(record, "/", "created", created, 0, error));
    *record_out = record;
    record = NULL;
    partial = NULL;
done:
    if (record == NULL || record->partial == NULL)
        free(partial);
    if (is_resumed)
        avvik__record_leave(record);
    else
        avvik__record_close(record);
    return status;
}

enum avvik_status avvik__record_create(const char *path, const char *kind, int replace,
                                       struct avvik__record **record_out, struct avvik_error *error)
{
    char created[32];
    avvik__record_now(created);
    return record_begin(path, kind, replace, created, 0, record_out, error);
}

enum avvik_status avvik__record_resume(const char *path, const char *kind, int replace, const char *created,
                                       struct avvik__record **record_out, struct avvik_error *error)
{
    return record_begin(path, kind, replace, created, 1, record_out, error);
}

int avvik__record_is(const char *path, const char *kind)
{
    char found[32];
    hid_t file;
    if (avvik__h5_open(path, &file, NULL) != AVVIK_OK)
        return 0;
    const int is = avvik__h5_string_attribute(file, "avvik_kind", found, sizeof found) && strcmp(found, kind) == 0;
    H5Fclose(file);
    return is;
}

enum avvik_status avvik__record_open(const char *path, const char *kind, struct avvik__record **record_out,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    uint64_t version;
    char found[32];
    struct avvik__record *record = record_new(path);
    if (record == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__h5_open(path, &record->file, error));
    avvik__h5_metadata_limit(record->file, METADATA_BYTES);
    if (!avvik__h5_string_attribute(record->file, "avvik_kind", found, sizeof found))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is not a file of kind '%s' made by avvik", path, kind);
    if (strcmp(found, kind) != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is of kind '%s', where '%s' is needed", path, found, kind);
    AVVIK_TRY(avvik__record_get_u64(record, "/", "format_version", &version, error));
    if (version < 1 || version > AVVIK_FORMAT_VERSION)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: has format version %llu where this avvik reads 1 to %d; make it anew",
                   path, (unsigned long long)version, AVVIK_FORMAT_VERSION);
    AVVIK_TRY(avvik__record_get_text(record, "/", "avvik_kind", found, sizeof found, 1, error)); /* into the hash */
    *record_out = record;
    record = NULL;
done:
    avvik__record_close(record);
    return status;
}

void avvik__directory_sync(const char *path)
{
    char *copy = strdup(path);
    const int descriptor = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
    free(copy);
}

void avvik__leftover_remove(const char *path)
{
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0)
        return;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        unlink(path);
    close(descriptor);
}

enum avvik_status avvik__record_commit(struct avvik__record **owned, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__record *record = *owned;
    char hash[AVVIK_HASH_SIZE];
    for (size_t i = 0; i < record->n_columns; i++) {
        struct avvik__record_column *column = record->columns[i];
        AVVIK_TRY(avvik__record_add(record, column->path, XXH3_128bits_digest(column->digest), error));
        if (column->next != column->n_rows)
            AVVIK_FAIL(AVVIK_ERR_INTERNAL, 0, "%s: %s is not complete", record->path, column->path);
        const herr_t column_closed = H5Dclose(column->dataset);
        column->dataset = H5I_INVALID_HID;
        if (column_closed < 0 || record->output.first_errno != 0)
            AVVIK_TRY(avvik__record_write_failed(record, column->path, error));
    }
    hash_of_items(record, hash);
    AVVIK_TRY(avvik__record_put_text(record, "/", "content_hash", hash, 0, error));
    const herr_t closed = H5Fclose(record->file);
    record->file = H5I_INVALID_HID;
    avvik__output_gaps_clear(&record->output);
    if (closed < 0 || record->output.first_errno != 0)
        AVVIK_TRY(avvik__record_write_failed(record, "the file", error));
    if (fsync(record->output.descriptor) != 0 || rename(record->partial, record->path) != 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be put in place: %s", record->path, strerror(errno));
    free(record->partial);
    record->partial = NULL;
    avvik__directory_sync(record->path);
    avvik__record_close(record);
    *owned = NULL;
done:
    return status;
}

enum avvik_status avvik__record_verify(struct avvik__record *record, struct avvik_error *error)
{
    char computed[AVVIK_HASH_SIZE], stated[AVVIK_HASH_SIZE];
    for (size_t i = 0; i < record->n_columns; i++) {
        const enum avvik_status status =
            avvik__record_add(record, record->columns[i]->path, XXH3_128bits_digest(record->columns[i]->digest), error);
        if (status != AVVIK_OK)
            return status;
    }
    hash_of_items(record, computed);
    avvik__record_hash(record, stated);
    return strcmp(computed, stated) == 0
               ? AVVIK_OK
               : avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                  "%s: its content does not have the hash it states (%s); it was changed or damaged",
                                  record->path, stated);
}

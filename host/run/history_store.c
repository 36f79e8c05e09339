#include "history_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik_internal.h"

#define MAX_PARTS 256
#define BUFFER_BYTES ((size_t)64 << 10) /* of a part, before they go to its file */
#define SLACK 1.25                      /* parts are not all of one size */

struct part {
    char *rows; /* in memory, or those that are not in the file yet */
    size_t bytes, capacity;
    uint64_t file_bytes;
    int file; /* -1: none */
};

struct avvik__history_store {
    size_t row_bytes, n_parts;
    int is_spilling;
    uint64_t part_bytes; /* that a part may take */
    struct part parts[MAX_PARTS];
};

size_t avvik__past_row_bytes(size_t n_values)
{
    return (sizeof(struct avvik__past_row) + n_values * sizeof(float) + 7) / 8 * 8;
}

enum avvik_status avvik__history_store_create(uint64_t n_rows, size_t n_values, unsigned n_threads,
                                              uint64_t memory_bytes, struct avvik__history_store **store_out,
                                              struct avvik_error *error)
{
    struct avvik__history_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    store->row_bytes = avvik__past_row_bytes(n_values);
    const double all = SLACK * (double)n_rows * (double)store->row_bytes;
    store->is_spilling = 2 * all > (double)memory_bytes; /* sorting takes as much again */
    store->part_bytes = memory_bytes / 2 / (store->is_spilling ? n_threads : 1);
    const double wanted = store->is_spilling ? all / (double)store->part_bytes : 1;
    store->n_parts = wanted < 4 * n_threads ? 4 * n_threads : wanted < MAX_PARTS ? (size_t)wanted + 1 : MAX_PARTS;
    store->n_parts = store->n_parts < MAX_PARTS ? store->n_parts : MAX_PARTS;
    for (size_t p = 0; p < MAX_PARTS; p++)
        store->parts[p].file = -1;
    *store_out = store;
    return AVVIK_OK;
}

void avvik__history_store_free(struct avvik__history_store *store)
{
    for (size_t p = 0; store != NULL && p < store->n_parts; p++) {
        free(store->parts[p].rows);
        if (store->parts[p].file >= 0)
            close(store->parts[p].file);
    }
    free(store);
}

static const char *file_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder == NULL || folder[0] == '\0' ? "/tmp" : folder;
}

int avvik__temporary_file(void)
{
    char path[4096];
    const int length = snprintf(path, sizeof path, "%s/avvik-history-XXXXXX", file_folder());
    const int file = length > 0 && (size_t)length < sizeof path ? mkstemp(path) : -1;
    if (file >= 0) {
        unlink(path);
        fcntl(file, F_SETFD, FD_CLOEXEC);
    }
    return file;
}

static enum avvik_status file_failed(int code, struct avvik_error *error)
{
    return avvik__error_set(error, AVVIK_ERR_IO, code,
                            "%s: the temporary files of the history cannot be kept there (%s); set TMPDIR to a folder "
                            "with more room, or allow more memory",
                            file_folder(), strerror(code));
}

/* What has gathered goes to the part's file. */
static enum avvik_status part_spill(struct part *part, struct avvik_error *error)
{
    if (part->file < 0 && (part->file = avvik__temporary_file()) < 0)
        return file_failed(errno, error);
    for (size_t done = 0; done < part->bytes;) {
        const ssize_t n = pwrite(part->file, part->rows + done, part->bytes - done, (off_t)(part->file_bytes + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return file_failed(n < 0 ? errno : ENOSPC, error);
        done += (size_t)n;
    }
    part->file_bytes += part->bytes;
    part->bytes = 0;
    return AVVIK_OK;
}

static size_t part_of(const struct avvik__history_store *store, uint64_t entity)
{
    uint64_t h = entity * UINT64_C(0xd6e8feb86659fd93);
    h = (h ^ (h >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)((h >> 32) * store->n_parts >> 32);
}

enum avvik_status avvik__history_store_add(struct avvik__history_store *store, const struct avvik__past_row *row,
                                           struct avvik_error *error)
{
    struct part *part = &store->parts[part_of(store, row->entity)];
    if (part->bytes + store->row_bytes > part->capacity) {
        if (store->is_spilling && part->capacity > 0) {
            const enum avvik_status status = part_spill(part, error);
            if (status != AVVIK_OK)
                return status;
        } else {
            const size_t capacity = store->is_spilling ? BUFFER_BYTES + store->row_bytes
                                                       : part->capacity + part->capacity / 2 + BUFFER_BYTES;
            char *larger = realloc(part->rows, capacity);
            if (larger == NULL)
                return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
            part->rows = larger;
            part->capacity = capacity;
        }
    }
    memcpy(part->rows + part->bytes, row, store->row_bytes);
    part->bytes += store->row_bytes;
    return AVVIK_OK;
}

size_t avvik__history_store_parts(const struct avvik__history_store *store)
{
    return store->n_parts;
}

uint64_t avvik__history_store_spilled(const struct avvik__history_store *store)
{
    uint64_t bytes = 0;
    for (size_t p = 0; p < store->n_parts; p++)
        bytes += store->parts[p].file_bytes;
    return bytes;
}

static int rows_compare(const void *a, const void *b)
{
    const struct avvik__past_row *x = a, *y = b;
    if (x->entity != y->entity)
        return x->entity < y->entity ? -1 : 1;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

enum avvik_status avvik__history_store_take(struct avvik__history_store *store, size_t number, char **rows_out,
                                            size_t *n_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct part *part = &store->parts[number];
    const uint64_t bytes = part->file_bytes + part->bytes;
    char *rows = NULL;
    if (store->is_spilling && bytes > store->part_bytes)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0,
                   "the rows of some entities, %llu of them, do not fit into memory together; allow %llu MiB more",
                   (unsigned long long)(bytes / store->row_bytes),
                   (unsigned long long)(((bytes - store->part_bytes) >> 20) * 2 + 1));
    if (part->file_bytes == 0) {
        rows = part->rows;
        part->rows = NULL;
    } else {
        if ((rows = malloc((size_t)bytes)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        for (uint64_t done = 0; done < part->file_bytes;) {
            const ssize_t n = pread(part->file, rows + done, (size_t)(part->file_bytes - done), (off_t)done);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                AVVIK_TRY(file_failed(n < 0 ? errno : EIO, error));
            done += n > 0 ? (uint64_t)n : 0;
        }
        memcpy(rows + part->file_bytes, part->rows, part->bytes);
        free(part->rows);
        part->rows = NULL;
        close(part->file);
        part->file = -1;
    }
    *n_out = (size_t)(bytes / store->row_bytes);
    if (*n_out > 0)
        qsort(rows, *n_out, store->row_bytes, rows_compare);
    *rows_out = rows;
    rows = NULL;
done:
    free(rows);
    return status;
}

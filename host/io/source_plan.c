/* Planning a block: source_plan.h says how this and fetching share the work. */
#define _GNU_SOURCE /* posix_fadvise */
#include "source_plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hash_text.h"
#include "input_driver.h"
#include "plan_internal.h"

enum avvik_status avvik__plan_create(struct avvik_source *source, size_t max_rows, struct avvik__plan **plan_out,
                                     struct avvik_error *error)
{
    struct avvik__plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    plan->source = source;
    plan->max_rows = max_rows;
    *plan_out = plan;
    return AVVIK_OK;
}

void avvik__plan_clear(struct avvik__plan *plan)
{
    for (size_t i = 0; i < plan->n_parts; i++)
        if (plan->parts[i].chunk != NULL)
            avvik__chunk_release(plan->source, plan->parts[i].chunk);
    plan->n_parts = plan->n_damage = plan->n_rows = 0;
}

void avvik__plan_free(struct avvik__plan *plan)
{
    if (plan == NULL)
        return;
    avvik__plan_clear(plan);
    free(plan->parts);
    free(plan->plain);
    avvik__fetcher_free(plan->checker);
    free(plan->damage);
    free(plan);
}

static struct avvik__part *part_append(struct avvik__plan *plan)
{
    if (plan->n_parts == plan->parts_capacity) {
        const size_t capacity = plan->parts_capacity == 0 ? 64 : 2 * plan->parts_capacity;
        void *larger = realloc(plan->parts, capacity * sizeof *plan->parts);
        if (larger == NULL)
            return NULL;
        plan->parts = larger;
        plan->parts_capacity = capacity;
    }
    return memset(&plan->parts[plan->n_parts++], 0, sizeof *plan->parts);
}

/* The kernel reads ahead while earlier blocks are still at work. */
static void part_announce(const struct avvik__part *part)
{
    const struct avvik__store *store = part->store;
    if (store->layout == AVVIK_LAYOUT_CONTIGUOUS)
        posix_fadvise(store->descriptor, (off_t)(store->address + part->row * store->row_bytes),
                      (off_t)(part->n_rows * store->row_bytes), POSIX_FADV_WILLNEED);
    else if (store->layout == AVVIK_LAYOUT_CHUNKED && part->chunk != NULL && part->chunk->is_stored)
        posix_fadvise(store->descriptor, (off_t)part->chunk->address, (off_t)part->chunk->stored_bytes,
                      POSIX_FADV_WILLNEED);
}

/* HDF5 1.10 believes what a chunk decodes to: more takes any memory, less makes it read beyond what it has. So it is
 * decoded here first. */
static enum avvik_status part_check(struct avvik__plan *plan, struct avvik__part *part, struct avvik_error *error)
{
    if (plan->checker == NULL) {
        const enum avvik_status status = avvik__fetcher_create(plan->source, &plan->checker, error);
        if (status != AVVIK_OK)
            return status;
    }
    avvik__chunk_decode_once(plan->source, plan->checker, part->chunk, 1);
    part->problem = part->chunk->problem;
    return AVVIK_OK;
}

/* What only HDF5 can read, it reads now. */
static enum avvik_status part_read_plainly(struct avvik__plan *plan, struct avvik__part *part, int keep_going,
                                           struct avvik_error *error)
{
    if (plan->plain == NULL &&
        (plan->plain = avvik__aligned_calloc(plan->source->n_columns * plan->max_rows, sizeof(float))) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    float *values = plan->plain + part->store->first_feature * plan->max_rows + part->at;
    const enum avvik_status status = part->file->compound >= 0
                                         ? avvik__compound_read_plainly(plan->source, part->file, part->row,
                                                                        part->n_rows, values, plan->max_rows, error)
                                         : avvik__column_read_plainly(part->file, part->store->first_feature, part->row,
                                                                      part->n_rows, values, error);
    if (status != AVVIK_ERR_FORMAT || !keep_going)
        return status;
    part->problem = "HDF5 cannot read it";
    return AVVIK_OK;
}

enum avvik_status avvik__part_refuse(const struct avvik__part *part, const char *problem, struct avvik_error *error)
{
    const struct avvik__store *store = part->store;
    uint64_t first = part->row, n_rows = part->n_rows;
    if (part->chunk != NULL) {
        first -= first % store->chunk_rows;
        const uint64_t left = part->file->n_rows - first;
        n_rows = left < store->chunk_rows ? left : store->chunk_rows;
    }
    return avvik__rows_unreadable(part->file, store->first_feature, first, n_rows, problem, error);
}

/* The chunk of a part. */
static enum avvik_status part_locate(struct avvik__plan *plan, struct avvik__part *part, int keep_going,
                                     struct avvik_error *error)
{
    char reason[256];
    const enum avvik_status status =
        avvik__chunk_get(plan->source, part->store, part->row / part->store->chunk_rows, &part->chunk);
    if (status == AVVIK_ERR_MEMORY)
        return avvik__error_set(error, status, 0, "out of memory");
    if (status == AVVIK_OK)
        return AVVIK_OK;
    avvik__h5_reason(reason, sizeof reason);
    part->problem = "HDF5 cannot find its chunk";
    if (strstr(reason, "addr overflow") != NULL ||
        strstr(reason, "temporary file space") != NULL) { /* in HDF5's words */
        part->problem = avvik__beyond_the_end;
        snprintf(reason, sizeof reason, "%s", avvik__beyond_the_end);
    }
    return keep_going ? AVVIK_OK : avvik__part_refuse(part, reason, error);
}

/* Rows [row, row + n_rows) of a store, from row `at` of the block on. */
static enum avvik_status store_plan(struct avvik__plan *plan, struct avvik__source_file *file,
                                    struct avvik__store *store, uint64_t row, size_t at, size_t n_rows, int keep_going,
                                    struct avvik_error *error)
{
    while (n_rows > 0) {
        struct avvik__part *part = part_append(plan);
        if (part == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        *part = (struct avvik__part){.file = file, .store = store, .at = at, .n_rows = n_rows, .row = row};
        enum avvik_status status = AVVIK_OK;
        if (store->layout == AVVIK_LAYOUT_CHUNKED || store->is_checked) {
            const uint64_t left = store->chunk_rows - row % store->chunk_rows;
            part->n_rows = n_rows < left ? n_rows : (size_t)left;
            status = part_locate(plan, part, keep_going, error);
        }
        if (status == AVVIK_OK && store->is_checked && avvik__chunk_is_encoded(part->chunk)) {
            status = part_check(plan, part, error);
            if (status == AVVIK_OK && part->problem != NULL && !keep_going)
                return avvik__part_refuse(part, part->problem, error);
        }
        if (status == AVVIK_OK && store->layout == AVVIK_LAYOUT_PLAIN && part->problem == NULL)
            status = part_read_plainly(plan, part, keep_going, error);
        if (status != AVVIK_OK)
            return status;
        part_announce(part);
        row += part->n_rows;
        at += part->n_rows;
        n_rows -= part->n_rows;
    }
    return AVVIK_OK;
}

void avvik__plan_want(struct avvik__plan *plan, const char *is_wanted)
{
    plan->is_wanted = is_wanted;
}

static int is_store_wanted(const struct avvik__plan *plan, const struct avvik__store *store)
{
    if (plan->is_wanted == NULL)
        return 1;
    for (size_t f = store->first_feature; f < store->first_feature + store->n_features; f++)
        if (plan->is_wanted[f])
            return 1;
    return 0;
}

enum avvik_status avvik__plan_rows(struct avvik__plan *plan, uint64_t first, size_t n_rows, int keep_going,
                                   struct avvik_error *error)
{
    struct avvik_source *source = plan->source;
    avvik__plan_clear(plan);
    if (first > source->n_rows || n_rows > source->n_rows - first || n_rows > plan->max_rows)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "rows %llu to %llu are outside the table",
                                (unsigned long long)first, (unsigned long long)(first + n_rows));
    avvik__h5_quiet();
    plan->first = first;
    plan->n_rows = n_rows;
    for (size_t i = 0, at = 0; i < source->n_files && at < n_rows; i++) {
        struct avvik__source_file *file = &source->files[i];
        if (first >= file->n_rows) {
            first -= file->n_rows;
            avvik__stores_leave(source, file);
            continue;
        }
        file->is_left = 0;
        const size_t here = n_rows - at < file->n_rows - first ? n_rows - at : (size_t)(file->n_rows - first);
        for (size_t s = 0; s < file->n_stores; s++) {
            if (!is_store_wanted(plan, &file->stores[s]))
                continue;
            const enum avvik_status status =
                store_plan(plan, file, &file->stores[s], first, at, here, keep_going, error);
            if (status != AVVIK_OK)
                return status;
        }
        at += here;
        first = 0;
    }
    return AVVIK_OK;
}

size_t avvik__plan_bytes(const struct avvik_source *source, size_t n_plans, size_t n_rows)
{
    size_t most = 0;
    for (size_t i = 0; i < source->n_files; i++) {
        size_t bytes = 0, has_plain = 0;
        for (size_t s = 0; s < source->files[i].n_stores; s++) {
            const struct avvik__store *store = &source->files[i].stores[s];
            if (store->filters.n > 0)
                bytes += (n_plans * n_rows / store->chunk_rows + 2) * store->chunk_bytes;
            has_plain |= store->layout == AVVIK_LAYOUT_PLAIN;
        }
        bytes += has_plain ? n_plans * source->n_columns * n_rows * sizeof(float) : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

void avvik__source_read_plainly(struct avvik_source *source)
{
    for (size_t i = 0; i < source->n_files; i++)
        for (size_t s = 0; s < source->files[i].n_stores; s++) {
            source->files[i].stores[s].layout = AVVIK_LAYOUT_PLAIN;
            source->files[i].stores[s].is_checked = source->files[i].stores[s].filters.n > 0;
        }
}

void avvik__source_state(const struct avvik_source *source, char *text)
{
    struct {
        XXH128_canonical_t before, path;
        int64_t is_known, bytes, seconds, nanoseconds;
    } part = {0};
    for (size_t i = 0; i < source->n_files; i++) {
        const struct avvik__source_file *file = &source->files[i];
        struct stat info = {0};
        uint64_t bytes;
        const int descriptor = avvik__input_descriptor(file->file, &bytes);
        XXH128_canonicalFromHash(&part.path, XXH3_128bits(file->path, strlen(file->path)));
        part.is_known = descriptor >= 0 && fstat(descriptor, &info) == 0;
        part.bytes = info.st_size;
        part.seconds = info.st_mtim.tv_sec;
        part.nanoseconds = info.st_mtim.tv_nsec;
        XXH128_canonicalFromHash(&part.before, XXH3_128bits(&part, sizeof part));
    }
    avvik__hash_text(XXH128_hashFromCanonical(&part.before), text);
}

#include "duplicate_ids.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "block_pipeline.h"

#define PARTITION_ROWS 32768 /* wanted: its table of 1 MiB stays in the second-level cache */
#define MAX_CACHE_PARTITIONS 1024
#define MIN_BLOCK_BYTES 1024
#define MAX_BLOCK_BYTES 65536

struct record {
    uint64_t id, row;
};

/* Where the records of a partition go on: a block is written when it is full, with the number of the next one, which is
 * taken at the same time, in its head. */
struct block {
    uint64_t n_records, next;
    struct record records[];
};

struct partition {
    struct block *filling;
    uint64_t first, number; /* of the first block, and of the one that is being filled */
};

struct avvik__id_set {
    uint64_t key[2];
    unsigned partition_bits, n_threads;
    size_t block_bytes, block_records;
    struct partition *partitions;
    struct block **kept; /* blocks 0 to n_kept - 1, NULL until they are full */
    uint64_t n_kept, n_blocks;
    int file; /* the blocks from n_kept on; -1 until there is one */
};

static uint64_t hash_of(const struct avvik__id_set *set, uint64_t id)
{
    uint64_t h = (id ^ set->key[0]) * (set->key[1] | 1);
    h = (h ^ (h >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return (h ^ (h >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
}

static size_t partition_of(const struct avvik__id_set *set, uint64_t hash)
{
    return (size_t)(hash >> 32 >> (32 - set->partition_bits));
}

/* Slots of a table for n values, at most half full. */
static uint64_t slots_for(uint64_t n)
{
    uint64_t slots = 256;
    while (slots < 2 * n)
        slots *= 2;
    return slots;
}

enum avvik_status avvik__id_set_create(uint64_t n_rows, uint64_t memory, unsigned n_threads,
                                       struct avvik__id_set **set_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__id_set *set = calloc(1, sizeof *set);
    if (set == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    set->file = -1;
    set->n_threads = n_threads;
    if (getrandom(set->key, sizeof set->key, 0) != sizeof set->key)
        AVVIK_FAIL(AVVIK_ERR_INTERNAL, errno, "the system gives no random numbers: %s", strerror(errno));
    /* A quarter of the memory for blocks that are being filled, a quarter for tables, a half for blocks that are kept.
     */
    size_t n = 1;
    while (n < MAX_CACHE_PARTITIONS && n_rows / n > PARTITION_ROWS)
        n *= 2;
    while (slots_for(n_rows / n + n_rows / n / 8) * sizeof(struct record) * n_threads > memory / 4 &&
           2 * n * MIN_BLOCK_BYTES <= memory / 4)
        n *= 2;
    while (n > 1 && n * MIN_BLOCK_BYTES > memory / 4)
        n /= 2;
    while ((size_t)1 << set->partition_bits < n)
        set->partition_bits++;
    set->block_bytes = MAX_BLOCK_BYTES;
    while (set->block_bytes > MIN_BLOCK_BYTES && set->block_bytes * n > memory / 4)
        set->block_bytes /= 2;
    set->block_records = (set->block_bytes - sizeof(struct block)) / sizeof(struct record);
    set->n_kept = memory / 2 / set->block_bytes;
    if ((set->partitions = calloc(n, sizeof *set->partitions)) == NULL ||
        (set->kept = calloc(set->n_kept + 1, sizeof *set->kept)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory to look for repeated ids");
    for (size_t p = 0; p < n; p++) {
        if ((set->partitions[p].filling = malloc(set->block_bytes)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory to look for repeated ids");
        set->partitions[p].filling->n_records = 0;
        set->partitions[p].first = set->partitions[p].number = set->n_blocks++;
    }
    *set_out = set;
    set = NULL;
done:
    avvik__id_set_free(set);
    return status;
}

void avvik__id_set_free(struct avvik__id_set *set)
{
    if (set == NULL)
        return;
    for (size_t p = 0; set->partitions != NULL && p >> set->partition_bits == 0; p++)
        free(set->partitions[p].filling);
    for (uint64_t b = 0; set->kept != NULL && b < set->n_kept; b++)
        free(set->kept[b]);
    free(set->partitions);
    free(set->kept);
    if (set->file >= 0)
        close(set->file);
    free(set);
}

static const char *file_folder(void)
{
    const char *folder = getenv("TMPDIR");
    return folder == NULL || folder[0] == '\0' ? "/tmp" : folder;
}

static enum avvik_status file_open(struct avvik__id_set *set, struct avvik_error *error)
{
    char path[4096];
    const int length = snprintf(path, sizeof path, "%s/avvik-ids-XXXXXX", file_folder());
    if (length > 0 && (size_t)length < sizeof path && (set->file = mkstemp(path)) >= 0) {
        unlink(path);
        fcntl(set->file, F_SETFD, FD_CLOEXEC);
        return AVVIK_OK;
    }
    return avvik__error_set(error, AVVIK_ERR_IO, errno,
                            "%s: no temporary file for the ids can be made there (%s); set TMPDIR, or give them more "
                            "memory",
                            file_folder(), strerror(errno));
}

static enum avvik_status block_write(struct avvik__id_set *set, const struct block *block, uint64_t number,
                                     struct avvik_error *error)
{
    if (set->file < 0) {
        const enum avvik_status status = file_open(set, error);
        if (status != AVVIK_OK)
            return status;
    }
    const uint64_t start = (number - set->n_kept) * set->block_bytes;
    for (size_t done = 0; done < set->block_bytes;) {
        const ssize_t n = pwrite(set->file, (const char *)block + done, set->block_bytes - done, (off_t)(start + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return avvik__error_set(error, AVVIK_ERR_IO, errno,
                                    "%s: the temporary file of the ids cannot be written (%s); set TMPDIR to a folder "
                                    "with room for 16 bytes a row, or give them more memory",
                                    file_folder(), n < 0 ? strerror(errno) : "nothing was taken");
        done += (size_t)n;
    }
    return AVVIK_OK;
}

/* Put the full block of a partition away, and begin the next one. */
static enum avvik_status block_end(struct avvik__id_set *set, struct partition *partition, struct avvik_error *error)
{
    struct block *full = partition->filling;
    const uint64_t number = partition->number;
    full->next = partition->number = set->n_blocks++;
    if (number >= set->n_kept) {
        const enum avvik_status status = block_write(set, full, number, error);
        full->n_records = 0;
        return status;
    }
    if ((partition->filling = malloc(set->block_bytes)) == NULL) {
        partition->filling = full;
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "not enough memory to look for repeated ids");
    }
    partition->filling->n_records = 0;
    set->kept[number] = full;
    return AVVIK_OK;
}

enum avvik_status avvik__id_set_add(struct avvik__id_set *set, uint64_t first, const uint64_t *values,
                                    const uint8_t *is_missing, size_t n_rows, struct avvik_error *error)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (is_missing[i])
            continue;
        struct partition *partition = &set->partitions[partition_of(set, hash_of(set, values[i]))];
        if (partition->filling->n_records == set->block_records) {
            const enum avvik_status status = block_end(set, partition, error);
            if (status != AVVIK_OK)
                return status;
        }
        struct block *block = partition->filling;
        block->records[block->n_records++] = (struct record){values[i], first + i};
    }
    return AVVIK_OK;
}

/* One thread's part in the count. */
struct counter {
    struct avvik__id_set *set;
    atomic_size_t *next_partition;
    const volatile int *stop;
    struct record *slots; /* row: 0 if empty, else 2 (row + 1), odd where the value has come a second time */
    uint64_t n_slots, n_used;
    struct block *buffer;
    uint64_t rows, values;
    struct avvik_duplicate named[AVVIK_DUPLICATES_NAMED];
    size_t n_named;
    enum avvik_status status;
    struct avvik_error error;
};

static void name_keep(struct avvik_duplicate *named, size_t *n_named, const struct avvik_duplicate *duplicate)
{
    size_t place = *n_named;
    while (place > 0 && named[place - 1].second_row > duplicate->second_row)
        place--;
    if (place == AVVIK_DUPLICATES_NAMED)
        return;
    if (*n_named < AVVIK_DUPLICATES_NAMED)
        ++*n_named;
    memmove(&named[place + 1], &named[place], (*n_named - 1 - place) * sizeof *named);
    named[place] = *duplicate;
}

static struct record *slot_find(const struct counter *counter, uint64_t id)
{
    uint64_t k = hash_of(counter->set, id) & (counter->n_slots - 1);
    while (counter->slots[k].row != 0 && counter->slots[k].id != id)
        k = (k + 1) & (counter->n_slots - 1);
    return &counter->slots[k];
}

/* More values than a partition is expected to have: the table doubles. */
static enum avvik_status table_grow(struct counter *counter)
{
    struct record *old = counter->slots;
    const uint64_t n_old = counter->n_slots;
    if ((counter->slots = calloc(2 * n_old, sizeof *old)) == NULL) {
        counter->slots = old;
        return avvik__error_set(&counter->error, AVVIK_ERR_MEMORY, 0, "not enough memory to look for repeated ids");
    }
    counter->n_slots = 2 * n_old;
    for (uint64_t k = 0; k < n_old; k++)
        if (old[k].row != 0)
            *slot_find(counter, old[k].id) = old[k];
    free(old);
    return AVVIK_OK;
}

static enum avvik_status block_count(struct counter *counter, const struct block *block)
{
    for (uint64_t i = 0; i < block->n_records; i++) {
        const struct record *record = &block->records[i];
        struct record *slot = slot_find(counter, record->id);
        if (slot->row == 0) {
            *slot = (struct record){record->id, 2 * (record->row + 1)};
            if (2 * ++counter->n_used > counter->n_slots && table_grow(counter) != AVVIK_OK)
                return AVVIK_ERR_MEMORY;
            continue;
        }
        counter->rows++;
        if (slot->row % 2 == 0) {
            const struct avvik_duplicate duplicate = {record->id, slot->row / 2 - 1, record->row};
            name_keep(counter->named, &counter->n_named, &duplicate);
            counter->values++;
            slot->row++;
        }
    }
    return AVVIK_OK;
}

/* The block `number`, which is full and was put away. */
static const struct block *block_get(struct counter *counter, uint64_t number)
{
    const struct avvik__id_set *set = counter->set;
    if (number < set->n_kept)
        return set->kept[number];
    const uint64_t start = (number - set->n_kept) * set->block_bytes;
    for (size_t done = 0; done < set->block_bytes;) {
        const ssize_t n =
            pread(set->file, (char *)counter->buffer + done, set->block_bytes - done, (off_t)(start + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            avvik__error_set(&counter->error, AVVIK_ERR_IO, errno,
                             "%s: the temporary file of the ids cannot be read (%s)", file_folder(),
                             n < 0 ? strerror(errno) : "it is too short");
            return NULL;
        }
        done += (size_t)n;
    }
    return counter->buffer;
}

static enum avvik_status partition_count(struct counter *counter, const struct partition *partition)
{
    memset(counter->slots, 0, counter->n_slots * sizeof *counter->slots);
    counter->n_used = 0;
    for (uint64_t number = partition->first; number != partition->number;) {
        const struct block *block = block_get(counter, number);
        if (block == NULL)
            return AVVIK_ERR_IO;
        const enum avvik_status status = block_count(counter, block);
        if (status != AVVIK_OK)
            return status;
        number = block->next;
        if (avvik__is_stopped(counter->stop))
            return avvik__error_set(&counter->error, AVVIK_INTERRUPTED, 0, "interrupted");
    }
    return block_count(counter, partition->filling);
}

static void *counter_main(void *opaque)
{
    struct counter *counter = opaque;
    for (size_t p; counter->status == AVVIK_OK &&
                   (p = atomic_fetch_add(counter->next_partition, 1)) >> counter->set->partition_bits == 0;)
        counter->status = partition_count(counter, &counter->set->partitions[p]);
    return NULL;
}

static uint64_t records_of(const struct avvik__id_set *set)
{
    uint64_t n = 0;
    for (size_t p = 0; p >> set->partition_bits == 0; p++)
        n += set->partitions[p].filling->n_records;
    return n + (set->n_blocks - ((uint64_t)1 << set->partition_bits)) * set->block_records;
}

static enum avvik_status counter_init(struct counter *counter, struct avvik__id_set *set, atomic_size_t *next,
                                      const volatile int *stop, struct avvik_error *error)
{
    const uint64_t expected = records_of(set) >> set->partition_bits;
    counter->set = set;
    counter->next_partition = next;
    counter->stop = stop;
    counter->n_slots = slots_for(expected + expected / 8);
    counter->slots = calloc(counter->n_slots, sizeof *counter->slots);
    counter->buffer = malloc(set->block_bytes);
    if (counter->slots == NULL || counter->buffer == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "not enough memory to look for repeated ids");
    return AVVIK_OK;
}

enum avvik_status avvik__id_set_count(struct avvik__id_set *set, const volatile int *stop, uint64_t *rows_out,
                                      uint64_t *values_out, struct avvik_duplicate *named, size_t *n_named_out,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    pthread_t helpers[AVVIK_MAX_WORKERS];
    unsigned n_helpers = 0;
    atomic_size_t next = 0;
    uint64_t rows = 0, values = 0;
    size_t n_named = 0;
    struct counter *counters = calloc(set->n_threads, sizeof *counters);
    if (counters == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory to look for repeated ids");
    for (unsigned i = 0; i < set->n_threads; i++)
        AVVIK_TRY(counter_init(&counters[i], set, &next, stop, error));
    while (n_helpers + 1 < set->n_threads &&
           pthread_create(&helpers[n_helpers], NULL, counter_main, &counters[n_helpers + 1]) == 0)
        n_helpers++;
    counter_main(&counters[0]);
    while (n_helpers > 0)
        pthread_join(helpers[--n_helpers], NULL);
    for (unsigned i = 0; i < set->n_threads; i++) {
        if (counters[i].status != AVVIK_OK) {
            if (error != NULL)
                *error = counters[i].error;
            status = counters[i].status;
            goto done;
        }
        rows += counters[i].rows;
        values += counters[i].values;
        for (size_t k = 0; k < counters[i].n_named; k++)
            name_keep(named, &n_named, &counters[i].named[k]);
    }
    *rows_out = rows;
    *values_out = values;
    *n_named_out = n_named;
done:
    for (unsigned i = 0; counters != NULL && i < set->n_threads; i++) {
        free(counters[i].slots);
        free(counters[i].buffer);
    }
    free(counters);
    return status;
}

/* Going on where an interrupted run stopped. The journal tells which blocks were on the disk and what digests their
 * columns had; the partial file has the results. A block counts if they agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "score_internal.h"

#define DIGEST_BYTES sizeof(XXH128_canonical_t)

/* A record of the journal; then n_absent runs of absent rows, and of the rows that are outlined whether each has a
 * score, and its values. */
struct block_record {
    uint64_t block;
    struct block_totals totals;
    uint64_t encoded_bytes[N_COLUMNS];
    unsigned char digest[N_COLUMNS][DIGEST_BYTES]; /* of each column's chunk */
    struct avvik__input_hash hash;                 /* of all rows up to the end of the block */
    uint64_t n_absent;
};

/* Which of the rows that are outlined lie in a block, and how many bytes the journal has of them. */
struct outlined {
    uint32_t first, n;
    size_t bytes;
};

static struct outlined outlined_of(const struct score_run *run, uint64_t block)
{
    const uint64_t first_row = block * run->cut.block_rows;
    const uint32_t first = avvik__score_outline_place(run, first_row);
    const uint32_t n = avvik__score_outline_place(run, first_row + avvik__score_block_rows(run, block)) - first;
    return (struct outlined){first, n, n * (1 + run->model->n_features * sizeof(float))};
}

enum avvik_status avvik__score_journal_add(struct score_run *run, uint64_t block, const struct block *written,
                                           struct avvik_error *error)
{
    size_t n_damage;
    const struct avvik__damage *damage = avvik__plan_damage(written->plan, &n_damage);
    const size_t n_rows = avvik__score_block_rows(run, block);
    struct block_record head = {.block = block, .totals = written->totals, .hash = run->hash, .n_absent = n_damage};
    const struct outlined outlined = outlined_of(run, block);
    const size_t bytes = sizeof head + n_damage * sizeof(struct absent) + outlined.bytes;
    char *record = malloc(bytes), *place = record;
    if (record == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (int c = 0; c < N_COLUMNS; c++) {
        if (!run->has_column[c])
            continue;
        head.encoded_bytes[c] = written->encoded_bytes[c];
        if (run->options->compress > 0)
            avvik__record_chunk_digest(written->encoded[c], written->encoded_bytes[c], head.digest[c]);
        else
            avvik__record_chunk_digest(written->results[c], n_rows * avvik__score_columns[c].size, head.digest[c]);
    }
    memcpy(place, &head, sizeof head);
    place += sizeof head;
    for (size_t i = 0; i < n_damage; i++, place += sizeof(struct absent)) {
        struct absent absent = {.first = damage[i].first, .n_rows = damage[i].n_rows, .feature = damage[i].feature};
        snprintf(absent.reason, sizeof absent.reason, "%s", damage[i].reason);
        memcpy(place, &absent, sizeof absent);
    }
    memcpy(place, run->looked_at.is_there + outlined.first, outlined.n);
    memcpy(place + outlined.n, run->looked_at.values + (size_t)outlined.first * run->model->n_features,
           outlined.bytes - outlined.n);
    const enum avvik_status status = avvik__journal_append(run->journal, record, bytes, error);
    free(record);
    return status;
}

/* Does the partial file hold what the record says of `block`? Then its columns are taken over. */
static enum avvik_status columns_replay(struct score_run *run, const struct block_record *head, int *is_whole_out,
                                        struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct block *block = &run->blocks[0];
    const size_t n_rows = avvik__score_block_rows(run, head->block);
    *is_whole_out = 1;
    for (int c = 0; c < N_COLUMNS && *is_whole_out; c++)
        if (run->has_column[c])
            AVVIK_TRY(avvik__record_column_replay(run->columns[c], run->workers[0].encoder, n_rows,
                                                  (size_t)head->encoded_bytes[c], head->digest[c], block->results[c],
                                                  is_whole_out, error));
    for (int c = 0; c < N_COLUMNS && *is_whole_out; c++)
        if (run->has_column[c])
            avvik__record_column_accept(run->columns[c], block->results[c], n_rows);
done:
    return status;
}

enum avvik_status avvik__score_replay(struct score_run *run, uint64_t *first_block_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t n_blocks = (run->n_rows + run->cut.block_rows - 1) / run->cut.block_rows;
    void *bytes;
    size_t n;
    uint64_t block = 0;
    int is_whole = 1;
    for (; block < n_blocks && avvik__journal_next(run->journal, &bytes, &n); block++) {
        const char *place = bytes;
        struct block_record head;
        const size_t n_rows = avvik__score_block_rows(run, block);
        if (avvik__is_stopped(run->options->stop))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        is_whole = 0;
        if (n < sizeof head)
            break;
        memcpy(&head, place, sizeof head);
        if (head.block != block || head.n_absent > n / sizeof(struct absent) ||
            n != sizeof head + head.n_absent * sizeof(struct absent) + outlined_of(run, block).bytes)
            break;
        AVVIK_TRY(columns_replay(run, &head, &is_whole, error));
        if (!is_whole)
            break;
        place += sizeof head;
        run->hash = head.hash;
        for (size_t i = 0; i < head.n_absent; i++, place += sizeof(struct absent)) {
            struct absent absent;
            memcpy(&absent, place, sizeof absent);
            absent.reason[sizeof absent.reason - 1] = '\0';
            AVVIK_TRY(avvik__score_absent_add(run, &absent, error));
        }
        const struct outlined outlined = outlined_of(run, block);
        memcpy(run->looked_at.is_there + outlined.first, place, outlined.n);
        memcpy(run->looked_at.values + (size_t)outlined.first * run->model->n_features, place + outlined.n,
               outlined.bytes - outlined.n);
        run->summary->rows_with_missing += head.totals.rows_with_missing;
        run->summary->values_missing += head.totals.values_missing;
        run->summary->values_infinite += head.totals.values_infinite;
        run->summary->rows_absent += head.totals.rows_absent;
        run->summary->rows_without_key += head.totals.rows_without_key;
        run->summary->rows_without_group += head.totals.rows_without_group;
        run->summary->rows_resumed += n_rows;
    }
    avvik__journal_rewind(run->journal, !is_whole);
    *first_block_out = block;
done:
    return status;
}

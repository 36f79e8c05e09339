/* Going on where an interrupted fit stopped: a record of the journal holds all that a fit
 * has of the rows up to some block's end, but for drawn rows, of which it holds the block's. */
#define _GNU_SOURCE /* asprintf */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/version.h"
#include "avvik_internal.h"
#include "fit_internal.h"

char *avvik__fit_identity(const struct fit *fit)
{
    const struct avvik_model *model = fit->model;
    struct avvik_version version;
    char state[AVVIK_HASH_SIZE], *text = NULL;
    size_t length = 0;
    avvik_version_get(&version);
    avvik__source_state(fit->source, state);
    FILE *stream = open_memstream(&text, &length);
    if (stream == NULL)
        return NULL;
    fprintf(stream,
            "fit by avvik %s\ntable %s\ninputs %s\nrows %llu\nblock %zu\ntrees %u\nsample %u\nheld out %u\n"
            "seed %llu\n",
            version.avvik, model->table, state, (unsigned long long)model->n_rows, fit->cut.block_rows,
            model->forest.n_trees, model->forest.sample, fit->n_held_out, (unsigned long long)model->seed);
    for (uint32_t f = 0; f < model->n_features; f++)
        fprintf(stream, "feature %s\n", model->features[f].name);
    for (uint32_t k = 0; k < model->peers.n_keys; k++)
        fprintf(stream, "key %s\n", model->peers.keys[k]);
    if (fclose(stream) == 0)
        return text;
    free(text);
    return NULL;
}

/* A record: the block's number, hash and moments of all rows up to its end, then the rows that were drawn from it, list
 * by list. Bytes of it. */
static size_t record_bytes(const struct fit *fit, uint64_t block)
{
    const struct avvik__forest *forest = &fit->model->forest;
    const size_t n_rows = avvik__fit_block_rows(fit, block);
    size_t n_drawn = 0;
    for (size_t list = 0; list < avvik__fit_lists(fit); list++) {
        const struct range drawn = avvik__fit_drawn(fit, list, block * fit->cut.block_rows, n_rows);
        n_drawn += drawn.end - drawn.first;
    }
    return sizeof block + sizeof fit->hash + forest->n_features * sizeof(struct avvik__moments_total) +
           n_drawn * forest->n_features * sizeof(float);
}

/* Copy n bytes into a record, or out of it; the place in the record that follows. */
static char *part_copy(char *record, void *memory, size_t n, int is_put)
{
    memcpy(is_put ? (void *)record : memory, is_put ? memory : (void *)record, n);
    return record + n;
}

/* Copy between a record and the fit. */
static void record_copy(struct fit *fit, uint64_t block, char *record, int is_put)
{
    const struct avvik__forest *forest = &fit->model->forest;
    record = part_copy(record, &block, sizeof block, is_put);
    record = part_copy(record, &fit->hash, sizeof fit->hash, is_put);
    for (size_t f = 0; f < forest->n_features; f++)
        record = part_copy(record, &fit->model->features[f].moments, sizeof fit->model->features[f].moments, is_put);
    const size_t n_rows = avvik__fit_block_rows(fit, block);
    for (size_t list = 0; list < avvik__fit_lists(fit); list++) {
        const struct range drawn = avvik__fit_drawn(fit, list, block * fit->cut.block_rows, n_rows);
        record = part_copy(record, fit->sample + (list * forest->sample + drawn.first) * forest->n_features,
                           (size_t)(drawn.end - drawn.first) * forest->n_features * sizeof(float), is_put);
    }
}

enum avvik_status avvik__fit_journal_add(struct fit *fit, uint64_t block, struct avvik_error *error)
{
    const size_t bytes = record_bytes(fit, block);
    char *record = malloc(bytes);
    if (record == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    record_copy(fit, block, record, 1);
    const enum avvik_status status = avvik__journal_append(fit->journal, record, bytes, error);
    free(record);
    return status;
}

void avvik__fit_replay(struct fit *fit, uint64_t *first_block_out)
{
    uint64_t block = 0;
    const uint64_t n_blocks = fit->pipeline.n_blocks;
    int is_whole = 1;
    void *record;
    size_t n;
    for (; block < n_blocks && avvik__journal_next(fit->journal, &record, &n); block++) {
        is_whole = n == record_bytes(fit, block) && memcmp(record, &block, sizeof block) == 0;
        if (!is_whole)
            break;
        record_copy(fit, block, record, 0);
        fit->summary->rows_resumed += avvik__fit_block_rows(fit, block);
    }
    avvik__journal_rewind(fit->journal, !is_whole);
    *first_block_out = block;
}

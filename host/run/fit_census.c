/* The census: which groups there are, and how many rows each has. Each worker counts for itself while the first pass
 * over all rows goes by, and keeps for every row the group that it was counted in, if there is memory for that. Where
 * the first pass went on where an earlier fit had stopped, a pass over the key columns counts instead. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_peers.h"

#define AHEAD 16               /* rows whose slots come into the cache: of a million groups few are there already */
#define IS_COUNTED 0x80000000u /* beside a group's number: the row's next code is missing, it stays there */
#define SHARE_FOR_ROWS 8       /* of the memory, at most, for the groups of all rows */

static int32_t code_of(float key)
{
    return isnan(key) ? 0 : (int32_t)key;
}

/* From the groups of one level to those of the next. 0 if there are too many. */
static int level_descend(struct avvik__groups *census, const float *keys, size_t n_rows, uint32_t *numbers)
{
    for (size_t i = 0; i < n_rows; i++) {
        if (i + AHEAD < n_rows)
            avvik__groups_prefetch(census, numbers[i + AHEAD], code_of(keys[i + AHEAD]));
        if (isnan(keys[i]))
            numbers[i] |= IS_COUNTED;
        if (numbers[i] & IS_COUNTED)
            continue;
        uint32_t group = avvik__groups_find(census, numbers[i], (int32_t)keys[i]);
        if (group == AVVIK_NO_GROUP)
            group = avvik__groups_add(census, numbers[i], (int32_t)keys[i]);
        if (group == AVVIK_NO_GROUP)
            return 0;
        numbers[i] = group;
    }
    return 1;
}

static int rows_count(struct avvik__groups *census, const float *keys, size_t stride, size_t n_keys, size_t n_rows,
                      uint32_t *numbers)
{
    memset(numbers, 0, n_rows * sizeof *numbers);
    for (size_t k = 0; k < n_keys; k++)
        if (!level_descend(census, keys + k * stride, n_rows, numbers))
            return 0;
    for (size_t i = 0; i < n_rows; i++)
        census->rows[numbers[i] &= ~IS_COUNTED]++;
    return 1;
}

/* The codes of rows that were drawn from those at hand. */
static void drawn_keep(const struct fit *fit, const struct fit_worker *worker, uint64_t first)
{
    const size_t n_keys = fit->model->peers.n_keys, sample = fit->model->forest.sample;
    const float *keys = avvik__fit_keys(fit, worker, fit->cut.piece_rows);
    for (size_t list = 0; list < avvik__fit_lists(fit); list++)
        for (size_t at = list * sample + worker->drawn[list].first; at < list * sample + worker->drawn[list].end; at++)
            for (size_t k = 0; k < n_keys; k++)
                fit->peers->sample_keys[at * n_keys + k] = keys[k * fit->cut.piece_rows + (fit->draws[at] - first)];
}

static enum avvik_status too_many_groups(const struct fit *fit, struct avvik_error *error)
{
    return avvik__error_set(
        error, AVVIK_ERR_USAGE, 0,
        "%s: rows fall into more than %u groups; name fewer or coarser columns, or allow more memory",
        avvik_source_path(fit->source, 0), fit->peers->max_groups);
}

enum avvik_status avvik__fit_census_take(struct fit *fit, unsigned number, uint64_t first, size_t n_rows,
                                         struct avvik_error *error)
{
    struct fit_worker *worker = &fit->workers[number];
    struct fit_peers *peers = fit->peers;
    uint32_t *numbers = peers->row_groups == NULL ? worker->groups : peers->row_groups + first;
    peers->block_workers[first / fit->cut.block_rows] = (uint8_t)number;
    drawn_keep(fit, worker, first);
    return rows_count(&worker->census, avvik__fit_keys(fit, worker, fit->cut.piece_rows), fit->cut.piece_rows,
                      fit->model->peers.n_keys, n_rows, numbers)
               ? AVVIK_OK
               : too_many_groups(fit, error);
}

static enum avvik_status piece_census(struct fit *fit, unsigned number, uint64_t row, size_t n_rows,
                                      struct avvik_error *error)
{
    avvik__fit_drawn_find(fit, &fit->workers[number], row, n_rows);
    return avvik__fit_census_take(fit, number, row, n_rows, error);
}

enum avvik_status avvik__fit_census_begin(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_drawn = fit->n_draws + fit->n_held_out;
    const uint64_t n_rows = fit->model->n_rows, row_bytes = n_rows * sizeof(uint32_t);
    struct fit_peers *peers = calloc(1, sizeof *peers);
    if ((fit->peers = peers) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (row_bytes <= fit->memory_bytes / SHARE_FOR_ROWS) {
        fit->memory_bytes -= row_bytes;
        if ((peers->row_groups = malloc(row_bytes)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    const uint64_t fitting = fit->memory_bytes / (fit->cut.n_workers + 1) / GROUP_BYTES;
    peers->max_groups = fitting < AVVIK_MAX_GROUPS ? (uint32_t)fitting : AVVIK_MAX_GROUPS;
    peers->block_workers = calloc((n_rows - 1) / fit->cut.block_rows + 1, sizeof *peers->block_workers);
    peers->sample_keys = calloc(n_drawn * fit->model->peers.n_keys, sizeof *peers->sample_keys);
    fit->sample_groups = calloc(n_drawn, sizeof *fit->sample_groups);
    if (peers->block_workers == NULL || peers->sample_keys == NULL || fit->sample_groups == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        struct fit_worker *worker = &fit->workers[i];
        worker->groups = calloc(fit->cut.piece_rows, sizeof *worker->groups);
        if (worker->groups == NULL || !avvik__groups_init(&worker->census, peers->max_groups))
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    }
done:
    return status;
}

/* ---- What the workers have counted, put together ---- */

/* numbers[worker][group of its census]: the group of the model that it has become. The model's begin as those of the
 * first worker. */
static enum avvik_status censuses_merge(struct fit *fit, uint32_t **numbers, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__groups *groups = &fit->model->peers.groups;
    uint32_t *finished = NULL;
    *groups = fit->workers[0].census;
    fit->workers[0].census = (struct avvik__groups){0};
    for (unsigned i = 1; i < fit->cut.n_workers; i++) {
        const struct avvik__groups *census = &fit->workers[i].census;
        if ((numbers[i] = malloc(census->n * sizeof **numbers)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        if (!avvik__groups_merge(groups, census, numbers[i])) {
            status = too_many_groups(fit, error);
            goto done;
        }
    }
    fit->summary->groups_seen = groups->n - 1;
    if ((finished = malloc(groups->n * sizeof *finished)) == NULL ||
        !avvik__groups_finish(groups, fit->model->peers.min_rows, finished))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    fit->summary->groups = groups->n - 1;
    for (unsigned i = 1; i < fit->cut.n_workers; i++)
        for (uint32_t g = 0; g < fit->workers[i].census.n; g++)
            numbers[i][g] = finished[numbers[i][g]];
    numbers[0] = finished;
    finished = NULL;
done:
    free(finished);
    return status;
}

/* Rows of blocks, one block after the other, from the groups of who counted them to those of the model. */
static void *blocks_renumber(void *context)
{
    struct fit *fit = context;
    struct fit_peers *peers = fit->peers;
    for (uint64_t block; (block = atomic_fetch_add(&fit->next, 1)) < fit->pipeline.n_blocks;) {
        const uint32_t *numbers = peers->numbers_now[peers->block_workers[block]];
        uint32_t *rows = peers->row_groups + block * fit->cut.block_rows;
        for (size_t i = 0; i < avvik__fit_block_rows(fit, block); i++)
            rows[i] = numbers[rows[i]];
    }
    return NULL;
}

enum avvik_status avvik__fit_census(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__peers *peers = &fit->model->peers;
    uint32_t *numbers[AVVIK_MAX_WORKERS] = {NULL};
    if (!fit->peers->is_counted) {
        memset(fit->is_taking_part, 0, fit->n_columns);
        memset(fit->is_taking_part + fit->model->n_features, 1, peers->n_keys);
        AVVIK_TRY(avvik__fit_piece_pass(fit, piece_census, error));
    }
    AVVIK_TRY(censuses_merge(fit, numbers, error));
    if (fit->peers->row_groups != NULL) {
        fit->peers->numbers_now = numbers;
        avvik__fit_share(fit, blocks_renumber);
    }
    for (size_t i = 0; i < fit->n_draws + fit->n_held_out; i++)
        fit->sample_groups[i] =
            avvik__groups_of_row(&peers->groups, fit->peers->sample_keys + i * peers->n_keys, 1, peers->n_keys);
    atomic_store(&fit->has_changed, peers->groups.rows[0] != fit->model->n_rows);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
done:
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        avvik__groups_destroy(&fit->workers[i].census);
        free(numbers[i]);
    }
    return status;
}

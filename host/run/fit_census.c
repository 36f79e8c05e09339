/* The pass that counts the rows of every group, reading the key columns only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_peers.h"

void avvik__fit_columns_want(struct fit *fit, size_t first_feature, size_t n_features)
{
    memset(fit->is_taking_part, 0, fit->n_columns);
    memset(fit->is_taking_part + first_feature, 1, n_features);
    memset(fit->is_taking_part + fit->model->n_features, 1, fit->model->peers.n_keys);
}

static int rows_count(struct avvik__groups *census, const float *keys, size_t stride, size_t n_keys, size_t n_rows)
{
    for (size_t i = 0; i < n_rows; i++) {
        uint32_t group = 0;
        for (size_t k = 0; k < n_keys && !isnan(keys[k * stride + i]); k++)
            if ((group = avvik__groups_add(census, group, (int32_t)keys[k * stride + i])) == AVVIK_NO_GROUP)
                return 0;
        census->rows[group]++;
    }
    return 1;
}

/* The codes of rows that were drawn from [first, first + n_rows), which the workers have in their pieces. */
static void drawn_keep(const struct fit *fit, const float *keys, uint64_t first, size_t n_rows)
{
    const size_t n_keys = fit->model->peers.n_keys, sample = fit->model->forest.sample;
    for (size_t list = 0; list < avvik__fit_lists(fit); list++) {
        const struct range drawn = avvik__fit_drawn(fit, list, first, n_rows);
        for (size_t at = list * sample + drawn.first; at < list * sample + drawn.end; at++)
            for (size_t k = 0; k < n_keys; k++)
                fit->peers->sample_keys[at * n_keys + k] = keys[k * fit->cut.piece_rows + (fit->draws[at] - first)];
    }
}

static enum avvik_status too_many_groups(const struct fit *fit, uint32_t max, struct avvik_error *error)
{
    return avvik__error_set(
        error, AVVIK_ERR_USAGE, 0,
        "%s: rows fall into more than %u groups; name fewer or coarser columns, or allow more memory",
        avvik_source_path(fit->source, 0), max);
}

static enum avvik_status block_census(void *context, unsigned number, unsigned slot_number, uint64_t block,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct fit *fit = context;
    struct fit_worker *worker = &fit->workers[number];
    struct fit_slot *slot = &fit->slots[slot_number];
    const size_t n_rows = avvik__fit_block_rows(fit, block), stride = fit->cut.piece_rows;
    const uint64_t start = avvik__now_ns();
    avvik__plan_decode(slot->plan, worker->fetcher);
    for (size_t first = 0; first < n_rows; first += stride) {
        const size_t n = n_rows - first < stride ? n_rows - first : stride;
        AVVIK_TRY(avvik__plan_fetch(slot->plan, worker->fetcher, first, n, worker->piece, stride, 0, error));
        if (!rows_count(&worker->census, avvik__fit_keys(fit, worker), stride, fit->model->peers.n_keys, n)) {
            status = too_many_groups(fit, worker->census.max, error);
            goto done;
        }
        drawn_keep(fit, avvik__fit_keys(fit, worker), block * fit->cut.block_rows + first, n);
    }
    avvik__fit_stages_take(worker, slot, start);
done:
    return status;
}

enum avvik_status avvik__fit_census(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__peers *peers = &fit->model->peers;
    const uint64_t fitting = fit->memory_bytes / (fit->cut.n_workers + 1) / GROUP_BYTES;
    const uint32_t max = fitting < AVVIK_MAX_GROUPS ? (uint32_t)fitting : AVVIK_MAX_GROUPS;
    for (unsigned i = 0; i < fit->cut.n_workers; i++)
        if (!avvik__groups_init(&fit->workers[i].census, max))
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (!avvik__groups_init(&peers->groups, max))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const size_t n_drawn = fit->n_draws + fit->n_held_out;
    fit->peers->sample_keys = calloc(n_drawn * peers->n_keys, sizeof(float));
    fit->sample_groups = calloc(n_drawn, sizeof *fit->sample_groups);
    if (fit->peers->sample_keys == NULL || fit->sample_groups == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    avvik__fit_columns_want(fit, 0, 0);
    AVVIK_TRY(avvik__fit_pass(fit, block_census, error));
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        if (!avvik__groups_merge(&peers->groups, &fit->workers[i].census)) {
            status = too_many_groups(fit, max, error);
            goto done;
        }
        avvik__groups_destroy(&fit->workers[i].census);
    }
    fit->summary->groups_seen = peers->groups.n - 1;
    if (!avvik__groups_finish(&peers->groups, peers->min_rows))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    fit->summary->groups = peers->groups.n - 1;
    for (size_t i = 0; i < n_drawn; i++)
        fit->sample_groups[i] =
            avvik__groups_of_row(&peers->groups, fit->peers->sample_keys + i * peers->n_keys, 1, peers->n_keys);
    atomic_store(&fit->has_changed, peers->groups.rows[0] != fit->model->n_rows);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
done:
    for (unsigned i = 0; i < fit->cut.n_workers; i++)
        avvik__groups_destroy(&fit->workers[i].census);
    return status;
}

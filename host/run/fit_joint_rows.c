/* Which groups of peers get a joint deviation of their own, and the rows that it is learnt from. These are drawn as
 * soon as groups are counted, and their values are kept while the values of groups are gathered for medians: no pass is
 * made for them. A row's draw is of its number, so that neither threads nor memory matter; a group has those below its
 * limit, so that rows of a group count for those around it, too. */
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "counter_draw.h"
#include "fit_joint.h"
#include "fit_peers.h"
#include "joint_within.h"

#define SAMPLE_VALUES ((uint64_t)4 << 20) /* of all rows drawn: rows x features, some more or less */
#define GROUP_ROWS 4096                   /* of one group, at most */
#define FEWEST_ROWS 256                   /* of one group, unless it has fewer */
#define EVERY_DRAW ((uint64_t)1 << 32)

/* Groups that can have their own, beside what a model has room for. */
static uint32_t owners_at_most(const struct fit *fit)
{
    const uint64_t of_sample = SAMPLE_VALUES / fit->model->n_features / FEWEST_ROWS;
    const uint32_t of_model = avvik__joint_most(fit->model->n_features);
    return of_sample < of_model ? (uint32_t)of_sample : of_model;
}

static int is_wanted(const struct fit *fit)
{
    return fit->model->peers.n_keys > 0 && fit->options->joint_peers > 0 && !fit->options->no_joint &&
           fit->model->n_features <= AVVIK_JOINT_FEATURES;
}

uint64_t avvik__fit_joint_bytes(const struct fit *fit)
{
    const uint32_t n_features = fit->model->n_features;
    if (!is_wanted(fit))
        return 0;
    const uint64_t of_rows = fit->model->n_rows / fit->options->joint_peers * fit->model->peers.n_keys;
    const uint64_t n_owners = 1 + (of_rows < owners_at_most(fit) ? of_rows : owners_at_most(fit));
    const uint64_t drawn = SAMPLE_VALUES / n_features, n_rows = drawn < fit->model->n_rows ? drawn : fit->model->n_rows;
    const uint64_t row_bytes = n_features * sizeof(float) + sizeof(uint64_t) + 2 * sizeof(uint32_t); /* in order */
    return n_rows * row_bytes + n_owners * (avvik__joint_peer_bytes(n_features) +
                                            avvik__joint_within_bytes(n_features) + sizeof(struct joint_owner));
}

/* ---- Whose ---- */

static int larger_first(const void *a, const void *b)
{
    const struct joint_owner *x = a, *y = b;
    if (x->rows != y->rows)
        return x->rows > y->rows ? -1 : 1;
    return (x->group > y->group) - (x->group < y->group);
}

static int in_order(const void *a, const void *b)
{
    const struct joint_owner *x = a, *y = b;
    return (x->group > y->group) - (x->group < y->group);
}

/* Rows of each group that are not held out. */
static uint64_t *rows_learnt(const struct fit *fit)
{
    const struct avvik__groups *groups = &fit->model->peers.groups;
    uint64_t *held_out = calloc(groups->n, sizeof *held_out);
    if (held_out == NULL)
        return NULL;
    for (size_t i = 0; i < fit->n_held_out; i++)
        held_out[fit->sample_groups[fit->n_draws + i]]++;
    for (uint32_t g = groups->n; g-- > 1;)
        held_out[groups->parent[g]] += held_out[g];
    for (uint32_t g = 0; g < groups->n; g++)
        held_out[g] = groups->rows[g] - held_out[g];
    return held_out;
}

/* Each group has as many rows drawn, or all that it has, as there is room for. */
static void limits_find(struct joint_sample *sample, uint64_t room)
{
    uint64_t low = FEWEST_ROWS, high = GROUP_ROWS;
    while (low < high) {
        const uint64_t rows = (low + high + 1) / 2;
        uint64_t n = 0;
        for (uint32_t k = 1; k < sample->n_owners; k++)
            n += sample->owners[k].rows < rows ? sample->owners[k].rows : rows;
        if (n <= room)
            low = rows;
        else
            high = rows - 1;
    }
    for (uint32_t k = 1; k < sample->n_owners; k++) {
        struct joint_owner *owner = &sample->owners[k];
        owner->limit = owner->rows <= low ? EVERY_DRAW : low * EVERY_DRAW / owner->rows;
    }
}

/* The largest groups, as many as there may be. */
static enum avvik_status owners_choose(struct fit *fit, struct joint_sample *sample, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__groups *groups = &fit->model->peers.groups;
    const uint32_t most = 1 + owners_at_most(fit);
    uint32_t n = 1;
    uint64_t *rows = rows_learnt(fit);
    struct joint_owner *owners = sample->owners = calloc(groups->n, sizeof *owners);
    sample->owner_of = calloc(groups->n, sizeof *sample->owner_of);
    if (rows == NULL || owners == NULL || sample->owner_of == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t g = 1; g < groups->n; g++)
        if (rows[g] >= fit->options->joint_peers)
            owners[n++] = (struct joint_owner){.group = g, .rows = rows[g]};
    qsort(owners + 1, n - 1, sizeof *owners, larger_first);
    fit->summary->joint_left_out = n > most ? n - most : 0;
    sample->n_owners = n = n > most ? most : n;
    qsort(owners + 1, n - 1, sizeof *owners, in_order);
    for (uint32_t g = 1, k = 1; g < groups->n; g++)
        sample->owner_of[g] = k < n && owners[k].group == g ? k++ : sample->owner_of[groups->parent[g]];
    for (uint32_t k = 1; k < n; k++) {
        const uint32_t end_group = avvik__groups_end(groups, owners[k].group);
        for (owners[k].within = k + 1; owners[k].within < n && owners[owners[k].within].group < end_group;)
            owners[k].within++;
    }
    limits_find(sample, SAMPLE_VALUES / fit->model->n_features);
done:
    free(rows);
    return status;
}

/* ---- Which rows ---- */

static int rows_grow(struct joint_rows *rows, size_t capacity)
{
    uint64_t *row = realloc(rows->row, capacity * sizeof *row);
    rows->row = row == NULL ? rows->row : row;
    uint32_t *owner = realloc(rows->owner, capacity * sizeof *owner);
    rows->owner = owner == NULL ? rows->owner : owner;
    rows->capacity = capacity;
    return row != NULL && owner != NULL;
}

/* A word of the four that rows side by side share. */
static uint32_t word_of(struct avvik__draw shared, uint64_t row)
{
    return (uint32_t)((row & 2 ? shared.second : shared.first) >> (row & 1 ? 32 : 0));
}

static struct avvik__draw words_draw(uint64_t seed, uint64_t shared_by)
{
    return avvik__draw_make(seed, AVVIK_DRAW_JOINT, 0, (uint32_t)(shared_by >> 32), (uint32_t)shared_by);
}

uint32_t avvik__fit_joint_draw(uint64_t seed, uint64_t row)
{
    return word_of(words_draw(seed, row / 4), row);
}

/* From rows [first, first + n_rows), whose groups these are. 0 without memory. */
static int rows_choose(const struct fit *fit, struct joint_rows *to, uint64_t first, size_t n_rows,
                       const uint32_t *groups)
{
    const struct joint_sample *sample = fit->joint_sample;
    const uint64_t *held_out = fit->draws + fit->n_draws;
    struct range out = avvik__fit_drawn(fit, fit->model->forest.n_trees, first, n_rows);
    struct avvik__draw shared = {0, 0};
    uint64_t shared_by = UINT64_MAX;
    for (size_t i = 0; i < n_rows; i++) {
        const uint64_t row = first + i;
        const uint32_t owner = sample->owner_of[groups[i]];
        if (out.first < out.end && held_out[out.first] == row) {
            out.first++;
            continue;
        }
        if (owner == 0)
            continue;
        if (row / 4 != shared_by)
            shared = words_draw(fit->model->seed, shared_by = row / 4);
        if (word_of(shared, row) >= sample->owners[owner].limit)
            continue;
        if (to->n == to->capacity && !rows_grow(to, 2 * to->capacity + 1024))
            return 0;
        to->row[to->n] = row;
        to->owner[to->n++] = owner;
    }
    return 1;
}

/* Blocks whose groups are kept, one after the other until there are none left. */
static void *blocks_choose(void *context)
{
    struct fit *fit = context;
    struct joint_rows *to = &fit->joint_sample->chosen[atomic_fetch_add(&fit->joint_sample->n_started, 1)];
    for (uint64_t block; (block = atomic_fetch_add(&fit->next, 1)) < fit->pipeline.n_blocks;) {
        const uint64_t first = block * fit->cut.block_rows;
        if (!rows_choose(fit, to, first, avvik__fit_block_rows(fit, block), fit->peers->row_groups + first))
            atomic_store(&fit->is_short, 1);
    }
    return NULL;
}

static enum avvik_status piece_choose(struct fit *fit, unsigned number, uint64_t row, size_t n_rows,
                                      struct avvik_error *error)
{
    const struct fit_worker *worker = &fit->workers[number];
    const struct avvik__peers *peers = &fit->model->peers;
    const float *keys = avvik__fit_keys(fit, worker, fit->cut.piece_rows);
    for (size_t i = 0; i < n_rows; i++)
        worker->groups[i] = avvik__groups_of_row(&peers->groups, keys + i, fit->cut.piece_rows, peers->n_keys);
    return rows_choose(fit, &fit->joint_sample->chosen[number], row, n_rows, worker->groups)
               ? AVVIK_OK
               : avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
}

static void rows_free(struct joint_rows *rows)
{
    free(rows->row);
    free(rows->owner);
    *rows = (struct joint_rows){0};
}

/* What workers have chosen, each ascending, becomes one list. 0 without memory. */
static int rows_merge(struct joint_sample *sample, unsigned n_workers)
{
    struct joint_rows *all = &sample->rows;
    size_t n = 0, at[AVVIK_MAX_WORKERS] = {0};
    for (unsigned w = 0; w < n_workers; w++)
        n += sample->chosen[w].n;
    if (!rows_grow(all, n + 1))
        return 0;
    while (all->n < n) {
        unsigned least = 0;
        uint64_t row = UINT64_MAX;
        for (unsigned w = 0; w < n_workers; w++)
            if (at[w] < sample->chosen[w].n && sample->chosen[w].row[at[w]] < row) {
                row = sample->chosen[w].row[at[w]];
                least = w;
            }
        all->row[all->n] = row;
        all->owner[all->n++] = sample->chosen[least].owner[at[least]++];
    }
    for (unsigned w = 0; w < n_workers; w++)
        rows_free(&sample->chosen[w]);
    return 1;
}

enum avvik_status avvik__fit_joint_choose(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = fit->model->n_features;
    if (!is_wanted(fit))
        return AVVIK_OK;
    struct joint_sample *sample = fit->joint_sample = calloc(1, sizeof *sample);
    if (sample == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(owners_choose(fit, sample, error));
    if (sample->n_owners == 1)
        goto done;
    if (fit->peers->row_groups != NULL) {
        avvik__fit_share(fit, blocks_choose);
    } else {
        memset(fit->is_taking_part, 0, fit->n_columns);
        memset(fit->is_taking_part + n_features, 1, fit->model->peers.n_keys);
        AVVIK_TRY(avvik__fit_piece_pass(fit, piece_choose, error));
    }
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
    if (!rows_merge(sample, fit->cut.n_workers) ||
        (sample->values = avvik__aligned_alloc(sample->rows.n * n_features + 1, sizeof *sample->values)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
done:
    return status;
}

void avvik__fit_joint_free(struct fit *fit)
{
    struct joint_sample *sample = fit->joint_sample;
    if (sample == NULL)
        return;
    for (unsigned w = 0; w < AVVIK_MAX_WORKERS; w++)
        rows_free(&sample->chosen[w]);
    rows_free(&sample->rows);
    free(sample->owners);
    free(sample->owner_of);
    free(sample->values);
    free(sample);
    fit->joint_sample = NULL;
}

/* ---- Their values ---- */

struct range avvik__fit_joint_range(const struct fit *fit, uint64_t first, size_t n_rows)
{
    const struct joint_sample *sample = fit->joint_sample;
    if (sample == NULL || sample->rows.n == 0)
        return (struct range){0, 0};
    return avvik__fit_rows_between(sample->rows.row, (uint32_t)sample->rows.n, first, n_rows);
}

void avvik__fit_joint_take(const struct fit *fit, struct range range, uint64_t first, size_t feature,
                           const float *column)
{
    const struct joint_sample *sample = fit->joint_sample;
    for (uint32_t i = range.first; i < range.end; i++)
        sample->values[feature * sample->rows.n + i] = column[sample->rows.row[i] - first];
}

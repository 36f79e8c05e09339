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

#define SAMPLE_VALUES ((uint64_t)1 << 20) /* of all rows drawn: rows x features, some more or less */
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
    const uint64_t row_bytes = n_features * sizeof(float) + sizeof(uint64_t) + 4 * sizeof(uint32_t);
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
    sample->first_bytes = calloc(groups->n, sizeof *sample->first_bytes);
    if (rows == NULL || owners == NULL || sample->owner_of == NULL || sample->first_bytes == NULL)
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
    for (uint32_t g = 0; g < groups->n; g++) /* rounded up; everyone's is 0 */
        sample->first_bytes[g] = (uint16_t)((owners[sample->owner_of[g]].limit + 0xffffff) >> 24);
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
    uint32_t *draw = realloc(rows->draw, capacity * sizeof *draw);
    rows->draw = draw == NULL ? rows->draw : draw;
    rows->capacity = capacity;
    return row != NULL && owner != NULL && draw != NULL;
}

/* The first bytes of the draws of 16 rows side by side, from row 16 n on. */
static void first_bytes_draw(uint64_t seed, uint64_t n, uint8_t *bytes)
{
    const struct avvik__draw words = avvik__draw_make(seed, AVVIK_DRAW_JOINT, 0, (uint32_t)(n >> 32), (uint32_t)n);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(words.first >> 8 * i);
        bytes[8 + i] = (uint8_t)(words.second >> 8 * i);
    }
}

/* The other three, which few rows need. */
static uint32_t other_bytes_draw(uint64_t seed, uint64_t row)
{
    return avvik__draw_make(seed, AVVIK_DRAW_JOINT, 1, (uint32_t)(row >> 32), (uint32_t)row).first & 0xffffff;
}

/* From rows [first, first + n_rows), whose groups these are. 0 without memory. */
static int rows_choose(const struct fit *fit, struct joint_rows *to, uint64_t first, size_t n_rows,
                       const uint32_t *groups)
{
    const struct joint_sample *sample = fit->joint_sample;
    const uint64_t *held_out = fit->draws + fit->n_draws, seed = fit->model->seed;
    struct range out = avvik__fit_drawn(fit, fit->model->forest.n_trees, first, n_rows);
    uint8_t bytes[16];
    for (size_t i = 0; i < n_rows; i++) {
        const uint64_t row = first + i;
        if (i == 0 || row % 16 == 0)
            first_bytes_draw(seed, row / 16, bytes);
        if (bytes[row % 16] >= sample->first_bytes[groups[i]])
            continue;
        while (out.first < out.end && held_out[out.first] < row)
            out.first++;
        if (out.first < out.end && held_out[out.first] == row)
            continue;
        const uint32_t owner = sample->owner_of[groups[i]];
        const uint32_t draw = (uint32_t)bytes[row % 16] << 24 | other_bytes_draw(seed, row);
        if (draw >= sample->owners[owner].limit)
            continue;
        if (to->n == to->capacity && !rows_grow(to, 2 * to->capacity + 1024))
            return 0;
        to->row[to->n] = row;
        to->owner[to->n] = owner;
        to->draw[to->n++] = draw;
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
    free(rows->draw);
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
        all->owner[all->n] = sample->chosen[least].owner[at[least]];
        all->draw[all->n++] = sample->chosen[least].draw[at[least]++];
    }
    for (unsigned w = 0; w < n_workers; w++)
        rows_free(&sample->chosen[w]);
    return 1;
}

/* Where rows go, so that those of an owner lie side by side. 0 without memory. */
static int rows_place(struct joint_sample *sample)
{
    const struct joint_rows *rows = &sample->rows;
    sample->places = calloc(rows->n + 1, sizeof *sample->places);
    sample->draws = calloc(rows->n + 1, sizeof *sample->draws);
    sample->starts = calloc(sample->n_owners + 2, sizeof *sample->starts);
    if (sample->places == NULL || sample->draws == NULL || sample->starts == NULL)
        return 0;
    uint32_t *next = sample->starts + 1; /* place of an owner's next row; in the end, behind its last */
    for (size_t i = 0; i < rows->n; i++)
        next[rows->owner[i] + 1]++;
    for (uint32_t k = 0; k < sample->n_owners; k++)
        next[k + 1] += next[k];
    for (size_t i = 0; i < rows->n; i++) {
        sample->places[i] = next[rows->owner[i]]++;
        sample->draws[sample->places[i]] = rows->draw[i];
    }
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
    if (!rows_merge(sample, fit->cut.n_workers) || !rows_place(sample))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    sample->values = avvik__aligned_alloc(sample->rows.n * n_features + 1, sizeof *sample->values);
    if (sample->values == NULL)
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
    free(sample->first_bytes);
    free(sample->places);
    free(sample->starts);
    free(sample->draws);
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
        sample->values[feature * sample->rows.n + sample->places[i]] = column[sample->rows.row[i] - first];
}

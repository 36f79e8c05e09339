/* How features vary together within large groups of peers: one more pass over all rows, after the medians. Each row
 * that is not held out counts in every group around it that is large enough, on the scale of that group. Sums are whole
 * numbers (joint_sums.h), so that it does not matter which thread adds what, and when. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_peers.h"
#include "joint_sums.h"

#define N_LOCKS 64

struct candidate {
    uint64_t rows; /* that are not held out */
    uint32_t group;
};

/* The pass that is going on: over groups [first, end) of model->joint. */
struct joint_pass {
    uint32_t *owner;  /* [group]: the innermost of model->joint that it is in; 0: everyone */
    uint32_t *within; /* [owner]: the first behind it that is not within it */
    uint32_t first, end;
    size_t bytes; /* of the sums of one */
    char *sums;   /* [owner - first] */
    pthread_mutex_t locks[N_LOCKS];
};

/* A worker's rows of a piece, in the order of their owners. */
struct joint_worker {
    uint32_t *owners, *order; /* [piece_rows] */
    uint32_t *starts;         /* [owner + 1] */
    struct avvik__joint_batch batch;
};

/* ---- Whose ---- */

static int candidates_compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->rows != y->rows)
        return x->rows > y->rows ? -1 : 1;
    return (x->group > y->group) - (x->group < y->group);
}

static int numbers_compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
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

/* The largest groups, as many as there may be, into model->joint. */
static enum avvik_status owners_choose(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_model *model = fit->model;
    const uint32_t most = avvik__joint_most(model->n_features), n_groups = model->peers.groups.n;
    const uint64_t least = fit->options->joint_peers;
    uint32_t n = 0;
    uint64_t *rows = rows_learnt(fit);
    struct candidate *candidates = calloc(n_groups, sizeof *candidates);
    if (rows == NULL || candidates == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t g = 1; least > 0 && g < n_groups; g++)
        if (rows[g] >= least)
            candidates[n++] = (struct candidate){rows[g], g};
    qsort(candidates, n, sizeof *candidates, candidates_compare);
    fit->summary->joint_left_out = n > most ? n - most : 0;
    n = n > most ? most : n;
    const uint64_t bytes = n * avvik__joint_peer_bytes(model->n_features);
    if (bytes > fit->memory_bytes / 2)
        AVVIK_FAIL(
            AVVIK_ERR_USAGE, 0,
            "%s: the joint deviations of %u large groups take %llu MiB, more than half of the memory that is left; "
            "allow more, or leave out the joint deviation",
            avvik_source_path(fit->source, 0), n, (unsigned long long)(bytes >> 20) + 1);
    fit->memory_bytes -= bytes;
    if (!avvik__joint_grow(&model->joint, model->n_features, n + 1))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    model->joint.min_rows = n > 0 ? least : 0;
    for (uint32_t k = 1; k <= n; k++)
        model->joint.group[k] = candidates[k - 1].group;
    qsort(model->joint.group + 1, n, sizeof *model->joint.group, numbers_compare);
    for (uint32_t k = 1; k <= n; k++)
        model->joint.rows[k] = rows[model->joint.group[k]];
done:
    free(rows);
    free(candidates);
    return status;
}

/* Groups are in order, each followed by those within it, and so are owners. */
static int pass_init(struct fit *fit, struct joint_pass *pass)
{
    const struct avvik__groups *groups = &fit->model->peers.groups;
    const struct avvik__joint *joint = &fit->model->joint;
    pass->bytes = avvik__joint_sums_bytes(joint->n_features);
    pass->owner = calloc(groups->n, sizeof *pass->owner);
    pass->within = calloc(joint->n, sizeof *pass->within);
    if (pass->owner == NULL || pass->within == NULL)
        return 0;
    for (uint32_t g = 1, k = 1; g < groups->n; g++)
        pass->owner[g] = k < joint->n && joint->group[k] == g ? k++ : pass->owner[groups->parent[g]];
    for (uint32_t k = 1; k < joint->n; k++) {
        const uint32_t end_group = avvik__groups_end(groups, joint->group[k]);
        for (pass->within[k] = k + 1; pass->within[k] < joint->n && joint->group[pass->within[k]] < end_group;)
            pass->within[k]++;
    }
    return 1;
}

/* Groups in which nothing varies say nothing of what goes with what, and have none; their rows are measured as those
 * around them. Then who is measured with everyone's. */
static void owners_settle(struct fit *fit)
{
    const struct avvik__groups *groups = &fit->model->peers.groups;
    struct avvik__joint *joint = &fit->model->joint;
    const size_t n_features = joint->n_features, n_factor = AVVIK_JOINT_FACTOR(n_features);
    uint32_t n = 1, end = 0;
    for (uint32_t k = 1; k < joint->n; k++) {
        if (joint->rows[k] == 0)
            continue;
        joint->group[n] = joint->group[k];
        joint->rows[n] = joint->rows[k];
        memmove(joint->mean + n * n_features, joint->mean + k * n_features, n_features * sizeof *joint->mean);
        memmove(joint->factor + n * n_factor, joint->factor + k * n_factor, n_factor * sizeof *joint->factor);
        n++;
    }
    joint->n = n;
    joint->min_rows = n > 1 ? joint->min_rows : 0;
    fit->summary->joint_groups = n - 1;
    fit->summary->rows_joint_everyone = groups->rows[0];
    for (uint32_t k = 1; k < n; k++)
        if (joint->group[k] >= end) { /* not within the one before */
            fit->summary->rows_joint_everyone -= groups->rows[joint->group[k]];
            end = avvik__groups_end(groups, joint->group[k]);
        }
}

/* ---- Rows ---- */

/* Put the rows of a piece in the order of their owners; those that are held out, or whose owner is everyone, behind. */
static void rows_order(const struct fit *fit, struct fit_worker *worker, uint64_t first_row, size_t n_rows)
{
    const struct avvik_model *model = fit->model;
    const struct joint_pass *pass = fit->joint_pass;
    struct joint_worker *own = worker->joint;
    const float *keys = avvik__fit_keys(fit, worker, fit->cut.piece_rows);
    const size_t n_owners = model->joint.n, stride = fit->cut.piece_rows;
    const struct range drawn = avvik__fit_drawn(fit, model->forest.n_trees, first_row, n_rows);
    const uint64_t *held_out = fit->draws + fit->n_draws;
    memset(own->starts, 0, (n_owners + 1) * sizeof *own->starts);
    for (size_t i = 0; i < n_rows; i++)
        own->owners[i] = pass->owner[avvik__groups_of_row(&model->peers.groups, keys + i, stride, model->peers.n_keys)];
    for (uint32_t i = drawn.first; i < drawn.end; i++)
        own->owners[held_out[i] - first_row] = 0;
    for (size_t i = 0; i < n_rows; i++)
        own->starts[own->owners[i]]++;
    own->starts[0] = 0;
    uint32_t before = 0;
    for (size_t k = 0; k <= n_owners; k++) {
        const uint32_t n = own->starts[k];
        own->starts[k] = before;
        before += n;
    }
    for (size_t i = 0; i < n_rows; i++)
        if (own->owners[i] > 0)
            own->order[own->starts[own->owners[i]]++] = (uint32_t)i;
    memmove(own->starts + 1, own->starts, n_owners * sizeof *own->starts); /* ends have become starts of the next */
    own->starts[0] = 0;
}

/* Add the rows of a piece that are in group number k of model->joint, or within it. */
static void owner_add(const struct fit *fit, struct fit_worker *worker, uint32_t k)
{
    const struct avvik_model *model = fit->model;
    struct joint_pass *pass = fit->joint_pass;
    struct joint_worker *own = worker->joint;
    const size_t n_features = model->n_features, cells = model->joint.group[k] * n_features;
    struct avvik__joint_sums *sums = (void *)(pass->sums + (k - pass->first) * pass->bytes);
    for (uint32_t at = own->starts[k], end = own->starts[pass->within[k]]; at < end; at += AVVIK_SUMS_ROWS) {
        const size_t n = end - at < AVVIK_SUMS_ROWS ? end - at : AVVIK_SUMS_ROWS;
        for (size_t f = 0; f < n_features; f++)
            avvik__joint_batch_take(&own->batch, &fit->kernels, f, worker->piece + f * fit->cut.piece_rows,
                                    own->order + at, n, model->peers.center32[cells + f],
                                    model->peers.rscale32[cells + f]);
        avvik__joint_batch_multiply(&own->batch, n_features, n);
        pthread_mutex_lock(&pass->locks[k % N_LOCKS]);
        avvik__joint_sums_add(sums, &own->batch, n_features, n);
        pthread_mutex_unlock(&pass->locks[k % N_LOCKS]);
    }
}

static enum avvik_status piece_add(struct fit *fit, unsigned number, uint64_t row, size_t n_rows,
                                   struct avvik_error *error)
{
    const struct joint_pass *pass = fit->joint_pass;
    (void)error;
    rows_order(fit, &fit->workers[number], row, n_rows);
    for (uint32_t k = pass->first; k < pass->end; k++)
        owner_add(fit, &fit->workers[number], k);
    return AVVIK_OK;
}

/* ---- The pass ---- */

static void workers_free(struct fit *fit)
{
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        struct joint_worker *own = fit->workers[i].joint;
        if (own == NULL)
            continue;
        free(own->owners);
        free(own->order);
        free(own->starts);
        free(own);
        fit->workers[i].joint = NULL;
    }
}

static int workers_init(struct fit *fit)
{
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        struct joint_worker *own = fit->workers[i].joint = calloc(1, sizeof *own);
        if (own == NULL)
            return 0;
        own->owners = calloc(fit->cut.piece_rows, sizeof *own->owners);
        own->order = calloc(fit->cut.piece_rows, sizeof *own->order);
        own->starts = calloc((size_t)fit->model->joint.n + 1, sizeof *own->starts);
        if (own->owners == NULL || own->order == NULL || own->starts == NULL)
            return 0;
    }
    return 1;
}

/* Add up all rows of groups [pass->first, pass->end), and learn. */
static enum avvik_status groups_learn(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct joint_pass *pass = fit->joint_pass;
    struct avvik__joint *joint = &fit->model->joint;
    memset(pass->sums, 0, (pass->end - pass->first) * pass->bytes);
    memset(fit->is_taking_part, 1, fit->n_columns);
    AVVIK_TRY(avvik__fit_piece_pass(fit, piece_add, error));
    if (avvik__is_stopped(fit->options->stop))
        AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
    for (uint32_t k = pass->first; k < pass->end; k++) {
        const struct avvik__joint_sums *sums = (const void *)(pass->sums + (k - pass->first) * pass->bytes);
        const struct avvik__joint_measure into = avvik__joint_measure(joint, k);
        if (sums->n != joint->rows[k])
            atomic_store(&fit->has_changed, 1);
        AVVIK_TRY(avvik__fit_pass_check(fit, error));
        uint32_t n_constant = 0;
        AVVIK_TRY(avvik__joint_sums_learn(sums, joint->n_features, into.mean, into.factor, &n_constant, error));
        fit->summary->joint_constant += n_constant > 0 && n_constant < joint->n_features;
        fit->summary->joint_alike += n_constant == joint->n_features;
        joint->rows[k] = n_constant == joint->n_features ? 0 : joint->rows[k];
    }
done:
    return status;
}

enum avvik_status avvik__fit_joint_peers(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__joint *joint = &fit->model->joint;
    if (fit->model->peers.n_keys == 0 || joint->n == 0)
        return AVVIK_OK;
    struct joint_pass *pass = fit->joint_pass = calloc(1, sizeof *pass);
    if (pass == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (int i = 0; i < N_LOCKS; i++)
        pthread_mutex_init(&pass->locks[i], NULL);
    AVVIK_TRY(owners_choose(fit, error));
    if (!pass_init(fit, pass) || !workers_init(fit))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const uint64_t fitting = fit->memory_bytes / 2 / pass->bytes, n = joint->n - 1u;
    const uint32_t at_once = (uint32_t)(fitting < 1 ? 1 : fitting < n ? fitting : n);
    if ((pass->sums = avvik__aligned_alloc((at_once + 1) * pass->bytes, 1)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (pass->first = 1; pass->first < joint->n; pass->first = pass->end) {
        pass->end = joint->n - pass->first < at_once ? joint->n : pass->first + at_once;
        AVVIK_TRY(groups_learn(fit, error));
    }
    owners_settle(fit);
done:
    workers_free(fit);
    for (int i = 0; i < N_LOCKS; i++)
        pthread_mutex_destroy(&pass->locks[i]);
    free(pass->owner);
    free(pass->within);
    free(pass->sums);
    free(pass);
    fit->joint_pass = NULL;
    return status;
}

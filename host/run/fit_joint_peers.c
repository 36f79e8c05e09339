/* How features vary together within large groups of peers, learnt from rows that are in memory (fit_joint_rows.c), each
 * on the scale of its group. Sums are whole numbers (joint_sums.h). */
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_joint.h"
#include "joint_within.h"

struct learning {
    struct fit *fit;
    uint32_t *n_constant; /* [owner] */
    struct avvik__joint_within within;
    atomic_uint next;
    atomic_int is_short, has_failed;
    struct avvik_error error; /* of the first that has failed */
};

/* Scratch of a thread. */
struct scratch {
    struct avvik__joint_batch batch;
    struct avvik__joint_sums *sums;
};

static void batch_add(const struct learning *work, struct scratch *scratch, uint32_t k, const uint32_t *places,
                      size_t n)
{
    const struct fit *fit = work->fit;
    const struct joint_sample *sample = fit->joint_sample;
    const size_t n_features = fit->model->n_features, cells = sample->owners[k].group * n_features;
    for (size_t f = 0; f < n_features; f++)
        avvik__joint_batch_take(&scratch->batch, &fit->kernels, f, sample->values + f * sample->rows.n, places, n,
                                fit->model->peers.center32[cells + f], fit->model->peers.rscale32[cells + f]);
    avvik__joint_batch_multiply(&scratch->batch, n_features, n);
    avvik__joint_sums_add(scratch->sums, &scratch->batch, n_features, n);
}

/* Rows of the group and of those within it: as many of all as were drawn for it. */
static void owner_add(struct learning *work, struct scratch *scratch, uint32_t k)
{
    const struct joint_sample *sample = work->fit->joint_sample;
    const struct joint_owner *owner = &sample->owners[k];
    uint32_t places[AVVIK_SUMS_ROWS];
    size_t n = 0;
    memset(scratch->sums, 0, avvik__joint_sums_bytes(work->fit->model->n_features));
    for (uint32_t place = sample->starts[k]; place < sample->starts[owner->within]; place++) {
        if (sample->draws[place] >= owner->limit)
            continue;
        places[n++] = place;
        if (n == AVVIK_SUMS_ROWS) {
            batch_add(work, scratch, k, places, n);
            n = 0;
        }
    }
    if (n > 0)
        batch_add(work, scratch, k, places, n);
    if (scratch->sums->n > 0)
        avvik__joint_within_take(&work->within, k, scratch->sums);
}

static void *owners_add(void *context)
{
    struct learning *work = context;
    struct scratch *scratch = calloc(1, sizeof *scratch);
    struct avvik__joint_sums *sums = avvik__aligned_alloc(avvik__joint_sums_bytes(work->fit->model->n_features), 1);
    if (scratch == NULL || sums == NULL)
        atomic_store(&work->is_short, 1);
    else
        scratch->sums = sums;
    for (uint32_t k; !atomic_load(&work->is_short) && !avvik__is_stopped(work->fit->options->stop) &&
                     (k = atomic_fetch_add(&work->next, 1)) < work->within.n;)
        owner_add(work, scratch, k);
    free(scratch);
    free(sums);
    return NULL;
}

static void *owners_learn(void *context)
{
    struct learning *work = context;
    const struct avvik__joint *joint = &work->fit->model->joint;
    for (uint32_t k; (k = atomic_fetch_add(&work->next, 1)) < joint->n;) {
        const struct avvik__joint_measure into = avvik__joint_measure(joint, k);
        struct avvik_error error;
        if (avvik__joint_within_learn(&work->within, k, into.mean, into.factor, &work->n_constant[k], &error) !=
                AVVIK_OK &&
            atomic_exchange(&work->has_failed, 1) == 0)
            work->error = error;
    }
    return NULL;
}

/* Groups in which nothing varies say nothing of what goes with what, and have none; their rows are measured as those
 * around them. Then who is measured with everyone's. */
static void owners_settle(struct learning *work)
{
    struct fit *fit = work->fit;
    const struct avvik__groups *groups = &fit->model->peers.groups;
    struct avvik__joint *joint = &fit->model->joint;
    const size_t n_features = joint->n_features, n_factor = AVVIK_JOINT_FACTOR(n_features);
    uint32_t n = 1, end = 0;
    for (uint32_t k = 1; k < joint->n; k++) {
        fit->summary->joint_constant += work->n_constant[k] > 0 && work->n_constant[k] < n_features;
        fit->summary->joint_alike += work->n_constant[k] == n_features;
        if (work->n_constant[k] == n_features)
            continue;
        joint->group[n] = fit->joint_sample->owners[k].group;
        joint->rows[n] = fit->joint_sample->owners[k].rows;
        memmove(joint->mean + n * n_features, joint->mean + k * n_features, n_features * sizeof *joint->mean);
        memmove(joint->factor + n * n_factor, joint->factor + k * n_factor, n_factor * sizeof *joint->factor);
        n++;
    }
    joint->n = n;
    joint->min_rows = n > 1 ? fit->options->joint_peers : 0;
    fit->summary->joint_groups = n - 1;
    for (uint32_t k = 1; k < n; k++)
        if (joint->group[k] >= end) { /* not within the one before */
            fit->summary->rows_joint_everyone -= groups->rows[joint->group[k]];
            end = avvik__groups_end(groups, joint->group[k]);
        }
}

enum avvik_status avvik__fit_joint_peers(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct joint_sample *sample = fit->joint_sample;
    struct avvik__joint *joint = &fit->model->joint;
    struct learning work = {.fit = fit, .next = 1};
    if (fit->model->peers.n_keys > 0 && joint->n > 0)
        fit->summary->rows_joint_everyone = fit->model->n_rows;
    if (sample == NULL || sample->n_owners == 1)
        return AVVIK_OK;
    work.n_constant = calloc(sample->n_owners, sizeof *work.n_constant);
    if (work.n_constant == NULL || !avvik__joint_within_init(&work.within, joint->n_features, sample->n_owners) ||
        !avvik__joint_grow(joint, joint->n_features, sample->n_owners))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    avvik__threads_share(owners_add, &work, fit->cut.n_workers);
    if (atomic_load(&work.is_short))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (avvik__is_stopped(fit->options->stop))
        AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
    avvik__joint_within_pool(&work.within);
    atomic_store(&work.next, 1);
    avvik__threads_share(owners_learn, &work, fit->cut.n_workers);
    if (atomic_load(&work.has_failed))
        AVVIK_FAIL(work.error.status, 0, "%s", work.error.text);
    owners_settle(&work);
done:
    free(work.n_constant);
    avvik__joint_within_destroy(&work.within);
    return status;
}

/* After the trees: rows are scored by the finished model, so that later scores can be told in probabilities. */
#include <stdlib.h>
#include <string.h>

#include "avvik/engine.h"
#include "avvik_internal.h"
#include "engine_internal.h"
#include "fit_internal.h"

#define PIECE_ROWS 2048 /* what a worker takes at a time */

/* Rows as they lie in memory, and where their scores go. */
struct batch {
    const float *rows; /* [row][stride] */
    size_t stride;
    const uint32_t *groups; /* [row][step]; NULL: everyone */
    size_t step;
    struct avvik__scored *scored;
};

struct calibrating {
    struct avvik_engine *engine;
    struct batch batches[2];
    const volatile int *stop;
    atomic_uint next; /* piece, counted through both batches */
    atomic_int has_failed;
};

/* The widest CPU backend that proves itself. All of them give the same bits, and a device would take longer to start.
 */
static enum avvik_status engine_open(const struct avvik_model *model, struct avvik_engine **engine_out,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_ERR_BACKEND;
    for (size_t i = AVVIK_CPU_BACKENDS; i-- > 0 && (status == AVVIK_ERR_BACKEND || status == AVVIK_ERR_SELFTEST);)
        status = avvik_engine_open(model, avvik__cpu_backends[i]->name, engine_out, error);
    return status;
}

/* Rows [first, first + n) of a batch. */
static enum avvik_status piece_score(struct avvik_worker *worker, const struct batch *batch, size_t first, size_t n,
                                     struct avvik_error *error)
{
    uint16_t unused[3][PIECE_ROWS];
    uint32_t groups[PIECE_ROWS];
    for (size_t i = 0; batch->groups != NULL && i < n; i++)
        groups[i] = batch->groups[(first + i) * batch->step];
    const struct avvik_rows rows = {batch->rows + first * batch->stride, n, batch->stride, 1,
                                    batch->groups == NULL ? NULL : groups};
    const struct avvik_scores scores = {.path_sum = batch->scored->path_sum + first,
                                        .deviation = batch->scored->deviation + first,
                                        .deviation_feature = unused[0],
                                        .beyond = unused[1],
                                        .missing = unused[2],
                                        .joint = batch->scored->joint + first,
                                        .tails = batch->scored->tails == NULL ? NULL : batch->scored->tails + first};
    return avvik_worker_score(worker, &rows, &scores, error);
}

static size_t pieces_of(const struct batch *batch)
{
    return (batch->scored->n + PIECE_ROWS - 1) / PIECE_ROWS;
}

/* Pieces one after the other, until there are none left. */
static void *pieces_work(void *context)
{
    struct calibrating *work = context;
    struct avvik_worker *worker = NULL;
    int has_failed = avvik_worker_create(work->engine, PIECE_ROWS, &worker, NULL) != AVVIK_OK;
    const size_t n_first = pieces_of(&work->batches[0]), n_pieces = n_first + pieces_of(&work->batches[1]);
    for (size_t piece; !has_failed && (piece = atomic_fetch_add(&work->next, 1)) < n_pieces;) {
        const struct batch *batch = &work->batches[piece >= n_first];
        const size_t first = (piece - (piece >= n_first ? n_first : 0)) * PIECE_ROWS, left = batch->scored->n - first;
        if (avvik__is_stopped(work->stop))
            break;
        const size_t n = left < PIECE_ROWS ? left : PIECE_ROWS;
        has_failed = piece_score(worker, batch, first, n, NULL) != AVVIK_OK;
    }
    if (has_failed)
        atomic_store(&work->has_failed, 1);
    avvik_worker_free(worker);
    return NULL;
}

enum avvik_status avvik__fit_calibrate(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = fit->model->n_features;
    const size_t step = (fit->n_draws + AVVIK_REFERENCE_ROWS - 1) / AVVIK_REFERENCE_ROWS;
    const uint32_t *groups = fit->sample_groups;
    struct avvik__calibration *calibration = &fit->model->calibration;
    const int has_tails = fit->model->tails.n_features > 0;
    struct calibrating work = {.batches = {{fit->sample, step * n_features, groups, step, &calibration->reference},
                                           {fit->sample + fit->n_draws * n_features, n_features,
                                            groups == NULL ? NULL : groups + fit->n_draws, 1, &calibration->held_out}},
                               .stop = fit->options->stop};
    AVVIK_TRY(avvik__scored_init(&calibration->reference, (uint32_t)(fit->n_draws / step), has_tails, error));
    AVVIK_TRY(avvik__scored_init(&calibration->held_out, fit->n_held_out, has_tails, error));
    AVVIK_TRY(engine_open(fit->model, &work.engine, error));
    avvik__threads_share(pieces_work, &work, fit->cut.n_workers);
    if (atomic_load(&work.has_failed)) /* on a CPU backend nothing else can be missing */
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory to score the rows that calibrate");
    if (avvik__is_stopped(fit->options->stop))
        AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
    avvik__scored_sort(&calibration->reference);
    if (groups != NULL)
        AVVIK_TRY(avvik__calibration_part(calibration, &fit->model->peers.groups, groups + fit->n_draws, error));
done:
    avvik_engine_close(work.engine);
    return status;
}

/* What is found out of each row by itself: by several threads, each of which takes the next row. A row's explanation
 * depends on that row alone, so that their number changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "block_pipeline.h"
#include "counterfactual.h"
#include "explain_run.h"
#include "tree_shap.h"

struct rows {
    const struct avvik__explain_run *run;
    struct avvik__looking *looking; /* [worker] */
};

/* Nothing is read or written here: the rows are in memory. */
static enum avvik_status row_pass(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    (void)context;
    (void)slot;
    (void)block;
    (void)error;
    return AVVIK_OK;
}

static enum avvik_status row_look(void *context, unsigned worker, unsigned slot, uint64_t block,
                                  struct avvik_error *error)
{
    const struct rows *rows = context;
    const struct avvik__explain_run *run = rows->run;
    struct avvik_explanation *one = &run->explanations->rows[block];
    const struct avvik__row_scores scores = {one->path_sum, one->deviation, one->joint, one->tails};
    (void)slot;
    if (run->options->with_shap) {
        if ((one->shap = calloc(run->model->n_features, sizeof *one->shap)) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        struct avvik__explained_row *row = &rows->looking[worker].row;
        memcpy(row->values, one->values, run->model->n_features * sizeof *row->values);
        avvik__explained_row_fill(run->explainer, row);
        one->shap_expected = avvik__tree_shap(&run->model->forest, row->tile, one->shap);
    }
    if (!run->explanations->has_cut)
        return AVVIK_OK;
    one->is_ordinary = avvik__surprise_of(&run->surprise, run->options->by, &scores) < run->explanations->cut;
    one->is_counterfactual = !run->options->no_counterfactual;
    return one->is_ordinary || run->options->no_counterfactual
               ? AVVIK_OK
               : avvik__counterfactual_find(&rows->looking[worker], one, error);
}

enum avvik_status avvik__explain_rows(struct avvik__explain_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_explanations *explanations = run->explanations;
    const size_t n_features = run->model->n_features;
    uint8_t *is_fixed = calloc(n_features, 1);
    struct avvik__counterfactual search = {.explainer = run->explainer,
                                           .surprise = &run->surprise,
                                           .by = run->options->by,
                                           .cut = explanations->cut,
                                           .is_fixed = is_fixed};
    unsigned n_workers = avvik__worker_count(run->options->threads);
    n_workers = n_workers > explanations->n_rows ? (unsigned)explanations->n_rows : n_workers;
    struct rows rows = {run, calloc(n_workers, sizeof *rows.looking)};
    if (is_fixed == NULL || rows.looking == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t f = 0; f < n_features; f++)
        is_fixed[f] = explanations->features[f].n_codes > 0;
    AVVIK_TRY(avvik__counterfactual_init(&search, error));
    for (unsigned w = 0; w < n_workers; w++)
        AVVIK_TRY(avvik__looking_init(&rows.looking[w], &search, error));
    struct avvik__pipeline pipeline = {.n_blocks = explanations->n_rows,
                                       .n_workers = n_workers,
                                       .n_slots = n_workers + 1,
                                       .context = &rows,
                                       .plan = row_pass,
                                       .work = row_look,
                                       .write = row_pass,
                                       .stop = run->options->stop};
    AVVIK_TRY(avvik__pipeline_run(&pipeline, error));
done:
    for (unsigned w = 0; rows.looking != NULL && w < n_workers; w++)
        avvik__looking_destroy(&rows.looking[w]);
    free(rows.looking);
    avvik__counterfactual_destroy(&search);
    free(is_fixed);
    return status;
}

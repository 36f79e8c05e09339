/* What is found out of each row by itself: by several threads, each of which takes the next row. A row's explanation
 * depends on that row alone, so that their number changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "block_pipeline.h"
#include "counterfactual.h"
#include "explain_run.h"
#include "tree_shap.h"

#define REASONS_VALUES ((size_t)1 << 20) /* of the features of as many rows as are taken apart at a time */

/* The reasons of the rows [first, first + n): their contributions come from the backend that is asked for. */
static enum avvik_status reasons_take(struct avvik__explain_run *run, const struct avvik_explainer *explainer,
                                      size_t first, size_t n, float *values, int64_t *contributions,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = run->model->n_features;
    struct avvik_explanation *rows = run->explanations->rows + first;
    const struct avvik_rows matrix = {
        .values = values, .n_rows = n, .row_stride = n_features, .column_stride = 1, .groups = NULL};
    for (size_t i = 0; i < n; i++)
        memcpy(values + i * n_features, rows[i].values, n_features * sizeof *values);
    AVVIK_TRY(avvik_explainer_contributions(explainer, &matrix, contributions, error));
    for (size_t i = 0; i < n; i++) {
        const struct avvik__row_scores scores = {rows[i].path_sum, rows[i].deviation, rows[i].joint, rows[i].tails};
        memcpy(run->row.values, rows[i].values, n_features * sizeof *values);
        run->row.group = rows[i].group;
        avvik__explained_row_fill(run->explainer, &run->row);
        avvik__reasons_find(run->explainer, &run->surprise, run->options->by, &run->row, &scores,
                            contributions + i * n_features, rows[i].reasons);
    }
done:
    return status;
}

static enum avvik_status reasons_find(struct avvik__explain_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = run->model->n_features, n_rows = run->explanations->n_rows;
    const size_t fit = REASONS_VALUES / n_features + 1, most = fit < n_rows ? fit : n_rows;
    struct avvik_explainer *wanted = NULL;
    float *values = calloc(most * n_features, sizeof *values);
    int64_t *contributions = calloc(most * n_features, sizeof *contributions);
    if (values == NULL || contributions == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (run->options->backend != NULL)
        AVVIK_TRY(avvik_explainer_open(run->model, run->options->backend, &wanted, error));
    for (size_t first = 0; first < n_rows; first += most)
        AVVIK_TRY(reasons_take(run, wanted == NULL ? run->explainer : wanted, first,
                               n_rows - first < most ? n_rows - first : most, values, contributions, error));
done:
    avvik_explainer_close(wanted);
    free(values);
    free(contributions);
    return status;
}

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
    if (!one->has_cut)
        return AVVIK_OK;
    one->is_ordinary = avvik__surprise_of(&run->surprise, run->options->by, &scores) < one->cut;
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
    struct avvik__counterfactual search = {
        .explainer = run->explainer, .surprise = &run->surprise, .by = run->options->by, .is_fixed = is_fixed};
    unsigned n_workers = avvik__worker_count(run->options->threads);
    n_workers = n_workers > explanations->n_rows ? (unsigned)explanations->n_rows : n_workers;
    struct rows rows = {run, calloc(n_workers, sizeof *rows.looking)};
    if (is_fixed == NULL || rows.looking == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t f = 0; f < n_features; f++)
        is_fixed[f] = explanations->features[f].n_codes > 0;
    AVVIK_TRY(reasons_find(run, error));
    AVVIK_TRY(avvik__counterfactual_init(&search, error));
    for (unsigned w = 0; w < n_workers; w++)
        AVVIK_TRY(avvik__looking_init(&rows.looking[w], &search, error));
    /* A slot a row, since there is nothing in it: a row that takes long then holds up no others. */
    struct avvik__pipeline pipeline = {.n_blocks = explanations->n_rows,
                                       .n_workers = n_workers,
                                       .n_slots = (unsigned)explanations->n_rows + 1,
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

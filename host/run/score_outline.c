/* The rows whose values a score file outlines: one drawn from each of as many equal parts of the batch, by row number,
 * so that they depend on neither threads nor blocks, and no rhythm in the batch is followed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "counter_draw.h"
#include "score_internal.h"

enum avvik_status avvik__score_outline_init(struct score_run *run, struct avvik_error *error)
{
    const uint32_t n_features = run->model->n_features, n = avvik__outline_rows(run->n_rows, n_features);
    struct looked_at *at = &run->looked_at;
    *at = (struct looked_at){.n = n,
                             .rows = calloc((size_t)n + 1, sizeof *at->rows),
                             .values = calloc((size_t)n * n_features + 1, sizeof *at->values),
                             .is_there = calloc((size_t)n + 1, 1)};
    if (at->rows == NULL || at->values == NULL || at->is_there == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t i = 0; i < n; i++)
        at->rows[i] = avvik__draw_stratified(run->model->seed, AVVIK_DRAW_OUTLINE, i, n, run->n_rows);
    return AVVIK_OK;
}

void avvik__score_outline_free(struct score_run *run)
{
    free(run->looked_at.rows);
    free(run->looked_at.values);
    free(run->looked_at.is_there);
    run->looked_at = (struct looked_at){0};
}

uint32_t avvik__score_outline_place(const struct score_run *run, uint64_t row)
{
    uint32_t low = 0, high = run->looked_at.n;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (run->looked_at.rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void avvik__score_outline_keep(const struct score_run *run, const struct score_worker *worker, uint64_t first, size_t n)
{
    const struct looked_at *at = &run->looked_at;
    const size_t n_features = run->model->n_features;
    for (uint32_t i = avvik__score_outline_place(run, first); i < at->n && at->rows[i] < first + n; i++)
        for (size_t f = 0; f < n_features; f++)
            at->values[i * n_features + f] = worker->piece[f * run->cut.piece_rows + (size_t)(at->rows[i] - first)];
}

enum avvik_status avvik__score_outline_put(const struct score_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct looked_at *at = &run->looked_at;
    const size_t n_features = run->model->n_features;
    struct avvik__outline outline = {0};
    size_t n = 0;
    float *values = malloc(((size_t)at->n * n_features + 1) * sizeof *values);
    if (values == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t i = 0; i < at->n; i++)
        if (at->is_there[i])
            memcpy(values + n++ * n_features, at->values + i * n_features, n_features * sizeof *values);
    AVVIK_TRY(avvik__outline_make(&outline, run->model, values, n, error));
    AVVIK_TRY(avvik__outline_put(&outline, run->record, error));
done:
    avvik__outline_destroy(&outline);
    free(values);
    return status;
}

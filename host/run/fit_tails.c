/* The passes for tails: each worker counts for itself, the counts of a feature are added up after each pass
 * (rank_search.h). */
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_internal.h"
#include "rank_search.h"

struct fit_tails {
    struct avvik__rank_search *searches; /* [feature] */
    uint64_t **counters;                 /* [worker][feature]: NULL where the pass that is going on has none */
};

static uint64_t *counters_of(const struct fit *fit, unsigned worker, size_t f)
{
    return fit->tails->counters[worker * fit->model->n_features + f];
}

static void counters_free(struct fit *fit)
{
    for (size_t i = 0; fit->tails->counters != NULL && i < (size_t)fit->cut.n_workers * fit->model->n_features; i++) {
        free(fit->tails->counters[i]);
        fit->tails->counters[i] = NULL;
    }
}

/* Which features take part in a pass: as many as there is memory for, and one at least. How many do. */
static size_t features_choose(struct fit *fit)
{
    size_t n = 0;
    uint64_t bytes = 0;
    memset(fit->is_taking_part, 0, fit->n_columns);
    for (size_t f = 0; f < fit->model->n_features; f++) {
        const uint64_t needed =
            (uint64_t)fit->cut.n_workers * sizeof(uint64_t) * avvik__rank_search_counters(&fit->tails->searches[f]);
        if (needed == 0 || (n > 0 && bytes + needed > fit->memory_bytes))
            continue;
        fit->is_taking_part[f] = 1;
        bytes += needed;
        n++;
    }
    return n;
}

static enum avvik_status counters_make(struct fit *fit, struct avvik_error *error)
{
    for (unsigned i = 0; i < fit->cut.n_workers; i++)
        for (size_t f = 0; f < fit->model->n_features; f++)
            if (fit->is_taking_part[f] &&
                (fit->tails->counters[i * fit->model->n_features + f] =
                     calloc(avvik__rank_search_counters(&fit->tails->searches[f]), sizeof(uint64_t))) == NULL)
                return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    return AVVIK_OK;
}

static enum avvik_status piece_count(struct fit *fit, unsigned number, uint64_t row, size_t n_rows,
                                     struct avvik_error *error)
{
    (void)row;
    (void)error;
    for (size_t f = 0; f < fit->model->n_features; f++)
        if (fit->is_taking_part[f])
            avvik__rank_search_take(&fit->tails->searches[f], counters_of(fit, number, f),
                                    fit->workers[number].piece + f * fit->cut.piece_rows, n_rows);
    return AVVIK_OK;
}

static void feature_advance(struct fit *fit, size_t f)
{
    struct avvik__rank_search *search = &fit->tails->searches[f];
    uint64_t *all = counters_of(fit, 0, f);
    for (unsigned i = 1; i < fit->cut.n_workers; i++)
        for (size_t k = 0; k < avvik__rank_search_counters(search); k++)
            all[k] += counters_of(fit, i, f)[k];
    if (!avvik__rank_search_advance(search, all, &fit->model->tails.features[f]))
        atomic_store(&fit->has_changed, 1);
}

enum avvik_status avvik__fit_tails(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = fit->model->n_features;
    struct fit_tails tails = {.searches = calloc(n_features, sizeof *tails.searches),
                              .counters = calloc(fit->cut.n_workers * n_features, sizeof *tails.counters)};
    fit->tails = &tails;
    if (tails.searches == NULL || tails.counters == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__tails_init(&fit->model->tails, fit->model->n_features, error));
    for (size_t f = 0; f < n_features; f++)
        avvik__rank_search_begin(&tails.searches[f], fit->model->features[f].moments.n);
    while (features_choose(fit) > 0) {
        AVVIK_TRY(counters_make(fit, error));
        AVVIK_TRY(avvik__fit_piece_pass(fit, piece_count, error));
        for (size_t f = 0; f < n_features; f++)
            if (fit->is_taking_part[f])
                feature_advance(fit, f);
        AVVIK_TRY(avvik__fit_pass_check(fit, error));
        counters_free(fit);
    }
done:
    counters_free(fit);
    free(tails.searches);
    free(tails.counters);
    fit->tails = NULL;
    return status;
}

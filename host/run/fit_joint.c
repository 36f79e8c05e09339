/* How features vary together, learnt from the rows that the trees grew from: they are in memory, and apart from those
 * that calibrate. */
#include <stdlib.h>

#include "avvik_internal.h"
#include "fit_internal.h"
#include "joint_sums.h"

struct place {
    uint64_t row;
    size_t draw;
};

static int places_compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return (x->draw > y->draw) - (x->draw < y->draw);
}

/* Each row once, however many trees drew it. Returns how many there are. */
static size_t places_unite(struct place *places, size_t n)
{
    size_t n_kept = 0;
    qsort(places, n, sizeof *places, places_compare);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || places[i].row != places[n_kept - 1].row)
            places[n_kept++] = places[i];
    return n_kept;
}

enum avvik_status avvik__fit_joint(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_model *model = fit->model;
    const size_t n_features = model->n_features, n = fit->n_draws < AVVIK_JOINT_ROWS ? fit->n_draws : AVVIK_JOINT_ROWS;
    if (fit->options->no_joint || n_features > AVVIK_JOINT_FEATURES)
        return AVVIK_OK;
    if (!avvik__joint_grow(&model->joint, model->n_features, 1))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    struct place *places = calloc(n, sizeof *places);
    uint32_t *cells = calloc(n, sizeof *cells); /* of the rows' first values in the sample */
    struct avvik__joint_batch *batch = calloc(1, sizeof *batch);
    struct avvik__joint_sums *sums = calloc(1, avvik__joint_sums_bytes(n_features));
    if (places == NULL || cells == NULL || batch == NULL || sums == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < n; i++)
        places[i] = (struct place){fit->draws[i], i};
    const size_t n_rows = places_unite(places, n);
    for (size_t i = 0; i < n_rows; i++)
        cells[i] = (uint32_t)(places[i].draw * n_features);
    for (size_t first = 0; first < n_rows; first += AVVIK_SUMS_ROWS) {
        const size_t n_some = n_rows - first < AVVIK_SUMS_ROWS ? n_rows - first : AVVIK_SUMS_ROWS;
        for (size_t f = 0; f < n_features; f++)
            avvik__joint_batch_take(batch, &fit->kernels, f, fit->sample + f, cells + first, n_some,
                                    model->features[f].center32, model->features[f].rscale32);
        avvik__joint_batch_multiply(batch, n_features, n_some);
        avvik__joint_sums_add(sums, batch, n_features, n_some);
    }
    AVVIK_TRY(avvik__joint_sums_learn(sums, model->n_features, model->joint.mean, model->joint.factor, NULL, error));
done:
    free(places);
    free(cells);
    free(batch);
    free(sums);
    return status;
}

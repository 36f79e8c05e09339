/* Does a backend compute what the scalar reference computes? */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Random123/philox.h>

#include "avvik_internal.h"
#include "engine_internal.h"

#define SELFTEST_ROWS 333 /* more than a few vectors wide, and not a multiple of any */

/* Results of SELFTEST_ROWS rows in one piece of memory. */
struct results {
    int32_t path_sum[SELFTEST_ROWS];
    float deviation[SELFTEST_ROWS], joint[SELFTEST_ROWS];
    int32_t tails[SELFTEST_ROWS];
    uint16_t deviation_feature[SELFTEST_ROWS], beyond[SELFTEST_ROWS], missing[SELFTEST_ROWS];
};

static struct avvik_scores results_view(struct results *results)
{
    return (struct avvik_scores){results->path_sum,
                                 results->deviation,
                                 results->deviation_feature,
                                 results->beyond,
                                 results->missing,
                                 NULL,
                                 NULL,
                                 results->joint,
                                 results->tails};
}

static uint32_t noise(uint32_t a, uint32_t b)
{
    const philox4x32_ctr_t counter = {{a, b, 0, 3}};
    const philox4x32_key_t key = {{0x61767669u, 0x6bu}};
    return philox4x32(counter, key).v[0];
}

/* Known rows: values around the feature's mean and some far off, values that equal a threshold of the forest, and what
 * real files hold by mistake. */
static void rows_make(float *values, const struct avvik__scoring_plan *plan)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, 1e-42f, 3.4e38f, -3.4e38f, 0.0f};
    const struct avvik__forest_view *forest = &plan->forest;
    const uint32_t n_nodes = forest->n_trees << forest->height;
    for (uint32_t r = 0; r < SELFTEST_ROWS; r++) {
        for (uint32_t f = 0; f < plan->n_features; f++) {
            const uint32_t word = noise(r, f), kind = word % 16;
            const float unit = (float)(word >> 8) * 0x1p-23f - 1;
            const float sd = plan->rscale[f] > 0 ? 1 / plan->rscale[f] : 1;
            float *value = &values[r * plan->n_features + f];
            if (kind == 0)
                *value = odd[(word >> 4) % (sizeof odd / sizeof odd[0])];
            else if (kind < 4 && forest->nodes != NULL)
                memcpy(value, &forest->nodes[(word >> 4) % n_nodes], sizeof *value);
            else if (kind < 4)
                *value = forest->thresholds[(word >> 4) % n_nodes];
            else
                *value = plan->center[f] + unit * sd * (kind < 14 ? 2 : 20);
        }
    }
}

static enum avvik_status rows_score(const struct avvik__backend *backend, void *state, const float *values,
                                    const struct avvik__scoring_plan *plan, struct results *results,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    void *worker = NULL;
    uint32_t groups[SELFTEST_ROWS];
    for (uint32_t r = 0; r < SELFTEST_ROWS; r++)
        groups[r] = noise(r, plan->n_groups) % plan->n_groups;
    const struct avvik_rows rows = {values, SELFTEST_ROWS, plan->n_features, 1, plan->n_groups > 1 ? groups : NULL};
    const struct avvik_scores scores = results_view(results);
    AVVIK_TRY(backend->worker_create(state, SELFTEST_ROWS, &worker, error));
    AVVIK_TRY(backend->worker_score(worker, &rows, &scores, error));
done:
    backend->worker_free(worker);
    return status;
}

static uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

int avvik__scores_differ(const struct avvik_scores *got, const struct avvik_scores *want, size_t n_rows,
                         struct avvik__difference *first_out)
{
    for (size_t r = 0; r < n_rows; r++) {
        const struct avvik__difference pairs[] = {
            {"path_sum", r, (uint32_t)got->path_sum[r], (uint32_t)want->path_sum[r]},
            {"deviation", r, float_bits(got->deviation[r]), float_bits(want->deviation[r])},
            {"deviation_feature", r, got->deviation_feature[r], want->deviation_feature[r]},
            {"beyond", r, got->beyond[r], want->beyond[r]},
            {"missing", r, got->missing[r], want->missing[r]},
            {"joint", r, got->joint == NULL ? 0 : float_bits(got->joint[r]),
             want->joint == NULL ? 0 : float_bits(want->joint[r])},
            {"tails", r, got->tails == NULL ? 0 : (uint32_t)got->tails[r],
             want->tails == NULL ? 0 : (uint32_t)want->tails[r]}};
        for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
            if (pairs[i].got != pairs[i].want) {
                *first_out = pairs[i];
                return 1;
            }
    }
    return 0;
}

static enum avvik_status results_compare(const char *backend, struct results *got, struct results *want,
                                         struct avvik_error *error)
{
    const struct avvik_scores got_view = results_view(got), want_view = results_view(want);
    struct avvik__difference first;
    if (!avvik__scores_differ(&got_view, &want_view, SELFTEST_ROWS, &first))
        return AVVIK_OK;
    return avvik__error_set(error, AVVIK_ERR_SELFTEST, 0,
                            "backend '%s' failed its self-test: %s of row %zu is 0x%08" PRIx32
                            " where the scalar reference has 0x%08" PRIx32,
                            backend, first.what, first.row, first.got, first.want);
}

enum avvik_status avvik__plan_selftest(const struct avvik__backend *backend, void *state,
                                       const struct avvik__scoring_plan *plan, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    void *reference = NULL;
    char device[192];
    float *values = malloc(SELFTEST_ROWS * (size_t)plan->n_features * sizeof *values);
    struct results *got = calloc(1, sizeof *got), *want = calloc(1, sizeof *want);
    if (values == NULL || got == NULL || want == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    rows_make(values, plan);
    AVVIK_TRY(avvik__backend_scalar.open(NULL, plan, &reference, device, sizeof device, error));
    AVVIK_TRY(rows_score(&avvik__backend_scalar, reference, values, plan, want, error));
    AVVIK_TRY(rows_score(backend, state, values, plan, got, error));
    AVVIK_TRY(results_compare(backend->name, got, want, error));
done:
    avvik__backend_scalar.close(reference);
    free(values);
    free(got);
    free(want);
    return status;
}

/* Quantiles of n values that lie evenly around `middle`. */
static void tails_make(struct avvik__tail_quantiles *quantiles, uint64_t n, float middle)
{
    uint64_t places[AVVIK_TAIL_QUANTILES];
    quantiles->n_quantiles = avvik__tail_places(n, places);
    for (uint32_t i = 0; i < quantiles->n_quantiles; i++) {
        quantiles->value[i] = middle + ((float)places[i] - (float)(n / 2)) / 8;
        quantiles->below[i] = places[i] - 1;
        quantiles->at_most[i] = places[i];
    }
}

/* Everyone's and, where there are groups, that of every other one. */
static enum avvik_status joint_make(uint32_t n_features, uint32_t n_groups, struct avvik__joint *joint,
                                    struct avvik_error *error)
{
    if (!avvik__joint_grow(joint, n_features, 1 + n_groups / 2))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t k = 0; k < joint->n; k++) {
        const struct avvik__joint_measure own = avvik__joint_measure(joint, k);
        joint->group[k] = k == 0 ? 0 : 2 * k - 1;
        for (uint32_t i = 0; i < n_features; i++) {
            own.mean[i] = (float)(i + k) / 64;
            for (uint32_t f = 0; f <= i; f++)
                own.factor[i * (i + 1) / 2 + f] = i == f ? 1 : (float)((i + f + k) % 7) / 8 - 0.375f;
        }
    }
    return AVVIK_OK;
}

/* A model of the given shape over made-up rows. */
static enum avvik_status model_make(uint32_t trees, uint32_t sample, uint32_t n_features, uint32_t n_groups,
                                    struct avvik_model *model, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    float *rows = malloc((size_t)sample * n_features * sizeof *rows);
    uint32_t *scratch = malloc(sample * sizeof *scratch);
    *model = (struct avvik_model){.n_features = n_features, .seed = 1};
    model->forest = (struct avvik__forest){
        .n_trees = trees, .sample = sample, .height = avvik__forest_height(sample), .n_features = n_features};
    if ((model->features = calloc(n_features, sizeof *model->features)) == NULL || rows == NULL || scratch == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__forest_init(&model->forest, error));
    AVVIK_TRY(avvik__tails_init(&model->tails, n_features, error));
    for (uint32_t f = 0; f < n_features; f++) {
        tails_make(&model->tails.features[f], 50 + f, (float)f);
        model->features[f].weight = 1;
        model->features[f].moments.n = 50 + f;
        model->features[f].center32 = (float)f;
        model->features[f].rscale32 = f % 5 == 4 ? 0 : 0.5f;
        model->features[f].fill = (float)f + 0.25f;
    }
    if (n_features <= AVVIK_JOINT_FEATURES)
        AVVIK_TRY(joint_make(n_features, n_groups, &model->joint, error));
    if (n_groups > 1) {
        model->peers.n_keys = 1;
        model->peers.groups.n = n_groups;
        model->peers.groups.parent = calloc(n_groups, sizeof *model->peers.groups.parent); /* each within everyone */
        model->peers.center32 = calloc((size_t)n_groups * n_features, sizeof(float));
        model->peers.rscale32 = calloc((size_t)n_groups * n_features, sizeof(float));
        if (model->peers.groups.parent == NULL || model->peers.center32 == NULL || model->peers.rscale32 == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        for (uint32_t i = 0; i < n_groups * n_features; i++) {
            model->peers.center32[i] = (float)(i % n_features) + (float)(i % 7);
            model->peers.rscale32[i] = i % 11 == 4 ? 0 : 1 / (float)(1 + i % 13);
        }
    }
    for (uint32_t tree = 0; tree < trees; tree++) {
        for (uint32_t i = 0; i < sample * n_features;
             i++) /* every third feature has few values, so that there are ties */
            rows[i] = (float)(i % n_features) + (float)(noise(tree, i) >> (i % n_features % 3 == 2 ? 30 : 8)) *
                                                    (i % n_features % 3 == 2 ? 1 : 0x1p-22f);
        avvik__forest_grow(&model->forest, tree, rows, n_features, 1, scratch);
    }
done:
    free(rows);
    free(scratch);
    if (status != AVVIK_OK) {
        avvik__forest_destroy(&model->forest);
        avvik__tails_destroy(&model->tails);
        avvik__peers_destroy(&model->peers);
        avvik__joint_destroy(&model->joint);
        free(model->features);
    }
    return status;
}

enum avvik_status avvik__probe_plan_init(struct avvik__plan_memory *memory, uint32_t trees, uint32_t sample,
                                         uint32_t n_features, uint32_t n_groups, struct avvik_error *error)
{
    struct avvik_model model;
    enum avvik_status status = model_make(trees, sample, n_features, n_groups, &model, error);
    if (status != AVVIK_OK)
        return status;
    status = avvik__plan_init(memory, &model, error);
    avvik__forest_destroy(&model.forest);
    avvik__tails_destroy(&model.tails);
    avvik__peers_destroy(&model.peers);
    avvik__joint_destroy(&model.joint);
    free(model.features);
    return status;
}

enum avvik_status avvik_selftest(const char *backend_text, struct avvik_error *error)
{
    static const struct {
        uint32_t trees, sample, n_features, n_groups;
    } shapes[] = {{1, 16, 1, 1},    {16, 64, 7, 3},   {17, 256, 8, 1},   {100, 256, 16, 1}, {100, 256, 17, 1},
                  {33, 128, 32, 1}, {40, 256, 33, 9}, {20, 1024, 64, 1}, {20, 256, 65, 1},  {5, 4096, 100, 2}};
    const struct avvik__backend *backend;
    const char *spec;
    enum avvik_status status = avvik__backend_find(backend_text, &backend, &spec, error);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0] && status == AVVIK_OK; i++) {
        struct avvik__plan_memory memory;
        void *state = NULL;
        char device[192];
        status = avvik__probe_plan_init(&memory, shapes[i].trees, shapes[i].sample, shapes[i].n_features,
                                        shapes[i].n_groups, error);
        if (status != AVVIK_OK)
            break;
        status = backend->open(spec, &memory.plan, &state, device, sizeof device, error);
        if (status == AVVIK_OK)
            status = avvik__plan_selftest(backend, state, &memory.plan, error);
        backend->close(state);
        avvik__plan_destroy(&memory);
    }
    return status;
}

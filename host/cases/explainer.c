#include "explainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "leaf_reasons.h"
#include "opencl_reasons.h"
#include "signed_log.h"

#define CPU_ROWS ((size_t)256) /* at a time: their contributions stay in the cache */
#define DEVICE_ROWS ((size_t)16384)

void avvik_explainer_close(struct avvik_explainer *explainer)
{
    if (explainer == NULL)
        return;
    avvik__cl_reasons_close(explainer->device);
    avvik__plan_destroy(&explainer->memory);
    free(explainer->leaf_reasons);
    free(explainer);
}

enum avvik_status avvik__explainer_open(const struct avvik_model *model, struct avvik_explainer **explainer_out,
                                        struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_explainer *explainer = calloc(1, sizeof *explainer);
    if (explainer == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    explainer->model = model;
    AVVIK_TRY(avvik__plan_init(&explainer->memory, model, error));
    avvik__kernels_select(&explainer->kernels, avvik__cpu_features());
    explainer->reasons = (struct avvik__reasons_view){.forest = &explainer->memory.plan.forest,
                                                      .expected = model->forest.expected,
                                                      .stride = explainer->memory.plan.stride};
    for (size_t tree = 0; tree < model->forest.n_trees; tree++)
        explainer->expected += model->forest.expected[(tree << (model->forest.height + 1)) + 1];
    *explainer_out = explainer;
    explainer = NULL;
done:
    avvik_explainer_close(explainer);
    return status;
}

/* What the named backend goes by: a variant of the kernel with its table, or a device. */
static enum avvik_status backend_take(struct avvik_explainer *explainer, const char *backend, struct avvik_error *error)
{
    static const struct {
        const char *name;
        unsigned bits;
        avvik__forest_reasons_fn *kernel;
    } variants[] = {
        {"scalar", 0, avvik__forest_reasons_scalar},
#if defined(__x86_64__)
        {"avx2", AVVIK_CPU_AVX2, avvik__forest_reasons_avx2},
        {"avx512", AVVIK_CPU_AVX512, avvik__forest_reasons_avx512},
#endif
    };
    if (strncmp(backend, "opencl", 6) == 0 && (backend[6] == '\0' || backend[6] == ':'))
        return avvik__cl_reasons_open(backend[6] == '\0' ? NULL : backend + 7, &explainer->memory.plan,
                                      explainer->model->forest.expected, &explainer->device, error);
    size_t i = 0;
    while (i < sizeof variants / sizeof variants[0] && strcmp(variants[i].name, backend) != 0)
        i++;
    if (strcmp(backend, "auto") != 0 && i == sizeof variants / sizeof variants[0])
        return avvik__error_set(
            error, AVVIK_ERR_BACKEND, 0,
            "there is no backend '%s' to explain on; there are auto, scalar, avx2, avx512 and opencl", backend);
    if (strcmp(backend, "auto") != 0 && (variants[i].bits & ~avvik__cpu_features()) != 0)
        return avvik__error_set(error, AVVIK_ERR_BACKEND, 0, "%s cannot run on this CPU", backend);
    if (strcmp(backend, "auto") != 0)
        explainer->kernels.forest_reasons = variants[i].kernel;
    explainer->leaf_reasons = avvik__leaf_reasons_make(&explainer->model->forest, explainer->reasons.stride);
    explainer->reasons.leaf_reasons = explainer->leaf_reasons;
    return AVVIK_OK;
}

enum avvik_status avvik_explainer_open(const struct avvik_model *model, const char *backend,
                                       struct avvik_explainer **explainer_out, struct avvik_error *error)
{
    struct avvik_explainer *explainer = NULL;
    enum avvik_status status = avvik__explainer_open(model, &explainer, error);
    if (status == AVVIK_OK)
        status = backend_take(explainer, backend, error);
    if (status == AVVIK_OK)
        *explainer_out = explainer;
    else
        avvik_explainer_close(explainer);
    return status;
}

int64_t avvik_explainer_expected(const struct avvik_explainer *explainer)
{
    return explainer->expected;
}

enum avvik_status avvik_explainer_contributions(const struct avvik_explainer *explainer, const struct avvik_rows *rows,
                                                int64_t *contributions, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = explainer->memory.plan.n_features, stride = explainer->memory.plan.stride;
    const size_t block = explainer->device != NULL ? DEVICE_ROWS : CPU_ROWS;
    float *tile = avvik__aligned_calloc(block * stride, sizeof *tile);
    int64_t *wide = avvik__aligned_calloc(block * stride, sizeof *wide);
    uint64_t *counts = calloc(2 * n_features, sizeof *counts);
    uint16_t *missing = calloc(block, sizeof *missing);
    if (tile == NULL || wide == NULL || counts == NULL || missing == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t first = 0; first < rows->n_rows; first += block) {
        const size_t n = rows->n_rows - first < block ? rows->n_rows - first : block;
        explainer->kernels.tile_pack(tile, stride, rows->values + first * rows->row_stride, n, n_features,
                                     rows->row_stride, rows->column_stride, counts, counts + n_features);
        explainer->kernels.fill_missing(tile, stride, n, n_features, explainer->memory.plan.fill, missing);
        if (explainer->device != NULL)
            AVVIK_TRY(avvik__cl_reasons_run(explainer->device, wide, tile, n, &explainer->reasons, error));
        else
            explainer->kernels.forest_reasons(wide, tile, stride, n, &explainer->reasons);
        for (size_t r = 0; r < n; r++)
            memcpy(contributions + (first + r) * n_features, wide + r * stride, n_features * sizeof *wide);
    }
done:
    free(missing);
    free(tile);
    free(wide);
    free(counts);
    return status;
}

struct avvik__joint_scale avvik__explainer_joint_scale(const struct avvik_explainer *explainer, uint32_t group)
{
    const struct avvik__scoring_plan *plan = &explainer->memory.plan;
    const uint32_t number = plan->joint_of[group];
    const float *table = plan->joint + number * AVVIK_JOINT_TABLE(plan->stride, plan->n_features);
    return (struct avvik__joint_scale){table, table + plan->stride,
                                       avvik__joint_measure(&explainer->model->joint, number)};
}

void avvik__explained_row_fill(const struct avvik_explainer *explainer, struct avvik__explained_row *row)
{
    const struct avvik__scoring_plan *plan = &explainer->memory.plan;
    for (size_t f = 0; f < plan->n_features; f++)
        row->tile[f] = isfinite(row->values[f]) ? avvik__flush(row->values[f]) : plan->fill[f];
}

void avvik__explained_row_distances(const struct avvik_explainer *explainer, const struct avvik__explained_row *row,
                                    struct avvik__row_scores *scores)
{
    const struct avvik__scoring_plan *plan = &explainer->memory.plan;
    const uint32_t n_features = plan->n_features;
    scores->deviation = scores->joint = 0;
    scores->tails = 0;
    for (uint32_t f = 0; f < n_features; f++)
        scores->tails += avvik__explainer_tail(explainer, f, row->values[f]);
    for (uint32_t f = 0; f < n_features; f++)
        scores->deviation =
            fmaxf(scores->deviation, fabsf(avvik__explainer_z(explainer, row->group, f, row->values[f])));
    if (plan->n_joint > 0) /* by scalar: to the others values as read, which may be infinite, are no tile */
        avvik__joint_peers_scalar(&scores->joint, row->values, plan->stride, 1, n_features, plan->joint_of + row->group,
                                  plan->joint);
}

struct avvik__row_scores avvik__explained_row_score(const struct avvik_explainer *explainer,
                                                    const struct avvik__explained_row *row)
{
    const struct avvik__scoring_plan *plan = &explainer->memory.plan;
    struct avvik__row_scores scores = {0};
    (plan->is_wide ? explainer->kernels.forest_path_wide
                   : explainer->kernels.forest_path)(&scores.path_sum, row->tile, plan->stride, 1, &plan->forest);
    avvik__explained_row_distances(explainer, row, &scores);
    return scores;
}

float avvik__explainer_z(const struct avvik_explainer *explainer, uint32_t group, uint32_t feature, float x)
{
    const struct avvik__scoring_plan *plan = &explainer->memory.plan;
    const float center = plan->center[group * plan->stride + feature];
    const float rscale = plan->rscale[group * plan->stride + feature];
    const float z = isfinite(x) ? avvik__flush(avvik__flush(avvik__flush(x) - center) * rscale) : 0.0f;
    return isnan(z) ? 0.0f : z;
}

int32_t avvik__explainer_tail(const struct avvik_explainer *explainer, uint32_t feature, float x)
{
    const struct avvik__tail_table *tables = explainer->memory.plan.tails;
    const float cleaned = isfinite(x) ? avvik__flush(x) : NAN;
    int32_t tail = 0;
    if (tables != NULL)
        avvik__tails_scalar(&tail, &cleaned, 1, 1, 1, &tables[feature]);
    return tail;
}

float avvik__explainer_middle(const struct avvik_explainer *explainer, uint32_t feature)
{
    const struct avvik__tails *tails = &explainer->model->tails;
    const uint32_t n = tails->n_features == 0 ? 0 : tails->features[feature].n_quantiles;
    return n == 0 ? 0 : tails->features[feature].value[(n - 1) / 2];
}

void avvik__explainer_joint(const struct avvik_explainer *explainer, const struct avvik__explained_row *row,
                            double *parts)
{
    const struct avvik__joint *joint = &explainer->model->joint;
    const uint32_t n = joint->n_features;
    if (n == 0)
        return;
    const struct avvik__joint_scale scale = avvik__explainer_joint_scale(explainer, row->group);
    double apart[AVVIK_JOINT_FEATURES], back[AVVIK_JOINT_FEATURES] = {0};
    for (uint32_t f = 0; f < n; f++)
        apart[f] =
            (double)avvik__signed_log(row->values[f], scale.center[f], scale.rscale[f]) - (double)scale.measure.mean[f];
    for (uint32_t i = 0; i < n; i++) {
        const float *weights = scale.measure.factor + i * (i + 1) / 2;
        double whitened = 0;
        for (uint32_t f = 0; f <= i; f++)
            whitened += (double)weights[f] * apart[f];
        for (uint32_t f = 0; f <= i; f++)
            back[f] += (double)weights[f] * whitened;
    }
    for (uint32_t f = 0; f < n; f++)
        parts[f] = apart[f] * back[f];
}

/* A model as a file (host/io/README.md lists every field). */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "build_info.h"
#include "model_internal.h"

#define MAX_TREES 10000

/* The columns of /features and /statistics: one list for writing and reading. */
static const struct field {
    const char *path;
    enum avvik__type type;
    size_t offset;
    size_t n_elements; /* of a feature, in a second dimension; 0: one, and no such dimension */
} fields[] = {
    {"/features/fill", AVVIK_F32, offsetof(struct avvik__feature, fill), 0},
    {"/features/weight", AVVIK_F32, offsetof(struct avvik__feature, weight), 0},
    {"/statistics/count", AVVIK_U64, offsetof(struct avvik__feature, moments.n), 0},
    {"/statistics/missing", AVVIK_U64, offsetof(struct avvik__feature, moments.n_nan), 0},
    {"/statistics/infinite", AVVIK_U64, offsetof(struct avvik__feature, moments.n_infinite), 0},
    {"/statistics/min", AVVIK_F32, offsetof(struct avvik__feature, moments.min), 0},
    {"/statistics/max", AVVIK_F32, offsetof(struct avvik__feature, moments.max), 0},
    {"/statistics/mean", AVVIK_F64, offsetof(struct avvik__feature, moments.mean), 0},
    {"/statistics/m2", AVVIK_F64, offsetof(struct avvik__feature, moments.m2), 0},
    {"/statistics/sd", AVVIK_F64, offsetof(struct avvik__feature, sd), 0},
    {"/statistics/median", AVVIK_F32, offsetof(struct avvik__feature, median), 0},
    {"/statistics/mad", AVVIK_F32, offsetof(struct avvik__feature, mad), 0},
    {"/statistics/mean_deviation", AVVIK_F64, offsetof(struct avvik__feature, mean_deviation), 0},
    {"/statistics/center32", AVVIK_F32, offsetof(struct avvik__feature, center32), 0},
    {"/statistics/rscale32", AVVIK_F32, offsetof(struct avvik__feature, rscale32), 0},
    {"/statistics/quantiles", AVVIK_F32, offsetof(struct avvik__feature, quantiles), AVVIK_QUANTILES},
    {"/statistics/quantile_rows", AVVIK_U32, offsetof(struct avvik__feature, quantile_rows), AVVIK_QUANTILES},
};
static const char *const deviations[] = {"robust", "classical"};
#define N_FIELDS (sizeof fields / sizeof fields[0])

/* Bytes of one feature. */
static size_t field_size(const struct field *field)
{
    const size_t size = field->type == AVVIK_F32 || field->type == AVVIK_U32 ? 4 : 8;
    return field->n_elements == 0 ? size : size * field->n_elements;
}

static int field_rank(const struct field *field)
{
    return field->n_elements == 0 ? 1 : 2;
}

static enum avvik_status features_put(const struct avvik_model *model, struct avvik__record *record,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t n = model->n_features;
    size_t longest = 1;
    for (uint64_t f = 0; f < n; f++)
        longest = strlen(model->features[f].name) > longest ? strlen(model->features[f].name) : longest;
    const size_t largest = AVVIK_QUANTILES * sizeof(float);
    char *column = calloc(n, longest > largest ? longest : largest);
    if (column == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint64_t f = 0; f < n; f++)
        memcpy(column + f * longest, model->features[f].name, strlen(model->features[f].name));
    const uint64_t dims[2] = {n, longest};
    AVVIK_TRY(avvik__record_group(record, "/features", error));
    AVVIK_TRY(avvik__record_group(record, "/statistics", error));
    AVVIK_TRY(avvik__record_put_text(record, "/statistics", "deviation", deviations[model->deviation], 1, error));
    AVVIK_TRY(avvik__record_put(record, "/features/name", AVVIK_TEXT, 1, dims, column, error));
    for (size_t i = 0; i < N_FIELDS; i++) {
        const size_t size = field_size(&fields[i]);
        for (uint64_t f = 0; f < n; f++)
            memcpy(column + f * size, (const char *)&model->features[f] + fields[i].offset, size);
        const uint64_t field_dims[2] = {n, fields[i].n_elements};
        AVVIK_TRY(avvik__record_put(record, fields[i].path, fields[i].type, field_rank(&fields[i]), field_dims, column,
                                    error));
    }
done:
    free(column);
    return status;
}

static enum avvik_status features_get(struct avvik_model *model, struct avvik__record *record, const char *path,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    uint64_t dims[2];
    char deviation[16];
    void *column = NULL;
    AVVIK_TRY(avvik__record_get_text(record, "/statistics", "deviation", deviation, sizeof deviation, 1, error));
    model->deviation = strcmp(deviation, deviations[0]) == 0 ? AVVIK_DEVIATION_ROBUST : AVVIK_DEVIATION_CLASSICAL;
    if (strcmp(deviation, deviations[model->deviation]) != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: a deviation '%s' is not known", path, deviation);
    AVVIK_TRY(avvik__record_dims(record, "/features/name", 1, dims, error));
    AVVIK_TRY(avvik__record_text_size(record, "/features/name", &dims[1], error));
    if (dims[0] == 0 || dims[0] > UINT16_MAX || dims[1] == 0 || dims[1] >= AVVIK_NAME_SIZE)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: /features/name does not hold 1 to 65535 names", path);
    model->n_features = (uint32_t)dims[0];
    if ((model->features = calloc(dims[0], sizeof *model->features)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__record_get(record, "/features/name", AVVIK_TEXT, 1, dims, &column, error));
    for (uint64_t f = 0; f < dims[0]; f++)
        memcpy(model->features[f].name, (char *)column + f * dims[1], dims[1]);
    for (size_t i = 0; i < N_FIELDS; i++) {
        const size_t size = field_size(&fields[i]);
        free(column);
        column = NULL;
        const uint64_t field_dims[2] = {dims[0], fields[i].n_elements};
        AVVIK_TRY(avvik__record_get(record, fields[i].path, fields[i].type, field_rank(&fields[i]), field_dims, &column,
                                    error));
        for (uint64_t f = 0; f < dims[0]; f++)
            memcpy((char *)&model->features[f] + fields[i].offset, (char *)column + f * size, size);
    }
    for (uint64_t f = 0; f < dims[0]; f++) {
        const struct avvik__feature *feature = &model->features[f];
        struct avvik__feature derived = *feature;
        avvik__feature_finish(&derived, model->deviation);
        if (feature->name[0] == '\0' || !isfinite(feature->fill) ||
            (feature->fill != 0 && fabsf(feature->fill) < FLT_MIN) || !isfinite(feature->moments.mean) ||
            !(feature->weight >= 0 && feature->weight <= AVVIK_MAX_WEIGHT) || !(feature->moments.m2 >= 0) ||
            !(feature->sd == derived.sd) || !(feature->center32 == derived.center32) ||
            !(feature->rscale32 == derived.rscale32) || !avvik__feature_spread_fits(feature, model->deviation))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the statistics of feature %llu ('%s') do not fit together", path,
                       (unsigned long long)f, feature->name);
    }
done:
    free(column);
    return status;
}

static enum avvik_status forest_put(const struct avvik_model *model, struct avvik__record *record,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__forest *forest = &model->forest;
    const uint64_t dims[2] = {forest->n_trees, UINT64_C(1) << forest->height};
    const uint64_t all[2] = {dims[0], 2 * dims[1]};
    AVVIK_TRY(avvik__record_group(record, "/forest", error));
    AVVIK_TRY(avvik__record_put_u64(record, "/forest", "trees", forest->n_trees, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/forest", "sample", forest->sample, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/forest", "height", forest->height, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/forest", "seed", model->seed, 1, error));
    AVVIK_TRY(avvik__record_put_text(record, "/forest", "splits", avvik_splits_name(forest->splits), 1, error));
    AVVIK_TRY(avvik__record_put_text(record, "/forest", "layout", forest->nodes != NULL ? "packed" : "wide", 1, error));
    if (forest->nodes != NULL) {
        AVVIK_TRY(avvik__record_put(record, "/forest/nodes", AVVIK_U32, 2, dims, forest->nodes, error));
    } else {
        AVVIK_TRY(avvik__record_put(record, "/forest/threshold", AVVIK_F32, 2, dims, forest->thresholds, error));
        AVVIK_TRY(avvik__record_put(record, "/forest/feature", AVVIK_U16, 2, dims, forest->features, error));
    }
    AVVIK_TRY(avvik__record_put(record, "/forest/leaves", AVVIK_U16, 2, dims, forest->leaves, error));
    AVVIK_TRY(avvik__record_put(record, "/forest/rows", AVVIK_U32, 2, all, forest->rows, error));
    AVVIK_TRY(avvik__record_put(record, "/forest/expected", AVVIK_I32, 2, all, forest->expected, error));
done:
    return status;
}

/* Move a malloc'ed array into the aligned one that the forest owns. */
static enum avvik_status array_get(struct avvik__record *record, const char *path, enum avvik__type type,
                                   const uint64_t *dims, void *into, size_t element, struct avvik_error *error)
{
    void *data;
    const enum avvik_status status = avvik__record_get(record, path, type, 2, dims, &data, error);
    if (status != AVVIK_OK)
        return status;
    memcpy(into, data, (size_t)(dims[0] * dims[1]) * element);
    free(data);
    return AVVIK_OK;
}

static enum avvik_status forest_get(struct avvik_model *model, struct avvik__record *record, const char *path,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__forest *forest = &model->forest;
    uint64_t trees, sample, height;
    char layout[16], splits[16];
    enum avvik_splits drawn;
    AVVIK_TRY(avvik__record_get_u64(record, "/forest", "trees", &trees, error));
    AVVIK_TRY(avvik__record_get_u64(record, "/forest", "sample", &sample, error));
    AVVIK_TRY(avvik__record_get_u64(record, "/forest", "height", &height, error));
    AVVIK_TRY(avvik__record_get_u64(record, "/forest", "seed", &model->seed, error));
    AVVIK_TRY(avvik__record_get_text(record, "/forest", "layout", layout, sizeof layout, 1, error));
    AVVIK_TRY(avvik__record_get_text(record, "/forest", "splits", splits, sizeof splits, 1, error));
    if (!avvik_splits_parse(splits, &drawn))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: splits '%s' are not known", path, splits);
    if (trees < 1 || trees > MAX_TREES || sample < 16 || sample > 4096 ||
        height != avvik__forest_height((uint32_t)sample))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: a forest of %llu trees, %llu rows and height %llu cannot be", path,
                   (unsigned long long)trees, (unsigned long long)sample, (unsigned long long)height);
    if (strcmp(layout, model->n_features <= AVVIK_PACKED_FEATURES ? "packed" : "wide") != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: a forest of layout '%s' over %u features is not known", path, layout,
                   model->n_features);
    *forest = (struct avvik__forest){.n_trees = (uint32_t)trees,
                                     .sample = (uint32_t)sample,
                                     .height = (uint32_t)height,
                                     .n_features = model->n_features};
    forest->splits = drawn;
    AVVIK_TRY(avvik__forest_init(forest, error));
    const uint64_t dims[2] = {trees, UINT64_C(1) << height}, all[2] = {trees, UINT64_C(2) << height};
    if (forest->nodes != NULL) {
        AVVIK_TRY(array_get(record, "/forest/nodes", AVVIK_U32, dims, forest->nodes, 4, error));
    } else {
        AVVIK_TRY(array_get(record, "/forest/threshold", AVVIK_F32, dims, forest->thresholds, 4, error));
        AVVIK_TRY(array_get(record, "/forest/feature", AVVIK_U16, dims, forest->features, 2, error));
    }
    AVVIK_TRY(array_get(record, "/forest/leaves", AVVIK_U16, dims, forest->leaves, 2, error));
    AVVIK_TRY(array_get(record, "/forest/rows", AVVIK_U32, all, forest->rows, 4, error));
    AVVIK_TRY(array_get(record, "/forest/expected", AVVIK_I32, all, forest->expected, 4, error));
    uint32_t tree = 0, node = 0;
    const char *wrong = avvik__forest_check(forest, &tree, &node);
    if (wrong != NULL)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: tree %u has at node %u %s; the model was changed or damaged", path, tree,
                   node, wrong);
done:
    return status;
}

enum avvik_status avvik_model_save(const struct avvik_model *model, const char *path, int replace,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__record *record = NULL;
    AVVIK_TRY(avvik__record_create(path, "model", replace, &record, error));
    AVVIK_TRY(features_put(model, record, error));
    AVVIK_TRY(avvik__peers_put(model, record, error));
    AVVIK_TRY(forest_put(model, record, error));
    AVVIK_TRY(avvik__joint_put(&model->joint, record, error));
    AVVIK_TRY(avvik__tails_put(&model->tails, record, error));
    AVVIK_TRY(avvik__calibration_put(&model->calibration, record, error));
    AVVIK_TRY(avvik__record_group(record, "/provenance", error));
    AVVIK_TRY(avvik__record_put_text(record, "/provenance", "table", model->table, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/provenance", "rows", model->n_rows, 1, error));
    AVVIK_TRY(avvik__record_put_text(record, "/provenance", "input_hash", model->input_hash, 1, error));
    AVVIK_TRY(avvik__record_put_text(record, "/provenance", "build",
                                     AVVIK_BUILD_COMPILER ", " AVVIK_BUILD_TYPE ", " AVVIK_BUILD_SYSTEM, 0, error));
    status = avvik__record_commit(&record, error);
done:
    avvik__record_close(record);
    return status;
}

static enum avvik_status references_check(const struct avvik_model *model, const char *path, struct avvik_error *error)
{
    const uint64_t n_draws = (uint64_t)model->forest.n_trees * model->forest.sample;
    for (uint32_t f = 0; f < model->n_features; f++)
        if (!avvik__feature_reference_fits(&model->features[f], n_draws))
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                    "%s: the quantiles of feature %u ('%s') do not fit together", path, f,
                                    model->features[f].name);
    return AVVIK_OK;
}

static enum avvik_status tails_get(struct avvik_model *model, struct avvik__record *record, const char *path,
                                   struct avvik_error *error)
{
    uint64_t *n_values = calloc(model->n_features, sizeof *n_values);
    if (n_values == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < model->n_features; f++)
        n_values[f] = model->features[f].moments.n;
    const enum avvik_status status = avvik__tails_get(&model->tails, model->n_features, n_values, record, path, error);
    free(n_values);
    return status;
}

/* The strata of held-out rows follow from their groups. A model of an earlier version has neither. */
static enum avvik_status strata_check(const struct avvik_model *model, const char *path, struct avvik_error *error)
{
    const struct avvik__calibration *calibration = &model->calibration;
    const struct avvik__groups *groups = &model->peers.groups;
    struct avvik__strata strata = {0};
    int fits = model->peers.n_keys > 0;
    if (calibration->held_out_groups == NULL)
        return AVVIK_OK;
    for (uint32_t i = 0; i < calibration->held_out.n && fits; i++)
        fits = calibration->held_out_groups[i] < groups->n;
    if (fits && !avvik__strata_make(&strata, groups, calibration->held_out_groups, calibration->held_out.n))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    fits = fits && strata.n == calibration->strata.n &&
           memcmp(strata.group, calibration->strata.group, strata.n * sizeof *strata.group) == 0 &&
           memcmp(strata.last, calibration->strata.last, strata.n * sizeof *strata.last) == 0;
    avvik__strata_destroy(&strata);
    return fits ? AVVIK_OK
                : avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                   "%s: the groups of held-out rows do not follow from the peer groups", path);
}

enum avvik_status avvik_model_load(const char *path, struct avvik_model **model_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__record *record = NULL;
    char table[1024];
    struct avvik_model *model = calloc(1, sizeof *model);
    if (model == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__record_open(path, "model", &record, error));
    AVVIK_TRY(avvik__record_get_text(record, "/", "created", model->created, sizeof model->created, 0, error));
    AVVIK_TRY(avvik__record_get_text(record, "/", "producer", model->producer, sizeof model->producer, 0, error));
    AVVIK_TRY(avvik__record_get_text(record, "/provenance", "table", table, sizeof table, 1, error));
    AVVIK_TRY(avvik__record_get_u64(record, "/provenance", "rows", &model->n_rows, error));
    AVVIK_TRY(avvik__record_get_text(record, "/provenance", "input_hash", model->input_hash, sizeof model->input_hash,
                                     1, error));
    AVVIK_TRY(features_get(model, record, path, error));
    AVVIK_TRY(avvik__peers_get(model, record, path, error));
    AVVIK_TRY(forest_get(model, record, path, error));
    AVVIK_TRY(references_check(model, path, error));
    AVVIK_TRY(avvik__joint_get(&model->joint, model->n_features, &model->peers.groups, record, path, error));
    AVVIK_TRY(tails_get(model, record, path, error));
    AVVIK_TRY(avvik__calibration_get(&model->calibration, record, path, error));
    AVVIK_TRY(strata_check(model, path, error));
    for (int i = 0; i < 2; i++) {
        const struct avvik__scored *scored = i == 0 ? &model->calibration.reference : &model->calibration.held_out;
        if (scored->n > 0 && (scored->tails != NULL) != (model->tails.n_features > 0))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                       "%s: has tails, or rows that calibrate them, but not both; the model was "
                       "changed or damaged",
                       path);
    }
    AVVIK_TRY(avvik__record_verify(record, error));
    avvik__record_hash(record, model->content_hash);
    if ((model->table = strdup(table)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    *model_out = model;
    model = NULL;
done:
    avvik__record_close(record);
    avvik_model_free(model);
    return status;
}

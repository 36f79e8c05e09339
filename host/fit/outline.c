#include "outline.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "float_order.h"

uint32_t avvik__outline_rows(uint64_t n_rows, uint32_t n_features)
{
    const uint64_t fitting = AVVIK_OUTLINE_VALUES / n_features;
    const uint64_t most = fitting < 1 ? 1 : fitting < AVVIK_OUTLINE_ROWS ? fitting : AVVIK_OUTLINE_ROWS;
    return (uint32_t)(n_rows < most ? n_rows : most);
}

void avvik__outline_destroy(struct avvik__outline *outline)
{
    free(outline->features);
    *outline = (struct avvik__outline){0};
}

/* One feature from its n values, which are finite; scratch holds 3 n. */
static void feature_outline(struct avvik__feature *feature, float *values, float *scratch, size_t n)
{
    struct avvik__feature distances = {.fill = 0};
    double sum = 0;
    avvik__feature_reference(feature, values, scratch, n); /* sorts them */
    feature->median = feature->fill;
    for (size_t i = 0; i < n; i++) {
        scratch[n + i] = avvik__flush(fabsf(values[i] - feature->median));
        scratch[n + i] = scratch[n + i] > FLT_MAX ? FLT_MAX : scratch[n + i];
        sum += (double)scratch[n + i];
    }
    avvik__feature_reference(&distances, scratch + n, scratch, n);
    feature->mad = distances.fill;
    feature->mean_deviation = feature->mad > 0 || n == 0 ? 0 : sum / (double)n;
}

enum avvik_status avvik__outline_make(struct avvik__outline *outline, const struct avvik_model *model,
                                      const float *values, size_t n, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint32_t n_features = model->n_features;
    float *column = malloc((3 * n + 1) * sizeof *column);
    *outline = (struct avvik__outline){n, n_features, calloc(n_features, sizeof *outline->features)};
    if (column == NULL || outline->features == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < n_features; f++) {
        struct avvik__feature *feature = &outline->features[f];
        size_t n_values = 0;
        memcpy(feature->name, model->features[f].name, sizeof feature->name);
        for (size_t i = 0; i < n; i++) {
            const float x = values[i * n_features + f];
            if (isfinite(x))
                column[n_values++] = x == 0 ? 0 : avvik__flush(x); /* no -0.0 */
        }
        feature->moments.n_nan = n - n_values;
        feature_outline(feature, column, column + n_values, n_values);
    }
done:
    free(column);
    if (status != AVVIK_OK)
        avvik__outline_destroy(outline);
    return status;
}

/* Where the parts of an outline lie in a file, all of them of one length a feature. */
static const struct part {
    const char *path;
    enum avvik__type type;
    size_t offset, length, size; /* in struct avvik__feature; elements; bytes of one */
} parts[] = {
    {"/batch/quantiles", AVVIK_F32, offsetof(struct avvik__feature, quantiles), AVVIK_QUANTILES, 4},
    {"/batch/quantile_rows", AVVIK_U32, offsetof(struct avvik__feature, quantile_rows), AVVIK_QUANTILES, 4},
    {"/batch/median", AVVIK_F32, offsetof(struct avvik__feature, median), 1, 4},
    {"/batch/mad", AVVIK_F32, offsetof(struct avvik__feature, mad), 1, 4},
    {"/batch/mean_deviation", AVVIK_F64, offsetof(struct avvik__feature, mean_deviation), 1, 8},
};
#define N_PARTS (sizeof parts / sizeof parts[0])

enum avvik_status avvik__outline_put(const struct avvik__outline *outline, struct avvik__record *record,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char *flat = malloc((size_t)outline->n_features * AVVIK_QUANTILES * sizeof(double));
    if (flat == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__record_group(record, "/batch", error));
    AVVIK_TRY(avvik__record_put_u64(record, "/batch", "rows", outline->n_rows, 1, error));
    for (size_t i = 0; i < N_PARTS; i++) {
        const size_t bytes = parts[i].length * parts[i].size;
        for (uint32_t f = 0; f < outline->n_features; f++)
            memcpy(flat + f * bytes, (const char *)&outline->features[f] + parts[i].offset, bytes);
        AVVIK_TRY(avvik__record_put(record, parts[i].path, parts[i].type, parts[i].length > 1 ? 2 : 1,
                                    (const uint64_t[]){outline->n_features, parts[i].length}, flat, error));
    }
done:
    free(flat);
    return status;
}

/* Can these be of values that were looked at? */
static int feature_fits(struct avvik__feature *feature, uint64_t n_rows)
{
    const uint32_t n = feature->quantile_rows[AVVIK_QUANTILES - 1];
    feature->moments.min = feature->quantiles[0];
    feature->moments.max = feature->quantiles[AVVIK_QUANTILES - 1];
    if (!avvik__feature_reference_fits(feature, n_rows))
        return 0;
    feature->moments.n_nan = n_rows - n;
    return feature->median >= feature->moments.min && feature->median <= feature->moments.max && feature->mad >= 0 &&
           feature->mad <= FLT_MAX && feature->mean_deviation >= 0 && isfinite(feature->mean_deviation);
}

enum avvik_status avvik__outline_get(struct avvik__outline *outline, char *const *names, size_t n_features,
                                     struct avvik__record *record, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    void *flat = NULL;
    *outline = (struct avvik__outline){.n_features = (uint32_t)n_features};
    if (!avvik__record_has(record, "/batch"))
        return AVVIK_OK;
    AVVIK_TRY(avvik__record_get_u64(record, "/batch", "rows", &outline->n_rows, error));
    if (outline->n_rows > AVVIK_OUTLINE_ROWS)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: /batch is of %llu rows, more than the %d that there can be", path,
                   (unsigned long long)outline->n_rows, AVVIK_OUTLINE_ROWS);
    if ((outline->features = calloc(n_features, sizeof *outline->features)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < N_PARTS; i++) {
        const size_t bytes = parts[i].length * parts[i].size;
        AVVIK_TRY(avvik__record_get(record, parts[i].path, parts[i].type, parts[i].length > 1 ? 2 : 1,
                                    (const uint64_t[]){n_features, parts[i].length}, &flat, error));
        for (size_t f = 0; f < n_features; f++)
            memcpy((char *)&outline->features[f] + parts[i].offset, (const char *)flat + f * bytes, bytes);
        free(flat);
        flat = NULL;
    }
    for (size_t f = 0; f < n_features; f++) {
        snprintf(outline->features[f].name, sizeof outline->features[f].name, "%s", names[f]);
        if (!feature_fits(&outline->features[f], outline->n_rows))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: what /batch says of '%s' does not fit together", path, names[f]);
    }
done:
    free(flat);
    if (status != AVVIK_OK)
        avvik__outline_destroy(outline);
    return status;
}

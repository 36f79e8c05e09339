/* Two models, two score files, or one of each beside each other. What the second says of its rows is measured like a
 * batch, against the quantiles of the first. */
#include "avvik/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "score_reader.h"
#include "shift.h"

/* A model's features, or a batch's. */
struct avvik_outlines {
    struct avvik_model *model;         /* owned; NULL for a score file */
    struct avvik__score_reader reader; /* of a score file */
    enum avvik_deviation deviation;    /* what kind centers are of */
    uint64_t n_rows;
    uint32_t n_features;
    const struct avvik__feature *features;
};

void avvik_outlines_free(struct avvik_outlines *outlines)
{
    if (outlines == NULL)
        return;
    avvik_model_free(outlines->model);
    avvik__score_reader_close(&outlines->reader);
    free(outlines);
}

static enum avvik_status scores_load(const char *path, struct avvik_outlines *outlines, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__score_reader *reader = &outlines->reader;
    AVVIK_TRY(avvik__score_reader_open(reader, path, error));
    if (reader->outline.features == NULL)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                   "%s: says nothing of the values that were scored, because an earlier version made it; score its "
                   "batch anew",
                   path);
    do
        AVVIK_TRY(avvik__score_reader_next(reader, error)); /* to the last row, when the content hash is known */
    while (reader->n > 0);
    outlines->deviation = AVVIK_DEVIATION_ROBUST;
    outlines->n_rows = reader->outline.n_rows;
    outlines->n_features = reader->outline.n_features;
    outlines->features = reader->outline.features;
done:
    return status;
}

enum avvik_status avvik_outlines_load(const char *path, struct avvik_outlines **outlines_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_outlines *outlines = calloc(1, sizeof *outlines);
    if (outlines == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (avvik__record_is(path, "scores"))
        AVVIK_TRY(scores_load(path, outlines, error));
    else {
        AVVIK_TRY(avvik_model_load(path, &outlines->model, error));
        outlines->deviation = outlines->model->deviation;
        outlines->n_rows = outlines->model->n_rows;
        outlines->n_features = outlines->model->n_features;
        outlines->features = outlines->model->features;
    }
    *outlines_out = outlines;
    outlines = NULL;
done:
    avvik_outlines_free(outlines);
    return status;
}

int avvik_drift_limits_parse(const char *text, struct avvik_drift_limits *limits)
{
    struct avvik_drift_limits taken = *limits;
    const struct {
        const char *name;
        double *into;
    } known[] = {
        {"psi", &taken.psi}, {"ks", &taken.ks}, {"shift", &taken.shift}, {"missing_change", &taken.missing_change}};
    int is_named[4] = {0};
    for (;;) {
        const size_t length = strcspn(text, "=");
        size_t k = 0;
        while (k < 4 && (strlen(known[k].name) != length || strncmp(text, known[k].name, length) != 0))
            k++;
        if (k == 4 || text[length] != '=' || is_named[k])
            return 0;
        const char *number = text + length + 1;
        char *end;
        if (strspn(number, "0123456789.") != strcspn(number, ",") || *number == '\0' || *number == ',')
            return 0;
        *known[k].into = strtod(number, &end);
        is_named[k] = 1;
        if (end == number || (*end != ',' && *end != '\0'))
            return 0;
        if (*end == '\0')
            break;
        text = end + 1;
    }
    *limits = taken;
    return 1;
}

/* About how many of the rows that the quantiles are of do not exceed x: exact at a quantile, on a straight line
 * between two. */
static double rows_at_most(const struct avvik__feature *feature, float x)
{
    const int last = AVVIK_QUANTILES - 1;
    int i = last;
    if (x < feature->quantiles[0])
        return 0;
    while (feature->quantiles[i] > x)
        i--;
    const double at = feature->quantile_rows[i];
    if (i == last || feature->quantiles[i] == x)
        return at;
    const double width = (double)feature->quantiles[i + 1] - feature->quantiles[i];
    return at + (feature->quantile_rows[i + 1] - at) * ((double)x - feature->quantiles[i]) / width;
}

static void distribution_compare(const struct avvik__feature *before, const struct avvik__feature *after,
                                 struct avvik_drift *drift)
{
    struct avvik__measure measure = {0};
    uint64_t at_most[AVVIK_QUANTILES];
    avvik__shift_edges(before, &measure);
    for (uint32_t i = 0; i < measure.n_edges; i++)
        at_most[i] = (uint64_t)llrint(rows_at_most(after, measure.edges[i]));
    avvik__shift_measure(before, &measure, at_most, after->quantile_rows[AVVIK_QUANTILES - 1], &drift->psi, &drift->ks);
}

static double missing_share(const struct avvik_outlines *outlines, const struct avvik__feature *feature)
{
    const double n_missing = (double)(feature->moments.n_nan + feature->moments.n_infinite);
    return outlines->n_rows == 0 ? NAN : n_missing / (double)outlines->n_rows;
}

static void center_compare(enum avvik_deviation kind, const struct avvik__feature *before,
                           const struct avvik__feature *after, struct avvik_drift *drift)
{
    const int is_robust = kind == AVVIK_DEVIATION_ROBUST;
    const struct avvik__feature *const both[2] = {before, after};
    for (int i = 0; i < 2; i++) {
        drift->center[i] = is_robust ? both[i]->median : both[i]->moments.mean;
        drift->spread[i] = is_robust ? both[i]->mad : both[i]->sd;
    }
    const double sd = !is_robust        ? before->sd
                      : before->mad > 0 ? before->mad / 0.6745
                                        : 1.253314 * before->mean_deviation;
    const double apart = drift->center[1] - drift->center[0];
    drift->shift = apart == 0 ? 0 : sd > 0 ? apart / sd : INFINITY * apart;
}

static const struct avvik__feature *feature_find(const struct avvik_outlines *outlines, const char *name)
{
    for (uint32_t f = 0; f < outlines->n_features; f++)
        if (strcmp(outlines->features[f].name, name) == 0)
            return &outlines->features[f];
    return NULL;
}

static struct avvik_drift feature_compare(const struct avvik_outlines *const both[2], const char *name,
                                          const struct avvik_drift_limits *limits)
{
    const struct avvik__feature *before = feature_find(both[0], name), *after = feature_find(both[1], name);
    struct avvik_drift drift = {name,       before != NULL, after != NULL, NAN,        NAN,
                                {NAN, NAN}, {NAN, NAN},     NAN,           {NAN, NAN}, 1};
    if (before != NULL)
        drift.missing_share[0] = missing_share(both[0], before);
    if (after != NULL)
        drift.missing_share[1] = missing_share(both[1], after);
    if (before == NULL || after == NULL)
        return drift;
    distribution_compare(before, after, &drift);
    if (both[0]->deviation == both[1]->deviation)
        center_compare(both[0]->deviation, before, after, &drift);
    drift.has_drifted = drift.psi > limits->psi || drift.ks > limits->ks || fabs(drift.shift) > limits->shift ||
                        fabs(drift.missing_share[1] - drift.missing_share[0]) > limits->missing_change;
    return drift;
}

enum avvik_status avvik_outlines_compare(const struct avvik_outlines *before, const struct avvik_outlines *after,
                                         const struct avvik_drift_limits *limits, struct avvik_drift **drifts_out,
                                         size_t *n_out, struct avvik_error *error)
{
    const struct avvik_outlines *const both[2] = {before, after};
    struct avvik_drift *drifts = calloc((size_t)before->n_features + after->n_features, sizeof *drifts);
    size_t n = 0;
    if (drifts == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < before->n_features; f++)
        drifts[n++] = feature_compare(both, before->features[f].name, limits);
    for (uint32_t f = 0; f < after->n_features; f++)
        if (feature_find(before, after->features[f].name) == NULL)
            drifts[n++] = feature_compare(both, after->features[f].name, limits);
    *drifts_out = drifts;
    *n_out = n;
    return AVVIK_OK;
}

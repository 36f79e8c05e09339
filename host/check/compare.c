/* Two models beside each other. What one learnt is measured like a batch, against the quantiles of the other. */
#include "avvik/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "shift.h"

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

static double missing_share(const struct avvik_model *model, const struct avvik__feature *feature)
{
    return (double)(feature->moments.n_nan + feature->moments.n_infinite) / (double)model->n_rows;
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

static const struct avvik__feature *feature_find(const struct avvik_model *model, const char *name)
{
    for (uint32_t f = 0; f < model->n_features; f++)
        if (strcmp(model->features[f].name, name) == 0)
            return &model->features[f];
    return NULL;
}

static struct avvik_drift feature_compare(const struct avvik_model *const models[2], const char *name,
                                          const struct avvik_drift_limits *limits)
{
    const struct avvik__feature *before = feature_find(models[0], name), *after = feature_find(models[1], name);
    struct avvik_drift drift = {name,       before != NULL, after != NULL, NAN,        NAN,
                                {NAN, NAN}, {NAN, NAN},     NAN,           {NAN, NAN}, 1};
    if (before != NULL)
        drift.missing_share[0] = missing_share(models[0], before);
    if (after != NULL)
        drift.missing_share[1] = missing_share(models[1], after);
    if (before == NULL || after == NULL)
        return drift;
    distribution_compare(before, after, &drift);
    if (models[0]->deviation == models[1]->deviation)
        center_compare(models[0]->deviation, before, after, &drift);
    drift.has_drifted = drift.psi > limits->psi || drift.ks > limits->ks || fabs(drift.shift) > limits->shift ||
                        fabs(drift.missing_share[1] - drift.missing_share[0]) > limits->missing_change;
    return drift;
}

enum avvik_status avvik_model_compare(const struct avvik_model *before, const struct avvik_model *after,
                                      const struct avvik_drift_limits *limits, struct avvik_drift **drifts_out,
                                      size_t *n_out, struct avvik_error *error)
{
    const struct avvik_model *const models[2] = {before, after};
    struct avvik_drift *drifts = calloc((size_t)before->n_features + after->n_features, sizeof *drifts);
    size_t n = 0;
    if (drifts == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < before->n_features; f++)
        drifts[n++] = feature_compare(models, before->features[f].name, limits);
    for (uint32_t f = 0; f < after->n_features; f++)
        if (feature_find(before, after->features[f].name) == NULL)
            drifts[n++] = feature_compare(models, after->features[f].name, limits);
    *drifts_out = drifts;
    *n_out = n;
    return AVVIK_OK;
}

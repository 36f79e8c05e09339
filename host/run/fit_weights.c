/* Weights of features, as a person writes them. */
#include <stdlib.h>
#include <string.h>

#include "avvik/model.h"
#include "avvik_internal.h"

/* The feature whose name is these `length` bytes; n_features if there is none. */
static size_t feature_find(const struct avvik_source *source, const char *name, size_t length)
{
    const size_t n_features = avvik_source_n_features(source);
    size_t f = 0;
    while (f < n_features && (strlen(avvik_source_feature(source, f)) != length ||
                              memcmp(avvik_source_feature(source, f), name, length) != 0))
        f++;
    return f;
}

/* "NAME=NUMBER", which may hold further signs of equality in the name. */
static enum avvik_status weight_take(char *part, const struct avvik_source *source, float *weights,
                                     struct avvik_error *error)
{
    const char *equals = strrchr(part, '=');
    char *end = NULL;
    const double weight = equals == NULL ? -1 : strtod(equals + 1, &end);
    if (equals == NULL || end == equals + 1 || *end != '\0')
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "takes NAME=NUMBER, not '%.80s'", part);
    const size_t f = feature_find(source, part, (size_t)(equals - part));
    if (f == avvik_source_n_features(source))
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "'%.80s' names no feature", part);
    if (!(weight >= 0 && weight <= (double)AVVIK_MAX_WEIGHT))
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "'%.80s' is outside 0 to %g", part,
                                (double)AVVIK_MAX_WEIGHT);
    weights[f] = (float)weight;
    return AVVIK_OK;
}

enum avvik_status avvik_feature_weights_parse(const char *text, const struct avvik_source *source, float **weights_out,
                                              struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = avvik_source_n_features(source);
    char *copy = strdup(text), *rest = copy;
    float *weights = calloc(n_features, sizeof *weights);
    if (copy == NULL || weights == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t f = 0; f < n_features; f++)
        weights[f] = 1;
    for (char *part; (part = strsep(&rest, ",")) != NULL;) {
        if (part[0] == '\0')
            AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "'%.80s' has an empty part", text);
        AVVIK_TRY(weight_take(part, source, weights, error));
    }
    *weights_out = weights;
    weights = NULL;
done:
    free(copy);
    free(weights);
    return status;
}

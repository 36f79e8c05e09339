/* Weights of features, as a person writes them: in one text, or in the block `feature` of a YAML file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik/model.h"
#include "avvik_internal.h"
#include "yaml_file.h"

/* What is weighed, and where what is wrong stands. */
struct weighing {
    const struct avvik_source *source;
    float *weights;
    uint8_t *is_named;
};

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

/* One weight. NULL, or what is wrong with it. */
static const char *weight_take(struct weighing *weighing, const char *name, size_t length, const char *number)
{
    char *end;
    const double weight = strtod(number, &end);
    const size_t f = feature_find(weighing->source, name, length);
    if (end == number || *end != '\0')
        return "is no number";
    if (f == avvik_source_n_features(weighing->source))
        return "names no feature";
    if (!(weight >= 0 && weight <= (double)AVVIK_MAX_WEIGHT))
        return "is outside 0 to 1000";
    if (weighing->is_named[f])
        return "is there twice";
    weighing->weights[f] = (float)weight;
    weighing->is_named[f] = 1;
    return NULL;
}

/* "NAME=NUMBER,...". A name may hold further signs of equality. */
static enum avvik_status text_take(const char *text, struct weighing *weighing, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char *copy = strdup(text), *rest = copy;
    if (copy == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (char *part; (part = strsep(&rest, ",")) != NULL;) {
        const char *equals = strrchr(part, '='), *wrong = NULL;
        if (part[0] == '\0')
            AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "'%.80s' has an empty part", text);
        if (equals == NULL || equals[1] == '\0' ||
            (wrong = weight_take(weighing, part, (size_t)(equals - part), equals + 1)) != NULL)
            AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "'%.80s' %s; it takes NAME=NUMBER, a number from 0 to 1000, or a file", part,
                       wrong == NULL ? "has no number" : wrong);
    }
done:
    free(copy);
    return status;
}

/* The value of `key` in a mapping; NULL if there is none. */
static const yaml_node_t *value_of(struct avvik__yaml *file, const yaml_node_t *mapping, const char *key)
{
    const yaml_node_t *value = NULL;
    if (mapping == NULL || mapping->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *name = yaml_document_get_node(&file->document, pair->key);
        if (name->type == YAML_SCALAR_NODE && strcmp((const char *)name->data.scalar.value, key) == 0)
            value = yaml_document_get_node(&file->document, pair->value);
    }
    return value;
}

/* The mapping `feature: weight:`. libcyaml, which reads other files, takes no mapping whose keys are not known. */
static enum avvik_status file_take(struct avvik__yaml *file, struct weighing *weighing, struct avvik_error *error)
{
    const yaml_node_t *block =
        value_of(file, value_of(file, yaml_document_get_root_node(&file->document), "feature"), "weight");
    if (block == NULL || block->type != YAML_MAPPING_NODE)
        return avvik__yaml_bad(file, "feature.weight", error,
                               "is not there: a block with a line NAME: NUMBER for each feature that has a weight");
    for (const yaml_node_pair_t *pair = block->data.mapping.pairs.start; pair < block->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(&file->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(&file->document, pair->value);
        if (name->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s:%zu: feature.weight takes lines NAME: NUMBER",
                                    file->path, name->start_mark.line + 1);
        const char *text = (const char *)name->data.scalar.value, *number = (const char *)value->data.scalar.value;
        const char *wrong = weight_take(weighing, text, name->data.scalar.length, number);
        if (wrong != NULL)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                    "%s:%zu: feature.weight '%.80s: %.40s' %s; it takes NAME: NUMBER, a number from 0 "
                                    "to 1000",
                                    file->path, name->start_mark.line + 1, text, number, wrong);
    }
    return AVVIK_OK;
}

enum avvik_status avvik_feature_weights_parse(const char *text, const struct avvik_source *source, float **weights_out,
                                              struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = avvik_source_n_features(source);
    struct weighing weighing = {source, calloc(n_features, sizeof(float)), calloc(n_features, 1)};
    struct avvik__yaml file = {0};
    if (weighing.weights == NULL || weighing.is_named == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t f = 0; f < n_features; f++)
        weighing.weights[f] = 1;
    if (strchr(text, '=') != NULL || text[0] == '\0')
        AVVIK_TRY(text_take(text, &weighing, error));
    else if (access(text, F_OK) != 0)
        AVVIK_FAIL(AVVIK_ERR_USAGE, errno, "'%.80s' is neither NAME=NUMBER,... nor a file: %s", text, strerror(errno));
    else {
        AVVIK_TRY(avvik__yaml_open(&file, text, error));
        AVVIK_TRY(file_take(&file, &weighing, error));
    }
    *weights_out = weighing.weights;
    weighing.weights = NULL;
done:
    avvik__yaml_close(&file);
    free(weighing.weights);
    free(weighing.is_named);
    return status;
}

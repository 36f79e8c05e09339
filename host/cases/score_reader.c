#include "score_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

#define MAX_INPUTS 1000000
#define MAX_ABSENT 10000000 /* runs of absent rows */

void avvik__strings_free(char **strings, size_t n)
{
    for (size_t i = 0; strings != NULL && i < n; i++)
        free(strings[i]);
    free(strings);
}

/* A text array as C strings. */
static enum avvik_status strings_get(struct avvik__record *record, const char *path, size_t max, char ***strings_out,
                                     size_t *n_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    uint64_t dims[2];
    void *data = NULL;
    char **strings = NULL;
    AVVIK_TRY(avvik__record_dims(record, path, 1, dims, error));
    AVVIK_TRY(avvik__record_text_size(record, path, &dims[1], error));
    if (dims[0] == 0 || dims[0] > max || dims[1] == 0 || dims[1] > 4096)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s has %llu names of %llu bytes, which cannot be", path,
                   (unsigned long long)dims[0], (unsigned long long)dims[1]);
    AVVIK_TRY(avvik__record_get(record, path, AVVIK_TEXT, 1, dims, &data, error));
    if ((strings = calloc(dims[0], sizeof *strings)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint64_t i = 0; i < dims[0]; i++)
        if ((strings[i] = strndup((const char *)data + i * dims[1], dims[1])) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    *strings_out = strings;
    *n_out = dims[0];
    strings = NULL;
done:
    avvik__strings_free(strings, strings == NULL ? 0 : dims[0]);
    free(data);
    return status;
}

/* /absent counts in the content hash, so it is read even though the rows themselves say that they are absent. */
static enum avvik_status absent_read(struct avvik__score_reader *reader, struct avvik_error *error)
{
    static const struct {
        const char *path;
        enum avvik__type type;
    } arrays[] = {{"/absent/first", AVVIK_U64}, {"/absent/rows", AVVIK_U64}, {"/absent/feature", AVVIK_U16}};
    enum avvik_status status = AVVIK_OK;
    char **reasons = NULL;
    size_t n_reasons = 0;
    reader->has_absent = avvik__record_has(reader->record, "/absent");
    if (!reader->has_absent)
        return AVVIK_OK;
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        uint64_t dims[1];
        void *data = NULL;
        AVVIK_TRY(avvik__record_dims(reader->record, arrays[i].path, 1, dims, error));
        if (dims[0] > MAX_ABSENT)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s has %llu elements, which cannot be", reader->path, arrays[i].path,
                       (unsigned long long)dims[0]);
        AVVIK_TRY(avvik__record_get(reader->record, arrays[i].path, arrays[i].type, 1, dims, &data, error));
        free(data);
    }
    AVVIK_TRY(strings_get(reader->record, "/absent/reason", MAX_ABSENT, &reasons, &n_reasons, error));
done:
    avvik__strings_free(reasons, n_reasons);
    return status;
}

void avvik__score_reader_close(struct avvik__score_reader *reader)
{
    avvik__record_close(reader->record);
    avvik__calibration_destroy(&reader->calibration);
    avvik__outline_destroy(&reader->outline);
    free(reader->path_sum);
    free(reader->forest);
    free(reader->deviation);
    free(reader->joint);
    free(reader->deviation_feature);
    free(reader->beyond);
    free(reader->missing);
    free(reader->peer_group);
    free(reader->peer_level);
    free(reader->tails);
    avvik__strings_free(reader->features, reader->n_features);
    avvik__strings_free(reader->inputs, reader->n_inputs);
    free(reader->input_offsets);
    memset(reader, 0, sizeof *reader);
}

enum avvik_status avvik__score_reader_open(struct avvik__score_reader *reader, const char *path,
                                           struct avvik_error *error)
{
    static const struct {
        const char *path;
        enum avvik__type type;
    } columns[AVVIK_READER_COLUMNS] = {{"/scores/path_sum", AVVIK_I32},   {"/scores/forest", AVVIK_F32},
                                       {"/scores/deviation", AVVIK_F32},  {"/scores/deviation_feature", AVVIK_U16},
                                       {"/scores/beyond", AVVIK_U16},     {"/scores/missing", AVVIK_U16},
                                       {"/scores/joint", AVVIK_F32},      {"/scores/peer_group", AVVIK_U32},
                                       {"/scores/peer_level", AVVIK_U16}, {"/scores/tails", AVVIK_I32}};
    static const char *const numbers[] = {"trees", "sample", "seed"};
    enum avvik_status status = AVVIK_OK;
    uint64_t value;
    char text[64];
    void *offsets = NULL;
    memset(reader, 0, sizeof *reader);
    reader->path = path;
    AVVIK_TRY(avvik__record_open(path, "scores", &reader->record, error));
    avvik__record_hash(reader->record, reader->content_hash);
    AVVIK_TRY(avvik__record_get_u64(reader->record, "/run", "rows", &reader->n_rows, error));
    AVVIK_TRY(avvik__record_get_text(reader->record, "/run", "table", reader->table, sizeof reader->table, 1, error));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        AVVIK_TRY(avvik__record_get_u64(reader->record, "/run", numbers[i], &value, error));
    AVVIK_TRY(avvik__record_get_text(reader->record, "/run", "model_hash", reader->model_hash,
                                     sizeof reader->model_hash, 1, error));
    AVVIK_TRY(avvik__record_get_text(reader->record, "/run", "input_hash", text, sizeof text, 1, error));
    AVVIK_TRY(strings_get(reader->record, "/features/name", UINT16_MAX, &reader->features, &reader->n_features, error));
    AVVIK_TRY(strings_get(reader->record, "/run/input", MAX_INPUTS, &reader->inputs, &reader->n_inputs, error));
    const uint64_t dims[1] = {reader->n_inputs};
    AVVIK_TRY(avvik__record_get(reader->record, "/run/input_offset", AVVIK_U64, 1, dims, &offsets, error));
    reader->input_offsets = offsets;
    AVVIK_TRY(avvik__calibration_get(&reader->calibration, reader->record, path, error));
    AVVIK_TRY(avvik__outline_get(&reader->outline, reader->features, reader->n_features, reader->record, path, error));
    AVVIK_TRY(absent_read(reader, error));
    reader->has_groups = avvik__record_has(reader->record, columns[7].path);
    reader->has_tails = avvik__record_has(reader->record, columns[9].path);
    if (reader->calibration.held_out.n > 0 && reader->has_tails != (reader->calibration.held_out.tails != NULL))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                   "%s: has tails of rows or of calibration rows, but not of both; the score file "
                   "was changed or damaged",
                   path);
    for (int c = 0; c < AVVIK_READER_COLUMNS; c++)
        if (c < 7 || (c < 9 && reader->has_groups) || (c == 9 && reader->has_tails))
            AVVIK_TRY(avvik__record_column_open(reader->record, columns[c].path, columns[c].type, reader->n_rows,
                                                &reader->columns[c], error));
    reader->tails = calloc(AVVIK_READER_ROWS, sizeof *reader->tails);
    reader->path_sum = malloc(AVVIK_READER_ROWS * sizeof *reader->path_sum);
    reader->forest = malloc(AVVIK_READER_ROWS * sizeof *reader->forest);
    reader->joint = malloc(AVVIK_READER_ROWS * sizeof *reader->joint);
    reader->deviation = malloc(AVVIK_READER_ROWS * sizeof *reader->deviation);
    reader->deviation_feature = malloc(AVVIK_READER_ROWS * sizeof *reader->deviation_feature);
    reader->beyond = malloc(AVVIK_READER_ROWS * sizeof *reader->beyond);
    reader->missing = malloc(AVVIK_READER_ROWS * sizeof *reader->missing);
    reader->peer_group = malloc(AVVIK_READER_ROWS * sizeof *reader->peer_group);
    reader->peer_level = malloc(AVVIK_READER_ROWS * sizeof *reader->peer_level);
    if (reader->peer_group == NULL || reader->peer_level == NULL || reader->path_sum == NULL ||
        reader->forest == NULL || reader->deviation == NULL || reader->joint == NULL ||
        reader->deviation_feature == NULL || reader->beyond == NULL || reader->missing == NULL || reader->tails == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
done:
    if (status != AVVIK_OK)
        avvik__score_reader_close(reader);
    return status;
}

enum avvik_status avvik__score_reader_ranks(const struct avvik__score_reader *reader, enum avvik_detector by,
                                            const double *weights, struct avvik_error *error)
{
    if (reader->has_tails || !(by == AVVIK_BY_TAILS || weights[AVVIK_BY_TAILS] > 0))
        return AVVIK_OK;
    return avvik__error_set(error, AVVIK_ERR_USAGE, 0,
                            "%s: has no tails to rank by; they come from a model that was fitted with --tails",
                            reader->path);
}

enum avvik_status avvik__score_reader_next(struct avvik__score_reader *reader, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    reader->next += reader->n;
    const uint64_t left = reader->n_rows - reader->next;
    reader->n = left < AVVIK_READER_ROWS ? (size_t)left : AVVIK_READER_ROWS;
    if (reader->n == 0)
        return avvik__record_verify(reader->record, error);
    void *const arrays[AVVIK_READER_COLUMNS] = {
        reader->path_sum, reader->forest, reader->deviation,  reader->deviation_feature, reader->beyond,
        reader->missing,  reader->joint,  reader->peer_group, reader->peer_level,        reader->tails};
    for (int c = 0; c < AVVIK_READER_COLUMNS; c++)
        if (reader->columns[c] != NULL)
            AVVIK_TRY(avvik__record_column_read(reader->columns[c], arrays[c], reader->n, error));
    for (size_t i = 0; i < reader->n; i++)
        if (!(reader->has_absent && isnan(reader->forest[i])) &&
            (reader->deviation_feature[i] >= reader->n_features || !(reader->deviation[i] >= 0) ||
             !(reader->joint[i] >= 0) || reader->tails[i] < 0))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                       "%s: row %llu has a deviation or a feature that cannot be; the score file was "
                       "changed or damaged",
                       reader->path, (unsigned long long)(reader->next + i));
done:
    return status;
}

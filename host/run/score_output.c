/* What stands in a score file beside the columns: where the rows came from, and by what they were scored. */
#define _GNU_SOURCE /* asprintf */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik/version.h"
#include "avvik_internal.h"
#include "score_internal.h"

/* n names of any length as one text array. */
static enum avvik_status names_put(struct avvik__record *record, const char *path, const char *const *names, size_t n,
                                   struct avvik_error *error)
{
    size_t longest = 1;
    for (size_t i = 0; i < n; i++)
        longest = strlen(names[i]) > longest ? strlen(names[i]) : longest;
    char *array = calloc(n, longest);
    if (array == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < n; i++)
        memcpy(array + i * longest, names[i], strlen(names[i]));
    const uint64_t dims[2] = {n, longest};
    const enum avvik_status status = avvik__record_put(record, path, AVVIK_TEXT, 1, dims, array, error);
    free(array);
    return status;
}

static enum avvik_status inputs_put(struct score_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_files = avvik_source_n_files(run->source), n_features = run->model->n_features;
    const char **names = calloc(n_files > n_features ? n_files : n_features, sizeof *names);
    uint64_t *offsets = calloc(n_files, sizeof *offsets);
    if (names == NULL || offsets == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < n_files; i++) {
        names[i] = avvik_source_path(run->source, i);
        offsets[i] = i == 0 ? 0 : offsets[i - 1] + avvik_source_file_rows(run->source, i - 1);
    }
    AVVIK_TRY(names_put(run->record, "/run/input", names, n_files, error));
    AVVIK_TRY(avvik__record_put(run->record, "/run/input_offset", AVVIK_U64, 1, &(uint64_t){n_files}, offsets, error));
    for (size_t f = 0; f < n_features; f++)
        names[f] = run->model->features[f].name;
    AVVIK_TRY(names_put(run->record, "/features/name", names, n_features, error));
done:
    free(names);
    free(offsets);
    return status;
}

enum avvik_status avvik__score_output_begin(struct score_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    static const char *const groups[] = {"/run", "/features", "/scores"};
    char state[AVVIK_HASH_SIZE];
    struct avvik__record *record = run->record;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        AVVIK_TRY(avvik__record_group(record, groups[i], error));
    AVVIK_TRY(inputs_put(run, error));
    AVVIK_TRY(avvik__record_put_text(record, "/run", "table", avvik_source_table(run->source), 1, error));
    AVVIK_TRY(avvik__record_put_text(record, "/run", "model_hash", run->model->content_hash, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/run", "rows", run->n_rows, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/run", "trees", run->model->forest.n_trees, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/run", "sample", run->model->forest.sample, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/run", "seed", run->model->seed, 1, error));
    AVVIK_TRY(avvik__calibration_put(&run->model->calibration, record, error));
    avvik__source_state(run->source, state);
    AVVIK_TRY(avvik__record_put_text(record, "/run", "input_state", state, 0, error));
    for (int c = 0; c < N_COLUMNS; c++)
        if (run->has_column[c])
            AVVIK_TRY(avvik__record_column_create(record, avvik__score_columns[c].path, avvik__score_columns[c].type,
                                                  run->n_rows, run->chunk_rows, (int)run->options->compress,
                                                  &run->columns[c], error));
done:
    return status;
}

/* /absent: the rows that could not be read, and why. Only there if there are any. */
static enum avvik_status absent_put(struct score_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n = run->n_absent;
    const uint64_t dims[1] = {n};
    uint64_t *numbers = calloc(2 * n + 1, sizeof *numbers);
    const char **reasons = calloc(n + 1, sizeof *reasons);
    uint16_t *features = calloc(n + 1, sizeof *features);
    if (numbers == NULL || reasons == NULL || features == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (n == 0)
        goto done;
    for (size_t i = 0; i < n; i++) {
        numbers[i] = run->absent[i].first;
        numbers[n + i] = run->absent[i].n_rows;
        features[i] = (uint16_t)run->absent[i].feature;
        reasons[i] = run->absent[i].reason;
    }
    AVVIK_TRY(avvik__record_group(run->record, "/absent", error));
    AVVIK_TRY(avvik__record_put(run->record, "/absent/first", AVVIK_U64, 1, dims, numbers, error));
    AVVIK_TRY(avvik__record_put(run->record, "/absent/rows", AVVIK_U64, 1, dims, numbers + n, error));
    AVVIK_TRY(avvik__record_put(run->record, "/absent/feature", AVVIK_U16, 1, dims, features, error));
    AVVIK_TRY(names_put(run->record, "/absent/reason", reasons, n, error));
done:
    free(numbers);
    free(reasons);
    free(features);
    return status;
}

enum avvik_status avvik__score_output_end(struct score_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char input_hash[AVVIK_HASH_SIZE];
    avvik__input_hash_text(&run->hash, input_hash);
    AVVIK_TRY(absent_put(run, error));
    AVVIK_TRY(avvik__score_outline_put(run, error));
    AVVIK_TRY(avvik__record_put_text(run->record, "/run", "input_hash", input_hash, 1, error));
    /* last, because their lengths may differ between the run that began the file and the one that ends it */
    AVVIK_TRY(avvik__record_put_text(run->record, "/run", "backend", avvik_engine_backend(run->engine), 0, error));
    AVVIK_TRY(avvik__record_put_text(run->record, "/run", "device", avvik_engine_device(run->engine), 0, error));
done:
    return status;
}

char *avvik__score_identity(const struct score_run *run)
{
    struct avvik_version version;
    char state[AVVIK_HASH_SIZE], *text = NULL;
    avvik_version_get(&version);
    avvik__source_state(run->source, state);
    const int is_made = asprintf(&text,
                                 "score by avvik %s\nmodel %s\ntable %s\ninputs %s\nrows %llu\nblock %zu\ncompress %u\n"
                                 "skip damaged %d\n",
                                 version.avvik, run->model->content_hash, avvik_source_table(run->source), state,
                                 (unsigned long long)run->n_rows, run->cut.block_rows, run->options->compress,
                                 run->options->skip_damaged) >= 0;
    return is_made ? text : NULL;
}

enum avvik_status avvik__score_is_complete(const struct score_run *run, const char *path, int *is_same_out,
                                           struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__record *record = NULL;
    const size_t length = strlen(path) + sizeof ".partial";
    char state[AVVIK_HASH_SIZE], text[1024], *partial = NULL;
    const struct {
        const char *name, *value;
    } wanted[] = {
        {"model_hash", run->model->content_hash}, {"table", avvik_source_table(run->source)}, {"input_state", state}};
    *is_same_out = 0;
    if (access(path, F_OK) != 0)
        return AVVIK_OK;
    if ((partial = malloc(length)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    snprintf(partial, length, "%s.partial", path);
    if (access(partial, F_OK) == 0) /* it was being replaced */
        goto done;
    avvik__source_state(run->source, state);
    if (avvik__record_open(path, "scores", &record, NULL) != AVVIK_OK) /* something else, to be replaced or not */
        goto done;
    *is_same_out = 1;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const int is_there =
            avvik__record_get_text(record, "/run", wanted[i].name, text, sizeof text, 0, NULL) == AVVIK_OK;
        *is_same_out = *is_same_out && is_there && strcmp(text, wanted[i].value) == 0;
    }
done:
    free(partial);
    avvik__record_close(record);
    return status;
}

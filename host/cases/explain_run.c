/* Explaining rows of score files: each is read from its batch, scored again, and taken apart. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "explain_run.h"
#include "hash_text.h"

static void file_close(struct avvik__explained_file *file)
{
    avvik__score_reader_close(&file->reader);
    avvik_source_close(file->source);
    avvik__cells_close(file->cells);
    free(file->columns);
    memset(file, 0, sizeof *file);
}

void avvik_explanations_destroy(struct avvik_explanations *explanations)
{
    for (size_t i = 0; explanations->rows != NULL && i < explanations->n_rows; i++) {
        free(explanations->rows[i].reasons);
        free(explanations->rows[i].cells);
        free(explanations->rows[i].values);
        free(explanations->rows[i].shap);
        free(explanations->rows[i].timeline);
        free(explanations->rows[i].peer_quantiles);
    }
    free(explanations->rows);
    free(explanations->night);
    avvik__strings_free(explanations->inputs, explanations->n_inputs);
    avvik__strings_free(explanations->history, explanations->n_history);
    free(explanations->input_hashes);
    free(explanations->input_rows);
    free(explanations->features);
    free(explanations->shown);
    free(explanations->keys);
    avvik__cells_close(explanations->owned);
    memset(explanations, 0, sizeof *explanations);
}

static enum avvik_status options_check(const struct avvik_explain_options *options, size_t n_scores, size_t n_picks,
                                       struct avvik_error *error)
{
    if (n_scores == 0)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "no score file is named");
    if (n_picks == 0 || n_picks > AVVIK_MAX_EXPLAINED)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "%zu rows are to be explained; 1 to %d can be at a time",
                                n_picks, AVVIK_MAX_EXPLAINED);
    if (!(options->p >= 0 && options->p < 1))
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a p-value of %g as the cut is outside 0 to 1", options->p);
    if (options->n_reasons == 0 || options->n_reasons > 65535)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "%u reasons are asked for; a case has 1 to 65535",
                                options->n_reasons);
    if (options->n_history > 0 && !options->with_scan)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "earlier batches are of use only where all rows are read");
    return AVVIK_OK;
}

/* The names of a score file's inputs join the list. */
static enum avvik_status inputs_add(struct avvik_explanations *explanations, const struct avvik__explained_file *file,
                                    const char *input_hash, struct avvik_error *error)
{
    const struct avvik__score_reader *reader = &file->reader;
    const size_t n = explanations->n_inputs + reader->n_inputs;
    void *inputs = realloc(explanations->inputs, n * sizeof *explanations->inputs);
    if (inputs != NULL)
        explanations->inputs = inputs;
    void *hashes = realloc(explanations->input_hashes, n * sizeof *explanations->input_hashes);
    if (hashes != NULL)
        explanations->input_hashes = hashes;
    void *rows = realloc(explanations->input_rows, n * sizeof *explanations->input_rows);
    if (rows != NULL)
        explanations->input_rows = rows;
    if (inputs == NULL || hashes == NULL || rows == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < reader->n_inputs; i++) {
        if ((explanations->inputs[explanations->n_inputs] = strdup(reader->inputs[i])) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        explanations->input_rows[explanations->n_inputs] = file->first_row + reader->input_offsets[i];
        memcpy(explanations->input_hashes[explanations->n_inputs++], input_hash, AVVIK_HASH_SIZE);
    }
    return AVVIK_OK;
}

/* Open the batches behind a score file, where they were or where the caller says that they are now. */
static enum avvik_status batches_open(const struct avvik__explain_run *run, struct avvik__explained_file *file,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_model *model = run->model;
    const struct avvik_explain_options *options = run->options;
    struct avvik__score_reader *reader = &file->reader;
    const char *features[UINT16_MAX], *keys[AVVIK_MAX_KEYS];
    const char *const *paths = (const char *const *)reader->inputs;
    if (options->inputs != NULL) {
        if (options->n_inputs < file->first_input + reader->n_inputs)
            AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "%s was scored from %zu batches after %zu others, and %zu are named",
                       reader->path, reader->n_inputs, file->first_input, options->n_inputs);
        paths = options->inputs + file->first_input;
    }
    for (uint32_t f = 0; f < model->n_features; f++)
        features[f] = model->features[f].name;
    for (uint32_t k = 0; k < model->peers.n_keys; k++)
        keys[k] = model->peers.keys[k];
    const struct avvik_selection selection = {reader->table, features, model->n_features, keys, model->peers.n_keys};
    status = avvik_source_open(paths, reader->n_inputs, &selection, &file->source, error);
    if (status == AVVIK_ERR_IO && options->inputs == NULL && error != NULL &&
        strlen(error->text) + 80 < sizeof error->text)
        strcat(error->text, "; if the batch has been moved, --inputs says where it is now");
    AVVIK_TRY(status);
    for (size_t i = 0; i < reader->n_inputs; i++) {
        const uint64_t end = i + 1 < reader->n_inputs ? reader->input_offsets[i + 1] : reader->n_rows;
        if (avvik_source_file_rows(file->source, i) != end - reader->input_offsets[i])
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                       "%s: has %llu rows of %s where %llu were scored; it is not the batch that %s "
                       "is of",
                       paths[i], (unsigned long long)avvik_source_file_rows(file->source, i), reader->table,
                       (unsigned long long)(end - reader->input_offsets[i]), reader->path);
    }
    AVVIK_TRY(avvik__cells_open(paths, reader->n_inputs, reader->table, &file->cells, error));
done:
    return status;
}

static enum avvik_status file_open(struct avvik__explain_run *run, struct avvik__explained_file *file, const char *path,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_explanations *explanations = run->explanations;
    struct avvik__score_reader *reader = &file->reader;
    char input_hash[AVVIK_HASH_SIZE] = "";
    AVVIK_TRY(avvik__score_reader_open(reader, path, error));
    if (strcmp(reader->model_hash, run->model->content_hash) != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: was scored by the model %s, and the one named is %s", path,
                   reader->model_hash, run->model->content_hash);
    if (reader->n_features != run->model->n_features || (run->model->peers.n_keys > 0) != reader->has_groups ||
        (run->model->tails.n_features > 0) != reader->has_tails)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: has other features than its model; it was changed or damaged", path);
    if (explanations->inputs == NULL)
        memcpy(explanations->table, reader->table, sizeof reader->table);
    else if (strcmp(explanations->table, reader->table) != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: holds scores of %s, and the files before it of %s", path, reader->table,
                   explanations->table);
    AVVIK_TRY(avvik__record_get_text(reader->record, "/run", "input_hash", input_hash, sizeof input_hash, 1, error));
    file->first_input = explanations->n_inputs;
    AVVIK_TRY(inputs_add(explanations, file, input_hash, error));
done:
    return status;
}

/* What the score file says of one row; rows come in ascending order. */
static enum avvik_status scores_read(struct avvik__explained_file *file, struct avvik_explanation *explanation,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__score_reader *reader = &file->reader;
    uint32_t group = 0;
    uint16_t level = 0, unused;
    void *const into[AVVIK_READER_COLUMNS] = {&explanation->path_sum,
                                              &explanation->forest,
                                              &explanation->deviation,
                                              &unused,
                                              &unused,
                                              &unused,
                                              &explanation->joint,
                                              &group,
                                              &level,
                                              &explanation->tails};
    for (int c = 0; c < AVVIK_READER_COLUMNS; c++) {
        if (reader->columns[c] == NULL)
            continue;
        avvik__record_column_skip(reader->columns[c], (size_t)(explanation->scores_row - file->next_row));
        AVVIK_TRY(avvik__record_column_read(reader->columns[c], into[c], 1, error));
    }
    file->next_row = explanation->scores_row + 1;
    if (isnan(explanation->forest))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: row %llu has no score, because it was damaged", reader->path,
                   (unsigned long long)explanation->pick.row);
    if (explanation->pick.path_sum != INT32_MAX && explanation->pick.path_sum != explanation->path_sum)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: row %llu has the path sum %d, and %d in the list; it is of other scores",
                   reader->path, (unsigned long long)explanation->pick.row, explanation->path_sum,
                   explanation->pick.path_sum);
    explanation->group = group;
    explanation->group_level = level;
done:
    return status;
}

/* Read one row of the batch, and score it: it must be the row that was scored. */
static enum avvik_status row_read(struct avvik__explain_run *run, struct avvik__explained_file *file,
                                  const struct avvik_explanation *explanation, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = run->model->n_features;
    AVVIK_TRY(avvik_source_read(file->source, explanation->scores_row, 1, run->read, 1, error));
    memcpy(run->row.values, run->read, n_features * sizeof *run->read);
    run->row.group = run->model->peers.n_keys == 0 ? 0 : avvik_model_group_of(run->model, run->read + n_features, 1);
    avvik__explained_row_fill(run->explainer, &run->row);
    const struct avvik__row_scores scores = avvik__explained_row_score(run->explainer, &run->row);
    if (scores.path_sum != explanation->path_sum || memcmp(&scores.deviation, &explanation->deviation, 4) != 0 ||
        memcmp(&scores.joint, &explanation->joint, 4) != 0 || scores.tails != explanation->tails ||
        run->row.group != explanation->group)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                   "%s: row %llu does not score what %s has for it (path sum %d, not %d); the batch was changed since, "
                   "or is another one",
                   avvik_source_path(file->source, explanation->input - file->first_input),
                   (unsigned long long)explanation->input_row, file->reader.path, scores.path_sum,
                   explanation->path_sum);
done:
    return status;
}

/* Everything of a row that lies in files: its scores, its values, what is shown of it. */
static enum avvik_status row_take(struct avvik__explain_run *run, struct avvik__explained_file *file,
                                  struct avvik_explanation *explanation, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__surprise *surprise = &run->surprise;
    uint32_t stratum;
    const size_t n_features = run->model->n_features, n_shown = run->explanations->n_shown;
    explanation->reasons = calloc(n_features, sizeof *explanation->reasons);
    explanation->cells = calloc(n_shown + 1, sizeof *explanation->cells);
    explanation->values = calloc(n_features, sizeof *explanation->values);
    if (explanation->reasons == NULL || explanation->cells == NULL || explanation->values == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t f = 0; f < n_features; f++)
        explanation->reasons[f].feature = f;
    explanation->scores_row = explanation->pick.row - file->first_row;
    size_t input = 0;
    while (input + 1 < file->reader.n_inputs && file->reader.input_offsets[input + 1] <= explanation->scores_row)
        input++;
    explanation->input = file->first_input + input;
    explanation->input_row = explanation->scores_row - file->reader.input_offsets[input];
    AVVIK_TRY(scores_read(file, explanation, error));
    AVVIK_TRY(row_read(run, file, explanation, error));
    memcpy(explanation->values, run->row.values, n_features * sizeof(float));
    const struct avvik__row_scores scores = {explanation->path_sum, explanation->deviation, explanation->joint,
                                             explanation->tails};
    stratum = avvik__surprise_stratum(surprise, explanation->group);
    explanation->p_group = avvik__surprise_group(surprise, stratum);
    explanation->p_rows = surprise->n_in[stratum];
    for (int d = 0; d < AVVIK_N_DETECTORS; d++) {
        const double of_row = avvik__surprise_of(surprise, (enum avvik_detector)d, &scores);
        explanation->p[d] = avvik__surprise_p(surprise, (enum avvik_detector)d, stratum, of_row);
    }
    explanation->combined = avvik__surprise_of(surprise, AVVIK_BY_COMBINED, &scores);
    AVVIK_TRY(avvik__explain_cells(run, file, explanation, error));
done:
    return status;
}

static int pick_compare(const void *a, const void *b)
{
    const struct avvik_explanation *const *x = a, *const *y = b;
    return ((*x)->pick.row > (*y)->pick.row) - ((*x)->pick.row < (*y)->pick.row);
}

/* All picks that lie in one score file. sorted: those that are left, ascending; *n_done of them are done here. */
static enum avvik_status file_explain(struct avvik__explain_run *run, struct avvik__explained_file *file,
                                      struct avvik_explanation **sorted, size_t n, size_t *n_done,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t end = file->first_row + file->reader.n_rows;
    *n_done = 0;
    if (n == 0 || (*sorted)->pick.row >= end)
        return AVVIK_OK;
    AVVIK_TRY(batches_open(run, file, error));
    AVVIK_TRY(avvik__explain_columns(run, file, error));
    for (size_t i = 0; i < n && sorted[i]->pick.row < end; i++) {
        if (avvik__is_stopped(run->options->stop))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        if (i > 0 && sorted[i]->pick.row == sorted[i - 1]->pick.row)
            AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "row %llu is named twice", (unsigned long long)sorted[i]->pick.row);
        AVVIK_TRY(row_take(run, file, sorted[i], error));
        ++*n_done;
    }
    if (run->explanations->owned == NULL) { /* it has the names of the columns */
        run->explanations->owned = file->cells;
        file->cells = NULL;
    }
done:
    return status;
}

static enum avvik_status files_explain(struct avvik__explain_run *run, const char *const *scores, size_t n_scores,
                                       struct avvik_explanation **sorted, size_t n, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__explained_file file = {0};
    XXH3_state_t *hashes = XXH3_createState();
    uint64_t first_row = 0;
    if (hashes == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    XXH3_128bits_reset(hashes);
    for (size_t i = 0; i < n_scores; i++) {
        size_t n_done = 0;
        file.first_row = first_row;
        AVVIK_TRY(file_open(run, &file, scores[i], error));
        AVVIK_TRY(file_explain(run, &file, sorted, n, &n_done, error));
        sorted += n_done;
        n -= n_done;
        first_row += file.reader.n_rows;
        XXH3_128bits_update(hashes, file.reader.content_hash, strlen(file.reader.content_hash));
        if (n_scores == 1)
            memcpy(run->explanations->scores_hash, file.reader.content_hash, AVVIK_HASH_SIZE);
        file_close(&file);
    }
    if (n_scores > 1)
        avvik__hash_text(XXH3_128bits_digest(hashes), run->explanations->scores_hash);
    if (n > 0)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "row %llu is outside %s, which has %llu rows",
                   (unsigned long long)(*sorted)->pick.row, n_scores == 1 ? scores[0] : "the score files",
                   (unsigned long long)first_row);
done:
    file_close(&file);
    XXH3_freeState(hashes);
    return status;
}

/* From which score on rows of each row's group are not ordinary: what the last pick that has a rank is worth among
 * them, or the smallest whose p-value is at most options->p. */
static void cuts_find(struct avvik__explain_run *run)
{
    struct avvik_explanations *explanations = run->explanations;
    const struct avvik__surprise *surprise = &run->surprise;
    const enum avvik_detector by = run->options->by;
    double least = INFINITY;
    for (size_t i = 0; i < explanations->n_rows; i++) {
        const struct avvik_explanation *one = &explanations->rows[i];
        const uint32_t stratum = avvik__surprise_stratum(surprise, one->group);
        const double of_row = avvik__surprise_of(
            surprise, by, &(struct avvik__row_scores){one->path_sum, one->deviation, one->joint, one->tails});
        if (one->pick.rank > 0)
            least = fmin(least, avvik__surprise_order(surprise, by, stratum, of_row));
    }
    for (size_t i = 0; i < explanations->n_rows; i++) {
        struct avvik_explanation *one = &explanations->rows[i];
        const uint32_t stratum = avvik__surprise_stratum(surprise, one->group), n = surprise->n_in[stratum];
        const uint32_t most = (uint32_t)(run->options->p * (n + 1.0)); /* rank that p allows */
        if (run->options->p > 0 && most >= 1 && most <= n) {
            one->has_cut = 1;
            /* above the most-th largest of the held-out rows, itself not: rank <= most */
            one->cut = nextafter(surprise->held_out[by][surprise->first[stratum] + n - most], INFINITY);
        } else if (run->options->p == 0 && isfinite(least)) {
            one->has_cut = 1;
            one->cut = avvik__surprise_of_order(surprise, by, stratum, least);
        }
        if (one->has_cut)
            one->cut_p = avvik__surprise_p(surprise, by, stratum, one->cut);
    }
}

static enum avvik_status run_begin(struct avvik__explain_run *run, const struct avvik_pick *picks, size_t n_picks,
                                   struct avvik_explanation ***sorted_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_explanations *explanations = run->explanations;
    AVVIK_TRY(avvik__explainer_open(run->model, &run->explainer, error));
    AVVIK_TRY(avvik__surprise_init(&run->surprise, &run->model->calibration, run->options->weights, run->options->p_by,
                                   "the model", error));
    const size_t stride = run->explainer->memory.plan.stride;
    run->row.values = avvik__aligned_calloc(stride, sizeof(float));
    run->row.tile = avvik__aligned_calloc(stride, sizeof(float));
    run->read = calloc(run->model->n_features + run->model->peers.n_keys, sizeof(float));
    explanations->rows = calloc(n_picks, sizeof *explanations->rows);
    struct avvik_explanation **sorted = *sorted_out = calloc(n_picks, sizeof *sorted);
    if (run->row.values == NULL || run->row.tile == NULL || run->read == NULL || explanations->rows == NULL ||
        sorted == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (run->options->night != NULL && (explanations->night = strdup(run->options->night)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    explanations->history = calloc(run->options->n_history + 1, sizeof *explanations->history);
    for (size_t i = 0; i < run->options->n_history && explanations->history != NULL; i++)
        if ((explanations->history[explanations->n_history++] = strdup(run->options->history[i])) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    explanations->n_rows = n_picks;
    for (size_t i = 0; i < n_picks; i++) {
        explanations->rows[i].pick = picks[i];
        sorted[i] = &explanations->rows[i];
    }
    qsort(sorted, n_picks, sizeof *sorted, pick_compare);
    explanations->model = run->model;
    explanations->by = run->options->by;
    explanations->language = run->options->language;
    explanations->n_reasons = run->options->n_reasons;
    explanations->n_calibration = run->surprise.n;
    explanations->n_p_groups = run->surprise.n_strata;
    explanations->expected_steps = run->explainer->expected;
done:
    return status;
}

enum avvik_status avvik_explain(const struct avvik_model *model, const char *const *scores, size_t n_scores,
                                const struct avvik_pick *picks, size_t n_picks,
                                const struct avvik_explain_options *options,
                                struct avvik_explanations *explanations_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_explanations explanations = {0};
    struct avvik__explain_run run = {.model = model, .options = options, .explanations = &explanations};
    struct avvik_explanation **sorted = NULL;
    AVVIK_TRY(options_check(options, n_scores, n_picks, error));
    AVVIK_TRY(run_begin(&run, picks, n_picks, &sorted, error));
    AVVIK_TRY(files_explain(&run, scores, n_scores, sorted, n_picks, error));
    cuts_find(&run);
    AVVIK_TRY(avvik__explain_rows(&run, error));
    if (options->with_scan)
        AVVIK_TRY(avvik__explain_scan(&run, error));
    *explanations_out = explanations;
    explanations = (struct avvik_explanations){0};
done:
    avvik_explanations_destroy(&explanations);
    avvik__surprise_destroy(&run.surprise);
    avvik_explainer_close(run.explainer);
    free(run.row.values);
    free(run.row.tile);
    free(run.read);
    free(sorted);
    return status;
}

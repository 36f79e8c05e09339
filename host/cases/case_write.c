/* Case documents: README.md, "Case documents", has every member. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "json_text.h"
#include "model_internal.h"
#include "value_text.h"

#define TEXT_SIZE 512

static json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* Whole numbers that a double has exactly are numbers, others texts. */
static json_t *cell_json(const struct avvik_cell *cell)
{
    const int64_t most = (int64_t)1 << 53;
    char digits[32];
    switch (cell->kind) {
    case AVVIK_CELL_SIGNED:
        if (cell->value.as_signed >= -most && cell->value.as_signed <= most)
            return json_integer(cell->value.as_signed);
        snprintf(digits, sizeof digits, "%lld", (long long)cell->value.as_signed);
        return json_string(digits);
    case AVVIK_CELL_UNSIGNED:
        if (cell->value.as_unsigned <= (uint64_t)most)
            return json_integer((json_int_t)cell->value.as_unsigned);
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)cell->value.as_unsigned);
        return json_string(digits);
    case AVVIK_CELL_REAL: return number_json(cell->value.as_real);
    default: return json_null();
    }
}

static json_t *text_json(const struct avvik_explained_column *column, const struct avvik_cell *cell,
                         enum avvik_language language)
{
    char text[TEXT_SIZE];
    if (column->name == NULL || cell->kind == AVVIK_CELL_MISSING)
        return json_null();
    avvik_value_text(column, cell, language, text, sizeof text);
    return avvik__json_text(text);
}

static json_t *units_json(const struct avvik_explained_column *column)
{
    return column->units[0] == '\0' ? json_null() : avvik__json_text(column->units);
}

static json_t *label_json(const struct avvik_explanations *all, const struct avvik_explained_column *column)
{
    char label[TEXT_SIZE];
    avvik_column_label(all->table, column->name, all->language, label, sizeof label);
    return avvik__json_text(label);
}

static json_t *number_text_json(const struct avvik_explanations *all, const struct avvik_explained_column *column,
                                double value, int is_short)
{
    char text[TEXT_SIZE];
    avvik__number_text(column, value, all->language, is_short, text, sizeof text);
    return avvik__json_text(text);
}

/* A column and its value in this row, under the name `member` ("name", "feature"). */
static json_t *value_json(const struct avvik_explanations *all, const struct avvik_explained_column *column,
                          const struct avvik_cell *cell, const char *member)
{
    char text[TEXT_SIZE];
    avvik_value_text(column, cell, all->language, text, sizeof text);
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", member, avvik__json_text(column->name), "label",
                     label_json(all, column), "units", units_json(column), "value", cell_json(cell), "text",
                     avvik__json_text(text));
}

static json_t *reason_json(const struct avvik_explanations *all, const struct avvik_explanation *one, size_t place)
{
    const struct avvik_reason *reason = &one->reasons[place];
    const struct avvik_explained_column *column = &all->features[reason->feature];
    const struct avvik__forest *forest = &all->model->forest;
    struct avvik_group_summary group;
    avvik_model_group(all->model, one->group, &group);
    json_t *json = value_json(all, column, &reason->cell, "feature");
    const int is_missing = reason->cell.kind == AVVIK_CELL_MISSING;
    const double number = avvik__cell_number(&reason->cell);
    json_t *more =
        json_pack("{s:i, s:f, s:f, s:I, s:o, s:f, s:f, s:f, s:o, s:o, s:s, s:I, s:s}", "place", (int)place + 1, "share",
                  reason->share, "contribution", (double)reason->contribution / (1 << 20) / forest->n_trees,
                  "contribution_steps", (json_int_t)reason->contribution, "joint",
                  all->model->joint.n_features > 0 ? json_real(reason->joint) : json_null(), "bits", reason->bits,
                  "robust_z", (double)reason->z, "peer_median", (double)reason->center, "peer_median_text",
                  number_text_json(all, column, (double)reason->center, 0), "percentile",
                  number_json(reason->percentile), "percentile_among",
                  reason->percentile_rows > 0 ? "peers" : "reference", "peers", (json_int_t)group.rows, "direction",
                  is_missing || (float)number == reason->center ? "equal"
                  : number > (double)reason->center             ? "above"
                                                                : "below");
    json_object_update(json, more);
    json_decref(more);
    if (all->model->tails.n_features > 0) {
        json_object_set_new(json, "tails", json_real((double)reason->tails / AVVIK_TAIL_ONE));
        json_object_set_new(json, "tail_rows",
                            reason->tail_of == 0 ? json_null() : json_integer((json_int_t)reason->tail_rows));
        json_object_set_new(json, "tail_of",
                            reason->tail_of == 0 ? json_null() : json_integer((json_int_t)reason->tail_of));
    }
    return json;
}

static json_t *changes_json(const struct avvik_explanations *all, const struct avvik_change *changes, size_t n)
{
    if (n == 0)
        return json_null();
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct avvik_explained_column *column = &all->features[changes[i].feature];
        json_array_append_new(
            array, json_pack("{s:o, s:o, s:o, s:f, s:o, s:s, s:f}", "feature", avvik__json_text(column->name), "label",
                             label_json(all, column), "units", units_json(column), "value", (double)changes[i].value,
                             "text", number_text_json(all, column, avvik__change_number(column, &changes[i]), 1),
                             "direction", changes[i].is_from ? "from" : "below", "size", changes[i].size));
    }
    return array;
}

static json_t *words_json(const struct avvik_explanations *all, size_t row)
{
    json_t *words = json_object();
    char sentences[AVVIK_SENTENCES][AVVIK_SENTENCE_SIZE];
    for (int language = 0; language < AVVIK_N_LANGUAGES; language++) {
        json_t *array = json_array();
        avvik_explanation_words(all, row, (enum avvik_language)language, sentences);
        for (int i = 0; i < AVVIK_SENTENCES; i++)
            json_array_append_new(array, avvik__json_text(sentences[i]));
        json_object_set_new(words, avvik_language_code((enum avvik_language)language), array);
    }
    return words;
}

/* Where the value lies: among the rows of its group in the inputs if they were read, else among the reference rows, by
 * straight lines between the model's 41 quantiles. */
static json_t *plot_json(const struct avvik_explanations *all, const struct avvik_explanation *one)
{
    const struct avvik_reason *reason = &one->reasons[0];
    const struct avvik__feature *feature = &all->model->features[reason->feature];
    const uint32_t rows = feature->quantile_rows[AVVIK_QUANTILES - 1];
    const int is_of_peers = one->peer_quantiles != NULL;
    if ((rows == 0 && !is_of_peers) || all->features[reason->feature].n_codes > 0)
        return json_null();
    json_t *quantiles = json_array();
    for (int i = 0; i < AVVIK_PLOT_POINTS; i++) {
        const double place = (double)i * (AVVIK_QUANTILES - 1) / (AVVIK_PLOT_POINTS - 1);
        const int before = (int)place, after = before + 1 < AVVIK_QUANTILES ? before + 1 : before;
        const double low = (double)feature->quantiles[before], high = (double)feature->quantiles[after];
        json_array_append_new(
            quantiles, json_real(is_of_peers ? (double)one->peer_quantiles[i] : low + (place - before) * (high - low)));
    }
    json_t *json = value_json(all, &all->features[reason->feature], &reason->cell, "feature");
    json_object_set_new(json, "among", json_string(is_of_peers ? "peers" : "reference"));
    json_object_set_new(json, "rows", json_integer((json_int_t)(is_of_peers ? one->peer_rows : rows)));
    json_object_set_new(json, "quantiles", quantiles);
    return json;
}

/* Whom the row is compared with. */
static json_t *group_json(const struct avvik_explanations *all, const struct avvik_explanation *one)
{
    json_t *keys = json_array();
    char name[TEXT_SIZE] = "";
    struct avvik_group_summary group, at;
    uint32_t number = one->group;
    avvik_model_group(all->model, one->group, &group);
    for (at = group; at.level > 0; number = at.parent, avvik_model_group(all->model, number, &at)) {
        const struct avvik_explained_column *column = &all->keys[at.level - 1];
        const struct avvik_cell cell = {AVVIK_CELL_SIGNED, {.as_signed = at.code}};
        json_array_insert_new(keys, 0,
                              json_pack("{s:o, s:o, s:i, s:o}", "column", avvik__json_text(column->name), "label",
                                        label_json(all, column), "code", (int)at.code, "text",
                                        text_json(column, &cell, all->language)));
    }
    for (size_t k = 0; k < json_array_size(keys); k++) {
        const json_t *key = json_array_get(keys, k);
        const size_t n = strlen(name);
        snprintf(name + n, sizeof name - n, "%s%s %s", k == 0 ? "" : ", ",
                 json_string_value(json_object_get(key, "label")), json_string_value(json_object_get(key, "text")));
    }
    return json_pack("{s:I, s:o, s:I, s:i, s:o}", "number", (json_int_t)one->group, "name", avvik__json_text(name),
                     "rows", (json_int_t)group.rows, "depth", (int)group.level, "keys", keys);
}

static json_t *key_json(const struct avvik_explanations *all, const struct avvik_explanation *one)
{
    char key[1200], id[64];
    const char *table = all->table + (all->table[0] == '/' ? 1 : 0);
    if (all->id.name != NULL && one->id.kind != AVVIK_CELL_MISSING) {
        const struct avvik_explained_column plain = {.name = all->id.name, .units = "", .is_identity = 1};
        avvik_value_text(&plain, &one->id, AVVIK_ENGLISH, id, sizeof id);
        snprintf(key, sizeof key, "%s/%s", table, id);
    } else
        snprintf(key, sizeof key, "%s/%s/%llu", table, all->input_hashes[one->input],
                 (unsigned long long)one->scores_row);
    return avvik__json_text(key);
}

static json_t *detectors_json(const struct avvik_explanations *all, const struct avvik_explanation *one, int is_p)
{
    const double scores[AVVIK_N_DETECTORS] = {(double)one->forest, (double)one->deviation, (double)one->joint,
                                              (double)one->tails / AVVIK_TAIL_ONE, one->combined};
    json_t *json = json_object();
    for (int d = 0; d < AVVIK_N_DETECTORS; d++)
        if (d != AVVIK_BY_TAILS || all->model->tails.n_features > 0)
            json_object_set_new(json, avvik_detector_name((enum avvik_detector)d),
                                number_json(is_p ? one->p[d] : scores[d]));
    return json;
}

static json_t *cut_json(const struct avvik_explanations *all, const struct avvik_explanation *one)
{
    if (!one->has_cut)
        return json_null();
    const double score = all->by == AVVIK_BY_FOREST
                             ? (double)avvik_forest_score(all->model, (int32_t)fmax(0, ceil(-one->cut)))
                         : all->by == AVVIK_BY_TAILS ? one->cut / AVVIK_TAIL_ONE
                                                     : one->cut;
    return json_pack("{s:f, s:f}", "score", score, "p", one->cut_p);
}

/* The forest's contributions whole, by feature, so that anybody can add them up. */
static json_t *forest_json(const struct avvik_explanations *all, const struct avvik_explanation *one)
{
    json_t *array = json_array();
    for (size_t f = 0; f < all->n_features; f++)
        json_array_append_new(array, json_integer(0));
    for (size_t i = 0; i < all->n_features; i++)
        json_array_set_new(array, one->reasons[i].feature, json_integer((json_int_t)one->reasons[i].contribution));
    return json_pack("{s:i, s:I, s:o}", "path_sum", (int)one->path_sum, "expected_steps",
                     (json_int_t)all->expected_steps, "contributions", array);
}

/* The rows of the same person or business. */
static json_t *timeline_json(const struct avvik_explanations *all, const struct avvik_explanation *one)
{
    const struct avvik_explained_column *column = &all->features[one->reasons[0].feature];
    if (one->n_timeline == 0)
        return json_null();
    json_t *array = json_array();
    for (size_t i = 0; i < one->n_timeline; i++) {
        const struct avvik_moment *moment = &one->timeline[i];
        const int is_case = !moment->is_earlier && moment->row == one->pick.row;
        json_array_append_new(
            array,
            json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:b}", "time",
                      text_json(&all->time, &moment->time, all->language), "value", cell_json(&moment->value), "text",
                      text_json(column, &moment->value, all->language), "input",
                      avvik__json_text(moment->is_earlier ? all->history[moment->input] : all->inputs[moment->input]),
                      "row", moment->is_earlier ? json_null() : json_integer((json_int_t)moment->row), "input_row",
                      (json_int_t)moment->input_row, "is_case", is_case));
    }
    return array;
}

/* Shapley values of path lengths. */
static json_t *shap_json(const struct avvik_explanations *all, const struct avvik_explanation *one)
{
    const double sum = (double)one->path_sum / AVVIK_LEAF_ONE / all->model->forest.n_trees;
    json_t *values = json_array();
    for (size_t f = 0; f < all->n_features; f++)
        json_array_append_new(
            values, json_pack("{s:o, s:f}", "feature", avvik__json_text(all->features[f].name), "value", one->shap[f]));
    return json_pack("{s:f, s:f, s:o}", "expected", one->shap_expected, "sum", sum, "values", values);
}

static json_t *case_json(const struct avvik_explanations *all, size_t row)
{
    const struct avvik_explanation *one = &all->rows[row];
    const char *selected_by = one->pick.is_random   ? "random"
                              : one->pick.rank == 0 ? "row"
                                                    : avvik_detector_name(all->by);
    json_t *fields = json_array(), *reasons = json_array();
    for (size_t s = 0; s < all->n_shown; s++)
        json_array_append_new(fields, value_json(all, &all->shown[s], &one->cells[s], "name"));
    for (size_t i = 0; i < all->n_features && i < all->n_reasons && (i == 0 || one->reasons[i].share > 0); i++)
        json_array_append_new(reasons, reason_json(all, one, i));
    json_t *json =
        json_pack("{s:i, s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:s, s:s}", "avvik_case", 1, "key", key_json(all, one),
                  "night", all->night == NULL ? json_null() : avvik__json_text(all->night), "input",
                  avvik__json_text(all->inputs[one->input]), "table", avvik__json_text(all->table), "row",
                  (json_int_t)one->pick.row, "input_row", (json_int_t)one->input_row, "model", all->model->content_hash,
                  "scores_file", all->scores_hash, "language", avvik_language_code(all->language));
    json_t *more = json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:{s:b, "
                             "s:o, s:o}, s:o, s:o, s:o, s:o}",
                             "rank", one->pick.rank == 0 ? json_null() : json_integer((json_int_t)one->pick.rank),
                             "selected_by", selected_by, "by", avvik_detector_name(all->by), "p",
                             all->n_calibration == 0 ? json_null() : json_real(one->p[all->by]), "p_values",
                             detectors_json(all, one, 1), "scores", detectors_json(all, one, 0), "cut",
                             cut_json(all, one), "time", text_json(&all->time, &one->time, all->language), "office",
                             text_json(&all->office, &one->office, all->language), "entity",
                             text_json(&all->entity, &one->entity, all->language), "entity_column",
                             all->entity.name == NULL ? json_null() : avvik__json_text(all->entity.name), "fields",
                             fields, "reasons", reasons, "peer_group", group_json(all, one), "p_group",
                             (json_int_t)one->p_group, "p_rows", (json_int_t)one->p_rows, "counterfactual",
                             "is_ordinary", one->is_ordinary, "one", changes_json(all, one->one, one->n_one), "two",
                             changes_json(all, one->two, one->n_two), "words", words_json(all, row), "peer_plot",
                             plot_json(all, one), "timeline", timeline_json(all, one), "forest", forest_json(all, one));
    json_object_update(json, more);
    json_decref(more);
    if (one->shap != NULL)
        json_object_set_new(json, "shap", shap_json(all, one));
    return json;
}

enum avvik_status avvik_explanations_write(const struct avvik_explanations *explanations, int is_lines, FILE *stream,
                                           struct avvik_error *error)
{
    for (size_t i = 0; i < explanations->n_rows; i++) {
        json_t *document = case_json(explanations, i);
        if (document == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        fputs(is_lines ? "" : i == 0 ? "[\n" : ",\n", stream);
        json_dumpf(document, stream, is_lines ? JSON_COMPACT : JSON_INDENT(2));
        fputs(is_lines ? "\n" : i + 1 == explanations->n_rows ? "\n]\n" : "", stream);
        json_decref(document);
    }
    return ferror(stream)
               ? avvik__error_set(error, AVVIK_ERR_IO, errno, "the cases cannot be written: %s", strerror(errno))
               : AVVIK_OK;
}

enum avvik_status avvik_explanations_save(const struct avvik_explanations *explanations, const char *path, int replace,
                                          struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    FILE *stream = NULL;
    const size_t length = strlen(path) + sizeof ".partial";
    char *partial = malloc(length);
    if (partial == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    snprintf(partial, length, "%s.partial", path);
    if (!replace && access(path, F_OK) == 0)
        AVVIK_FAIL(AVVIK_ERR_EXISTS, 0, "%s is there already; --force replaces it", path);
    if ((stream = fopen(partial, "wbe")) == NULL)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be written: %s", partial, strerror(errno));
    status = avvik_explanations_write(explanations, 1, stream, error);
    if (status == AVVIK_OK && (fflush(stream) != 0 || fsync(fileno(stream)) != 0))
        status = avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be written: %s", partial, strerror(errno));
    if (fclose(stream) != 0 && status == AVVIK_OK)
        status = avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be written: %s", partial, strerror(errno));
    if (status == AVVIK_OK && rename(partial, path) != 0)
        status = avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be renamed: %s", partial, strerror(errno));
    if (status == AVVIK_OK)
        avvik__directory_sync(path);
    else
        unlink(partial);
done:
    free(partial);
    return status;
}

/* Checking the inputs of a night, before anything is learnt from them or said about them. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "avvik_internal.h"
#include "night_steps.h"
#include "night_text.h"

struct report_fill {
    const struct avvik_check_report *report;
};

static enum avvik_status report_fill(FILE *stream, void *context, struct avvik_error *error)
{
    return avvik_check_report_write(((struct report_fill *)context)->report, AVVIK_REPORT_JSON, stream, error);
}

static void limits_hash(XXH3_state_t *state, const struct avvik_check_limit *limits)
{
    char text[64];
    for (int i = 0; i < AVVIK_N_LIMITS; i++) {
        const int length = snprintf(text, sizeof text, "%a %d|", limits[i].most, limits[i].is_gate);
        XXH3_128bits_update(state, text, (size_t)length);
    }
}

/* The rules as a hash: a report holds as long as they are the same. */
static enum avvik_status rules_hash(const struct avvik_check_rules *rules, char hash[AVVIK_HASH_SIZE],
                                    struct avvik_error *error)
{
    char text[512];
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    XXH3_128bits_reset(state);
    int length = snprintf(text, sizeof text, "%s|%d|%d|%llu|%llu|", rules->id, rules->period.from, rules->period.to,
                          (unsigned long long)rules->min_rows, (unsigned long long)rules->max_rows);
    XXH3_128bits_update(state, text, (size_t)length);
    limits_hash(state, rules->limits);
    for (size_t i = 0; i < rules->n_columns; i++) {
        const struct avvik_check_column_rules *column = &rules->columns[i];
        length = snprintf(text, sizeof text, "%s|%d|%d|%d|%a|%a|", column->name, column->has_period,
                          column->period.from, column->period.to, column->min, column->max);
        XXH3_128bits_update(state, text, (size_t)length);
        limits_hash(state, column->limits);
    }
    avvik__hash_text(XXH3_128bits_digest(state), hash);
    XXH3_freeState(state);
    return AVVIK_OK;
}

/* What the batches are compared with: the night's own copy, or before a fit the model it will take the place of, if
 * there is one. */
static enum avvik_status trained_load(const struct avvik__night *night, struct avvik_model **model_out,
                                      struct avvik_error *error)
{
    if (!night->is_fit_due)
        return avvik__night_model(night, model_out, error);
    if (!json_is_true(json_object_get(json_object_get(night->manifest, "model"), "has_before")))
        return AVVIK_OK;
    char *path = avvik__night_path(night, "before.h5");
    if (path == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    const enum avvik_status status = avvik_model_load(path, model_out, error);
    free(path);
    return status;
}

static enum avvik_status batch_check(struct avvik__night *night, size_t i, const struct avvik_model *model,
                                     json_t *unit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__night_input *input = &night->inputs[i];
    struct avvik_check_report *report = NULL;
    struct avvik__step_progress progress = {night, "check"};
    const struct avvik_check_options options = {.table = night->config->table,
                                                .model = model,
                                                .rules = &night->config->rules,
                                                .threads = night->config->threads,
                                                .stop = night->options->stop,
                                                .progress = avvik__step_progress_show,
                                                .user = &progress};
    const char *const outputs[] = {input->report};
    char *path = avvik__night_path(night, input->report);
    if (path == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik_check(&input->path, 1, &options, &report, error));
    struct report_fill context = {report};
    AVVIK_TRY(avvik__file_replace(path, report_fill, &context, error));
    json_t *facts =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "rows", (json_int_t)report->n_rows, "note",
                  (json_int_t)report->n_of[AVVIK_NOTE], "warning", (json_int_t)report->n_of[AVVIK_WARNING], "breach",
                  (json_int_t)report->n_of[AVVIK_BREACH], "refused", (json_int_t)report->n_of[AVVIK_REFUSED], "worst",
                  avvik__json_text(report->n_findings == 0 ? "" : report->findings[0].text));
    status = avvik__unit_end(night, unit, outputs, 1, facts, error);
done:
    avvik_check_report_free(report);
    free(path);
    return status;
}

/* What a finished check means for the night. The worst finding stands first in a report, so that its text tells what
 * was refused, or else which gate was breached. */
static enum avvik_status verdict_take(struct avvik__night *night, size_t i, const json_t *unit, size_t *n_breached,
                                      struct avvik_error *error)
{
    const char *worst = avvik__unit_text(json_object_get(unit, "facts"), "worst");
    const struct avvik__night_input *input = &night->inputs[i];
    char rows[AVVIK_COUNT_SIZE];
    const json_int_t warnings = avvik__unit_fact(unit, "warning"), breaches = avvik__unit_fact(unit, "breach");
    if (avvik__unit_fact(unit, "refused") > 0) {
        struct avvik_error reason;
        avvik__error_set(&reason, AVVIK_ERR_FORMAT, 0, "%.300s: %.600s", input->path, worst);
        return avvik__input_fail(night, i, NULL, 1, &reason, error); /* the report tells more */
    }
    if (breaches > 0) {
        ++*n_breached;
        avvik__night_tell(night, 1, "%s: %lld gate%s breached: %s", input->path, (long long)breaches,
                          breaches == 1 ? " was" : "s were", worst);
        return AVVIK_OK;
    }
    avvik__night_tell(night, 0, "checked %s: %s rows, %lld warning%s", input->path,
                      avvik__count((uint64_t)avvik__unit_fact(unit, "rows"), rows), (long long)warnings,
                      warnings == 1 ? "" : "s");
    return AVVIK_OK;
}

enum avvik_status avvik__step_check(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_model *model = NULL;
    struct avvik_model_summary summary = {.content_hash = "none"};
    char rules[AVVIK_HASH_SIZE], *folder = avvik__night_path(night, "check");
    size_t n_breached = 0;
    if (folder == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__directory_make(folder, error));
    AVVIK_TRY(rules_hash(&night->config->rules, rules, error));
    AVVIK_TRY(trained_load(night, &model, error));
    if (model != NULL)
        avvik_model_summarize(model, &summary);
    for (size_t i = 0; i < night->files.n; i++) {
        const struct avvik__night_input *input = &night->inputs[i];
        json_t *unit = avvik__unit(night, "check", input->path);
        char key[AVVIK_HASH_SIZE];
        if (input->is_bad)
            continue;
        avvik__unit_key(key, "check|%s|%s|%s|%s", input->hash, rules, summary.content_hash,
                        night->config->table == NULL ? "" : night->config->table);
        if (!avvik__unit_is_done(night, unit, key)) {
            struct avvik_error reason;
            AVVIK_TRY(avvik__unit_begin(night, unit, key, error));
            const enum avvik_status outcome = batch_check(night, i, model, unit, &reason);
            if (avvik__is_fatal(outcome)) {
                status = avvik__error_set(error, outcome, reason.foreign_code, "%s", reason.text);
                goto done;
            }
            if (outcome != AVVIK_OK) {
                AVVIK_TRY(avvik__input_fail(night, i, unit, 0, &reason, error));
                continue;
            }
        }
        AVVIK_TRY(verdict_take(night, i, unit, &n_breached, error));
    }
    if (n_breached > 0)
        AVVIK_FAIL(AVVIK_GATE, 0,
                   "gates were breached by %zu of %zu inputs; nothing was fitted, scored or flagged; the reports are "
                   "in %s",
                   n_breached, night->files.n, folder);
done:
    avvik_model_free(model);
    free(folder);
    return status;
}

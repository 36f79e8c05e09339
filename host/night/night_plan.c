/* What a night would do: the dry run. Reads, and writes nothing. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "night_lock.h"
#include "night_retention.h"
#include "night_steps.h"
#include "night_text.h"

static json_t *text_or_null(const char *text)
{
    return text == NULL ? json_null() : avvik__json_text(text);
}

static json_t *files_of(const struct avvik__file_list *files)
{
    json_t *list = json_array();
    for (size_t i = 0; i < files->n; i++) {
        struct stat info;
        const int is_there = !files->entries[i].is_missing && stat(files->entries[i].path, &info) == 0;
        json_array_append_new(list, json_pack("{s:o, s:b, s:I}", "path", avvik__json_text(files->entries[i].path),
                                              "is_there", is_there, "bytes", is_there ? (json_int_t)info.st_size : 0));
    }
    return list;
}

/* Status of every unit as the manifest has it; outputs are not read. */
static json_t *steps_of(const struct avvik__night *night)
{
    json_t *list = json_array(), *unit;
    size_t i;
    json_array_foreach(json_object_get(night->manifest, "steps"), i, unit)
    {
        const char *input = avvik__unit_text(unit, "input");
        json_array_append_new(list, json_pack("{s:s, s:o, s:s}", "step", avvik__unit_text(unit, "step"), "input",
                                              input[0] == '\0' ? json_null() : avvik__json_text(input), "status",
                                              avvik__unit_text(unit, "status")));
    }
    return list;
}

static json_t *outputs_of(const struct avvik__night *night)
{
    json_t *list = json_array();
    static const char *const always[] = {"manifest.json", "model.h5", "flags.csv", "flags.json"};
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        json_array_append_new(list, json_string(always[i]));
    for (size_t i = 0; night->config->has_explain && i < 2; i++)
        json_array_append_new(list, json_string(i == 0 ? "cases.jsonl" : "report.html"));
    for (size_t i = 0; i < night->files.n; i++) {
        if (night->inputs[i].scores == NULL)
            continue;
        json_array_append_new(list, avvik__json_text(night->inputs[i].report));
        json_array_append_new(list, avvik__json_text(night->inputs[i].scores));
    }
    return list;
}

static enum avvik_status removals_of(const struct avvik__night *night, json_t **list_out, struct avvik_error *error)
{
    struct avvik__past_night *nights = NULL;
    size_t n = 0;
    json_t *list = json_array();
    const enum avvik_status status = avvik__past_nights(night->config->runs, &nights, &n, error);
    if (status == AVVIK_OK)
        avvik__past_nights_choose(nights, n, night->config, night->day, 1);
    for (size_t i = 0; i < n; i++)
        if (nights[i].is_to_go)
            json_array_append_new(list, json_string(nights[i].date));
    free(nights);
    *list_out = list;
    return status;
}

enum avvik_status avvik_night_plan(const struct avvik_night_config *config, const struct avvik_night_options *options,
                                   char **plan_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__night night;
    struct avvik__decision decision;
    struct avvik__file_list fit_files = {0};
    json_t *removals = NULL, *plan = NULL;
    char *results = NULL;
    AVVIK_TRY(avvik__night_init(&night, config, options, error));
    AVVIK_TRY(avvik__manifest_open(&night, error));
    const char *before = avvik__unit_text(night.manifest, "status");
    const int is_new = json_integer_value(json_object_get(night.manifest, "runs")) == 0;
    AVVIK_TRY(avvik__night_find_inputs(&night, error));
    AVVIK_TRY(avvik__manifest_plan(&night, 1, error));
    AVVIK_TRY(avvik__model_decide(&night, &decision, error));
    if (decision.is_fit_due)
        AVVIK_TRY(
            avvik__files_find(config->fit_from, config->n_fit_from, config->folder, night.date, &fit_files, error));
    AVVIK_TRY(removals_of(&night, &removals, error));
    if (config->results != NULL && (results = avvik__date_fill(config->results, night.date)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const long holder = avvik__lock_holder(config->lock);
    plan = json_pack(
        "{s:s, s:o, s:o, s:s, s:o, s:o, s:{s:o, s:s, s:s, s:i}, s:o, s:I, s:s, s:o, s:o, s:o, s:o, s:o, s:O}", "date",
        night.date, "config", avvik__json_text(config->path), "folder", avvik__json_text(night.folder), "earlier_run",
        is_new ? "none" : before, "running_process", holder == 0 ? json_null() : json_integer(holder), "inputs",
        files_of(&night.files), "model", "path", avvik__json_text(config->model), "action",
        decision.is_fit_due ? "fit" : "copy", "reason", decision.reason, "age_days", decision.age_days, "fit_inputs",
        files_of(&fit_files), "budget", (json_int_t)config->flag.budget, "by", avvik_detector_name(config->flag.by),
        "outputs", outputs_of(&night), "results", text_or_null(results), "store", text_or_null(config->store),
        "metrics", text_or_null(config->metrics), "steps", steps_of(&night), "removals", removals);
    if (plan == NULL || (*plan_out = json_dumps(plan, JSON_INDENT(2))) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
done:
    json_decref(plan);
    json_decref(removals);
    free(results);
    avvik__files_destroy(&fit_files);
    avvik__night_destroy(&night);
    return status;
}

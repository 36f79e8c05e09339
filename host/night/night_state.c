#include "night_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/score.h"
#include "avvik_internal.h"
#include "night_steps.h"
#include "night_text.h"

enum avvik_status avvik__night_init(struct avvik__night *night, const struct avvik_night_config *config,
                                    const struct avvik_night_options *options, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const time_t now = time(NULL);
    struct tm parts;
    *night = (struct avvik__night){.config = config, .options = options, .lock = -1};
    if (options->date != NULL) {
        if (strlen(options->date) != 10 || !avvik__date_days(options->date, &night->day))
            AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "'%.60s' is no date such as 2026-11-24", options->date);
        memcpy(night->date, options->date, sizeof night->date);
    } else if (localtime_r(&now, &parts) == NULL ||
               strftime(night->date, sizeof night->date, "%Y-%m-%d", &parts) != 10 ||
               !avvik__date_days(night->date, &night->day))
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "this machine's clock tells no date; name one");
    night->folder = avvik__text("%s/%s", config->runs, night->date);
    night->manifest_path = avvik__text("%s/%s/manifest.json", config->runs, night->date);
    if (night->folder == NULL || night->manifest_path == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
done:
    return status;
}

void avvik__night_destroy(struct avvik__night *night)
{
    for (size_t i = 0; night->inputs != NULL && i < night->files.n; i++) {
        free(night->inputs[i].scores);
        free(night->inputs[i].report);
    }
    free(night->inputs);
    avvik__files_destroy(&night->files);
    json_decref(night->manifest);
    free(night->folder);
    free(night->manifest_path);
}

/* An input that is not there has no outputs, and so no name that could clash. */
static enum avvik_status names_compare(const struct avvik__night *night, size_t last, struct avvik_error *error)
{
    for (size_t i = 0; i < last; i++)
        if (night->inputs[i].scores != NULL && strcmp(night->inputs[i].scores, night->inputs[last].scores) == 0)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                    "%s and %s would both be scored into %s; give one of them another name",
                                    night->inputs[i].path, night->inputs[last].path, night->inputs[last].scores);
    return AVVIK_OK;
}

enum avvik_status avvik__night_find_inputs(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_night_config *config = night->config;
    AVVIK_TRY(avvik__files_find(config->inputs, config->n_inputs, config->folder, night->date, &night->files, error));
    if ((night->inputs = calloc(night->files.n, sizeof *night->inputs)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < night->files.n; i++) {
        struct avvik__night_input *input = &night->inputs[i];
        char name[4096];
        input->path = night->files.entries[i].path;
        if (night->files.entries[i].is_missing)
            continue;
        if (!avvik_score_output_name("scores", input->path, name, sizeof name))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: its name is too long, or none", input->path);
        input->scores = strdup(name);
        input->report = avvik__text("check/%.*s.check.json", (int)(strlen(name) - strlen("scores/.scores.h5")),
                                    name + strlen("scores/"));
        if (input->scores == NULL || input->report == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(names_compare(night, i, error));
    }
done:
    return status;
}

int avvik__night_stopped(const struct avvik__night *night)
{
    return avvik__is_stopped(night->options->stop);
}

void avvik__night_tell(const struct avvik__night *night, int is_warning, const char *format, ...)
{
    char text[1400];
    va_list arguments;
    if (night->options->tell == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    night->options->tell(night->options->user, is_warning, text);
}

char *avvik__night_path(const struct avvik__night *night, const char *name)
{
    return avvik__text("%s/%s", night->folder, name);
}

void avvik__step_progress_show(void *user, const struct avvik_progress *progress)
{
    const struct avvik__step_progress *step = user;
    const struct avvik_night_options *options = step->night->options;
    if (options->progress != NULL)
        options->progress(options->user, step->step, progress);
}

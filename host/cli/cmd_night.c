/* avvik night: check, fit if asked, score, flag, results, as one run that can be resumed. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* The status line, anew for every step. */
struct steps_shown {
    struct cli_progress progress;
    char step[32];
};

static void step_show(void *user, const char *step, const struct avvik_progress *state)
{
    struct steps_shown *shown = user;
    if (strcmp(shown->step, step) != 0 || state->rows_done == 0) {
        snprintf(shown->step, sizeof shown->step, "%s", step);
        cli_progress_start(&shown->progress, shown->step, NULL);
    }
    cli_progress_show(&shown->progress, state);
}

static void line_tell(void *user, int is_warning, const char *text)
{
    (void)user;
    if (is_warning) {
        cli_warn("%s", text);
        return;
    }
    if (cli_quiet)
        return;
    cli_progress_end();
    if (cli_log_is_json()) {
        cli_log_line("night", json_pack("{s:o}", "text", cli_json_text(text)));
        return;
    }
    cli_print_text(stderr, text);
    fputc('\n', stderr);
}

static const char *text_of(const json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));
    return text == NULL ? "" : text;
}

static void line_print(const char *label, const char *text)
{
    printf("%-9s ", label);
    cli_print_text(stdout, text);
    putchar('\n');
}

static void files_print(const char *label, const json_t *files)
{
    size_t i;
    json_t *file;
    json_array_foreach(files, i, file)
    {
        printf("%-9s ", i == 0 ? label : "");
        cli_print_text(stdout, text_of(file, "path"));
        if (json_is_true(json_object_get(file, "is_there")))
            printf("  (%s bytes)\n", cli_count((uint64_t)json_integer_value(json_object_get(file, "bytes"))));
        else
            puts("  (not there)");
    }
}

static void plan_print(const json_t *plan)
{
    const json_t *model = json_object_get(plan, "model");
    size_t i;
    json_t *item;
    line_print("night", text_of(plan, "date"));
    line_print("folder", text_of(plan, "folder"));
    line_print("earlier", text_of(plan, "earlier_run"));
    if (json_is_integer(json_object_get(plan, "running_process")))
        printf("%-9s process %lld holds the lock\n", "running",
               (long long)json_integer_value(json_object_get(plan, "running_process")));
    files_print("inputs", json_object_get(plan, "inputs"));
    line_print("model", text_of(model, "path"));
    printf("%-9s %s: ", "", text_of(model, "action"));
    cli_print_text(stdout, text_of(model, "reason"));
    putchar('\n');
    files_print("fit from", json_object_get(plan, "fit_inputs"));
    printf("%-9s the %s rows that deviate most by %s\n", "flag",
           cli_count((uint64_t)json_integer_value(json_object_get(plan, "budget"))), text_of(plan, "by"));
    json_array_foreach(json_object_get(plan, "steps"), i, item)
    {
        printf("%-9s %-8s %-8s ", i == 0 ? "steps" : "", text_of(item, "step"), text_of(item, "status"));
        cli_print_text(stdout, text_of(item, "input"));
        putchar('\n');
    }
    json_array_foreach(json_object_get(plan, "outputs"), i, item)
        line_print(i == 0 ? "writes" : "", json_string_value(item));
    if (text_of(plan, "results")[0] != '\0')
        line_print("results", text_of(plan, "results"));
    if (text_of(plan, "store")[0] != '\0')
        line_print("store", text_of(plan, "store"));
    if (text_of(plan, "metrics")[0] != '\0')
        line_print("metrics", text_of(plan, "metrics"));
    json_array_foreach(json_object_get(plan, "removals"), i, item)
        line_print(i == 0 ? "removes" : "", json_string_value(item));
}

static int plan_tell(const struct avvik_night_config *config, const struct avvik_night_options *options, int is_json)
{
    struct avvik_error error;
    char *text = NULL;
    if (avvik_night_plan(config, options, &text, &error) != AVVIK_OK)
        return cli_error(&error);
    if (is_json)
        puts(text);
    else {
        json_t *plan = json_loads(text, 0, NULL);
        plan_print(plan);
        json_decref(plan);
    }
    free(text);
    return CLI_DONE;
}

static int night_run(const struct avvik_night_config *config, const struct avvik_night_options *options, int is_json)
{
    struct avvik_error error = {AVVIK_OK, 0, ""};
    char *manifest = NULL;
    const enum avvik_status status = avvik_night_run(config, options, &manifest, &error);
    cli_progress_end();
    if (manifest != NULL && is_json)
        puts(manifest);
    free(manifest);
    return status == AVVIK_OK ? CLI_DONE : cli_error(&error);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *date = NULL, *log = "auto";
    int is_json = 0, is_dry = 0, again = 0, first;
    const struct cli_option options[] = {
        {"date", CLI_TEXT, &date, "DATE", "the night, as YYYY-MM-DD (today)", 0, 0},
        {"dry-run", CLI_FLAG, &is_dry, NULL, "print what would be done, and do nothing", 0, 0},
        {"again", CLI_FLAG, &again, NULL, "do everything of this night again", 0, 0},
        {"log", CLI_TEXT, &log, "FORM", "text, json, or auto: text at a terminal, else JSON lines (auto)", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "the manifest, or the plan, as JSON on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first + 1 != argc)
        return cli_usage_error(command, "one configuration file is needed");
    if (!cli_log_set(log))
        return cli_usage_error(command, "--log takes auto, text or json, not '%s'", log);
    struct avvik_error error;
    struct avvik_night_config *config = NULL;
    struct steps_shown shown = {.step = ""};
    const struct avvik_night_options night = {date, again, cli_stop(), line_tell, step_show, &shown};
    if (avvik_night_config_load(argv[first], &config, &error) != AVVIK_OK)
        return cli_error(&error);
    code = is_dry ? plan_tell(config, &night, is_json) : night_run(config, &night, is_json);
    avvik_night_config_free(config);
    return code;
}

const struct cli_command cli_night = {
    "night", "CONFIG", "check, fit if due, score and flag a night's batches, resumable",
    "CONFIG is a YAML file; host/night/README.md of the source tree lists its fields. A night that was\n"
    "interrupted or failed goes on where it stopped when it is run again.",
    run};

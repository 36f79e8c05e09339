/* avvik tune: measure once what this machine is best at. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void tunings_print(const struct avvik_tuning *tunings, size_t n_tunings)
{
    const char *target = "", *subject = "";
    for (size_t i = 0; i < n_tunings; i++) {
        const struct avvik_tuning *tuning = &tunings[i];
        if (strcmp(target, tuning->target) != 0 || strcmp(subject, tuning->subject) != 0)
            printf("%s%s, %s\n", i > 0 ? "\n" : "", tuning->target, tuning->subject);
        target = tuning->target;
        subject = tuning->subject;
        printf("  %-14s ", tuning->setting);
        if (tuning->rows_per_second > 0)
            printf("%8.2f M rows/s%s\n", tuning->rows_per_second / 1e6, tuning->is_chosen ? "  chosen" : "");
        else
            printf("cannot run here\n");
    }
}

static int tune_run(const struct cli_command *command, int argc, char **argv)
{
    const char *target = NULL;
    int is_json = 0, first;
    const struct cli_option options[] = {
        {"target", CLI_TEXT, &target, "NAME", "cpu or opencl:P.D; default: the CPU and every OpenCL device", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    const int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first != argc)
        return cli_usage_error(command, "'%s' is one argument too many", argv[first]);
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_tuning *tunings = NULL;
    size_t n_tunings = 0;
    if (avvik_tune(target, cli_stop(), &tunings, &n_tunings, &error) != AVVIK_OK)
        return cli_error(&error);
    if (is_json) {
        json_t *list = json_array();
        for (size_t i = 0; i < n_tunings; i++)
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:b}", "target", tunings[i].target, "subject",
                                                  tunings[i].subject, "setting", tunings[i].setting, "rows_per_second",
                                                  tunings[i].rows_per_second, "chosen", tunings[i].is_chosen));
        free(tunings);
        return cli_print_json(json_pack("{s:o}", "tunings", list));
    }
    if (!cli_quiet)
        tunings_print(tunings, n_tunings);
    if (!cli_quiet && n_tunings == 0)
        puts("there is nothing to choose on this machine");
    free(tunings);
    return CLI_DONE;
}

const struct cli_command cli_tune = {
    "tune", "", "measure once what this machine is best at",
    "Takes a few seconds on a machine that has nothing else to do. The choice is kept in $AVVIK_CACHE,\n"
    "else $XDG_CACHE_HOME/avvik, else ~/.cache/avvik, and used from then on. Scores do not depend on it,\n"
    "only speed.",
    tune_run};

/* avvik report: a night's cases as one file to read. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static const char more[] =
    "Reads case documents (`avvik explain --jsonl`) and writes one HTML file that needs nothing else: the ranked list "
    "with\n"
    "filter and sort, offices and weeks, quality and drift of the night, what was absent, and each case with its "
    "words,\n"
    "reasons, peers and what came before. Everything can be read without JavaScript, and prints.\n\n"
    "  avvik explain --flagged flags.json --model model.h5 scores.h5 --jsonl cases.jsonl\n"
    "  avvik check --json batch.h5 --model model.h5 > batch.check.json\n"
    "  avvik report cases.jsonl --check batch.check.json --language nb --out report.html\n";

static int result_tell(const char *const out[AVVIK_REPORT_FILES], size_t n_cases)
{
    for (int i = 0; i < AVVIK_REPORT_FILES && !cli_quiet; i++) {
        struct stat info;
        if (out[i] == NULL || stat(out[i], &info) != 0)
            continue;
        fprintf(stderr, "%s cases -> ", cli_count(n_cases));
        cli_print_text(stderr, out[i]);
        fprintf(stderr, " (%.1f kB)\n", (double)info.st_size / 1e3);
    }
    return CLI_DONE;
}

/* Two of the files are one, or an output is what is read. */
static int same_told(const struct cli_command *command, const char *const out[AVVIK_REPORT_FILES], int argc,
                     char **argv, int first)
{
    for (int i = 0; i < AVVIK_REPORT_FILES; i++) {
        for (int j = first; j < argc && out[i] != NULL; j++)
            if (strcmp(out[i], argv[j]) == 0 || cli_same_file(out[i], argv[j]))
                return cli_usage_error(command, "%s is read and cannot be written too", out[i]);
        for (int j = 0; j < i && out[i] != NULL; j++)
            if (out[j] != NULL && (strcmp(out[i], out[j]) == 0 || cli_same_file(out[i], out[j])))
                return cli_usage_error(command, "%s is to be written twice", out[i]);
    }
    return -1;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *out[AVVIK_REPORT_FILES] = {NULL}, *checks = NULL;
    struct avvik_report_options report = AVVIK_REPORT_DEFAULTS;
    int first;
    const struct cli_option options[] = {
        {"out", CLI_TEXT, &out[AVVIK_REPORT_PAGE], "FILE", "write the report there, as HTML", 0, 0},
        {"csv", CLI_TEXT, &out[AVVIK_REPORT_TABLE], "FILE", "write a line a case, for a spreadsheet", 0, 0},
        {"jsonl", CLI_TEXT, &out[AVVIK_REPORT_DOCUMENTS], "FILE", "write the case documents in the order of the list",
         0, 0},
        {"check", CLI_TEXT, &checks, "FILE,...", "what `avvik check --json` wrote of the night's batches", 0, 0},
        {"language", CLI_TEXT, &report.language, "LANGUAGE", "en, nb or nn (en)", 0, 0},
        {"force", CLI_FLAG, &report.replace, NULL, "replace files that are there", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first == argc)
        return cli_usage_error(command, "at least one file of case documents is needed");
    if (out[0] == NULL && out[1] == NULL && out[2] == NULL)
        return cli_usage_error(command, "--out FILE, --csv FILE or --jsonl FILE is needed");
    if ((code = same_told(command, out, argc, argv, first)) >= 0)
        return code;
    char *copy = checks == NULL ? NULL : strdup(checks);
    const char **list = NULL;
    size_t n_cases = 0;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    if (checks != NULL && (copy == NULL || !cli_split_names(copy, &list, &report.n_checks))) {
        code = cli_usage_error(command, "--check '%s' has an empty name", checks);
    } else {
        report.checks = list;
        code = avvik_report((const char *const *)&argv[first], (size_t)(argc - first), &report, out, &n_cases,
                            &error) == AVVIK_OK
                   ? result_tell(out, n_cases)
                   : cli_error(&error);
    }
    free(copy);
    free(list);
    return code;
}

const struct cli_command cli_report = {"report", "CASES...", "write a night's cases as one page to read", more, run};

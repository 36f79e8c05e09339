/* avvik history: rows beside their own entity's past. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int result_tell(const struct avvik_history_summary *summary, const char *out, int is_json)
{
    if (is_json)
        return cli_print_json(json_pack(
            "{s:o, s:I, s:I, s:I, s:I, s:I, s:f}", "output", cli_json_text(out), "rows", (json_int_t)summary->n_rows,
            "past_rows", (json_int_t)summary->n_past, "rows_with_history", (json_int_t)summary->rows_with_history,
            "rows_without_entity", (json_int_t)summary->rows_without_entity, "spilled_bytes",
            (json_int_t)summary->spilled_bytes, "seconds", (double)summary->elapsed_ns / 1e9));
    if (summary->rows_without_entity > 0)
        cli_warn("%s rows have no code of whom they are about, or no time: nothing can be said of them",
                 cli_count(summary->rows_without_entity));
    if (cli_quiet)
        return CLI_DONE;
    printf("%s rows, %s of them with a past that is long enough; %s rows of earlier batches; %.1f s\n",
           cli_count(summary->n_rows), cli_count(summary->rows_with_history), cli_count(summary->n_past),
           (double)summary->elapsed_ns / 1e9);
    return CLI_DONE;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *table = NULL, *entity = NULL, *time = NULL, *features = NULL, *out = NULL;
    uint64_t periods = 12, least = 3, threads = 0, memory = 0;
    int is_json = 0, replace = 0, first;
    const struct cli_option options[] = {
        {"out", CLI_TEXT, &out, "FILE", "the batch to write (needed)", 0, 0},
        {"entity", CLI_TEXT, &entity, "COLUMN", "who a row is about: a person, a business (needed)", 0, 0},
        {"time", CLI_TEXT, &time, "COLUMN", "when: a day, a month, a year, as a whole number (needed)", 0, 0},
        {"features", CLI_TEXT, &features, "A,B,C", "the columns that are compared with their past (needed)", 0, 0},
        {"table", CLI_TEXT, &table, "PATH", "the table, where a batch has several", 0, 0},
        {"periods", CLI_NUMBER, &periods, "N", "earlier times that are looked back on (12)", 1, AVVIK_MAX_PERIODS},
        {"least", CLI_NUMBER, &least, "N", "earlier times without which nothing is said (3)", 1, AVVIK_MAX_PERIODS},
        {"threads", CLI_NUMBER, &threads, "N", "worker threads; 0: one per CPU (0)", 0, 256},
        {"memory", CLI_SIZE, &memory, "SIZE", "what rows may take, like 256M or 2G (512M)", 1 << 20, UINT64_MAX},
        {"force", CLI_FLAG, &replace, NULL, "replace FILE if it is there", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first == argc)
        return cli_usage_error(command, "no batch is named");
    if (out == NULL || entity == NULL || time == NULL || features == NULL)
        return cli_usage_error(command, "--out, --entity, --time and --features are needed");
    for (int i = first; i < argc; i++)
        if (cli_same_file(argv[i], out))
            return cli_usage_error(command, "%s is an input and cannot be the output as well", out);
    char *names = strdup(features);
    const char **split = NULL;
    struct avvik_history_options history = {.table = table,
                                            .entity = entity,
                                            .time = time,
                                            .periods = (uint32_t)periods,
                                            .least = (uint32_t)least,
                                            .threads = (uint32_t)threads,
                                            .memory_bytes = memory,
                                            .replace = replace,
                                            .stop = cli_stop()};
    struct avvik_history_summary summary;
    struct avvik_error error;
    if (names == NULL || !cli_split_names(names, &split, &history.n_features)) {
        code = cli_usage_error(command, "--features '%s' has an empty name", features);
        goto done;
    }
    history.features = split;
    code = avvik_history((const char *const *)argv + first, (size_t)(argc - first), out, &history, &summary, &error) ==
                   AVVIK_OK
               ? result_tell(&summary, out, is_json)
               : cli_error(&error);
done:
    free(split);
    free(names);
    return code;
}

const struct cli_command cli_history = {
    "history", "BATCH...", "put beside each row what its own past was like",
    "Copies the last batch and adds, for each feature, how far a value is from the median of the same\n"
    "entity's values in its most recent earlier periods: those in this batch and in the batches before it.",
    run};

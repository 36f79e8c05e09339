/* avvik check: are batches what they should be? */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char more[] =
    "Looks at every column that may be read: missing values, infinities, ranges, codes, dates, repeated\n"
    "ids; with a model also at what it needs and how far the values have moved. Several batches are read\n"
    "as if they were one.\n\n"
    "Findings: refused (fit or score would not take the batch: exit code 3), breach (above a limit that\n"
    "the configuration sets: exit code 7), warning, note. A configuration is a YAML file:\n\n"
    "  check:\n"
    "    period: 2024-01-01..2024-01-31\n"
    "    duplicates: 0\n"
    "    missing: 5 %\n"
    "    psi: 0.25\n"
    "    columns:\n"
    "      - name: gross\n"
    "        min: 0";

/* What the options say, on top of the configuration. */
static int rules_set(const struct cli_command *command, struct avvik_check_rules *rules, const char *id,
                     const char *period)
{
    if (id != NULL && strlen(id) >= sizeof rules->id)
        return cli_usage_error(command, "--id '%.40s...' is too long for a column", id);
    if (id != NULL)
        snprintf(rules->id, sizeof rules->id, "%s", id);
    if (period != NULL && !avvik_period_parse(period, &rules->period))
        return cli_usage_error(command, "--period takes FROM..TO with dates like 2024-01-31, not '%s'", period);
    return CLI_DONE;
}

/* The report as JSON, with the truth in it. */
static int both_print(const struct avvik_check_report *report, const struct avvik_truth_report *truth)
{
    struct avvik_error error;
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    json_t *document = NULL;
    if (stream != NULL) {
        const int failed = avvik_check_report_write(report, AVVIK_REPORT_JSON, stream, &error) != AVVIK_OK;
        if (fclose(stream) == 0 && !failed)
            document = json_loadb(text, length, 0, NULL);
    }
    free(text);
    if (document != NULL)
        json_object_set_new(document, "truth", cli_truth_json(truth));
    return cli_print_json(document);
}

static int result_tell(const struct avvik_check_report *report, const struct avvik_truth_report *truth, int is_json)
{
    struct avvik_error error;
    const enum avvik_report_format format = is_json ? AVVIK_REPORT_JSON : AVVIK_REPORT_TEXT;
    if (is_json && truth->n_rows > 0) {
        const int code = both_print(report, truth);
        if (code != CLI_DONE)
            return code;
    } else if (avvik_check_report_write(report, format, stdout, &error) != AVVIK_OK) {
        return cli_error(&error);
    }
    if (!is_json && truth->n_rows > 0)
        cli_truth_print(truth);
    const size_t refused = report->n_of[AVVIK_REFUSED], breaches = report->n_of[AVVIK_BREACH];
    if (refused > 0)
        fprintf(stderr, "avvik: %zu finding%s why the batch would be refused; see the report\n", refused,
                refused == 1 ? " says" : "s say");
    else if (breaches > 0)
        fprintf(stderr, "avvik: %zu gate%s breached; see the report\n", breaches, breaches == 1 ? " was" : "s were");
    return refused > 0 ? CLI_BAD_INPUT : breaches > 0 ? CLI_GATE_BREACHED : CLI_DONE;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *model_path = NULL, *table = NULL, *id = NULL, *config = NULL, *period = NULL, *truth_path = NULL;
    uint64_t threads = 0, id_memory = 0;
    int is_json = 0, first;
    const struct cli_option options[] = {
        {"model", CLI_TEXT, &model_path, "FILE", "compare with what this model learnt", 0, 0},
        {"table", CLI_TEXT, &table, "PATH", "the table; default: the model's, or the only one", 0, 0},
        {"id", CLI_TEXT, &id, "COLUMN", "whole numbers that may not repeat; default: the role id", 0, 0},
        {"period", CLI_TEXT, &period, "FROM..TO", "where dates (role time) lie, like 2024-01-01..2024-01-31", 0, 0},
        {"config", CLI_TEXT, &config, "FILE", "limits that are gates (YAML)", 0, 0},
        {"id-memory", CLI_SIZE, &id_memory, "SIZE", "memory for ids, the rest goes to $TMPDIR (256M)", 1 << 20,
         INT64_MAX},
        {"truth", CLI_TEXT, &truth_path, "FILE", "say what a synthetic country's truth.h5 knows of them", 0, 0},
        {"threads", CLI_NUMBER, &threads, "N", "worker threads; 0: one per CPU (0)", 0, 256},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors and the report", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first == argc)
        return cli_usage_error(command, "no batch is named");

    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_check_rules rules;
    struct avvik_model *model = NULL;
    struct avvik_check_report *report = NULL;
    struct avvik_truth_report truth = {.n_rows = 0};
    struct cli_progress progress;
    avvik_check_rules_init(&rules);
    if ((config != NULL && avvik_check_rules_load(config, &rules, &error) != AVVIK_OK) ||
        (model_path != NULL && avvik_model_load(model_path, &model, &error) != AVVIK_OK)) {
        code = cli_error(&error);
        goto done;
    }
    if ((code = rules_set(command, &rules, id, period)) != CLI_DONE)
        goto done;
    cli_progress_start(&progress, "checking", NULL);
    const struct avvik_check_options check = {.table = table,
                                              .model = model,
                                              .rules = &rules,
                                              .threads = (uint32_t)threads,
                                              .id_memory = id_memory,
                                              .stop = cli_stop(),
                                              .progress = cli_progress_show,
                                              .user = &progress};
    const char *const *batches = (const char *const *)argv + first;
    const size_t n_batches = (size_t)(argc - first);
    if (avvik_check(batches, n_batches, &check, &report, &error) != AVVIK_OK ||
        (truth_path != NULL &&
         avvik_truth_measure(batches, n_batches, report->table, truth_path, &truth, &error) != AVVIK_OK)) {
        code = cli_error(&error);
        goto done;
    }
    cli_progress_end();
    code = result_tell(report, &truth, is_json);
done:
    avvik_truth_report_destroy(&truth);
    avvik_check_report_free(report);
    avvik_model_free(model);
    avvik_check_rules_destroy(&rules);
    return code;
}

const struct cli_command cli_check = {"check", "BATCH...", "check batches, and what has changed since the training",
                                      more, run};

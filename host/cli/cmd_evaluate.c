/* avvik evaluate: how well scores find labelled rows. */
#include <stdlib.h>

#include "cli.h"

static int json_print(const struct avvik_evaluation *evaluation)
{
    json_t *detectors = json_array();
    for (enum avvik_detector d = 0; d < AVVIK_N_DETECTORS; d++)
        if (d != AVVIK_BY_TAILS || evaluation->has_tails)
            json_array_append_new(detectors,
                                  json_pack("{s:s, s:f, s:f, s:f}", "name", avvik_detector_name(d), "roc_auc",
                                            evaluation->detectors[d].roc_auc, "average_precision",
                                            evaluation->detectors[d].average_precision, "precision_at_budget",
                                            evaluation->detectors[d].precision_at_budget));
    return cli_print_json(json_pack("{s:I, s:I, s:I, s:I, s:o}", "rows", (json_int_t)evaluation->n_rows, "absent",
                                    (json_int_t)evaluation->n_absent, "anomalies", (json_int_t)evaluation->n_anomalies,
                                    "budget", (json_int_t)evaluation->budget, "detectors", detectors));
}

static void table_print(const struct avvik_evaluation *evaluation)
{
    if (evaluation->n_absent > 0)
        cli_warn("%s rows have no score and take no part", cli_count(evaluation->n_absent));
    printf("%s rows, %s of them labelled anomalous (%.3f %%)\n\n", cli_count(evaluation->n_rows),
           cli_count(evaluation->n_anomalies), 100.0 * (double)evaluation->n_anomalies / (double)evaluation->n_rows);
    printf("%-10s  %8s  %18s  precision at %s\n", "detector", "ROC-AUC", "average precision",
           cli_count(evaluation->budget));
    for (enum avvik_detector d = 0; d < AVVIK_N_DETECTORS; d++)
        if (d != AVVIK_BY_TAILS || evaluation->has_tails)
            printf("%-10s  %8.4f  %18.4f  %.4f\n", avvik_detector_name(d), evaluation->detectors[d].roc_auc,
                   evaluation->detectors[d].average_precision, evaluation->detectors[d].precision_at_budget);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *labels = NULL, *dataset, *weights = NULL, *p_by = NULL;
    struct avvik_flag_options flag = AVVIK_FLAG_DEFAULTS;
    char *labels_path;
    uint64_t budget = 0;
    int is_json = 0, first;
    const struct cli_option options[] = {
        {"labels", CLI_TEXT, &labels, "FILE:/DATA", "the labels, 0 or 1 a row (needed)", 0, 0},
        {"budget", CLI_NUMBER, &budget, "K", "rows that can be looked at (as many as there are anomalies)", 1,
         UINT64_MAX},
        {"weights", CLI_TEXT, &weights, "A=N,...", "of detectors in the combination (forest=4,deviation=1,joint=1)", 0,
         0},
        {"p-by", CLI_TEXT, &p_by, "WHOM", "rank rows among their group or everyone (group, where there are groups)", 0,
         0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    const int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first + 1 != argc)
        return cli_usage_error(command, "one score file is needed");
    if (labels == NULL)
        return cli_usage_error(command, "--labels FILE:/DATASET is needed");
    if (weights != NULL && !avvik_weights_parse(weights, flag.weights))
        return cli_usage_error(command, "--weights takes weights such as forest=4,deviation=1,joint=1, not '%s'",
                               weights);
    if (p_by != NULL && !avvik_p_by_parse(p_by, &flag.p_by))
        return cli_usage_error(command, "--p-by takes group or everyone, not '%s'", p_by);
    if (!cli_split_labels(labels, &labels_path, &dataset))
        return cli_usage_error(command, "--labels takes FILE:/DATASET, not '%s'", labels);
    struct avvik_error error;
    struct avvik_evaluation evaluation;
    const enum avvik_status status =
        avvik_evaluate(argv[first], labels_path, dataset, budget, flag.weights, flag.p_by, &evaluation, &error);
    free(labels_path);
    if (status != AVVIK_OK)
        return cli_error(&error);
    if (is_json)
        return json_print(&evaluation);
    table_print(&evaluation);
    return CLI_DONE;
}

const struct cli_command cli_evaluate = {"evaluate", "SCORES", "measure how well scores find labelled rows", NULL, run};

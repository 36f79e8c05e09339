/* avvik flag: the rows that deviate most. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* What the numbers mean, and what they rest on. */
static void explanation_print(const struct avvik_case_list *list, const uint8_t *labels)
{
    const size_t n_ranked = list->n_cases - list->n_random;
    printf("\n%s of %s rows by %s", cli_count(n_ranked), cli_count(list->n_rows), avvik_detector_name(list->by));
    if (list->n_random > 0)
        printf(", and %s drawn at random from the others", cli_count(list->n_random));
    printf(". p: share of past rows%s that score as high;\n", list->p_by == AVVIK_P_BY_GROUP ? " of its group" : "");
    if (list->p_by == AVVIK_P_BY_GROUP)
        puts("among: how many these are; group: the peer group that they are of, 0: all that are in none of the "
             "others;");
    printf(
        "forest: anomaly score, 0 to 1, higher is more unusual; deviation: the largest |z| of the row and the feature\n"
        "that has it; beyond: features with |z| above %.1f.\n",
        (double)AVVIK_DEVIATION_CUT);
    if (list->n_calibration == 0)
        puts("The model was fitted without calibration rows: every p is 1, and no rate of false discoveries can be "
             "told.");
    else if (n_ranked > 0 && list->p_by == AVVIK_P_BY_GROUP)
        printf("Of as many rows like those %s that calibrate, in %s groups, %.3g would have so small a p: if they are "
               "what is\n"
               "usual, the rate of false discoveries is about %.2g (%.2g or less nine times in ten).\n",
               cli_count(list->n_calibration), cli_count(list->n_p_groups), list->expected, list->fdr_estimate,
               list->fdr_bound);
    else if (n_ranked > 0)
        printf("Of as many rows like those %s that calibrate, %.3g would score as high: if they are what is usual, the "
               "rate of\n"
               "false discoveries is about %.2g (%.2g or less nine times in ten).\n",
               cli_count(list->n_calibration), list->expected, list->fdr_estimate, list->fdr_bound);
    if (labels == NULL)
        return;
    uint64_t n_anomalies = 0;
    for (size_t i = 0; i < list->n_cases; i++)
        n_anomalies += labels[list->cases[i].row];
    printf("%s of these %s rows are labelled anomalous.\n", cli_count(n_anomalies), cli_count(list->n_cases));
}

static void table_print(const struct avvik_case_list *list, const uint8_t *labels)
{
    size_t widest = strlen("feature");
    int has_missing = 0;
    for (size_t i = 0; i < list->n_cases; i++) {
        const size_t width = strlen(list->features[list->cases[i].deviation_feature]);
        widest = width > widest ? width : widest;
        has_missing = has_missing || list->cases[i].missing > 0;
    }
    if (widest > 32)
        widest = 32;
    const int is_by_group = list->p_by == AVVIK_P_BY_GROUP;
    printf("%6s  %12s  %8s  %s%7s  %10s  %-*s  %6s%s%s%s\n", "rank", "row", "p", is_by_group ? " among  group  " : "",
           "forest", "deviation", (int)widest, "feature", "beyond", has_missing ? "  missing" : "",
           labels == NULL ? "" : "  label", list->n_inputs > 1 ? "  input" : "");
    for (size_t i = 0; i < list->n_cases; i++) {
        const struct avvik_case *one = &list->cases[i];
        const char *name = list->features[one->deviation_feature];
        if (one->is_random)
            printf("%6s", "random");
        else
            printf("%6llu", (unsigned long long)one->rank);
        printf("  %12llu  %8.2g  ", (unsigned long long)one->row, one->p[list->by]);
        if (is_by_group)
            printf("%6u  %5u  ", one->p_rows, one->p_group);
        printf("%7.4f  %10.4g  ", (double)one->forest, (double)one->deviation);
        char shown[33];
        snprintf(shown, sizeof shown, "%s", name);
        cli_print_text(stdout, shown);
        printf("%*s  %6u", (int)(widest - strlen(shown)), "", one->beyond);
        if (has_missing)
            printf("  %7u", one->missing);
        if (labels != NULL)
            printf("  %5u", labels[one->row]);
        if (list->n_inputs > 1) {
            fputs("  ", stdout);
            cli_print_text(stdout, list->inputs[avvik_case_list_input(list, one->row)]);
        }
        putchar('\n');
    }
    explanation_print(list, labels);
}

/* A list of the length that was asked for, or of every row where there are fewer and nothing was asked for. */
static enum avvik_status list_make(const char *path, struct avvik_flag_options *options, int has_budget,
                                   struct avvik_case_list *list, struct avvik_error *error)
{
    const uint64_t budget = options->budget;
    enum avvik_status status = avvik_flag(&path, 1, options, list, error);
    if (status == AVVIK_ERR_USAGE && !has_budget && budget > 0) { /* fewer rows than the default budget? */
        options->budget = 1;
        if (avvik_flag(&path, 1, options, list, NULL) != AVVIK_OK || list->n_rows >= budget)
            return status;
        options->budget = list->n_rows;
        avvik_case_list_destroy(list);
        status = avvik_flag(&path, 1, options, list, error);
    }
    return status;
}

/* -1, or the exit code of an option that cannot be. */
static int options_take(const struct cli_command *command, const char *by, const char *fdr, const char *share,
                        const char *weights, const char *p_by, struct avvik_flag_options *options)
{
    for (options->by = 0; options->by < AVVIK_N_DETECTORS; options->by++)
        if (strcmp(by, avvik_detector_name(options->by)) == 0)
            break;
    if (options->by == AVVIK_N_DETECTORS)
        return cli_usage_error(command, "--by takes forest, deviation, joint, tails or combined, not '%s'", by);
    if (fdr != NULL && (!avvik_share_parse(fdr, &options->fdr) || options->fdr == 0 || options->fdr == 1))
        return cli_usage_error(command, "--fdr takes a rate between 0 and 1, like 0.05 or 5%%, not '%s'", fdr);
    if (share != NULL && !avvik_share_parse(share, &options->random_share))
        return cli_usage_error(command, "--random-share takes 0%% to 100%%, not '%s'", share);
    if (weights != NULL && !avvik_weights_parse(weights, options->weights))
        return cli_usage_error(command, "--weights takes weights such as forest=4,deviation=1,joint=1, not '%s'",
                               weights);
    if (p_by != NULL && !avvik_p_by_parse(p_by, &options->p_by))
        return cli_usage_error(command, "--p-by takes group or everyone, not '%s'", p_by);
    return -1;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *by = "combined", *labels_text = NULL, *dataset = NULL, *fdr = NULL, *share = NULL, *weights = NULL;
    const char *p_by = NULL;
    struct avvik_flag_options flag = AVVIK_FLAG_DEFAULTS;
    uint64_t budget = 0;
    int is_json = 0, is_csv = 0, first;
    const struct cli_option options[] = {
        {"budget", CLI_NUMBER, &budget, "K", "how many rows to list (100; with --fdr as many as that lets)", 1,
         UINT64_MAX},
        {"fdr", CLI_TEXT, &fdr, "Q", "end where the rate of false discoveries may exceed Q, like 5%", 0, 0},
        {"random-share", CLI_TEXT, &share, "S", "draw this share of the list from the other rows, like 10% (0%)", 0, 0},
        {"seed", CLI_NUMBER, &flag.seed, "N", "of that draw (1)", 0, INT64_MAX},
        {"by", CLI_TEXT, &by, "DETECTOR", "what to rank by: forest, deviation, joint, tails or combined (combined)", 0,
         0},
        {"weights", CLI_TEXT, &weights, "A=N,...", "of detectors in the combination (forest=4,deviation=1,joint=1)", 0,
         0},
        {"p-by", CLI_TEXT, &p_by, "WHOM", "p among the row's group or everyone (group, where there are groups)", 0, 0},
        {"labels", CLI_TEXT, &labels_text, "FILE:/DATA", "show known labels (0 or 1) beside the rows", 0, 0},
        {"csv", CLI_FLAG, &is_csv, NULL, "comma-separated values", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first + 1 != argc)
        return cli_usage_error(command, "one score file is needed");
    if (is_json && is_csv)
        return cli_usage_error(command, "--csv and --json exclude one another");
    if ((code = options_take(command, by, fdr, share, weights, p_by, &flag)) >= 0)
        return code;
    if (budget > 0 || fdr != NULL)
        flag.budget = budget;
    char *labels_path = NULL;
    if (labels_text != NULL && !cli_split_labels(labels_text, &labels_path, &dataset))
        return cli_usage_error(command, "--labels takes FILE:/DATASET, not '%s'", labels_text);

    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_case_list list = {0};
    uint8_t *labels = NULL;
    if (list_make(argv[first], &flag, budget > 0, &list, &error) != AVVIK_OK ||
        (labels_path != NULL && avvik_labels_read(labels_path, dataset, list.n_rows, &labels, &error) != AVVIK_OK)) {
        code = cli_error(&error);
        goto done;
    }
    code = CLI_DONE;
    if (list.n_absent > 0)
        cli_warn("%s rows have no score, because they were damaged: they are in no list", cli_count(list.n_absent));
    if (!is_json && !is_csv)
        table_print(&list, labels);
    else if (avvik_case_list_write(&list, labels, is_json ? AVVIK_LIST_JSON : AVVIK_LIST_CSV, stdout, &error) !=
             AVVIK_OK)
        code = cli_error(&error);
done:
    free(labels);
    free(labels_path);
    avvik_case_list_destroy(&list);
    return code;
}

const struct cli_command cli_flag = {"flag", "SCORES", "list the rows of a score file that deviate most", NULL, run};

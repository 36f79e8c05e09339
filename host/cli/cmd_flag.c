/* avvik flag: the rows that deviate most. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void table_print(const struct avvik_case_list *list, enum avvik_detector detector, const uint8_t *labels)
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
    printf("%6s  %12s  %7s  %10s  %-*s  %6s%s%s%s\n", "rank", "row", "forest", "deviation", (int)widest, "feature",
           "beyond", has_missing ? "  missing" : "", labels == NULL ? "" : "  label",
           list->n_inputs > 1 ? "  input" : "");
    for (size_t i = 0; i < list->n_cases; i++) {
        const struct avvik_case *one = &list->cases[i];
        const char *name = list->features[one->deviation_feature];
        printf("%6llu  %12llu  %7.4f  %10.4g  ", (unsigned long long)one->rank, (unsigned long long)one->row,
               (double)one->forest, (double)one->deviation);
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
    printf("\n%s of %s rows, ranked by %s. forest: anomaly score, 0 to 1, higher is more unusual; deviation: the\n"
           "largest |z| of the row and the feature that has it; beyond: features with |z| above %.1f",
           cli_count(list->n_cases), cli_count(list->n_rows), avvik_detector_name(detector),
           (double)AVVIK_DEVIATION_CUT);
    if (labels != NULL) {
        uint64_t n_anomalies = 0;
        for (size_t i = 0; i < list->n_cases; i++)
            n_anomalies += labels[list->cases[i].row];
        printf(".\n%s of these %s rows are labelled anomalous", cli_count(n_anomalies), cli_count(list->n_cases));
    }
    puts(".");
}

/* The number of rows of a list that nothing was said about. */
static enum avvik_status list_make(const char *path, const uint64_t *budget, enum avvik_detector detector,
                                   struct avvik_case_list *list, struct avvik_error *error)
{
    enum avvik_status status = avvik_flag(path, *budget == 0 ? 100 : *budget, detector, list, error);
    if (status == AVVIK_ERR_USAGE && *budget == 0) { /* fewer rows than the default budget */
        status = avvik_flag(path, 1, detector, list, error);
        if (status == AVVIK_OK) {
            const uint64_t n_rows = list->n_rows;
            avvik_case_list_destroy(list);
            status = avvik_flag(path, n_rows, detector, list, error);
        }
    }
    return status;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *by = "forest", *labels_text = NULL, *dataset = NULL;
    uint64_t budget = 0;
    int is_json = 0, is_csv = 0, first;
    const struct cli_option options[] = {
        {"budget", CLI_NUMBER, &budget, "K", "how many rows to list (100)", 1, UINT64_MAX},
        {"by", CLI_TEXT, &by, "DETECTOR", "what to rank by: forest or deviation (forest)", 0, 0},
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
    enum avvik_detector detector = AVVIK_BY_FOREST;
    while (detector < AVVIK_N_DETECTORS && strcmp(by, avvik_detector_name(detector)) != 0)
        detector++;
    if (detector == AVVIK_N_DETECTORS)
        return cli_usage_error(command, "--by takes forest or deviation, not '%s'", by);
    char *labels_path = NULL;
    if (labels_text != NULL && !cli_split_labels(labels_text, &labels_path, &dataset))
        return cli_usage_error(command, "--labels takes FILE:/DATASET, not '%s'", labels_text);

    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_case_list list = {0};
    uint8_t *labels = NULL;
    if (list_make(argv[first], &budget, detector, &list, &error) != AVVIK_OK ||
        (labels_path != NULL && avvik_labels_read(labels_path, dataset, list.n_rows, &labels, &error) != AVVIK_OK)) {
        code = cli_error(&error);
        goto done;
    }
    code = CLI_DONE;
    if (list.n_absent > 0)
        cli_warn("%s rows have no score, because they were damaged: they are in no list", cli_count(list.n_absent));
    if (!is_json && !is_csv)
        table_print(&list, detector, labels);
    else if (avvik_case_list_write(&list, detector, labels, is_json ? AVVIK_LIST_JSON : AVVIK_LIST_CSV, stdout,
                                   &error) != AVVIK_OK)
        code = cli_error(&error);
done:
    free(labels);
    free(labels_path);
    avvik_case_list_destroy(&list);
    return code;
}

const struct cli_command cli_flag = {"flag", "SCORES", "list the rows of a score file that deviate most", NULL, run};

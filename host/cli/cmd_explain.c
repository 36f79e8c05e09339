/* avvik explain: why rows are on a list. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define MAX_NAMES 1024
#define DEFAULT_P 0.01

/* What the command line asks for. */
struct explain {
    const char *model_path, *rows, *flagged, *inputs, *history, *show, *language, *jsonl, *by, *weights, *p;
    uint64_t n_reasons, first, threads;
    int is_json, replace;
    struct avvik_explain_options options;
    const char *show_names[MAX_NAMES], *input_names[MAX_NAMES], *history_names[MAX_NAMES];
    struct avvik_flags flags; /* the picks */
};

/* Cut "a,b,c" in place; returns how many names there are, 0 if one is empty or there are too many. */
static size_t names_cut(char *text, const char **names)
{
    size_t n = 0;
    for (char *name = text, *comma; name != NULL; name = comma) {
        comma = strchr(name, ',');
        if (comma != NULL)
            *comma++ = '\0';
        if (*name == '\0' || n == MAX_NAMES)
            return 0;
        names[n++] = name;
    }
    return n;
}

/* "17,42,100..120" as picks. 1 on success. */
static int rows_parse(const char *text, struct avvik_flags *flags)
{
    const char *at = text;
    flags->by = AVVIK_BY_COMBINED;
    if ((flags->picks = calloc(AVVIK_MAX_EXPLAINED, sizeof *flags->picks)) == NULL)
        return 0;
    for (;;) {
        char *end;
        errno = 0;
        const unsigned long long from = strtoull(at, &end, 10);
        unsigned long long to = from;
        if (end == at || *at == '-' || errno != 0)
            return 0;
        if (strncmp(end, "..", 2) == 0) {
            at = end + 2;
            to = strtoull(at, &end, 10);
            if (end == at || *at == '-' || errno != 0)
                return 0;
        }
        if (to < from || to - from >= AVVIK_MAX_EXPLAINED - flags->n_picks)
            return 0;
        for (unsigned long long row = from; row <= to; row++)
            flags->picks[flags->n_picks++] = (struct avvik_pick){.row = row, .path_sum = INT32_MAX};
        if (*end == '\0')
            return 1;
        if (*end != ',')
            return 0;
        at = end + 1;
    }
}

static void reasons_print(const struct avvik_explanations *all, const struct avvik_explanation *one)
{
    printf("  %-28s %20s %20s %9s %7s %7s\n", "feature", "value", "typical", "z", "at most", "share");
    for (size_t i = 0; i < all->n_features && i < all->n_reasons && (i == 0 || one->reasons[i].share > 0); i++) {
        const struct avvik_reason *reason = &one->reasons[i];
        const struct avvik_explained_column *column = &all->features[reason->feature];
        const struct avvik_cell center = {AVVIK_CELL_REAL, {.as_real = (double)reason->center}};
        char label[256], value[256], typical[256];
        avvik_column_label(all->table, column->name, all->language, label, sizeof label);
        avvik_value_text(column, &reason->cell, all->language, value, sizeof value);
        avvik_value_text(column, &center, all->language, typical, sizeof typical);
        fputs("  ", stdout);
        cli_print_padded(stdout, label, 28, 0);
        putchar(' ');
        cli_print_padded(stdout, value, 20, 1);
        putchar(' ');
        cli_print_padded(stdout, typical, 20, 1);
        printf(" %9.3g", (double)reason->z);
        if (reason->cell.kind == AVVIK_CELL_MISSING)
            printf(" %7s", "-");
        else
            printf(" %6.1f%%", reason->percentile);
        printf(" %6.1f%%\n", 100 * reason->share);
    }
}

static void case_print(const struct avvik_explanations *all, size_t row)
{
    const struct avvik_explanation *one = &all->rows[row];
    char sentences[AVVIK_SENTENCES][AVVIK_SENTENCE_SIZE];
    avvik_explanation_words(all, row, all->language, sentences);
    if (row > 0)
        putchar('\n');
    if (one->pick.rank > 0)
        printf("rank %llu, ", (unsigned long long)one->pick.rank);
    else if (one->pick.is_random)
        fputs("drawn at random, ", stdout);
    printf("row %llu", (unsigned long long)one->pick.row);
    if (all->n_inputs > 1) {
        fputs(" (", stdout);
        cli_print_text(stdout, all->inputs[one->input]);
        printf(", row %llu)", (unsigned long long)one->input_row);
    }
    if (all->n_calibration > 0)
        printf(", p %.2g by %s", one->p[all->by], avvik_detector_name(all->by));
    putchar('\n');
    for (int i = 0; i < AVVIK_SENTENCES; i++) {
        fputs("  ", stdout);
        cli_print_text(stdout, sentences[i]);
        putchar('\n');
    }
    reasons_print(all, one);
}

/* -1, or the exit code of an option that cannot be. */
static int options_take(const struct cli_command *command, struct explain *explain)
{
    struct avvik_explain_options *options = &explain->options;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    if ((explain->rows == NULL) == (explain->flagged == NULL))
        return cli_usage_error(command, "one of --rows and --flagged is needed");
    if (explain->model_path == NULL)
        return cli_usage_error(command, "--model FILE is needed");
    for (options->language = 0; options->language < AVVIK_N_LANGUAGES; options->language++)
        if (strcmp(explain->language, avvik_language_code(options->language)) == 0)
            break;
    if (options->language == AVVIK_N_LANGUAGES)
        return cli_usage_error(command, "--language takes en, nb or nn, not '%s'", explain->language);
    if (explain->p != NULL && (!avvik_share_parse(explain->p, &options->p) || options->p == 0 || options->p == 1))
        return cli_usage_error(command, "--cut takes a p-value between 0 and 1, like 0.001, not '%s'", explain->p);
    if (explain->rows != NULL && !rows_parse(explain->rows, &explain->flags))
        return cli_usage_error(command, "--rows takes up to %d row numbers from 0, like 17,42 or 100..120, not '%s'",
                               AVVIK_MAX_EXPLAINED, explain->rows);
    if (explain->flagged != NULL && avvik_flags_read(explain->flagged, &explain->flags, &error) != AVVIK_OK)
        return cli_error(&error);
    if (explain->rows != NULL && explain->p == NULL)
        options->p = DEFAULT_P;
    options->by = explain->flags.by;
    if (explain->by != NULL) {
        for (options->by = 0; options->by < AVVIK_N_DETECTORS; options->by++)
            if (strcmp(explain->by, avvik_detector_name(options->by)) == 0)
                break;
        if (options->by == AVVIK_N_DETECTORS)
            return cli_usage_error(command, "--by takes forest, deviation, joint, tails or combined, not '%s'",
                                   explain->by);
    }
    options->p_by = explain->flags.p_by;
    if (explain->flags.has_weights)
        memcpy(options->weights, explain->flags.weights, sizeof options->weights);
    if (explain->weights != NULL && !avvik_weights_parse(explain->weights, options->weights))
        return cli_usage_error(command, "--weights takes weights such as forest=4,deviation=1,joint=1, not '%s'",
                               explain->weights);
    options->n_reasons = (uint32_t)explain->n_reasons;
    options->threads = (uint32_t)explain->threads;
    return -1;
}

/* Explain what was asked for, and tell it. */
static int explain_run(const struct explain *explain, const char *const *scores, size_t n_scores)
{
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_model *model = NULL;
    struct avvik_explanations all = {0};
    int code = CLI_DONE;
    if (avvik_model_load(explain->model_path, &model, &error) != AVVIK_OK)
        return cli_error(&error);
    if (explain->flags.n_picks > 0 &&
        avvik_explain(model, scores, n_scores, explain->flags.picks, explain->flags.n_picks, &explain->options, &all,
                      &error) != AVVIK_OK)
        code = cli_error(&error);
    else if (explain->flags.content_hash[0] != '\0' && all.n_rows > 0 &&
             strcmp(explain->flags.content_hash, all.scores_hash) != 0) {
        error = (struct avvik_error){AVVIK_ERR_FORMAT, 0, ""};
        snprintf(error.text, sizeof error.text, "%.400s: is a list of other scores (%s) than %.400s (%s)",
                 explain->flagged, explain->flags.content_hash, scores[0], all.scores_hash);
        code = cli_error(&error);
    }
    if (code == CLI_DONE && all.n_history > 0 && (all.entity.name == NULL || all.time.name == NULL))
        cli_warn(
            "no column says whose row it is and when it was, so that there are no timelines; --entity and --time name "
            "one");
    if (code == CLI_DONE && explain->jsonl != NULL &&
        avvik_explanations_save(&all, explain->jsonl, explain->replace, &error) != AVVIK_OK)
        code = cli_error(&error);
    if (code == CLI_DONE && explain->is_json && avvik_explanations_write(&all, 0, stdout, &error) != AVVIK_OK)
        code = cli_error(&error);
    for (size_t i = 0;
         code == CLI_DONE && !explain->is_json && explain->jsonl == NULL && i < all.n_rows && i < explain->first; i++)
        case_print(&all, i);
    if (code == CLI_DONE && explain->jsonl != NULL && !cli_quiet) {
        fprintf(stderr, "explained %s rows -> ", cli_count(all.n_rows));
        cli_print_text(stderr, explain->jsonl);
        fputc('\n', stderr);
    }
    avvik_explanations_destroy(&all);
    avvik_model_free(model);
    return code;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct explain explain = {.language = "en", .n_reasons = 5, .first = UINT64_MAX, .options = AVVIK_EXPLAIN_DEFAULTS};
    int first;
    const struct cli_option options[] = {
        {"model", CLI_TEXT, &explain.model_path, "FILE", "the model that scored (needed)", 0, 0},
        {"rows", CLI_TEXT, &explain.rows, "N,M,...", "these rows, from 0; A..B for a range", 0, 0},
        {"flagged", CLI_TEXT, &explain.flagged, "FILE", "the rows of a list that `avvik flag` wrote, JSON or CSV", 0,
         0},
        {"cut", CLI_TEXT, &explain.p, "P",
         "a row is ordinary if its p is above this (the end of the list; 0.01 for --rows)", 0, 0},
        {"by", CLI_TEXT, &explain.by, "DETECTOR",
         "explain its score: forest, deviation, joint, tails, combined (the list's)", 0, 0},
        {"weights", CLI_TEXT, &explain.weights, "A=N,...", "of the combination, where the list was made with others", 0,
         0},
        {"reasons", CLI_NUMBER, &explain.n_reasons, "N", "features to tell of, at most (5)", 1, 65535},
        {"first", CLI_NUMBER, &explain.first, "N", "print the first N cases only (all)", 1, UINT64_MAX},
        {"shap", CLI_FLAG, &explain.options.with_shap, NULL, "Shapley values of path lengths in the documents, too", 0,
         0},
        {"scan", CLI_FLAG, &explain.options.with_scan, NULL,
         "read all rows once: percentiles and plots among peers, timelines of the same person or business", 0, 0},
        {"history", CLI_TEXT, &explain.history, "FILE,...", "earlier batches: their rows in the timelines, too; --scan",
         0, 0},
        {"backend", CLI_TEXT, &explain.options.backend, "NAME",
         "contributions by scalar, avx2, avx512, opencl or opencl:PLATFORM.DEVICE: the same by any (auto)", 0, 0},
        {"threads", CLI_NUMBER, &explain.threads, "N", "worker threads; 0: one per CPU (0)", 0, 256},
        {"show", CLI_TEXT, &explain.show, "A,B,...", "columns that may be shown (the model's features)", 0, 0},
        {"entity", CLI_TEXT, &explain.options.entity, "COLUMN", "whose row it is (the first of role key)", 0, 0},
        {"time", CLI_TEXT, &explain.options.time, "COLUMN", "when it was (the last of role time)", 0, 0},
        {"office", CLI_TEXT, &explain.options.office, "COLUMN", "who has it (office, else municipality)", 0, 0},
        {"night", CLI_TEXT, &explain.options.night, "DATE", "what the documents call this night", 0, 0},
        {"inputs", CLI_TEXT, &explain.inputs, "FILE,...", "where the batches are now, if they have been moved", 0, 0},
        {"language", CLI_TEXT, &explain.language, "CODE", "en, nb (bokmål) or nn (nynorsk) (en)", 0, 0},
        {"jsonl", CLI_TEXT, &explain.jsonl, "FILE", "write case documents, one a line (host/cases/README.md)", 0, 0},
        {"force", CLI_FLAG, &explain.replace, NULL, "replace that file if it is there", 0, 0},
        {"json", CLI_FLAG, &explain.is_json, NULL, "case documents as one JSON array on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but warnings and errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first == argc)
        return cli_usage_error(command, "a score file is needed");
    char *show = explain.show == NULL ? NULL : strdup(explain.show);
    char *inputs = explain.inputs == NULL ? NULL : strdup(explain.inputs);
    char *history = explain.history == NULL ? NULL : strdup(explain.history);
    if (show != NULL && (explain.options.n_show = names_cut(show, explain.show_names)) == 0)
        code = cli_usage_error(command, "--show takes names like gross,net, not '%s'", explain.show);
    else if (inputs != NULL && (explain.options.n_inputs = names_cut(inputs, explain.input_names)) == 0)
        code = cli_usage_error(command, "--inputs takes files like a.h5,b.h5, not '%s'", explain.inputs);
    else if (history != NULL && (explain.options.n_history = names_cut(history, explain.history_names)) == 0)
        code = cli_usage_error(command, "--history takes files like a.h5,b.h5, not '%s'", explain.history);
    else
        code = options_take(command, &explain);
    explain.options.show = show == NULL ? NULL : explain.show_names;
    explain.options.inputs = inputs == NULL ? NULL : explain.input_names;
    explain.options.history = history == NULL ? NULL : explain.history_names;
    explain.options.with_scan |= history != NULL;
    explain.options.stop = cli_stop();
    if (code < 0)
        code = explain_run(&explain, (const char *const *)argv + first, (size_t)(argc - first));
    avvik_flags_destroy(&explain.flags);
    free(show);
    free(inputs);
    free(history);
    return code;
}

const struct cli_command cli_explain = {
    "explain", "SCORES...", "tell why rows are on a list, and what would make them ordinary",
    "Each row is read from its batch, scored again and taken apart: what each feature adds, whom it is compared\n"
    "with, how rare it is. Several score files are numbered on from one to the next, as by `avvik night`.",
    run};

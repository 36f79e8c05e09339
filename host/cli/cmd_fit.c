/* avvik fit: learn a model from batches. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* Split "a,b,c" in place; 1 on success, 0 if a name is empty or memory is out. */
static int names_split(char *text, const char ***names_out, size_t *n_out)
{
    size_t n = 1;
    for (const char *c = text; *c != '\0'; c++)
        n += *c == ',';
    const char **names = calloc(n, sizeof *names);
    if (names == NULL)
        return 0;
    for (size_t i = 0; i < n; i++) {
        char *end = strchr(text, ',');
        names[i] = text;
        if (end != NULL)
            *end = '\0';
        if (text[0] == '\0') {
            free(names);
            return 0;
        }
        text = end == NULL ? text : end + 1;
    }
    *names_out = names;
    *n_out = n;
    return 1;
}

/* "NAME=W,..." as a weight for each feature of the source; 1 for those that are not named. CLI_DONE, or the exit code
 * of what was told. */
static int weights_parse(const struct cli_command *command, const char *text, const struct avvik_source *source,
                         float **weights_out)
{
    const size_t n_features = avvik_source_n_features(source);
    char *copy = strdup(text), *end;
    const char **parts = NULL;
    size_t n_parts = 0, f;
    int code = CLI_DONE;
    float *weights = calloc(n_features, sizeof *weights);
    if (copy == NULL || weights == NULL || !names_split(copy, &parts, &n_parts))
        code = cli_usage_error(command, "--weight '%s' has an empty part", text);
    for (f = 0; weights != NULL && f < n_features; f++)
        weights[f] = 1;
    for (size_t i = 0; i < n_parts && code == CLI_DONE; i++) {
        const char *equals = strrchr(parts[i], '=');
        const size_t length = equals == NULL ? 0 : (size_t)(equals - parts[i]);
        for (f = 0; f < n_features; f++)
            if (strlen(avvik_source_feature(source, f)) == length &&
                memcmp(avvik_source_feature(source, f), parts[i], length) == 0)
                break;
        const double weight = equals == NULL ? -1 : strtod(equals + 1, &end);
        if (equals == NULL || equals[1] == '\0' || *end != '\0')
            code = cli_usage_error(command, "--weight takes NAME=NUMBER, not '%s'", parts[i]);
        else if (f == n_features)
            code = cli_usage_error(command, "--weight '%s' names no feature", parts[i]);
        else if (!(weight >= 0 && weight <= (double)AVVIK_MAX_WEIGHT))
            code = cli_usage_error(command, "--weight '%s' is outside 0 to %g", parts[i], (double)AVVIK_MAX_WEIGHT);
        else
            weights[f] = (float)weight;
    }
    free(copy);
    free(parts);
    *weights_out = weights;
    return code;
}

/* What the person who fits should know about the columns. Returns how many are worth a word. */
static void columns_tell(const struct avvik_model *model, uint64_t wanted_sample)
{
    struct avvik_model_summary summary;
    avvik_model_summarize(model, &summary);
    if (summary.sample < wanted_sample)
        cli_warn("there are %s rows, %s of them held out, so that trees grow from %u and not from %llu",
                 cli_count(summary.n_rows), cli_count(summary.held_out), summary.sample,
                 (unsigned long long)wanted_sample);
    for (uint32_t f = 0; f < summary.n_features; f++) {
        struct avvik_feature_summary feature;
        avvik_model_feature(model, f, &feature);
        if (feature.is_constant)
            cli_warn("column '%s' is constant: it can neither split a tree nor deviate", feature.name);
        if (!feature.is_constant && feature.mean_deviation > 0)
            cli_warn(
                "column '%s': more than half of its values are equal, so that its mean absolute deviation takes the "
                "place of the MAD",
                feature.name);
        if (feature.infinite > 0)
            cli_warn("column '%s' has %s infinite values, taken as missing", feature.name, cli_count(feature.infinite));
    }
}

static json_t *result_json(const struct avvik_model_summary *model, const struct avvik_fit_summary *fitted,
                           const char *out, double seconds)
{
    return json_pack("{s:o, s:I, s:i, s:i, s:i, s:i, s:I, s:f, s:f, s:o, s:I, s:I, s:i, s:i, s:i, s:i, s:I}", "model",
                     cli_json_text(out), "rows", (json_int_t)model->n_rows, "features", (int)model->n_features, "trees",
                     (int)model->trees, "sample", (int)model->sample, "held_out", (int)model->held_out, "seed",
                     (json_int_t)model->seed, "seconds", seconds, "grow_seconds", (double)fitted->grow_ns / 1e9,
                     "stage_seconds", cli_stages_json(&fitted->stages), "rows_resumed",
                     (json_int_t)fitted->rows_resumed, "bytes_read", (json_int_t)fitted->stages.bytes_read,
                     "checkpoints", (int)fitted->checkpoints, "passes", (int)fitted->passes, "groups_seen",
                     (int)fitted->groups_seen, "groups", (int)fitted->groups, "rows_everyone",
                     (json_int_t)fitted->rows_everyone);
}

static int result_tell(const struct avvik_model *model, const struct avvik_fit_summary *fitted, const char *out,
                       uint64_t elapsed_ns, int is_json)
{
    struct avvik_model_summary summary;
    const double seconds = (double)elapsed_ns / 1e9;
    avvik_model_summarize(model, &summary);
    if (!cli_quiet && cli_log_is_json()) {
        cli_log_line("fitted", result_json(&summary, fitted, out, seconds));
    } else if (!cli_quiet) {
        fprintf(stderr, "fitted %u trees of %u rows on %s rows x %u features in %.2f s and %u %s -> ", summary.trees,
                summary.sample, cli_count(summary.n_rows), summary.n_features, seconds, fitted->passes,
                fitted->passes == 1 ? "pass" : "passes");
        cli_print_text(stderr, out);
        fputc('\n', stderr);
        cli_stages_tell(&fitted->stages, elapsed_ns);
        if (summary.n_keys > 0) {
            fprintf(stderr, "%s groups; ", cli_count(fitted->groups_seen));
            fprintf(stderr, "%s of them have at least %s rows, ", cli_count(fitted->groups),
                    cli_count(summary.min_peers));
            fprintf(stderr, "and %s rows are compared with everyone\n", cli_count(fitted->rows_everyone));
        }
        if (fitted->rows_resumed > 0)
            fprintf(stderr, "%s of the rows were read by an earlier fit\n", cli_count(fitted->rows_resumed));
    }
    return is_json ? cli_print_json(result_json(&summary, fitted, out, seconds)) : CLI_DONE;
}

/* Is the model at `path` what this fit has come to? A fit that was killed after its model was in place says so. */
static int is_saved(const struct avvik_model *model, const char *path)
{
    struct avvik_model *saved = NULL;
    struct avvik_model_summary ours, theirs;
    if (avvik_model_load(path, &saved, NULL) != AVVIK_OK)
        return 0;
    avvik_model_summarize(model, &ours);
    avvik_model_summarize(saved, &theirs);
    int is_same = strcmp(ours.table, theirs.table) == 0 && strcmp(ours.input_hash, theirs.input_hash) == 0 &&
                  ours.seed == theirs.seed && ours.deviation == theirs.deviation && ours.n_keys == theirs.n_keys &&
                  ours.n_groups == theirs.n_groups && ours.min_peers == theirs.min_peers &&
                  ours.n_rows == theirs.n_rows && ours.trees == theirs.trees && ours.sample == theirs.sample &&
                  ours.held_out == theirs.held_out && ours.has_joint == theirs.has_joint &&
                  ours.n_features == theirs.n_features;
    for (uint32_t f = 0; is_same && f < ours.n_features; f++) {
        struct avvik_feature_summary our, their;
        avvik_model_feature(model, f, &our);
        avvik_model_feature(saved, f, &their);
        is_same = strcmp(our.name, their.name) == 0 && our.weight == their.weight;
    }
    avvik_model_free(saved);
    return is_same;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *table = NULL, *features = NULL, *out = NULL, *log = "auto";
    const char *deviation = "robust", *peers = NULL, *weight = NULL;
    uint64_t trees = 128, sample = 256, calibration = 65536, seed = 1, threads = 0, memory = 0,
             min_peers = AVVIK_MIN_PEERS_DEFAULT;
    uint64_t checkpoint_s = AVVIK_CHECKPOINT_DEFAULT_MS / 1000;
    int is_json = 0, replace = 0, resume = 0, no_joint = 0, first;
    const struct cli_option options[] = {
        {"out", CLI_TEXT, &out, "FILE", "the model file to write (needed)", 0, 0},
        {"table", CLI_TEXT, &table, "PATH", "the table, where a batch has several", 0, 0},
        {"features", CLI_TEXT, &features, "A,B,C", "the columns that take part; default: all that may", 0, 0},
        {"trees", CLI_NUMBER, &trees, "N", "trees of the forest, 1 to 10000 (128)", 1, 10000},
        {"sample", CLI_NUMBER, &sample, "N", "rows a tree grows from, 16 to 4096 (256)", 16, 4096},
        {"deviation", CLI_TEXT, &deviation, "KIND", "robust: median and MAD; classical: mean and sd (robust)", 0, 0},
        {"calibration", CLI_NUMBER, &calibration, "N", "rows held out to calibrate scores; 0: none (65536)", 0, 65536},
        {"peers", CLI_TEXT, &peers, "A,B", "compare rows within groups by the codes in A, within these by B", 0, 0},
        {"min-peers", CLI_NUMBER, &min_peers, "N", "rows a group must have; else the group around it (50)", 1,
         INT64_MAX},
        {"weight", CLI_TEXT, &weight, "A=2,B=0.5", "multiplies z-scores and choice by the trees; 0 leaves out (1)", 0,
         0},
        {"no-joint", CLI_FLAG, &no_joint, NULL, "leave out the joint deviation, which is for up to 64 features", 0, 0},
        {"seed", CLI_NUMBER, &seed, "N", "the same seed gives the same model everywhere (1)", 0, INT64_MAX},
        {"threads", CLI_NUMBER, &threads, "N", "worker threads; 0: one per CPU (0)", 0, 256},
        {"memory", CLI_SIZE, &memory, "SIZE", "what the fit may take, like 256M or 2G (512M)", 32 << 20, UINT64_MAX},
        {"resume", CLI_FLAG, &resume, NULL, "go on where an interrupted fit stopped", 0, 0},
        {"checkpoint", CLI_NUMBER, &checkpoint_s, "SECONDS", "time between checkpoints; 0: every block (5)", 0, 3600},
        {"force", CLI_FLAG, &replace, NULL, "replace FILE if it is there", 0, 0},
        {"log", CLI_TEXT, &log, "FORM", "text, json, or auto: text at a terminal, else JSON lines (auto)", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first == argc)
        return cli_usage_error(command, "no batch is named");
    if (out == NULL)
        return cli_usage_error(command, "--out FILE is needed");
    if (!cli_log_set(log))
        return cli_usage_error(command, "--log takes auto, text or json, not '%s'", log);
    const int is_classical = strcmp(deviation, "classical") == 0;
    if (!is_classical && strcmp(deviation, "robust") != 0)
        return cli_usage_error(command, "--deviation takes robust or classical, not '%s'", deviation);
    for (int i = first; i < argc; i++)
        if (cli_same_file(argv[i], out))
            return cli_usage_error(command, "%s is an input and cannot be the output as well", out);

    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_source *source = NULL;
    struct avvik_model *model = NULL;
    struct avvik_selection selection = {.table = table};
    struct cli_progress progress;
    char *names = features == NULL ? NULL : strdup(features), *key_names = peers == NULL ? NULL : strdup(peers);
    const char **split = NULL, **keys = NULL;
    float *weights = NULL;
    struct avvik_fit_summary fitted;
    char journal[4096];
    const uint64_t start = cli_now_ns();
    if (snprintf(journal, sizeof journal, "%s.journal", out) >= (int)sizeof journal) {
        code = cli_usage_error(command, "--out is too long a path");
        goto done;
    }
    if (!replace && !resume && access(out, F_OK) == 0) { /* known before the work, and not after it */
        snprintf(error.text, sizeof error.text, "%s: is already there; --force replaces it", out);
        error.status = AVVIK_ERR_EXISTS;
        code = cli_error(&error);
        goto done;
    }
    cli_progress_start(&progress, "fitting", NULL);
    struct avvik_fit_options fit = {.trees = (uint32_t)trees,
                                    .sample = (uint32_t)sample,
                                    .calibration = (uint32_t)calibration,
                                    .no_joint = no_joint,
                                    .seed = seed,
                                    .threads = (uint32_t)threads,
                                    .stop = cli_stop(),
                                    .progress = cli_progress_show,
                                    .user = &progress,
                                    .memory_bytes = memory,
                                    .journal = journal,
                                    .resume = resume,
                                    .checkpoint_ms = checkpoint_s == 0 ? 1 : (uint32_t)(1000 * checkpoint_s),
                                    .summary = &fitted,
                                    .min_peers = min_peers,
                                    .deviation = is_classical ? AVVIK_DEVIATION_CLASSICAL : AVVIK_DEVIATION_ROBUST};
    if (features != NULL && (names == NULL || !names_split(names, &split, &selection.n_features))) {
        code = cli_usage_error(command, "--features '%s' has an empty name", features);
        goto done;
    }
    selection.features = split;
    if (peers != NULL && (key_names == NULL || !names_split(key_names, &keys, &selection.n_keys))) {
        code = cli_usage_error(command, "--peers '%s' has an empty name", peers);
        goto done;
    }
    selection.keys = keys;
    if (avvik_source_open((const char *const *)argv + first, (size_t)(argc - first), &selection, &source, &error) !=
        AVVIK_OK) {
        code = cli_error(&error);
        goto done;
    }
    if (weight != NULL && (code = weights_parse(command, weight, source, &weights)) != CLI_DONE)
        goto done;
    fit.weights = weights;
    if (avvik_model_fit(source, &fit, &model, &error) != AVVIK_OK) {
        code = cli_error(&error);
        goto done;
    }
    if (avvik_model_save(model, out, replace, &error) != AVVIK_OK &&
        !(resume && error.status == AVVIK_ERR_EXISTS && is_saved(model, out))) {
        const size_t length = strlen(error.text);
        if (access(journal, F_OK) == 0)
            snprintf(error.text + length, sizeof error.text - length, "; what is done is kept for --resume");
        code = cli_error(&error);
        goto done;
    }
    cli_progress_end();
    unlink(journal);
    columns_tell(model, sample);
    if (fitted.no_checkpoints[0] != '\0')
        cli_warn("checkpoints could not be written (%s); an interrupted fit would have begun anew",
                 fitted.no_checkpoints);
    code = result_tell(model, &fitted, out, cli_now_ns() - start, is_json);
done:
    avvik_model_free(model);
    avvik_source_close(source);
    free(split);
    free(names);
    free(keys);
    free(weights);
    free(key_names);
    return code;
}

const struct cli_command cli_fit = {
    "fit", "BATCH...", "learn a model from one or more batches",
    "Several batches are read as if they were one. A batch is an HDF5 file: a group with a data set a\n"
    "column (h5py), or a compound table (pandas, PyTables).",
    run};

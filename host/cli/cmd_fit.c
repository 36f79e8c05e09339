/* avvik fit: learn a model from batches. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

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
    return json_pack(
        "{s:o, s:I, s:i, s:i, s:i, s:i, s:I, s:f, s:f, s:o, s:I, s:I, s:i, s:i, s:i, s:i, s:I, s:i, s:i, s:i, s:i, "
        "s:I}",
        "model", cli_json_text(out), "rows", (json_int_t)model->n_rows, "features", (int)model->n_features, "trees",
        (int)model->trees, "sample", (int)model->sample, "held_out", (int)model->held_out, "seed",
        (json_int_t)model->seed, "seconds", seconds, "grow_seconds", (double)fitted->grow_ns / 1e9, "stage_seconds",
        cli_stages_json(&fitted->stages), "rows_resumed", (json_int_t)fitted->rows_resumed, "bytes_read",
        (json_int_t)fitted->stages.bytes_read, "checkpoints", (int)fitted->checkpoints, "passes", (int)fitted->passes,
        "groups_seen", (int)fitted->groups_seen, "groups", (int)fitted->groups, "rows_everyone",
        (json_int_t)fitted->rows_everyone, "joint_groups", (int)fitted->joint_groups, "joint_groups_left_out",
        (int)fitted->joint_left_out, "joint_groups_alike", (int)fitted->joint_alike, "joint_groups_with_constants",
        (int)fitted->joint_constant, "rows_joint_everyone", (json_int_t)fitted->rows_joint_everyone);
}

/* Which rows have which joint deviation. */
static void joint_tell(const struct avvik_model_summary *summary, const struct avvik_fit_summary *fitted)
{
    fprintf(stderr, "joint deviation: %s groups", cli_count(fitted->joint_groups));
    if (fitted->joint_groups > 0)
        fprintf(stderr, " of at least %s rows", cli_count(summary->joint_peers));
    fprintf(stderr, " have their own; %s rows are in none and measured with everyone's\n",
            cli_count(fitted->rows_joint_everyone));
    if (fitted->joint_alike > 0)
        fprintf(stderr, "joint deviation: %s groups have none, large as they are, because no column varies in them\n",
                cli_count(fitted->joint_alike));
    if (fitted->joint_left_out > 0)
        fprintf(stderr, "joint deviation: %s smaller ones of these groups have none, because there are so many\n",
                cli_count(fitted->joint_left_out));
    if (fitted->joint_constant > 0)
        fprintf(stderr, "joint deviation: in %s of the groups a column does not vary, and has no part in it\n",
                cli_count(fitted->joint_constant));
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
            if (summary.has_joint)
                joint_tell(&summary, fitted);
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
                  ours.seed == theirs.seed && ours.splits == theirs.splits && ours.deviation == theirs.deviation &&
                  ours.n_keys == theirs.n_keys && ours.n_groups == theirs.n_groups &&
                  ours.min_peers == theirs.min_peers && ours.n_rows == theirs.n_rows && ours.trees == theirs.trees &&
                  ours.sample == theirs.sample && ours.held_out == theirs.held_out &&
                  ours.has_joint == theirs.has_joint && ours.has_tails == theirs.has_tails &&
                  ours.joint_groups == theirs.joint_groups && ours.joint_peers == theirs.joint_peers &&
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

/* What the command line says. */
struct settings {
    const char *out, *table, *features, *splits, *deviation, *peers, *weight, *log;
    uint64_t trees, sample, calibration, min_peers, joint_peers, seed, threads, memory, checkpoint_s;
    int no_joint, with_tails, resume, replace, is_json;
    enum avvik_splits drawn;
};

/* -1 if there is something to do, else the exit code of what was told. */
static int settings_take(const struct cli_command *command, struct settings *set, int argc, char **argv, int *first)
{
    *set = (struct settings){.splits = "mixed",
                             .deviation = "robust",
                             .log = "auto",
                             .trees = 128,
                             .sample = 256,
                             .calibration = 65536,
                             .min_peers = AVVIK_MIN_PEERS_DEFAULT,
                             .joint_peers = AVVIK_JOINT_PEERS_DEFAULT,
                             .seed = 1,
                             .checkpoint_s = AVVIK_CHECKPOINT_DEFAULT_MS / 1000};
    const struct cli_option options[] = {
        {"out", CLI_TEXT, &set->out, "FILE", "the model file to write (needed)", 0, 0},
        {"table", CLI_TEXT, &set->table, "PATH", "the table, where a batch has several", 0, 0},
        {"features", CLI_TEXT, &set->features, "A,B,C", "the columns that take part; default: all that may", 0, 0},
        {"trees", CLI_NUMBER, &set->trees, "N", "trees of the forest, 1 to 10000 (128)", 1, 10000},
        {"sample", CLI_NUMBER, &set->sample, "N", "rows a tree grows from, 16 to 4096 (256)", 16, 4096},
        {"splits", CLI_TEXT, &set->splits, "KIND", "trees choose features uniform(ly), by kurtosis, or mixed (mixed)",
         0, 0},
        {"deviation", CLI_TEXT, &set->deviation, "KIND", "robust: median and MAD; classical: mean and sd (robust)", 0,
         0},
        {"calibration", CLI_NUMBER, &set->calibration, "N", "rows held out to calibrate scores; 0: none (65536)", 0,
         65536},
        {"peers", CLI_TEXT, &set->peers, "A,B", "compare rows within groups by the codes in A, within these by B", 0,
         0},
        {"min-peers", CLI_NUMBER, &set->min_peers, "N", "rows a group must have; else the group around it (50)", 1,
         INT64_MAX},
        {"weight", CLI_TEXT, &set->weight, "A=2,B=0.5",
         "multiplies z-scores and choice by the trees, 0: none (1); or a FILE", 0, 0},
        {"no-joint", CLI_FLAG, &set->no_joint, NULL, "leave out the joint deviation, which is for up to 64 features", 0,
         0},
        {"tails", CLI_FLAG, &set->with_tails, NULL, "add tail probabilities (three more passes), for `flag --by tails`",
         0, 0},
        {"joint-peers", CLI_NUMBER, &set->joint_peers, "N",
         "groups of so many rows have a joint deviation of their own; 0: none (1000)", 0, INT64_MAX},
        {"seed", CLI_NUMBER, &set->seed, "N", "the same seed gives the same model everywhere (1)", 0, INT64_MAX},
        {"threads", CLI_NUMBER, &set->threads, "N", "worker threads; 0: one per CPU (0)", 0, 256},
        {"memory", CLI_SIZE, &set->memory, "SIZE", "what the fit may take, like 256M or 2G (512M)", 32 << 20,
         UINT64_MAX},
        {"resume", CLI_FLAG, &set->resume, NULL, "go on where an interrupted fit stopped", 0, 0},
        {"checkpoint", CLI_NUMBER, &set->checkpoint_s, "SECONDS", "least time between checkpoints; 0: every block (5)",
         0, 3600},
        {"force", CLI_FLAG, &set->replace, NULL, "replace FILE if it is there", 0, 0},
        {"log", CLI_TEXT, &set->log, "FORM", "text, json, or auto: text at a terminal, else JSON lines (auto)", 0, 0},
        {"json", CLI_FLAG, &set->is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    const int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, first);
    if (code >= 0)
        return code;
    if (*first == argc)
        return cli_usage_error(command, "no batch is named");
    if (set->out == NULL)
        return cli_usage_error(command, "--out FILE is needed");
    if (!cli_log_set(set->log))
        return cli_usage_error(command, "--log takes auto, text or json, not '%s'", set->log);
    if (!avvik_splits_parse(set->splits, &set->drawn))
        return cli_usage_error(command, "--splits takes uniform, mixed or kurtosis, not '%s'", set->splits);
    if (strcmp(set->deviation, "classical") != 0 && strcmp(set->deviation, "robust") != 0)
        return cli_usage_error(command, "--deviation takes robust or classical, not '%s'", set->deviation);
    for (int i = *first; i < argc; i++)
        if (cli_same_file(argv[i], set->out))
            return cli_usage_error(command, "%s is an input and cannot be the output as well", set->out);
    return -1;
}

/* The batches, and what takes part of them. CLI_DONE, or the exit code of what was told. */
static int source_open(const struct cli_command *command, const struct settings *set, char **batches, int n_batches,
                       struct avvik_source **source_out)
{
    struct avvik_error error;
    struct avvik_selection selection = {.table = set->table};
    const char **features = NULL, **keys = NULL;
    char *names = set->features == NULL ? NULL : strdup(set->features);
    char *key_names = set->peers == NULL ? NULL : strdup(set->peers);
    int code = CLI_DONE;
    if (set->features != NULL && (names == NULL || !cli_split_names(names, &features, &selection.n_features)))
        code = cli_usage_error(command, "--features '%s' has an empty name", set->features);
    else if (set->peers != NULL && (key_names == NULL || !cli_split_names(key_names, &keys, &selection.n_keys)))
        code = cli_usage_error(command, "--peers '%s' has an empty name", set->peers);
    selection.features = features;
    selection.keys = keys;
    if (code == CLI_DONE &&
        avvik_source_open((const char *const *)batches, (size_t)n_batches, &selection, source_out, &error) != AVVIK_OK)
        code = cli_error(&error);
    free(features);
    free(keys);
    free(names);
    free(key_names);
    return code;
}

/* Learn, and put the model into its place. */
static int fit_and_save(const struct settings *set, struct avvik_source *source, const float *weights,
                        const char *journal, struct avvik_fit_summary *fitted, struct avvik_model **model_out)
{
    struct avvik_error error;
    struct cli_progress progress;
    cli_progress_start(&progress, "fitting", NULL);
    const struct avvik_fit_options options = {
        .trees = (uint32_t)set->trees,
        .sample = (uint32_t)set->sample,
        .calibration = (uint32_t)set->calibration,
        .no_joint = set->no_joint,
        .with_tails = set->with_tails,
        .seed = set->seed,
        .threads = (uint32_t)set->threads,
        .stop = cli_stop(),
        .progress = cli_progress_show,
        .user = &progress,
        .memory_bytes = set->memory,
        .journal = journal,
        .resume = set->resume,
        .checkpoint_ms = set->checkpoint_s == 0 ? 1 : (uint32_t)(1000 * set->checkpoint_s),
        .summary = fitted,
        .weights = weights,
        .min_peers = set->min_peers,
        .splits = set->drawn,
        .joint_peers = set->joint_peers,
        .deviation = strcmp(set->deviation, "classical") == 0 ? AVVIK_DEVIATION_CLASSICAL : AVVIK_DEVIATION_ROBUST};
    if (avvik_model_fit(source, &options, model_out, &error) != AVVIK_OK)
        return cli_error(&error);
    if (avvik_model_save(*model_out, set->out, set->replace, &error) != AVVIK_OK &&
        !(set->resume && error.status == AVVIK_ERR_EXISTS && is_saved(*model_out, set->out))) {
        const size_t length = strlen(error.text);
        if (access(journal, F_OK) == 0)
            snprintf(error.text + length, sizeof error.text - length, "; what is done is kept for --resume");
        return cli_error(&error);
    }
    cli_progress_end();
    unlink(journal);
    return CLI_DONE;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct settings set;
    struct avvik_error error;
    struct avvik_source *source = NULL;
    struct avvik_model *model = NULL;
    struct avvik_fit_summary fitted;
    float *weights = NULL;
    char journal[4096];
    int first, code = settings_take(command, &set, argc, argv, &first);
    if (code >= 0)
        return code;
    const uint64_t start = cli_now_ns();
    if (snprintf(journal, sizeof journal, "%s.journal", set.out) >= (int)sizeof journal)
        return cli_usage_error(command, "--out is too long a path");
    if (!set.replace && !set.resume && access(set.out, F_OK) == 0) { /* known before the work, and not after it */
        snprintf(error.text, sizeof error.text, "%s: is already there; --force replaces it", set.out);
        error.status = AVVIK_ERR_EXISTS;
        return cli_error(&error);
    }
    code = source_open(command, &set, argv + first, argc - first, &source);
    if (code == CLI_DONE && set.weight != NULL &&
        avvik_feature_weights_parse(set.weight, source, &weights, &error) != AVVIK_OK)
        code =
            error.status == AVVIK_ERR_USAGE ? cli_usage_error(command, "--weight %s", error.text) : cli_error(&error);
    if (code == CLI_DONE)
        code = fit_and_save(&set, source, weights, journal, &fitted, &model);
    if (code == CLI_DONE) {
        columns_tell(model, set.sample);
        if (fitted.no_checkpoints[0] != '\0')
            cli_warn("checkpoints could not be written (%s); an interrupted fit would have begun anew",
                     fitted.no_checkpoints);
        code = result_tell(model, &fitted, set.out, cli_now_ns() - start, set.is_json);
    }
    avvik_model_free(model);
    avvik_source_close(source);
    free(weights);
    return code;
}

const struct cli_command cli_fit = {
    "fit", "BATCH...", "learn a model from one or more batches",
    "Several batches are read as if they were one. A batch is an HDF5 file: a group with a data set a\n"
    "column (h5py), or a compound table (pandas, PyTables).",
    run};

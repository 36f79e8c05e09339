/* avvik score: stream batches through a model. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"

#define MAX_PATH 4096

struct score {
    const char *model_path, *table, *out, *out_dir, *backend, *baseline_path;
    uint64_t threads, memory, compress, checkpoint_s;
    int is_json, replace, resume, skip_damaged;
    struct avvik_model *model;
    struct avvik_outlines *baseline; /* NULL: none */
    struct avvik_engine *engine;
    struct avvik_selection selection;
    const char **names;
};

/* A file that is opened while the one before it is scored. */
struct opening {
    const struct score *score;
    const char *const *paths;
    size_t n_paths;
    struct avvik_source *source;
    enum avvik_status status;
    struct avvik_error error;
    pthread_t thread;
    int is_running;
};

static void *opening_run(void *opaque)
{
    struct opening *opening = opaque;
    opening->status = avvik_source_open(opening->paths, opening->n_paths, &opening->score->selection, &opening->source,
                                        &opening->error);
    return NULL;
}

static void opening_start(struct opening *opening, const struct score *score, const char *const *paths, size_t n_paths)
{
    struct avvik_version version;
    avvik_version_get(&version);
    *opening = (struct opening){.score = score, .paths = paths, .n_paths = n_paths};
    opening->is_running =
        version.hdf5_is_threadsafe && pthread_create(&opening->thread, NULL, opening_run, opening) == 0;
    if (!opening->is_running)
        opening_run(opening);
}

static void opening_wait(struct opening *opening)
{
    if (opening->is_running)
        pthread_join(opening->thread, NULL);
    opening->is_running = 0;
}

static json_t *faults_json(const struct score *score)
{
    struct avvik_engine_faults faults;
    avvik_engine_faults(score->engine, &faults);
    return json_pack("{s:i, s:i, s:I, s:I, s:I, s:I, s:o}", "devices", (int)faults.n_devices, "devices_off",
                     (int)faults.n_devices_off, "failures", (json_int_t)faults.device_failures, "rows_on_cpu",
                     (json_int_t)faults.rows_on_cpu, "tiles_checked", (json_int_t)faults.tiles_checked, "tiles_wrong",
                     (json_int_t)faults.tiles_wrong, "reason", cli_json_text(faults.reason));
}

static json_t *summary_json(const struct score *score, const struct avvik_score_summary *summary, const char *out)
{
    const double seconds = (double)summary->elapsed_ns / 1e9;
    json_t *document = json_pack(
        "{s:o, s:I, s:s, s:o, s:i, s:f, s:f, s:o, s:I, s:I, s:I}", "scores", cli_json_text(out), "rows",
        (json_int_t)summary->n_rows, "backend", avvik_engine_backend(score->engine), "device",
        cli_json_text(avvik_engine_device(score->engine)), "threads", (int)summary->stages.threads, "seconds", seconds,
        "rows_per_second", seconds > 0 ? (double)(summary->n_rows - summary->rows_resumed) / seconds : 0,
        "stage_seconds", cli_stages_json(&summary->stages), "rows_with_missing", (json_int_t)summary->rows_with_missing,
        "missing", (json_int_t)summary->values_missing, "infinite", (json_int_t)summary->values_infinite);
    json_t *more =
        json_pack("{s:I, s:I, s:I, s:I, s:b, s:b, s:i, s:I, s:I, s:o}", "rows_without_key",
                  (json_int_t)summary->rows_without_key, "rows_without_group", (json_int_t)summary->rows_without_group,
                  "rows_absent", (json_int_t)summary->rows_absent, "rows_resumed", (json_int_t)summary->rows_resumed,
                  "complete_already", summary->is_complete_already, "rescored", summary->is_rescored, "checkpoints",
                  (int)summary->checkpoints, "bytes_read", (json_int_t)summary->stages.bytes_read, "buffer_bytes",
                  (json_int_t)summary->memory_bytes, "faults", faults_json(score));
    json_object_update(document, more);
    json_decref(more);
    return document;
}

static void summary_print(const struct score *score, const struct avvik_score_summary *summary, const char *out)
{
    const double seconds = (double)summary->elapsed_ns / 1e9;
    if (summary->is_complete_already) {
        fputs("nothing to do: ", stderr);
        cli_print_text(stderr, out);
        fputs(" is complete\n", stderr);
        return;
    }
    fprintf(stderr, "scored %s rows in %.3f s (%.2f M rows/s) on %s, %u thread%s -> ", cli_count(summary->n_rows),
            seconds, (double)(summary->n_rows - summary->rows_resumed) / seconds / 1e6,
            avvik_engine_backend(score->engine), summary->stages.threads, summary->stages.threads == 1 ? "" : "s");
    cli_print_text(stderr, out);
    fputc('\n', stderr);
    cli_stages_tell(&summary->stages, summary->elapsed_ns);
    if (summary->rows_resumed > 0)
        fprintf(stderr, "%s of the rows were scored by an earlier run\n", cli_count(summary->rows_resumed));
    if (summary->rows_with_missing > 0)
        fprintf(stderr, "%s rows have missing values (%s in all); they count as the median\n",
                cli_count(summary->rows_with_missing), cli_count(summary->values_missing + summary->values_infinite));
    if (summary->rows_without_key + summary->rows_without_group > 0)
        fprintf(stderr,
                "%s rows are compared with a larger group: %s of these lack a code, the others' own is not in the "
                "model\n",
                cli_count(summary->rows_without_key + summary->rows_without_group),
                cli_count(summary->rows_without_key));
}

/* What somebody should know even if all else is well. */
static void warnings_tell(const struct score *score, const struct avvik_score_summary *summary, const char *out)
{
    struct avvik_engine_faults faults;
    avvik_engine_faults(score->engine, &faults);
    if (summary->values_infinite > 0)
        cli_warn("%s infinite values were taken as missing", cli_count(summary->values_infinite));
    if (summary->rows_absent > 0)
        cli_warn("%s rows could not be read and have no score; /absent in %s says which and why",
                 cli_count(summary->rows_absent), out);
    if (summary->no_checkpoints[0] != '\0')
        cli_warn("checkpoints could not be written (%s); an interrupted run would have begun anew",
                 summary->no_checkpoints);
    if (faults.reason[0] != '\0')
        cli_warn("%s; the CPU scored %s rows in the place of a device (%llu failures)", faults.reason,
                 cli_count(faults.rows_on_cpu), (unsigned long long)faults.device_failures);
    if (summary->is_rescored)
        cli_warn("a device computed something wrong: everything was scored again by the CPU, and %s is right", out);
}

/* Which features have drifted since the baseline, in words and as "drifted" of the document, if there is one. */
static int drift_tell(const struct score *score, const char *out, json_t *document)
{
    static const struct avvik_drift_limits limits = AVVIK_DRIFT_LIMITS;
    struct avvik_error error;
    struct avvik_outlines *now = NULL;
    struct avvik_drift *drifts = NULL;
    char names[512] = "";
    size_t n = 0, n_drifted = 0, length = 0;
    int code = CLI_DONE;
    if (avvik_outlines_load(out, &now, &error) != AVVIK_OK ||
        avvik_outlines_compare(score->baseline, now, &limits, &drifts, &n, &error) != AVVIK_OK)
        code = cli_error(&error);
    json_t *drifted = json_array();
    for (size_t i = 0; i < n && code == CLI_DONE; i++) {
        if (!drifts[i].has_drifted)
            continue;
        if (length < sizeof names)
            length += (size_t)snprintf(names + length, sizeof names - length, "%s%s", n_drifted == 0 ? "" : ", ",
                                       drifts[i].name);
        n_drifted++;
        json_array_append_new(drifted, cli_json_text(drifts[i].name));
    }
    if (n_drifted > 0)
        cli_warn("%zu of %zu features have drifted since %s: %s%s; `avvik compare` has the numbers", n_drifted, n,
                 score->baseline_path, names, length < sizeof names ? "" : " ...");
    if (document != NULL)
        json_object_set(document, "drifted", drifted);
    json_decref(drifted);
    free(drifts);
    avvik_outlines_free(now);
    return code;
}

/* Score one source into one file. A JSON document of it goes to *document_out if that is not NULL. */
static int source_score(const struct score *score, struct avvik_source *source, const char *out, const char *name,
                        json_t **document_out)
{
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_score_summary summary;
    struct cli_progress progress;
    const struct avvik_score_options options = {
        .threads = (uint32_t)score->threads,
        .replace = score->replace,
        .stop = cli_stop(),
        .progress = cli_progress_show,
        .user = &progress,
        .memory_bytes = score->memory,
        .compress = (uint32_t)score->compress,
        .skip_damaged = score->skip_damaged,
        .resume = score->resume,
        .checkpoint_ms = score->checkpoint_s == 0 ? 1 : (uint32_t)(1000 * score->checkpoint_s)};
    cli_progress_start(&progress, "scoring", name);
    if (avvik_score_file(score->model, score->engine, source, out, &options, &summary, &error) != AVVIK_OK)
        return cli_error(&error);
    cli_progress_end();
    warnings_tell(score, &summary, out);
    if (!cli_quiet && cli_log_is_json())
        cli_log_line("scored", summary_json(score, &summary, out));
    else if (!cli_quiet)
        summary_print(score, &summary, out);
    if (document_out != NULL)
        *document_out = summary_json(score, &summary, out);
    if (score->baseline == NULL)
        return CLI_DONE;
    const int code = drift_tell(score, out, document_out == NULL ? NULL : *document_out);
    if (code != CLI_DONE && document_out != NULL) {
        json_decref(*document_out);
        *document_out = NULL;
    }
    return code;
}

/* All batches as one table into one file. */
static int score_together(struct score *score, char **paths, size_t n_paths)
{
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_source *source = NULL;
    json_t *document = NULL;
    if (avvik_source_open((const char *const *)paths, n_paths, &score->selection, &source, &error) != AVVIK_OK)
        return cli_error(&error);
    int code = source_score(score, source, score->out, NULL, score->is_json ? &document : NULL);
    if (code == CLI_DONE && document != NULL)
        code = cli_print_json(document);
    avvik_source_close(source);
    return code;
}

/* Every batch into a file of its own; one that cannot be scored does not stop the others. */
static int score_each(struct score *score, const struct cli_command *command, char **paths, size_t n_paths)
{
    int code = CLI_DONE;
    size_t n_failed = 0;
    char(*outs)[MAX_PATH] = calloc(n_paths, sizeof *outs);
    json_t *documents = json_array();
    struct opening next = {.score = score};
    if (outs == NULL || documents == NULL) {
        code = CLI_INTERNAL;
        goto done;
    }
    for (size_t i = 0; i < n_paths; i++) {
        if (!avvik_score_output_name(score->out_dir, paths[i], outs[i], sizeof outs[i])) {
            code = cli_usage_error(command, "%s has no name that a score file could be called after", paths[i]);
            goto done;
        }
        for (size_t k = 0; k < i; k++)
            if (strcmp(outs[k], outs[i]) == 0) {
                code = cli_usage_error(command, "%s and %s would both be scored into %s", paths[k], paths[i], outs[i]);
                goto done;
            }
    }
    if (mkdir(score->out_dir, 0777) != 0 && errno != EEXIST) {
        code = cli_usage_error(command, "%s cannot be made: %s", score->out_dir, strerror(errno));
        goto done;
    }
    opening_start(&next, score, (const char *const *)paths, 1);
    for (size_t i = 0; i < n_paths && code != CLI_INTERRUPTED; i++) {
        json_t *document = NULL;
        struct opening at_hand;
        opening_wait(&next);
        at_hand = next;
        next = (struct opening){.score = score};
        if (i + 1 < n_paths)
            opening_start(&next, score, (const char *const *)paths + i + 1, 1);
        const int one = at_hand.status != AVVIK_OK ? cli_error(&at_hand.error)
                                                   : source_score(score, at_hand.source, outs[i], paths[i], &document);
        avvik_source_close(at_hand.source);
        if (one != CLI_DONE) {
            n_failed++;
            code = one == CLI_INTERRUPTED ? CLI_INTERRUPTED : code == CLI_DONE ? one : code;
            document = json_pack("{s:o, s:i}", "input", cli_json_text(paths[i]), "exit", one);
        }
        json_array_append_new(documents, document);
    }
    if (n_failed > 0 && code != CLI_INTERRUPTED)
        cli_warn("%zu of %zu batches could not be scored; the others are in %s", n_failed, n_paths, score->out_dir);
    if (score->is_json) {
        const int printed = cli_print_json(documents);
        documents = NULL;
        code = code == CLI_DONE ? printed : code;
    }
done:
    opening_wait(&next);
    avvik_source_close(next.source);
    json_decref(documents);
    free(outs);
    return code;
}

/* Load the model and make it ready. */
static int score_prepare(struct score *score)
{
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_model_summary learnt;
    if (avvik_model_load(score->model_path, &score->model, &error) != AVVIK_OK)
        return cli_error(&error);
    if (score->baseline_path != NULL && avvik_outlines_load(score->baseline_path, &score->baseline, &error) != AVVIK_OK)
        return cli_error(&error);
    avvik_model_summarize(score->model, &learnt);
    if ((score->names = calloc(learnt.n_features + learnt.n_keys, sizeof *score->names)) == NULL)
        return CLI_INTERNAL;
    for (uint32_t k = 0; k < learnt.n_keys; k++)
        score->names[learnt.n_features + k] = avvik_model_key(score->model, k);
    for (uint32_t f = 0; f < learnt.n_features; f++) {
        struct avvik_feature_summary feature;
        avvik_model_feature(score->model, f, &feature);
        score->names[f] = feature.name;
    }
    score->selection = (struct avvik_selection){.table = score->table == NULL ? learnt.table : score->table,
                                                .features = score->names,
                                                .n_features = learnt.n_features,
                                                .keys = score->names + learnt.n_features,
                                                .n_keys = learnt.n_keys};
    if (avvik_engine_open(score->model, score->backend, &score->engine, &error) != AVVIK_OK)
        return cli_error(&error);
    if (avvik_engine_warning(score->engine) != NULL)
        cli_warn("%s", avvik_engine_warning(score->engine));
    return CLI_DONE;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct score score = {.backend = "auto", .checkpoint_s = AVVIK_CHECKPOINT_DEFAULT_MS / 1000};
    const char *log = "auto";
    int first;
    const struct cli_option options[] = {
        {"model", CLI_TEXT, &score.model_path, "FILE", "the model (needed)", 0, 0},
        {"out", CLI_TEXT, &score.out, "FILE", "one score file for all batches (this or --out-dir)", 0, 0},
        {"out-dir", CLI_TEXT, &score.out_dir, "DIR", "a score file for each batch: DIR/NAME.scores.h5", 0, 0},
        {"baseline", CLI_TEXT, &score.baseline_path, "FILE",
         "earlier scores, or a model: name the features that have drifted since", 0, 0},
        {"table", CLI_TEXT, &score.table, "PATH", "the table; default: the one the model was fitted on", 0, 0},
        {"backend", CLI_TEXT, &score.backend, "NAME",
         "auto, scalar, avx2, avx512, avx512vbmi, opencl[:P.D,...|all] (auto)", 0, 0},
        {"threads", CLI_NUMBER, &score.threads, "N", "worker threads; 0: one per CPU (0)", 0, 256},
        {"memory", CLI_SIZE, &score.memory, "SIZE", "what the run may take, like 256M or 2G (512M)", 32 << 20,
         UINT64_MAX},
        {"compress", CLI_LEVEL, &score.compress, "[=LEVEL]", "shuffle and deflate the scores, level 1 to 9 (4)", 1, 9},
        {"skip-damaged", CLI_FLAG, &score.skip_damaged, NULL, "leave out rows that cannot be read, and say which", 0,
         0},
        {"resume", CLI_FLAG, &score.resume, NULL, "go on where an interrupted run stopped", 0, 0},
        {"checkpoint", CLI_NUMBER, &score.checkpoint_s, "SECONDS",
         "least time between checkpoints; 0: after every block (5)", 0, 3600},
        {"force", CLI_FLAG, &score.replace, NULL, "replace the output if it is there", 0, 0},
        {"log", CLI_TEXT, &log, "FORM", "text, json, or auto: text at a terminal, else JSON lines (auto)", 0, 0},
        {"json", CLI_FLAG, &score.is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but warnings and errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (score.model_path == NULL)
        return cli_usage_error(command, "--model FILE is needed");
    if ((score.out == NULL) == (score.out_dir == NULL))
        return cli_usage_error(command, "one of --out FILE and --out-dir DIR is needed");
    if (first == argc)
        return cli_usage_error(command, "no batch is named");
    if (!cli_log_set(log))
        return cli_usage_error(command, "--log takes auto, text or json, not '%s'", log);
    for (int i = first; i < argc && score.out != NULL; i++)
        if (cli_same_file(argv[i], score.out) || cli_same_file(score.model_path, score.out) ||
            (score.baseline_path != NULL && cli_same_file(score.baseline_path, score.out)))
            return cli_usage_error(command, "%s is an input and cannot be the output as well", score.out);
    code = score_prepare(&score);
    if (code == CLI_DONE)
        code = score.out != NULL ? score_together(&score, argv + first, (size_t)(argc - first))
                                 : score_each(&score, command, argv + first, (size_t)(argc - first));
    free(score.names);
    avvik_engine_close(score.engine);
    avvik_model_free(score.model);
    avvik_outlines_free(score.baseline);
    return code;
}

const struct cli_command cli_score = {
    "score", "BATCH...", "stream batches through a model into score files",
    "The scores are the same to the last bit on every backend and for any number of threads.\n"
    "A run that was killed or interrupted goes on with --resume, and writes what it would have written.",
    run};

/* avvik score: stream batches through a model. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int result_tell(const struct avvik_score_summary *summary, const struct avvik_engine *engine, const char *out,
                       int is_json)
{
    const double seconds = (double)summary->elapsed_ns / 1e9, rate = (double)summary->n_rows / seconds;
    if (is_json)
        return cli_print_json(
            json_pack("{s:o, s:I, s:s, s:o, s:i, s:f, s:f, s:{s:f, s:f, s:f}, s:I, s:I, s:I}", "scores",
                      cli_json_text(out), "rows", (json_int_t)summary->n_rows, "backend", avvik_engine_backend(engine),
                      "device", cli_json_text(avvik_engine_device(engine)), "threads", (int)summary->threads, "seconds",
                      seconds, "rows_per_second", rate, "stage_seconds", "read", (double)summary->read_ns / 1e9, "work",
                      (double)summary->work_ns / 1e9, "write", (double)summary->write_ns / 1e9, "rows_with_missing",
                      (json_int_t)summary->rows_with_missing, "missing", (json_int_t)summary->values_missing,
                      "infinite", (json_int_t)summary->values_infinite));
    if (cli_quiet)
        return CLI_DONE;
    fprintf(stderr, "scored %s rows in %.3f s (%.2f M rows/s) on %s, %u thread%s -> ", cli_count(summary->n_rows),
            seconds, rate / 1e6, avvik_engine_backend(engine), summary->threads, summary->threads == 1 ? "" : "s");
    cli_print_text(stderr, out);
    fputc('\n', stderr);
    if (summary->rows_with_missing > 0)
        fprintf(stderr, "%s rows have missing values (%s in all); they count as the median\n",
                cli_count(summary->rows_with_missing), cli_count(summary->values_missing + summary->values_infinite));
    return CLI_DONE;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *model_path = NULL, *table = NULL, *out = NULL, *backend = "auto";
    uint64_t threads = 0;
    int is_json = 0, replace = 0, first;
    const struct cli_option options[] = {
        {"model", CLI_TEXT, &model_path, "FILE", "the model (needed)", 0, 0},
        {"out", CLI_TEXT, &out, "FILE", "the score file to write (needed)", 0, 0},
        {"table", CLI_TEXT, &table, "PATH", "the table; default: the one the model was fitted on", 0, 0},
        {"backend", CLI_TEXT, &backend, "NAME", "auto, scalar, avx2, avx512, avx512vbmi, opencl[:P.D] (auto)", 0, 0},
        {"threads", CLI_NUMBER, &threads, "N", "worker threads; 0: one per CPU (0)", 0, 256},
        {"force", CLI_FLAG, &replace, NULL, "replace FILE if it is there", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (model_path == NULL || out == NULL)
        return cli_usage_error(command, "--%s FILE is needed", model_path == NULL ? "model" : "out");
    if (first == argc)
        return cli_usage_error(command, "no batch is named");
    for (int i = first; i < argc; i++)
        if (cli_same_file(argv[i], out) || cli_same_file(model_path, out))
            return cli_usage_error(command, "%s is an input and cannot be the output as well", out);

    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_model *model = NULL;
    struct avvik_source *source = NULL;
    struct avvik_engine *engine = NULL;
    struct avvik_model_summary learnt;
    struct avvik_score_summary summary;
    struct cli_progress progress;
    const char **names = NULL;
    cli_progress_start(&progress, "scoring");
    const struct avvik_score_options run_options = {(uint32_t)threads, replace, cli_stop(), cli_progress_show,
                                                    &progress};
    if (avvik_model_load(model_path, &model, &error) != AVVIK_OK) {
        code = cli_error(&error);
        goto done;
    }
    avvik_model_summarize(model, &learnt);
    if ((names = calloc(learnt.n_features, sizeof *names)) == NULL) {
        code = CLI_INTERNAL;
        goto done;
    }
    for (uint32_t f = 0; f < learnt.n_features; f++) {
        struct avvik_feature_summary feature;
        avvik_model_feature(model, f, &feature);
        names[f] = feature.name;
    }
    const struct avvik_selection selection = {table == NULL ? learnt.table : table, names, learnt.n_features};
    if (avvik_source_open((const char *const *)argv + first, (size_t)(argc - first), &selection, &source, &error) !=
            AVVIK_OK ||
        avvik_engine_open(model, backend, &engine, &error) != AVVIK_OK) {
        code = cli_error(&error);
        goto done;
    }
    if (avvik_engine_warning(engine) != NULL)
        cli_warn("%s", avvik_engine_warning(engine));
    if (avvik_score_file(model, engine, source, out, &run_options, &summary, &error) != AVVIK_OK) {
        code = cli_error(&error);
        goto done;
    }
    cli_progress_end();
    if (summary.values_infinite > 0)
        cli_warn("%s infinite values were taken as missing", cli_count(summary.values_infinite));
    code = result_tell(&summary, engine, out, is_json);
done:
    free(names);
    avvik_engine_close(engine);
    avvik_source_close(source);
    avvik_model_free(model);
    return code;
}

const struct cli_command cli_score = {
    "score", "BATCH...", "stream batches through a model into a score file",
    "The scores are the same to the last bit on every backend and for any number of threads.", run};

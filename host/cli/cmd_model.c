/* avvik model show: what a model is made of. */
#include <string.h>

#include "cli.h"

static const char *deviation_name(const struct avvik_model_summary *summary)
{
    return summary->deviation == AVVIK_DEVIATION_ROBUST ? "robust" : "classical";
}

static int json_print(const struct avvik_model *model, const struct avvik_model_summary *summary)
{
    json_t *features = json_array();
    for (uint32_t f = 0; f < summary->n_features; f++) {
        struct avvik_feature_summary feature;
        avvik_model_feature(model, f, &feature);
        json_array_append_new(features,
                              json_pack("{s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:b}",
                                        "name", cli_json_text(feature.name), "weight", feature.weight, "mean",
                                        feature.mean, "sd", feature.sd, "median", feature.median, "mad", feature.mad,
                                        "mean_deviation", feature.mean_deviation, "min", feature.min, "max",
                                        feature.max, "fill", (double)feature.fill, "count", (json_int_t)feature.count,
                                        "missing", (json_int_t)feature.missing, "infinite",
                                        (json_int_t)feature.infinite, "constant", feature.is_constant));
    }
    json_t *peers = json_array();
    for (uint32_t k = 0; k < summary->n_keys; k++)
        json_array_append_new(peers, cli_json_text(avvik_model_key(model, k)));
    return cli_print_json(json_pack(
        "{s:b, s:i, s:I, s:o, s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:I, s:i, s:I, s:i, s:i, s:i, s:s, s:s, s:s, s:o}",
        "joint", summary->has_joint, "joint_groups", (int)summary->joint_groups, "joint_peers",
        (json_int_t)summary->joint_peers, "peers", peers, "groups", (int)summary->n_groups - 1, "min_peers",
        (json_int_t)(summary->n_keys == 0 ? 0 : summary->min_peers), "table", cli_json_text(summary->table), "created",
        cli_json_text(summary->created), "producer", cli_json_text(summary->producer), "content_hash",
        cli_json_text(summary->content_hash), "input_hash", cli_json_text(summary->input_hash), "rows",
        (json_int_t)summary->n_rows, "held_out", (int)summary->held_out, "seed", (json_int_t)summary->seed, "trees",
        (int)summary->trees, "sample", (int)summary->sample, "height", (int)summary->height, "layout",
        summary->is_wide ? "wide" : "packed", "splits", avvik_splits_name(summary->splits), "deviation",
        deviation_name(summary), "features", features));
}

static void line_print(const char *name, const char *value)
{
    printf("%-13s ", name);
    cli_print_text(stdout, value);
    putchar('\n');
}

static void table_print(const struct avvik_model *model, const struct avvik_model_summary *summary)
{
    int widest = 7;
    const int is_robust = summary->deviation == AVVIK_DEVIATION_ROBUST;
    line_print("table", summary->table);
    line_print("rows", cli_count(summary->n_rows));
    line_print("held out", cli_count(summary->held_out));
    printf("%-13s %u trees of %u rows, height %u, %s nodes, splits %s, seed %llu\n", "forest", summary->trees,
           summary->sample, summary->height, summary->is_wide ? "wide" : "packed", avvik_splits_name(summary->splits),
           (unsigned long long)summary->seed);
    line_print("deviation", is_robust ? "robust: 0.6745 (x - median) / MAD" : "classical: (x - mean) / sd");
    if (summary->has_tails)
        line_print("tails", "exact quantiles of all rows; `flag --by tails` ranks by them");
    if (summary->n_keys > 0)
        printf("%-13s", "peers");
    for (uint32_t k = 0; k < summary->n_keys; k++) {
        fputs(k == 0 ? " " : ", ", stdout);
        cli_print_text(stdout, avvik_model_key(model, k));
    }
    if (summary->n_keys > 0)
        printf(": %s groups of at least %s rows\n", cli_count(summary->n_groups - 1), cli_count(summary->min_peers));
    if (!summary->has_joint)
        line_print("joint", "none");
    else if (summary->joint_groups == 0)
        line_print("joint", "everyone's");
    else {
        printf("%-13s everyone's, and of their own %s groups", "joint", cli_count(summary->joint_groups));
        printf(" of at least %s rows\n", cli_count(summary->joint_peers));
    }
    line_print("created", summary->created);
    line_print("producer", summary->producer);
    line_print("content hash", summary->content_hash);
    line_print("input hash", summary->input_hash);
    struct avvik_feature_summary feature;
    for (uint32_t f = 0; f < summary->n_features; f++) {
        avvik_model_feature(model, f, &feature);
        widest = (int)strlen(feature.name) > widest ? (int)strlen(feature.name) : widest;
    }
    printf("\n%-*s  %12s  %12s  %12s  %12s  %12s  %10s\n", widest, "feature", is_robust ? "median" : "mean",
           is_robust ? "MAD" : "sd", "min", "max", "fill", "missing");
    for (uint32_t f = 0; f < summary->n_features; f++) {
        avvik_model_feature(model, f, &feature);
        cli_print_text(stdout, feature.name);
        printf("%*s  %12.6g  %12.6g  %12.6g  %12.6g  %12.6g  %10s%s", widest - (int)strlen(feature.name), "",
               is_robust ? feature.median : feature.mean, is_robust ? feature.mad : feature.sd, feature.min,
               feature.max, (double)feature.fill, cli_count(feature.missing + feature.infinite),
               feature.is_constant          ? "  constant"
               : feature.mean_deviation > 0 ? "  mean absolute deviation"
                                            : "");
        if (feature.weight != 1)
            printf("  weight %g", feature.weight);
        putchar('\n');
    }
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    int is_json = 0, first;
    const struct cli_option options[] = {
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    const int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first + 2 != argc || strcmp(argv[first], "show") != 0)
        return cli_usage_error(command, "it takes `show` and one model file");
    struct avvik_error error;
    struct avvik_model *model;
    struct avvik_model_summary summary;
    if (avvik_model_load(argv[first + 1], &model, &error) != AVVIK_OK)
        return cli_error(&error);
    avvik_model_summarize(model, &summary);
    int result = CLI_DONE;
    if (is_json)
        result = json_print(model, &summary);
    else
        table_print(model, &summary);
    avvik_model_free(model);
    return result;
}

const struct cli_command cli_model = {"model", "show MODEL", "show what a model is made of", NULL, run};

/* avvik compare: which features have drifted between two models or nights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static json_t *number_json(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *pair_json(const double pair[2])
{
    return json_pack("[o, o]", number_json(pair[0]), number_json(pair[1]));
}

static int json_print(const struct avvik_drift *drifts, size_t n, size_t n_drifted,
                      const struct avvik_drift_limits *limits)
{
    json_t *features = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct avvik_drift *one = &drifts[i];
        const char *in = !one->is_after ? "before" : !one->is_before ? "after" : "both";
        json_array_append_new(features,
                              json_pack("{s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
                                        cli_json_text(one->name), "in", in, "drifted", one->has_drifted, "psi",
                                        number_json(one->psi), "ks", number_json(one->ks), "shift",
                                        number_json(one->shift), "center", pair_json(one->center), "spread",
                                        pair_json(one->spread), "missing_share", pair_json(one->missing_share)));
    }
    return cli_print_json(json_pack("{s:i, s:{s:f, s:f, s:f, s:f}, s:o}", "drifted", (int)n_drifted, "limits", "psi",
                                    limits->psi, "ks", limits->ks, "shift", limits->shift, "missing_change",
                                    limits->missing_change, "features", features));
}

static void share_print(double share)
{
    if (isnan(share))
        printf("  %9s", "-");
    else
        printf("  %7.2f %%", 100 * share);
}

static void table_print(const struct avvik_drift *drifts, size_t n, size_t n_drifted)
{
    int widest = 7;
    for (size_t i = 0; i < n; i++)
        widest = (int)strlen(drifts[i].name) > widest ? (int)strlen(drifts[i].name) : widest;
    printf("%zu of %zu features have drifted\n\n%-*s  %8s  %8s  %9s  %13s  %13s  %9s  %9s\n", n_drifted, n, widest,
           "feature", "PSI", "KS", "shift", "center before", "after", "missing", "after");
    for (size_t i = 0; i < n; i++) {
        const struct avvik_drift *one = &drifts[i];
        cli_print_text(stdout, one->name);
        printf("%*s", widest - (int)strlen(one->name), "");
        if (one->is_before && one->is_after)
            printf("  %8.4f  %8.4f  %+9.3f  %13.6g  %13.6g", one->psi, one->ks, one->shift, one->center[0],
                   one->center[1]);
        else
            printf("  %-59s", one->is_before ? "only in the first file" : "only in the second file");
        share_print(one->missing_share[0]);
        share_print(one->missing_share[1]);
        puts(one->has_drifted ? "  drifted" : "");
    }
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *gate = NULL, *limit = NULL;
    struct avvik_drift_limits limits = AVVIK_DRIFT_LIMITS;
    int is_json = 0, first;
    const struct cli_option options[] = {
        {"limits", CLI_TEXT, &limit, "psi=0.3,...", "what counts as drift (psi=0.25,ks=0.2,shift=1,missing_change=0.1)",
         0, 0},
        {"gate", CLI_TEXT, &gate, "psi=0.3,...", "the same, and any drift ends with exit code 7", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first + 2 != argc)
        return cli_usage_error(command, "it takes two models or score files, the earlier one first");
    if (gate != NULL && limit != NULL)
        return cli_usage_error(command, "--gate has the limits, and --limits cannot stand beside it");
    const char *given = gate != NULL ? gate : limit;
    if (given != NULL && !avvik_drift_limits_parse(given, &limits))
        return cli_usage_error(command,
                               "--%s takes limits such as psi=0.25,ks=0.2,shift=1,missing_change=0.1, not '%s'",
                               gate != NULL ? "gate" : "limits", given);
    struct avvik_error error;
    struct avvik_outlines *outlines[2] = {NULL, NULL};
    struct avvik_drift *drifts = NULL;
    size_t n = 0, n_drifted = 0;
    if (avvik_outlines_load(argv[first], &outlines[0], &error) != AVVIK_OK ||
        avvik_outlines_load(argv[first + 1], &outlines[1], &error) != AVVIK_OK ||
        avvik_outlines_compare(outlines[0], outlines[1], &limits, &drifts, &n, &error) != AVVIK_OK) {
        code = cli_error(&error);
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        n_drifted += drifts[i].has_drifted ? 1u : 0u;
    code = CLI_DONE;
    if (is_json)
        code = json_print(drifts, n, n_drifted, &limits);
    else if (!cli_quiet)
        table_print(drifts, n, n_drifted);
    if (code == CLI_DONE && gate != NULL && n_drifted > 0)
        code = CLI_GATE_BREACHED;
done:
    free(drifts);
    avvik_outlines_free(outlines[0]);
    avvik_outlines_free(outlines[1]);
    return code;
}

const struct cli_command cli_compare = {
    "compare", "BEFORE AFTER", "tell which features have drifted between two models or score files",
    "Each feature's distribution (population stability index, Kolmogorov-Smirnov), center and share of\n"
    "missing values, as two models learnt them, as two batches that were scored have them, or as a model\n"
    "learnt them and a batch has them.",
    run};

/* avvik synth: a country that never existed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const char more[] =
    "Writes FOLDER, which comes into being as a whole: registry.h5 (persons, households, businesses,\n"
    "accounts, jobs, life events), a batch for each month (/benefit, /tax_wage, and /tax_vat where a\n"
    "two-monthly term ends), truth.h5 (which rows belong to a typology, and which only look like it)\n"
    "and identity.key. No real person, account or business is in it: every identity number has 80 added\n"
    "to the month, every organisation number begins with 2 or 3, and batches carry keyed hashes only.\n"
    "The same options give the same bytes, on any machine, with any number of threads.\n\n"
    "  avvik synth --out build/country\n"
    "  avvik check build/country/batch_2025-12.h5 --table /benefit\n"
    "  avvik fit build/country/batch_2025-*.h5 --table /benefit --out model.h5\n"
    "  avvik score --model model.h5 build/country/batch_2025-12.h5 --out scores.h5\n"
    "  avvik flag scores.h5 --budget 20 --labels build/country/truth.h5:/batch_2025-12/benefit/label\n"
    "  avvik find build/country/registry.h5 --age 30..40 --benefit dagpenger --event job_lost\n\n"
    "typologies, for --typology NAME=RATE (a share of all persons, or of businesses where marked *):";

/* The number that `text` is, within [0, most]; 1 on success. */
static int share_parse(const char *text, double most, double *share_out)
{
    char *end;
    if ((text[0] < '0' || text[0] > '9') && text[0] != '.')
        return 0;
    const double share = strtod(text, &end);
    if (*end != '\0' || !(share >= 0 && share <= most))
        return 0;
    *share_out = share;
    return 1;
}

static void names_tell(char *text, size_t size)
{
    size_t length = 0;
    for (int t = 1; t <= AVVIK_SYNTH_TYPOLOGIES && length < size; t++)
        length +=
            (size_t)snprintf(text + length, size - length, "%s%s", t == 1 ? "" : ", ", avvik_synth_typology_name(t));
}

/* "vat_carousel=0.01,inflated_pay=0" into the options; -1 to go on. */
static int typologies_set(const struct cli_command *command, const char *text, struct avvik_synth_options *options)
{
    char *copy = strdup(text), *rest = NULL, names[400];
    int code = copy == NULL ? CLI_INTERNAL : -1;
    for (char *one = code < 0 ? strtok_r(copy, ",", &rest) : NULL; one != NULL && code < 0;
         one = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(one, '=');
        int t = 1;
        if (equals != NULL)
            *equals = '\0';
        while (t <= AVVIK_SYNTH_TYPOLOGIES && strcmp(one, avvik_synth_typology_name(t)) != 0)
            t++;
        names_tell(names, sizeof names);
        if (equals == NULL || t > AVVIK_SYNTH_TYPOLOGIES)
            code = cli_usage_error(command, "--typology takes NAME=RATE with one of %s, not '%s'", names, one);
        else if (!share_parse(equals + 1, 0.2, &options->typologies[t]))
            code = cli_usage_error(command, "--typology %s takes a share from 0 to 0.2, not '%s'", one, equals + 1);
    }
    free(copy);
    return code;
}

/* "2025-01" */
static int month_parse(const char *text, int *year_out, int *month_out)
{
    int end = -1;
    return strlen(text) == 7 && sscanf(text, "%4d-%2d%n", year_out, month_out, &end) == 2 && end == 7 &&
           text[4] == '-' && *month_out >= 1 && *month_out <= 12;
}

static int rules_print(int is_json)
{
    json_t *rules = json_array();
    if (!is_json) {
        json_decref(rules);
        printf("%-20s  %-10s  %12s  %-45s  %s\n", "rule", "from", "value", "unit", "source");
    }
    for (size_t i = 0; i < avvik_synth_n_rules(); i++) {
        const struct avvik_synth_rule *rule = avvik_synth_rule(i);
        char from[16];
        snprintf(from, sizeof from, "%04d-%02d-%02d", rule->year, rule->month, rule->day);
        if (is_json)
            json_array_append_new(rules, json_pack("{s:s, s:s, s:f, s:s, s:s}", "rule", rule->name, "from", from,
                                                   "value", rule->value, "unit", rule->unit, "source", rule->source));
        else
            printf("%-20s  %s  %12.10g  %-45s  %s\n", rule->name, from, rule->value, rule->unit, rule->source);
    }
    return is_json ? cli_print_json(json_pack("{s:o}", "rules", rules)) : CLI_DONE;
}

static void progress_show(void *user, const struct avvik_synth_progress *progress)
{
    static uint64_t shown_ns;
    const uint64_t now = cli_now_ns();
    const uint64_t *start_ns = user;
    if (cli_quiet || !isatty(STDERR_FILENO) || now - shown_ns < 100000000u)
        return;
    shown_ns = now;
    fprintf(stderr, "\r\033[K%s %s  %s of %s rows  %.2f M rows/s", progress->file, progress->table,
            cli_count(progress->rows_done), cli_count(progress->n_rows),
            (double)progress->all_rows_done / ((double)(now - *start_ns) / 1e3));
    fflush(stderr);
}

static int result_tell(const struct avvik_synth_summary *summary, const char *out, int is_json)
{
    const double seconds = (double)summary->elapsed_ns / 1e9;
    const uint64_t rows = summary->benefit_rows + summary->wage_rows + summary->vat_rows;
    if (!cli_quiet && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (!cli_quiet && !is_json) {
        fprintf(stderr,
                "%s persons in %s households, %s businesses; %s benefit, %s wage and %s VAT rows in %.2f s (%.2f M "
                "rows/s, %.1f MB) -> ",
                cli_count(summary->persons), cli_count(summary->households), cli_count(summary->employers),
                cli_count(summary->benefit_rows), cli_count(summary->wage_rows), cli_count(summary->vat_rows), seconds,
                (double)rows / seconds / 1e6, (double)summary->bytes / 1e6);
        cli_print_text(stderr, out);
        fputc('\n', stderr);
    }
    if (!is_json)
        return CLI_DONE;
    json_t *files = json_array();
    for (size_t i = 0; i < summary->n_files; i++)
        json_array_append_new(files, json_string(summary->files[i]));
    return cli_print_json(json_pack(
        "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o}", "folder", cli_json_text(out), "persons",
        (json_int_t)summary->persons, "households", (json_int_t)summary->households, "businesses",
        (json_int_t)summary->employers, "benefit_rows", (json_int_t)summary->benefit_rows, "wage_rows",
        (json_int_t)summary->wage_rows, "vat_rows", (json_int_t)summary->vat_rows, "bytes", (json_int_t)summary->bytes,
        "seconds", seconds, "benefit_seconds", (double)summary->benefit_ns / 1e9, "files", files));
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *out = NULL, *from = NULL, *fraud_rate = NULL, *typology = NULL, *look_alikes = NULL, *key = NULL,
               *layout = "chunked";
    struct avvik_synth_options synth;
    avvik_synth_options_init(&synth);
    uint64_t months = (uint64_t)synth.n_months, level = (uint64_t)synth.level, threads = 0;
    int is_json = 0, show_rules = 0, first;
    const struct cli_option options[] = {
        {"out", CLI_TEXT, &out, "FOLDER", "where to write the country (needed)", 0, 0},
        {"persons", CLI_NUMBER, &synth.n_persons, "N", "how many, 1000 to 50000000 (100000)", AVVIK_SYNTH_MIN_PERSONS,
         AVVIK_SYNTH_MAX_PERSONS},
        {"months", CLI_NUMBER, &months, "M", "how many, 1 to 48 (12)", 1, AVVIK_SYNTH_MAX_MONTHS},
        {"from", CLI_TEXT, &from, "YYYY-MM", "the first month, 2023-01 to 2026-12 (2025-01)", 0, 0},
        {"seed", CLI_NUMBER, &synth.seed, "N", "the same seed gives the same country everywhere (1)", 0, INT64_MAX},
        {"fraud-rate", CLI_TEXT, &fraud_rate, "RATE", "persons, and businesses, in typologies (0.005)", 0, 0},
        {"typology", CLI_TEXT, &typology, "NAME=RATE,...", "the rate of some by themselves, see below", 0, 0},
        {"look-alikes", CLI_TEXT, &look_alikes, "N", "harmless ones for each of them (2)", 0, 0},
        {"key", CLI_TEXT, &key, "FILE", "hash identities with this key; default: from the seed", 0, 0},
        {"compress", CLI_LEVEL, &level, "=LEVEL", "shuffle and deflate the tables, 0 to 9 (1)", 0, 9},
        {"layout", CLI_TEXT, &layout, "LAYOUT", "chunked, or contiguous and uncompressed (chunked)", 0, 0},
        {"threads", CLI_NUMBER, &threads, "N", "worker threads; 0: one per CPU (0)", 0, 256},
        {"force", CLI_FLAG, &synth.replace, NULL, "replace the country that is in FOLDER", 0, 0},
        {"rules", CLI_FLAG, &show_rules, NULL, "print the rules behind the amounts, and exit", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (show_rules)
        return rules_print(is_json);
    if (first < argc)
        return cli_usage_error(command, "'%s' is no option; the folder goes behind --out", argv[first]);
    if (out == NULL || out[0] == '\0')
        return cli_usage_error(command, "--out FOLDER is needed");
    if (from != NULL && !month_parse(from, &synth.year, &synth.month))
        return cli_usage_error(command, "--from takes a month like 2025-01, not '%s'", from);
    if (fraud_rate != NULL && !share_parse(fraud_rate, 0.2, &synth.fraud_rate))
        return cli_usage_error(command, "--fraud-rate takes a share from 0 to 0.2, not '%s'", fraud_rate);
    if (look_alikes != NULL && !share_parse(look_alikes, 10, &synth.look_alikes))
        return cli_usage_error(command, "--look-alikes takes a number from 0 to 10, not '%s'", look_alikes);
    if (typology != NULL && (code = typologies_set(command, typology, &synth)) >= 0)
        return code;
    if (strcmp(layout, "chunked") != 0 && strcmp(layout, "contiguous") != 0)
        return cli_usage_error(command, "--layout takes chunked or contiguous, not '%s'", layout);

    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_synth_summary summary;
    uint64_t start_ns = cli_now_ns();
    synth.n_months = (int)months;
    synth.level = (int)level;
    synth.is_contiguous = layout[1] == 'o';
    synth.key = key;
    synth.threads = (uint32_t)threads;
    synth.stop = cli_stop();
    synth.progress = progress_show;
    synth.user = &start_ns;
    if (avvik_synth(out, &synth, &summary, &error) != AVVIK_OK) {
        if (!cli_quiet && isatty(STDERR_FILENO))
            fputs("\r\033[K", stderr);
        return cli_error(&error);
    }
    return result_tell(&summary, out, is_json);
}

/* The help ends with the list of typologies, which is the library's. */
static int help_or_run(const struct cli_command *command, int argc, char **argv)
{
    const int code = run(command, argc, argv);
    for (int i = 1; i < argc && code == CLI_DONE; i++)
        if (strcmp(argv[i], "--help") == 0) {
            for (int t = 1; t <= AVVIK_SYNTH_TYPOLOGIES; t++) {
                int is_business;
                const char *text = avvik_synth_typology_text(t, &is_business);
                printf("  %-21s %c %s\n", avvik_synth_typology_name(t), is_business ? '*' : ' ', text);
            }
            break;
        }
    return code;
}

const struct cli_command cli_synth = {"synth", "", "write a synthetic country: register, batches, truth", more,
                                      help_or_run};

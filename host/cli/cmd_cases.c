/* avvik cases: cases into the store that avvik serve shows, and the rules it goes by. */
#include <string.h>

#include "cli.h"

static const char more[] =
    "cases add STORE FILE...   adds the case documents that `avvik explain --jsonl` writes, all of a file or none;\n"
    "                          STORE is made where there is none\n"
    "cases export STORE        prints what was decided, a line a case: of --night, or of all nights; CSV, or JSON "
    "Lines\n"
    "                          with --json\n"
    "cases rules STORE         shows the rules, after those named by an option were set\n\n"
    "A case that was seen on an earlier night is the same case: the new night is added to it. Whatever is added or "
    "set\n"
    "is in the store's log (avvik audit verify).";

static int add(struct avvik_store *store, const char *night, char **files, int n_files, int is_json)
{
    struct avvik_error error;
    struct avvik_store_added all = {0, 0, 0};
    struct avvik_audit_head head;
    for (int i = 0; i < n_files; i++) {
        struct avvik_store_added added;
        if (avvik_store_add(store, files[i], night, &added, &error) != AVVIK_OK)
            return cli_error(&error);
        all.n_new += added.n_new;
        all.n_linked += added.n_linked;
        all.n_known += added.n_known;
    }
    if (avvik_audit_head_get(store, &head, &error) != AVVIK_OK)
        return cli_error(&error);
    if (is_json)
        return cli_print_json(json_pack("{s:I, s:I, s:I, s:{s:I, s:s}}", "new", (json_int_t)all.n_new, "linked",
                                        (json_int_t)all.n_linked, "known", (json_int_t)all.n_known, "log", "row",
                                        (json_int_t)head.row, "hash", head.hash));
    if (!cli_quiet)
        printf("%s new cases, %s seen on earlier nights, %s known already\nthe log ends with row %lld:%s\n",
               cli_count(all.n_new), cli_count(all.n_linked), cli_count(all.n_known), (long long)head.row, head.hash);
    return CLI_DONE;
}

static int rules(struct avvik_store *store, int four_eyes, const char *fields, int is_json)
{
    struct avvik_error error;
    struct avvik_store_rules now;
    if ((four_eyes >= 0 || fields != NULL) && avvik_store_rules_set(store, four_eyes, fields, &error) != AVVIK_OK)
        return cli_error(&error);
    if (avvik_store_rules(store, &now, &error) != AVVIK_OK)
        return cli_error(&error);
    if (is_json)
        return cli_print_json(json_pack("{s:s, s:o}", "four_eyes", avvik_four_eyes_name(now.four_eyes), "fields",
                                        cli_json_text(now.fields)));
    printf("four eyes  %s\nfields     ", avvik_four_eyes_name(now.four_eyes));
    cli_print_text(stdout, now.fields);
    putchar('\n');
    return CLI_DONE;
}

static int export(struct avvik_store *store, const char *night, int is_json)
{
    struct avvik_error error;
    uint64_t n;
    return avvik_store_export(store, night, is_json, stdout, &n, &error) == AVVIK_OK ? CLI_DONE : cli_error(&error);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *night = NULL, *four_eyes = NULL, *fields = NULL;
    enum avvik_four_eyes rule = AVVIK_FOUR_EYES_NONE;
    int is_json = 0, first;
    const struct cli_option options[] = {
        {"night", CLI_TEXT, &night, "DATE", "add: of documents that do not say of which; export: only this", 0, 0},
        {"four-eyes", CLI_TEXT, &four_eyes, "WHICH", "rules: decisions that need a second person: none, confirmed, all",
         0, 0},
        {"fields", CLI_TEXT, &fields, "A,B,...", "rules: names of the fields that may be shown", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    const int is_add = first < argc && strcmp(argv[first], "add") == 0;
    const int is_export = first < argc && strcmp(argv[first], "export") == 0;
    if (!is_add && !is_export && (first >= argc || strcmp(argv[first], "rules") != 0))
        return cli_usage_error(command, "it takes `add`, `export` or `rules`");
    if (is_add ? first + 3 > argc : first + 2 != argc)
        return cli_usage_error(command, is_add ? "a store and one or more files are needed" : "one store is needed");
    if (is_add || is_export ? four_eyes != NULL || fields != NULL : night != NULL)
        return cli_usage_error(command, is_add || is_export ? "--four-eyes and --fields go with `rules`"
                                                            : "--night goes with `add` and `export`");
    if (four_eyes != NULL && !avvik_four_eyes_parse(four_eyes, &rule))
        return cli_usage_error(command, "--four-eyes takes none, confirmed or all, not '%s'", four_eyes);

    struct avvik_error error;
    struct avvik_store *store;
    if (avvik_store_open(argv[first + 1], is_add, &store, &error) != AVVIK_OK)
        return cli_error(&error);
    code = is_add      ? add(store, night, argv + first + 2, argc - first - 2, is_json)
           : is_export ? export(store, night, is_json)
                       : rules(store, four_eyes == NULL ? -1 : (int)rule, fields, is_json);
    avvik_store_close(store);
    return code;
}

const struct cli_command cli_cases = {"cases", "add|export|rules STORE [FILE...]",
                                      "cases into the store for review, and decisions out of it", more, run};

/* avvik audit verify: was the store, or its log, changed by anything other than avvik? */
#include <string.h>

#include "cli.h"

static const char more[] =
    "Recomputes the log's hashes from the first row to the last, and compares case documents, decisions, accounts and\n"
    "rules with what the log says of them. Exit code 3 and the first row where something was changed, removed, added "
    "or\n"
    "put in another order. Who may write the file can also compute all hashes anew: note the log's last row elsewhere\n"
    "(it is printed here, and by `avvik cases add` every night), and check against it with --anchor.";

static int run(const struct cli_command *command, int argc, char **argv)
{
    const char *anchor_text = NULL;
    struct avvik_audit_head anchor;
    int is_json = 0, first;
    const struct cli_option options[] = {
        {"anchor", CLI_TEXT, &anchor_text, "ROW:HASH", "a last row of the log that was noted elsewhere", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first + 2 != argc || strcmp(argv[first], "verify") != 0)
        return cli_usage_error(command, "it takes `verify` and one store");
    if (anchor_text != NULL && !avvik_audit_head_parse(anchor_text, &anchor))
        return cli_usage_error(command, "--anchor takes ROW:HASH as it is printed here, not '%s'", anchor_text);

    struct avvik_error error;
    struct avvik_store *store;
    struct avvik_audit_report report;
    if (avvik_store_open(argv[first + 1], 0, &store, &error) != AVVIK_OK)
        return cli_error(&error);
    const enum avvik_status status = avvik_audit_verify(store, anchor_text == NULL ? NULL : &anchor, &report, &error);
    avvik_store_close(store);
    if (status != AVVIK_OK)
        return cli_error(&error);
    if (is_json)
        return cli_print_json(json_pack("{s:{s:I, s:s}, s:I, s:I, s:I}", "log", "row", (json_int_t)report.head.row,
                                        "hash", report.head.hash, "entries", (json_int_t)report.n_entries, "documents",
                                        (json_int_t)report.n_documents, "accounts", (json_int_t)report.n_accounts));
    if (!cli_quiet)
        printf(
            "The log is whole: %s rows. %s case documents, %s decisions and other entries, and %s accounts are what\n"
            "it says of them. It ends with row %lld:%s\n",
            cli_count((uint64_t)report.head.row), cli_count((uint64_t)report.n_documents),
            cli_count((uint64_t)report.n_entries), cli_count((uint64_t)report.n_accounts), (long long)report.head.row,
            report.head.hash);
    return CLI_DONE;
}

const struct cli_command cli_audit = {"audit", "verify STORE", "was the case store changed by anything else?", more,
                                      run};

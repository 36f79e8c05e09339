/* avvik serve: cases of a store in a browser. */
#include <string.h>

#include "cli.h"

static const char more[] =
    "Stops at Ctrl-C or SIGTERM, when the requests at hand are answered. Accounts are made by `avvik user add`. At an\n"
    "address that other machines can reach it needs --cert and --key; through an SSH tunnel it needs neither.";

static int is_json;

static void started_tell(void *user, const char *url)
{
    (void)user;
    if (is_json)
        cli_print_json(json_pack("{s:s}", "url", url));
    else if (!cli_quiet)
        printf("avvik serves at %s (Ctrl-C ends it)\n", url);
    fflush(stdout);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    struct avvik_serve_options options = AVVIK_SERVE_DEFAULTS;
    uint64_t port = options.port, idle = (uint64_t)options.idle_s, absolute = (uint64_t)options.absolute_s;
    int first;
    const struct cli_option table[] = {
        {"port", CLI_NUMBER, &port, "N", "port to listen at; 0 for any that is free (8080)", 0, 65535},
        {"address", CLI_TEXT, &options.address, "A", "address to listen at (127.0.0.1)", 0, 0},
        {"cert", CLI_TEXT, &options.cert, "FILE", "TLS certificate with its chain, PEM", 0, 0},
        {"key", CLI_TEXT, &options.key, "FILE", "its key, PEM", 0, 0},
        {"host", CLI_TEXT, &options.host, "NAME", "without TLS: what browsers call this server beside localhost", 0, 0},
        {"idle", CLI_DURATION, &idle, "T", "until an unused session ends, like 90s or 15m (30m)", 1, 86400},
        {"session", CLI_DURATION, &absolute, "T", "until any session ends, no less than --idle (10h)", 1, 7 * 86400},
        {"json", CLI_FLAG, &is_json, NULL, "tell where it serves as one JSON document", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    const int code = cli_parse(command, table, sizeof table / sizeof table[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first + 1 != argc)
        return cli_usage_error(command, "one store is needed");
    if (idle > absolute)
        return cli_usage_error(command, "--idle is %llu s, longer than --session, %llu s: it would never end a session",
                               (unsigned long long)idle, (unsigned long long)absolute);
    struct avvik_error error;
    struct avvik_store *store;
    if (avvik_store_open(argv[first], 0, &store, &error) != AVVIK_OK)
        return cli_error(&error);
    options.port = (uint16_t)port;
    options.idle_s = (int64_t)idle;
    options.absolute_s = (int64_t)absolute;
    options.stop = cli_stop();
    options.started = started_tell;
    const enum avvik_status status = avvik_serve(store, &options, &error);
    avvik_store_close(store);
    return status == AVVIK_OK ? CLI_DONE : cli_error(&error);
}

const struct cli_command cli_serve = {"serve", "STORE", "review cases in a browser", more, run};

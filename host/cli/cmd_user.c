/* avvik user: accounts of those who review cases. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"

static const char more[] =
    "user add STORE NAME        makes an account; asks for its password, or reads it from standard input, one line\n"
    "user password STORE NAME   gives it a new password\n"
    "user disable STORE NAME    it may not log in any more; what it did stays\n"
    "user list STORE            lists all accounts\n\n"
    "Readers look; auditors decide; leads also assign cases and undo what others decided. STORE is made by `user add`\n"
    "where there is none. A password is never taken from the command line, where others could read it.";

/* A line from standard input into `line`; 1 on success. */
static int line_read(char *line, size_t size)
{
    if (fgets(line, (int)size, stdin) == NULL)
        return 0;
    const size_t n = strcspn(line, "\r\n");
    const int is_whole = line[n] != '\0' || feof(stdin);
    line[n] = '\0';
    return is_whole;
}

/* Ask on a terminal, without showing what is typed. */
static int secret_ask(const char *question, char *line, size_t size)
{
    struct termios before, silent;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return 0;
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent); /* before it is asked: nothing typed then is lost or shown */
    fputs(question, stderr);
    fflush(stderr);
    const int is_read = line_read(line, size);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return is_read;
}

/* -1 to go on, else the exit code. */
static int password_read(const struct cli_command *command, char *password, size_t size)
{
    char again[AVVIK_PASSWORD_MAX + 3];
    if (!isatty(STDIN_FILENO))
        return line_read(password, size) ? -1 : cli_usage_error(command, "no password was found on standard input");
    if (!secret_ask("Password: ", password, size) || !secret_ask("Again: ", again, sizeof again))
        return cli_usage_error(command, "no password was typed");
    const int is_same = strcmp(password, again) == 0;
    memset(again, 0, sizeof again);
    return is_same ? -1 : cli_usage_error(command, "the two passwords are not the same");
}

static int list(struct avvik_store *store, int is_json)
{
    struct avvik_error error;
    struct avvik_account *accounts;
    size_t n;
    if (avvik_account_list(store, &accounts, &n, &error) != AVVIK_OK)
        return cli_error(&error);
    int code = CLI_DONE;
    if (is_json) {
        json_t *all = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(all,
                                  json_pack("{s:o, s:s, s:b, s:o}", "name", cli_json_text(accounts[i].name), "role",
                                            avvik_role_name(accounts[i].role), "disabled", accounts[i].is_disabled,
                                            "created", cli_json_text(accounts[i].created)));
        code = cli_print_json(json_pack("{s:o}", "accounts", all));
    } else {
        printf("%-24s  %-8s  %-20s\n", "name", "role", "created");
        for (size_t i = 0; i < n; i++) {
            cli_print_text(stdout, accounts[i].name);
            printf("%*s  %-8s  ", (int)(24 - strlen(accounts[i].name)), "", avvik_role_name(accounts[i].role));
            cli_print_text(stdout, accounts[i].created);
            puts(accounts[i].is_disabled ? "  disabled" : "");
        }
    }
    free(accounts);
    return code;
}

/* What is done to one account; -1: done. */
static int change(const struct cli_command *command, struct avvik_store *store, const char *what, const char *name,
                  enum avvik_role role)
{
    struct avvik_error error;
    char password[AVVIK_PASSWORD_MAX + 3] = "";
    enum avvik_status status;
    const int code = strcmp(what, "disable") == 0 ? -1 : password_read(command, password, sizeof password);
    if (code >= 0)
        return code;
    if (strcmp(what, "add") == 0)
        status = avvik_account_add(store, name, role, password, &error);
    else if (strcmp(what, "password") == 0)
        status = avvik_account_password(store, name, password, &error);
    else
        status = avvik_account_disable(store, name, &error);
    memset(password, 0, sizeof password);
    return status == AVVIK_OK ? CLI_DONE : cli_error(&error);
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    static const char *const whats[] = {"add", "password", "disable", "list"};
    const char *role_text = NULL;
    enum avvik_role role = AVVIK_ROLE_AUDITOR;
    int is_json = 0, first, what = 0;
    const struct cli_option options[] = {
        {"role", CLI_TEXT, &role_text, "ROLE", "of a new account: reader, auditor or lead (auditor)", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    while (what < 4 && (first >= argc || strcmp(argv[first], whats[what]) != 0))
        what++;
    if (what == 4)
        return cli_usage_error(command, "it takes `add`, `password`, `disable` or `list`");
    if (argc - first != (what == 3 ? 2 : 3))
        return cli_usage_error(command, what == 3 ? "one store is needed" : "a store and one name are needed");
    if (role_text != NULL && (what != 0 || !avvik_role_parse(role_text, &role)))
        return cli_usage_error(command, "--role takes reader, auditor or lead, with `add`, not '%s'", role_text);

    struct avvik_error error;
    struct avvik_store *store;
    if (avvik_store_open(argv[first + 1], what == 0, &store, &error) != AVVIK_OK)
        return cli_error(&error);
    code = what == 3 ? list(store, is_json) : change(command, store, whats[what], argv[first + 2], role);
    avvik_store_close(store);
    return code;
}

const struct cli_command cli_user = {"user", "add|password|disable|list STORE [NAME]",
                                     "accounts of those who review cases", more, run};

/* avvik: one program, one file a command. */
#include <errno.h>
#include <locale.h>
#include <string.h>

#include "cli.h"

static const struct cli_command *const commands[] = {
    &cli_synth, &cli_find,     &cli_check,   &cli_compare,  &cli_history, &cli_fit,   &cli_score,
    &cli_flag,  &cli_evaluate, &cli_explain, &cli_report,   &cli_night,   &cli_cases, &cli_serve,
    &cli_user,  &cli_audit,    &cli_devices, &cli_selftest, &cli_tune,    &cli_model};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void help_print(void)
{
    puts("usage: avvik COMMAND [OPTIONS] ...\n\n"
         "Finds the payments and declarations that do not look like the rest. A score is a measure of\n"
         "deviation, never of guilt; what to make of a case is for the person who opens it.\n\ncommands:");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    puts("\n  avvik COMMAND --help   what a command takes\n"
         "  avvik --version        versions of avvik and its libraries (--json)\n\n"
         "exit codes: 0 done, 2 wrong usage, 3 bad input, 4 backend not available, 5 self-test failed,\n"
         "            6 interrupted, 7 a gate was breached, 70 internal error");
}

static int version_print(int is_json)
{
    struct avvik_version version;
    avvik_version_get(&version);
    if (is_json)
        return cli_print_json(json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s}}", "version", version.avvik, "compiler",
                                        version.compiler, "build", version.build, "system", version.system, "libraries",
                                        "hdf5", version.hdf5, "xxhash", version.xxhash, "jansson", JANSSON_VERSION));
    printf("avvik %s\nbuilt by %s (%s) for %s\nwith HDF5 %s, xxHash %s, Jansson %s\n", version.avvik, version.compiler,
           version.build, version.system, version.hdf5, version.xxhash, JANSSON_VERSION);
    return CLI_DONE;
}

static int command_run(int argc, char **argv)
{
    if (argc < 2)
        return cli_usage_error(NULL, "no command is named");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        help_print();
        return CLI_DONE;
    }
    if (strcmp(argv[1], "--version") == 0)
        return version_print(argc > 2 && strcmp(argv[2], "--json") == 0);
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(commands[i], argc - 1, argv + 1);
    return cli_usage_error(NULL, "'%s' is not a command", argv[1]);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "C.UTF-8"); /* what text from files is checked against; numbers stay as in C */
    const int code = command_run(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_DONE) {
        fprintf(stderr, "avvik: standard output cannot be written: %s\n", strerror(errno));
        return CLI_BAD_INPUT;
    }
    return code;
}

/* Options: one table a command, from which both the parser and --help are made. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define MAX_OPTIONS 24

static void help_print(const struct cli_command *command, const struct cli_option *options, size_t n_options)
{
    printf("usage: avvik %s [OPTIONS]%s%s\n\n%s\n\noptions:\n", command->name, command->arguments[0] ? " " : "",
           command->arguments, command->summary);
    for (size_t i = 0; i < n_options; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", options[i].name,
                 options[i].argument == NULL || options[i].kind == CLI_LEVEL ? "" : " ",
                 options[i].argument == NULL ? "" : options[i].argument);
        printf("  %-22s %s\n", left, options[i].help);
    }
    printf("  %-22s %s\n", "--help", "show this and exit");
    if (command->more != NULL)
        printf("\n%s\n", command->more);
}

int cli_usage_error(const struct cli_command *command, const char *format, ...)
{
    va_list arguments;
    fputs("avvik: ", stderr);
    va_start(arguments, format);
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cli_print_text(stderr, text);
    if (command != NULL)
        fprintf(stderr, "; see `avvik %s --help`\n", command->name);
    else
        fputs("; see `avvik --help`\n", stderr);
    return CLI_USAGE;
}

/* A whole decimal number within [min, max], nothing before or after it. */
static int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *number_out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return 0;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < min || number > max)
        return 0;
    *number_out = number;
    return 1;
}

/* A number of bytes: a whole number, and perhaps K, M, G or T for powers of 1,024. */
static int size_parse(const char *text, uint64_t min, uint64_t max, uint64_t *bytes_out)
{
    static const char units[] = "KMGT";
    char digits[24];
    const size_t length = strlen(text);
    const char *unit = length == 0 ? NULL : strchr(units, text[length - 1] & ~0x20);
    const size_t n = unit != NULL && *unit != '\0' ? length - 1 : length;
    const unsigned shift = n < length ? 10 * (unsigned)(unit - units + 1) : 0;
    uint64_t number;
    if (n == 0 || n >= sizeof digits)
        return 0;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (!number_parse(digits, 0, UINT64_MAX >> shift, &number) || number << shift < min || number << shift > max)
        return 0;
    *bytes_out = number << shift;
    return 1;
}

/* A time: a whole number of seconds, or with s, m, h or d after it of those, minutes, hours or days. */
static int duration_parse(const char *text, uint64_t min, uint64_t max, uint64_t *seconds_out)
{
    static const char units[] = "smhd";
    static const uint64_t seconds_of[] = {1, 60, 3600, 86400};
    char digits[24];
    const size_t length = strlen(text);
    const char *unit = length == 0 ? NULL : strchr(units, text[length - 1]);
    const size_t n = unit != NULL ? length - 1 : length;
    const uint64_t factor = unit != NULL ? seconds_of[unit - units] : 1;
    uint64_t number;
    if (n == 0 || n >= sizeof digits)
        return 0;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (!number_parse(digits, 0, max / factor, &number) || number * factor < min)
        return 0;
    *seconds_out = number * factor;
    return 1;
}

static int option_take(const struct cli_command *command, const struct cli_option *option, const char *value)
{
    switch (option->kind) {
    case CLI_FLAG: *(int *)option->into = 1; return -1;
    case CLI_TEXT: *(const char **)option->into = value; return -1;
    case CLI_SIZE:
        if (size_parse(value, option->min, option->max, option->into))
            return -1;
        return cli_usage_error(command, "--%s takes bytes from %lluM on, like 512M or 2G, not '%s'", option->name,
                               (unsigned long long)(option->min >> 20), value);
    case CLI_DURATION:
        if (duration_parse(value, option->min, option->max, option->into))
            return -1;
        return cli_usage_error(command, "--%s takes a time from %llus to %llud, like 90s, 15m, 10h or 2d, not '%s'",
                               option->name, (unsigned long long)option->min, (unsigned long long)(option->max / 86400),
                               value);
    case CLI_LEVEL:
        if (value == NULL) {
            *(uint64_t *)option->into = 4;
            return -1;
        }
        break;
    case CLI_NUMBER: break;
    }
    if (number_parse(value, option->min, option->max, option->into))
        return -1;
    return cli_usage_error(command, "--%s takes a whole number from %llu to %llu, not '%s'", option->name,
                           (unsigned long long)option->min, (unsigned long long)option->max, value);
}

int cli_parse(const struct cli_command *command, const struct cli_option *options, size_t n_options, int argc,
              char **argv, int *first_out)
{
    struct option table[MAX_OPTIONS + 2] = {{0}};
    for (size_t i = 0; i < n_options; i++)
        table[i] = (struct option){options[i].name,
                                   options[i].kind == CLI_FLAG    ? no_argument
                                   : options[i].kind == CLI_LEVEL ? optional_argument
                                                                  : required_argument,
                                   NULL, (int)i + 1000};
    table[n_options] = (struct option){"help", no_argument, NULL, 'h'};
    opterr = 0;
    optind = 1;
    for (int code; (code = getopt_long(argc, argv, ":h", table, NULL)) != -1;) {
        if (code == 'h') {
            help_print(command, options, n_options);
            return CLI_DONE;
        }
        if (code == ':')
            return cli_usage_error(command, "%s needs a value", argv[optind - 1]);
        if (code == '?')
            return cli_usage_error(command, "option %s is not known or takes no value", argv[optind - 1]);
        /* Not what comes after '=', but the next word: an option whose value was forgotten before it. */
        if (optarg == argv[optind - 1] && strncmp(optarg, "--", 2) == 0)
            return cli_usage_error(
                command, "%s needs a value, but '%s' is an option; a value that begins with -- is given as %s=%s",
                argv[optind - 2], optarg, argv[optind - 2], optarg);
        const int failed = option_take(command, &options[code - 1000], optarg);
        if (failed >= 0)
            return failed;
    }
    *first_out = optind;
    return -1;
}

int cli_split_names(char *text, const char ***names_out, size_t *n_out)
{
    size_t n = 1;
    for (const char *c = text; *c != '\0'; c++)
        n += *c == ',';
    const char **names = calloc(n, sizeof *names);
    if (names == NULL)
        return 0;
    for (size_t i = 0; i < n; i++) {
        char *end = strchr(text, ',');
        names[i] = text;
        if (end != NULL)
            *end = '\0';
        if (text[0] == '\0') {
            free(names);
            return 0;
        }
        text = end == NULL ? text : end + 1;
    }
    *names_out = names;
    *n_out = n;
    return 1;
}

int cli_split_labels(const char *text, char **path_out, const char **dataset_out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || colon[1] == '\0' || (*path_out = strdup(text)) == NULL)
        return 0;
    (*path_out)[colon - text] = '\0';
    *dataset_out = colon + 1;
    return 1;
}

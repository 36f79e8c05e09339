#include "bench_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEASURED (BENCH_OF_KERNELS | BENCH_OF_STREAM)

enum kind { FLAG, NUMBER, LIST, TEXT };

static const struct {
    const char *name;
    enum kind kind;
    size_t offset, low, high;
    unsigned subjects;
    const char *argument, *help;
} known[] = {
#define AT(member) offsetof(struct bench_options, member)
    {"features", LIST, AT(features), 1, 4096, MEASURED, "LIST", "numbers of features"},
    {"trees", LIST, AT(trees), 1, 10000, MEASURED, "LIST", "numbers of trees"},
    {"sample", LIST, AT(sample), 16, 4096, MEASURED, "LIST", "rows a tree is grown from"},
    {"rows", LIST, AT(rows), 16, (size_t)1 << 36, MEASURED, "LIST", "rows of one run"},
    {"threads", LIST, AT(threads), 1, 256, MEASURED, "LIST", "threads (of engine, fit and score)"},
    {"grid", FLAG, AT(is_grid), 0, 0, MEASURED, NULL, "every combination, not one list at a time"},
    {"only", TEXT, AT(only), 0, 0, BENCH_OF_KERNELS, "NAMES", "these kernels (and 'engine') only"},
    {"backends", TEXT, AT(backends), 0, 0, MEASURED, "NAMES", "these backends only, or 'all'"},
    {"layout", TEXT, AT(layouts), 0, 0, BENCH_OF_STREAM, "NAMES", "contiguous, chunked, deflate"},
    {"types", TEXT, AT(types), 0, 0, BENCH_OF_STREAM, "NAMES", "float32, float64, int64, date, codes, mixed"},
    {"folder", TEXT, AT(folder), 0, 0, MEASURED, "DIR", "where files are written (TMPDIR, else /tmp)"},
    {"cold", FLAG, AT(is_cold), 0, 0, BENCH_OF_STREAM, NULL, "drop the file from the page cache before each run"},
    {"samples", NUMBER, AT(n_samples), 1, BENCH_MAX_SAMPLES, MEASURED, "N", "timed runs of each measurement, at most"},
    {"seed", NUMBER, AT(seed), 0, (size_t)1 << 62, MEASURED, "N", "of rows and trees (1)"},
    {"quick", FLAG, AT(is_quick), 0, 0, MEASURED, NULL, "few rows, few shapes, 5 runs: seconds for everything"},
    {"check", TEXT, AT(floors), 0, 0, BENCH_OF_KERNELS, "FLOORS.json", "exit with 7 if a ratio is below its floor"},
    {"limit", NUMBER, AT(limit), 0, 1000, BENCH_OF_COMPARE, "PERCENT", "how much slower is a regression (10)"},
    {"out", TEXT, AT(out), 0, 0, BENCH_OF_PLOT, "FILE.svg", "the picture"},
    {"name", FLAG, AT(is_name), 0, 0, BENCH_OF_MACHINE, NULL, "only the name that a baseline of this machine has"},
    {"json", FLAG, AT(is_json), 0, 0, MEASURED | BENCH_OF_MACHINE | BENCH_OF_COMPARE, NULL,
     "one JSON document on standard output"},
#undef AT
};
#define N_KNOWN (sizeof known / sizeof known[0])

enum bench_exit bench_fail(enum bench_exit code, const char *format, ...)
{
    va_list arguments;
    fputs("avvik-bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return code;
}

int bench_is_wanted(const char *list, const char *name)
{
    const size_t length = strlen(name);
    for (const char *item = list; item != NULL; item = strchr(item, ',') == NULL ? NULL : strchr(item, ',') + 1)
        if (strncmp(item, name, length) == 0 && (item[length] == '\0' || item[length] == ','))
            return 1;
    return list == NULL;
}

void bench_options_help(unsigned subject)
{
    for (size_t i = 0; i < N_KNOWN; i++) {
        char left[64];
        if (!(known[i].subjects & subject))
            continue;
        snprintf(left, sizeof left, "--%s%s%s", known[i].name, known[i].argument == NULL ? "" : " ",
                 known[i].argument == NULL ? "" : known[i].argument);
        printf("  %-22s %s\n", left, known[i].help);
    }
}

/* Whole numbers within [low, high], separated by commas. */
static int list_parse(const char *text, size_t low, size_t high, struct bench_list *list)
{
    for (list->n = 0; list->n < BENCH_MAX_VALUES;) {
        char *end;
        errno = 0;
        const unsigned long long value = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || errno != 0 || (*end != '\0' && *end != ',') || value < low ||
            value > high)
            return 0;
        list->value[list->n++] = (size_t)value;
        if (*end == '\0')
            return 1;
        text = end + 1;
    }
    return 0;
}

static enum bench_exit option_take(size_t i, const char *value, struct bench_options *options)
{
    void *into = (char *)options + known[i].offset;
    struct bench_list list;
    switch (known[i].kind) {
    case FLAG: *(int *)into = 1; return BENCH_DONE;
    case TEXT: *(const char **)into = value; return BENCH_DONE;
    case LIST:
        if (list_parse(value, known[i].low, known[i].high, into))
            return BENCH_DONE;
        return bench_fail(BENCH_USAGE, "--%s takes at most %d whole numbers from %zu to %zu, not '%s'", known[i].name,
                          BENCH_MAX_VALUES, known[i].low, known[i].high, value);
    case NUMBER:
        if (list_parse(value, known[i].low, known[i].high, &list) && list.n == 1) {
            *(size_t *)into = list.value[0];
            return BENCH_DONE;
        }
    }
    return bench_fail(BENCH_USAGE, "--%s takes a whole number from %zu to %zu, not '%s'", known[i].name, known[i].low,
                      known[i].high, value);
}

/* 1, 2, 4, ... and the number of cores. */
static struct bench_list core_counts(void)
{
    struct bench_list list = {0};
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    const size_t n = online < 1 ? 1 : (size_t)online;
    for (size_t count = 1; count < n && list.n < BENCH_MAX_VALUES - 1; count *= 2)
        list.value[list.n++] = count;
    list.value[list.n++] = n > 256 ? 256 : n;
    return list;
}

/* Where the command line says nothing: a list is empty, a number 0. */
static void defaults_fill(unsigned subject, struct bench_options *options)
{
    static const struct bench_list features = {7, {8, 16, 17, 32, 64, 65, 100}}, trees = {4, {1, 100, 101, 1000}},
                                   sample = {5, {16, 64, 256, 1024, 4096}}, one_features = {1, {16}},
                                   one_trees = {1, {100}}, one_sample = {1, {256}}, one_thread = {1, {1}};
    const int is_wide = subject == BENCH_OF_KERNELS, is_quick = options->is_quick;
    if (options->features.n == 0)
        options->features = is_wide ? features : one_features;
    if (options->trees.n == 0)
        options->trees = is_wide && !is_quick ? trees : one_trees;
    if (options->sample.n == 0)
        options->sample = is_wide && !is_quick ? sample : one_sample;
    if (options->threads.n == 0 && is_wide)
        options->threads = is_quick ? one_thread : core_counts();
    if (options->n_samples == 0)
        options->n_samples = is_quick ? 5 : is_wide ? 21 : 7;
}

enum bench_exit bench_options_parse(unsigned subject, int argc, char **argv, struct bench_options *options)
{
    struct option table[N_KNOWN + 1] = {{0}};
    *options = (struct bench_options){.seed = 1, .limit = 10};
    for (size_t i = 0; i < N_KNOWN; i++)
        table[i] = (struct option){known[i].name, known[i].kind == FLAG ? no_argument : required_argument, NULL,
                                   (int)i + 1000};
    opterr = 0;
    optind = 1;
    for (int code; (code = getopt_long(argc, argv, ":", table, NULL)) != -1;) {
        if (code == ':')
            return bench_fail(BENCH_USAGE, "%s needs a value", argv[optind - 1]);
        if (code < 1000 || !(known[code - 1000].subjects & subject))
            return bench_fail(BENCH_USAGE, "option %s is not known here", argv[optind - (optarg != NULL ? 2 : 1)]);
        if (optarg == argv[optind - 1] && strncmp(optarg, "--", 2) == 0)
            return bench_fail(BENCH_USAGE, "%s needs a value, but '%s' is an option", argv[optind - 2], optarg);
        const enum bench_exit taken = option_take((size_t)code - 1000, optarg, options);
        if (taken != BENCH_DONE)
            return taken;
    }
    options->files = argv + optind;
    options->n_files = (size_t)(argc - optind);
    if (subject & (MEASURED | BENCH_OF_MACHINE) && options->n_files > 0)
        return bench_fail(BENCH_USAGE, "'%s' is one argument too many", options->files[0]);
    if (subject & MEASURED)
        defaults_fill(subject, options);
    return BENCH_DONE;
}

/* avvik-bench: how fast the parts of avvik are on this machine. bench/README.md */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "kernel_types.h"

#define KERNEL_ROWS 65536
#define STREAM_ROWS 1000000
#define STREAM_FEATURES 16

static const char usage[] =
    "usage: avvik-bench kernels [--features 8,16,32,64,100] [--trees 100] [--sample 256] [--rows 65536]\n"
    "                           [--samples 21] [--quick] [--json] [--check FLOORS.json]\n"
    "       avvik-bench stream  [--features 16] [--trees 100] [--sample 256] [--rows 1000000] [--samples 21]\n"
    "kernels: every variant of every kernel that this CPU can run. stream: reading, fitting, and every backend, "
    "OpenCL\n"
    "too, from rows in memory and from a file. Results are compared with the scalar ones before a time is printed.\n"
    "exit: 0 done, 2 wrong usage, 5 a variant computes something else, 7 a ratio is below its floor\n";

/* A number in [low, high] that ends at `end` or at a comma; 0 on anything else. */
static size_t number(const char *text, char **end, size_t low, size_t high)
{
    const unsigned long long value = strtoull(text, end, 10);
    return *end != text && (**end == '\0' || **end == ',') && value >= low && value <= high ? (size_t)value : 0;
}

static int feature_list(struct bench_options *options, const char *text)
{
    for (options->n_feature_counts = 0; options->n_feature_counts < BENCH_MAX_FEATURES;) {
        char *end;
        const size_t n = number(text, &end, 1, 4096);
        if (n == 0)
            return 0;
        options->n_features[options->n_feature_counts++] = n;
        if (*end == '\0')
            return 1;
        text = end + 1;
    }
    return 0;
}

static int single(const char *text, size_t low, size_t high, size_t *value_out)
{
    char *end;
    *value_out = number(text, &end, low, high);
    return *value_out != 0 && *end == '\0';
}

static int parse(int argc, char **argv, struct bench_options *options)
{
    static const struct option names[] = {
        {"features", required_argument, NULL, 'f'}, {"trees", required_argument, NULL, 't'},
        {"sample", required_argument, NULL, 's'},   {"rows", required_argument, NULL, 'r'},
        {"samples", required_argument, NULL, 'n'},  {"quick", no_argument, NULL, 'q'},
        {"json", no_argument, NULL, 'j'},           {"check", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        size_t value = 0;
        int is_good = 1;
        switch (c) {
        case 'f': is_good = feature_list(options, optarg), options->has_features = 1; break;
        case 't': is_good = single(optarg, 1, 10000, &value), options->trees = (uint32_t)value; break;
        case 's': is_good = single(optarg, 16, 4096, &value), options->sample = (uint32_t)value; break;
        case 'r': is_good = single(optarg, 1, (size_t)1 << 26, &options->rows); break;
        case 'n': is_good = single(optarg, 1, BENCH_MAX_SAMPLES, &value), options->n_samples = (int)value; break;
        case 'q': options->n_samples = 5, options->rows = 8192; break;
        case 'j': options->is_json = 1; break;
        case 'c': options->floors = optarg; break;
        case 'h': fputs(usage, stdout); exit(BENCH_DONE);
        default: return 0;
        }
        if (!is_good) {
            fprintf(stderr, "avvik-bench: bad value '%s'\n", optarg);
            return 0;
        }
    }
    if (options->rows > 0 && options->rows < options->sample) {
        fprintf(stderr, "avvik-bench: fewer rows than a tree is grown from\n");
        return 0;
    }
    return optind == argc;
}

static enum bench_exit run_kernels(const struct bench_options *wanted)
{
    struct bench_options own = *wanted;
    const struct bench_options *options = &own;
    if (own.rows == 0)
        own.rows = KERNEL_ROWS;
    static struct bench_results results;
    struct bench_machine machine;
    enum bench_exit status = bench_machine_measure(&machine);
    if (status != BENCH_DONE)
        return status;
    status = bench_kernels(options, &results);
    if (options->is_json)
        bench_report_json(options, &machine, &results);
    else
        bench_report_table(options, &machine, &results);
    if (status == BENCH_DONE && options->floors != NULL)
        status = bench_floors_check(options->floors, &results);
    return status;
}

static enum bench_exit run_stream(const struct bench_options *options)
{
    struct bench_options own = *options;
    if (own.rows == 0)
        own.rows = STREAM_ROWS;
    if (!own.has_features) {
        own.n_features[0] = STREAM_FEATURES;
        own.n_feature_counts = 1;
    }
    return bench_stream(&own);
}

/* What avvik-bench can measure, by the first word of the command line. */
static const struct {
    const char *name;
    enum bench_exit (*run)(const struct bench_options *options);
} subjects[] = {
    {"kernels", run_kernels},
    {"stream", run_stream},
};

int main(int argc, char **argv)
{
    struct bench_options options = {
        .n_features = {8, 16, 32, 64, 100}, .n_feature_counts = 5, .trees = 100, .sample = 256, .n_samples = 21};
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return BENCH_DONE;
    }
    for (size_t i = 0; argc > 1 && i < sizeof subjects / sizeof subjects[0]; i++) {
        if (strcmp(argv[1], subjects[i].name) != 0)
            continue;
        if (!parse(argc - 1, argv + 1, &options))
            break;
        return (int)subjects[i].run(&options);
    }
    fputs(usage, stderr);
    return BENCH_USAGE;
}

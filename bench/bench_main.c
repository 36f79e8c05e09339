/* avvik-bench: how fast the parts of avvik are on this machine. bench/README.md */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "bench_build.h"
#include "bench_options.h"

#define LIMIT_RUNS 9 /* of what the machine can do at best */
#define QUICK_LIMIT_RUNS 3

static enum bench_exit run_machine(const struct bench_options *options)
{
    char name[128];
    struct bench_machine machine;
    const enum bench_exit status = bench_machine_init(&machine, options->is_name ? 0 : LIMIT_RUNS);
    if (status != BENCH_DONE)
        return status;
    bench_machine_name(&machine, name, sizeof name);
    if (options->is_name)
        printf("%s\n", name);
    else if (options->is_json)
        bench_report_json("machine", options, &machine, NULL);
    else
        bench_report_machine(&machine);
    return BENCH_DONE;
}

static enum bench_exit run_kernels(const struct bench_options *options)
{
    struct bench_results results = {0};
    struct bench_machine machine;
    enum bench_exit status = bench_machine_init(&machine, options->is_quick ? QUICK_LIMIT_RUNS : LIMIT_RUNS);
    if (status == BENCH_DONE)
        status = bench_kernels(options, &results);
    if (status == BENCH_DONE)
        status = bench_backends(options, &results);
    if (status == BENCH_DONE && results.n == 0)
        status = bench_fail(BENCH_USAGE, "nothing is left to measure; trees need as many rows as they are grown from");
    if (status == BENCH_DONE && options->is_json)
        bench_report_json("kernels", options, &machine, &results);
    else if (status == BENCH_DONE)
        bench_report_kernels(&machine, &results);
    if (status == BENCH_DONE && options->floors != NULL)
        status = bench_floors_check(options->floors, &results);
    bench_results_destroy(&results);
    return status;
}

static enum bench_exit run_stream(const struct bench_options *options)
{
    struct bench_results results = {0};
    struct bench_machine machine;
    enum bench_exit status = bench_machine_init(&machine, options->is_quick ? QUICK_LIMIT_RUNS : LIMIT_RUNS);
    if (status == BENCH_DONE)
        status = bench_stream(options, &results);
    if (status == BENCH_DONE && options->is_json)
        bench_report_json("stream", options, &machine, &results);
    else if (status == BENCH_DONE)
        bench_report_stream(&machine, &results);
    bench_results_destroy(&results);
    return status;
}

/* bench/peers/run_peers.sh of the working directory, else of the tree this was built from. */
static enum bench_exit run_peers(int argc, char **argv)
{
    static const char script[] = "bench/peers/run_peers.sh";
    char path[4096];
    char *arguments[64] = {"sh", path};
    if (argc > 60)
        return bench_fail(BENCH_USAGE, "that are too many arguments");
    snprintf(path, sizeof path, "%s", script);
    if (access(path, R_OK) != 0)
        snprintf(path, sizeof path, "%s/%s", BENCH_SOURCE, script);
    if (access(path, R_OK) != 0)
        return bench_fail(BENCH_BAD_INPUT, "there is no %s here; run this from avvik's source tree", script);
    for (int i = 1; i < argc; i++)
        arguments[i + 1] = argv[i];
    execvp("sh", arguments);
    return bench_fail(BENCH_FAILED, "sh cannot be started");
}

/* What avvik-bench does, by the first word of the command line. */
static const struct {
    const char *name;
    unsigned subject;
    enum bench_exit (*run)(const struct bench_options *options);
    const char *arguments, *help;
} subjects[] = {
    {"kernels", BENCH_OF_KERNELS, run_kernels, "", "every kernel, variant, backend and shape, from memory to memory"},
    {"stream", BENCH_OF_STREAM, run_stream, "", "from a file of rows to a model and to a file of scores"},
    {"machine", BENCH_OF_MACHINE, run_machine, "", "what this machine is and what it can do at best"},
    {"compare", BENCH_OF_COMPARE, bench_compare, " OLD.json NEW.json", "what became slower (exit 7) or faster"},
    {"plot", BENCH_OF_PLOT, bench_plot, " RUN.json...", "throughput over commits and over shapes, as SVG"},
    {"join", BENCH_OF_JOIN, bench_join, " RUN.json...", "one document of several of one commit and machine"},
};
#define N_SUBJECTS (sizeof subjects / sizeof subjects[0])

static void usage_print(FILE *stream)
{
    fputs("usage: avvik-bench SUBJECT [OPTIONS] [FILES]\n\n", stream);
    for (size_t i = 0; i < N_SUBJECTS; i++)
        fprintf(stream, "  %-9s %s\n", subjects[i].name, subjects[i].help);
    fputs("  peers     other libraries on the same rows and trees (bench/peers; its options are its own)\n\n"
          "avvik-bench SUBJECT --help has the options. Results are compared with the scalar ones before a time is "
          "printed.\n"
          "exit: 0 done, 2 wrong usage, 3 bad input, 4 no such backend, 5 results differ, 7 slower than allowed\n",
          stream);
}

int main(int argc, char **argv)
{
    struct bench_options options;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        usage_print(stdout);
        return BENCH_DONE;
    }
    if (argc > 1 && strcmp(argv[1], "peers") == 0)
        return (int)run_peers(argc - 1, argv + 1);
    for (size_t i = 0; argc > 1 && i < N_SUBJECTS; i++) {
        if (strcmp(argv[1], subjects[i].name) != 0)
            continue;
        if (argc > 2 && strcmp(argv[2], "--help") == 0) {
            printf("usage: avvik-bench %s [OPTIONS]%s\n%s\n\n", argv[1], subjects[i].arguments, subjects[i].help);
            bench_options_help(subjects[i].subject);
            return BENCH_DONE;
        }
        const enum bench_exit status = bench_options_parse(subjects[i].subject, argc - 1, argv + 1, &options);
        return (int)(status == BENCH_DONE ? subjects[i].run(&options) : status);
    }
    usage_print(stderr);
    return BENCH_USAGE;
}

/* The command line of avvik-bench: one table of options, from which parsing and --help are made. */
#ifndef AVVIK_BENCH_OPTIONS_H
#define AVVIK_BENCH_OPTIONS_H

#include "bench.h"

/* Bits of the subjects that an option belongs to. */
enum {
    BENCH_OF_MACHINE = 1,
    BENCH_OF_KERNELS = 2,
    BENCH_OF_STREAM = 4,
    BENCH_OF_COMPARE = 8,
    BENCH_OF_JOIN = 16,
    BENCH_OF_PLOT = 32
};

/* Fill `options` with the defaults of `subject`, then from argv[1...]. BENCH_USAGE, with a sentence, if an option is
 * not known, not of this subject or has a bad value. */
enum bench_exit bench_options_parse(unsigned subject, int argc, char **argv, struct bench_options *options);

/* The options of `subject` on stdout, a line each. */
void bench_options_help(unsigned subject);

#endif

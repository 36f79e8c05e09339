/* What the parts of avvik-bench share. */
#ifndef AVVIK_BENCH_H
#define AVVIK_BENCH_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_MAX_FEATURES 16 /* feature counts of one run */
#define BENCH_MAX_SAMPLES 64
#define BENCH_MAX_RESULTS 512

enum bench_exit { BENCH_DONE = 0, BENCH_USAGE = 2, BENCH_DIFFERS = 5, BENCH_SLOWER = 7, BENCH_FAILED = 70 };

struct bench_options {
    size_t n_features[BENCH_MAX_FEATURES];
    size_t n_feature_counts;
    int has_features; /* asked for, not a default */
    uint32_t trees;
    uint32_t sample; /* rows a tree is grown from */
    size_t rows;     /* 0: what the subject likes */
    int n_samples;   /* timed runs of each variant */
    int is_json;
    const char *floors; /* path of a file of least ratios, or NULL */
};

struct bench_machine {
    char cpu[128];
    double copy_gb_s; /* bytes read and written by memcpy of 128 MiB, one thread */
    double read_gb_s; /* bytes read by adding up 128 MiB, one thread */
    double gather_ns; /* 16 lookups of 32 bits in a table of 16 KiB, one after another by scalar code */
};

/* One variant of one kernel at one shape. */
struct bench_result {
    const char *kernel;
    const char *variant;
    size_t n_features, n_rows;
    uint32_t trees, height; /* 0 where there is no forest */
    double bytes;           /* read and written by one run */
    int n_samples;
    double sample_s[BENCH_MAX_SAMPLES]; /* ascending */
    double ratio;                       /* best time of the scalar variant over best time of this one */
};

struct bench_results {
    size_t n;
    struct bench_result result[BENCH_MAX_RESULTS];
};

double bench_now_s(void);

/* Measure this machine; takes about a second. */
enum bench_exit bench_machine_measure(struct bench_machine *machine);

/* Time every variant of every kernel of kernels.def that this CPU can run, after comparing its result with the scalar
 * one; BENCH_DIFFERS, with a sentence on stderr, if it is another one. */
enum bench_exit bench_kernels(const struct bench_options *options, struct bench_results *results);

/* From the file to the scores: reading, fitting, every backend (OpenCL too) on rows in memory, whole runs. Takes the
 * first feature count. Prints as it goes; BENCH_DIFFERS if a backend gives other bits than scalar. */
enum bench_exit bench_stream(const struct bench_options *options);

void bench_report_table(const struct bench_options *options, const struct bench_machine *machine,
                        const struct bench_results *results);
void bench_report_json(const struct bench_options *options, const struct bench_machine *machine,
                       const struct bench_results *results);

/* Compare ratios with those of a file; BENCH_SLOWER, with a sentence a result on stderr, if one is below its floor. */
enum bench_exit bench_floors_check(const char *path, const struct bench_results *results);

#endif

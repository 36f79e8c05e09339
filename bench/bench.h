/* What the parts of avvik-bench share: what was asked for, what this machine can do, what was measured. */
#ifndef AVVIK_BENCH_H
#define AVVIK_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/engine.h"

#define BENCH_MAX_VALUES 16
#define BENCH_MAX_SAMPLES 64
#define BENCH_MAX_STAGES 12
#define BENCH_MAX_RATIOS 3
#define BENCH_N_SIZES 4
#define BENCH_MAX_DEVICES 16

enum bench_exit {
    BENCH_DONE = 0,
    BENCH_USAGE = 2,
    BENCH_BAD_INPUT = 3,
    BENCH_NO_BACKEND = 4,
    BENCH_DIFFERS = 5,
    BENCH_SLOWER = 7,
    BENCH_FAILED = 70
};

/* Say one sentence on stderr, after "avvik-bench: ", and return `code`. */
enum bench_exit bench_fail(enum bench_exit code, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct bench_list {
    size_t n, value[BENCH_MAX_VALUES];
};

/* From the command line; bench_options.c has the defaults of each subject. */
struct bench_options {
    struct bench_list features, trees, sample, rows, threads;
    const char *only;     /* names of measurements, comma-separated; NULL: all */
    const char *backends; /* likewise */
    const char *layouts, *types;
    const char *folder; /* where files of rows go; NULL: TMPDIR, else /tmp */
    const char *floors; /* path of a file of least ratios, or NULL */
    const char *out;
    size_t n_samples; /* timed runs of each measurement, at most */
    size_t seed;
    size_t limit; /* percent */
    int is_quick, is_json, is_grid, is_cold, is_name;
    char **files; /* what is no option */
    size_t n_files;
};

/* Is `name` in the comma-separated `list`? NULL holds everything. */
int bench_is_wanted(const char *list, const char *name);

/* --- this machine --- */

struct bench_device {
    char backend[32]; /* "opencl:0.0" */
    char name[192];   /* device, driver and version */
    int is_gpu;
    double to_device_gb_s, from_device_gb_s; /* 64 MiB from and to pinned memory; 0: cannot be measured */
};

struct bench_machine {
    char cpu[128], kernel[192], gather_mitigation[96];
    unsigned n_cores, n_cores_allowed;
    uint64_t l1_bytes, l2_bytes, l3_bytes, memory_bytes;
    double load; /* runnable processes over the last minute, when the measuring began */
    /* One thread, by size of the memory that is touched (bench_size_bytes): bytes read and written by memcpy, and bytes
     * read by adding up. */
    double copy_gb_s[BENCH_N_SIZES], read_gb_s[BENCH_N_SIZES];
    /* 16 independent lookups of 32 bits in a table of 16 KiB: scalar, AVX2 and AVX-512 gathers; 0 where there is none
     */
    double gather_ns[3];
    struct bench_device device[BENCH_MAX_DEVICES];
    size_t n_devices;
};

extern const size_t bench_size_bytes[BENCH_N_SIZES]; /* ascending; the last is beyond every cache of a core */

double bench_now_s(void);

/* CPUs that this process may run on. */
unsigned bench_cores_allowed(void);

/* Describe the machine and measure what it can do, n_runs times each (9 take a second or two; 0: not at all). */
enum bench_exit bench_machine_init(struct bench_machine *machine, int n_runs);

/* The OpenCL devices that can run, and their rates likewise. A machine without any is no error. */
enum bench_exit bench_devices_measure(struct bench_machine *machine, int n_runs);

/* The name of a baseline of this machine: its first GPU, else its CPU, in lower case letters, digits and '-'. */
void bench_machine_name(const struct bench_machine *machine, char *name, size_t size);

/* --- measurements --- */

/* What a measurement is held against. TRANSFER is the rate of the device that the variant names. */
enum bench_limit { BENCH_NO_LIMIT, BENCH_COPY, BENCH_READ, BENCH_GATHER, BENCH_TRANSFER };

/* One thing that was timed. Measurements of two runs are of the same thing if all of the first group is equal. */
struct bench_result {
    const char *name; /* static: a kernel, "engine", "read", "fit", "score" */
    char variant[32]; /* of a kernel, or a backend; "" where there is one way only */
    size_t features, rows, trees, sample, threads;
    const char *layout, *types; /* static; of a file, else "" */

    double bytes; /* read and written by one run; 0: not told */
    size_t height;
    enum bench_limit limit;
    size_t n_samples;
    double sample_s[BENCH_MAX_SAMPLES]; /* in the order in which they were taken */
    size_t n_ratios;
    struct bench_ratio {
        const char *to; /* "scalar", "pread" */
        double times;   /* its best time over this one's best time */
    } ratio[BENCH_MAX_RATIOS];
    size_t n_stages; /* of the best run */
    struct bench_stage {
        const char *name;
        double seconds;
    } stage[BENCH_MAX_STAGES];
    const char *binding; /* static: the stage that its speed depends on; NULL: not told */
    double peak_mib;     /* of the process during these runs; 0: not told */
};

struct bench_results {
    size_t n;
    struct bench_result **result; /* each stays where it is */
};

/* A copy of *like without samples, at the end of the list; NULL if there is no memory. */
struct bench_result *bench_results_add(struct bench_results *results, const struct bench_result *like);
void bench_results_destroy(struct bench_results *results);
double bench_best_s(const struct bench_result *result);
double bench_median_s(const struct bench_result *result);
/* Add the ratio of `other`'s best time to `result`'s. */
void bench_ratio_add(struct bench_result *result, const char *to, const struct bench_result *other);
/* Part of the machine's limit that `result` reaches, 0 where it has none. */
double bench_share(const struct bench_result *result, const struct bench_machine *machine);

/* One of those that take turns. before() is not timed and may be NULL; run() returns 0 on failure. */
struct bench_turn {
    struct bench_result *result;
    void (*before)(void *context);
    int (*run)(void *context);
    void (*after)(void *context, int is_best); /* not timed; may be NULL */
    void *context;
};

/* Time all of them in turns, so that whatever disturbs the machine disturbs all of them: options->n_samples times each,
 * but one that has taken a second in all stops after 5. Returns 0 if a run failed. */
int bench_take_turns(const struct bench_turn *turns, size_t n_turns, const struct bench_options *options);

/* One shape after another: each list varies while the others stay at their base (16 features, 100 trees, 256 rows a
 * tree, or the first of a list that lacks it; the first number of rows and of threads), or with --grid every
 * combination. `rows` is taken where options->rows is empty. `visit` ends the walk by returning something else than
 * BENCH_DONE, which is returned. */
struct bench_shape {
    size_t features, trees, sample, rows, threads;
};
typedef enum bench_exit bench_visit_fn(void *context, const struct bench_shape *shape);
enum bench_exit bench_shapes_walk(const struct bench_options *options, const struct bench_list *rows,
                                  bench_visit_fn *visit, void *context);

/* --- subjects --- */

/* Every variant of every kernel of kernels.def that this CPU can run; its result is compared with the scalar one
 * before it is timed. BENCH_DIFFERS, with a sentence, if it is another one. */
enum bench_exit bench_kernels(const struct bench_options *options, struct bench_results *results);

/* The backends that options->backends names, in the order of avvik_devices_list(). NULL stands for the widest CPU
 * backend and every OpenCL device, "all" for all that can run; "opencl:all" is all OpenCL devices sharing the work.
 * devices_out: release with free(). BENCH_NO_BACKEND, with a sentence, if none is left or one that was named cannot
 * run. */
enum bench_exit bench_backends_choose(const char *wanted, struct avvik_device **devices_out, size_t *n_devices_out);

/* Did the device of `engine` do all of the work? The CPU steps in where a device fails, and a figure of that would be
 * of neither. BENCH_NO_BACKEND, with a sentence, if it did not. */
enum bench_exit bench_faults_check(struct avvik_engine *engine);

/* A path for a file of this process in options->folder that ends with `name`; the file is removed if the program is
 * interrupted. bench_file_remove() removes it and forgets it. */
void bench_file_name(const struct bench_options *options, const char *name, char *path, size_t size);
void bench_file_remove(const char *path);

/* Every backend, OpenCL too, from rows in memory to all scores, through the public API; checked likewise. */
enum bench_exit bench_backends(const struct bench_options *options, struct bench_results *results);

/* From a file to a model and to a file of scores, through the public API. */
enum bench_exit bench_stream(const struct bench_options *options, struct bench_results *results);

/* Draw the documents options->files into options->out. */
enum bench_exit bench_plot(const struct bench_options *options);

/* Measurement by measurement, options->files[1] against options->files[0]. BENCH_SLOWER if one is slower by more than
 * options->limit percent. */
enum bench_exit bench_compare(const struct bench_options *options);

/* One document with the measurements of all options->files, on stdout. */
enum bench_exit bench_join(const struct bench_options *options);

/* --- reports --- */

void bench_report_machine(const struct bench_machine *machine);
void bench_report_kernels(const struct bench_machine *machine, const struct bench_results *results);
void bench_report_stream(const struct bench_machine *machine, const struct bench_results *results);
void bench_report_json(const char *subject, const struct bench_options *options, const struct bench_machine *machine,
                       const struct bench_results *results);

/* Compare ratios to scalar with those of a file; BENCH_SLOWER, with a sentence a result on stderr, if one is below its
 * floor. */
enum bench_exit bench_floors_check(const char *path, const struct bench_results *results);

#endif

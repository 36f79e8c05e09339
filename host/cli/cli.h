/* What the commands share: options, messages, tables. The command line uses only what include/avvik offers. */
#ifndef AVVIK_CLI_H
#define AVVIK_CLI_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "avvik/avvik.h"

enum cli_exit {
    CLI_DONE = 0,
    CLI_USAGE = 2,
    CLI_BAD_INPUT = 3,
    CLI_NO_BACKEND = 4,
    CLI_SELFTEST_FAILED = 5,
    CLI_INTERRUPTED = 6,
    CLI_GATE_BREACHED = 7,
    CLI_INTERNAL = 70
};

/* One --option. FLAG sets an int to 1; NUMBER a uint64_t within [min, max]; SIZE likewise, in bytes, with K, M, G or T
 * after it; DURATION likewise, in seconds, with s, m, h or d after it; LEVEL likewise, and may stand without =VALUE:
 * then it is 4, as for gzip in h5py; TEXT a const char *. */
struct cli_option {
    const char *name;
    enum { CLI_FLAG, CLI_NUMBER, CLI_SIZE, CLI_DURATION, CLI_LEVEL, CLI_TEXT } kind;
    void *into;
    const char *argument; /* what help calls the value */
    const char *help;
    uint64_t min, max;
};

struct cli_command {
    const char *name;      /* "fit" */
    const char *arguments; /* what follows the options in its usage line */
    const char *summary;   /* one line for `avvik --help` */
    const char *more;      /* the rest of its --help, or NULL */
    int (*run)(const struct cli_command *command, int argc, char **argv);
};

/* Parse argv[1...] of a command against its options and --help. The positional arguments are moved to the end of argv;
 * *first_out is the first of them. Returns -1 to go on, else the exit code (help was asked for, or an error told). */
int cli_parse(const struct cli_command *command, const struct cli_option *options, size_t n_options, int argc,
              char **argv, int *first_out);

/* Tell an error as one line "avvik: ..." on stderr. Returns `code`, or the code of `status`. */
int cli_usage_error(const struct cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_error(const struct avvik_error *error);
void cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* 1 if messages that are not errors may be told (no --quiet). */
extern int cli_quiet;

/* Print text that comes from a file: control characters become '?', so that no file can drive the terminal. */
void cli_print_text(FILE *stream, const char *text);
/* The same, filled up with spaces to `width` characters, on the left if is_right. */
void cli_print_padded(FILE *stream, const char *text, int width, int is_right);

/* "49,097" into one of a few static buffers. */
const char *cli_count(uint64_t n);

/* Print the document on stdout and release it. */
int cli_print_json(json_t *document);
/* A string that jansson accepts: in what is not UTF-8 every byte above 127 becomes '?'. */
json_t *cli_json_text(const char *text);

/* SIGINT and SIGTERM set *cli_stop() to 1; a second one ends the program at once. */
const volatile int *cli_stop(void);

/* How a run is told on stderr while it goes on: a status line where that is a terminal, else a line of JSON every ten
 * seconds. cli_log, set by --log, chooses one of them whatever stderr is; --quiet silences both. */
enum cli_log { CLI_LOG_AUTO, CLI_LOG_TEXT, CLI_LOG_JSON };
struct cli_progress {
    const char *what; /* "scoring" */
    const char *name; /* of the file at hand, or NULL */
    uint64_t start_ns, shown_ns;
};
/* 1 if `text` is auto, text or json. */
int cli_log_set(const char *text);
int cli_log_is_json(void);
void cli_progress_start(struct cli_progress *progress, const char *what, const char *name);
void cli_progress_show(void *progress, const struct avvik_progress *state);
void cli_progress_end(void);
/* A line of the log: the time, "event", and the members of `fields`, which is released. */
void cli_log_line(const char *event, json_t *fields);
/* The stages of a run in seconds, and which one binds: for people, and as JSON. */
void cli_stages_tell(const struct avvik_stages *stages, uint64_t elapsed_ns);
json_t *cli_stages_json(const struct avvik_stages *stages);
uint64_t cli_now_ns(void);

/* Split "a,b,c" in place; 1 on success, 0 if a name is empty or memory is out. names_out: free() it, not what it holds.
 */
int cli_split_names(char *text, const char ***names_out, size_t *n_out);

/* Split "FILE:/data/set"; 1 on success. `path` is malloc'ed. */
int cli_split_labels(const char *text, char **path_out, const char **dataset_out);

/* 1 if both paths name the same existing file. */
int cli_same_file(const char *a, const char *b);

/* What the truth about a synthetic country says of batches: below a check's report, and as JSON. */
void cli_truth_print(const struct avvik_truth_report *report);
json_t *cli_truth_json(const struct avvik_truth_report *report);

extern const struct cli_command cli_check, cli_compare, cli_history, cli_fit, cli_score, cli_flag, cli_evaluate,
    cli_explain, cli_devices, cli_selftest, cli_find, cli_model, cli_night, cli_report, cli_synth, cli_tune, cli_cases,
    cli_user, cli_audit, cli_serve;

#endif

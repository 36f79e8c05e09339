/* Checking batches before they are fitted or scored: schema, quality of every column, repeated ids, dates, codes, and
 * how far the values have moved from those that a model learnt. One pass, bounded memory. */
#ifndef AVVIK_CHECK_H
#define AVVIK_CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "avvik/model.h"
#include "avvik/progress.h"
#include "avvik/source.h"
#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is measured against a limit. A share is of all rows of the column, 0 to 1. All but the first are per column. */
enum avvik_limit {
    AVVIK_LIMIT_DUPLICATES,       /* share of rows whose id an earlier row has */
    AVVIK_LIMIT_MISSING,          /* share of NaN and _FillValue */
    AVVIK_LIMIT_INFINITE,         /* share of infinities */
    AVVIK_LIMIT_UNKNOWN_CODES,    /* share of codes that the column's code table (attribute `codes`) does not have */
    AVVIK_LIMIT_IMPOSSIBLE_DATES, /* share of dates that are no whole day or outside 1850-01-01..2199-12-31 */
    AVVIK_LIMIT_OUTSIDE_PERIOD,   /* share of other dates outside the period */
    AVVIK_LIMIT_CONSTANT,         /* 1 if the feature varied in the training and does not here, else 0 */
    AVVIK_LIMIT_PSI,              /* population stability index against the training */
    AVVIK_LIMIT_KS,               /* Kolmogorov-Smirnov statistic against the training, 0 to 1 */
    AVVIK_LIMIT_MISSING_CHANGE,   /* share of missing values and infinities less that of the training, absolute */
    AVVIK_N_LIMITS
};

/* Its key in a configuration file: "duplicates", "missing", "infinite", "unknown_codes", "impossible_dates",
 * "outside_period", "constant", "psi", "ks", "missing_change". Static storage. */
const char *avvik_limit_name(enum avvik_limit limit);

/* More than `most` is a warning, or where is_gate is set a breach. */
struct avvik_check_limit {
    double most;
    int is_gate;
};

/* Days since 1970-01-01, both ends belong to it; INT32_MIN and INT32_MAX leave an end open. */
struct avvik_period {
    int32_t from, to;
};

/* The period that `text`, FROM..TO with dates like 2024-01-31, means; either date may be left out. 1 on success. */
int avvik_period_parse(const char *text, struct avvik_period *period_out);

/* "2024-01-31" of a day from year 0 to year 9999 (else the number) into `text`, of at least 16 bytes. */
void avvik_date_text(int32_t day, char *text);

/* What a batch must keep to. Start from avvik_check_rules_init(). */
struct avvik_check_rules {
    char id[AVVIK_NAME_SIZE];   /* the id column; "": the first of role `id` */
    struct avvik_period period; /* of the columns of role `time` */
    uint64_t min_rows, max_rows;
    struct avvik_check_limit limits[AVVIK_N_LIMITS];
    struct avvik_check_column_rules {
        char name[AVVIK_NAME_SIZE];
        int has_period; /* also makes a column without the role `time` one of dates */
        struct avvik_period period;
        double min, max; /* less or more than these is a breach; -+INFINITY: no bound */
        struct avvik_check_limit limits[AVVIK_N_LIMITS];
    } * columns; /* those that differ; owned, see avvik_check_rules_destroy() */
    size_t n_columns;
};

/* No gates; warnings at: missing 0.5, psi 0.25, ks 0.2, missing_change 0.1, any of the others. */
void avvik_check_rules_init(struct avvik_check_rules *rules_out);

/* Rules from the block `check` of the YAML file `path` (host/check/README.md has every field). What it names is a gate,
 * the rest stays as avvik_check_rules_init() has it.
 * Returns AVVIK_OK; AVVIK_ERR_IO; AVVIK_ERR_FORMAT (the text names line or field); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_check_rules_load(const char *path, struct avvik_check_rules *rules_out,
                                         struct avvik_error *error);
void avvik_check_rules_destroy(struct avvik_check_rules *rules);

enum avvik_severity {
    AVVIK_NOTE,    /* worth knowing */
    AVVIK_WARNING, /* above a limit that is no gate */
    AVVIK_BREACH,  /* above a gate */
    AVVIK_REFUSED  /* `avvik fit` or `avvik score` would refuse the batch */
};
const char *avvik_severity_name(enum avvik_severity severity); /* "note", "warning", "breach", "refused" */

struct avvik_finding {
    enum avvik_severity severity;
    const char *kind;             /* key of a limit, or "schema", "range", "rows", "ids", "shift"; static storage */
    char column[AVVIK_NAME_SIZE]; /* "" where it is about the batch */
    double value, limit;          /* NAN where there is no number */
    char text[512];               /* one sentence */
};

/* One column of the batch. Numbers are of the values as float32, except the counts, which are exact. */
struct avvik_column_quality {
    char name[AVVIK_NAME_SIZE], type[24], role[32], units[48];
    char not_read[256]; /* why its values were not looked at; "" if they were */
    uint64_t n_rows, count, missing, infinite, zeros, negative;
    double min, max, mean, sd; /* of the `count` finite values; NAN where there are none */
    int is_constant;           /* no two finite values differ */
    int has_codes, is_date, is_feature, has_training;
    uint64_t n_codes, unknown_codes, impossible_dates, outside_period;
    struct avvik_period period;
    double psi, ks, missing_share, trained_missing_share; /* NAN without the training's values */
};

#define AVVIK_DUPLICATES_NAMED 8

struct avvik_check_report {
    char table[1024];
    char **inputs; /* paths, and the first row of each */
    uint64_t *input_offsets;
    size_t n_inputs;
    uint64_t n_rows;
    struct avvik_column_quality *columns;
    size_t n_columns;
    struct avvik_finding *findings; /* worst first */
    size_t n_findings;
    size_t n_of[AVVIK_REFUSED + 1]; /* findings of each severity */
    struct {
        char column[AVVIK_NAME_SIZE]; /* "" where there is none, or it could not be read as whole numbers */
        int is_signed;
        uint64_t missing, rows, values; /* rows whose id an earlier row has; ids that stand more than once */
        struct avvik_duplicate {
            uint64_t id; /* the bits; two's complement where is_signed */
            uint64_t first_row, second_row;
        } named[AVVIK_DUPLICATES_NAMED]; /* those whose second row comes first */
        size_t n_named;
    } ids;
    uint64_t elapsed_ns;
    uint64_t ids_ns;            /* comparing the ids after the pass */
    struct avvik_stages stages; /* of the pass; write: adding up, and keeping ids */
};

struct avvik_check_options {
    const char *table;                     /* NULL: the model's, or the only one */
    const struct avvik_model *model;       /* NULL: the batch is compared with none */
    const struct avvik_check_rules *rules; /* NULL: as avvik_check_rules_init() */
    uint32_t threads;                      /* workers; 0: one per CPU this process may run on */
    uint64_t id_memory;       /* bytes for finding repeated ids, at least 1 MiB; what exceeds them goes into an unlinked
                               * file in $TMPDIR (/tmp), 16 bytes a row; 0: 256 MiB */
    const volatile int *stop; /* polled once a block; non-zero ends the check with AVVIK_INTERRUPTED; may be NULL */
    avvik_progress_fn *progress; /* from the calling thread; may be NULL */
    void *user;
};

/* Check the batches `paths`, which are read as if they were one. Values of columns of role protected, excluded, label
 * and ignore are not read.
 *
 * report_out  on success the caller's; release with avvik_check_report_free(). What is wrong with the batch stands in
 *             its findings: n_of[AVVIK_REFUSED] > 0 is bad input, else n_of[AVVIK_BREACH] > 0 a gate that was breached.
 * Returns     AVVIK_OK; AVVIK_ERR_USAGE (no batch; several tables and none named; an id column that is not there);
 *             AVVIK_ERR_IO, AVVIK_ERR_FORMAT, AVVIK_ERR_FILTER (a file or its data cannot be read at all);
 *             AVVIK_INTERRUPTED; AVVIK_ERR_MEMORY. */
enum avvik_status avvik_check(const char *const *paths, size_t n_paths, const struct avvik_check_options *options,
                              struct avvik_check_report **report_out, struct avvik_error *error);
void avvik_check_report_free(struct avvik_check_report *report); /* NULL is a no-op */

enum avvik_report_format { AVVIK_REPORT_TEXT, AVVIK_REPORT_JSON };

/* Write a report to `stream`: a line a finding and a table of the columns, or one JSON document (host/check/README.md
 * has its fields). In text, what could drive a terminal becomes '?'. Returns AVVIK_OK, AVVIK_ERR_IO (the stream cannot
 * be written) or AVVIK_ERR_MEMORY. Does not flush. */
enum avvik_status avvik_check_report_write(const struct avvik_check_report *report, enum avvik_report_format format,
                                           FILE *stream, struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

/* Why a row is on a list: what each feature adds to its scores, whom it is compared with, how rare it is, and what
 * would make it ordinary. */
#ifndef AVVIK_EXPLAIN_H
#define AVVIK_EXPLAIN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "avvik/cases.h"
#include "avvik/engine.h"
#include "avvik/model.h"
#include "avvik/source.h"
#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The forest's additive contributions for any number of rows. */
struct avvik_explainer;

/* Make `model` ready; it must stay. backend: "auto" (the widest of the CPU's), "scalar", "avx2", "avx512", or "opencl"
 * and "opencl:PLATFORM.DEVICE" as for avvik_engine_open(). explainer_out: release with avvik_explainer_close().
 * AVVIK_OK; AVVIK_ERR_BACKEND (unknown, or it cannot run here: the text says why); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_explainer_open(const struct avvik_model *model, const char *backend,
                                       struct avvik_explainer **explainer_out, struct avvik_error *error);
void avvik_explainer_close(struct avvik_explainer *explainer); /* NULL is a no-op */

/* What each feature adds to each row's path sum (kernels/README.md, "Reasons").
 *
 * contributions  out, [rows->n_rows][n_features], in steps of 2^-20 path length, summed over the trees. Negative:
 *                the feature makes the path shorter, and so the row more unusual. Over the features they add up to
 *                2^9 path_sum - avvik_explainer_expected(), exactly, whatever the backend.
 * Returns AVVIK_OK; AVVIK_ERR_MEMORY; on a device AVVIK_ERR_BACKEND if it fails, AVVIK_ERR_SELFTEST if the first rows
 * come out otherwise than on the CPU. Any number of threads may call it at once. */
enum avvik_status avvik_explainer_contributions(const struct avvik_explainer *explainer, const struct avvik_rows *rows,
                                                int64_t *contributions, struct avvik_error *error);

/* The sum over trees of the mean leaf value of the training rows, in steps of 2^-20. */
int64_t avvik_explainer_expected(const struct avvik_explainer *explainer);

enum avvik_language { AVVIK_ENGLISH, AVVIK_BOKMAAL, AVVIK_NYNORSK, AVVIK_N_LANGUAGES };
/* "en", "nb", "nn"; static storage. */
const char *avvik_language_code(enum avvik_language language);

/* A row to explain, and how it was chosen. */
struct avvik_pick {
    uint64_t row;  /* over all score files */
    uint64_t rank; /* 0: it has none */
    int is_random;
    int32_t path_sum; /* what the list says of it, to be compared with the score file; INT32_MAX: it does not say */
};

/* What a list that `avvik flag` wrote says, as CSV or JSON. */
struct avvik_flags {
    struct avvik_pick *picks;
    size_t n_picks;
    enum avvik_detector by;
    int has_weights;
    double weights[AVVIK_N_COMBINED];
    enum avvik_p_by p_by;  /* what there is, in lists of earlier versions */
    char content_hash[48]; /* of the score file; "" in a CSV file */
};

/* Read the list `path`. flags_out: release with avvik_flags_destroy(). Returns AVVIK_OK; AVVIK_ERR_IO; AVVIK_ERR_FORMAT
 * (no such list: the text says what is missing, and in which line); AVVIK_ERR_MEMORY. The file is untrusted. */
enum avvik_status avvik_flags_read(const char *path, struct avvik_flags *flags_out, struct avvik_error *error);
void avvik_flags_destroy(struct avvik_flags *flags);

#define AVVIK_MAX_EXPLAINED 100000

/* Start from AVVIK_EXPLAIN_DEFAULTS. */
struct avvik_explain_options {
    enum avvik_detector by;           /* whose score is explained */
    double weights[AVVIK_N_COMBINED]; /* of the combination, as in struct avvik_flag_options */
    double p; /* a row is ordinary if its p-value is above this; 0: if it scores less than every pick that has a rank */
    uint32_t n_reasons;        /* 1 to 65535 */
    const char *const *inputs; /* where the inputs are now; NULL: where they were when they were scored */
    size_t n_inputs;
    const char *const *show; /* columns that may be shown; NULL: the model's features */
    size_t n_show;
    const char *entity, *time, *office; /* columns; NULL: by role (host/cases/README.md) */
    const char *night;                  /* told in the documents; may be NULL */
    enum avvik_language language;       /* of values and labels in documents */
    int no_counterfactual;
    int with_shap;              /* Shapley values, too */
    int with_scan;              /* read all rows once: percentiles and plots are among peers, and there are timelines */
    const char *const *history; /* earlier batches: their rows are in the timelines, too; needs with_scan */
    size_t n_history;
    const char *backend; /* of the contributions, as avvik_explainer_open() has it: the same from any. NULL: the CPU */
    uint32_t threads;    /* 0: one per CPU; explanations are the same for any number */
    const volatile int *stop; /* polled; non-zero: AVVIK_INTERRUPTED; may be NULL */
    enum avvik_p_by p_by;     /* as in struct avvik_flag_options */
};
#define AVVIK_EXPLAIN_DEFAULTS                                                                                         \
    {                                                                                                                  \
        AVVIK_BY_COMBINED, {4, 1, 1, 0}, 0, 5, NULL, 0, NULL, 0, NULL, NULL, NULL, NULL, AVVIK_ENGLISH, 0, 0, 0, NULL, \
            0, NULL, 0, NULL, AVVIK_P_BY_WHAT_THERE_IS                                                                 \
    }

/* A value as the batch has it. */
enum avvik_cell_kind { AVVIK_CELL_MISSING, AVVIK_CELL_SIGNED, AVVIK_CELL_UNSIGNED, AVVIK_CELL_REAL };
struct avvik_cell {
    enum avvik_cell_kind kind;
    union {
        int64_t as_signed;
        uint64_t as_unsigned;
        double as_real;
    } value;
};

/* A column that is shown or is a feature. Strings are the explanations'. */
struct avvik_explained_column {
    const char *name, *units; /* units: "" if it has none */
    size_t n_codes;
    const char *codes; /* n_codes names of AVVIK_NAME_SIZE bytes each */
    int is_date;
    int is_identity; /* of role id, key or group, without names for its codes: a number with no thousands */
};

/* What one feature has to do with a row's scores. */
struct avvik_reason {
    uint32_t feature;
    double share;             /* of what `by` says of the row: 0 to 1; of all features together 1, or 0 if nothing */
    int64_t contribution;     /* to the path sum, in steps of 2^-20 */
    double joint;             /* to the squared distance; these add up to it but for rounding. 0 without one */
    int32_t tails;            /* to the tails, in steps of 1/256 bit; these add up to them, exactly. 0 without */
    uint64_t tail_rows;       /* rows whose value is as far out as this one, or farther, at most; of tail_of rows, the
                                 ones that the model was fitted on and that have a value. 0: none */
    uint64_t tail_of;         /* 0: the model has no tails, or the value is missing */
    int tail_side;            /* -1: low, 1: high, 0: in the middle */
    double bits;              /* to the combination; these add up to it but for rounding */
    float z;                  /* among its peers, with its sign; 0 where the value is missing */
    float center;             /* what z is measured from */
    double percentile;        /* rows whose value is at most this one, in per cent; NAN: it is missing */
    uint64_t percentile_rows; /* with_scan: of so many rows of its group in the batches; 0: of reference rows */
    struct avvik_cell cell;   /* the value */
};

#define AVVIK_MAX_MOMENTS 1000

/* A row of the same person or business. */
struct avvik_moment {
    int is_earlier;     /* in one of the earlier batches */
    size_t input;       /* which of the inputs, or of the earlier batches, */
    uint64_t input_row; /* and the row in it */
    uint64_t row;       /* over all inputs */
    uint64_t content;   /* with earlier batches: a hash of the row's values, by which it is told from others */
    struct avvik_cell time, value; /* value: of the feature of the first reason */
};

#define AVVIK_PLOT_POINTS 101 /* the 0, 1, ..., 100 % quantiles */

/* One feature that would have to change. */
struct avvik_change {
    uint32_t feature;
    int is_from;   /* 1: to `value` or more; 0: to less than `value` */
    float value;   /* the exact border */
    float rounded; /* a round value beyond it: the row is ordinary there, too */
    double size;   /* how far that is, in z-scores */
};

struct avvik_explanation {
    struct avvik_pick pick;
    size_t input; /* which of the inputs, */
    uint64_t input_row;
    uint64_t scores_row; /* within its score file */
    int32_t path_sum;
    float forest, deviation, joint;
    int32_t tails;   /* in steps of 1/256 bit; 0 without */
    double combined; /* in bits */
    double p[AVVIK_N_DETECTORS];
    uint32_t p_group, p_rows; /* as in struct avvik_case */
    int has_cut;
    double cut, cut_p; /* the score of `by` from which on a row of its group is not ordinary; the p-value of that */
    uint32_t group, group_level;
    struct avvik_reason *reasons; /* of all features, the largest share first */
    float *values;                /* of the features, as float32; NaN where missing */
    int is_ordinary;              /* below the cut as it is */
    int is_counterfactual;        /* changes were looked for: there is a cut */
    size_t n_one, n_two;          /* changes; 0: there is none */
    struct avvik_change one[1], two[2];
    double *shap;         /* with_shap: of the features, what each adds to the mean path length of a tree; else NULL */
    double shap_expected; /* that length over the training rows */
    struct avvik_moment *timeline; /* with_scan: by time, the last AVVIK_MAX_MOMENTS; NULL: none is known */
    size_t n_timeline;
    /* with_scan: of the first reason's feature, AVVIK_PLOT_POINTS quantiles of its group's rows in the inputs, and how
     * many rows these are; NULL: there are less than two. */
    float *peer_quantiles;
    uint64_t peer_rows;
    struct avvik_cell *cells; /* of the columns that are shown */
    struct avvik_cell id, entity, time, office;
};

/* Explanations of the picks, in their order, and what they have in common. */
struct avvik_explanations {
    struct avvik_explanation *rows;
    size_t n_rows;
    const struct avvik_model *model; /* the caller's */
    enum avvik_detector by;
    enum avvik_language language;
    char *night;
    uint32_t n_reasons;
    char table[1024];
    char scores_hash[48];     /* content hash of the score file; of several the hash of their hashes */
    char **inputs;            /* as they were named when they were scored */
    char (*input_hashes)[48]; /* hash of the values of the score file that each belongs to */
    uint64_t *input_rows;     /* the first row of each, over all */
    size_t n_inputs;
    char **history; /* earlier batches, as they were named */
    size_t n_history;
    int64_t expected_steps; /* avvik_explainer_expected() of the model */
    uint32_t n_calibration;
    uint32_t n_p_groups; /* as in struct avvik_case_list */
    struct avvik_explained_column *features, *shown, *keys;
    size_t n_features, n_shown, n_keys;
    struct avvik_explained_column id, entity, time, office; /* name NULL where there is none */
    void *owned;
};

/* Explain rows of n_scores score files of `model`, numbered on from file to file as by avvik_flag().
 *
 * Single rows are read of the batches, never all of one. Each is scored again, and must come out as the score file has
 * it: so a batch that is not the one that was scored is noticed.
 * explanations_out  release with avvik_explanations_destroy(); the model must stay as long.
 * Returns AVVIK_OK; AVVIK_ERR_USAGE (no pick, or more than AVVIK_MAX_EXPLAINED; a row outside the file or named twice;
 * options outside their range); AVVIK_ERR_FORMAT (another model's scores, another batch, a column that is not there or
 * may not be shown, a row without a score); AVVIK_ERR_IO; what avvik_source_open() returns; AVVIK_INTERRUPTED;
 * AVVIK_ERR_MEMORY. One thread at a time, as for avvik_source_open(). */
enum avvik_status avvik_explain(const struct avvik_model *model, const char *const *scores, size_t n_scores,
                                const struct avvik_pick *picks, size_t n_picks,
                                const struct avvik_explain_options *options,
                                struct avvik_explanations *explanations_out, struct avvik_error *error);
void avvik_explanations_destroy(struct avvik_explanations *explanations);

#define AVVIK_SENTENCES 4
#define AVVIK_SENTENCE_SIZE 1024

/* The four sentences of a case: what deviates, from whom, how rare it is, what would make it ordinary. UTF-8. */
void avvik_explanation_words(const struct avvik_explanations *explanations, size_t row, enum avvik_language language,
                             char (*sentences)[AVVIK_SENTENCE_SIZE]);

/* A value of a column for people ("41,200.00 kr", "2026-11-20", a code's name), and what a column is called
 * ("gross amount"), in at most `size` bytes. */
void avvik_value_text(const struct avvik_explained_column *column, const struct avvik_cell *cell,
                      enum avvik_language language, char *text, size_t size);
void avvik_column_label(const char *table, const char *column, enum avvik_language language, char *text, size_t size);

/* Write case documents (host/cases/README.md): one JSON object a line, or one JSON array. AVVIK_OK, AVVIK_ERR_IO (the
 * stream cannot be written) or AVVIK_ERR_MEMORY. Does not flush. */
enum avvik_status avvik_explanations_write(const struct avvik_explanations *explanations, int is_lines, FILE *stream,
                                           struct avvik_error *error);

/* The same, one object a line, as the file `path`: to PATH.partial, synced, then renamed. AVVIK_ERR_EXISTS if it is
 * there and `replace` is 0. */
enum avvik_status avvik_explanations_save(const struct avvik_explanations *explanations, const char *path, int replace,
                                          struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

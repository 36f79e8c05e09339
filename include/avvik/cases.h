/* From scores to cases: the rows that deviate most, and how well a ranking finds labelled rows. */
#ifndef AVVIK_CASES_H
#define AVVIK_CASES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What rows are ranked by. AVVIK_BY_FOREST compares path sums, which are integers and exact: the smaller the more
 * unusual. AVVIK_BY_DEVIATION compares the largest |z|, AVVIK_BY_JOINT the joint
 * deviation, which is 0 where the model has none, AVVIK_BY_TAILS how far out in their tails the values lie, which is
 * there only if the model has tails. AVVIK_BY_COMBINED compares the weighted mean of what the detectors before it say,
 * each in bits: -log2 of the share of past rows that score as high (host/cases/README.md). Ties go to the smaller row
 * number. */
enum avvik_detector {
    AVVIK_BY_FOREST,
    AVVIK_BY_DEVIATION,
    AVVIK_BY_JOINT,
    AVVIK_BY_TAILS,
    AVVIK_BY_COMBINED,
    AVVIK_N_DETECTORS,
    AVVIK_N_COMBINED = AVVIK_BY_COMBINED
};

/* "forest", "deviation", "joint", "tails", "combined"; static storage. */
const char *avvik_detector_name(enum avvik_detector detector);

/* Whom a row's p-value compares it with (host/cases/README.md, "Whom p is about"): the held-out rows of its peer group,
 * where there are enough of them; all of them. */
enum avvik_p_by {
    AVVIK_P_BY_WHAT_THERE_IS, /* by group where the model has groups for it, else everyone */
    AVVIK_P_BY_GROUP,
    AVVIK_P_BY_EVERYONE
};

/* "group", "everyone"; static storage. */
const char *avvik_p_by_name(enum avvik_p_by p_by);
/* 1 on success. */
int avvik_p_by_parse(const char *text, enum avvik_p_by *p_by_out);

struct avvik_case {
    uint64_t rank; /* from 1 among those by rank; 0 for a row that was drawn at random */
    uint64_t row;  /* from 0, over all inputs of the run */
    int32_t path_sum;
    float forest, deviation, joint;
    int32_t tails; /* in steps of 1/256 bit; 0 without */
    uint16_t deviation_feature, beyond, missing;
    int is_random;               /* drawn at random from the rows that the ranking left out */
    double p[AVVIK_N_DETECTORS]; /* conformal p-values: the share of held-out rows, and this one, that score as high */
    uint32_t peer_group;         /* the row's, as in the score file; 0 without peer groups */
    uint32_t p_group;            /* the peer group whose held-out rows p is from; 0: everyone, or those in no other such
                                    group */
    uint32_t p_rows;             /* how many these are */
};

/* Which rows get into a list; start from AVVIK_FLAG_DEFAULTS. */
struct avvik_flag_options {
    uint64_t budget; /* length of the list; 0: as long as fdr lets it be */
    double fdr;      /* in (0, 1): the list ends where the rate of false discoveries may exceed this; 0: it does not */
    double random_share; /* 0 to 1: this share of the list is drawn at random from the other rows */
    uint64_t seed;       /* of that draw */
    enum avvik_detector by;
    double weights[AVVIK_N_COMBINED]; /* of the detectors in the combination, no less than 0 */
    enum avvik_p_by p_by;
};
#define AVVIK_FLAG_DEFAULTS                                                                                            \
    {                                                                                                                  \
        100, 0, 0, 1, AVVIK_BY_COMBINED, {4, 1, 1, 0}, AVVIK_P_BY_WHAT_THERE_IS                                        \
    }

/* "0.05", "5%" or "5 %" as a share from 0 to 1. 1 on success. */
int avvik_share_parse(const char *text, double *share_out);

/* "forest=4,deviation=1,joint=1": weights of the named detectors of the combination; those that are not named get 0. 1
 * on success; 0 if a name is not known or named twice, or a weight is no number from 0 on. */
int avvik_weights_parse(const char *text, double *weights_out);

/* How many of the lists, and of the draws of calibration rows, keep avvik_case_list.fdr_bound. */
#define AVVIK_FDR_CONFIDENCE 0.9

/* A short list. Strings and arrays are its own. */
struct avvik_case_list {
    struct avvik_case *cases; /* by rank, then the random ones by row */
    size_t n_cases, n_random;
    enum avvik_detector by;
    double weights[AVVIK_N_COMBINED]; /* of the combination */
    uint64_t n_rows;                  /* of the score files */
    uint64_t n_absent;                /* of these, rows without a score: they were damaged, and are in no list */
    uint32_t n_calibration;           /* rows that were held out when the model was made; 0: all p-values are 1 */
    int has_tails;                    /* the model has tails: they are told */
    enum avvik_p_by p_by;             /* group or everyone */
    uint32_t n_p_groups;              /* groups that p is told by; 1: everyone */
    double expected;     /* rows that would have a p as small as the largest of those listed by rank, if all were
                            like the calibration rows (of their group) */
    double fdr_estimate; /* of the rows listed by rank, at most this share is expected to be such as the calibration
                            rows are: expected / rows listed (Benjamini and Hochberg 1995) */
    double fdr_bound;    /* the share that nine in ten such lists keep (host/cases/fdr.h) */
    char **features;     /* names, by number */
    size_t n_features;
    char **inputs; /* the files that were scored, and the first row of each */
    uint64_t *input_offsets;
    size_t n_inputs;
    char table[1024];
    char model_hash[48];   /* content hash of the model that scored */
    char content_hash[48]; /* of the score file; the hash of their hashes where there are several */
};

/* The rows of n_paths score files of one model that deviate most, as if they were one file: rows are numbered on from
 * file to file. The files are streamed in bounded memory, once, and once more each for an fdr and for a random share;
 * their content hashes are checked.
 *
 * With an fdr the list is the longest that keeps it nine times in ten (fdr_bound); it may be empty. All rates are about
 * rows that would be exchangeable with the calibration rows if there was nothing unusual about them.
 *
 * Returns AVVIK_OK; AVVIK_ERR_USAGE (a budget of 0 without an fdr, or above the number of rows: the text says how many
 * there are; fdr, share or weights outside their range; an fdr where no rows were held out; p by group where the file
 * has no groups of held-out rows); AVVIK_ERR_IO;
 * AVVIK_ERR_FORMAT (not a score file, damaged or changed; the models differ); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_flag(const char *const *paths, size_t n_paths, const struct avvik_flag_options *options,
                             struct avvik_case_list *list_out, struct avvik_error *error);
void avvik_case_list_destroy(struct avvik_case_list *list);

/* The number, in list->inputs, of the file that a row came from. */
size_t avvik_case_list_input(const struct avvik_case_list *list, uint64_t row);

enum avvik_list_format { AVVIK_LIST_CSV, AVVIK_LIST_JSON };

/* Write a list to `stream`: a line a case under a heading, or one JSON document (host/cases/case_text.c has the
 * fields). Names come from files: what could drive a terminal or break a line becomes '?'. The bytes do not depend on
 * the locale.
 * labels    as avvik_labels_read() gives them, one more field; NULL: none.
 * Returns AVVIK_OK, AVVIK_ERR_IO (the stream cannot be written) or AVVIK_ERR_MEMORY. Does not flush. */
enum avvik_status avvik_case_list_write(const struct avvik_case_list *list, const uint8_t *labels,
                                        enum avvik_list_format format, FILE *stream, struct avvik_error *error);

/* Labels: one number a row, from the one-dimensional data set `dataset` of the HDF5 file `path`: 0 or 1, anomalous.
 * labels_out  on success n_rows bytes of 0 or 1; release with free().
 * Returns AVVIK_OK, AVVIK_ERR_IO or AVVIK_ERR_FORMAT (no such data set, not numeric, another number of rows, a value
 * other than 0 and 1). */
enum avvik_status avvik_labels_read(const char *path, const char *dataset, uint64_t n_rows, uint8_t **labels_out,
                                    struct avvik_error *error);

/* How well each detector ranks the labelled rows first. Rows without a score take no part. */
struct avvik_evaluation {
    uint64_t n_rows, n_anomalies, budget;
    uint64_t n_absent; /* rows without a score, not among n_rows */
    int has_tails;     /* 0: the score file has none, and detectors[AVVIK_BY_TAILS] says nothing */
    struct {
        double roc_auc;             /* area under the ROC curve, ties counted half (Mann-Whitney) */
        double average_precision;   /* sum of precision x gain in recall over the distinct scores, as in scikit-learn */
        double precision_at_budget; /* share of anomalies among the `budget` rows that deviate most */
    } detectors[AVVIK_N_DETECTORS];
};

/* Compare the score file `path` with the labels in `dataset` of `labels_path`. budget 0: as many as there are
 * anomalies; weights, p_by: as in struct avvik_flag_options. Returns as avvik_flag() and avvik_labels_read();
 * AVVIK_ERR_FORMAT if all labels are the same. Needs about 48 bytes a row. */
enum avvik_status avvik_evaluate(const char *path, const char *labels_path, const char *dataset, uint64_t budget,
                                 const double *weights, enum avvik_p_by p_by, struct avvik_evaluation *evaluation_out,
                                 struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

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
 * unusual. AVVIK_BY_DEVIATION compares the largest |z|. Ties go to the smaller row number. */
enum avvik_detector { AVVIK_BY_FOREST, AVVIK_BY_DEVIATION, AVVIK_N_DETECTORS };

/* "forest", "deviation"; static storage. */
const char *avvik_detector_name(enum avvik_detector detector);

struct avvik_case {
    uint64_t rank; /* from 1 */
    uint64_t row;  /* from 0, over all inputs of the run */
    int32_t path_sum;
    float forest, deviation;
    uint16_t deviation_feature, beyond, missing;
};

/* A short list. Strings and arrays are its own. */
struct avvik_case_list {
    struct avvik_case *cases;
    size_t n_cases;
    uint64_t n_rows;   /* of the score files */
    uint64_t n_absent; /* of these, rows without a score: they were damaged, and are in no list */
    char **features;   /* names, by number */
    size_t n_features;
    char **inputs; /* the files that were scored, and the first row of each */
    uint64_t *input_offsets;
    size_t n_inputs;
    char table[1024];
    char model_hash[48];   /* content hash of the model that scored */
    char content_hash[48]; /* of the score file; the hash of their hashes where there are several */
};

/* The `budget` rows of the score file `path` that deviate most by `detector`, most unusual first. Streams the file in
 * bounded memory and checks its content hash.
 * Returns AVVIK_OK; AVVIK_ERR_USAGE (a budget of 0 or above the number of rows: the text says how many there are);
 * AVVIK_ERR_IO; AVVIK_ERR_FORMAT (not a score file, damaged or changed); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_flag(const char *path, uint64_t budget, enum avvik_detector detector,
                             struct avvik_case_list *list_out, struct avvik_error *error);

/* The same over several score files of one model, as if they were one: rows are numbered on from file to file.
 * Returns as avvik_flag(); AVVIK_ERR_FORMAT too where the models differ. */
enum avvik_status avvik_flag_files(const char *const *paths, size_t n_paths, uint64_t budget,
                                   enum avvik_detector detector, struct avvik_case_list *list_out,
                                   struct avvik_error *error);
void avvik_case_list_destroy(struct avvik_case_list *list);

/* The number, in list->inputs, of the file that a row came from. */
size_t avvik_case_list_input(const struct avvik_case_list *list, uint64_t row);

enum avvik_list_format { AVVIK_LIST_CSV, AVVIK_LIST_JSON };

/* Write a list to `stream`: a line a case under a heading, or one JSON document (host/cases/case_text.c has the
 * fields). Names come from files: what could drive a terminal or break a line becomes '?'. The bytes do not depend on
 * the locale.
 * detector  what the list was ranked by, told in the JSON.
 * labels    as avvik_labels_read() gives them, one more field; NULL: none.
 * Returns AVVIK_OK, AVVIK_ERR_IO (the stream cannot be written) or AVVIK_ERR_MEMORY. Does not flush. */
enum avvik_status avvik_case_list_write(const struct avvik_case_list *list, enum avvik_detector detector,
                                        const uint8_t *labels, enum avvik_list_format format, FILE *stream,
                                        struct avvik_error *error);

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
    struct {
        double roc_auc;             /* area under the ROC curve, ties counted half (Mann-Whitney) */
        double average_precision;   /* sum of precision x gain in recall over the distinct scores, as in scikit-learn */
        double precision_at_budget; /* share of anomalies among the `budget` rows that deviate most */
    } detectors[AVVIK_N_DETECTORS];
};

/* Compare the score file `path` with the labels in `dataset` of `labels_path`. budget 0: as many as there are
 * anomalies. Returns as avvik_flag() and avvik_labels_read(); AVVIK_ERR_FORMAT if all labels are the same. Needs about
 * 24 bytes a row. */
enum avvik_status avvik_evaluate(const char *path, const char *labels_path, const char *dataset, uint64_t budget,
                                 struct avvik_evaluation *evaluation_out, struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

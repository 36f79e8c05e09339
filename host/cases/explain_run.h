/* What the parts of an explanation share: explain_run.c (its course), explain_columns.c (what is shown),
 * explain_rows.c (what threads do), explain_scan.c (what all rows of the batches tell). */
#ifndef AVVIK_EXPLAIN_RUN_H
#define AVVIK_EXPLAIN_RUN_H

#include "avvik/explain.h"
#include "cell_reader.h"
#include "explainer.h"
#include "score_reader.h"

/* One score file and its batches, while rows of it are explained. */
struct avvik__explained_file {
    struct avvik__score_reader reader;
    struct avvik_source *source;
    struct avvik__cell_reader *cells;
    size_t *columns; /* in cells: of the features, the columns shown, id, entity, time, office; SIZE_MAX: none */
    uint64_t first_row;
    size_t first_input;
    uint64_t next_row; /* of the score file's columns */
};

struct avvik__explain_run {
    const struct avvik_model *model;
    const struct avvik_explain_options *options;
    struct avvik_explainer *explainer;
    struct avvik__surprise surprise;
    struct avvik_explanations *explanations;
    struct avvik__explained_row row; /* scratch, as the next */
    float *read;                     /* a value of each column of a source */
    size_t n_cell_columns;
};

/* Which columns are shown of a file, and what the first file says of them. */
enum avvik_status avvik__explain_columns(struct avvik__explain_run *run, struct avvik__explained_file *file,
                                         struct avvik_error *error);

/* What is found out of each row by itself, once all are read and the cut is known: its reasons, what would make it
 * ordinary, Shapley values. */
enum avvik_status avvik__explain_rows(struct avvik__explain_run *run, struct avvik_error *error);

/* with_scan: go through all rows of all batches, once everything else is known. */
enum avvik_status avvik__explain_scan(struct avvik__explain_run *run, struct avvik_error *error);

/* Read the cells of one row. */
enum avvik_status avvik__explain_cells(const struct avvik__explain_run *run, struct avvik__explained_file *file,
                                       struct avvik_explanation *explanation, struct avvik_error *error);

#endif

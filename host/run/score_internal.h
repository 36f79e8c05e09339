/* What the parts of a scoring run share: score_run.c (its course), score_blocks.c (a block's way through it),
 * score_output.c (what is written beside the columns), score_outline.c (what the batch was like) and score_resume.c
 * (going on where another run stopped). */
#ifndef AVVIK_SCORE_INTERNAL_H
#define AVVIK_SCORE_INTERNAL_H

#include "avvik/score.h"
#include "block_pipeline.h"
#include "chunk_encode.h"
#include "forest_score.h"
#include "input_hash.h"
#include "journal.h"
#include "model_internal.h"
#include "outline.h"
#include "record_file.h"
#include "source_plan.h"

/* The columns of /scores, in the order of struct block. */
/* Of the last three, two are there where the model has peer groups, and one where it has tails. */
enum {
    PATH_SUM,
    FOREST,
    DEVIATION,
    DEVIATION_FEATURE,
    BEYOND,
    MISSING,
    JOINT,
    PEER_GROUP,
    PEER_LEVEL,
    TAILS,
    N_COLUMNS
};
struct score_column {
    const char *path;
    enum avvik__type type;
    size_t size;
};
extern const struct score_column avvik__score_columns[N_COLUMNS];
#define SCORE_ROW_BYTES 28 /* of all columns but tails */
#define SCORE_TAILS_BYTES 4

/* Rows that could not be read. */
struct absent {
    uint64_t first, n_rows;
    uint64_t feature;
    char reason[104];
};

/* What a block adds to the summary. */
struct block_totals {
    uint64_t rows_with_missing, values_missing, values_infinite, rows_absent, rows_without_key, rows_without_group;
};

/* One slot of the pipeline. */
struct block {
    struct avvik__plan *plan;
    void *results[N_COLUMNS];
    void *encoded[N_COLUMNS]; /* where the output is compressed */
    size_t encoded_bytes[N_COLUMNS];
    XXH128_canonical_t *digests; /* of the input */
    struct block_totals totals;
    struct avvik_stages stages;
};

/* What belongs to one worker thread. */
struct score_worker {
    struct avvik_worker *engine;
    struct avvik__fetcher *fetcher;
    struct avvik__encoder *encoder;
    float *piece;                    /* [column of the source][piece_rows] */
    uint64_t *counts;                /* [2][feature]: missing, infinite */
    struct avvik__fetch_times times; /* when the last block was done */
};

/* Rows whose values are outlined. Each belongs to one block, whose worker writes what is of it. */
struct looked_at {
    uint32_t n;
    uint64_t *rows;    /* ascending */
    float *values;     /* [row][feature] as read */
    uint8_t *is_there; /* [row]: it has a score */
};

struct score_run {
    const struct avvik_model *model;
    struct avvik_engine *engine;
    struct avvik_source *source;
    const struct avvik_score_options *options;
    struct avvik_score_summary *summary;
    struct avvik__cut cut;
    char has_column[N_COLUMNS]; /* of the output */
    size_t n_inputs;            /* columns of the source: features and keys */
    size_t chunk_rows;          /* of the output: a block, or the whole of a table that is smaller */
    uint64_t n_rows, start_ns;
    struct avvik__score_table table;
    struct score_worker *workers;
    struct block *blocks;
    struct avvik__pipeline pipeline;
    struct avvik__record *record;
    struct avvik__record_column *columns[N_COLUMNS];
    struct avvik__journal *journal;
    struct avvik__input_hash hash;
    struct absent *absent;
    size_t n_absent, absent_capacity;
    struct looked_at looked_at;
};

size_t avvik__score_block_rows(const struct score_run *run, uint64_t block);

/* Slots and workers. They are freed with what they hold; freeing twice is harmless. */
enum avvik_status avvik__score_blocks_init(struct score_run *run, struct avvik_error *error);
void avvik__score_blocks_free(struct score_run *run);

/* The three stages of the pipeline; `context` is the run. */
avvik__block_fn avvik__score_block_plan, avvik__score_block_write;
avvik__work_fn avvik__score_block_work;

/* Rows [first, first + n) of `feature` are absent. Runs side by side are joined. */
enum avvik_status avvik__score_absent_add(struct score_run *run, const struct absent *absent,
                                          struct avvik_error *error);

/* Everything that does not depend on the rows, and the columns; after the last row, what could only be known then. */
enum avvik_status avvik__score_output_begin(struct score_run *run, struct avvik_error *error);
enum avvik_status avvik__score_output_end(struct score_run *run, struct avvik_error *error);

/* score_outline.c: which rows are outlined; the first of them, by its place, that is not before `row`; keep values of
 * rows [first, first + n), which are in the worker's piece; write what they were like. */
enum avvik_status avvik__score_outline_init(struct score_run *run, struct avvik_error *error);
void avvik__score_outline_free(struct score_run *run);
uint32_t avvik__score_outline_place(const struct score_run *run, uint64_t row);
void avvik__score_outline_keep(const struct score_run *run, const struct score_worker *worker, uint64_t first,
                               size_t n);
enum avvik_status avvik__score_outline_put(const struct score_run *run, struct avvik_error *error);

/* Is a finished score file at `path` the one that this run would write, and nobody was about to replace it? The content
 * of the inputs is judged by their sizes and times of change. Sets *is_same_out; AVVIK_OK also where there is no such
 * file. */
enum avvik_status avvik__score_is_complete(const struct score_run *run, const char *path, int *is_same_out,
                                           struct avvik_error *error);

/* A text that only a run over the same inputs with the same model and options has; malloc'ed, NULL without memory. */
char *avvik__score_identity(const struct score_run *run);
/* A record of the journal for a block that has been written. */
enum avvik_status avvik__score_journal_add(struct score_run *run, uint64_t block, const struct block *written,
                                           struct avvik_error *error);
/* Take over what the journal tells of; *first_block_out is the first block that is left to do. */
enum avvik_status avvik__score_replay(struct score_run *run, uint64_t *first_block_out, struct avvik_error *error);

#endif

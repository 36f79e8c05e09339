/* Reading a score file back, run by run, all of it, so that its content hash can be checked at the end. */
#ifndef AVVIK_SCORE_READER_H
#define AVVIK_SCORE_READER_H

#include "avvik/cases.h"
#include "calibration.h"
#include "outline.h"
#include "record_file.h"

#define AVVIK_READER_ROWS 65536
#define AVVIK_READER_COLUMNS 10 /* of which those of groups, and that of tails, may be missing */

struct avvik__score_reader {
    const char *path; /* the caller's */
    struct avvik__record *record;
    struct avvik__record_column *columns[AVVIK_READER_COLUMNS]; /* NULL: not there */
    int has_groups;                                             /* rows were compared within groups */
    int has_tails;
    uint64_t n_rows, next; /* next: first row of the coming run */
    size_t n;              /* rows in the arrays below */
    int32_t *path_sum;
    float *forest, *deviation, *joint;
    uint16_t *deviation_feature, *beyond, *missing;
    uint32_t *peer_group;
    uint16_t *peer_level;
    int32_t *tails;                        /* 0 where there are none */
    struct avvik__calibration calibration; /* of the model */
    struct avvik__outline outline;         /* of the batch; without features in files of earlier versions */
    int has_absent;                        /* some rows have no score: those whose forest score is NaN */
    char **features, **inputs;             /* names */
    uint64_t *input_offsets;
    size_t n_features, n_inputs;
    char table[1024], content_hash[AVVIK_HASH_SIZE], model_hash[AVVIK_HASH_SIZE];
};

/* Open PATH and read all but the rows. AVVIK_ERR_IO, AVVIK_ERR_FORMAT or AVVIK_ERR_MEMORY; on error nothing is held. */
enum avvik_status avvik__score_reader_open(struct avvik__score_reader *reader, const char *path,
                                           struct avvik_error *error);

/* Can rows be ranked `by` with these weights of the combination? AVVIK_ERR_USAGE: not by tails, which are not there. */
enum avvik_status avvik__score_reader_ranks(const struct avvik__score_reader *reader, enum avvik_detector by,
                                            const double *weights, struct avvik_error *error);

/* Read the next run of rows into the arrays; n is 0 after the last, once the content hash has been found right. */
enum avvik_status avvik__score_reader_next(struct avvik__score_reader *reader, struct avvik_error *error);
void avvik__score_reader_close(struct avvik__score_reader *reader);

/* Release n strings and their array; NULL is a no-op. */
void avvik__strings_free(char **strings, size_t n);

#endif

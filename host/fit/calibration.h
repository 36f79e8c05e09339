/* Rows that are scored once, by the finished model, so that later scores can be told in probabilities (host/README.md,
 * "From scores to probabilities"). */
#ifndef AVVIK_CALIBRATION_H
#define AVVIK_CALIBRATION_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"
#include "record_file.h"
#include "strata.h"

#define AVVIK_CALIBRATION_ROWS 65536        /* held out, at most */
#define AVVIK_CALIBRATION_VALUES (4u << 20) /* rows x features, at most */
#define AVVIK_CALIBRATION_SHARE 4           /* at most one row in so many */
#define AVVIK_TREE_ROWS 16                  /* at least so many are left for the trees */
#define AVVIK_REFERENCE_ROWS 8192           /* of the trees' rows, at most */

/* The scores of n rows, one array a detector. */
struct avvik__scored {
    uint32_t n;
    int32_t *path_sum; /* NULL where n is 0 */
    float *deviation;
    float *joint;
    int32_t *tails; /* NULL in a model without */
};

struct avvik__calibration {
    struct avvik__scored reference; /* rows that the trees grew from: each array ascending by itself. They put detectors
                                       on one scale */
    struct avvik__scored held_out;  /* rows that no tree has seen, in the order of their numbers. They give p-values */
    uint32_t *held_out_groups;      /* the innermost peer group of each; NULL without peer groups, or without rows */
    struct avvik__strata strata;    /* of these: n is 0 without them */
};

/* How many of n_rows rows are held out: `wanted`, unless that is too much of the table or of memory. */
uint32_t avvik__calibration_count(uint64_t n_rows, uint32_t n_features, uint32_t wanted);

/* The numbers of the n rows that are held out, ascending. */
void avvik__calibration_draw(uint64_t seed, uint64_t n_rows, uint32_t n, uint64_t *rows_out);

/* Places among the rows that are not held out become row numbers; both ascending, in place. */
void avvik__calibration_skip(const uint64_t *held_out, uint32_t n_held_out, uint64_t n_rows, uint64_t *places,
                             size_t n);

/* Room for n rows. AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__scored_init(struct avvik__scored *scored, uint32_t n, int has_tails,
                                     struct avvik_error *error);
/* Sort each array by itself. */
void avvik__scored_sort(struct avvik__scored *scored);
void avvik__calibration_destroy(struct avvik__calibration *calibration);

/* Which peer groups the held-out rows are told apart by. of_row: the innermost group of each. AVVIK_OK or
 * AVVIK_ERR_MEMORY. */
enum avvik_status avvik__calibration_part(struct avvik__calibration *calibration, const struct avvik__groups *groups,
                                          const uint32_t *of_row, struct avvik_error *error);

/* /reference and /calibration of a model or score file. What is read is checked: AVVIK_ERR_FORMAT, named after `path`.
 * On error nothing is held. */
enum avvik_status avvik__calibration_put(const struct avvik__calibration *calibration, struct avvik__record *record,
                                         struct avvik_error *error);
enum avvik_status avvik__calibration_get(struct avvik__calibration *calibration, struct avvik__record *record,
                                         const char *path, struct avvik_error *error);

#endif

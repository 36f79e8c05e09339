/* What the values of a batch were like when it was scored, in short: so that two nights can be compared without their
 * batches (host/check/README.md, "Shift"). */
#ifndef AVVIK_OUTLINE_H
#define AVVIK_OUTLINE_H

#include "model_internal.h"

#define AVVIK_OUTLINE_ROWS 2048                /* looked at, at most */
#define AVVIK_OUTLINE_VALUES ((size_t)1 << 20) /* rows x features, at most; one row at least */

/* Of the rows that were looked at: their number, and of each feature name, quantiles, median, mad, mean_deviation and,
 * as moments.n_nan, how many values were missing or infinite. */
struct avvik__outline {
    uint64_t n_rows;
    uint32_t n_features;
    struct avvik__feature *features; /* owned; NULL: there is none */
};

/* How many of n_rows rows are looked at. */
uint32_t avvik__outline_rows(uint64_t n_rows, uint32_t n_features);

/* From values[row][feature] of n rows, NaN where missing or infinite; names are the model's. Release with
 * avvik__outline_destroy(). AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__outline_make(struct avvik__outline *outline, const struct avvik_model *model,
                                      const float *values, size_t n, struct avvik_error *error);
void avvik__outline_destroy(struct avvik__outline *outline);

/* /batch of a score file. Reading: untrusted; names are n_features of the file's. Nothing where the file is of an
 * earlier version. */
enum avvik_status avvik__outline_put(const struct avvik__outline *outline, struct avvik__record *record,
                                     struct avvik_error *error);
enum avvik_status avvik__outline_get(struct avvik__outline *outline, char *const *names, size_t n_features,
                                     struct avvik__record *record, const char *path, struct avvik_error *error);

#endif

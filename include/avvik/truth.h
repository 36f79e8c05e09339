/* What the truth about a synthetic country says of its batches: how many rows belong to each typology, and how far a
 * naive rule would come. */
#ifndef AVVIK_TRUTH_H
#define AVVIK_TRUTH_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/source.h"
#include "avvik/status.h"
#include "avvik/synth.h"

#ifdef __cplusplus
extern "C" {
#endif

struct avvik_truth_report {
    char table[AVVIK_NAME_SIZE];
    uint64_t n_rows;
    uint64_t cases[AVVIK_SYNTH_TYPOLOGIES + 1];       /* rows that belong to typology t; [0]: to none */
    uint64_t look_alikes[AVVIK_SYNTH_TYPOLOGIES + 1]; /* rows that only look like it */
    struct avvik_truth_column {
        char name[AVVIK_NAME_SIZE];
        /* How well this column alone, as it stands, ranks the rows of typology t before or behind all others: the
         * larger of the area under the ROC curve and one minus it; ties count half, missing values take no part. NAN
         * where there is nothing to rank. */
        double roc_auc[AVVIK_SYNTH_TYPOLOGIES + 1];
    } * columns; /* of role feature, group and time: the others are no numbers that mean anything, or may not be read */
    size_t n_columns;
};

/* Put the truth beside the batches of a synthetic country, which are read as if they were one. table: NULL where they
 * have one only. Needs about 10 bytes a row.
 *
 * report_out  on success the caller's; release with avvik_truth_report_destroy().
 * Returns     AVVIK_OK; AVVIK_ERR_FORMAT (no batch of a synthetic country, or the truth of another one); what
 *             avvik_source_open() returns. */
enum avvik_status avvik_truth_measure(const char *const *paths, size_t n_paths, const char *table, const char *truth,
                                      struct avvik_truth_report *report_out, struct avvik_error *error);
void avvik_truth_report_destroy(struct avvik_truth_report *report);

#ifdef __cplusplus
}
#endif
#endif

/* A case document (README.md, "Case documents"): one line of JSON that holds all there is to say of a case. */
#ifndef AVVIK_CASE_DOCUMENT_H
#define AVVIK_CASE_DOCUMENT_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/explain.h"
#include "avvik/status.h"

#define AVVIK_DOCUMENT_BYTES ((size_t)1 << 20) /* of a line, at most */
#define AVVIK_MAX_FIELDS 256
#define AVVIK_MAX_REASONS 16
#define AVVIK_MAX_SENTENCES 8
#define AVVIK_MAX_TIMELINE 2048
#define AVVIK_PLOT_QUANTILES 101

/* In all that follows a number that is absent or null is NaN, and a text NULL. */
struct avvik__case_field {
    const char *name, *label, *units, *text;
    double value;
};
struct avvik__case_reason {
    const char *feature, *label, *units, *text, *peer_median_text;
    double value, contribution, share, robust_z, peer_median, percentile, peers;
};
/* "would be ordinary if `label` were `direction` `text`"; direction "below", or "from": that much or more */
struct avvik__case_change {
    const char *feature, *label, *text, *direction;
};
struct avvik__case_moment {
    const char *time, *text;
    double value;
    int is_case;
};

struct avvik__case_document {
    int language; /* of labels and texts but the words: enum avvik_language; -1: not said */
    const char *key, *night, *input, *table, *selected_by, *time, *office, *entity;
    int64_t row, rank; /* rank 0: none */
    double p, forest, deviation, joint, tails, combined;
    struct avvik__case_field *fields;
    struct avvik__case_reason *reasons;
    struct avvik__case_moment *timeline;
    size_t n_fields, n_reasons, n_timeline;
    const char *peer_group;
    double peer_rows;
    struct avvik__case_change one, two[2]; /* feature NULL: there is none */
    const char *words[AVVIK_N_LANGUAGES][AVVIK_MAX_SENTENCES];
    size_t n_words[AVVIK_N_LANGUAGES];                              /* those of English are there always */
    const char *plot_feature, *plot_label, *plot_units, *plot_text; /* feature NULL: no plot */
    int plot_is_of_peers;                                           /* else of all rows the model learnt from */
    double plot_quantiles[AVVIK_PLOT_QUANTILES], plot_value;
    void *json; /* what the texts lie in */
};

/* Read `n` bytes of JSON. Members that are not known are passed over.
 * document_out  the caller's on success; release with avvik__case_document_free().
 * Returns       AVVIK_OK; AVVIK_ERR_FORMAT: error->text says what is wrong, without saying where; AVVIK_ERR_MEMORY. */
enum avvik_status avvik__case_document_read(const char *text, size_t n, struct avvik__case_document **document_out,
                                            struct avvik_error *error);
void avvik__case_document_free(struct avvik__case_document *document); /* NULL is fine */

/* Is `text` a date YYYY-MM-DD? */
int avvik__is_date(const char *text);
/* Days from 1970-01-01 to a date, by the proleptic Gregorian calendar; of what is no date, nothing to go by. */
long avvik__date_day(const char *date);

#endif

/* A check at work. */
#ifndef AVVIK_CHECK_INTERNAL_H
#define AVVIK_CHECK_INTERNAL_H

#include "avvik/check.h"
#include "column_measure.h"
#include "duplicate_ids.h"
#include "integer_column.h"
#include "model_internal.h"

struct avvik__check {
    const char *const *paths;
    size_t n_paths;
    const struct avvik_check_options *options;
    const struct avvik_check_rules *rules;
    const struct avvik_model *model; /* or NULL */
    struct avvik_check_report *report;
    size_t findings_capacity;
    int is_short; /* a finding was lost for want of memory */

    struct avvik_source *source; /* the columns whose values are looked at */
    struct avvik__read_column {
        size_t column;                                /* of the report */
        const struct avvik__feature *feature;         /* of the model, or NULL */
        const struct avvik_check_column_rules *rules; /* of its own, or NULL */
        struct avvik__measure measure;
        struct avvik__moments_total moments;
        struct avvik__measured measured;
    } * read; /* in the order of the source */
    size_t n_read;

    struct avvik__integer_column *ids; /* or NULL */
    struct avvik__id_set *id_set;
    uint64_t ids_missing;
};

/* Add a finding. column: "" for the batch. */
void avvik__finding_add(struct avvik__check *check, enum avvik_severity severity, const char *kind, const char *column,
                        double value, double limit, const char *format, ...) __attribute__((format(printf, 7, 8)));

/* Worst first, otherwise in the order they were added; and their numbers. */
void avvik__findings_sort(struct avvik_check_report *report);

/* The rules of a column that has its own, or NULL. */
const struct avvik_check_column_rules *avvik__column_rules(const struct avvik_check_rules *rules, const char *name);

/* Columns of all files into the report, findings about them, and check->source, read and ids opened.
 * Returns as avvik_check(). */
enum avvik_status avvik__check_schema(struct avvik__check *check, struct avvik_error *error);

/* From moments and counts of check->read to the report's columns, and findings about them and the ids. */
void avvik__check_judge(struct avvik__check *check);

#endif

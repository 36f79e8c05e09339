/* What rows are like beside their own past: a person's, a business's values of the periods before. */
#ifndef AVVIK_HISTORY_H
#define AVVIK_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AVVIK_MAX_PERIODS 1000

/* entity, time and features have to be set; zero is a good start for the others. */
struct avvik_history_options {
    const char *table;           /* NULL: the only one */
    const char *entity, *time;   /* columns of whole numbers: who a row is about, and when: days, months, years */
    const char *const *features; /* columns that are compared */
    size_t n_features;
    uint32_t periods;      /* that are looked back on: the most recent ones that the entity has; 0: 12 */
    uint32_t least;        /* periods, and values in them, without which nothing is said; 0: 3 */
    uint32_t threads;      /* 0: one per CPU */
    uint64_t memory_bytes; /* 0: AVVIK_MEMORY_DEFAULT; what does not fit goes to unnamed files in TMPDIR */
    int replace;           /* may an existing output be replaced? */
    const volatile int *stop;
};

struct avvik_history_summary {
    uint64_t n_rows, n_past;      /* rows of the output; rows of earlier batches */
    uint64_t rows_without_entity; /* or time: of the output, a missing code, of which nothing can be said */
    uint64_t rows_with_history;   /* of the output, with at least `least` periods before them */
    uint64_t spilled_bytes;       /* that went through files */
    uint64_t elapsed_ns;
};

/* Copy the table of the last of n_paths batches to `out`, and give it what its rows are like beside their entity's
 * past, which lies in the same batch and in the earlier ones. Of each feature F the values of the entity's `periods`
 * most recent earlier times (all rows of these times; rows of the same time are no past) give a median, and
 *
 *   F_change     value - median, float32
 *   F_history_z  change / max(MAD / 0.6745, |median| / 100): a past without any spread counts as one of 1 %
 *
 * both NaN where fewer than `least` values are known, or the value is missing; F_history_z also where median and MAD
 * are 0 and the value is not. `history_periods` says how many earlier times there were, `periods` at most. Rows may
 * come in any order; the result depends on none, nor on threads or memory.
 *
 * Returns AVVIK_OK; AVVIK_ERR_USAGE (no features, too many periods, one entity with more rows than memory holds);
 * AVVIK_ERR_FORMAT (no such column, not whole numbers, a compound table, a name that is there already);
 * AVVIK_ERR_EXISTS; AVVIK_ERR_IO; AVVIK_INTERRUPTED; AVVIK_ERR_MEMORY. On anything but AVVIK_OK nothing has changed at
 * `out`. */
enum avvik_status avvik_history(const char *const *paths, size_t n_paths, const char *out,
                                const struct avvik_history_options *options, struct avvik_history_summary *summary_out,
                                struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

/* Reading rows in two steps, so that HDF5's lock is held for the first one only:
 *
 *   plan    on one thread, calls HDF5: where in the file the rows of a block lie. Columns that avvik cannot read by
 *           itself are read here, by H5Dread.
 *   fetch   on any number of threads, without HDF5: read, decode and convert some of these rows.
 *
 * A chunk that is compressed is decoded once, by whichever thread first wants a row of it, and shared by the blocks
 * that it reaches into. */
#ifndef AVVIK_SOURCE_PLAN_H
#define AVVIK_SOURCE_PLAN_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "avvik/source.h"

/* Columns are the features of a source and, behind them, its keys. */
size_t avvik__source_n_columns(const struct avvik_source *source);

/* Can a column be read without the others? Not where rows lie as they are. */
int avvik__source_columns_lie_apart(const struct avvik_source *source);

struct avvik__plan;
struct avvik__fetcher;

/* Rows of one column that cannot be read, and why. */
struct avvik__damage {
    uint64_t first, n_rows; /* rows of the source */
    size_t feature;
    const char *reason; /* static storage */
};

/* Time that a fetcher spent, and bytes it took from files. */
struct avvik__fetch_times {
    uint64_t read_ns, decode_ns, bytes_read;
};

/* A plan for blocks of at most max_rows rows, to be used again and again. AVVIK_ERR_MEMORY. */
enum avvik_status avvik__plan_create(struct avvik_source *source, size_t max_rows, struct avvik__plan **plan_out,
                                     struct avvik_error *error);
void avvik__plan_free(struct avvik__plan *plan); /* NULL is a no-op; before the source is closed */

/* Plan rows [first, first + n_rows). Blocks are planned in row order where speed matters: a compressed chunk is kept
 * from one to the next. keep_going: what HDF5 cannot read becomes damage, not an error.
 * One thread at a time for a source, which may be another than those that fetch. Returns as avvik_source_read(). */
enum avvik_status avvik__plan_rows(struct avvik__plan *plan, uint64_t first, size_t n_rows, int keep_going,
                                   struct avvik_error *error);
/* Only columns with a non-zero element of is_wanted (n_columns elements; the caller's, who may change them from block
 * to block) are planned from now on; the others are left alone by avvik__plan_fetch(). NULL: all are. */
void avvik__plan_want(struct avvik__plan *plan, const char *is_wanted);
/* What was planned is not wanted any more: the chunks may go. avvik__plan_rows() does it too. */
void avvik__plan_clear(struct avvik__plan *plan);

/* One thread's buffers. AVVIK_ERR_MEMORY. */
enum avvik_status avvik__fetcher_create(const struct avvik_source *source, struct avvik__fetcher **fetcher_out,
                                        struct avvik_error *error);
void avvik__fetcher_free(struct avvik__fetcher *fetcher); /* NULL is a no-op */

/* Decode those chunks of the plan that nobody has taken yet. Worth a call before the first avvik__plan_fetch() of a
 * block, so that threads take different chunks instead of waiting for one another. */
void avvik__plan_decode(struct avvik__plan *plan, struct avvik__fetcher *fetcher);

/* Rows [from, from + n_rows) of the planned block as columns: feature f of row from + i goes to
 * columns[f * column_stride + i], with NaN for missing values, as in avvik_source_read().
 * keep_going: rows that cannot be read become NaN and are added to the plan's damage instead of being an error.
 * Any thread; two may fetch from one plan at the same time if keep_going is 0. */
enum avvik_status avvik__plan_fetch(struct avvik__plan *plan, struct avvik__fetcher *fetcher, size_t from,
                                    size_t n_rows, float *columns, size_t column_stride, int keep_going,
                                    struct avvik_error *error);

/* What this block lost so far; n_out elements that belong to the plan. */
const struct avvik__damage *avvik__plan_damage(const struct avvik__plan *plan, size_t *n_out);

void avvik__fetcher_times(const struct avvik__fetcher *fetcher, struct avvik__fetch_times *times_out);

/* Bytes that n_plans plans for blocks of n_rows rows, one after the other, and the chunks that they share may take;
 * bytes that a fetcher takes: for whoever keeps to a limit. */
size_t avvik__plan_bytes(const struct avvik_source *source, size_t n_plans, size_t n_rows);
size_t avvik__fetcher_bytes(const struct avvik_source *source);

/* A text of AVVIK_HASH_SIZE bytes that changes when the files do: the hash of their paths, sizes and times of change.
 */
void avvik__source_state(const struct avvik_source *source, char *text);

/* Read everything by H5Dread, for tests that compare the two ways. Before the first plan. */
void avvik__source_read_plainly(struct avvik_source *source);

#endif

/* Writing one table of the country: its rows are counted block by block, so that every chunk can be made on its own. */
#ifndef AVVIK_SYNTH_TABLE_WRITE_H
#define AVVIK_SYNTH_TABLE_WRITE_H

#include "tables.h"

struct avvik__scratch; /* what a worker makes rows with */

struct avvik__writer {
    const struct avvik__world *world;
    unsigned n_workers;
    struct avvik__scratch *scratch; /* [worker] */
    struct avvik_synth_progress progress;
};

enum avvik_status avvik__writer_init(struct avvik__writer *writer, const struct avvik__world *world,
                                     struct avvik_error *error);
void avvik__writer_destroy(struct avvik__writer *writer);

/* Rows of a table before each of its blocks, and in the end all of them. */
struct avvik__offsets {
    uint64_t *before; /* n_blocks + 1 */
    uint32_t n_blocks;
};
static inline uint64_t avvik__offsets_rows(const struct avvik__offsets *offsets)
{
    return offsets->before[offsets->n_blocks];
}
void avvik__offsets_destroy(struct avvik__offsets *offsets);

/* A table in a month of the period; tables of the register have month 0. */
struct avvik__table_month {
    enum avvik__table_number table;
    int month;
};
#define AVVIK_MAX_COUNTED (2 * AVVIK_SYNTH_MAX_MONTHS)

/* Count the rows of `n` tables, at most AVVIK_MAX_COUNTED, all of persons or all of businesses, in one pass: each life
 * is made once for all of them. offsets: out, n; zeroed. */
enum avvik_status avvik__tables_count(struct avvik__writer *writer, const struct avvik__table_month *of, size_t n,
                                      struct avvik__offsets *offsets, struct avvik_error *error);

/* Write a table that has rows: its columns into `record`, what only the truth knows into `truth`, under the group
 * truth_group (NULL: nowhere). The groups are made. */
enum avvik_status avvik__table_write(struct avvik__writer *writer, struct avvik__table_month of,
                                     const struct avvik__offsets *offsets, struct avvik__record *record,
                                     struct avvik__record *truth, const char *truth_group, struct avvik_error *error);

#endif

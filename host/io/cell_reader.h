/* Single cells of a table, with all the digits they are stored with: what is shown of a row, where scores take float32.
 * A cell is missing if it is NaN, an infinity or the column's _FillValue. */
#ifndef AVVIK_CELL_READER_H
#define AVVIK_CELL_READER_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/explain.h"
#include "avvik/source.h"
#include "table_schema.h"

/* A column that has numbers, as the first file declares it. */
struct avvik__cell_column {
    char name[AVVIK_NAME_SIZE];
    char role[32], units[48];
    enum avvik__use use;
    size_t n_codes; /* names of the codes 0, 1, ...; 0: it is no category */
    char (*codes)[AVVIK_NAME_SIZE];
};

struct avvik__cell_reader;

/* Open `table` of the files `paths`, read as if they were one. Columns that may not be read (AVVIK_USE_NONE) are
 * listed, so that they can be refused by name; their cells are never read.
 * AVVIK_OK; AVVIK_ERR_FORMAT (a file has other columns than the first: the text says which); what avvik_source_open()
 * returns. Release with avvik__cells_close(). One thread at a time. */
enum avvik_status avvik__cells_open(const char *const *paths, size_t n_paths, const char *table,
                                    struct avvik__cell_reader **reader_out, struct avvik_error *error);
void avvik__cells_close(struct avvik__cell_reader *reader); /* NULL is a no-op */

/* The columns, in the order of the table's attribute `order`; the reader's. */
const struct avvik__cell_column *avvik__cells_columns(const struct avvik__cell_reader *reader, size_t *n_out);

/* Rows of all files. */
uint64_t avvik__cells_rows(const struct avvik__cell_reader *reader);

/* The number of the column of that name, or SIZE_MAX. */
size_t avvik__cells_find(const struct avvik__cell_reader *reader, const char *name);

/* Read n_rows cells of a column from row `first` on, over all files. AVVIK_OK; AVVIK_ERR_USAGE (rows outside the table,
 * a column that may not be read); AVVIK_ERR_FORMAT (damaged: the text names file, column and rows); AVVIK_ERR_MEMORY.
 * A chunk that was read stays in memory until another of that column is: rows are best asked for in ascending order. */
enum avvik_status avvik__cells_read(struct avvik__cell_reader *reader, size_t column, uint64_t first, size_t n_rows,
                                    struct avvik_cell *cells, struct avvik_error *error);

#endif

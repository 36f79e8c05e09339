/* A source: one table of one or more HDF5 files, read in row order as float32. */
#ifndef AVVIK_SOURCE_H
#define AVVIK_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AVVIK_NAME_SIZE 128 /* bytes a feature name may take, with its final zero */

struct avvik_source;

/* Which table, and which of its columns. */
struct avvik_selection {
    const char *table;           /* path in the file; NULL where the file has one table only */
    const char *const *features; /* names in the order wanted; NULL: every numeric column that may take part */
    size_t n_features;
    const char *const *keys; /* columns of codes that say whom a row is compared with; may be NULL */
    size_t n_keys;
};

/* Open `table` of the files `paths` for reading in row order; several files are read as if they were one.
 *
 * A table is a group of one-dimensional data sets of equal length (one a column), or a one-dimensional compound data
 * set (one a member), such as pandas and PyTables write. Without selection->features the columns of role `feature`
 * take part where the table has roles, else every numeric column, in the order of the group's attribute `order` or by
 * name; a key is no feature then. Integers, floats and enumerations of any width and byte order are converted to
 * float32.
 *
 * source_out  on success owns one file handle a path; release with avvik_source_close().
 * Returns     AVVIK_OK; AVVIK_ERR_IO (cannot open: the text has path and reason); AVVIK_ERR_FORMAT (not HDF5, no such
 *             table or column, columns of unequal length, text where a number is needed, a protected, excluded or
 *             label column named as a feature or key, no rows: the text names the column); AVVIK_ERR_USAGE (several
 *             tables and none named, a column named twice); AVVIK_ERR_FILTER (a compression filter is missing);
 * AVVIK_ERR_MEMORY. Files are opened read-only and are untrusted. One thread at a time, and no other HDF5 calls beside
 * it unless the HDF5 library is the thread-safe build. */
enum avvik_status avvik_source_open(const char *const *paths, size_t n_paths, const struct avvik_selection *selection,
                                    struct avvik_source **source_out, struct avvik_error *error);
void avvik_source_close(struct avvik_source *source); /* NULL is a no-op */

uint64_t avvik_source_n_rows(const struct avvik_source *source);
size_t avvik_source_n_features(const struct avvik_source *source);
const char *avvik_source_feature(const struct avvik_source *source, size_t feature);
size_t avvik_source_n_keys(const struct avvik_source *source);
const char *avvik_source_key(const struct avvik_source *source, size_t key);
const char *avvik_source_table(const struct avvik_source *source);
size_t avvik_source_n_files(const struct avvik_source *source);
const char *avvik_source_path(const struct avvik_source *source, size_t file);
uint64_t avvik_source_file_rows(const struct avvik_source *source, size_t file);

/* Read rows [first, first + n_rows) as columns: feature f of row first + i goes to columns[f * column_stride + i],
 * key k to columns[(n_features + k) * column_stride + i]. Missing values (NaN, or a column's _FillValue) are NaN;
 * infinities stay. Returns AVVIK_OK; AVVIK_ERR_USAGE (rows outside the table); AVVIK_ERR_IO or AVVIK_ERR_FILTER (the
 * text names file, column and rows); AVVIK_ERR_FORMAT (a category code that float32 does not hold exactly, a key that
 * is no whole number). */
enum avvik_status avvik_source_read(struct avvik_source *source, uint64_t first, size_t n_rows, float *columns,
                                    size_t column_stride, struct avvik_error *error);

/* Read the features of rows [first, first + n_rows) as a tile: row-major, rows `stride` floats apart
 * (avvik_source_stride(): n_features rounded up to a multiple of 16), the rest of a row 0. Missing values and
 * infinities are NaN, magnitudes below FLT_MIN are 0. `tile` is 64-byte aligned and holds n_rows * stride floats.
 * Returns as avvik_source_read(). */
enum avvik_status avvik_source_read_tile(struct avvik_source *source, uint64_t first, size_t n_rows, float *tile,
                                         struct avvik_error *error);
size_t avvik_source_stride(const struct avvik_source *source);

#ifdef __cplusplus
}
#endif
#endif

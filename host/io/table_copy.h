/* A table that gets more columns: a copy of it in a file of ours. */
#ifndef AVVIK_TABLE_COPY_H
#define AVVIK_TABLE_COPY_H

#include "record_file.h"

/* Copy `table` of `path` as it is, with attributes and filters. *has_roles_out: some column has the attribute `role`.
 * AVVIK_ERR_FORMAT (a compound table, which cannot be given columns; damaged); AVVIK_ERR_IO. */
enum avvik_status avvik__table_copy(struct avvik__record *record, const char *path, const char *table,
                                    int *has_roles_out, struct avvik_error *error);

/* One more column of the copy, float32, n_rows long, with a role if the others have one. AVVIK_ERR_FORMAT if that name
 * is taken. */
enum avvik_status avvik__table_column_add(struct avvik__record *record, const char *table, const char *name,
                                          uint64_t n_rows, int has_role, struct avvik__record_column **column_out,
                                          struct avvik_error *error);

#endif

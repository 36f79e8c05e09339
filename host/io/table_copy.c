#include "table_copy.h"

#include <stdio.h>
#include <string.h>

#include "record_internal.h"
#include "table_schema.h"

enum avvik_status avvik__table_copy(struct avvik__record *record, const char *path, const char *table,
                                    int *has_roles_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    hid_t file = H5I_INVALID_HID, object = H5I_INVALID_HID, links = H5I_INVALID_HID;
    struct avvik__schema schema = {0};
    *has_roles_out = 0;
    AVVIK_TRY(avvik__schema_read(path, table, &schema, error));
    for (size_t c = 0; c < schema.n_columns; c++)
        *has_roles_out |= schema.columns[c].role[0] != '\0';
    AVVIK_TRY(avvik__h5_open(path, &file, error));
    object = H5Oopen(file, table, H5P_DEFAULT);
    if (object < 0 || H5Iget_type(object) != H5I_GROUP)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                   "%s: %s is a compound table, which cannot be given columns; store it as a group with one data set a "
                   "column",
                   path, table);
    links = H5Pcreate(H5P_LINK_CREATE);
    if (links < 0 || H5Pset_create_intermediate_group(links, 1) < 0 ||
        H5Ocopy(file, table, record->file, table, H5P_DEFAULT, links) < 0) {
        char reason[256];
        if (record->output.first_errno != 0)
            AVVIK_TRY(avvik__record_write_failed(record, table, error));
        avvik__h5_reason(reason, sizeof reason);
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s cannot be copied (%s)", path, table, reason);
    }
    if (record->output.first_errno != 0)
        AVVIK_TRY(avvik__record_write_failed(record, table, error));
done:
    avvik__h5_close(links);
    avvik__h5_close(object);
    avvik__h5_close(file);
    avvik__schema_destroy(&schema);
    return status;
}

enum avvik_status avvik__table_column_add(struct avvik__record *record, const char *table, const char *name,
                                          uint64_t n_rows, int has_role, struct avvik__record_column **column_out,
                                          struct avvik_error *error)
{
    char path[128];
    const int is_root = strcmp(table, "/") == 0;
    if (snprintf(path, sizeof path, "%s/%s", is_root ? "" : table, name) >= (int)sizeof path)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: the name %s/%s is too long", record->path, table,
                                name);
    if (avvik__record_has(record, path))
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                "%s: the table has a column %s already; give the batch without it", record->path, name);
    const enum avvik_status status =
        avvik__record_column_create(record, path, AVVIK_F32, n_rows, 0, 0, column_out, error);
    if (status != AVVIK_OK || !has_role)
        return status;
    return avvik__record_put_text(record, path, "role", "feature", 1, error);
}

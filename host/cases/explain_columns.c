/* Which columns of a batch are shown beside an explanation: only those that may be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "explain_run.h"

/* Places of single cells behind the features and the columns shown. */
enum { ID, ENTITY, TIME, OFFICE, N_SINGLE };

static void column_describe(struct avvik_explained_column *to, const struct avvik__cell_column *from)
{
    *to = (struct avvik_explained_column){.name = from->name,
                                          .units = from->units,
                                          .n_codes = from->n_codes,
                                          .codes = from->codes == NULL ? NULL : from->codes[0],
                                          .is_identity = from->n_codes == 0 && (strcmp(from->role, "id") == 0 ||
                                                                                strcmp(from->role, "key") == 0 ||
                                                                                strcmp(from->role, "group") == 0),
                                          .is_date = strncmp(from->units, "days since 1970-01-01", 21) == 0};
}

/* A column by its name, which may be shown. */
static enum avvik_status column_named(const struct avvik__explained_file *file, const char *name, size_t *place_out,
                                      struct avvik_error *error)
{
    size_t n;
    const struct avvik__cell_column *columns = avvik__cells_columns(file->cells, &n);
    const size_t place = avvik__cells_find(file->cells, name);
    if (place == SIZE_MAX)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: table %s has no column '%s' of numbers",
                                file->reader.inputs[0], file->reader.table, name);
    if (columns[place].use == AVVIK_USE_NONE)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                "%s: column '%s' of %s is declared %s, and may not be shown", file->reader.inputs[0],
                                name, file->reader.table, columns[place].role);
    *place_out = place;
    return AVVIK_OK;
}

/* The first or last column of a role, or SIZE_MAX. */
static size_t column_of_role(const struct avvik__explained_file *file, const char *role, int is_last)
{
    size_t n, found = SIZE_MAX;
    const struct avvik__cell_column *columns = avvik__cells_columns(file->cells, &n);
    for (size_t c = 0; c < n && (is_last || found == SIZE_MAX); c++)
        if (strcmp(columns[c].role, role) == 0 && columns[c].use != AVVIK_USE_NONE)
            found = c;
    return found;
}

/* The column that says which office has the row, if some column is called so and may be read. */
static size_t column_of_office(const struct avvik__explained_file *file)
{
    static const char *const names[] = {"office", "municipality"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t place;
        if (column_named(file, names[i], &place, NULL) == AVVIK_OK)
            return place;
    }
    return SIZE_MAX;
}

/* What the first file says is kept: its cell reader owns the names. */
static enum avvik_status columns_keep(struct avvik__explain_run *run, const struct avvik__explained_file *file,
                                      size_t n_shown, struct avvik_error *error)
{
    struct avvik_explanations *explanations = run->explanations;
    const size_t n_features = run->model->n_features, n_keys = run->model->peers.n_keys;
    struct avvik_explained_column *const singles[N_SINGLE] = {[ID] = &explanations->id,
                                                              [ENTITY] = &explanations->entity,
                                                              [TIME] = &explanations->time,
                                                              [OFFICE] = &explanations->office};
    size_t n;
    const struct avvik__cell_column *columns = avvik__cells_columns(file->cells, &n);
    explanations->features = calloc(n_features + 1, sizeof *explanations->features);
    explanations->shown = calloc(n_shown + 1, sizeof *explanations->shown);
    explanations->keys = calloc(n_keys + 1, sizeof *explanations->keys);
    if (explanations->features == NULL || explanations->shown == NULL || explanations->keys == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t f = 0; f < n_features; f++)
        column_describe(&explanations->features[f], &columns[file->columns[f]]);
    for (size_t s = 0; s < n_shown; s++)
        column_describe(&explanations->shown[s], &columns[file->columns[n_features + s]]);
    for (size_t k = 0; k < n_keys; k++) {
        size_t place;
        const enum avvik_status status = column_named(file, run->model->peers.keys[k], &place, error);
        if (status != AVVIK_OK)
            return status;
        column_describe(&explanations->keys[k], &columns[place]);
        explanations->keys[k].is_identity = columns[place].n_codes == 0;
    }
    for (int i = 0; i < N_SINGLE; i++)
        if (file->columns[n_features + n_shown + (size_t)i] != SIZE_MAX)
            column_describe(singles[i], &columns[file->columns[n_features + n_shown + (size_t)i]]);
    explanations->n_features = n_features;
    explanations->n_shown = n_shown;
    explanations->n_keys = n_keys;
    return AVVIK_OK;
}

enum avvik_status avvik__explain_columns(struct avvik__explain_run *run, struct avvik__explained_file *file,
                                         struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_explain_options *options = run->options;
    const size_t n_features = run->model->n_features;
    const size_t n_shown = options->show == NULL ? n_features : options->n_show;
    if ((file->columns = malloc((n_features + n_shown + N_SINGLE) * sizeof *file->columns)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    size_t *shown = file->columns + n_features, *singles = shown + n_shown;
    for (size_t f = 0; f < n_features; f++)
        AVVIK_TRY(column_named(file, run->model->features[f].name, &file->columns[f], error));
    for (size_t s = 0; s < n_shown; s++) {
        shown[s] = file->columns[s < n_features ? s : 0];
        if (options->show != NULL)
            AVVIK_TRY(column_named(file, options->show[s], &shown[s], error));
    }
    singles[ID] = column_of_role(file, "id", 0);
    singles[ENTITY] = column_of_role(file, "key", 0);
    singles[TIME] = column_of_role(file, "time", 1);
    singles[OFFICE] = column_of_office(file);
    const char *const named[N_SINGLE] = {
        [ENTITY] = options->entity, [TIME] = options->time, [OFFICE] = options->office};
    for (int i = 0; i < N_SINGLE; i++)
        if (named[i] != NULL)
            AVVIK_TRY(column_named(file, named[i], &singles[i], error));
    run->n_cell_columns = n_features + n_shown + N_SINGLE;
    if (run->explanations->features == NULL)
        AVVIK_TRY(columns_keep(run, file, n_shown, error));
done:
    return status;
}

enum avvik_status avvik__explain_cells(const struct avvik__explain_run *run, struct avvik__explained_file *file,
                                       struct avvik_explanation *explanation, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t n_features = run->model->n_features, n_shown = run->explanations->n_shown;
    struct avvik_cell *const singles[N_SINGLE] = {[ID] = &explanation->id,
                                                  [ENTITY] = &explanation->entity,
                                                  [TIME] = &explanation->time,
                                                  [OFFICE] = &explanation->office};
    for (size_t c = 0; c < run->n_cell_columns; c++) {
        struct avvik_cell cell = {AVVIK_CELL_MISSING, {0}};
        if (file->columns[c] == SIZE_MAX)
            continue;
        AVVIK_TRY(avvik__cells_read(file->cells, file->columns[c], explanation->scores_row, 1, &cell, error));
        if (c < n_features)
            explanation->reasons[c].cell = cell; /* not ordered yet */
        else if (c < n_features + n_shown)
            explanation->cells[c - n_features] = cell;
        else
            *singles[c - n_features - n_shown] = cell;
    }
done:
    return status;
}

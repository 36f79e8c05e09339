/* Which columns the batches have, whether they agree, and which of them can be read. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "check_internal.h"
#include "shift.h"
#include "table_schema.h"

#define MAX_TRIED_ALONE 256 /* columns, where opening all of them at once failed */

struct name {
    const char *text;
    size_t column;
};

struct columns {
    struct avvik__check *check;
    enum avvik__use *uses;                  /* of each column of the report */
    const struct avvik__feature **features; /* of the model; NULL where it has none of that name */
    struct name *names;                     /* ascending */
    int has_features;                       /* some column has the role `feature` */
};

static int name_compare(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* The number of the report's column of that name, or SIZE_MAX. */
static size_t column_find(const struct columns *columns, const char *text)
{
    const struct name key = {text, 0};
    const struct name *found =
        bsearch(&key, columns->names, columns->check->report->n_columns, sizeof key, name_compare);
    return found == NULL ? SIZE_MAX : found->column;
}

/* Would fit, or score by the model, take this column? */
static int is_wanted(const struct columns *columns, size_t c)
{
    if (columns->check->model != NULL)
        return columns->features[c] != NULL;
    return columns->uses[c] == (columns->has_features ? AVVIK_USE_FEATURE : AVVIK_USE_FREE);
}

/* Leave the column out, and say why: as severely as `severity`, or as AVVIK_REFUSED where it is wanted. */
static void column_reject(struct columns *columns, size_t c, enum avvik_severity severity, const char *why)
{
    struct avvik_column_quality *column = &columns->check->report->columns[c];
    if (column->not_read[0] != '\0')
        return;
    snprintf(column->not_read, sizeof column->not_read, "%s", why);
    avvik__finding_add(columns->check, is_wanted(columns, c) ? AVVIK_REFUSED : severity, "schema", column->name, NAN,
                       NAN, "column '%s' %s", column->name, why);
}

static int length_compare(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* The length that most columns of numbers have; the largest of several. */
static uint64_t length_usual(const struct avvik__schema *schema, uint64_t *lengths)
{
    size_t n = 0, best = 0;
    uint64_t usual = 0;
    for (size_t c = 0; c < schema->n_columns; c++)
        if (schema->columns[c].problem == NULL)
            lengths[n++] = schema->columns[c].n_rows;
    qsort(lengths, n, sizeof *lengths, length_compare);
    for (size_t i = 0, run = 0; i < n; i++) {
        run = i > 0 && lengths[i] == lengths[i - 1] ? run + 1 : 1;
        if (run >= best) {
            best = run;
            usual = lengths[i];
        }
    }
    return usual;
}

/* One column of one file, as it must be to be read. What holds no numbers is left out by fit without a word. */
static void column_judge(struct columns *columns, size_t c, const struct avvik__schema_column *from, uint64_t usual,
                         const char *path)
{
    struct avvik_column_quality *column = &columns->check->report->columns[c];
    char why[256];
    if (from->problem != NULL && columns->features[c] == NULL && column->not_read[0] == '\0') {
        snprintf(column->not_read, sizeof column->not_read, "%s", from->problem);
        avvik__finding_add(columns->check, columns->uses[c] == AVVIK_USE_FEATURE ? AVVIK_WARNING : AVVIK_NOTE, "schema",
                           column->name, NAN, NAN, "column '%s' %s", column->name, from->problem);
    } else if (from->problem != NULL) {
        column_reject(columns, c, AVVIK_WARNING, from->problem);
    } else if (from->n_rows != usual) {
        snprintf(why, sizeof why, "has %llu rows in %.150s, where most have %llu", (unsigned long long)from->n_rows,
                 path, (unsigned long long)usual);
        column_reject(columns, c, AVVIK_WARNING, why);
    }
}

/* The first file decides which columns there are. */
static enum avvik_status columns_begin(struct columns *columns, const struct avvik__schema *schema,
                                       struct avvik_error *error)
{
    struct avvik_check_report *report = columns->check->report;
    const struct avvik_model *model = columns->check->model;
    const size_t n = schema->n_columns;
    report->columns = calloc(n, sizeof *report->columns);
    columns->uses = calloc(n, sizeof *columns->uses);
    columns->features = calloc(n, sizeof *columns->features);
    columns->names = calloc(n, sizeof *columns->names);
    if (report->columns == NULL || columns->uses == NULL || columns->features == NULL || columns->names == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    report->n_columns = n;
    for (size_t c = 0; c < n; c++) {
        const struct avvik__schema_column *from = &schema->columns[c];
        struct avvik_column_quality *to = &report->columns[c];
        *to = (struct avvik_column_quality){.has_codes = from->has_codes, .n_codes = from->n_codes};
        to->min = to->max = to->mean = to->sd = to->psi = to->ks = NAN;
        to->missing_share = to->trained_missing_share = NAN;
        memcpy(to->name, from->name, sizeof to->name);
        memcpy(to->type, from->type, sizeof to->type);
        memcpy(to->role, from->role, sizeof to->role);
        memcpy(to->units, from->units, sizeof to->units);
        columns->uses[c] = from->use;
        columns->has_features = columns->has_features || from->use == AVVIK_USE_FEATURE;
        columns->names[c] = (struct name){to->name, c};
    }
    qsort(columns->names, n, sizeof *columns->names, name_compare);
    for (uint32_t f = 0; model != NULL && f < model->n_features; f++) {
        const char *name = model->features[f].name;
        const size_t c = column_find(columns, name);
        if (c == SIZE_MAX)
            avvik__finding_add(columns->check, AVVIK_REFUSED, "schema", name, NAN, NAN,
                               "column '%s', which the model needs, is not there", name);
        else
            columns->features[c] = &model->features[f];
    }
    return AVVIK_OK;
}

/* What a later file says otherwise than the first. */
static void columns_compare(struct columns *columns, size_t c, const struct avvik__schema_column *from,
                            const char *path)
{
    struct avvik__check *check = columns->check;
    struct avvik_column_quality *to = &check->report->columns[c];
    if (strcmp(from->type, to->type) != 0)
        avvik__finding_add(check, AVVIK_NOTE, "schema", to->name, NAN, NAN, "column '%s' is %s, but %s in %s", to->name,
                           to->type, from->type, path);
    if (strcmp(from->units, to->units) != 0)
        avvik__finding_add(check, AVVIK_WARNING, "schema", to->name, NAN, NAN,
                           "column '%s' has the units '%s', but '%s' in %s", to->name, to->units, from->units, path);
    if (strcmp(from->role, to->role) != 0)
        avvik__finding_add(check, AVVIK_WARNING, "schema", to->name, NAN, NAN,
                           "column '%s' has the role '%s', but '%s' in %s", to->name, to->role, from->role, path);
    if (from->n_codes != to->n_codes) {
        avvik__finding_add(check, AVVIK_WARNING, "schema", to->name, NAN, NAN,
                           "column '%s' has %llu codes, but %llu in %s; more than the fewest are taken as unknown",
                           to->name, (unsigned long long)to->n_codes, (unsigned long long)from->n_codes, path);
        if (from->has_codes && (!to->has_codes || from->n_codes < to->n_codes))
            to->n_codes = from->n_codes;
        to->has_codes = to->has_codes || from->has_codes;
    }
    if (from->use == AVVIK_USE_NONE && columns->uses[c] != AVVIK_USE_NONE) {
        char why[256];
        snprintf(why, sizeof why, "is declared %s in %.180s", from->role, path);
        column_reject(columns, c, AVVIK_WARNING, why);
        columns->uses[c] = AVVIK_USE_NONE;
    }
}

static enum avvik_status file_judge(struct columns *columns, size_t index, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__check *check = columns->check;
    struct avvik_check_report *report = check->report;
    const char *path = check->paths[index], *table = check->options->table;
    struct avvik__schema schema = {0};
    uint64_t *lengths = NULL;
    char *is_seen = NULL;
    if (table == NULL && check->model != NULL)
        table = check->model->table;
    AVVIK_TRY(avvik__schema_read(path, index == 0 ? table : report->table, &schema, error));
    if (index == 0) {
        memcpy(report->table, schema.table, sizeof report->table);
        AVVIK_TRY(columns_begin(columns, &schema, error));
    }
    lengths = calloc(schema.n_columns, sizeof *lengths);
    is_seen = calloc(report->n_columns, 1);
    if (lengths == NULL || is_seen == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const uint64_t usual = length_usual(&schema, lengths);
    for (size_t i = 0; i < schema.n_columns; i++) {
        const struct avvik__schema_column *from = &schema.columns[i];
        const size_t c = index == 0 ? i : column_find(columns, from->name);
        if (c == SIZE_MAX) {
            avvik__finding_add(check, AVVIK_NOTE, "schema", from->name, NAN, NAN,
                               "column '%s' of %s is not in the first batch, and left out", from->name, path);
            continue;
        }
        is_seen[c] = 1;
        report->columns[c].n_rows += from->n_rows;
        if (index > 0)
            columns_compare(columns, c, from, path);
        if (columns->uses[c] != AVVIK_USE_NONE)
            column_judge(columns, c, from, usual, path);
    }
    for (size_t c = 0; c < report->n_columns; c++)
        if (!is_seen[c]) {
            char why[256];
            snprintf(why, sizeof why, "is not in %.200s", path);
            column_reject(columns, c, AVVIK_WARNING, why);
        }
done:
    free(is_seen);
    free(lengths);
    avvik__schema_destroy(&schema);
    return status;
}

/* Columns that nobody but their owner may read. */
static void roles_apply(struct columns *columns)
{
    struct avvik_check_report *report = columns->check->report;
    for (size_t c = 0; c < report->n_columns; c++) {
        struct avvik_column_quality *column = &report->columns[c];
        column->is_feature = is_wanted(columns, c);
        if (columns->uses[c] == AVVIK_USE_NONE && column->not_read[0] == '\0') {
            snprintf(column->not_read, sizeof column->not_read, "is declared %s, and not read", column->role);
            if (columns->features[c] != NULL)
                avvik__finding_add(columns->check, AVVIK_REFUSED, "schema", column->name, NAN, NAN,
                                   "column '%s', which the model needs, is declared %s", column->name, column->role);
        } else if (columns->uses[c] == AVVIK_USE_IGNORED && columns->features[c] == NULL &&
                   strcmp(column->name, columns->check->rules->id) != 0 && column->not_read[0] == '\0') {
            snprintf(column->not_read, sizeof column->not_read, "is declared to be ignored");
        }
    }
}

/* Open the id column, if there is one. */
static enum avvik_status ids_open(const struct columns *columns, size_t *column_out, struct avvik_error *error)
{
    struct avvik__check *check = columns->check;
    struct avvik_check_report *report = check->report;
    size_t c = SIZE_MAX;
    struct avvik_error own = {AVVIK_OK, 0, ""};
    *column_out = SIZE_MAX;
    if (check->rules->id[0] != '\0') {
        if ((c = column_find(columns, check->rules->id)) == SIZE_MAX)
            return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: table %s has no column '%s' to take ids from",
                                    check->paths[0], report->table, check->rules->id);
    } else {
        for (size_t i = 0; i < report->n_columns && c == SIZE_MAX; i++)
            c = strcmp(report->columns[i].role, "id") == 0 ? i : c;
        if (c == SIZE_MAX)
            return AVVIK_OK;
    }
    const struct avvik_column_quality *column = &report->columns[c];
    enum avvik_status status = AVVIK_ERR_FORMAT;
    if (column->not_read[0] != '\0')
        avvik__error_set(&own, status, 0, "column '%s' %s", column->name, column->not_read);
    else
        status = avvik__integer_open(check->paths, check->n_paths, report->table, column->name, &check->ids, &own);
    if (status == AVVIK_OK) {
        snprintf(report->ids.column, sizeof report->ids.column, "%s", column->name);
        report->ids.is_signed = avvik__integer_is_signed(check->ids);
        *column_out = c;
    } else if (status == AVVIK_ERR_FORMAT || status == AVVIK_ERR_FILTER) {
        avvik__finding_add(check, check->rules->limits[AVVIK_LIMIT_DUPLICATES].is_gate ? AVVIK_BREACH : AVVIK_WARNING,
                           "ids", column->name, NAN, NAN, "repeated ids are not looked for: %s", own.text);
        status = AVVIK_OK;
    } else if (error != NULL) {
        *error = own;
    }
    return status;
}

/* The columns that are read, in the order of the report; `names` has room for all. */
static size_t columns_choose(const struct columns *columns, size_t id, size_t *chosen, const char **names)
{
    const struct avvik_check_report *report = columns->check->report;
    size_t n = 0;
    for (int with_id = 0; with_id < 2 && n == 0; with_id++)
        for (size_t c = 0; c < report->n_columns; c++)
            if (report->columns[c].not_read[0] == '\0' &&
                (with_id || c != id || is_wanted(columns, c) || columns->uses[c] != AVVIK_USE_OTHER)) {
                names[n] = report->columns[c].name;
                chosen[n++] = c;
            }
    return n;
}

static enum avvik_status columns_open(struct columns *columns, const char *const *names, size_t n,
                                      struct avvik_error *error)
{
    struct avvik__check *check = columns->check;
    const struct avvik_selection selection = {
        .table = check->report->table, .features = names, .n_features = n};
    return avvik_source_open(check->paths, check->n_paths, &selection, &check->source, error);
}

/* Open the source over all columns that can be read: where one cannot, each is tried alone. */
static enum avvik_status source_open(struct columns *columns, size_t id, size_t *chosen, size_t *n_out,
                                     struct avvik_error *error)
{
    struct avvik__check *check = columns->check;
    struct avvik_check_report *report = check->report;
    struct avvik_error first = {AVVIK_OK, 0, ""}, own;
    const char **names = calloc(report->n_columns, sizeof *names);
    enum avvik_status status = AVVIK_OK;
    if (names == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    size_t n = columns_choose(columns, id, chosen, names), n_rejected = 0;
    if (n == 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: table %s has no column of numbers that may be read", check->paths[0],
                   report->table);
    status = columns_open(columns, names, n, &first);
    if ((status != AVVIK_ERR_FORMAT && status != AVVIK_ERR_FILTER) || n == 1 || n > MAX_TRIED_ALONE) {
        if (status != AVVIK_OK && error != NULL)
            *error = first;
        *n_out = n;
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        status = columns_open(columns, &names[i], 1, &own);
        avvik_source_close(check->source);
        check->source = NULL;
        if (status == AVVIK_ERR_FORMAT || status == AVVIK_ERR_FILTER) {
            char why[300];
            snprintf(why, sizeof why, "cannot be read: %.250s", own.text);
            column_reject(columns, chosen[i], AVVIK_WARNING, why);
            n_rejected++;
        }
    }
    n = columns_choose(columns, id, chosen, names);
    if (n_rejected == 0 || n == 0) { /* it is not about single columns */
        if (error != NULL)
            *error = first;
        status = first.status;
        goto done;
    }
    AVVIK_TRY(columns_open(columns, names, n, error));
    *n_out = n;
done:
    free(names);
    return status;
}

/* How each column that is read is measured. */
static enum avvik_status read_begin(struct columns *columns, const size_t *chosen, size_t n, struct avvik_error *error)
{
    struct avvik__check *check = columns->check;
    if ((check->read = avvik__aligned_calloc(n, sizeof *check->read)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    check->n_read = n;
    for (size_t k = 0; k < n; k++) {
        struct avvik__read_column *read = &check->read[k];
        struct avvik_column_quality *column = &check->report->columns[chosen[k]];
        const struct avvik_check_column_rules *rules = avvik__column_rules(check->rules, column->name);
        read->column = chosen[k];
        read->feature = columns->features[chosen[k]];
        read->rules = rules;
        column->has_training = read->feature != NULL;
        column->is_date = strcmp(column->role, "time") == 0 || (rules != NULL && rules->has_period);
        column->period = rules != NULL && rules->has_period ? rules->period : check->rules->period;
        const int32_t from = column->period.from, to = column->period.to;
        read->measure.is_date = column->is_date;
        read->measure.from = (float)(from < AVVIK_FIRST_DAY ? AVVIK_FIRST_DAY : from);
        read->measure.to = (float)(to > AVVIK_LAST_DAY ? AVVIK_LAST_DAY : to);
        read->measure.has_codes = column->has_codes;
        read->measure.n_codes = (float)column->n_codes;
        if (read->feature != NULL)
            avvik__shift_edges(read->feature, &read->measure);
    }
    return AVVIK_OK;
}

enum avvik_status avvik__check_schema(struct avvik__check *check, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct columns columns = {.check = check};
    size_t *chosen = NULL, n = 0, id;
    for (size_t i = 0; i < check->n_paths; i++)
        AVVIK_TRY(file_judge(&columns, i, error));
    roles_apply(&columns);
    AVVIK_TRY(ids_open(&columns, &id, error));
    if ((chosen = calloc(check->report->n_columns, sizeof *chosen)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(source_open(&columns, id, chosen, &n, error));
    AVVIK_TRY(read_begin(&columns, chosen, n, error));
    for (size_t k = 0; k < n; k++)
        id = chosen[k] == id ? SIZE_MAX : id;
    if (id != SIZE_MAX)
        snprintf(check->report->columns[id].not_read, sizeof check->report->columns[id].not_read,
                 "holds the ids, which are only compared");
done:
    free(chosen);
    free(columns.names);
    free(columns.features);
    free(columns.uses);
    return status;
}

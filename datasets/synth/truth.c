#include "avvik/truth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "country_mark.h"
#include "record_file.h"
#include "table_schema.h"

#define N (AVVIK_SYNTH_TYPOLOGIES + 1)
#define READ_ROWS 65536u

/* A value and the typology of its row. */
struct ranked {
    float value;
    uint16_t typology;
};

/* Typologies and look-alikes of one batch, from the group that its month has in the truth. */
static enum avvik_status batch_read(struct avvik__record *truth, const struct avvik__country_mark *country,
                                    const char *path, const char *table, uint64_t n_rows, uint16_t *typologies,
                                    uint16_t *look_alikes, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__record *batch = NULL;
    struct avvik__country_mark mark;
    char month[16], group[64], name[AVVIK_NAME_SIZE + 96];
    AVVIK_TRY(avvik__record_open(path, "batch", &batch, error));
    AVVIK_TRY(avvik__country_mark_get(batch, path, &mark, error));
    if (!avvik__country_mark_is_same(&mark, country))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is a batch of another country than the truth is about", path);
    AVVIK_TRY(avvik__record_get_text(batch, "/country", "month", month, sizeof month, 1, error));
    snprintf(group, sizeof group, "/batch_%s", month);
    uint16_t *const to[2] = {typologies, look_alikes};
    for (int i = 0; i < 2; i++) {
        struct avvik__record_column *column = NULL;
        snprintf(name, sizeof name, "%s%s/%s", group, table, i == 0 ? "typology" : "look_alike");
        AVVIK_TRY(avvik__record_column_open(truth, name, AVVIK_U16, n_rows, &column, error));
        AVVIK_TRY(avvik__record_column_read(column, to[i], (size_t)n_rows, error));
        for (uint64_t row = 0; row < n_rows; row++)
            if (to[i][row] >= N)
                AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "the truth's %s has a code that stands for no typology", name);
    }
done:
    avvik__record_close(batch);
    return status;
}

static int ranked_compare(const void *a, const void *b)
{
    const float left = ((const struct ranked *)a)->value, right = ((const struct ranked *)b)->value;
    return left < right ? -1 : left > right;
}

/* Mann-Whitney for every typology at once, over one sorted column. */
static void aucs_take(struct ranked *ranked, size_t n, double *roc_auc)
{
    uint64_t count[N] = {0};
    double before[N] = {0}; /* pairs (a case of t, a row below it), ties half */
    qsort(ranked, n, sizeof *ranked, ranked_compare);
    for (size_t first = 0, end; first < n; first = end) {
        uint64_t tied[N] = {0};
        for (end = first; end < n && !(ranked[end].value > ranked[first].value); end++)
            tied[ranked[end].typology]++;
        const double middle = (double)first + (double)(end - first) / 2;
        for (int t = 1; t < N; t++) /* rows of the same typology below are taken off */
            before[t] += (double)tied[t] * (middle - (double)count[t] - (double)tied[t] / 2);
        for (int t = 0; t < N; t++)
            count[t] += tied[t];
    }
    for (int t = 0; t < N; t++) {
        const double auc = before[t] / ((double)count[t] * (double)(n - count[t]));
        roc_auc[t] = t == 0 || count[t] == 0 || count[t] == n ? NAN : fmax(auc, 1 - auc);
    }
}

static enum avvik_status column_measure(const char *const *paths, size_t n_paths, const char *table,
                                        const uint16_t *typologies, struct ranked *ranked,
                                        struct avvik_truth_column *column, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_source *source = NULL;
    const char *name = column->name;
    const struct avvik_selection selection = {.table = table, .features = &name, .n_features = 1};
    float *values = malloc(READ_ROWS * sizeof *values);
    size_t n = 0;
    if (values == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik_source_open(paths, n_paths, &selection, &source, error));
    const uint64_t n_rows = avvik_source_n_rows(source);
    for (uint64_t first = 0; first < n_rows; first += READ_ROWS) {
        const size_t here = n_rows - first < READ_ROWS ? (size_t)(n_rows - first) : READ_ROWS;
        AVVIK_TRY(avvik_source_read(source, first, here, values, READ_ROWS, error));
        for (size_t i = 0; i < here; i++)
            if (!isnan(values[i]))
                ranked[n++] = (struct ranked){values[i], typologies[first + i]};
    }
    aucs_take(ranked, n, column->roc_auc);
done:
    avvik_source_close(source);
    free(values);
    return status;
}

/* The columns that a naive rule could look at. */
static enum avvik_status columns_choose(const char *path, const char *table, struct avvik_truth_report *report,
                                        struct avvik_error *error)
{
    struct avvik__schema schema = {0};
    enum avvik_status status = avvik__schema_read(path, table, &schema, error);
    if (status == AVVIK_OK && (report->columns = calloc(schema.n_columns + 1, sizeof *report->columns)) == NULL)
        status = avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t c = 0; status == AVVIK_OK && c < schema.n_columns; c++) {
        const char *role = schema.columns[c].role;
        if (strcmp(role, "feature") == 0 || strcmp(role, "group") == 0 || strcmp(role, "time") == 0)
            snprintf(report->columns[report->n_columns++].name, AVVIK_NAME_SIZE, "%s", schema.columns[c].name);
    }
    avvik__schema_destroy(&schema);
    return status;
}

enum avvik_status avvik_truth_measure(const char *const *paths, size_t n_paths, const char *table,
                                      const char *truth_path, struct avvik_truth_report *report_out,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_truth_report report = {0};
    struct avvik_source *source = NULL;
    struct avvik__record *truth = NULL;
    struct avvik__country_mark country;
    uint16_t *typologies = NULL, *look_alikes = NULL;
    struct ranked *ranked = NULL;
    const struct avvik_selection selection = {.table = table};
    AVVIK_TRY(avvik__record_open(truth_path, "truth", &truth, error));
    AVVIK_TRY(avvik__country_mark_get(truth, truth_path, &country, error));
    AVVIK_TRY(avvik_source_open(paths, n_paths, &selection, &source, error));
    snprintf(report.table, sizeof report.table, "%s", avvik_source_table(source));
    report.n_rows = avvik_source_n_rows(source);
    typologies = malloc(report.n_rows * sizeof *typologies);
    look_alikes = malloc(report.n_rows * sizeof *look_alikes);
    ranked = malloc(report.n_rows * sizeof *ranked);
    if (typologies == NULL || look_alikes == NULL || ranked == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for the truth about %llu rows",
                   (unsigned long long)report.n_rows);
    uint64_t first = 0;
    for (size_t i = 0; i < n_paths; i++) {
        const uint64_t n_rows = avvik_source_file_rows(source, i);
        AVVIK_TRY(batch_read(truth, &country, paths[i], report.table, n_rows, typologies + first, look_alikes + first,
                             error));
        first += n_rows;
    }
    for (uint64_t row = 0; row < report.n_rows; row++) {
        report.cases[typologies[row]]++;
        report.look_alikes[look_alikes[row]]++;
    }
    AVVIK_TRY(columns_choose(paths[0], report.table, &report, error));
    for (size_t c = 0; c < report.n_columns; c++)
        AVVIK_TRY(column_measure(paths, n_paths, report.table, typologies, ranked, &report.columns[c], error));
    *report_out = report;
    report.columns = NULL;
done:
    free(report.columns);
    free(typologies);
    free(look_alikes);
    free(ranked);
    avvik_source_close(source);
    avvik__record_close(truth);
    return status;
}

void avvik_truth_report_destroy(struct avvik_truth_report *report)
{
    free(report->columns);
    *report = (struct avvik_truth_report){0};
}

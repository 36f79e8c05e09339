/* A report as a person reads it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "avvik_internal.h"
#include "report_json.h"

/* Print text that may come from a file: what is no printable character becomes '?'. Returns the columns it takes. */
static int text_print(FILE *stream, const char *text)
{
    int width = 0;
    for (; *text != '\0'; width++) {
        mbstate_t state = {0};
        wchar_t character;
        const size_t n = mbrtowc(&character, text, MB_CUR_MAX, &state);
        const int is_shown = n > 0 && n <= MB_CUR_MAX && iswprint((wint_t)character);
        if (is_shown)
            fwrite(text, 1, n, stream);
        else
            fputc('?', stream);
        text += is_shown ? n : 1;
    }
    return width;
}

static void cell_print(FILE *stream, const char *text, int width)
{
    const int taken = text_print(stream, text);
    fprintf(stream, "%*s", taken < width ? width - taken + 2 : 2, "");
}

static void number_print(FILE *stream, double number, int width)
{
    if (isnan(number))
        fprintf(stream, "%*s  ", width, "-");
    else
        fprintf(stream, "%*.6g  ", width, number);
}

/* The columns of numbers beside the moments. */
static void counts_print(FILE *stream, const struct avvik_column_quality *column)
{
    fprintf(stream, "%12llu  %10llu  %8llu  %10llu  %10llu  ", (unsigned long long)column->count,
            (unsigned long long)column->missing, (unsigned long long)column->infinite,
            (unsigned long long)column->zeros, (unsigned long long)column->negative);
}

static void column_print(FILE *stream, const struct avvik_column_quality *column, int widest, int has_model)
{
    cell_print(stream, column->name, widest);
    cell_print(stream, column->type, 10);
    cell_print(stream, column->role, 9);
    if (column->not_read[0] != '\0') {
        text_print(stream, column->not_read);
        fputc('\n', stream);
        return;
    }
    counts_print(stream, column);
    number_print(stream, column->min, 12);
    number_print(stream, column->max, 12);
    number_print(stream, column->mean, 12);
    number_print(stream, column->sd, 12);
    if (has_model) {
        number_print(stream, column->psi, 9);
        number_print(stream, column->ks, 9);
    }
    if (column->has_codes)
        fprintf(stream, "%llu codes  ", (unsigned long long)column->n_codes);
    if (column->is_date && column->count > 0 && column->min >= -1e6 && column->max <= 1e7) {
        char from[16], to[16];
        avvik_date_text((int32_t)column->min, from);
        avvik_date_text((int32_t)column->max, to);
        fprintf(stream, "%s..%s  ", from, to);
    }
    text_print(stream, column->units);
    fputc('\n', stream);
}

static void columns_print(FILE *stream, const struct avvik_check_report *report)
{
    int widest = 6, has_model = 0;
    for (size_t c = 0; c < report->n_columns; c++) {
        const int length = (int)strlen(report->columns[c].name);
        widest = length > widest && length <= 40 ? length : widest;
        has_model = has_model || report->columns[c].has_training;
    }
    fprintf(stream, "\n%-*s  %-10s  %-9s  %12s  %10s  %8s  %10s  %10s  %12s  %12s  %12s  %12s", widest, "column",
            "type", "role", "values", "missing", "infinite", "zeros", "negative", "min", "max", "mean", "sd");
    fprintf(stream, has_model ? "  %9s  %9s\n" : "\n", "psi", "ks");
    for (size_t c = 0; c < report->n_columns; c++)
        column_print(stream, &report->columns[c], widest, has_model);
}

static void text_write(const struct avvik_check_report *report, FILE *stream)
{
    text_print(stream, report->table);
    fprintf(stream, ": %llu rows, %zu columns, ", (unsigned long long)report->n_rows, report->n_columns);
    if (report->n_inputs == 1)
        text_print(stream, report->inputs[0]);
    else
        fprintf(stream, "%zu files", report->n_inputs);
    fprintf(stream, "\n%zu refused, %zu breaches, %zu warnings, %zu notes\n", report->n_of[AVVIK_REFUSED],
            report->n_of[AVVIK_BREACH], report->n_of[AVVIK_WARNING], report->n_of[AVVIK_NOTE]);
    for (size_t i = 0; i < report->n_findings; i++) {
        fprintf(stream, "%-8s ", avvik_severity_name(report->findings[i].severity));
        text_print(stream, report->findings[i].text);
        fputc('\n', stream);
    }
    if (report->ids.n_named > 0)
        fprintf(stream, "\nrepeated ids (row numbers over all files):\n");
    for (size_t i = 0; i < report->ids.n_named; i++) {
        const struct avvik_duplicate *one = &report->ids.named[i];
        fprintf(stream, report->ids.is_signed ? "  %lld" : "  %llu", (unsigned long long)one->id);
        fprintf(stream, "  rows %llu and %llu\n", (unsigned long long)one->first_row,
                (unsigned long long)one->second_row);
    }
    columns_print(stream, report);
}

enum avvik_status avvik_check_report_write(const struct avvik_check_report *report, enum avvik_report_format format,
                                           FILE *stream, struct avvik_error *error)
{
    if (format == AVVIK_REPORT_JSON)
        return avvik__report_json(report, stream, error);
    text_write(report, stream);
    return ferror(stream)
               ? avvik__error_set(error, AVVIK_ERR_IO, errno, "the report cannot be written: %s", strerror(errno))
               : AVVIK_OK;
}

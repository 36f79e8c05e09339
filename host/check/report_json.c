#include "report_json.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "json_text.h"

/* JSON has no NaN and no infinity. */
static json_t *json_number(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *json_count(uint64_t count)
{
    return json_integer((json_int_t)count);
}

static json_t *json_date(int32_t day, int32_t open)
{
    char text[16];
    avvik_date_text(day, text);
    return day == open ? json_null() : json_string(text);
}

static json_t *inputs_of(const struct avvik_check_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->n_inputs; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "path", avvik__json_text(report->inputs[i]), "first_row",
                                              json_count(report->input_offsets[i])));
    return list;
}

static json_t *findings_of(const struct avvik_check_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->n_findings; i++) {
        const struct avvik_finding *finding = &report->findings[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "severity",
                                        avvik_severity_name(finding->severity), "kind", finding->kind, "column",
                                        finding->column[0] == '\0' ? json_null() : avvik__json_text(finding->column),
                                        "value", json_number(finding->value), "limit", json_number(finding->limit),
                                        "text", avvik__json_text(finding->text)));
    }
    return list;
}

static json_t *column_of(const struct avvik_column_quality *column)
{
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "name", avvik__json_text(column->name), "type",
                  avvik__json_text(column->type), "role", avvik__json_text(column->role), "units",
                  avvik__json_text(column->units), "not_read",
                  column->not_read[0] == '\0' ? json_null() : avvik__json_text(column->not_read), "feature",
                  column->is_feature, "rows", json_count(column->n_rows), "count", json_count(column->count), "missing",
                  json_count(column->missing), "infinite", json_count(column->infinite));
    json_t *more =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "zeros", json_count(column->zeros), "negative",
                  json_count(column->negative), "min", json_number(column->min), "max", json_number(column->max),
                  "mean", json_number(column->mean), "sd", json_number(column->sd), "constant", column->is_constant);
    json_object_update(object, more);
    json_decref(more);
    if (column->has_codes) {
        json_object_set_new(object, "codes", json_count(column->n_codes));
        json_object_set_new(object, "unknown_codes", json_count(column->unknown_codes));
    }
    if (column->is_date) {
        json_object_set_new(object, "impossible_dates", json_count(column->impossible_dates));
        json_object_set_new(object, "outside_period", json_count(column->outside_period));
        json_object_set_new(
            object, "period",
            json_pack("[o, o]", json_date(column->period.from, INT32_MIN), json_date(column->period.to, INT32_MAX)));
    }
    if (column->has_training)
        json_object_set_new(object, "training",
                            json_pack("{s:o, s:o, s:o, s:o}", "psi", json_number(column->psi), "ks",
                                      json_number(column->ks), "missing_share", json_number(column->missing_share),
                                      "trained_missing_share", json_number(column->trained_missing_share)));
    return object;
}

/* Ids as text where they are above what every reader of JSON keeps. */
static json_t *json_id(const struct avvik_check_report *report, uint64_t id)
{
    char text[24];
    snprintf(text, sizeof text, report->ids.is_signed ? "%lld" : "%llu", (unsigned long long)id);
    return json_string(text);
}

static json_t *ids_of(const struct avvik_check_report *report)
{
    json_t *named = json_array();
    if (report->ids.column[0] == '\0') {
        json_decref(named);
        return json_null();
    }
    for (size_t i = 0; i < report->ids.n_named; i++) {
        const struct avvik_duplicate *one = &report->ids.named[i];
        json_array_append_new(named, json_pack("{s:o, s:[o, o]}", "id", json_id(report, one->id), "rows",
                                               json_count(one->first_row), json_count(one->second_row)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "column", avvik__json_text(report->ids.column), "missing",
                     json_count(report->ids.missing), "repeated_rows", json_count(report->ids.rows), "repeated_ids",
                     json_count(report->ids.values), "first", named);
}

static json_t *times_of(const struct avvik_check_report *report)
{
    const struct avvik_stages *stages = &report->stages;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "plan", (double)stages->plan_ns / 1e9, "read",
                     (double)stages->read_ns / 1e9, "decode", (double)stages->decode_ns / 1e9, "measure",
                     (double)stages->work_ns / 1e9, "add", (double)stages->write_ns / 1e9, "ids",
                     (double)report->ids_ns / 1e9);
}

static const char *verdict_of(const struct avvik_check_report *report)
{
    for (int severity = AVVIK_REFUSED; severity > AVVIK_NOTE; severity--)
        if (report->n_of[severity] > 0)
            return avvik_severity_name((enum avvik_severity)severity);
    return "passed";
}

enum avvik_status avvik__report_json(const struct avvik_check_report *report, FILE *stream, struct avvik_error *error)
{
    json_t *columns = json_array();
    for (size_t c = 0; c < report->n_columns; c++)
        json_array_append_new(columns, column_of(&report->columns[c]));
    const double seconds = (double)report->elapsed_ns / 1e9;
    json_t *document = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:f, s:f, s:o}", "verdict", verdict_of(report), "table",
        avvik__json_text(report->table), "inputs", inputs_of(report), "rows", json_count(report->n_rows), "findings",
        findings_of(report), "ids", ids_of(report), "columns", columns, "threads", (int)report->stages.threads,
        "seconds", seconds, "rows_per_second", (double)report->n_rows / seconds, "stage_seconds", times_of(report));
    if (document == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "not enough memory for the report");
    const int failed = json_dumpf(document, stream, JSON_INDENT(2)) != 0 || fputc('\n', stream) == EOF;
    json_decref(document);
    return failed ? avvik__error_set(error, AVVIK_ERR_IO, errno, "the report cannot be written: %s", strerror(errno))
                  : AVVIK_OK;
}

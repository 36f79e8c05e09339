#include "night_metrics.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "avvik_internal.h"
#include "night_retention.h"
#include "night_text.h"

struct metrics_fill {
    const struct avvik__night *night;
    int exit_code;
    long long last_success; /* seconds since 1970; 0: never */
};

/* The sum over the units of a step of a number in their facts. */
static json_int_t facts_sum(const json_t *steps, const char *step, const char *field)
{
    size_t i;
    json_t *unit;
    json_int_t sum = 0;
    json_array_foreach(steps, i, unit) if (strcmp(avvik__unit_text(unit, "step"), step) == 0) sum +=
        avvik__unit_fact(unit, field);
    return sum;
}

static double seconds_sum(const json_t *steps, const char *step)
{
    size_t i;
    json_t *unit;
    double sum = 0;
    json_array_foreach(steps, i, unit) if (strcmp(avvik__unit_text(unit, "step"), step) == 0) sum +=
        json_real_value(json_object_get(unit, "seconds"));
    return sum;
}

static void gauge(FILE *stream, const char *name, const char *help)
{
    fprintf(stream, "# HELP avvik_night_%s %s\n# TYPE avvik_night_%s gauge\n", name, help, name);
}

static void gauge_number(FILE *stream, const char *name, const char *help, long long number)
{
    gauge(stream, name, help);
    fprintf(stream, "avvik_night_%s %lld\n", name, number);
}

static void steps_fill(FILE *stream, const json_t *steps)
{
    static const char *const names[] = {"inputs",  "check",   "model",  "score", "flag",
                                        "results", "explain", "report", "store"};
    static const char *const severities[] = {"note", "warning", "breach", "refused"};
    gauge(stream, "step_seconds", "Time each step took; a step that was done by an earlier run counts as it did then.");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        /* By hand: the decimal point must not follow the locale. */
        const long long us = (long long)(seconds_sum(steps, names[i]) * 1e6 + 0.5);
        fprintf(stream, "avvik_night_step_seconds{step=\"%s\"} %lld.%06lld\n", names[i], us / 1000000, us % 1000000);
    }
    gauge(stream, "findings", "Findings of the checks by severity.");
    for (size_t i = 0; i < sizeof severities / sizeof severities[0]; i++)
        fprintf(stream, "avvik_night_findings{severity=\"%s\"} %lld\n", severities[i],
                (long long)facts_sum(steps, "check", severities[i]));
}

static enum avvik_status metrics_fill(FILE *stream, void *context, struct avvik_error *error)
{
    const struct metrics_fill *fill = context;
    const struct avvik__night *night = fill->night;
    const json_t *steps = json_object_get(night->manifest, "steps");
    const json_t *model = json_object_get(night->manifest, "model");
    size_t n_bad = 0;
    (void)error;                  /* a failing stream is seen by who flushes it */
    fchmod(fileno(stream), 0644); /* whoever collects it is another user, and the counts are no secret */
    for (size_t i = 0; i < night->files.n; i++)
        n_bad += (size_t)night->inputs[i].is_bad;
    gauge_number(stream, "exit_code", "Exit code of the last run of a night; 0 is good.", fill->exit_code);
    gauge_number(stream, "last_success_timestamp_seconds", "When a night last ended with everything done; 0: never.",
                 fill->last_success);
    gauge_number(stream, "last_end_timestamp_seconds", "When a night last ended, however.", (long long)time(NULL));
    gauge_number(stream, "inputs", "Inputs of the night.", (long long)night->files.n);
    gauge_number(stream, "inputs_bad", "Inputs that could not be used.", (long long)n_bad);
    gauge_number(stream, "rows", "Rows scored.", facts_sum(steps, "score", "rows"));
    gauge_number(stream, "rows_absent", "Rows that are damaged and have no scores.",
                 facts_sum(steps, "score", "rows_absent"));
    gauge_number(stream, "missing_values", "Missing values in the rows scored.", facts_sum(steps, "score", "missing"));
    gauge_number(stream, "infinite_values", "Infinite values in the rows scored.",
                 facts_sum(steps, "score", "infinite"));
    gauge_number(stream, "flagged", "Rows on the short list.", facts_sum(steps, "flag", "flagged"));
    gauge_number(stream, "model_age_days", "Age of the model when the night began.",
                 json_integer_value(json_object_get(model, "age_days")));
    gauge_number(stream, "fitted", "1 if the night fitted a model.",
                 strcmp(avvik__unit_text(model, "action"), "fit") == 0);
    steps_fill(stream, steps);
    return AVVIK_OK;
}

/* Seconds since 1970 of "2026-11-24T02:00:00Z"; 0 if it is none. */
static long long time_parse(const char *text)
{
    struct tm parts = {0};
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
               &parts.tm_min, &parts.tm_sec) != 6)
        return 0;
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    return (long long)timegm(&parts);
}

enum avvik_status avvik__metrics_write(const struct avvik__night *night, int exit_code, struct avvik_error *error)
{
    struct metrics_fill fill = {night, exit_code, 0};
    struct avvik__past_night *nights = NULL;
    size_t n = 0;
    if (night->config->metrics == NULL)
        return AVVIK_OK;
    const enum avvik_status status = avvik__past_nights(night->config->runs, &nights, &n, error);
    if (status != AVVIK_OK)
        return status;
    for (size_t i = 0; i < n; i++)
        if (nights[i].is_good && time_parse(nights[i].ended) > fill.last_success)
            fill.last_success = time_parse(nights[i].ended);
    free(nights);
    return avvik__file_replace(night->config->metrics, metrics_fill, &fill, error);
}

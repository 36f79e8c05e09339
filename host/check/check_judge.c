/* From what was counted to what is told. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "check_internal.h"
#include "shift.h"

typedef unsigned long long ull;

static double share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

/* Which of the inputs a row is in, as words: "row 5", or "row 5 of b.h5" where there are several. */
static void row_name(const struct avvik_check_report *report, uint64_t row, char *text, size_t size)
{
    size_t i = 0;
    while (i + 1 < report->n_inputs && report->input_offsets[i + 1] <= row)
        i++;
    if (report->n_inputs == 1)
        snprintf(text, size, "row %llu", (ull)row);
    else
        snprintf(text, size, "row %llu of %.100s", (ull)(row - report->input_offsets[i]), report->inputs[i]);
}

/* Tell of `value` if it is above the limit. `what` is the sentence so far. */
static void limit_judge(struct avvik__check *check, const struct avvik_check_limit *limits, enum avvik_limit limit,
                        const char *column, double value, const char *what)
{
    const int is_share = limit != AVVIK_LIMIT_PSI && limit != AVVIK_LIMIT_KS && limit != AVVIK_LIMIT_CONSTANT;
    char most[64] = "";
    if (!(value > limits[limit].most))
        return;
    if (limit == AVVIK_LIMIT_CONSTANT || limits[limit].most == 0)
        snprintf(most, sizeof most, "%s", limits[limit].is_gate ? "; none may be" : "");
    else if (is_share)
        snprintf(most, sizeof most, "; at most %.4g %% may be", 100 * limits[limit].most);
    else
        snprintf(most, sizeof most, "; at most %.4g", limits[limit].most);
    avvik__finding_add(check, limits[limit].is_gate ? AVVIK_BREACH : AVVIK_WARNING, avvik_limit_name(limit), column,
                       value, limits[limit].most, "%s%s", what, most);
}

/* The same for a count of the column's rows. */
static void count_judge(struct avvik__check *check, const struct avvik_check_limit *limits, enum avvik_limit limit,
                        const struct avvik_column_quality *column, uint64_t count, const char *are)
{
    char what[300];
    snprintf(what, sizeof what, "%llu of %llu values of '%s' (%.3g %%) %s", (ull)count, (ull)column->n_rows,
             column->name, 100 * share(count, column->n_rows), are);
    limit_judge(check, limits, limit, column->name, share(count, column->n_rows), what);
}

static void range_judge(struct avvik__check *check, const struct avvik_check_column_rules *rules,
                        const struct avvik_column_quality *column)
{
    if (column->min < rules->min)
        avvik__finding_add(check, AVVIK_BREACH, "range", column->name, column->min, rules->min,
                           "the smallest value of '%s' is %.9g, below %.9g", column->name, column->min, rules->min);
    if (column->max > rules->max)
        avvik__finding_add(check, AVVIK_BREACH, "range", column->name, column->max, rules->max,
                           "the largest value of '%s' is %.9g, above %.9g", column->name, column->max, rules->max);
}

static void column_fill(const struct avvik__read_column *read, struct avvik_column_quality *column)
{
    const struct avvik__moments_total *moments = &read->moments;
    column->n_rows = moments->n + moments->n_nan + moments->n_infinite;
    column->count = moments->n;
    column->missing = moments->n_nan;
    column->infinite = moments->n_infinite;
    column->zeros = read->measured.zeros;
    column->negative = read->measured.negative;
    column->unknown_codes = read->measured.unknown_codes;
    column->impossible_dates = read->measured.impossible_dates;
    column->outside_period = read->measured.outside_period;
    column->missing_share = share(column->missing + column->infinite, column->n_rows);
    column->is_constant = moments->n == 0 || moments->min == moments->max;
    if (moments->n > 0) {
        column->min = moments->min;
        column->max = moments->max;
        column->mean = moments->mean;
        column->sd = moments->n < 2 ? 0 : sqrt(moments->m2 / (double)(moments->n - 1));
    }
}

/* Against what the model learnt. */
static void training_compare(struct avvik__check *check, const struct avvik__read_column *read,
                             const struct avvik_check_limit *limits, struct avvik_column_quality *column)
{
    const struct avvik__feature *feature = read->feature;
    const uint64_t n_trained = feature->moments.n + feature->moments.n_nan + feature->moments.n_infinite;
    const int was_constant = !(feature->moments.min < feature->moments.max);
    char what[300];
    column->trained_missing_share = share(n_trained - feature->moments.n, n_trained);
    avvik__shift_measure(feature, &read->measure, read->measured.at_most, column->count, &column->psi, &column->ks);
    snprintf(what, sizeof what, "'%s' has moved: population stability index %.3g (Kolmogorov-Smirnov %.3g)",
             column->name, column->psi, column->ks);
    limit_judge(check, limits, AVVIK_LIMIT_PSI, column->name, column->psi, what);
    snprintf(what, sizeof what, "'%s' has moved: Kolmogorov-Smirnov statistic %.3g (stability index %.3g)",
             column->name, column->ks, column->psi);
    limit_judge(check, limits, AVVIK_LIMIT_KS, column->name, column->ks, what);
    snprintf(what, sizeof what, "%.3g %% of '%s' are missing or infinite, %.3g %% in the training",
             100 * column->missing_share, column->name, 100 * column->trained_missing_share);
    limit_judge(check, limits, AVVIK_LIMIT_MISSING_CHANGE, column->name,
                fabs(column->missing_share - column->trained_missing_share), what);
    snprintf(what, sizeof what, "'%s' does not vary here, and did in the training", column->name);
    limit_judge(check, limits, AVVIK_LIMIT_CONSTANT, column->name, column->is_constant && !was_constant, what);
    if (was_constant && !column->is_constant)
        avvik__finding_add(check, AVVIK_WARNING, "shift", column->name, NAN, NAN,
                           "'%s' did not vary in the training (%.9g), and does here", column->name,
                           feature->moments.mean);
    else if (was_constant && column->count > 0 && feature->moments.n > 0 && read->moments.min != feature->moments.min)
        avvik__finding_add(check, AVVIK_WARNING, "shift", column->name, NAN, NAN,
                           "'%s' is %.9g everywhere, and was %.9g in the training", column->name, column->min,
                           (double)feature->moments.min);
}

static void column_judge(struct avvik__check *check, const struct avvik__read_column *read)
{
    struct avvik_column_quality *column = &check->report->columns[read->column];
    const struct avvik_check_limit *limits = read->rules == NULL ? check->rules->limits : read->rules->limits;
    column_fill(read, column);
    count_judge(check, limits, AVVIK_LIMIT_MISSING, column, column->missing, "are missing");
    count_judge(check, limits, AVVIK_LIMIT_INFINITE, column, column->infinite, "are infinite");
    if (column->has_codes) {
        char are[80];
        snprintf(are, sizeof are, "are none of its %llu codes", (ull)column->n_codes);
        count_judge(check, limits, AVVIK_LIMIT_UNKNOWN_CODES, column, column->unknown_codes, are);
    }
    if (column->is_date) {
        char are[80], from[16] = "", to[16] = "";
        if (column->period.from != INT32_MIN)
            avvik_date_text(column->period.from, from);
        if (column->period.to != INT32_MAX)
            avvik_date_text(column->period.to, to);
        snprintf(are, sizeof are, "are outside the period %s..%s", from, to);
        count_judge(check, limits, AVVIK_LIMIT_IMPOSSIBLE_DATES, column, column->impossible_dates,
                    "cannot be dates (days from 1850 to 2199)");
        count_judge(check, limits, AVVIK_LIMIT_OUTSIDE_PERIOD, column, column->outside_period, are);
    }
    if (read->rules != NULL)
        range_judge(check, read->rules, column);
    if (read->feature != NULL)
        training_compare(check, read, limits, column);
    else if (column->is_constant && column->is_feature)
        avvik__finding_add(check, AVVIK_NOTE, "constant", column->name, NAN, NAN, "'%s' does not vary", column->name);
}

static void ids_judge(struct avvik__check *check)
{
    struct avvik_check_report *report = check->report;
    const uint64_t n_ids = report->n_rows - check->ids_missing;
    if (check->ids == NULL)
        return;
    report->ids.missing = check->ids_missing;
    for (size_t c = 0; c < report->n_columns; c++) {
        struct avvik_column_quality *column = &report->columns[c];
        if (strcmp(column->name, report->ids.column) == 0 && column->not_read[0] != '\0') {
            column->missing = check->ids_missing;
            column->count = n_ids;
            count_judge(check, check->rules->limits, AVVIK_LIMIT_MISSING, column, column->missing, "are missing");
        }
    }
    char what[500], first[136], second[136], id[24];
    const struct avvik_duplicate *one = &report->ids.named[0];
    if (report->ids.rows == 0)
        return;
    row_name(report, one->first_row, first, sizeof first);
    row_name(report, one->second_row, second, sizeof second);
    snprintf(id, sizeof id, report->ids.is_signed ? "%lld" : "%llu", (ull)one->id);
    snprintf(what, sizeof what, "%llu rows (%.3g %%) repeat an id of '%.100s', such as %s in %s and %s",
             (ull)report->ids.rows, 100 * share(report->ids.rows, report->n_rows), report->ids.column, id, first,
             second);
    limit_judge(check, check->rules->limits, AVVIK_LIMIT_DUPLICATES, report->ids.column,
                share(report->ids.rows, report->n_rows), what);
}

/* Gates that nothing could be held against. */
static void gates_judge(struct avvik__check *check)
{
    const struct avvik_check_report *report = check->report;
    const struct avvik_check_rules *rules = check->rules;
    static const enum avvik_limit of_model[] = {AVVIK_LIMIT_CONSTANT, AVVIK_LIMIT_PSI, AVVIK_LIMIT_KS,
                                                AVVIK_LIMIT_MISSING_CHANGE};
    if (report->n_rows < rules->min_rows || report->n_rows > rules->max_rows) {
        const int is_few = report->n_rows < rules->min_rows;
        const uint64_t bound = is_few ? rules->min_rows : rules->max_rows;
        avvik__finding_add(check, AVVIK_BREACH, "rows", "", (double)report->n_rows, (double)bound,
                           "there are %llu rows; at %s %llu must be", (ull)report->n_rows, is_few ? "least" : "most",
                           (ull)bound);
    }
    for (size_t i = 0; check->model == NULL && i < sizeof of_model / sizeof of_model[0]; i++)
        if (rules->limits[of_model[i]].is_gate)
            avvik__finding_add(check, AVVIK_NOTE, avvik_limit_name(of_model[i]), "", NAN, NAN,
                               "the gate '%s' is not held against anything: no model is given",
                               avvik_limit_name(of_model[i]));
    if (rules->limits[AVVIK_LIMIT_DUPLICATES].is_gate && rules->id[0] == '\0') {
        int has_id = 0;
        for (size_t c = 0; c < report->n_columns; c++)
            has_id = has_id || strcmp(report->columns[c].role, "id") == 0;
        if (!has_id)
            avvik__finding_add(check, AVVIK_BREACH, "ids", "", NAN, NAN,
                               "repeated ids are not looked for: no column has the role 'id', and none is named");
    }
    for (size_t i = 0; i < rules->n_columns; i++) {
        size_t k = 0;
        while (k < check->n_read && check->read[k].rules != &rules->columns[i])
            k++;
        if (k == check->n_read)
            avvik__finding_add(check, AVVIK_BREACH, "schema", rules->columns[i].name, NAN, NAN,
                               "column '%s', which has limits of its own, is not there or not read",
                               rules->columns[i].name);
    }
}

void avvik__check_judge(struct avvik__check *check)
{
    gates_judge(check);
    ids_judge(check);
    for (size_t k = 0; k < check->n_read; k++)
        column_judge(check, &check->read[k]);
}

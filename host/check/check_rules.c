/* Limits and periods: their names, their defaults, their text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/check.h"
#include "check_internal.h"

static const struct {
    const char *name;
    double warns_above;
} limits[AVVIK_N_LIMITS] = {
    {"duplicates", 0},     {"missing", 0.5}, {"infinite", 0}, {"unknown_codes", 0}, {"impossible_dates", 0},
    {"outside_period", 0}, {"constant", 0},  {"psi", 0.25},   {"ks", 0.2},          {"missing_change", 0.1},
};

const char *avvik_limit_name(enum avvik_limit limit)
{
    return limits[limit].name;
}

const char *avvik_severity_name(enum avvik_severity severity)
{
    static const char *const names[] = {"note", "warning", "breach", "refused"};
    return names[severity];
}

void avvik_check_rules_init(struct avvik_check_rules *rules_out)
{
    *rules_out = (struct avvik_check_rules){.period = {INT32_MIN, INT32_MAX}, .max_rows = UINT64_MAX};
    for (int limit = 0; limit < AVVIK_N_LIMITS; limit++)
        rules_out->limits[limit].most = limits[limit].warns_above;
}

void avvik_check_rules_destroy(struct avvik_check_rules *rules)
{
    free(rules->columns);
    rules->columns = NULL;
    rules->n_columns = 0;
}

const struct avvik_check_column_rules *avvik__column_rules(const struct avvik_check_rules *rules, const char *name)
{
    for (size_t i = 0; i < rules->n_columns; i++)
        if (strcmp(rules->columns[i].name, name) == 0)
            return &rules->columns[i];
    return NULL;
}

static int is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_of_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 0000-01-01 to the first day of a year of the Gregorian calendar. */
static int32_t days_before_year(int year)
{
    const int before = year - 1;
    return year == 0 ? 0 : 366 + 365 * before + before / 4 - before / 100 + before / 400;
}

#define DAYS_TO_1970 719528

/* A date like 2024-01-31 at `text`; 1 on success. */
static int date_parse(const char *text, int32_t *day_out)
{
    int number[3] = {0};
    for (int i = 0; i < 10; i++) {
        if (i == 4 || i == 7) {
            if (text[i] != '-')
                return 0;
            continue;
        }
        if (text[i] < '0' || text[i] > '9')
            return 0;
        int *part = &number[i < 4 ? 0 : i < 7 ? 1 : 2];
        *part = 10 * *part + text[i] - '0';
    }
    const int year = number[0], month = number[1], day = number[2];
    if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
        return 0;
    *day_out = days_before_year(year) + day - 1 - DAYS_TO_1970;
    for (int m = 1; m < month; m++)
        *day_out += days_of_month(year, m);
    return 1;
}

int avvik_period_parse(const char *text, struct avvik_period *period_out)
{
    struct avvik_period period = {INT32_MIN, INT32_MAX};
    const char *dots = strstr(text, "..");
    if (dots == NULL || (dots != text && (dots - text != 10 || !date_parse(text, &period.from))))
        return 0;
    if (dots[2] != '\0' && (strlen(dots + 2) != 10 || !date_parse(dots + 2, &period.to)))
        return 0;
    if (period.from > period.to)
        return 0;
    *period_out = period;
    return 1;
}

void avvik_date_text(int32_t day, char *text)
{
    const int64_t since_0 = (int64_t)day + DAYS_TO_1970;
    if (since_0 < 0 || since_0 >= days_before_year(10000)) {
        snprintf(text, 16, "%d", day);
        return;
    }
    int year = (int)(since_0 / 366), month = 1;
    while (days_before_year(year + 1) <= since_0)
        year++;
    int left = (int)since_0 - days_before_year(year);
    for (; left >= days_of_month(year, month); month++)
        left -= days_of_month(year, month);
    snprintf(text, 16, "%04d-%02d-%02d", year % 10000, month % 100, (left + 1) % 100);
}

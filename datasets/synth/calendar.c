#include "calendar.h"

#include "avvik/synth.h"

/* The rows of rules.def. */
static const struct {
    enum avvik__rule rule;
    struct avvik_synth_rule row;
} rows[] = {
#define RULE(name, year, month, day, value, unit, source)                                                              \
    {AVVIK_RULE_##name, {#name, year, month, day, value, unit, source}},
#define THEN RULE
#include "rules.def"
#undef RULE
#undef THEN
};
#define N_ROWS (sizeof rows / sizeof rows[0])

size_t avvik_synth_n_rules(void)
{
    return N_ROWS;
}

const struct avvik_synth_rule *avvik_synth_rule(size_t index)
{
    return index < N_ROWS ? &rows[index].row : NULL;
}

/* Days from civil (Howard Hinnant, chrono-compatible date algorithms). */
int32_t avvik__day_of(int year, int month, int day)
{
    const int y = month <= 2 ? year - 1 : year;
    const int era = (y >= 0 ? y : y - 399) / 400;
    const int year_of_era = y - era * 400;
    const int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void avvik__date_of(int32_t day, int *year_out, int *month_out, int *day_out)
{
    const int z = day + 719468;
    const int era = (z >= 0 ? z : z - 146096) / 146097;
    const int day_of_era = z - era * 146097;
    const int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int m = (5 * day_of_year + 2) / 153;
    *day_out = day_of_year - (153 * m + 2) / 5 + 1;
    *month_out = m < 10 ? m + 3 : m - 9;
    *year_out = year_of_era + era * 400 + (*month_out <= 2);
}

/* Weekdays up to and with `day`, counted from Monday 1969-12-29 (day -3) on. */
static int weekdays_until(int32_t day)
{
    const int32_t n = day + 4; /* days since that Monday, it included */
    const int32_t weeks = n >= 0 ? n / 7 : -((6 - n) / 7), rest = n - 7 * weeks;
    return 5 * weeks + (rest > 5 ? 5 : rest);
}

int avvik__weekdays(int32_t from, int32_t to)
{
    return to < from ? 0 : weekdays_until(to) - weekdays_until(from - 1);
}

static double rule_on(enum avvik__rule rule, int32_t day)
{
    double value = 0;
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].rule == rule && avvik__day_of(rows[i].row.year, rows[i].row.month, rows[i].row.day) <= day)
            value = rows[i].row.value;
    return value;
}

/* Pay rises between the settlement of 2024 and `day`, as a factor. */
static double wage_index(int32_t day)
{
    const int32_t base = avvik__day_of(2024, 5, 1);
    double index = 1;
    for (size_t i = 0; i < N_ROWS; i++) {
        const int32_t from = avvik__day_of(rows[i].row.year, rows[i].row.month, rows[i].row.day);
        if (rows[i].rule == AVVIK_RULE_WAGE_RISE && from > base && from <= day)
            index *= 1 + rows[i].row.value / 100;
        if (rows[i].rule == AVVIK_RULE_WAGE_RISE && from <= base && from > day)
            index /= 1 + rows[i].row.value / 100;
    }
    return index;
}

void avvik__month_make(int year, int month, int offset, struct avvik__month *to)
{
    const int months = year * 12 + month - 1 + offset;
    to->year = months / 12;
    to->month = months % 12 + 1;
    to->first = avvik__day_of(to->year, to->month, 1);
    to->last = avvik__day_of((months + 1) / 12, (months + 1) % 12 + 1, 1) - 1;
    to->n_days = to->last - to->first + 1;
    for (int rule = 0; rule < AVVIK_N_RULES; rule++)
        to->rule[rule] = rule_on((enum avvik__rule)rule, to->last);
    to->wage_index = wage_index(to->last);
}

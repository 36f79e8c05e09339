/* Days, months and the rules that hold in each. */
#ifndef AVVIK_SYNTH_CALENDAR_H
#define AVVIK_SYNTH_CALENDAR_H

#include <stdint.h>

/* Rules by name (rules.def). */
enum avvik__rule {
#define RULE(name, year, month, day, value, unit, source) AVVIK_RULE_##name,
#define THEN(name, year, month, day, value, unit, source)
#include "rules.def"
#undef RULE
#undef THEN
    AVVIK_N_RULES
};

/* A calendar month. */
struct avvik__month {
    int year, month;            /* 1 to 12 */
    int32_t first, last;        /* days since 1970-01-01 */
    int n_days;                 /* 28 to 31 */
    double rule[AVVIK_N_RULES]; /* what held on its last day; 0 before a rule's first date */
    double wage_index;          /* 1 in May 2024: pay rises since then */
};

/* The month that is `offset` months after that of year and month (1 to 12). */
void avvik__month_make(int year, int month, int offset, struct avvik__month *month_out);

/* Day since 1970-01-01 of a date of the Gregorian calendar, and back. */
int32_t avvik__day_of(int year, int month, int day);
void avvik__date_of(int32_t day, int *year_out, int *month_out, int *day_out);

/* Mondays to Fridays from `from` to `to`, both included; 0 if to < from. Public holidays count as other days. */
int avvik__weekdays(int32_t from, int32_t to);

#endif

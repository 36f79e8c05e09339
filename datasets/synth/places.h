/* Names and shares of what the country is made of (places.def), by number. */
#ifndef AVVIK_SYNTH_PLACES_H
#define AVVIK_SYNTH_PLACES_H

#include <stddef.h>
#include <stdint.h>

enum avvik__scheme {
#define SCHEME(symbol, name, pay_day, tax) AVVIK_##symbol,
#include "places.def"
#undef SCHEME
    AVVIK_N_SCHEMES
};
enum avvik__event_kind {
#define EVENT(symbol, name) AVVIK_EVENT_##symbol,
#include "places.def"
#undef EVENT
    AVVIK_N_EVENTS
};
/* 0: none. */
enum avvik__typology {
    AVVIK_TYPOLOGY_NONE,
#define TYPOLOGY(symbol, name, is_business, text) AVVIK_##symbol,
#include "places.def"
#undef TYPOLOGY
    AVVIK_N_TYPOLOGIES
};
enum avvik__vat_code {
#define VAT_CODE(symbol, name, rate) AVVIK_VAT_##symbol,
#include "places.def"
#undef VAT_CODE
    AVVIK_N_VAT_CODES
};
enum avvik__income {
#define INCOME(symbol, name) AVVIK_INCOME_##symbol,
#include "places.def"
#undef INCOME
    AVVIK_N_INCOMES
};
enum {
    AVVIK_COUNT_MUNICIPALITIES = 0
#define MUNICIPALITY(code, name, weight, offices) +1
#include "places.def"
#undef MUNICIPALITY
    ,
    AVVIK_N_OFFICES = 0
#define MUNICIPALITY(code, name, weight, offices) +offices
#include "places.def"
#undef MUNICIPALITY
    ,
    AVVIK_COUNT_INDUSTRIES = 0
#define INDUSTRY(code, name, weight, pay, input, spread, zero_rated, food) +1
#include "places.def"
#undef INDUSTRY
    ,
    AVVIK_COUNT_OCCUPATIONS = 0
#define OCCUPATION(code, name, weight, pay) +1
#include "places.def"
#undef OCCUPATION
    ,
    AVVIK_COUNT_COUNTRIES = 0
#define COUNTRY(code, weight) +1
#include "places.def"
#undef COUNTRY
};

struct avvik__industry {
    const char *code, *name;
    double pay, input, spread, zero_rated, food;
};
extern const struct avvik__industry avvik__industries[AVVIK_COUNT_INDUSTRIES];
extern const double avvik__occupation_pay[AVVIK_COUNT_OCCUPATIONS];
extern const struct avvik__scheme_rules {
    int pay_day;
    double tax;
} avvik__schemes[AVVIK_N_SCHEMES];
extern const double avvik__vat_rates[AVVIK_N_VAT_CODES];
extern const int avvik__typology_is_business[AVVIK_N_TYPOLOGIES];

/* Risk of death in a year. */
double avvik__mortality(int age, int is_male);

/* Lists of names: what the codes of a category stand for. */
enum avvik__list {
    AVVIK_LIST_MUNICIPALITIES,
    AVVIK_LIST_OFFICES, /* "0301-07": the seventh office of 0301 */
    AVVIK_LIST_INDUSTRIES,
    AVVIK_LIST_OCCUPATIONS,
    AVVIK_LIST_COUNTRIES,
    AVVIK_LIST_SCHEMES,
    AVVIK_LIST_EVENTS,
    AVVIK_LIST_TYPOLOGIES, /* the first is "none" */
    AVVIK_LIST_VAT_CODES,
    AVVIK_LIST_INCOMES,
    AVVIK_LIST_SEXES,
    AVVIK_LIST_HOUSEHOLDS,
    AVVIK_N_LISTS
};
size_t avvik__list_length(enum avvik__list list);
/* Into `text` of at least 24 bytes. */
void avvik__list_name(enum avvik__list list, size_t index, char *text);
/* The number of `name`; SIZE_MAX if the list has none. */
size_t avvik__list_find(enum avvik__list list, const char *name);
/* "a, b, c" into `text`, cut where it does not fit. */
void avvik__list_tell(enum avvik__list list, char *text, size_t size);

/* Draw from a list by its weights, with a number in [0, 1). */
unsigned avvik__municipality_draw(double u);
unsigned avvik__industry_draw(double u);
unsigned avvik__occupation_draw(double u);
unsigned avvik__country_draw(double u);
/* An office of a municipality. */
unsigned avvik__office_draw(unsigned municipality, double u);

#endif

#include "places.h"

#include <stdio.h>
#include <string.h>

const struct avvik__industry avvik__industries[AVVIK_COUNT_INDUSTRIES] = {
#define INDUSTRY(code, name, weight, pay, input, spread, zero_rated, food)                                             \
    {code, name, pay, input, spread, zero_rated, food},
#include "places.def"
#undef INDUSTRY
};
const double avvik__occupation_pay[AVVIK_COUNT_OCCUPATIONS] = {
#define OCCUPATION(code, name, weight, pay) pay,
#include "places.def"
#undef OCCUPATION
};
const struct avvik__scheme_rules avvik__schemes[AVVIK_N_SCHEMES] = {
#define SCHEME(symbol, name, pay_day, tax) {pay_day, tax},
#include "places.def"
#undef SCHEME
};
const double avvik__vat_rates[AVVIK_N_VAT_CODES] = {
#define VAT_CODE(symbol, name, rate) rate,
#include "places.def"
#undef VAT_CODE
};
const int avvik__typology_is_business[AVVIK_N_TYPOLOGIES] = {
    0,
#define TYPOLOGY(symbol, name, is_business, text) is_business,
#include "places.def"
#undef TYPOLOGY
};

double avvik__mortality(int age, int is_male)
{
    static const struct {
        int from;
        double deaths[2]; /* a year per 100,000: women, men */
    } rates[] = {
#define MORTALITY(age, men, women) {age, {women, men}},
#include "places.def"
#undef MORTALITY
    };
    size_t i = sizeof rates / sizeof rates[0] - 1;
    while (i > 0 && rates[i].from > age)
        i--;
    return rates[i].deaths[is_male] / 100000;
}

static const int offices_of[] = {
#define MUNICIPALITY(code, name, weight, offices) offices,
#include "places.def"
#undef MUNICIPALITY
};

/* Names, one array a list. */
static const char *const municipalities[] = {
#define MUNICIPALITY(code, name, weight, offices) code,
#include "places.def"
#undef MUNICIPALITY
};
static const char *const industries[] = {
#define INDUSTRY(code, name, weight, pay, input, spread, zero_rated, food) code,
#include "places.def"
#undef INDUSTRY
};
static const char *const occupations[] = {
#define OCCUPATION(code, name, weight, pay) code,
#include "places.def"
#undef OCCUPATION
};
static const char *const countries[] = {
#define COUNTRY(code, weight) code,
#include "places.def"
#undef COUNTRY
};
static const char *const schemes[] = {
#define SCHEME(symbol, name, pay_day, tax) name,
#include "places.def"
#undef SCHEME
};
static const char *const events[] = {
#define EVENT(symbol, name) name,
#include "places.def"
#undef EVENT
};
static const char *const typologies[] = {
    "none",
#define TYPOLOGY(symbol, name, is_business, text) name,
#include "places.def"
#undef TYPOLOGY
};
static const char *const vat_codes[] = {
#define VAT_CODE(symbol, name, rate) name,
#include "places.def"
#undef VAT_CODE
};
static const char *const incomes[] = {
#define INCOME(symbol, name) name,
#include "places.def"
#undef INCOME
};
static const char *const sexes[] = {"female", "male"};
static const char *const households[] = {"single",          "couple",         "couple_children",
                                         "parent_children", "grown_children", "shared"};

static const struct {
    const char *const *names;
    size_t n;
} lists[AVVIK_N_LISTS] = {
    [AVVIK_LIST_MUNICIPALITIES] = {municipalities, AVVIK_COUNT_MUNICIPALITIES},
    [AVVIK_LIST_OFFICES] = {NULL, AVVIK_N_OFFICES},
    [AVVIK_LIST_INDUSTRIES] = {industries, AVVIK_COUNT_INDUSTRIES},
    [AVVIK_LIST_OCCUPATIONS] = {occupations, AVVIK_COUNT_OCCUPATIONS},
    [AVVIK_LIST_COUNTRIES] = {countries, AVVIK_COUNT_COUNTRIES},
    [AVVIK_LIST_SCHEMES] = {schemes, AVVIK_N_SCHEMES},
    [AVVIK_LIST_EVENTS] = {events, AVVIK_N_EVENTS},
    [AVVIK_LIST_TYPOLOGIES] = {typologies, AVVIK_N_TYPOLOGIES},
    [AVVIK_LIST_VAT_CODES] = {vat_codes, AVVIK_N_VAT_CODES},
    [AVVIK_LIST_INCOMES] = {incomes, AVVIK_N_INCOMES},
    [AVVIK_LIST_SEXES] = {sexes, 2},
    [AVVIK_LIST_HOUSEHOLDS] = {households, sizeof households / sizeof households[0]},
};

size_t avvik__list_length(enum avvik__list list)
{
    return lists[list].n;
}

void avvik__list_name(enum avvik__list list, size_t index, char *text)
{
    if (list != AVVIK_LIST_OFFICES) {
        snprintf(text, 24, "%s", lists[list].names[index]);
        return;
    }
    size_t municipality = 0;
    while (index >= (size_t)offices_of[municipality])
        index -= (size_t)offices_of[municipality++];
    snprintf(text, 24, "%s-%02u", municipalities[municipality], (unsigned)index % 100 + 1);
}

size_t avvik__list_find(enum avvik__list list, const char *name)
{
    char own[24];
    for (size_t i = 0; i < lists[list].n; i++) {
        avvik__list_name(list, i, own);
        if (strcmp(own, name) == 0)
            return i;
    }
    return SIZE_MAX;
}

void avvik__list_tell(enum avvik__list list, char *text, size_t size)
{
    char own[24];
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < lists[list].n && length < size; i++) {
        avvik__list_name(list, i, own);
        length += (size_t)snprintf(text + length, size - length, "%s%s", i == 0 ? "" : ", ", own);
    }
}

static unsigned weighted(const int *weights, unsigned n, int total, double u)
{
    int left = (int)(u * total);
    for (unsigned i = 0; i + 1 < n; i++)
        if ((left -= weights[i]) < 0)
            return i;
    return n - 1;
}

unsigned avvik__municipality_draw(double u)
{
    static const int weights[] = {
#define MUNICIPALITY(code, name, weight, offices) weight,
#include "places.def"
#undef MUNICIPALITY
    };
    enum {
        TOTAL = 0
#define MUNICIPALITY(code, name, weight, offices) +weight
#include "places.def"
#undef MUNICIPALITY
    };
    return weighted(weights, AVVIK_COUNT_MUNICIPALITIES, TOTAL, u);
}

unsigned avvik__industry_draw(double u)
{
    static const int weights[] = {
#define INDUSTRY(code, name, weight, pay, input, spread, zero_rated, food) weight,
#include "places.def"
#undef INDUSTRY
    };
    enum {
        TOTAL = 0
#define INDUSTRY(code, name, weight, pay, input, spread, zero_rated, food) +weight
#include "places.def"
#undef INDUSTRY
    };
    return weighted(weights, AVVIK_COUNT_INDUSTRIES, TOTAL, u);
}

unsigned avvik__occupation_draw(double u)
{
    static const int weights[] = {
#define OCCUPATION(code, name, weight, pay) weight,
#include "places.def"
#undef OCCUPATION
    };
    enum {
        TOTAL = 0
#define OCCUPATION(code, name, weight, pay) +weight
#include "places.def"
#undef OCCUPATION
    };
    return weighted(weights, AVVIK_COUNT_OCCUPATIONS, TOTAL, u);
}

unsigned avvik__country_draw(double u)
{
    static const int weights[] = {
#define COUNTRY(code, weight) weight,
#include "places.def"
#undef COUNTRY
    };
    enum {
        TOTAL = 0
#define COUNTRY(code, weight) +weight
#include "places.def"
#undef COUNTRY
    };
    return weighted(weights, AVVIK_COUNT_COUNTRIES, TOTAL, u);
}

unsigned avvik__office_draw(unsigned municipality, double u)
{
    unsigned first = 0;
    for (unsigned i = 0; i < municipality; i++)
        first += (unsigned)offices_of[i];
    return first + (unsigned)(u * offices_of[municipality]);
}

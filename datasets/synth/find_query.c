/* Filters from words, and words from what is found. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/find.h"
#include "avvik_internal.h"
#include "places.h"

void avvik_find_query_init(struct avvik_find_query *query)
{
    *query = (struct avvik_find_query){.min_age = INT_MIN,
                                       .max_age = INT_MAX,
                                       .sex = -1,
                                       .municipality = -1,
                                       .typology = -1,
                                       .look_alike = -1,
                                       .limit = 20};
}

/* A whole number of years at `text`; *end_out is behind it. */
static int years_parse(const char *text, const char **end_out, int *years_out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return 0;
    const long years = strtol(text, &end, 10);
    *end_out = end;
    *years_out = (int)years;
    return years <= 150;
}

/* "30..40", "30..", "..17" or "30". */
static int ages_parse(const char *text, int *min_out, int *max_out)
{
    const char *at = text;
    int min = INT_MIN, max = INT_MAX;
    const int has_min = years_parse(text, &at, &min);
    if (has_min && *at == '\0') {
        *min_out = *max_out = min;
        return 1;
    }
    if (strncmp(at, "..", 2) != 0 || (at == text) == has_min)
        return 0;
    at += 2;
    if (*at != '\0' && (!years_parse(at, &at, &max) || *at != '\0'))
        return 0;
    if ((!has_min && max == INT_MAX) || min > max)
        return 0;
    *min_out = min;
    *max_out = max;
    return 1;
}

static enum avvik_status code_find(enum avvik__list list, const char *what, const char *value, int *code_out,
                                   struct avvik_error *error)
{
    char known[800];
    const size_t code = avvik__list_find(list, value);
    if (code != SIZE_MAX) {
        *code_out = (int)code;
        return AVVIK_OK;
    }
    avvik__list_tell(list, known, sizeof known);
    return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "%.60s is no %s; known are %s", value, what, known);
}

enum avvik_status avvik_find_query_set(struct avvik_find_query *query, const char *name, const char *value,
                                       struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    int code = 0;
    if (strcmp(name, "age") == 0) {
        if (!ages_parse(value, &query->min_age, &query->max_age))
            AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "an age is like 30..40, 67.., ..17 or 30, not '%.60s'", value);
    } else if (strcmp(name, "sex") == 0) {
        AVVIK_TRY(code_find(AVVIK_LIST_SEXES, "sex", value, &query->sex, error));
    } else if (strcmp(name, "municipality") == 0) {
        AVVIK_TRY(code_find(AVVIK_LIST_MUNICIPALITIES, "municipality", value, &query->municipality, error));
    } else if (strcmp(name, "benefit") == 0) {
        AVVIK_TRY(code_find(AVVIK_LIST_SCHEMES, "benefit", value, &code, error));
        query->benefits |= 1u << code;
    } else if (strcmp(name, "event") == 0) {
        AVVIK_TRY(code_find(AVVIK_LIST_EVENTS, "life event", value, &code, error));
        query->events |= 1u << code;
    } else if (strcmp(name, "typology") == 0) {
        AVVIK_TRY(code_find(AVVIK_LIST_TYPOLOGIES, "typology", value, &query->typology, error));
    } else if (strcmp(name, "look-alike") == 0) {
        AVVIK_TRY(code_find(AVVIK_LIST_TYPOLOGIES, "typology", value, &query->look_alike, error));
    } else if (strcmp(name, "employer") == 0) {
        if (strlen(value) != 9 || strspn(value, "0123456789") != 9)
            AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "an employer is an organisation number of nine digits, not '%.60s'", value);
        query->employer = (uint32_t)strtoul(value, NULL, 10);
    } else {
        AVVIK_FAIL(
            AVVIK_ERR_USAGE, 0,
            "%.60s is no filter; known are age, sex, municipality, benefit, event, employer, typology, look-alike",
            name);
    }
done:
    return status;
}

void avvik_find_name(enum avvik_find_list list, int code, char *text, size_t size)
{
    static const enum avvik__list lists[] = {AVVIK_LIST_SEXES, AVVIK_LIST_MUNICIPALITIES, AVVIK_LIST_TYPOLOGIES};
    char name[24] = "?";
    if (code >= 0 && (size_t)code < avvik__list_length(lists[list]))
        avvik__list_name(lists[list], (size_t)code, name);
    snprintf(text, size, "%s", name);
}

/* "a+b" */
static void bits_tell(enum avvik__list list, uint32_t bits, char *text, size_t size)
{
    char name[24];
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < avvik__list_length(list) && length < size; i++) {
        avvik__list_name(list, i, name);
        if (bits >> i & 1)
            length += (size_t)snprintf(text + length, size - length, "%s%s", length == 0 ? "" : "+", name);
    }
}

void avvik_find_benefits_text(uint32_t benefits, char *text, size_t size)
{
    bits_tell(AVVIK_LIST_SCHEMES, benefits, text, size);
}

void avvik_find_events_text(uint32_t events, char *text, size_t size)
{
    bits_tell(AVVIK_LIST_EVENTS, events, text, size);
}

#include "value_text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/check.h"
#include "words.h"

#define NO_BREAK "\xc2\xa0" /* U+00A0: the thousands of a number stay on one line, and a number with its unit */

/* Copy ASCII digits with their thousands apart and the language's decimal sign. */
static void digits_group(const char *digits, enum avvik_language language, char *text, size_t size)
{
    const char *separator = language == AVVIK_ENGLISH ? "," : NO_BREAK, *minus = "\xe2\x88\x92"; /* U+2212 */
    size_t n = 0, length = 0;
    if (*digits == '-') {
        n += (size_t)snprintf(text, size, "%s", minus);
        digits++;
    }
    while (isdigit((unsigned char)digits[length]))
        length++;
    for (size_t i = 0; digits[i] != '\0' && n < size; i++) {
        if (i > 0 && i < length && (length - i) % 3 == 0)
            n += (size_t)snprintf(text + n, size - n, "%s", separator);
        const char character = digits[i] == '.' && language != AVVIK_ENGLISH ? ',' : digits[i];
        if (n < size)
            n += (size_t)snprintf(text + n, size - n, "%c", character);
    }
}

/* "%.*f" whatever the locale says of decimal signs. */
static void decimal_print(double value, int decimals, char *digits, size_t size)
{
    snprintf(digits, size, "%.*f", decimals, value);
    for (char *c = digits; *c != '\0'; c++)
        if (*c == ',')
            *c = '.';
}

/* A real number with as many digits as are worth reading. */
static void real_print(double value, char *digits, size_t size)
{
    const double magnitude = fabs(value);
    if (magnitude >= 1e15 || (magnitude < 1e-4 && magnitude > 0)) {
        snprintf(digits, size, "%.3e", value);
        for (char *c = digits; *c != '\0'; c++)
            if (*c == ',')
                *c = '.';
        return;
    }
    decimal_print(value, magnitude >= 1000 || value == rint(value) ? 0 : magnitude >= 1 ? 2 : 4, digits, size);
    char *point = strchr(digits, '.'), *last = digits + strlen(digits) - 1;
    while (point != NULL && last > point && *last == '0')
        *last-- = '\0';
    if (point != NULL && last == point)
        *last = '\0';
}

void avvik__count_text(uint64_t n, enum avvik_language language, char *text, size_t size)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    digits_group(digits, language, text, size);
}

int avvik__is_oere(const struct avvik_explained_column *column)
{
    return strcmp(column->units, "oere") == 0 || strcmp(column->units, "øre") == 0;
}

double avvik__change_number(const struct avvik_explained_column *column, const struct avvik_change *change)
{
    return column->is_date ? ceil((double)change->rounded) : (double)change->rounded;
}

double avvik__cell_number(const struct avvik_cell *cell)
{
    switch (cell->kind) {
    case AVVIK_CELL_SIGNED: return (double)cell->value.as_signed;
    case AVVIK_CELL_UNSIGNED: return (double)cell->value.as_unsigned;
    case AVVIK_CELL_REAL: return cell->value.as_real;
    default: return NAN;
    }
}

/* Behind a number: nothing, or a no-break space and the unit. */
static void unit_add(const struct avvik_explained_column *column, enum avvik_language language, const char *number,
                     char *text, size_t size)
{
    const char *units = column->units;
    if (strcmp(units, "hours") == 0)
        avvik__words_fill(AVVIK_SAY_HOURS, language, text, size, "number", number, NULL);
    else if (strcmp(units, "per cent") == 0 || strcmp(units, "%") == 0)
        snprintf(text, size, "%s" NO_BREAK "%%", number);
    else if (strcmp(units, "kr") == 0 || strcmp(units, "NOK") == 0)
        snprintf(text, size, "%s" NO_BREAK "kr", number);
    else
        snprintf(text, size, "%s%s%s", number, units[0] == '\0' ? "" : NO_BREAK, units);
}

void avvik__number_text(const struct avvik_explained_column *column, double value, enum avvik_language language,
                        int is_short, char *text, size_t size)
{
    char digits[400], grouped[600];
    if (!isfinite(value)) {
        avvik__words_fill(AVVIK_SAY_ABSENT, language, text, size, NULL);
    } else if (column->is_date && fabs(value) < 1e7 && value == rint(value)) {
        char date[32];
        avvik_date_text((int32_t)value, date);
        snprintf(text, size, "%s", date);
    } else if (column->n_codes > 0 && value >= 0 && value < (double)column->n_codes && value == rint(value)) {
        snprintf(text, size, "%.*s", AVVIK_NAME_SIZE - 1, column->codes + (size_t)value * AVVIK_NAME_SIZE);
    } else if (avvik__is_oere(column)) {
        const double oere = rint(value);
        decimal_print(oere / 100, is_short && fmod(oere, 100) == 0 ? 0 : 2, digits, sizeof digits);
        digits_group(digits, language, grouped, sizeof grouped);
        snprintf(text, size, "%s" NO_BREAK "kr", grouped);
    } else {
        real_print(value, digits, sizeof digits);
        digits_group(digits, language, grouped, sizeof grouped);
        unit_add(column, language, grouped, text, size);
    }
}

void avvik_value_text(const struct avvik_explained_column *column, const struct avvik_cell *cell,
                      enum avvik_language language, char *text, size_t size)
{
    if (column->is_identity && cell->kind == AVVIK_CELL_UNSIGNED) /* more digits than a double has */
        snprintf(text, size, "%llu", (unsigned long long)cell->value.as_unsigned);
    else if (column->is_identity && cell->kind == AVVIK_CELL_SIGNED)
        snprintf(text, size, "%lld", (long long)cell->value.as_signed);
    else
        avvik__number_text(column, avvik__cell_number(cell), language, 0, text, size);
}

#include "html_number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int avvik__number_format(char *text, size_t size, double value, int decimals, enum avvik__number_style style)
{
    const char *thousand = style == AVVIK_NUMBERS_ENGLISH ? "," : "\xc2\xa0"; /* no-break space */
    char digits[400];
    size_t n = 0;
    if (!isfinite(value))
        return snprintf(text, size, "-");
    if (fabs(value) >= 1e15)
        return snprintf(text, size, "%.3g", value);
    snprintf(digits, sizeof digits, "%.*f", decimals, fabs(value));
    const size_t whole = strcspn(digits, ".");
    if (value < 0 && strspn(digits, "0.") < strlen(digits))
        n += (size_t)snprintf(text + n, size - n, "-");
    for (size_t i = 0; i < whole && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%c", i > 0 && (whole - i) % 3 == 0 ? thousand : "", digits[i]);
    if (decimals > 0 && n < size)
        n += (size_t)snprintf(text + n, size - n, "%c%s", style == AVVIK_NUMBERS_ENGLISH ? '.' : ',',
                              digits + whole + 1);
    return (int)n;
}

void avvik__html_number(struct avvik__html *to, double value, int decimals, enum avvik__number_style style)
{
    char text[64];
    avvik__number_format(text, sizeof text, value, decimals, style);
    avvik__html_add(to, "%s", text);
}

void avvik__html_p(struct avvik__html *to, double p, enum avvik__number_style style)
{
    int decimals = 2;
    for (double left = p; left > 0 && left < 0.1 && decimals < 9; left *= 10)
        decimals++;
    avvik__html_number(to, p, decimals, style);
}

/* Where what follows the last digit begins; the end of a text without digits. */
static size_t tail_of(const char *text)
{
    size_t n = strlen(text);
    while (n > 0 && strchr("0123456789", text[n - 1]) == NULL)
        n--;
    return n > 0 ? n : strlen(text);
}

void avvik__unit_join(char unit[AVVIK_UNIT_SIZE], int number, const char *text)
{
    const char *tail = text + tail_of(text);
    if (strlen(tail) >= AVVIK_UNIT_SIZE || (number > 0 && strcmp(unit, tail) != 0))
        unit[0] = '\0';
    else if (number == 0)
        strcpy(unit, tail);
}

void avvik__unit_cut(const char *unit, char *text)
{
    if (unit[0] != '\0')
        text[tail_of(text)] = '\0';
}

void avvik__html_unit(struct avvik__html *to, const char *unit)
{
    while (*unit == ' ' || strncmp(unit, "\xc2\xa0", 2) == 0)
        unit += *unit == ' ' ? 1 : 2;
    if (*unit != '\0')
        avvik__html_add(to, " (%s)", unit);
}

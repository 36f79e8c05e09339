#include "night_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/check.h"

char *avvik__text(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (text == NULL)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

const char *avvik__count(uint64_t n, char text[AVVIK_COUNT_SIZE])
{
    char digits[24], *to = text;
    const int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return text;
}

int avvik__date_days(const char *text, int32_t *days_out)
{
    struct avvik_period day;
    char period[32];
    if (strnlen(text, 10) < 10)
        return 0;
    snprintf(period, sizeof period, "%.10s..%.10s", text, text);
    if (!avvik_period_parse(period, &day))
        return 0;
    *days_out = day.from;
    return 1;
}

void avvik__now_text(char *text)
{
    const time_t now = time(NULL);
    struct tm parts;
    if (gmtime_r(&now, &parts) == NULL || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(text, 32, "unknown");
}

char *avvik__date_fill(const char *pattern, const char *date)
{
    static const struct {
        const char *name;
        int from, length;
    } places[] = {{"{date}", 0, 10}, {"{year}", 0, 4}, {"{month}", 5, 2}, {"{day}", 8, 2}};
    /* The longest grows from six characters to ten. */
    char *text = malloc(2 * strlen(pattern) + 1), *to = text;
    while (text != NULL && *pattern != '\0') {
        size_t found = 0;
        const size_t n_places = sizeof places / sizeof places[0];
        while (found < n_places && strncmp(pattern, places[found].name, strlen(places[found].name)) != 0)
            found++;
        if (found < n_places) {
            memcpy(to, date + places[found].from, (size_t)places[found].length);
            to += places[found].length;
            pattern += strlen(places[found].name);
        } else if (*pattern == '{' || *pattern == '}') {
            free(text);
            return NULL;
        } else
            *to++ = *pattern++;
    }
    if (text != NULL)
        *to = '\0';
    return text;
}

#include "html_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void bytes_add(struct avvik__html *html, const char *text, size_t n)
{
    if (html->is_short)
        return;
    if (html->capacity - html->n <= n) {
        const size_t wanted = 2 * html->capacity + n + 4096;
        char *grown = wanted < n ? NULL : realloc(html->text, wanted);
        if (grown == NULL) {
            html->is_short = 1;
            return;
        }
        html->text = grown;
        html->capacity = wanted;
    }
    memcpy(html->text + html->n, text, n);
    html->n += n;
    html->text[html->n] = '\0';
}

/* Bytes of the UTF-8 character at `text`; 0 if it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t character_bytes(const unsigned char *text)
{
    const unsigned char c = text[0];
    const size_t n = c < 0x80                ? 1
                     : c >= 0xc2 && c < 0xe0 ? 2
                     : c >= 0xe0 && c < 0xf0 ? 3
                     : c >= 0xf0 && c < 0xf5 ? 4
                                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) || (c == 0xf0 && text[1] < 0x90) ||
        (c == 0xf4 && text[1] > 0x8f))
        return 0;
    return n;
}

/* Is this a character that makes what follows it run the other way (U+202A to U+202E, U+2066 to U+2069)? In a name it
 * would turn around the figures beside it. */
static int is_turning(const unsigned char *text)
{
    return text[0] == 0xe2 && ((text[1] == 0x80 && text[2] >= 0xaa && text[2] <= 0xae) ||
                               (text[1] == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9));
}

static void escaped_add(struct avvik__html *html, const char *text)
{
    while (text != NULL && *text != '\0') {
        const unsigned char c = (unsigned char)*text;
        const size_t n = character_bytes((const unsigned char *)text);
        const char *as = c == '&'                                                      ? "&amp;"
                         : c == '<'                                                    ? "&lt;"
                         : c == '>'                                                    ? "&gt;"
                         : c == '"'                                                    ? "&quot;"
                         : c == '\''                                                   ? "&#39;"
                         : n == 0 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? "?"
                         : is_turning((const unsigned char *)text)                     ? "\xef\xbf\xbd" /* U+FFFD */
                                                                                       : NULL;
        if (as != NULL)
            bytes_add(html, as, strlen(as));
        else
            bytes_add(html, text, n);
        text += n == 0 ? 1 : n;
    }
}

void avvik__html_add(struct avvik__html *html, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    while (*format != '\0') {
        const size_t plain = strcspn(format, "%");
        bytes_add(html, format, plain);
        format += plain;
        if (*format == '\0')
            break;
        if (format[1] == '%') {
            bytes_add(html, "%", 1);
            format += 2;
            continue;
        }
        char directive[16], number[64];
        size_t n = strcspn(format + 1, "sdufg") + 2;
        n = n < sizeof directive ? n : sizeof directive - 1;
        memcpy(directive, format, n);
        directive[n] = '\0';
        const char conversion = directive[n - 1];
        format += n;
        if (conversion == 's') {
            escaped_add(html, va_arg(arguments, const char *));
            continue;
        }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        if (conversion == 'f' || conversion == 'g')
            snprintf(number, sizeof number, directive, va_arg(arguments, double));
        else if (strstr(directive, "ll") != NULL)
            snprintf(number, sizeof number, directive, va_arg(arguments, long long));
        else if (strchr(directive, 'z') != NULL)
            snprintf(number, sizeof number, directive, va_arg(arguments, size_t));
        else
            snprintf(number, sizeof number, directive, va_arg(arguments, int));
#pragma GCC diagnostic pop
        bytes_add(html, number, strlen(number));
    }
    va_end(arguments);
}

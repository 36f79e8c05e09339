#include "form_text.h"

#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Decode n bytes at `from` to `to`, which may be the same; the end, or NULL for a broken escape. */
static char *decode(const char *from, size_t n, char *to)
{
    for (size_t i = 0; i < n; i++) {
        if (from[i] != '%') {
            *to++ = from[i] == '+' ? ' ' : from[i];
            continue;
        }
        if (n - i < 3 || hex_digit(from[i + 1]) < 0 || hex_digit(from[i + 2]) < 0)
            return NULL;
        *to++ = (char)(16 * hex_digit(from[i + 1]) + hex_digit(from[i + 2]));
        i += 2;
    }
    return to;
}

/* UTF-8 (RFC 3629) without control characters but tab and line ends? */
static int is_text(const unsigned char *text, const unsigned char *end)
{
    while (text < end) {
        const unsigned char c = *text;
        const long n = c < 0x80                ? 1
                       : c >= 0xc2 && c < 0xe0 ? 2
                       : c >= 0xe0 && c < 0xf0 ? 3
                       : c >= 0xf0 && c < 0xf5 ? 4
                                               : 0;
        if (n == 0 || end - text < n || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            return 0;
        for (long i = 1; i < n; i++)
            if ((text[i] & 0xc0) != 0x80)
                return 0;
        if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) || (c == 0xf0 && text[1] < 0x90) ||
            (c == 0xf4 && text[1] > 0x8f))
            return 0;
        text += n;
    }
    return 1;
}

/* A browser sends CR LF for a line end. In place; the new end. */
static char *line_ends_join(char *text, char *end)
{
    char *to = text;
    for (char *from = text; from < end; from++)
        if (*from != '\r')
            *to++ = *from;
        else if (from + 1 == end || from[1] != '\n')
            *to++ = '\n';
    return to;
}

/* One decoded word into *next, ended with NUL; NULL if it is no text. */
static const char *word_take(const char *from, size_t n, char **next)
{
    char *word = *next, *end = decode(from, n, word);
    if (end == NULL || !is_text((unsigned char *)word, (unsigned char *)end))
        return NULL;
    end = line_ends_join(word, end);
    *end = '\0';
    *next = end + 1;
    return word;
}

int avvik__form_read(const char *text, size_t n, struct avvik__form *form)
{
    *form = (struct avvik__form){.n = 0};
    form->text = malloc(n + 2 * AVVIK_MAX_PAIRS + 2); /* decoding does not lengthen; a NUL after each word */
    if (form->text == NULL)
        return -1;
    char *next = form->text;
    for (size_t start = 0; start < n;) {
        const char *separator = memchr(text + start, '&', n - start);
        const size_t length = separator == NULL ? n - start : (size_t)(separator - (text + start));
        const char *pair = text + start, *equals = memchr(pair, '=', length);
        const size_t name = equals == NULL ? length : (size_t)(equals - pair);
        start += length + 1;
        if (length == 0)
            continue;
        if (form->n == AVVIK_MAX_PAIRS)
            return 0;
        form->pairs[form->n].name = word_take(pair, name, &next);
        form->pairs[form->n].value = equals == NULL ? "" : word_take(equals + 1, length - name - 1, &next);
        if (form->pairs[form->n].name == NULL || form->pairs[form->n].value == NULL)
            return 0;
        form->n++;
    }
    return 1;
}

void avvik__form_free(struct avvik__form *form)
{
    free(form->text);
    *form = (struct avvik__form){.n = 0};
}

const char *avvik__form_value(const struct avvik__form *form, const char *name)
{
    for (size_t i = 0; i < form->n; i++)
        if (strcmp(form->pairs[i].name, name) == 0)
            return form->pairs[i].value;
    return "";
}

long long avvik__number_read(const char *text)
{
    const size_t n = strlen(text);
    if (n == 0 || n > 15 || strspn(text, "0123456789") != n)
        return -1;
    return strtoll(text, NULL, 10);
}

void avvik__cookie_read(const char *header, const char *name, char *value, size_t size)
{
    const size_t length = strlen(name);
    value[0] = '\0';
    while (header != NULL && *header != '\0') {
        header += strspn(header, " ;");
        const size_t n = strcspn(header, ";");
        if (n > length && strncmp(header, name, length) == 0 && header[length] == '=') {
            const char *found = header + length + 1;
            const size_t plain = strspn(found, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"),
                         whole = n - length - 1;
            if (plain == whole && whole < size) {
                memcpy(value, found, whole);
                value[whole] = '\0';
            }
            return;
        }
        header += n;
    }
}

int avvik__is_own_path(const char *path)
{
    return path[0] == '/' && path[1] != '/' && strlen(path) < 400 &&
           strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/?&=%+") == strlen(path);
}

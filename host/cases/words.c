#include "words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const messages[AVVIK_N_SAY][AVVIK_N_LANGUAGES] = {
#define AVVIK_WORDS(name, en, nb, nn) [AVVIK_SAY_##name] = {en, nb, nn},
#include "words.def"
};

static const struct {
    const char *table, *column;
    struct {
        const char *heading, *in_sentence;
    } names[AVVIK_N_LANGUAGES];
} columns[] = {
#define AVVIK_COLUMN(table, column, en, en_in, nb, nb_in, nn, nn_in)                                                   \
    {table, column, {{en, en_in}, {nb, nb_in}, {nn, nn_in}}},
#include "columns.def"
};

const char *avvik_language_code(enum avvik_language language)
{
    static const char *const codes[AVVIK_N_LANGUAGES] = {"en", "nb", "nn"};
    return codes[language];
}

/* Append n bytes of `from`, as many whole characters as there is room for. */
static size_t bytes_add(char *text, size_t size, size_t at, const char *from, size_t n)
{
    if (at + n >= size)
        for (n = size - 1 - at; n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80;)
            n--;
    memcpy(text + at, from, n);
    text[at + n] = '\0';
    return at + n;
}

void avvik__words_fill(enum avvik__say say, enum avvik_language language, char *text, size_t size, ...)
{
    const char *from = messages[say][language];
    size_t at = 0;
    text[0] = '\0';
    while (*from != '\0') {
        const size_t plain = strcspn(from, "{"), slot = strcspn(from + plain, "}");
        at = bytes_add(text, size, at, from, plain);
        from += plain;
        if (*from == '\0')
            break;
        va_list pairs;
        va_start(pairs, size);
        for (const char *name = va_arg(pairs, const char *); name != NULL; name = va_arg(pairs, const char *)) {
            const char *value = va_arg(pairs, const char *);
            if (strlen(name) == slot - 1 && strncmp(name, from + 1, slot - 1) == 0)
                at = bytes_add(text, size, at, value, strlen(value));
        }
        va_end(pairs);
        from += slot + (from[slot] == '}' ? 1 : 0);
    }
}

static const char *column_name(const char *table, const char *column, enum avvik_language language, int is_in_sentence)
{
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        if (strcmp(columns[i].column, column) == 0 &&
            (columns[i].table[0] == '\0' || strcmp(columns[i].table, table) == 0))
            return is_in_sentence ? columns[i].names[language].in_sentence : columns[i].names[language].heading;
    return NULL;
}

void avvik_column_label(const char *table, const char *column, enum avvik_language language, char *text, size_t size)
{
    const char *known = column_name(table, column, language, 0);
    snprintf(text, size, "%s", known == NULL ? column : known);
}

void avvik__column_in_sentence(const char *table, const char *column, enum avvik_language language, char *text,
                               size_t size)
{
    const char *known = column_name(table, column, language, 1);
    if (known != NULL)
        snprintf(text, size, "%s", known);
    else
        avvik__words_fill(AVVIK_SAY_UNNAMED, language, text, size, "name", column, NULL);
}

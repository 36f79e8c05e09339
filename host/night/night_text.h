/* Texts of a night: paths, dates, and the placeholders that stand for them. */
#ifndef AVVIK_NIGHT_TEXT_H
#define AVVIK_NIGHT_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* printf into memory of its own; NULL if there is none. */
char *avvik__text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A number with a comma between thousands into `text`, which is returned. */
#define AVVIK_COUNT_SIZE 32
const char *avvik__count(uint64_t n, char text[AVVIK_COUNT_SIZE]);

/* Days since 1970-01-01 of "YYYY-MM-DD" (what follows the tenth character does not count); 0 if it is no date. */
int avvik__date_days(const char *text, int32_t *days_out);

/* "YYYY-MM-DDTHH:MM:SSZ" of now into `text`, 32 bytes. */
void avvik__now_text(char *text);

/* `pattern` with {date} as YYYY-MM-DD, {year}, {month} and {day} filled in; malloc'ed, NULL if memory is out or the
 * pattern holds another placeholder or a brace alone. date: ten characters. */
char *avvik__date_fill(const char *pattern, const char *date);

#endif

/* Numbers on a page, as people of its language write them. */
#ifndef AVVIK_HTML_NUMBER_H
#define AVVIK_HTML_NUMBER_H

#include <stddef.h>

#include "html_text.h"

/* How numbers are written: 41,200.5 in English, 41 200,5 in Norwegian. */
enum avvik__number_style { AVVIK_NUMBERS_ENGLISH, AVVIK_NUMBERS_NORWEGIAN };

/* With so many decimals; "-" for what is not finite. Returns the text's bytes; as many as fit are in `text`. */
int avvik__number_format(char *text, size_t size, double value, int decimals, enum avvik__number_style style);
void avvik__html_number(struct avvik__html *to, double value, int decimals, enum avvik__number_style style);

/* A p-value: two significant digits. */
void avvik__html_p(struct avvik__html *to, double p, enum avvik__number_style style);

/* A unit that all values of a table's column have stands in the column's head. unit: what follows the last digit, ""
 * where there is none or they differ. join  take the text of value `number` (0, 1, ...) into account cut   take the
 * unit off a text html  " (kr)" for a head */
#define AVVIK_UNIT_SIZE 24
void avvik__unit_join(char unit[AVVIK_UNIT_SIZE], int number, const char *text);
void avvik__unit_cut(const char *unit, char *text);
void avvik__html_unit(struct avvik__html *to, const char *unit);

#endif

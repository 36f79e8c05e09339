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

#endif

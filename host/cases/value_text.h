/* Numbers, amounts and dates as people write them, in three languages. */
#ifndef AVVIK_VALUE_TEXT_H
#define AVVIK_VALUE_TEXT_H

#include "avvik/explain.h"

/* A whole number with its thousands apart: "12,275", "12 275" with a no-break space. */
void avvik__count_text(uint64_t n, enum avvik_language language, char *text, size_t size);

/* The number `value` of a column, as avvik_value_text() has a cell. is_short: amounts of whole kroner have no decimals.
 */
void avvik__number_text(const struct avvik_explained_column *column, double value, enum avvik_language language,
                        int is_short, char *text, size_t size);

/* The border of a change as it is told: among days, the next whole one, which is before or after the same days. */
double avvik__change_number(const struct avvik_explained_column *column, const struct avvik_change *change);

/* A cell as a double; NAN where it is missing. */
double avvik__cell_number(const struct avvik_cell *cell);

/* Is the column an amount in øre? */
int avvik__is_oere(const struct avvik_explained_column *column);

#endif

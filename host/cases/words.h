/* The message catalogue (words.def) and what columns are called (columns.def). */
#ifndef AVVIK_WORDS_H
#define AVVIK_WORDS_H

#include "avvik/explain.h"

enum avvik__say {
#define AVVIK_WORDS(name, en, nb, nn) AVVIK_SAY_##name,
#include "words.def"
    AVVIK_N_SAY
};

/* Fill the slots of a message: pairs of a slot's name and its text, then NULL. What does not fit is cut at the end of a
 * character. */
void avvik__words_fill(enum avvik__say say, enum avvik_language language, char *text, size_t size, ...);

/* What a column is called within a sentence. */
void avvik__column_in_sentence(const char *table, const char *column, enum avvik_language language, char *text,
                               size_t size);

#endif

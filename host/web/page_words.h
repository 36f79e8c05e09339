/* The words of pages and plots, in English, bokmål and nynorsk: page_words.def. */
#ifndef AVVIK_PAGE_WORDS_H
#define AVVIK_PAGE_WORDS_H

#include "case_document.h"

enum avvik__word {
#define WORD(name, en, nb, nn) AVVIK_WORD_##name,
#include "page_words.def"
#undef WORD
    AVVIK_N_WORDS
};

const char *avvik__word(enum avvik_language language, enum avvik__word word);

#endif

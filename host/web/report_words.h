/* The report's message catalogue (report_words.def). */
#ifndef AVVIK_REPORT_WORDS_H
#define AVVIK_REPORT_WORDS_H

enum avvik__report_word {
#define WORD(symbol, en, nb, nn) AVVIK_TELL_##symbol,
#include "report_words.def"
#undef WORD
    AVVIK_N_TOLD
};

/* language: enum avvik_language. Static storage. */
const char *avvik__report_word(enum avvik__report_word word, int language);

#endif

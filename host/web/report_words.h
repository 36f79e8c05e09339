/* The report's message catalogue (report_words.def). */
#ifndef AVVIK_REPORT_WORDS_H
#define AVVIK_REPORT_WORDS_H

#include "avvik/explain.h"

enum avvik__report_word {
#define WORD(symbol, en, nb, nn) AVVIK_TELL_##symbol,
#include "report_words.def"
#undef WORD
    AVVIK_N_TOLD
};

/* Static storage. */
const char *avvik__report_word(enum avvik__report_word word, enum avvik_language language);

#endif

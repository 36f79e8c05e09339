#include "report_words.h"

const char *avvik__report_word(enum avvik__report_word word, enum avvik_language language)
{
    static const char *const words[AVVIK_N_TOLD][3] = {
#define WORD(symbol, en, nb, nn) {en, nb, nn},
#include "report_words.def"
#undef WORD
    };
    return words[word][language];
}

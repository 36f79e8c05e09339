#include "page_words.h"

static const char *const words[AVVIK_N_WORDS][AVVIK_N_LANGUAGES] = {
#define WORD(name, en, nb, nn) {en, nb, nn},
#include "page_words.def"
#undef WORD
};

const char *avvik__word(enum avvik_language language, enum avvik__word word)
{
    return words[word][language];
}

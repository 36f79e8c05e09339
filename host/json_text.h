#ifndef AVVIK_JSON_TEXT_H
#define AVVIK_JSON_TEXT_H

#include <jansson.h>

/* A string that jansson accepts: in what is not UTF-8 (names and paths may be anything) every byte above 127 becomes
 * '?'. NULL without memory. */
json_t *avvik__json_text(const char *text);

#endif

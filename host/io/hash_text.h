#ifndef AVVIK_HASH_TEXT_H
#define AVVIK_HASH_TEXT_H

#include <xxhash.h>

/* "xxh3-128:" and 32 hex digits (canonical byte order) into `text`, AVVIK_HASH_SIZE bytes. */
void avvik__hash_text(XXH128_hash_t hash, char *text);

#endif

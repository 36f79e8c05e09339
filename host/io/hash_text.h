/* XXH3 with the widest instructions that this CPU has, and the text of a hash. */
#ifndef AVVIK_HASH_TEXT_H
#define AVVIK_HASH_TEXT_H

#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h> /* after xxhash.h, whose names it takes */
#endif

/* "xxh3-128:" and 32 hex digits (canonical byte order) into `text`, AVVIK_HASH_SIZE bytes. */
void avvik__hash_text(XXH128_hash_t hash, char *text);

#endif

/* XXH3 with the widest instructions that this CPU has, and the text of a hash. */
#ifndef AVVIK_HASH_TEXT_H
#define AVVIK_HASH_TEXT_H

#include <stddef.h>
#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h> /* after xxhash.h, whose names it takes */

/* libxxhash returns from its AVX-512 code with the upper halves of the vector registers in use (Debian's has no
 * vzeroupper there). Until they are cleared, SSE code that calls for an fma is many times slower: the scalar backend
 * scored at a tenth of its speed. So these names are taken once more. */
static inline void avvik__upper_halves_clear(void)
{
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroupper");
}

static inline XXH_errorcode avvik__hash_update(XXH3_state_t *state, const void *data, size_t n)
{
    const XXH_errorcode code = XXH3_128bits_update(state, data, n);
    avvik__upper_halves_clear();
    return code;
}

static inline XXH128_hash_t avvik__hash_of(const void *data, size_t n)
{
    const XXH128_hash_t hash = XXH3_128bits(data, n);
    avvik__upper_halves_clear();
    return hash;
}

#undef XXH3_128bits_update
#undef XXH3_128bits
#define XXH3_128bits_update avvik__hash_update
#define XXH3_128bits avvik__hash_of
#endif

/* "xxh3-128:" and 32 hex digits (canonical byte order) into `text`, AVVIK_HASH_SIZE bytes. */
void avvik__hash_text(XXH128_hash_t hash, char *text);

#endif

/* Memory that tells when a kernel reads or writes outside it: inputs against pages that may not be touched, outputs
 * between canaries. */
#ifndef AVVIK_TESTS_GUARD_MEMORY_H
#define AVVIK_TESTS_GUARD_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum guard_side { GUARD_BEHIND, GUARD_BEFORE };

/* `data` ends where a forbidden page begins (GUARD_BEHIND; it is then aligned as `bytes` is) or begins where one ends
 * (GUARD_BEFORE). */
struct guarded {
    void *data;
    void *map;
    size_t map_bytes;
};

static inline struct guarded guarded_alloc(size_t bytes, enum guard_side side)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t inner = (bytes + page - 1) / page * page;
    struct guarded g = {.map_bytes = inner + 2 * page};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map, page, PROT_NONE) != 0 ||
        mprotect((char *)g.map + page + inner, page, PROT_NONE) != 0)
        abort();
    g.data = (char *)g.map + page + (side == GUARD_BEHIND ? inner - bytes : 0);
    return g;
}

static inline void guarded_free(struct guarded *g)
{
    munmap(g->map, g->map_bytes);
}

#define CANARY_BYTES 256
#define CANARY 0xa5

/* `data` is 64-byte aligned, full of canaries like the bytes on both sides of it. */
struct canaried {
    unsigned char *data;
    unsigned char *memory;
    size_t bytes;
};

static inline struct canaried canaried_alloc(size_t bytes)
{
    const size_t total = (2 * CANARY_BYTES + bytes + 63) / 64 * 64;
    struct canaried c = {.memory = aligned_alloc(64, total), .bytes = bytes};
    if (c.memory == NULL)
        abort();
    memset(c.memory, CANARY, total);
    c.data = c.memory + CANARY_BYTES;
    return c;
}

/* Offset from `data` of the first canary that is not what it was; 0 if all are (offset 0 never is a canary). */
static inline long canaried_damage(const struct canaried *c)
{
    for (long i = 1; i <= CANARY_BYTES; i++) {
        if (c->data[-i] != CANARY)
            return -i;
        if (c->data[(long)c->bytes + i - 1] != CANARY)
            return (long)c->bytes + i - 1;
    }
    return 0;
}

static inline void canaried_free(struct canaried *c)
{
    free(c->memory);
}

#endif

/* Whom rows are compared with: groups within groups, by one key column after the other. */
#ifndef AVVIK_GROUPS_H
#define AVVIK_GROUPS_H

#include <stddef.h>
#include <stdint.h>

#define AVVIK_MAX_KEYS 8
#define AVVIK_MAX_GROUPS ((uint32_t)1 << 21) /* of all levels together */
#define AVVIK_NO_GROUP UINT32_MAX

/* A tree. Group 0 is everyone; the others are within their parent, which has a smaller number, and have a code in the
 * key of their level. Arrays of n elements each, parents first. */
struct avvik__groups {
    uint32_t n, max; /* how many there are; how many there may be */
    uint32_t *parent;
    int32_t *code;
    uint8_t *level;           /* 0 for everyone, 1 for groups by the first key, ... */
    uint64_t *rows;           /* while they are counted: whose innermost group it is; afterwards all in it */
    uint32_t *slots, n_slots; /* a hash table: group numbers, or AVVIK_NO_GROUP */
    uint32_t capacity;
};

/* Everyone, and room for at most `max` groups in the end. 0 without memory. Release with avvik__groups_destroy(). */
int avvik__groups_init(struct avvik__groups *groups, uint32_t max);
void avvik__groups_destroy(struct avvik__groups *groups);

/* The group of `code` within `parent`; AVVIK_NO_GROUP if there is none. */
uint32_t avvik__groups_find(const struct avvik__groups *groups, uint32_t parent, int32_t code);
/* The same, made if need be. AVVIK_NO_GROUP without memory, or where there are `max` already. */
uint32_t avvik__groups_add(struct avvik__groups *groups, uint32_t parent, int32_t code);

/* Add all groups of `from` and their rows. 0 if that cannot be. */
int avvik__groups_merge(struct avvik__groups *groups, const struct avvik__groups *from);

/* Once all rows are counted: rows become those of all groups within, groups of fewer than min_rows go (never everyone),
 * and the others are put in order, each followed by those within it, by code. 0 without memory. */
int avvik__groups_finish(struct avvik__groups *groups, uint64_t min_rows);

/* The first group behind g that is not within it: g and those within it are [g, end). For groups in order. */
uint32_t avvik__groups_end(const struct avvik__groups *groups, uint32_t g);

/* Are `parent` and `code` those of groups in order, of at most n_levels levels? Then levels and the table are made.
 * parent, code, level, rows and n are set. -1 without memory. */
int avvik__groups_check(struct avvik__groups *groups, uint32_t n_levels);

/* The innermost group of a row with these codes (NaN: missing), which are whole numbers. */
static inline uint32_t avvik__groups_of_row(const struct avvik__groups *groups, const float *keys, size_t stride,
                                            size_t n_keys)
{
    uint32_t group = 0;
    for (size_t k = 0; k < n_keys && keys[k * stride] == keys[k * stride]; k++) {
        const uint32_t next = avvik__groups_find(groups, group, (int32_t)keys[k * stride]);
        if (next == AVVIK_NO_GROUP)
            break;
        group = next;
    }
    return group;
}

#endif

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
    uint8_t *level; /* 0 for everyone, 1 for groups by the first key, ... */
    uint64_t *rows; /* while they are counted: whose innermost group it is; afterwards all in it */
    struct avvik__group_slot {
        uint32_t parent;
        int32_t code;
        uint32_t group; /* AVVIK_NO_GROUP: the slot is free */
    } * slots;          /* a hash table of n_slots, a power of 2 */
    uint32_t n_slots;
    uint32_t capacity;
};

/* Everyone, and room for at most `max` groups in the end. 0 without memory. Release with avvik__groups_destroy(). */
int avvik__groups_init(struct avvik__groups *groups, uint32_t max);
void avvik__groups_destroy(struct avvik__groups *groups);

static inline uint32_t avvik__groups_hash(uint32_t parent, int32_t code)
{
    const uint64_t h = (parent * 0x9e3779b1u + (uint64_t)(uint32_t)code) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

/* Its slot is going to be asked for. */
static inline void avvik__groups_prefetch(const struct avvik__groups *groups, uint32_t parent, int32_t code)
{
    __builtin_prefetch(&groups->slots[avvik__groups_hash(parent, code) & (groups->n_slots - 1)]);
}

/* The slot that has this group, or where it would go: Fibonacci hashing (Knuth, vol. 3, 6.4), then one after the other.
 */
static inline struct avvik__group_slot *avvik__groups_slot(const struct avvik__groups *groups, uint32_t parent,
                                                           int32_t code)
{
    uint32_t at = avvik__groups_hash(parent, code) & (groups->n_slots - 1);
    struct avvik__group_slot *slot = &groups->slots[at];
    while (slot->group != AVVIK_NO_GROUP && (slot->parent != parent || slot->code != code))
        slot = &groups->slots[at = (at + 1) & (groups->n_slots - 1)];
    return slot;
}

/* The group of `code` within `parent`; AVVIK_NO_GROUP if there is none. */
static inline uint32_t avvik__groups_find(const struct avvik__groups *groups, uint32_t parent, int32_t code)
{
    return avvik__groups_slot(groups, parent, code)->group;
}

/* The same, made if need be. AVVIK_NO_GROUP without memory, or where there are `max` already. */
uint32_t avvik__groups_add(struct avvik__groups *groups, uint32_t parent, int32_t code);

/* Add all groups of `from` and their rows; numbers_out[from->n] are the numbers they have now. 0 if that cannot be. */
int avvik__groups_merge(struct avvik__groups *groups, const struct avvik__groups *from, uint32_t *numbers_out);

/* Once all rows are counted: rows become those of all groups within, groups of fewer than min_rows go (never everyone),
 * and the others are put in order, each followed by those within it, by code. numbers_out, of as many as there were
 * groups: the number that each has now, or the innermost group around it that is left. 0 without memory. */
int avvik__groups_finish(struct avvik__groups *groups, uint64_t min_rows, uint32_t *numbers_out);

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

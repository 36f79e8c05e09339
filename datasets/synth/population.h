/* Who lives in the country: households and their members, made a block of persons at a time. */
#ifndef AVVIK_SYNTH_POPULATION_H
#define AVVIK_SYNTH_POPULATION_H

#include "world.h"

enum avvik__household_kind {
    AVVIK_SINGLE,
    AVVIK_COUPLE,
    AVVIK_COUPLE_CHILDREN,
    AVVIK_PARENT_CHILDREN,
    AVVIK_GROWN_CHILDREN,
    AVVIK_SHARED
};

/* A person, by place in the block. */
struct avvik__member {
    int32_t birth_day;
    uint32_t rank; /* among those of the same birth year and sex: gives birth date and identity number */
    uint16_t birth_year;
    uint16_t first; /* place in the block of the household's first member */
    uint16_t municipality;
    uint8_t size;              /* of the household */
    uint8_t kind;              /* enum avvik__household_kind */
    uint8_t is_male, is_child; /* is_child: lives with its parents; may be grown up */
};

struct avvik__block {
    uint32_t first, n; /* persons [first, first + n) of the country */
    uint32_t n_households;
    struct avvik__member members[AVVIK_PERSON_BLOCK];
};

/* Age in whole years on `day`; negative before birth. */
int avvik__age_on(int32_t birth_day, int32_t day);

/* Make block number `number`. world->ranks must be there. */
void avvik__block_make(const struct avvik__world *world, uint32_t number, struct avvik__block *block);

/* Count how many persons of each birth year and sex stand before each block, which is what world->ranks holds.
 * AVVIK_ERR_MEMORY, AVVIK_ERR_USAGE (more persons of one birth year than there are identity numbers: the text says so),
 * AVVIK_INTERRUPTED. */
enum avvik_status avvik__population_count(struct avvik__world *world, struct avvik_error *error);

#endif

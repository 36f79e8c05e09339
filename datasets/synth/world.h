/* Everything about a country that is known before its first person is made. Read-only once made: shared by all threads.
 */
#ifndef AVVIK_SYNTH_WORLD_H
#define AVVIK_SYNTH_WORLD_H

#include <stdint.h>

#include "avvik/synth.h"
#include "calendar.h"
#include "identity.h"
#include "places.h"

#define AVVIK_PERSON_BLOCK 4096u   /* persons that are made together */
#define AVVIK_BUSINESS_BLOCK 1024u /* businesses */
#define AVVIK_MAX_AGE 104
#define AVVIK_YEARS_BEFORE 1 /* lives begin so many years before the first month */
#define AVVIK_MONTHS_BEFORE 16
#define AVVIK_BIRTH_YEARS (AVVIK_MAX_AGE + 8)

/* Groups that share an employer or an account: fictitious employers, start-ups, misused and guardians' accounts. */
enum avvik__ring_kind {
    AVVIK_RING_EMPLOYER,
    AVVIK_RING_STARTUP,
    AVVIK_RING_ACCOUNT,
    AVVIK_RING_GUARDIAN,
    AVVIK_N_RINGS
};

struct avvik__world {
    struct avvik_synth_options options;
    uint64_t seed;
    unsigned char key[AVVIK_KEY_BYTES];
    struct avvik__numbers *numbers;
    uint32_t n_persons, n_blocks;
    uint32_t n_staffed;    /* businesses [0, n_staffed) have employees, the first ones most */
    uint32_t n_businesses; /* then those without, then the employers of rings */
    uint32_t n_listed;     /* all of them */
    uint32_t n_rings[AVVIK_N_RINGS];
    int n_months, n_years; /* n_years: calendar years that a life needs draws for, AVVIK_YEARS_BEFORE included */
    int32_t first, last;   /* days of the period */
    int base_year;         /* of the first month */
    struct avvik__month
        months[AVVIK_MONTHS_BEFORE + AVVIK_SYNTH_MAX_MONTHS + 1]; /* [AVVIK_MONTHS_BEFORE] is the first */
    double typology_rate[AVVIK_N_TYPOLOGIES];                     /* among persons of working age, or businesses */
    double look_alike_rate[AVVIK_N_TYPOLOGIES];
    uint8_t *industries; /* [business]: looked up for every job */
    uint32_t *ranks;     /* [block][birth year][sex]: persons before the block, see population.h */
};

/* The m-th month of the period; from -AVVIK_MONTHS_BEFORE to n_months. */
static inline const struct avvik__month *avvik__month_of(const struct avvik__world *world, int m)
{
    return &world->months[AVVIK_MONTHS_BEFORE + m];
}

/* Check the options and make all but the ranks. On failure nothing is to be destroyed.
 * AVVIK_ERR_USAGE, and what avvik__key_load() returns. */
enum avvik_status avvik__world_init(struct avvik__world *world, const struct avvik_synth_options *options,
                                    struct avvik_error *error);
void avvik__world_destroy(struct avvik__world *world);

#endif

#include "population.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "block_pipeline.h"
#include "draw.h"

#define SEXES 2
#define COUNTERS (AVVIK_BIRTH_YEARS * SEXES)

/* Kinds of households: their share, and the ages of the adult that the others follow from. */
static const struct {
    double share;
    enum avvik__household_kind kind;
    int from, to; /* years of age */
} kinds[] = {
    {0.085, AVVIK_SINGLE, 18, 29},        {0.110, AVVIK_SINGLE, 30, 54},         {0.061, AVVIK_SINGLE, 55, 64},
    {0.143, AVVIK_SINGLE, 65, 98},        {0.040, AVVIK_COUPLE, 23, 36},         {0.030, AVVIK_COUPLE, 37, 51},
    {0.059, AVVIK_COUPLE, 52, 62},        {0.138, AVVIK_COUPLE, 63, 91},         {0.190, AVVIK_COUPLE_CHILDREN, 0, 0},
    {0.055, AVVIK_PARENT_CHILDREN, 0, 0}, {0.055, AVVIK_GROWN_CHILDREN, 45, 64}, {0.036, AVVIK_SHARED, 19, 42},
};
#define N_KINDS (sizeof kinds / sizeof kinds[0])

/* Ages of youngest children are uniform to this power: older ones are more, because births have fallen. */
#define YOUNGEST_CHILD 1.16

#define OLD_FROM 63 /* kinds of households from this age on thin out with it */

/* A household on its way into a block. */
struct household {
    struct avvik__block *block;
    const struct avvik__world *world;
    uint32_t first, n, number;
    enum avvik__household_kind kind;
    unsigned municipality;
};

int avvik__age_on(int32_t birth_day, int32_t day)
{
    int y1, m1, d1, y2, m2, d2;
    avvik__date_of(birth_day, &y1, &m1, &d1);
    avvik__date_of(day, &y2, &m2, &d2);
    return y2 - y1 - (m2 < m1 || (m2 == m1 && d2 < d1));
}

/* age: in whole years at the end of the year before the first month; negative: born later. */
static void member_add(struct household *household, int age, int is_male, int is_child)
{
    struct avvik__block *block = household->block;
    const uint32_t at = household->first + household->n;
    if (at >= block->n)
        return; /* the block ends within this household */
    household->n++;
    age = age > AVVIK_MAX_AGE ? AVVIK_MAX_AGE : age;
    block->members[at] = (struct avvik__member){.birth_year = (uint16_t)(household->world->base_year - 1 - age),
                                                .first = (uint16_t)household->first,
                                                .municipality = (uint16_t)household->municipality,
                                                .kind = (uint8_t)household->kind,
                                                .is_male = (uint8_t)is_male,
                                                .is_child = (uint8_t)is_child};
}

/* Old ages thin out: ever fewer, and none at the upper end. */
static int age_between(int from, int to, double u)
{
    if (from >= OLD_FROM)
        u = 1 - sqrt(1 - u);
    return from + (int)(u * (to - from + 1));
}

static void partner_add(struct household *household, int age, int is_male, uint32_t word)
{
    const int gap = (int)(2.5 + 3 * avvik__normal(word)), other = is_male ? age - gap : age + gap;
    member_add(household, other < 18 ? 18 : other, !is_male, 0);
}

/* The youngest child first; others are two to five years older. The parent's age follows from the youngest. */
static void family_add(struct household *household, const struct avvik__words *words, int has_partner)
{
    const struct avvik__world *world = household->world;
    const struct avvik__words more =
        avvik__draw(world->seed, household->block->first, (int)household->number, AVVIK_DRAW_MEMBER, 0);
    const int future = world->n_years - AVVIK_YEARS_BEFORE; /* births to come */
    const double u = avvik__unit(words->v[1]);
    int age = (int)((18 + future) * avvik__power(u, YOUNGEST_CHILD)) - future;
    int at_birth = (int)(32.5 + 5 * avvik__normal(words->v[2]));
    at_birth = at_birth < 18 ? 18 : at_birth > 46 ? 46 : at_birth;
    const int is_male = !has_partner && avvik__unit(more.v[3]) < 0.25;
    const int parent = age + at_birth < 18 ? 18 : age + at_birth;
    const double siblings = avvik__unit(more.v[0]);
    const int n = siblings < 0.36 ? 1 : siblings < 0.80 ? 2 : siblings < 0.96 ? 3 : 4;
    uint32_t word = more.v[1];
    member_add(household, parent, is_male, 0);
    if (has_partner)
        partner_add(household, parent, is_male, words->v[3]);
    for (int i = 0; i < n; i++, word = avvik__remix(word)) {
        member_add(household, age, word & 1, 1);
        age += 2 + (int)(word >> 8) % 3;
        if (age > 18 || age > parent - 17)
            break;
    }
}

static void household_make(struct household *household)
{
    const struct avvik__world *world = household->world;
    const struct avvik__words words =
        avvik__draw(world->seed, household->block->first, (int)household->number, AVVIK_DRAW_HOUSEHOLD, 0);
    const struct avvik__words place =
        avvik__draw(world->seed, household->block->first, (int)household->number, AVVIK_DRAW_HOUSEHOLD, 1);
    double left = avvik__unit(words.v[0]);
    size_t k = 0;
    while (k + 1 < N_KINDS && (left -= kinds[k].share) >= 0)
        k++;
    household->kind = kinds[k].kind;
    household->municipality = avvik__municipality_draw(avvik__unit(place.v[0]));
    const int age = age_between(kinds[k].from, kinds[k].to, avvik__unit(words.v[1]));
    /* women live longer: three in five old singles */
    const int is_male = avvik__unit(words.v[2]) < (kinds[k].from >= OLD_FROM       ? 0.36
                                                   : kinds[k].kind == AVVIK_SINGLE ? 0.57
                                                                                   : 0.5);
    switch (household->kind) {
    case AVVIK_SINGLE: member_add(household, age, is_male, 0); break;
    case AVVIK_COUPLE:
        member_add(household, age, is_male, 0);
        partner_add(household, age, is_male, words.v[3]);
        break;
    case AVVIK_COUPLE_CHILDREN:
    case AVVIK_PARENT_CHILDREN: family_add(household, &words, household->kind == AVVIK_COUPLE_CHILDREN); break;
    case AVVIK_GROWN_CHILDREN:
        member_add(household, age, 0, 0);
        if (place.v[1] % 4 != 0)
            partner_add(household, age, 0, words.v[3]);
        member_add(household, 18 + (int)((place.v[1] >> 8) % (uint32_t)(age - 33)) % 11, (int)(place.v[1] & 1), 1);
        break;
    case AVVIK_SHARED:
        for (uint32_t i = 0, word = place.v[2]; i < 2 + place.v[1] % 3; i++, word = avvik__remix(word))
            member_add(household, age_between(kinds[k].from, kinds[k].to, 1 - sqrt(avvik__unit(word))), (int)(word & 1),
                       0); /* most are young */
        break;
    }
}

static void households_make(const struct avvik__world *world, uint32_t number, struct avvik__block *block)
{
    const uint64_t first = (uint64_t)number * AVVIK_PERSON_BLOCK;
    struct household household = {.block = block, .world = world};
    block->first = (uint32_t)first;
    block->n =
        world->n_persons - first < AVVIK_PERSON_BLOCK ? (uint32_t)(world->n_persons - first) : AVVIK_PERSON_BLOCK;
    while (household.first < block->n) {
        household.n = 0;
        household_make(&household);
        for (uint32_t i = 0; i < household.n; i++)
            block->members[household.first + i].size = (uint8_t)household.n;
        household.first += household.n;
        household.number++;
    }
    block->n_households = household.number;
}

static size_t counter_of(const struct avvik__world *world, const struct avvik__member *member)
{
    const int first_year = world->base_year - 1 - AVVIK_MAX_AGE;
    return (size_t)(member->birth_year - first_year) * SEXES + member->is_male;
}

void avvik__block_make(const struct avvik__world *world, uint32_t number, struct avvik__block *block)
{
    uint32_t ranks[COUNTERS];
    memcpy(ranks, world->ranks + (size_t)number * COUNTERS, sizeof ranks);
    households_make(world, number, block);
    for (uint32_t i = 0; i < block->n; i++) {
        struct avvik__member *member = &block->members[i];
        member->rank = ranks[counter_of(world, member)]++;
        member->birth_day = avvik__birth_day(member->birth_year, member->rank);
    }
}

/* The pass that counts. A worker has a block of its own. */
struct count {
    struct avvik__world *world;
    struct avvik__block *blocks;
    uint32_t totals[COUNTERS];
};

static enum avvik_status count_plan(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    (void)context;
    (void)slot;
    (void)block;
    (void)error;
    return AVVIK_OK;
}

static enum avvik_status count_work(void *context, unsigned worker, unsigned slot, uint64_t number,
                                    struct avvik_error *error)
{
    const struct count *count = context;
    struct avvik__block *block = &count->blocks[worker];
    uint32_t *counters = count->world->ranks + number * COUNTERS;
    (void)slot;
    (void)error;
    households_make(count->world, (uint32_t)number, block);
    for (uint32_t i = 0; i < block->n; i++)
        counters[counter_of(count->world, &block->members[i])]++;
    return AVVIK_OK;
}

/* From the numbers in a block to those before it. */
static enum avvik_status count_add(void *context, unsigned slot, uint64_t number, struct avvik_error *error)
{
    struct count *count = context;
    uint32_t *counters = count->world->ranks + number * COUNTERS;
    (void)slot;
    (void)error;
    for (size_t c = 0; c < COUNTERS; c++) {
        const uint32_t here = counters[c];
        counters[c] = count->totals[c];
        count->totals[c] += here;
    }
    return AVVIK_OK;
}

enum avvik_status avvik__population_count(struct avvik__world *world, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct count count = {.world = world};
    const unsigned n_workers = avvik__worker_count(world->options.threads);
    struct avvik__pipeline pipeline = {.n_blocks = world->n_blocks,
                                       .n_workers = n_workers,
                                       .n_slots = 2 * n_workers + 2,
                                       .context = &count,
                                       .plan = count_plan,
                                       .work = count_work,
                                       .write = count_add,
                                       .stop = world->options.stop};
    world->ranks = calloc((size_t)world->n_blocks * COUNTERS, sizeof *world->ranks);
    count.blocks = malloc(n_workers * sizeof *count.blocks);
    if (world->ranks == NULL || count.blocks == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__pipeline_run(&pipeline, error));
    for (int c = 0; c < COUNTERS; c++) /* the last of each birth date */
        for (uint32_t back = 1; back <= 366 && back <= count.totals[c]; back++)
            if (avvik__national_id(world->numbers, world->base_year - 1 - AVVIK_MAX_AGE + c / SEXES, c % SEXES,
                                   count.totals[c] - back) == 0)
                AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "%u persons are too many: identity numbers run out for those born in %d",
                           world->n_persons, world->base_year - 1 - AVVIK_MAX_AGE + c / SEXES);
done:
    free(count.blocks);
    return status;
}

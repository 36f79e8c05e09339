#include "world.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "draw.h"

#define PERSONS_A_STAFFED_BUSINESS 16
#define PERSONS_A_BUSINESS 10
#define RING_SIZE 5.0 /* members on average */

/* The share of persons who are 20 to 61 years old, whom typologies are laid over: measured
 * (tests/python/test_synth_typologies.py holds the rates to it). */
#define WORKING_AGE_SHARE 0.57

static const struct {
    const char *name, *text;
    int is_business;
} typologies[] = {
    {"none", "", 0},
#define TYPOLOGY(symbol, name, is_business, text) {name, text, is_business},
#include "places.def"
#undef TYPOLOGY
};
_Static_assert(AVVIK_N_TYPOLOGIES == AVVIK_SYNTH_TYPOLOGIES + 1, "the public header counts them");

const char *avvik_synth_typology_name(int typology)
{
    return typology < 0 || typology > AVVIK_SYNTH_TYPOLOGIES ? NULL : typologies[typology].name;
}

const char *avvik_synth_typology_text(int typology, int *is_business_out)
{
    if (typology < 1 || typology > AVVIK_SYNTH_TYPOLOGIES)
        return NULL;
    *is_business_out = typologies[typology].is_business;
    return typologies[typology].text;
}

void avvik_synth_options_init(struct avvik_synth_options *options)
{
    *options = (struct avvik_synth_options){.n_persons = 100000,
                                            .year = 2025,
                                            .month = 1,
                                            .n_months = 12,
                                            .seed = 1,
                                            .fraud_rate = 0.005,
                                            .look_alikes = 2,
                                            .level = 1};
    for (int t = 0; t <= AVVIK_SYNTH_TYPOLOGIES; t++)
        options->typologies[t] = -1;
}

static enum avvik_status options_check(const struct avvik_synth_options *options, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const int first = options->year * 12 + options->month - 1, last = first + options->n_months - 1;
    if (options->n_persons < AVVIK_SYNTH_MIN_PERSONS || options->n_persons > AVVIK_SYNTH_MAX_PERSONS)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "a country has from %d to %d persons, not %llu", AVVIK_SYNTH_MIN_PERSONS,
                   AVVIK_SYNTH_MAX_PERSONS, (unsigned long long)options->n_persons);
    if (options->n_months < 1 || options->n_months > AVVIK_SYNTH_MAX_MONTHS)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "a country lasts from 1 to %d months, not %d", AVVIK_SYNTH_MAX_MONTHS,
                   options->n_months);
    if (options->month < 1 || options->month > 12 || first < 2023 * 12 || last >= 2027 * 12)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0,
                   "the rules are known from 2023-01 to 2026-12, and %d months from %04d-%02d on are not all in there",
                   options->n_months, options->year, options->month);
    if (!(options->fraud_rate >= 0 && options->fraud_rate <= 0.2))
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "the share of persons in typologies is from 0 to 0.2, not %g",
                   options->fraud_rate);
    if (!(options->look_alikes >= 0 && options->look_alikes <= 10))
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "look-alikes are from 0 to 10 for each case, not %g", options->look_alikes);
    for (int t = 1; t <= AVVIK_SYNTH_TYPOLOGIES; t++)
        if (!(options->typologies[t] <= 0.2))
            AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "the share of %s is from 0 to 0.2, not %g", typologies[t].name,
                       options->typologies[t]);
    if (options->level < 0 || options->level > 9)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "the level of compression is from 0 to 9, not %d", options->level);
done:
    return status;
}

/* Shares of typologies among those whom they can be laid over. */
static enum avvik_status rates_set(struct avvik__world *world, struct avvik_error *error)
{
    const struct avvik_synth_options *options = &world->options;
    int n[2] = {0, 0};
    double sum[2] = {0, 0};
    for (int t = 1; t < AVVIK_N_TYPOLOGIES; t++)
        n[typologies[t].is_business]++;
    for (int t = 1; t < AVVIK_N_TYPOLOGIES; t++) {
        const int is_business = typologies[t].is_business;
        const double asked = options->typologies[t] < 0 ? options->fraud_rate / n[is_business] : options->typologies[t];
        world->typology_rate[t] = asked / (is_business ? 1 : WORKING_AGE_SHARE);
        world->look_alike_rate[t] = world->typology_rate[t] * options->look_alikes;
        sum[is_business] += world->typology_rate[t] + world->look_alike_rate[t];
    }
    if (sum[0] > 1 || sum[1] > 1)
        return avvik__error_set(
            error, AVVIK_ERR_USAGE, 0,
            "typologies and look-alikes take %.0f %% of the persons of working age or of the businesses; "
            "there are only so many: lower the rates",
            100 * (sum[0] > sum[1] ? sum[0] : sum[1]));
    return AVVIK_OK;
}

static uint32_t rings_of(const struct avvik__world *world, double rate)
{
    const double n = world->n_persons * WORKING_AGE_SHARE * rate / RING_SIZE;
    return n < 1 ? 1 : (uint32_t)n;
}

enum avvik_status avvik__world_init(struct avvik__world *world, const struct avvik_synth_options *options,
                                    struct avvik_error *error)
{
    enum avvik_status status = options_check(options, error);
    memset(world, 0, sizeof *world);
    if (status != AVVIK_OK)
        return status;
    world->options = *options;
    world->seed = options->seed;
    if (sodium_init() < 0)
        return avvik__error_set(error, AVVIK_ERR_INTERNAL, 0, "libsodium cannot be used here");
    if (options->key == NULL)
        avvik__key_from_seed(options->seed, world->key);
    else if ((status = avvik__key_load(options->key, world->key, error)) != AVVIK_OK)
        return status;
    if ((status = rates_set(world, error)) != AVVIK_OK)
        return status;
    world->n_persons = (uint32_t)options->n_persons;
    world->n_blocks = (world->n_persons + AVVIK_PERSON_BLOCK - 1) / AVVIK_PERSON_BLOCK;
    world->n_staffed = world->n_persons / PERSONS_A_STAFFED_BUSINESS;
    world->n_businesses = world->n_persons / PERSONS_A_BUSINESS;
    world->n_rings[AVVIK_RING_EMPLOYER] = rings_of(world, world->typology_rate[AVVIK_FICTITIOUS_EMPLOYER]);
    world->n_rings[AVVIK_RING_STARTUP] = rings_of(world, world->look_alike_rate[AVVIK_FICTITIOUS_EMPLOYER]);
    world->n_rings[AVVIK_RING_ACCOUNT] = rings_of(world, world->typology_rate[AVVIK_IDENTITY_MISUSE]);
    world->n_rings[AVVIK_RING_GUARDIAN] = rings_of(world, world->look_alike_rate[AVVIK_IDENTITY_MISUSE]);
    world->n_listed = world->n_businesses + world->n_rings[AVVIK_RING_EMPLOYER] + world->n_rings[AVVIK_RING_STARTUP];
    world->n_months = options->n_months;
    for (int m = -AVVIK_MONTHS_BEFORE; m <= options->n_months; m++)
        avvik__month_make(options->year, options->month, m, &world->months[AVVIK_MONTHS_BEFORE + m]);
    world->first = avvik__month_of(world, 0)->first;
    world->last = avvik__month_of(world, options->n_months - 1)->last;
    world->base_year = options->year;
    world->n_years = AVVIK_YEARS_BEFORE + (options->month - 1 + options->n_months + 11) / 12;
    world->numbers = avvik__numbers_create();
    world->industries = malloc(world->n_listed);
    if (world->numbers == NULL || world->industries == NULL) {
        avvik__world_destroy(world);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    for (uint32_t i = 0; i < world->n_listed; i++)
        world->industries[i] =
            (uint8_t)avvik__industry_draw(avvik__unit(avvik__draw(world->seed, i, 0, AVVIK_DRAW_BUSINESS, 0).v[0]));
    return AVVIK_OK;
}

void avvik__world_destroy(struct avvik__world *world)
{
    avvik__numbers_free(world->numbers);
    free(world->ranks);
    free(world->industries);
    sodium_memzero(world->key, sizeof world->key);
    memset(world, 0, sizeof *world);
}

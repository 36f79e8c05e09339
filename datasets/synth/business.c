#include "business.h"

#include <math.h>

#include "draw.h"
#include "life.h"

/* Employees that a staffed business has on average: density of n u^2 (avvik__employer_draw) times the employed. */
static double staff_of(const struct avvik__world *world, uint32_t number)
{
    const double n = world->n_staffed, employed = 0.5 * world->n_persons;
    /* sqrt((k + 1) / n) - sqrt(k / n) */
    const double upper = sqrt((number + 1.0) / n), lower = sqrt(number / n);
    return employed * (upper - lower);
}

static void typology_draw(const struct avvik__world *world, struct avvik__business *business)
{
    const struct avvik__words words = avvik__draw(world->seed, business->number, 0, AVVIK_DRAW_BUSINESS, 2);
    /* only some can be in the one about businesses without staff, and those the more often */
    const double share = 1 - (double)world->n_staffed / world->n_businesses;
    double left = avvik__unit(words.v[0]);
    for (int t = 1; t < AVVIK_N_TYPOLOGIES && business->typology + business->look_alike == 0; t++) {
        double factor = avvik__typology_is_business[t];
        if (t == AVVIK_FICTITIOUS_INVOICING)
            factor = business->is_staffed ? 0 : 1 / share;
        if ((left -= factor * world->typology_rate[t]) < 0)
            business->typology = (uint8_t)t;
        else if ((left -= factor * world->look_alike_rate[t]) < 0)
            business->look_alike = (uint8_t)t;
    }
    const int n = world->n_months > 2 ? world->n_months - 2 : 1;
    business->begins = (int)avvik__below(words.v[1], (uint32_t)(n + 6)) - 6;
    business->ends = business->begins + 8 + (int)avvik__below(words.v[2], 3);
}

static int is_case(const struct avvik__business *business, enum avvik__typology t)
{
    return business->typology == t;
}

static int is_like(const struct avvik__business *business, enum avvik__typology t)
{
    return business->look_alike == t;
}

/* What the typologies of businesses are made of; rows_vat.c has what happens term by term. */
static void typology_apply(const struct avvik__world *world, struct avvik__business *business)
{
    static const uint16_t subcontractors[] = {4, 7, 15}; /* construction, transport, cleaning (places.def) */
    const struct avvik__words words = avvik__draw(world->seed, business->number, 0, AVVIK_DRAW_BUSINESS, 3);
    const double u = avvik__unit(words.v[0]);
    if (business->typology + business->look_alike == 0)
        return;
    business->is_registered = 1;
    if (is_case(business, AVVIK_VAT_CAROUSEL)) { /* new; the look-alike has been there for years */
        business->founded = avvik__month_of(world, business->begins)->first - (int32_t)avvik__below(words.v[1], 40);
        business->input = 0.66 + 0.16 * u;
        business->turnover = 2.0e6 * avvik__exp(0.9 * avvik__normal(words.v[2]));
        business->exports = 0;
    } else if (is_like(business, AVVIK_VAT_CAROUSEL)) {
        business->input = 0.78 + 0.16 * u;
        business->exports = 0.45 + 0.45 * avvik__unit(words.v[1]);
        business->peak_term = 1 + (int)(words.v[2] % 6);
    } else if (is_case(business, AVVIK_FICTITIOUS_INVOICING)) { /* no staff in a trade that needs hands */
        business->industry = subcontractors[avvik__below(words.v[1], 3)];
        business->input = 0.70 + 0.18 * u;
        business->exports = business->food = 0;
    } else if (is_like(business, AVVIK_FICTITIOUS_INVOICING)) { /* no staff, and no need of any */
        business->industry = 11;                                /* holding and finance */
        business->input = 0.70 + 0.18 * u;
        business->exports = business->food = 0;
    }
}

/* Employers of rings: a handful of people, and what they turn over. */
static void ring_make(const struct avvik__world *world, struct avvik__business *business)
{
    const uint32_t ring = business->number - world->n_businesses;
    const int is_startup = ring >= world->n_rings[AVVIK_RING_EMPLOYER];
    const enum avvik__ring_kind kind = is_startup ? AVVIK_RING_STARTUP : AVVIK_RING_EMPLOYER;
    const struct avvik__words words = avvik__draw(world->seed, business->number, 0, AVVIK_DRAW_BUSINESS, 3);
    const int month = avvik__ring_month(world, kind, ring - (is_startup ? world->n_rings[AVVIK_RING_EMPLOYER] : 0));
    business->is_staffed = 1;
    business->founded = avvik__month_of(world, month)->first - (int32_t)avvik__below(words.v[0], 60);
    business->is_registered = is_startup || words.v[1] % 4 != 0;
    business->turnover = (is_startup ? 4.0e6 : 1.1e6) * avvik__exp(0.4 * avvik__normal(words.v[2]));
    if (is_startup)
        business->look_alike = AVVIK_FICTITIOUS_EMPLOYER;
    else
        business->typology = AVVIK_FICTITIOUS_EMPLOYER;
}

void avvik__business_make(const struct avvik__world *world, uint32_t number, struct avvik__business *business)
{
    const struct avvik__words words = avvik__draw(world->seed, number, 0, AVVIK_DRAW_BUSINESS, 0);
    const struct avvik__words more = avvik__draw(world->seed, number, 0, AVVIK_DRAW_BUSINESS, 1);
    const struct avvik__industry *industry;
    *business = (struct avvik__business){.number = number, .is_staffed = number < world->n_staffed};
    business->industry = world->industries[number];
    business->municipality = (uint16_t)avvik__municipality_draw(avvik__unit(words.v[1]));
    industry = &avvik__industries[business->industry];
    /* half of the businesses are younger than eight years */
    business->founded =
        world->first - 30 -
        (int32_t)(4200 * avvik__waiting(words.v[2]) > 36500 ? 36500 : 4200 * avvik__waiting(words.v[2]));
    business->turnover = business->is_staffed
                             ? staff_of(world, number) * 1.25e6 * avvik__exp(0.5 * avvik__normal(words.v[3]))
                             : 0.7e6 * avvik__exp(1.0 * avvik__normal(words.v[3]));
    business->is_registered =
        avvik__unit(more.v[0]) < (business->industry >= 16 && business->industry <= 17 ? 0.25 : 0.8) &&
        business->turnover > 50000;
    business->input = industry->input + 0.75 * industry->spread * avvik__normal(more.v[1]);
    business->exports =
        avvik__unit(more.v[2]) < industry->zero_rated ? 0.1 + 0.8 * avvik__unit(avvik__remix(more.v[2])) : 0;
    business->food = avvik__unit(more.v[3]) < industry->food ? 0.3 + 0.7 * avvik__unit(avvik__remix(more.v[3])) : 0;
    business->is_sloppy = more.v[3] % 8 == 0;
    if (number >= world->n_businesses) {
        ring_make(world, business);
        return;
    }
    typology_draw(world, business);
    typology_apply(world, business);
}

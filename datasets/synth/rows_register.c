/* The register: persons, households, businesses, accounts, jobs, events. */
#include "draw.h"
#include "tables.h"

static int is_in_period(const struct avvik__world *world, int32_t from, int32_t to)
{
    return from <= world->last && to >= world->first;
}

/* The benefits that are paid out to a person: bit k for scheme k. */
static uint16_t benefits_of(const struct avvik__unit_of *of)
{
    const struct avvik__world *world = of->world;
    const struct avvik__member *self = of->life->member;
    unsigned bits = 0;
    for (unsigned i = 0; i < of->life->n_spells; i++) {
        const struct avvik__spell *spell = &of->life->spells[i];
        if (is_in_period(world, spell->from, spell->to))
            bits |= 1u << spell->scheme | (spell->has_support ? 1u << AVVIK_SUPPORT : 0);
    }
    for (uint32_t i = self->first; of->index == self->first && i < (uint32_t)self->first + self->size; i++)
        for (int m = 0; m < world->n_months && of->block->members[i].is_child; m++)
            bits |=
                avvik__child_benefits(world, of->block->first + i, &of->block->members[i], avvik__month_of(world, m));
    return (uint16_t)bits;
}

static uint16_t events_of(const struct avvik__unit_of *of)
{
    unsigned bits = 0;
    for (unsigned i = 0; i < of->life->n_events; i++)
        if (is_in_period(of->world, of->life->events[i].day, of->life->events[i].day))
            bits |= 1u << of->life->events[i].kind;
    return (uint16_t)bits;
}

void avvik__person_emit(const struct avvik__unit_of *of, struct avvik__sink *sink)
{
    if (!avvik__sink_wants(sink))
        return;
    const struct avvik__world *world = of->world;
    const struct avvik__life *life = of->life;
    const struct avvik__member *self = life->member;
    const uint64_t number = avvik__national_id(world->numbers, self->birth_year, self->is_male, self->rank);
    struct avvik__person_row row = {.national_id = number,
                                    .person = avvik__identity_hash(world->key, AVVIK_ID_PERSON, number),
                                    .household = avvik__household_hash(world, of->block->first + self->first),
                                    .account = avvik__account_hash(world, avvik__usual_account(of)),
                                    .wage = AVVIK_NO_AMOUNT,
                                    .birth_date = self->birth_day,
                                    .sex = self->is_male,
                                    .municipality = self->municipality,
                                    .occupation = life->n_jobs == 0 ? UINT16_MAX : life->occupation,
                                    .benefits = benefits_of(of),
                                    .events = events_of(of),
                                    .typology = life->typology,
                                    .look_alike = life->look_alike};
    for (unsigned i = life->n_jobs; i-- > 0;)
        if (life->jobs[i].kind == AVVIK_JOB_ORDINARY && life->jobs[i].from <= world->last &&
            life->jobs[i].to >= world->last) {
            row.employer = avvik__business_hash(world, life->jobs[i].employer);
            row.wage = (int64_t)(life->jobs[i].wage * avvik__month_of(world, 0)->wage_index) * 100;
            break;
        }
    avvik__sink_put(sink, &row);
}

void avvik__household_emit(const struct avvik__unit_of *of, struct avvik__sink *sink)
{
    const struct avvik__member *self = of->life->member;
    if (of->index != self->first || !avvik__sink_wants(sink))
        return;
    const struct avvik__household_row row = {.household =
                                                 avvik__household_hash(of->world, of->block->first + self->first),
                                             .size = self->size,
                                             .kind = self->kind,
                                             .municipality = self->municipality};
    avvik__sink_put(sink, &row);
}

void avvik__employer_emit(const struct avvik__unit_of *of, struct avvik__sink *sink)
{
    const struct avvik__business *business = of->business;
    if (!avvik__sink_wants(sink))
        return;
    const struct avvik__employer_row row = {
        .employer = avvik__business_hash(of->world, business->number),
        .account = avvik__account_hash(of->world, AVVIK_ACCOUNT_OF_BUSINESS + business->number),
        .organisation_number = avvik__organisation_number(business->number),
        .founded = business->founded,
        .industry = business->industry,
        .municipality = business->municipality,
        .is_staffed = (uint16_t)business->is_staffed,
        .typology = business->typology,
        .look_alike = business->look_alike};
    avvik__sink_put(sink, &row);
}

static void account_put(const struct avvik__world *world, struct avvik__sink *sink, uint64_t number, uint64_t holder,
                        int32_t opened)
{
    const struct avvik__account_row row = {
        .number = number, .account = avvik__account_hash(world, number), .holder = holder, .opened = opened};
    avvik__sink_put(sink, &row);
}

static void ring_account_emit(const struct avvik__world *world, enum avvik__ring_kind kind, uint32_t ring,
                              struct avvik__sink *sink)
{
    const struct avvik__words words = avvik__draw(world->seed, ring, (int)kind, AVVIK_DRAW_RING, 1);
    if (ring >= world->n_rings[kind] || !avvik__sink_wants(sink))
        return;
    const int32_t starts = avvik__month_of(world, avvik__ring_month(world, kind, ring))->first;
    const uint32_t before = kind == AVVIK_RING_ACCOUNT ? 45 : 4000; /* days: misused accounts are new */
    account_put(world, sink, avvik__ring_account(kind, ring), 0, starts - (int32_t)avvik__below(words.v[0], before));
}

/* A person's own account, and with the k-th person that of the k-th business and of the k-th rings: there are more
 * persons than any of these. */
void avvik__account_emit(const struct avvik__unit_of *of, struct avvik__sink *sink)
{
    const struct avvik__world *world = of->world;
    const uint32_t k = of->life->person;
    if (avvik__sink_wants(sink)) {
        const int32_t age = world->first - of->life->member->birth_day;
        const double share = avvik__unit(avvik__remix(k + 3));
        account_put(world, sink, AVVIK_ACCOUNT_OF_PERSON + k, avvik__person_hash(world, of->life->member),
                    world->first - (int32_t)(share * (age > 0 ? age : 0)));
    }
    if (k < world->n_listed && avvik__sink_wants(sink)) {
        struct avvik__business business;
        avvik__business_make(world, k, &business);
        account_put(world, sink, AVVIK_ACCOUNT_OF_BUSINESS + k, avvik__business_hash(world, k), business.founded);
    }
    ring_account_emit(world, AVVIK_RING_ACCOUNT, k, sink);
    ring_account_emit(world, AVVIK_RING_GUARDIAN, k, sink);
}

void avvik__employment_emit(const struct avvik__unit_of *of, struct avvik__sink *sink)
{
    const struct avvik__life *life = of->life;
    for (unsigned i = 0; i < life->n_jobs; i++) {
        const struct avvik__job *job = &life->jobs[i];
        if (job->kind == AVVIK_JOB_PAYOUT || !is_in_period(of->world, job->from, job->to) || !avvik__sink_wants(sink))
            continue;
        const struct avvik__employment_row row = {.person = avvik__person_hash(of->world, life->member),
                                                  .employer = avvik__business_hash(of->world, job->employer),
                                                  .from = job->from,
                                                  .to = job->to < of->world->last ? job->to : of->world->last,
                                                  .position_pct = job->position * 100,
                                                  .occupation = job->occupation};
        avvik__sink_put(sink, &row);
    }
}

void avvik__event_emit(const struct avvik__unit_of *of, struct avvik__sink *sink)
{
    const struct avvik__life *life = of->life;
    for (unsigned i = 0; i < life->n_events; i++) {
        if (!is_in_period(of->world, life->events[i].day, life->events[i].day) || !avvik__sink_wants(sink))
            continue;
        const struct avvik__event_row row = {.person = avvik__person_hash(of->world, life->member),
                                             .date = life->events[i].day,
                                             .event = life->events[i].kind};
        avvik__sink_put(sink, &row);
    }
}

/* What each typology is made of, beside its look-alike. Both are laid over an ordinary working life, and the surface
 * signs of the two are drawn from the same distributions: what sets them apart is said at each. */
#include "draw.h"
#include "life.h"

/* A life on its way into a typology. */
struct script {
    const struct avvik__world *world;
    struct avvik__life *life;
    uint32_t employer;
    double wage;
    int is_case;    /* else a look-alike */
    int begins_in;  /* a month from four before the period to the last but one in it */
    int32_t begins; /* a day of that month */
    struct avvik__words a, b;
};

static int32_t at(const struct avvik__world *world, int m)
{
    return avvik__month_of(world, m > world->n_months ? world->n_months : m)->first;
}

/* A month from `before` months before the period to its last but one. */
static int month_draw(const struct avvik__world *world, int before, uint32_t word)
{
    const int n = world->n_months > 1 ? world->n_months - 1 : 1;
    return (int)avvik__below(word, (uint32_t)(n + before)) - before;
}

static void label_job(const struct script *script, struct avvik__job *job)
{
    if (job == NULL)
        return;
    job->typology = script->life->typology;
    job->look_alike = script->life->look_alike;
}

static void label_spell(const struct script *script, struct avvik__spell *spell, enum avvik__spell_mark mark,
                        int32_t from, int32_t to)
{
    if (spell == NULL)
        return;
    spell->typology = script->life->typology;
    spell->look_alike = script->life->look_alike;
    spell->mark = (uint8_t)mark;
    spell->marked_from = from;
    spell->marked_to = to;
}

static double yearly(const struct script *script, double position, int32_t day)
{
    return avvik__yearly(script->world, script->wage, position, day);
}

static int32_t start_long_ago(const struct script *script)
{
    return at(script->world, -12) - (int32_t)avvik__below(script->b.v[3], 2500);
}

/* On unemployment benefit. Case: works all the time, and reports no more hours than others do. Look-alikes: the next
 * job begins within the last month, after the benefit's last day; an employer reported pay by mistake and took it back.
 */
static void undeclared_work(const struct script *script)
{
    struct avvik__life *life = script->life;
    const struct avvik__world *world = script->world;
    const int32_t lost = script->begins, length = 100 + (int32_t)avvik__below(script->a.v[0], 180);
    const int32_t ends = lost + length;
    avvik__job_add(life, start_long_ago(script), lost, script->employer, script->wage, 1);
    avvik__event_add(life, lost, AVVIK_EVENT_JOB_LOST);
    struct avvik__spell *spell =
        avvik__spell_add(life, AVVIK_DAGPENGER, lost + 4, ends, yearly(script, 0.75, lost), 100);
    const uint32_t other = avvik__employer_draw(world, script->a.v[1]);
    const double position = 0.35 + 0.6 * avvik__unit(script->a.v[2]);
    struct avvik__job *job = NULL;
    if (script->is_case) {
        job = avvik__job_add(life, lost + 15 + (int32_t)avvik__below(script->b.v[0], 30), ends, other, script->wage,
                             position);
        if (job != NULL)
            job->kind = AVVIK_JOB_HIDDEN;
        label_spell(script, spell, AVVIK_MARK_HIDDEN_WORK, lost, ends);
    } else if (script->b.v[0] & 1) {
        const int32_t wrong = lost + 30 + (int32_t)avvik__below(script->b.v[1], (uint32_t)(length - 60));
        job = avvik__job_add(life, wrong, wrong + 20 + (int32_t)avvik__below(script->b.v[2], 60), other, script->wage,
                             position);
        if (job != NULL)
            job->kind = AVVIK_JOB_CORRECTED;
        label_spell(script, spell, AVVIK_MARK_HIDDEN_WORK, lost, ends);
        label_job(script, job);
    } else {
        label_spell(script, spell, AVVIK_MARK_ALL, ends - 28, ends);
    }
    struct avvik__job *next = avvik__job_add(life, ends + 1, world->last + 60, other, script->wage, 1);
    if (!script->is_case && job == NULL && next != NULL)
        next->is_hourly = 1;
    avvik__event_add(life, ends + 1, AVVIK_EVENT_JOB_FOUND);
}

/* On work assessment allowance. Case: a job beside it, above what the grade allows, for many months. Look-alike: what a
 * former employer still owed is paid out, in a month or two. */
static void underreported_income(const struct script *script)
{
    struct avvik__life *life = script->life;
    const struct avvik__world *world = script->world;
    const int32_t from = at(world, -12), begins = script->begins;
    struct avvik__spell *spell = avvik__spell_add(life, AVVIK_AAP, from, world->last + 200, yearly(script, 0.7, from),
                                                  script->a.v[3] % 10 < 8 ? 100 : 50);
    if (spell != NULL)
        spell->has_support = script->b.v[3] % 4 == 0;
    if (script->is_case) {
        const int32_t ends = begins + 120 + (int32_t)avvik__below(script->a.v[0], 240);
        struct avvik__job *job = avvik__job_add(life, begins, ends, avvik__employer_draw(world, script->a.v[1]),
                                                script->wage, 0.5 + 0.5 * avvik__unit(script->a.v[2]));
        if (job != NULL)
            job->kind = AVVIK_JOB_HIDDEN;
        label_spell(script, spell, AVVIK_MARK_HIDDEN_WORK, begins, ends);
    } else {
        for (int i = 0; i < 2; i++) {
            struct avvik__job *job = avvik__job_add(life, begins + 40 * i, begins + 40 * i, script->employer,
                                                    script->wage, 0.7 + 0.3 * avvik__unit(script->a.v[2]));
            if (job != NULL)
                job->kind = AVVIK_JOB_PAYOUT;
            label_job(script, job);
        }
        label_spell(script, spell, AVVIK_MARK_HIDDEN_WORK, begins, begins + 60);
    }
}

/* A grade of illness, as other people have them. */
static double grade_draw(uint32_t word)
{
    static const double grades[] = {100, 100, 100, 100, 100, 100, 80, 60, 50, 50};
    return grades[avvik__below(word, 10)];
}

/* New employers whose staff fall ill, three in four. Case: the pay jumps with the new job, and the illness lasts.
 * Look-alike: a start-up whose people have influenza, and are back within weeks. Both pay modestly, and give paid
 * holidays in the first summer. */
static void fictitious_employer(const struct script *script)
{
    struct avvik__life *life = script->life;
    const struct avvik__world *world = script->world;
    const enum avvik__ring_kind kind = script->is_case ? AVVIK_RING_EMPLOYER : AVVIK_RING_STARTUP;
    life->ring = avvik__below(script->a.v[0], world->n_rings[kind]);
    const int32_t starts = at(world, avvik__ring_month(world, kind, life->ring));
    const int32_t hired = starts + (int32_t)avvik__below(script->a.v[1], 25);
    const int32_t ill = starts + 62 + (int32_t)avvik__below(script->a.v[2], 36);
    const double wage = script->wage * 0.8, position = script->b.v[2] % 10 < 7 ? 1 : 0.6;
    const double before = script->is_case ? 0.3 + 0.2 * avvik__unit(script->a.v[3]) : 0.9;
    const int32_t length = script->is_case ? 45 + (int32_t)avvik__below(script->b.v[1], 75)
                                           : 6 + (int32_t)avvik__below(script->b.v[1], 30);
    avvik__job_add(life, start_long_ago(script), hired - 1, script->employer, wage, before * position);
    struct avvik__job *job = avvik__job_add(life, hired, script->is_case ? ill + 16 + length : world->last + 60,
                                            avvik__ring_employer(world, kind, life->ring), wage, position);
    if (job != NULL) {
        job->is_late = 1;
        job->since = start_long_ago(script);
    }
    label_job(script, job);
    avvik__event_add(life, hired, AVVIK_EVENT_JOB_FOUND);
    if (script->b.v[3] >> 16 & 3)
        label_spell(script,
                    avvik__spell_add(life, AVVIK_SYKEPENGER, ill + 16, ill + 16 + length,
                                     avvik__yearly(world, wage, position, ill), grade_draw(script->b.v[0])),
                    AVVIK_MARK_ALL, ill, ill + 16 + length);
}

/* Pay that rises before an illness. Case: from three months before that of the illness to its end, and no longer.
 * Look-alike: a promotion; the person falls ill all the same, and keeps the pay. */
static void inflated_pay(const struct script *script)
{
    struct avvik__life *life = script->life;
    const struct avvik__world *world = script->world;
    const int32_t ill = script->begins, since = start_long_ago(script);
    const int month = script->begins_in;
    const int32_t rises = at(world, month - 3), falls = avvik__month_of(world, month)->last + 1;
    const double low = script->wage * 0.66, high = low * (1.3 + 0.35 * avvik__unit(script->a.v[0]));
    const double position = script->b.v[2] % 10 < 7 ? 1 : 0.6;
    const int32_t length = 12 + (int32_t)avvik__below(script->a.v[1], 90);
    avvik__job_add(life, since, rises - 1, script->employer, low, position);
    label_job(script, avvik__job_add(life, rises, falls - 1, script->employer, high, position));
    avvik__job_add(life, falls, world->last + 60, script->employer, script->is_case ? low : high, position);
    for (unsigned i = 0; i < life->n_jobs; i++)
        life->jobs[i].since = since; /* one employer all the time */
    label_spell(script,
                avvik__spell_add(life, AVVIK_SYKEPENGER, ill + 16, ill + 16 + length,
                                 avvik__yearly(world, high, position, ill), grade_draw(script->b.v[0])),
                AVVIK_MARK_ALL, ill, ill + 16 + length);
}

/* One account for several persons. Case: new, and the persons belong to different offices. Look-alike: a guardian's. */
static void identity_misuse(const struct script *script)
{
    struct avvik__life *life = script->life;
    const struct avvik__world *world = script->world;
    const enum avvik__ring_kind kind = script->is_case ? AVVIK_RING_ACCOUNT : AVVIK_RING_GUARDIAN;
    const int32_t from = at(world, -12);
    life->ring = avvik__below(script->a.v[0], world->n_rings[kind]);
    const int32_t starts = script->is_case ? at(world, avvik__ring_month(world, kind, life->ring)) : from;
    const int is_disabled = script->a.v[1] & 1;
    label_spell(script,
                avvik__spell_add(life, is_disabled ? AVVIK_UFORETRYGD : AVVIK_AAP, from, world->last + 200,
                                 yearly(script, 0.7, from), 100),
                AVVIK_MARK_ACCOUNT, starts, world->last + 200);
}

/* One claim at two offices. Case: both are paid. Look-alike: the first payment was taken back before the second. */
static void duplicate_claims(const struct script *script)
{
    struct avvik__life *life = script->life;
    const struct avvik__world *world = script->world;
    const int32_t from = at(world, -12), begins = script->begins;
    const int32_t ends =
        begins + (script->is_case ? 90 : 45) + (int32_t)avvik__below(script->a.v[0], script->is_case ? 180 : 60);
    struct avvik__spell *spell = NULL;
    if (script->a.v[1] % 10 < 6) {
        spell = avvik__spell_add(life, AVVIK_AAP, from, world->last + 200, yearly(script, 0.6, from), 100);
    } else {
        avvik__job_add(life, start_long_ago(script), begins - 10, script->employer, script->wage, 1);
        avvik__event_add(life, begins - 10, AVVIK_EVENT_JOB_LOST);
        spell = avvik__spell_add(life, AVVIK_DAGPENGER, begins - 6, ends + 60, yearly(script, 0.7, begins), 100);
    }
    label_spell(script, spell, script->is_case ? AVVIK_MARK_TWICE : AVVIK_MARK_REPAID, begins, ends);
}

/* A supplement near the limit from which a second officer looks. Case: always a little below, never the same.
 * Look-alike: lodging at a fixed rate that happens to lie there. */
static void below_limit(const struct script *script)
{
    struct avvik__life *life = script->life;
    const struct avvik__world *world = script->world;
    const int32_t from = at(world, -12), begins = script->begins;
    struct avvik__spell *spell =
        avvik__spell_add(life, AVVIK_AAP, from, world->last + 200, yearly(script, 0.7, from), 100);
    if (spell != NULL)
        spell->has_support = 1;
    label_spell(script, spell, AVVIK_MARK_SUPPORT, begins, begins + 150 + (int32_t)avvik__below(script->a.v[0], 200));
}

int avvik__ring_month(const struct avvik__world *world, enum avvik__ring_kind kind, uint32_t ring)
{
    const struct avvik__words words = avvik__draw(world->seed, ring, (int)kind, AVVIK_DRAW_RING, 0);
    return month_draw(world, 5, words.v[0]);
}

uint32_t avvik__ring_employer(const struct avvik__world *world, enum avvik__ring_kind kind, uint32_t ring)
{
    return world->n_businesses + ring + (kind == AVVIK_RING_STARTUP ? world->n_rings[AVVIK_RING_EMPLOYER] : 0);
}

int avvik__life_typology(const struct avvik__world *world, struct avvik__life *life, double wage, uint32_t employer)
{
    const int which = life->typology != 0 ? life->typology : life->look_alike;
    if (which == 0)
        return 0;
    struct script script = {
        .world = world, .life = life, .employer = employer, .wage = wage, .is_case = life->typology != 0};
    script.a = avvik__draw(world->seed, life->person, 0, AVVIK_DRAW_TYPOLOGY, 1);
    script.b = avvik__draw(world->seed, life->person, 0, AVVIK_DRAW_TYPOLOGY, 2);
    const struct avvik__words when = avvik__draw(world->seed, life->person, 0, AVVIK_DRAW_TYPOLOGY, 3);
    script.begins_in = month_draw(world, 4, when.v[0]);
    script.begins = at(world, script.begins_in) + (int32_t)avvik__below(when.v[1], 27);
    switch ((enum avvik__typology)which) {
    case AVVIK_UNDECLARED_WORK: undeclared_work(&script); break;
    case AVVIK_UNDERREPORTED_INCOME: underreported_income(&script); break;
    case AVVIK_FICTITIOUS_EMPLOYER: fictitious_employer(&script); break;
    case AVVIK_INFLATED_PAY: inflated_pay(&script); break;
    case AVVIK_IDENTITY_MISUSE: identity_misuse(&script); break;
    case AVVIK_DUPLICATE_CLAIMS: duplicate_claims(&script); break;
    case AVVIK_BELOW_LIMIT: below_limit(&script); break;
    default: break; /* businesses' */
    }
    return 1;
}

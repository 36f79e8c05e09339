/* Payments of benefits. */
#include <math.h>

#include "draw.h"
#include "tables.h"

/* A payment on its way into the table. */
struct payment {
    const struct avvik__unit_of *of;
    const struct avvik__month *month;
    const struct avvik__spell *spell; /* NULL: a child's */
    struct avvik__words words;
    int32_t from, to;
    uint32_t number; /* of the person's payments in the month */
};

static int64_t kroner(double amount)
{
    return (int64_t)floor(amount + 0.5) * 100;
}

static double basic_amount_at(const struct avvik__world *world, int32_t day)
{
    int m = 0;
    while (m > -AVVIK_MONTHS_BEFORE && avvik__month_of(world, m)->first > day)
        m--;
    while (m < world->n_months && avvik__month_of(world, m)->last < day)
        m++;
    return avvik__month_of(world, m)->rule[AVVIK_RULE_BASIC_AMOUNT];
}

/* Hours of the jobs of the given kinds between two days. */
static double hours_worked(const struct payment *payment, int is_hidden)
{
    const struct avvik__life *life = payment->of->life;
    double hours = 0;
    for (unsigned i = 0; i < life->n_jobs; i++) {
        const struct avvik__job *job = &life->jobs[i];
        const int32_t from = job->from > payment->from ? job->from : payment->from;
        const int32_t to = job->to < payment->to ? job->to : payment->to;
        if (job->kind == (is_hidden ? AVVIK_JOB_HIDDEN : AVVIK_JOB_REPORTED))
            hours +=
                (double)job->position * avvik__weekdays(from, to) * payment->month->rule[AVVIK_RULE_HOURS_WEEK] / 5;
    }
    return hours;
}

/* What stands on the reporting cards. Who hides work reports what others report: most of them nothing, some a little.
 */
static double hours_reported(const struct payment *payment, double full)
{
    const uint32_t word = avvik__remix(payment->words.v[0]);
    double hours = hours_worked(payment, 0);
    if (hours == 0 && hours_worked(payment, 1) > 0 && payment->of->life->scatter < 0.22)
        hours = (0.12 + 0.36 * avvik__unit(word)) * full;
    if (word % 250 == 0) /* a slip of the pen */
        hours = hours > 0 ? hours / 10 : 7.5;
    return floor(hours * (0.97 + 0.06 * avvik__unit(avvik__remix(word))) * 2 + 0.5) / 2;
}

/* The work of the month that is reported is paid less for. */
static double work_factor(double hours, double full)
{
    const double left = 1 - hours / full;
    return left < 0.4 ? 0.4 : left;
}

/* Gross amount of a spell's payment by the rules of its scheme; hours: NaN where the scheme has no reporting card. */
static double spell_amount(const struct payment *payment, float *hours)
{
    const struct avvik__spell *spell = payment->spell;
    const double *rule = payment->month->rule, g = rule[AVVIK_RULE_BASIC_AMOUNT];
    const double start_g = basic_amount_at(payment->of->world, spell->from);
    const int days = avvik__weekdays(payment->from, payment->to);
    const double full = days * rule[AVVIK_RULE_HOURS_WEEK] / 5, grade = (double)spell->grade / 100;
    const double share = (double)(payment->to - payment->from + 1) / payment->month->n_days;
    double daily, yearly;
    switch ((enum avvik__scheme)spell->scheme) {
    case AVVIK_DAGPENGER:
        *hours = (float)hours_reported(payment, full);
        daily = rule[AVVIK_RULE_DAGPENGER_RATE] / 1000 * fmin(spell->basis, rule[AVVIK_RULE_DAGPENGER_CAP] * start_g);
        return floor(daily + 0.5) * days * work_factor(*hours, full);
    case AVVIK_SYKEPENGER:
        daily = fmin(spell->basis, rule[AVVIK_RULE_SYKEPENGER_CAP] * start_g) / rule[AVVIK_RULE_SYKEPENGER_DAYS];
        return floor(daily + 0.5) * days * grade;
    case AVVIK_FORELDREPENGER:
        daily = fmin(spell->basis, rule[AVVIK_RULE_FORELDREPENGER_CAP] * start_g) / rule[AVVIK_RULE_SYKEPENGER_DAYS];
        return floor(daily + 0.5) * days * grade;
    case AVVIK_AAP:
        *hours = (float)hours_reported(payment, full);
        yearly = fmin(spell->basis, rule[AVVIK_RULE_AAP_CAP] * g) * rule[AVVIK_RULE_AAP_RATE] / 100;
        daily = fmax(yearly, rule[AVVIK_RULE_AAP_FLOOR] * g) / rule[AVVIK_RULE_SYKEPENGER_DAYS];
        return floor(daily + 0.5) * days * grade * work_factor(*hours, full);
    case AVVIK_UFORETRYGD:
        yearly = fmin(spell->basis, rule[AVVIK_RULE_UFORETRYGD_CAP] * g) * rule[AVVIK_RULE_UFORETRYGD_RATE] / 100;
        return fmax(yearly, rule[AVVIK_RULE_UFORETRYGD_FLOOR] * g) / 12 * grade * share;
    case AVVIK_ALDERSPENSJON: return spell->basis * g / 12 * grade * share;
    default: return 0;
    }
}

static int is_marked(const struct payment *payment)
{
    const struct avvik__spell *spell = payment->spell;
    return spell != NULL && spell->mark != AVVIK_MARK_NONE && spell->marked_from <= payment->to &&
           spell->marked_to >= payment->from;
}

/* Does one of the jobs that the mark is about fall into the payment's days? */
static int has_marked_work(const struct payment *payment)
{
    const struct avvik__life *life = payment->of->life;
    for (unsigned i = 0; i < life->n_jobs; i++) {
        const struct avvik__job *job = &life->jobs[i];
        if ((job->kind == AVVIK_JOB_HIDDEN || job->kind == AVVIK_JOB_CORRECTED || job->kind == AVVIK_JOB_PAYOUT) &&
            job->from <= payment->to && job->to >= payment->from)
            return 1;
    }
    return 0;
}

/* Reporting cards and claims are of a fortnight that ends on the person's own day, and are paid two or three days
 * later. A month's are added up: this is the day of the last of them, of the only one where the payment is for less. */
static int32_t paid_on(const struct payment *payment)
{
    const uint32_t word = avvik__remix(payment->of->life->person + 31);
    const int32_t ends = payment->to - (int32_t)avvik__below(word, 14);
    return (ends < payment->from ? payment->to : ends) + 2 + (int32_t)(payment->words.v[1] & 1);
}

/* Everything of a row but its amounts. */
static void row_begin(const struct payment *payment, enum avvik__scheme scheme, struct avvik__benefit_row *row)
{
    const struct avvik__unit_of *of = payment->of;
    const struct avvik__world *world = of->world;
    const struct avvik__life *life = of->life;
    const struct avvik__member *self = life->member;
    const int pay_day = avvik__schemes[scheme].pay_day;
    const int is_ring = is_marked(payment) && payment->spell->mark == AVVIK_MARK_ACCOUNT;
    uint64_t account = avvik__usual_account(of);
    double office = avvik__unit(avvik__remix(avvik__life_word(world, life->person)));
    unsigned municipality = self->municipality;
    *row = (struct avvik__benefit_row){
        .case_id = avvik__identity_hash(world->key, AVVIK_ID_CASE,
                                        (uint64_t)life->person << 20 | (uint64_t)of->month << 8 | payment->number),
        .person = avvik__person_hash(world, self),
        .household = avvik__household_hash(world, of->block->first + self->first),
        .benefit_code = (uint16_t)scheme,
        .period_from = payment->from,
        .period_to = payment->to,
        .pay_date = pay_day > 0 ? payment->month->first + pay_day - 1 : paid_on(payment),
        .basis = AVVIK_NO_AMOUNT,
        .grade_pct = NAN,
        .hours_reported = NAN};
    row->country = (uint16_t)avvik__country_draw(avvik__unit(avvik__remix(life->person + 77)));
    if (is_ring) {
        const enum avvik__ring_kind kind = life->typology != 0 ? AVVIK_RING_ACCOUNT : AVVIK_RING_GUARDIAN;
        account = avvik__ring_account(kind, life->ring);
        if (kind == AVVIK_RING_ACCOUNT)
            municipality = avvik__municipality_draw(avvik__unit(avvik__remix(life->person + 5)));
        else
            office = 0.1;
    }
    row->account = payment->words.v[2] % 400 == 0 ? 0 : avvik__account_hash(world, account);
    row->office = (uint16_t)avvik__office_draw(municipality, office);
    if (is_marked(payment) && (payment->spell->mark != AVVIK_MARK_HIDDEN_WORK || has_marked_work(payment)) &&
        payment->spell->mark != AVVIK_MARK_SUPPORT) {
        row->typology = payment->spell->typology;
        row->look_alike = payment->spell->look_alike;
    }
}

static void amounts_set(struct avvik__benefit_row *row, const struct payment *payment, double gross)
{
    const double rate = avvik__schemes[row->benefit_code].tax;
    const double own = rate == 0 ? 0 : (rate - 9 + 18 * payment->of->life->scatter) / 100;
    row->gross = kroner(gross);
    row->tax = rate == 0 ? AVVIK_NO_AMOUNT : kroner((double)row->gross / 100 * own);
    row->net = rate == 0 ? row->gross : row->gross - row->tax;
}

/* What a pensioner earned a year in working life: about twice the pension, more or less of it by other rights. */
static double earlier_income(const struct payment *payment)
{
    const double g = payment->month->rule[AVVIK_RULE_BASIC_AMOUNT];
    const uint32_t word = avvik__remix(payment->of->life->person + 11);
    return payment->spell->basis * g * 1.7 * avvik__exp(0.25 * avvik__normal(word));
}

static uint64_t employer_hash(const struct payment *payment)
{
    const struct avvik__life *life = payment->of->life;
    for (unsigned i = life->n_jobs; i-- > 0;)
        if (life->jobs[i].from < payment->spell->from && life->jobs[i].kind == AVVIK_JOB_ORDINARY)
            return avvik__business_hash(payment->of->world, life->jobs[i].employer);
    return 0;
}

/* The same again, at another office or taken back: what is different is different from the first. */
static void again(struct payment *payment, struct avvik__sink *sink, const struct avvik__benefit_row *first,
                  double factor, int is_elsewhere)
{
    payment->number++;
    if (!avvik__sink_wants(sink))
        return;
    struct avvik__benefit_row row = *first;
    const uint32_t word = avvik__remix(payment->words.v[3] + payment->number);
    row.case_id = avvik__identity_hash(payment->of->world->key, AVVIK_ID_CASE,
                                       (uint64_t)payment->of->life->person << 20 | (uint64_t)payment->of->month << 8 |
                                           payment->number);
    amounts_set(&row, payment, (double)row.gross / 100 * factor);
    row.pay_date += (int32_t)avvik__below(word, 6) - (is_elsewhere ? 3 : 0);
    if (is_elsewhere)
        row.office = (uint16_t)avvik__office_draw(
            avvik__municipality_draw(avvik__unit(avvik__remix(payment->of->life->person + 9))), 0.6);
    avvik__sink_put(sink, &row);
}

static double small_change(uint32_t word)
{
    return 0.97 + 0.06 * avvik__unit(word);
}

static void spell_pay(struct payment *payment, struct avvik__sink *sink)
{
    const struct avvik__spell *spell = payment->spell;
    const uint32_t chance = payment->words.v[3];
    const int marked = is_marked(payment) && chance % 10 < 7;
    const int is_twice = marked && spell->mark == AVVIK_MARK_TWICE;
    const int is_repaid = (marked && spell->mark == AVVIK_MARK_REPAID) || chance % 400 == 0;
    struct avvik__benefit_row row;
    if (avvik__sink_touches(sink, is_twice || is_repaid ? 4 : 1)) { /* what comes again is made from the first */
        float hours = NAN;
        row_begin(payment, (enum avvik__scheme)spell->scheme, &row);
        const double gross = spell_amount(payment, &hours);
        amounts_set(&row, payment, gross);
        row.hours_reported = payment->words.v[2] % 70 == 0 ? NAN : hours;
        row.grade_pct = payment->words.v[2] % 210 == 1 ? NAN : spell->grade;
        row.basis = kroner(spell->scheme == AVVIK_ALDERSPENSJON ? earlier_income(payment) : spell->basis);
        row.employer = employer_hash(payment);
        if (!is_twice && !is_repaid && (spell->mark == AVVIK_MARK_TWICE || spell->mark == AVVIK_MARK_REPAID))
            row.typology = row.look_alike = 0;
    }
    if (avvik__sink_wants(sink))
        avvik__sink_put(sink, &row);
    if (is_twice)
        again(payment, sink, &row, small_change(payment->words.v[1]), 1);
    if (is_repaid) {
        again(payment, sink, &row, -1, 0);
        again(payment, sink, &row, small_change(payment->words.v[1]), 0);
    }
}

/* Supplements: expenses of those who are in training or treatment. */
static void support_pay(struct payment *payment, struct avvik__sink *sink)
{
    const struct avvik__life *life = payment->of->life;
    const double *rule = payment->month->rule;
    const int marked = is_marked(payment) && payment->spell->mark == AVVIK_MARK_SUPPORT;
    struct avvik__benefit_row row;
    if (!payment->spell->has_support || (!marked && payment->words.v[0] % 100 >= 80))
        return;
    payment->number++;
    if (!avvik__sink_wants(sink))
        return;
    row_begin(payment, AVVIK_SUPPORT, &row);
    double gross = rule[AVVIK_RULE_SUPPORT_MEDIAN] *
                   avvik__exp(rule[AVVIK_RULE_SUPPORT_SPREAD] * avvik__normal(payment->words.v[1]));
    if (marked) {
        gross = life->typology != 0 ? rule[AVVIK_RULE_CONTROL_LIMIT] * (0.925 + 0.07 * avvik__unit(payment->words.v[1]))
                                    : rule[AVVIK_RULE_SUPPORT_FIXED];
        row.typology = life->typology;
        row.look_alike = life->look_alike;
    }
    amounts_set(&row, payment, gross);
    avvik__sink_put(sink, &row);
}

unsigned avvik__child_benefits(const struct avvik__world *world, uint32_t person, const struct avvik__member *child,
                               const struct avvik__month *month)
{
    const double *rule = month->rule;
    const int months = avvik__months_old(child, month);
    if (months < 1 || months > 216)
        return 0;
    const int at_home = avvik__unit(avvik__life_word(world, person)) < 0.2 &&
                        months >= rule[AVVIK_RULE_KONTANTSTOTTE_FROM] && months <= rule[AVVIK_RULE_KONTANTSTOTTE_TO];
    return 1u << AVVIK_BARNETRYGD | (at_home ? 1u << AVVIK_KONTANTSTOTTE : 0);
}

/* What the first of the household gets for a child. */
static void child_pay(const struct avvik__unit_of *of, const struct avvik__month *month, struct avvik__sink *sink)
{
    const struct avvik__member *child = of->life->member;
    const unsigned bits = avvik__child_benefits(of->world, of->life->person, child, month);
    struct avvik__unit_of parent_of = *of;
    struct avvik__life parent;
    struct payment payment = {.of = &parent_of, .month = month, .from = month->first, .to = month->last};
    for (int scheme = AVVIK_BARNETRYGD; scheme <= AVVIK_KONTANTSTOTTE; scheme++) {
        struct avvik__benefit_row row;
        if (!(bits >> scheme & 1) || !avvik__sink_wants(sink))
            continue;
        parent.member = &of->block->members[child->first];
        parent.person = of->block->first + child->first;
        parent.scatter = avvik__unit(avvik__life_word(of->world, parent.person));
        parent.n_spells = parent.n_jobs = 0;
        parent_of.life = &parent;
        /* several children are paid for in one person's name: cases are numbered by the child's place */
        payment.number = 100 + 2 * (of->index - child->first) + (uint32_t)scheme;
        payment.words = avvik__draw(of->world->seed, of->life->person, of->month, AVVIK_DRAW_CHILD, (uint32_t)scheme);
        row_begin(&payment, (enum avvik__scheme)scheme, &row);
        const double rate = scheme == AVVIK_KONTANTSTOTTE          ? month->rule[AVVIK_RULE_KONTANTSTOTTE]
                            : avvik__months_old(child, month) < 72 ? month->rule[AVVIK_RULE_BARNETRYGD_UNDER_6]
                                                                   : month->rule[AVVIK_RULE_BARNETRYGD_6_TO_17];
        amounts_set(&row, &payment, rate);
        avvik__sink_put(sink, &row);
    }
}

void avvik__benefit_emit(const struct avvik__unit_of *of, struct avvik__sink *sink)
{
    const struct avvik__life *life = of->life;
    const struct avvik__month *month = avvik__month_of(of->world, of->month);
    uint32_t number = 0;
    if (life->n_spells == 0) {
        if (life->member->is_child)
            child_pay(of, month, sink);
        return;
    }
    for (unsigned i = 0; i < life->n_spells; i++) {
        const struct avvik__spell *spell = &life->spells[i];
        struct payment payment = {.of = of, .month = month, .spell = spell, .number = number};
        payment.from = spell->from > month->first ? spell->from : month->first;
        payment.to = spell->to < month->last ? spell->to : month->last;
        if (avvik__weekdays(payment.from, payment.to) == 0)
            continue;
        payment.words = avvik__draw(of->world->seed, life->person, of->month, AVVIK_DRAW_BENEFIT, i);
        spell_pay(&payment, sink);
        payment.words = avvik__draw(of->world->seed, life->person, of->month, AVVIK_DRAW_BENEFIT, 32 + i);
        if (spell->has_support)
            support_pay(&payment, sink);
        number = payment.number + 1;
    }
}

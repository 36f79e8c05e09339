#include "life.h"

#include "draw.h"

struct avvik__job *avvik__job_add(struct avvik__life *life, int32_t from, int32_t to, uint32_t employer, double wage,
                                  double position)
{
    if (to > life->to)
        to = life->to;
    if (to < from || to < life->from || life->n_jobs == AVVIK_MAX_JOBS)
        return NULL;
    struct avvik__job *job = &life->jobs[life->n_jobs++];
    *job = (struct avvik__job){.from = from < life->from ? life->from : from,
                               .to = to,
                               .since = from,
                               .employer = employer,
                               .wage = wage,
                               .position = (float)position,
                               .occupation = life->occupation};
    return job;
}

struct avvik__spell *avvik__spell_add(struct avvik__life *life, enum avvik__scheme scheme, int32_t from, int32_t to,
                                      double basis, double grade)
{
    if (to > life->to)
        to = life->to;
    if (from < life->from)
        from = life->from;
    if (to < from || life->n_spells == AVVIK_MAX_SPELLS)
        return NULL;
    struct avvik__spell *spell = &life->spells[life->n_spells++];
    *spell =
        (struct avvik__spell){.from = from, .to = to, .basis = basis, .grade = (float)grade, .scheme = (uint8_t)scheme};
    return spell;
}

void avvik__event_add(struct avvik__life *life, int32_t day, enum avvik__event_kind kind)
{
    if (day >= life->from && day <= life->to && life->n_events < AVVIK_MAX_EVENTS)
        life->events[life->n_events++] = (struct avvik__event){day, (uint16_t)kind};
}

uint32_t avvik__employer_draw(const struct avvik__world *world, uint32_t word)
{
    const double u = avvik__unit(word);
    const uint32_t employer = (uint32_t)(world->n_staffed * u * u);
    return employer < world->n_staffed ? employer : world->n_staffed - 1;
}

double avvik__yearly(const struct avvik__world *world, double wage, double position, int32_t day)
{
    int m = 0;
    while (m > -AVVIK_MONTHS_BEFORE && avvik__month_of(world, m)->first > day)
        m--;
    while (m < world->n_months && avvik__month_of(world, m)->last < day)
        m++;
    return 12 * wage * position * avvik__month_of(world, m)->wage_index;
}

/* Is no spell between the two days? */
static int is_free(const struct avvik__life *life, int32_t from, int32_t to)
{
    for (unsigned i = 0; i < life->n_spells; i++)
        if (life->spells[i].from <= to && life->spells[i].to >= from)
            return 0;
    return 1;
}

/* A day of a year by the weights of its months. */
static int32_t seasonal_day(const int *weights, int year, uint32_t word)
{
    int total = 0, month = 0;
    for (int i = 0; i < 12; i++)
        total += weights[i];
    int left = (int)avvik__below(word, (uint32_t)total);
    while (month < 11 && (left -= weights[month]) >= 0)
        month++;
    return avvik__day_of(year, month + 1, 1) + (int32_t)avvik__below(avvik__remix(word), 28);
}

/* What a person earns in a full position: lognormal around the median, moved by industry, occupation and youth, and
 * with a Pareto tail. */
static double wage_draw(const struct avvik__world *world, unsigned industry, unsigned occupation, int age,
                        uint32_t word)
{
    const double *rule = avvik__month_of(world, 0)->rule;
    const double youth = age < 30 ? -0.045 * (30 - age) : 0;
    const double z = 0.4 * avvik__industries[industry].pay + 0.6 * avvik__occupation_pay[occupation] +
                     0.9 * avvik__normal(word) + youth + 0.12;
    const double tail = rule[AVVIK_RULE_WAGE_TAIL_FROM], spread = rule[AVVIK_RULE_WAGE_SPREAD];
    const double wage = rule[AVVIK_RULE_WAGE_MEDIAN] > 0
                            ? rule[AVVIK_RULE_WAGE_MEDIAN]
                            : avvik__month_of(world, world->n_months)->rule[AVVIK_RULE_WAGE_MEDIAN];
    if (z < tail)
        return wage * avvik__exp(spread * z);
    /* generalized Pareto above the threshold (Pickands 1975), of the same density there: its scale is the threshold
     * times spread over the normal's hazard rate, which is 2.1 to 2.2 where the tail may start */
    const double shape = 1 / rule[AVVIK_RULE_WAGE_TAIL_INDEX];
    const double excess = (avvik__power(avvik__unit(avvik__remix(word)), -shape) - 1) / shape;
    return wage * avvik__exp(spread * tail) * (1 + spread / 2.16 * excess);
}

/* Work and what interrupts it, year after year. */
struct career {
    const struct avvik__world *world;
    struct avvik__life *life;
    double wage, position, loss_rate, sick_rate;
    uint32_t employer;
    int32_t from; /* of the job at hand */
    int is_hourly;
};

static void job_close(struct career *career, int32_t to)
{
    struct avvik__job *job =
        avvik__job_add(career->life, career->from, to, career->employer, career->wage, career->position);
    if (job != NULL)
        job->is_hourly = (uint8_t)career->is_hourly;
}

static void job_next(struct career *career, int32_t from, uint32_t word)
{
    career->from = from;
    career->employer = avvik__employer_draw(career->world, word);
    career->wage *= 0.97 + 0.09 * avvik__unit(avvik__remix(word));
    avvik__event_add(career->life, from, AVVIK_EVENT_JOB_FOUND);
}

static void job_lose(struct career *career, int32_t day, uint32_t word)
{
    struct avvik__life *life = career->life;
    const double months = avvik__waiting(word) * 6.2;
    const int32_t length = 24 + (int32_t)(30 * (months > 16 ? 16 : months));
    const uint32_t more = avvik__remix(word);
    job_close(career, day);
    avvik__event_add(life, day, AVVIK_EVENT_JOB_LOST);
    avvik__spell_add(life, AVVIK_DAGPENGER, day + 4, day + length,
                     avvik__yearly(career->world, career->wage, career->position, day), 100);
    if (more % 10 < 3) { /* a little work beside it, and told */
        struct avvik__job *job = avvik__job_add(life, day + 4 + (int32_t)(more >> 8) % 20, day + length,
                                                avvik__employer_draw(career->world, avvik__remix(more)), career->wage,
                                                0.12 + 0.36 * avvik__unit(avvik__remix(more + 1)));
        if (job != NULL)
            job->kind = AVVIK_JOB_REPORTED;
    }
    job_next(career, day + length + 1, avvik__remix(more + 2));
}

static void sickness_add(struct career *career, int32_t day, uint32_t word)
{
    static const double grades[] = {100, 100, 100, 100, 100, 80, 60, 50, 50, 40};
    struct avvik__life *life = career->life;
    const int32_t from = day + (int32_t)avvik__month_of(career->world, 0)->rule[AVVIK_RULE_EMPLOYER_PERIOD];
    const double days = 3 + 42 * avvik__waiting(word);
    const int32_t to = from + (int32_t)(days > 345 ? 345 : days);
    if (day > career->from && is_free(life, day, to))
        avvik__spell_add(life, AVVIK_SYKEPENGER, from, to,
                         avvik__yearly(career->world, career->wage, career->position, day),
                         grades[avvik__below(avvik__remix(word), 10)]);
}

static void career_make(struct career *career, int32_t until)
{
    static const int losses[12] = {14, 8, 7, 7, 6, 8, 7, 8, 10, 9, 8, 8};
    static const int sicknesses[12] = {11, 11, 10, 8, 8, 7, 5, 7, 9, 9, 9, 10};
    const struct avvik__world *world = career->world;
    for (int y = 0; y < world->n_years; y++) {
        const int year = world->base_year - AVVIK_YEARS_BEFORE + y;
        const struct avvik__words words = avvik__draw(world->seed, career->life->person, y, AVVIK_DRAW_YEAR, 0);
        const double u = avvik__unit(words.v[0]);
        if (avvik__unit(words.v[1]) < career->sick_rate)
            sickness_add(career, seasonal_day(sicknesses, year, avvik__remix(words.v[1])), words.v[2]);
        if (u >= career->loss_rate + 0.08)
            continue;
        const int32_t day = seasonal_day(losses, year, words.v[3]);
        if (day < career->from + 60 || day > until || !is_free(career->life, day - 30, day + 400))
            continue;
        if (u < career->loss_rate) {
            job_lose(career, day, avvik__remix(words.v[3]));
        } else {
            job_close(career, day);
            job_next(career, day + 1, avvik__remix(words.v[2]));
        }
    }
    if (career->from <= until)
        job_close(career, until);
}

/* Parents of children who are born from a year before the period on: leave, for those who have work. */
static void parental_leave_add(const struct avvik__world *world, const struct avvik__block *block, uint32_t index,
                               struct avvik__life *life, double yearly)
{
    const struct avvik__member *self = &block->members[index];
    for (uint32_t i = self->first; i < (uint32_t)self->first + self->size; i++) {
        const struct avvik__member *child = &block->members[i];
        if (!child->is_child || child->birth_day < avvik__month_of(world, -12)->first)
            continue;
        if (index == self->first || !self->is_male)
            avvik__event_add(life, child->birth_day, AVVIK_EVENT_BIRTH);
        const int32_t born = child->birth_day, from = self->is_male ? born + 236 : born - 21;
        const int32_t to = self->is_male ? born + 340 : born + 235;
        if (yearly > 0 && is_free(life, from, to))
            avvik__spell_add(life, AVVIK_FORELDREPENGER, from, to, yearly, 100);
    }
}

/* Chances by age at the start of the period. */
static const struct {
    int below;                            /* years of age */
    double works, ill, disabled, studies; /* ill: work assessment allowance */
} chances[] = {{20, 0.38, 0.011, 0.012, 0.55}, {25, 0.66, 0.027, 0.020, 0.22}, {30, 0.80, 0.038, 0.028, 0.06},
               {40, 0.82, 0.048, 0.049, 0.02}, {50, 0.79, 0.046, 0.092, 0.01}, {60, 0.72, 0.046, 0.165, 0},
               {67, 0.55, 0.038, 0.295, 0}};

static void illness_add(const struct avvik__world *world, struct avvik__life *life, const struct career *career,
                        const struct avvik__words *words)
{
    const double u = avvik__unit(words->v[0]);
    const int32_t before = avvik__month_of(world, -12)->first, span = world->last - world->first + 1;
    int32_t from = before, to = world->last + 400;
    if (u < 0.13)
        from = world->first + (int32_t)(u / 0.13 * span);
    else if (u < 0.26)
        to = world->first + (int32_t)((u - 0.13) / 0.13 * span);
    const double yearly = avvik__yearly(world, career->wage, career->position * 0.85, from);
    struct avvik__spell *spell = avvik__spell_add(life, AVVIK_AAP, from, to, yearly, words->v[1] % 10 < 8 ? 100 : 50);
    if (spell != NULL)
        spell->has_support = words->v[1] >> 8 & 3 ? 0 : 1;
    if (words->v[2] % 10 < 3) {
        struct avvik__job *job = avvik__job_add(life, from + (int32_t)(words->v[2] >> 16) % 300, to,
                                                avvik__employer_draw(world, words->v[3]), career->wage,
                                                0.12 + 0.36 * avvik__unit(avvik__remix(words->v[2])));
        if (job != NULL)
            job->kind = AVVIK_JOB_REPORTED;
    }
}

static void disability_add(const struct avvik__world *world, struct avvik__life *life, const struct career *career,
                           const struct avvik__words *words)
{
    static const double degrees[] = {100, 100, 100, 100, 100, 100, 100, 100, 60, 50};
    const double degree = degrees[words->v[0] % 10];
    const int32_t before = avvik__month_of(world, -12)->first;
    avvik__spell_add(life, AVVIK_UFORETRYGD, before, world->last,
                     avvik__yearly(world, career->wage, career->position * 0.92, before), degree);
    if (degree < 100 && words->v[1] % 4 != 0)
        avvik__job_add(life, before - (int32_t)(words->v[2] % 2000), world->last, career->employer, career->wage,
                       1 - degree / 100);
}

static void pension_add(const struct avvik__world *world, struct avvik__life *life, const struct avvik__member *member,
                        const struct avvik__words *words, int starts_at)
{
    int year, month, day;
    const double *rule = avvik__month_of(world, 0)->rule;
    avvik__date_of(member->birth_day, &year, &month, &day);
    const int months = (year + starts_at) * 12 + month; /* the month after the birthday */
    double basis =
        rule[AVVIK_RULE_PENSION_MEDIAN] * avvik__exp(rule[AVVIK_RULE_PENSION_SPREAD] * avvik__normal(words->v[0]));
    if (basis < rule[AVVIK_RULE_PENSION_FLOOR])
        basis = rule[AVVIK_RULE_PENSION_FLOOR];
    avvik__spell_add(life, AVVIK_ALDERSPENSJON, avvik__day_of(months / 12, months % 12 + 1, 1), world->last, basis,
                     starts_at < 67 && words->v[1] % 4 == 0 ? 60 : 100);
}

/* Arrival, death and what needs no work. */
static void fate_draw(const struct avvik__world *world, struct avvik__life *life, int age,
                      const struct avvik__words *words)
{
    const double years = (double)(world->last - world->first + 1) / 365;
    const int32_t day = world->first + (int32_t)avvik__below(words->v[1], (uint32_t)(world->last - world->first + 1));
    if (avvik__unit(words->v[2]) < years * avvik__mortality(age, life->member->is_male)) {
        avvik__event_add(life, day, AVVIK_EVENT_DEATH);
        life->to = day;
    } else if (age >= 18 && age < 46 && avvik__unit(avvik__remix(words->v[2])) < 0.014 * years) {
        life->from = day;
        avvik__event_add(life, day, AVVIK_EVENT_NEW_IN_COUNTRY);
    }
    const double u = avvik__unit(words->v[3]);
    if (age >= 30 && u < 0.010 * years)
        avvik__event_add(life, day, AVVIK_EVENT_INHERITANCE);
    else if (age >= 20 && age < 67 && u < 0.018 * years)
        avvik__event_add(life, day, AVVIK_EVENT_BUSINESS_STARTED);
    else if (age >= 25 && age < 50 && u < 0.045 * years)
        avvik__event_add(life, day, AVVIK_EVENT_SICK_CHILD);
}

static void typology_draw(const struct avvik__world *world, struct avvik__life *life, uint32_t word)
{
    double left = avvik__unit(word);
    for (int t = 1; t < AVVIK_N_TYPOLOGIES; t++) {
        if (avvik__typology_is_business[t])
            continue;
        if ((left -= world->typology_rate[t]) < 0) {
            life->typology = (uint8_t)t;
            break;
        }
        if ((left -= world->look_alike_rate[t]) < 0) {
            life->look_alike = (uint8_t)t;
            break;
        }
    }
}

static void adult_make(const struct avvik__world *world, const struct avvik__block *block, uint32_t index, int age,
                       struct avvik__life *life)
{
    const struct avvik__member *member = &block->members[index];
    const struct avvik__words words = avvik__draw(world->seed, life->person, 0, AVVIK_DRAW_LIFE, 0);
    const struct avvik__words more = avvik__draw(world->seed, life->person, 0, AVVIK_DRAW_LIFE, 1);
    const uint32_t employer = avvik__employer_draw(world, words.v[1]);
    double u = avvik__unit(words.v[0]);
    if (age >= 67) {
        pension_add(world, life, member, &more, 67);
        if (age >= 74 || u >= 0.17)
            return;
    }
    life->occupation = (uint16_t)avvik__occupation_draw(avvik__unit(words.v[3]));
    struct career career = {.world = world,
                            .life = life,
                            .wage = wage_draw(world, world->industries[employer], life->occupation, age, words.v[2]),
                            .employer = employer,
                            .from = avvik__month_of(world, -12)->first - (int32_t)avvik__below(more.v[0], 3000),
                            .is_hourly = more.v[1] % 4 == 0,
                            .loss_rate = 0.040,
                            .sick_rate = 0.24};
    career.position = more.v[1] >> 8 & 3 ? 1 : 0.4 + 0.06 * ((more.v[1] >> 16) % 10);
    life->tax = 0.16 + 0.18 * avvik__unit(more.v[2]);
    if (avvik__life_typology(world, life, career.wage, employer))
        return;
    size_t c = 0;
    while (c + 1 < sizeof chances / sizeof chances[0] && age >= chances[c].below)
        c++;
    if (life->from > world->first) /* just arrived: a job after a while, or none yet */
        career.from = life->from + 20 + (int32_t)(more.v[0] % 100);
    if (age >= 67)
        avvik__job_add(life, career.from, world->last, employer, career.wage, 0.2 + 0.6 * avvik__unit(more.v[3]));
    else if ((u -= chances[c].ill) < 0 && life->from < world->first) {
        const struct avvik__words own = avvik__draw(world->seed, life->person, 0, AVVIK_DRAW_LIFE, 3);
        illness_add(world, life, &career, &own);
    } else if ((u -= chances[c].disabled) < 0 && life->from < world->first) {
        const struct avvik__words own = avvik__draw(world->seed, life->person, 0, AVVIK_DRAW_LIFE, 3);
        disability_add(world, life, &career, &own);
    } else if ((u -= chances[c].works) < 0) {
        if (age < 20)
            career.position = 0.2 + 0.3 * avvik__unit(more.v[3]);
        if (age >= 66)
            pension_add(world, life, member, &more, 67);
        else if (age >= 62 && (more.v[3] >> 4) % 10 < 5) /* beside the pay */
            pension_add(world, life, member, &more, 62);
        parental_leave_add(world, block, index, life, avvik__yearly(world, career.wage, career.position, world->first));
        career_make(&career, age >= 62 && more.v[3] % 5 == 0 ? world->first + (int32_t)(more.v[3] >> 8) % 365
                                                             : world->last + 60);
    } else if ((u -= chances[c].studies) < 0) { /* in the summers, and some all the year */
        const uint32_t habit = more.v[3] % 10;
        for (int y = 0; habit < 6 && y < world->n_years; y++) {
            const int year = world->base_year - AVVIK_YEARS_BEFORE + y;
            struct avvik__job *job = avvik__job_add(life, avvik__day_of(year, 6, 12) + (int32_t)(more.v[0] % 20),
                                                    avvik__day_of(year, 8, 10) + (int32_t)(more.v[2] % 16), employer,
                                                    career.wage * 0.82, 0.6 + 0.4 * avvik__unit(more.v[0]));
            if (job != NULL)
                job->is_hourly = 1;
        }
        if (habit >= 4 && habit < 8) {
            career.employer = avvik__employer_draw(world, avvik__remix(words.v[1]));
            career.wage *= 0.85;
            career.position = 0.08 + 0.3 * avvik__unit(more.v[0]);
            career.sick_rate = career.loss_rate = 0;
            career.is_hourly = 1;
            career_make(&career, world->last + 60);
        }
    } else if (age >= 62 && more.v[3] % 10 < 8) {
        pension_add(world, life, member, &more, 62);
    }
}

uint32_t avvik__life_word(const struct avvik__world *world, uint32_t person)
{
    return avvik__remix(person * 2654435761u ^ (uint32_t)world->seed);
}

int avvik__months_old(const struct avvik__member *member, const struct avvik__month *month)
{
    int year, birth_month, day;
    avvik__date_of(member->birth_day, &year, &birth_month, &day);
    return (month->year - year) * 12 + month->month - birth_month;
}

void avvik__life_begin(const struct avvik__world *world, const struct avvik__block *block, uint32_t index,
                       struct avvik__life *life)
{
    life->member = &block->members[index];
    life->person = block->first + index;
    life->typology = life->look_alike = 0;
    life->n_jobs = life->n_spells = life->n_events = 0;
    life->from = INT32_MIN;
    life->to = INT32_MAX;
    life->scatter = avvik__unit(avvik__life_word(world, life->person));
    life->tax = 0;
    life->ring = 0;
    life->occupation = UINT16_MAX;
}

void avvik__life_make(const struct avvik__world *world, const struct avvik__block *block, uint32_t index,
                      struct avvik__life *life)
{
    const struct avvik__member *member = &block->members[index];
    const int age = world->base_year - 1 - member->birth_year; /* at the end of the year before */
    avvik__life_begin(world, block, index, life);
    if (member->is_child && age < 18) {
        if (member->birth_day >= world->first)
            life->from = member->birth_day;
        return;
    }
    const struct avvik__words words = avvik__draw(world->seed, life->person, 0, AVVIK_DRAW_TYPOLOGY, 0);
    if (age >= 20 && age <= 61)
        typology_draw(world, life, words.v[0]);
    if (life->typology == 0 && life->look_alike == 0)
        fate_draw(world, life, age, &words);
    adult_make(world, block, index, age, life);
}

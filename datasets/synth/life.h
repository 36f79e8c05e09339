/* What happens to a person in the period: jobs, benefits, events. All of it follows from the seed and the person's
 * number; tables are only ways of looking at it. */
#ifndef AVVIK_SYNTH_LIFE_H
#define AVVIK_SYNTH_LIFE_H

#include "population.h"

/* How a job shows in wage reports, and in the hours that a recipient of a benefit reports. */
enum avvik__job_kind {
    AVVIK_JOB_ORDINARY,
    AVVIK_JOB_REPORTED,  /* beside a benefit, and its hours stand on the reporting card */
    AVVIK_JOB_HIDDEN,    /* beside a benefit, and they do not */
    AVVIK_JOB_CORRECTED, /* was reported by mistake, and taken back later */
    AVVIK_JOB_PAYOUT     /* an employer of the past pays out what was due: one report of holiday pay, no work */
};

struct avvik__job {
    int32_t from, to; /* days, both included; from may lie before the period */
    int32_t since;    /* what the year's holiday pay is reckoned from: with the employer, or as agreed */
    uint32_t employer;
    double wage;    /* of a full position a month, kroner of May 2024 */
    float position; /* share of a full one */
    uint16_t occupation;
    uint8_t kind, is_hourly, is_late; /* is_late: reports of this employer tend to be */
    uint8_t typology, look_alike;     /* of its wage reports */
};

/* What one spell's payments have that others have not. */
enum avvik__spell_mark {
    AVVIK_MARK_NONE,
    AVVIK_MARK_HIDDEN_WORK, /* months in which a hidden job, or one of its look-alikes, overlaps */
    AVVIK_MARK_ACCOUNT,     /* paid to the ring's account from marked_from on */
    AVVIK_MARK_TWICE,       /* claimed at two offices */
    AVVIK_MARK_REPAID,      /* paid, taken back and paid again */
    AVVIK_MARK_SUPPORT,     /* its supplement, from marked_from to marked_to */
    AVVIK_MARK_ALL
};

struct avvik__spell {
    int32_t from, to; /* days, both included */
    double basis;     /* kroner a year, uncapped; pensions: G a year */
    float grade;      /* per cent */
    uint8_t scheme, has_support, mark;
    uint8_t typology, look_alike; /* of its payments, where marked */
    int32_t marked_from, marked_to;
};

struct avvik__event {
    int32_t day;
    uint16_t kind;
};

#define AVVIK_MAX_JOBS 24
#define AVVIK_MAX_SPELLS 24
#define AVVIK_MAX_EVENTS 24

struct avvik__life {
    const struct avvik__member *member;
    uint32_t person;
    int32_t from, to; /* in the country: arrival and death */
    uint8_t typology, look_alike;
    uint32_t ring; /* of those that have one */
    double tax;    /* share withheld from pay */
    double
        scatter; /* a number of its own in (0, 1), for habits: sloppy reporting, an account shared in the household */
    uint16_t occupation;
    unsigned n_jobs, n_spells, n_events;
    struct avvik__job jobs[AVVIK_MAX_JOBS];
    struct avvik__spell spells[AVVIK_MAX_SPELLS];
    struct avvik__event events[AVVIK_MAX_EVENTS];
};

/* A number of a person's own, for habits. */
uint32_t avvik__life_word(const struct avvik__world *world, uint32_t person);
/* Months of age at the end of a month; 0 or less before birth. */
int avvik__months_old(const struct avvik__member *member, const struct avvik__month *month);

/* Who member `index` of the block is, without anything that happens to them. */
void avvik__life_begin(const struct avvik__world *world, const struct avvik__block *block, uint32_t index,
                       struct avvik__life *life);

/* Make the life of member `index` of the block. */
void avvik__life_make(const struct avvik__world *world, const struct avvik__block *block, uint32_t index,
                      struct avvik__life *life);

/* For life_typology.c: the parts that lives are made of. All clip to the life, and drop what does not fit. */
struct avvik__job *avvik__job_add(struct avvik__life *life, int32_t from, int32_t to, uint32_t employer, double wage,
                                  double position);
struct avvik__spell *avvik__spell_add(struct avvik__life *life, enum avvik__scheme scheme, int32_t from, int32_t to,
                                      double basis, double grade);
void avvik__event_add(struct avvik__life *life, int32_t day, enum avvik__event_kind kind);
/* A number of a staffed business, large ones more often. */
uint32_t avvik__employer_draw(const struct avvik__world *world, uint32_t word);
/* Kroner a year that `wage` (May 2024) at this position comes to on `day`. */
double avvik__yearly(const struct avvik__world *world, double wage, double position, int32_t day);

/* Lay the life's typology, or its look-alike, in place of an ordinary working life; 0 if it has none. `wage` and
 * `employer`: what the person has otherwise. */
int avvik__life_typology(const struct avvik__world *world, struct avvik__life *life, double wage, uint32_t employer);

/* The month of the period in which a ring starts; down to five before it. */
int avvik__ring_month(const struct avvik__world *world, enum avvik__ring_kind kind, uint32_t ring);
/* The business number of a ring of employers. */
uint32_t avvik__ring_employer(const struct avvik__world *world, enum avvik__ring_kind kind, uint32_t ring);

#endif

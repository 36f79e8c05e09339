/* The tables of the country: their columns, and how rows get into them. */
#ifndef AVVIK_SYNTH_TABLES_H
#define AVVIK_SYNTH_TABLES_H

#include <string.h>

#include "business.h"
#include "life.h"
#include "record_file.h"

struct avvik__benefit_row {
    uint64_t case_id, person, household, employer, account;
    int64_t gross, net, tax, basis; /* oere; basis a year, AVVIK_NO_AMOUNT where there is none */
    int32_t period_from, period_to, pay_date;
    float grade_pct, hours_reported; /* NaN: missing */
    uint16_t benefit_code, office, country, typology, look_alike;
};

struct avvik__wage_row {
    uint64_t person, employer, account;
    int64_t amount, tax_withheld;
    int32_t earned_from, earned_to, reported_on;
    float position_pct, leave_pct;
    uint16_t income_type, occupation, typology, look_alike;
};

struct avvik__vat_row {
    uint64_t business, account;
    int64_t basis, vat, settled_vat;
    int32_t reported_on;
    float rate;
    uint16_t year, term, vat_code, industry, municipality, typology, look_alike;
};

struct avvik__person_row {
    uint64_t national_id, person, household, employer, account;
    int64_t wage; /* oere a month in a full position, before the period's pay rises */
    int32_t birth_date;
    uint16_t sex, municipality, occupation, benefits, events, typology, look_alike;
};

struct avvik__household_row {
    uint64_t household;
    uint16_t size, kind, municipality;
};

struct avvik__employer_row {
    uint64_t employer, account;
    uint32_t organisation_number;
    int32_t founded;
    uint16_t industry, municipality, is_staffed, typology, look_alike;
};

struct avvik__account_row {
    uint64_t number, account, holder;
    int32_t opened;
};

struct avvik__employment_row {
    uint64_t person, employer;
    int32_t from, to;
    float position_pct;
    uint16_t occupation;
};

struct avvik__event_row {
    uint64_t person;
    int32_t date;
    uint16_t event;
};

#define AVVIK_NO_AMOUNT INT64_MIN

struct avvik__column_kind {
    const char *name;
    enum avvik__type type;
    const char *role, *units, *long_name; /* role NULL: of the truth file */
    int list;                             /* enum avvik__list of its codes, or -1 */
    int has_fill;                         /* missing: NaN, 0, 65535 or AVVIK_NO_AMOUNT, by its type */
    size_t offset;                        /* in the row */
};

struct avvik__sink;

/* What rows are made from: a person with a life, or a business. */
struct avvik__unit_of {
    const struct avvik__world *world;
    int month; /* of the period */
    const struct avvik__block *block;
    uint32_t index; /* of the person in the block; or the number of the business */
    const struct avvik__life *life;
    const struct avvik__business *business;
};

struct avvik__table_kind {
    const char *name; /* "/benefit" */
    const char *text;
    const struct avvik__column_kind *columns;
    size_t n_columns;
    int is_of_businesses, needs_life; /* needs_life: more of a person than who they are */
    void (*emit)(const struct avvik__unit_of *of, struct avvik__sink *sink);
};

enum avvik__table_number {
    AVVIK_TABLE_BENEFIT,
    AVVIK_TABLE_WAGE,
    AVVIK_TABLE_VAT,
    AVVIK_TABLE_PERSON,
    AVVIK_TABLE_HOUSEHOLD,
    AVVIK_TABLE_EMPLOYER,
    AVVIK_TABLE_ACCOUNT,
    AVVIK_TABLE_EMPLOYMENT,
    AVVIK_TABLE_EVENT,
    AVVIK_N_TABLES
};
extern const struct avvik__table_kind avvik__tables[AVVIK_N_TABLES];

/* Where rows go: those of a window of the table into columns, the others are counted only. */
struct avvik__sink {
    const struct avvik__table_kind *table;
    int month;      /* of the period */
    uint64_t next;  /* number of the row that comes next */
    uint64_t first; /* of the window */
    size_t n_rows;  /* of the window; 0: everything is only counted */
    char **columns; /* [column], n_rows elements each */
};

/* Is the next row in the window? If not it is counted, and need not be made. */
static inline int avvik__sink_wants(struct avvik__sink *sink)
{
    if (sink->next - sink->first < sink->n_rows)
        return 1;
    sink->next++;
    return 0;
}

/* Is one of the next n rows in the window? */
static inline int avvik__sink_touches(const struct avvik__sink *sink, uint64_t n)
{
    return sink->n_rows > 0 && sink->next + n > sink->first && sink->next < sink->first + sink->n_rows;
}

/* Put the next row, which is in the window. */
static inline void avvik__sink_put(struct avvik__sink *sink, const void *row)
{
    const size_t at = (size_t)(sink->next++ - sink->first);
    const char *bytes = row;
    for (size_t c = 0; c < sink->table->n_columns; c++) {
        const struct avvik__column_kind *kind = &sink->table->columns[c];
        switch (kind->type) {
        case AVVIK_U16: memcpy(sink->columns[c] + 2 * at, bytes + kind->offset, 2); break;
        case AVVIK_U32:
        case AVVIK_I32:
        case AVVIK_F32: memcpy(sink->columns[c] + 4 * at, bytes + kind->offset, 4); break;
        default: memcpy(sink->columns[c] + 8 * at, bytes + kind->offset, 8); break;
        }
    }
}

/* Hashes as they stand in every table. */
uint64_t avvik__person_hash(const struct avvik__world *world, const struct avvik__member *member);
uint64_t avvik__household_hash(const struct avvik__world *world, uint32_t first_person);
uint64_t avvik__business_hash(const struct avvik__world *world, uint32_t business);
uint64_t avvik__account_hash(const struct avvik__world *world, uint64_t number);

/* Numbers of accounts: twelve digits, where real ones have eleven. */
#define AVVIK_ACCOUNT_OF_PERSON UINT64_C(900000000000)
#define AVVIK_ACCOUNT_OF_BUSINESS UINT64_C(950000000000)
#define AVVIK_ACCOUNT_OF_RING UINT64_C(980000000000)
uint64_t avvik__ring_account(enum avvik__ring_kind kind, uint32_t ring);
/* The account a person is paid to in the ordinary way: their own, or their household's. */
uint64_t avvik__usual_account(const struct avvik__unit_of *of);

/* What is paid for a child in a month: bit k for scheme k. */
unsigned avvik__child_benefits(const struct avvik__world *world, uint32_t person, const struct avvik__member *child,
                               const struct avvik__month *month);

/* Rows of one unit, in order. */
void avvik__benefit_emit(const struct avvik__unit_of *of, struct avvik__sink *sink);
void avvik__wage_emit(const struct avvik__unit_of *of, struct avvik__sink *sink);
void avvik__vat_emit(const struct avvik__unit_of *of, struct avvik__sink *sink);
void avvik__person_emit(const struct avvik__unit_of *of, struct avvik__sink *sink);
void avvik__household_emit(const struct avvik__unit_of *of, struct avvik__sink *sink);
void avvik__employer_emit(const struct avvik__unit_of *of, struct avvik__sink *sink);
void avvik__account_emit(const struct avvik__unit_of *of, struct avvik__sink *sink);
void avvik__employment_emit(const struct avvik__unit_of *of, struct avvik__sink *sink);
void avvik__event_emit(const struct avvik__unit_of *of, struct avvik__sink *sink);

#endif

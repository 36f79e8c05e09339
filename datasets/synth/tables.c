#include "tables.h"

#include <stddef.h>

#define C(row, name, type, role, units, text, list, fill)                                                              \
    {                                                                                                                  \
#name, type, role, units, text, list, fill, offsetof(struct row, name)                                         \
    }
#define NONE (-1)
#define DAYS "days since 1970-01-01"
#define OERE "oere"
#define TRUTH(row)                                                                                                     \
    C(row, typology, AVVIK_U16, NULL, "", "the typology it belongs to", AVVIK_LIST_TYPOLOGIES, 0),                     \
        C(row, look_alike, AVVIK_U16, NULL, "", "the typology it looks like and does not belong to",                   \
          AVVIK_LIST_TYPOLOGIES, 0)

#define B avvik__benefit_row
static const struct avvik__column_kind benefit[] = {
    C(B, case_id, AVVIK_U64, "id", "", "this payment", NONE, 0),
    C(B, person, AVVIK_U64, "key", "", "keyed hash of the identity number", NONE, 0),
    C(B, household, AVVIK_U64, "key", "", "keyed hash of the household", NONE, 0),
    C(B, benefit_code, AVVIK_U16, "group", "", "scheme", AVVIK_LIST_SCHEMES, 0),
    C(B, period_from, AVVIK_I32, "time", DAYS, "first day that is paid for", NONE, 0),
    C(B, period_to, AVVIK_I32, "time", DAYS, "last day that is paid for", NONE, 0),
    C(B, pay_date, AVVIK_I32, "time", DAYS, "day of payment", NONE, 0),
    C(B, gross, AVVIK_I64, "feature", OERE, "amount before tax; negative: taken back", NONE, 0),
    C(B, net, AVVIK_I64, "feature", OERE, "amount after tax", NONE, 0),
    C(B, tax, AVVIK_I64, "feature", OERE, "tax withheld; missing: the benefit is free of tax", NONE, 1),
    C(B, basis, AVVIK_I64, "feature", OERE, "yearly income that the amount is reckoned from", NONE, 1),
    C(B, grade_pct, AVVIK_F32, "feature", "per cent", "grade of illness, disability or pension", NONE, 1),
    C(B, hours_reported, AVVIK_F32, "feature", "hours", "hours of work on the reporting cards", NONE, 1),
    C(B, employer, AVVIK_U64, "key", "", "keyed hash of the employer", NONE, 1),
    C(B, account, AVVIK_U64, "key", "", "keyed hash of the account that is paid to", NONE, 1),
    C(B, office, AVVIK_U16, "group", "", "office that decided", AVVIK_LIST_OFFICES, 0),
    C(B, country, AVVIK_U16, "protected", "", "where the person stays", AVVIK_LIST_COUNTRIES, 0),
    TRUTH(B)};
#undef B

#define W avvik__wage_row
static const struct avvik__column_kind wage[] = {
    C(W, person, AVVIK_U64, "key", "", "keyed hash of the identity number", NONE, 0),
    C(W, employer, AVVIK_U64, "key", "", "keyed hash of the organisation number", NONE, 0),
    C(W, income_type, AVVIK_U16, "group", "", "kind of income", AVVIK_LIST_INCOMES, 0),
    C(W, amount, AVVIK_I64, "feature", OERE, "amount before tax; negative: taken back", NONE, 0),
    C(W, earned_from, AVVIK_I32, "time", DAYS, "first day it was earned on", NONE, 0),
    C(W, earned_to, AVVIK_I32, "time", DAYS, "last day it was earned on", NONE, 0),
    C(W, reported_on, AVVIK_I32, "time", DAYS, "day the report came in", NONE, 0),
    C(W, position_pct, AVVIK_F32, "feature", "per cent", "of a full position", NONE, 1),
    C(W, occupation, AVVIK_U16, "group", "", "STYRK-08, two digits", AVVIK_LIST_OCCUPATIONS, 1),
    C(W, leave_pct, AVVIK_F32, "feature", "per cent", "on leave", NONE, 0),
    C(W, tax_withheld, AVVIK_I64, "feature", OERE, "tax withheld", NONE, 0),
    C(W, account, AVVIK_U64, "key", "", "keyed hash of the account that is paid to", NONE, 1),
    TRUTH(W)};
#undef W

#define V avvik__vat_row
static const struct avvik__column_kind vat[] = {
    C(V, business, AVVIK_U64, "key", "", "keyed hash of the organisation number", NONE, 0),
    C(V, year, AVVIK_U16, "time", "years", "year of the return", NONE, 0),
    C(V, term, AVVIK_U16, "time", "two months", "term of the year, 1 to 6", NONE, 0),
    C(V, vat_code, AVVIK_U16, "group", "", "standard VAT code", AVVIK_LIST_VAT_CODES, 0),
    C(V, basis, AVVIK_I64, "feature", OERE, "turnover or purchases", NONE, 0),
    C(V, rate, AVVIK_F32, "feature", "per cent", "rate of VAT", NONE, 0),
    C(V, vat, AVVIK_I64, "feature", OERE, "VAT on it", NONE, 0),
    C(V, settled_vat, AVVIK_I64, "feature", OERE, "of the whole return: to be paid; negative: refunded", NONE, 0),
    C(V, reported_on, AVVIK_I32, "time", DAYS, "day the return came in", NONE, 0),
    C(V, account, AVVIK_U64, "key", "", "keyed hash of the account", NONE, 1),
    C(V, industry, AVVIK_U16, "group", "", "SN2007, two digits", AVVIK_LIST_INDUSTRIES, 0),
    C(V, municipality, AVVIK_U16, "group", "", "of the business", AVVIK_LIST_MUNICIPALITIES, 0),
    TRUTH(V)};
#undef V

#define P avvik__person_row
static const struct avvik__column_kind person[] = {
    C(P, national_id, AVVIK_U64, "id", "11 digits", "synthetic identity number: 80 is added to the month", NONE, 0),
    C(P, person, AVVIK_U64, "key", "", "what stands for it in the batches", NONE, 0),
    C(P, household, AVVIK_U64, "key", "", "keyed hash of the household", NONE, 0),
    C(P, birth_date, AVVIK_I32, "protected", DAYS, "date of birth; may lie within the period", NONE, 0),
    C(P, sex, AVVIK_U16, "protected", "", "sex", AVVIK_LIST_SEXES, 0),
    C(P, municipality, AVVIK_U16, "group", "", "of residence", AVVIK_LIST_MUNICIPALITIES, 0),
    C(P, occupation, AVVIK_U16, "group", "", "STYRK-08, two digits", AVVIK_LIST_OCCUPATIONS, 1),
    C(P, employer, AVVIK_U64, "key", "", "main employer at the end of the period", NONE, 1),
    C(P, wage, AVVIK_I64, "feature", OERE, "of that job, a month in a full position, at the start of the period", NONE,
      1),
    C(P, account, AVVIK_U64, "key", "", "account that is usually paid to", NONE, 0),
    C(P, benefits, AVVIK_U16, "other", "bits", "bit k: drew scheme k in the period", NONE, 0),
    C(P, events, AVVIK_U16, "other", "bits", "bit k: event k in the period", NONE, 0),
    TRUTH(P)};
#undef P

#define H avvik__household_row
static const struct avvik__column_kind household[] = {
    C(H, household, AVVIK_U64, "id", "", "keyed hash of the household", NONE, 0),
    C(H, size, AVVIK_U16, "feature", "persons", "members", NONE, 0),
    C(H, kind, AVVIK_U16, "group", "", "composition", AVVIK_LIST_HOUSEHOLDS, 0),
    C(H, municipality, AVVIK_U16, "group", "", "of residence", AVVIK_LIST_MUNICIPALITIES, 0)};
#undef H

#define E avvik__employer_row
static const struct avvik__column_kind employer[] = {
    C(E, organisation_number, AVVIK_U32, "id", "9 digits", "synthetic: begins with 2 or 3", NONE, 0),
    C(E, employer, AVVIK_U64, "key", "", "what stands for it in the batches", NONE, 0),
    C(E, industry, AVVIK_U16, "group", "", "SN2007, two digits", AVVIK_LIST_INDUSTRIES, 0),
    C(E, municipality, AVVIK_U16, "group", "", "seat", AVVIK_LIST_MUNICIPALITIES, 0),
    C(E, founded, AVVIK_I32, "time", DAYS, "first day", NONE, 0),
    C(E, is_staffed, AVVIK_U16, "feature", "", "1: has employees", NONE, 0),
    C(E, account, AVVIK_U64, "key", "", "keyed hash of its account", NONE, 0),
    TRUTH(E)};
#undef E

#define A avvik__account_row
static const struct avvik__column_kind account[] = {
    C(A, number, AVVIK_U64, "id", "12 digits", "synthetic: real ones have eleven digits", NONE, 0),
    C(A, account, AVVIK_U64, "key", "", "what stands for it in the batches", NONE, 0),
    C(A, holder, AVVIK_U64, "key", "", "person or business it belongs to; 0: somebody else", NONE, 0),
    C(A, opened, AVVIK_I32, "time", DAYS, "day it was opened", NONE, 0)};
#undef A

#define J avvik__employment_row
static const struct avvik__column_kind employment[] = {
    C(J, person, AVVIK_U64, "key", "", "person", NONE, 0),
    C(J, employer, AVVIK_U64, "key", "", "employer", NONE, 0),
    C(J, from, AVVIK_I32, "time", DAYS, "first day", NONE, 0),
    C(J, to, AVVIK_I32, "time", DAYS, "last day", NONE, 0),
    C(J, position_pct, AVVIK_F32, "feature", "per cent", "of a full position", NONE, 0),
    C(J, occupation, AVVIK_U16, "group", "", "STYRK-08, two digits", AVVIK_LIST_OCCUPATIONS, 1)};
#undef J

#define L avvik__event_row
static const struct avvik__column_kind event[] = {
    C(L, person, AVVIK_U64, "key", "", "person", NONE, 0), C(L, date, AVVIK_I32, "time", DAYS, "day", NONE, 0),
    C(L, event, AVVIK_U16, "group", "", "life event", AVVIK_LIST_EVENTS, 0)};
#undef L

#define TABLE(columns) columns, sizeof columns / sizeof columns[0]
const struct avvik__table_kind avvik__tables[AVVIK_N_TABLES] = {
    [AVVIK_TABLE_BENEFIT] = {"/benefit", "payments of benefits", TABLE(benefit), 0, 1, avvik__benefit_emit},
    [AVVIK_TABLE_WAGE] = {"/tax_wage", "wage reports", TABLE(wage), 0, 1, avvik__wage_emit},
    [AVVIK_TABLE_VAT] = {"/tax_vat", "VAT returns", TABLE(vat), 1, 0, avvik__vat_emit},
    [AVVIK_TABLE_PERSON] = {"/person", "persons", TABLE(person), 0, 1, avvik__person_emit},
    [AVVIK_TABLE_HOUSEHOLD] = {"/household", "households", TABLE(household), 0, 0, avvik__household_emit},
    [AVVIK_TABLE_EMPLOYER] = {"/employer", "businesses", TABLE(employer), 1, 0, avvik__employer_emit},
    [AVVIK_TABLE_ACCOUNT] = {"/account", "bank accounts", TABLE(account), 0, 0, avvik__account_emit},
    [AVVIK_TABLE_EMPLOYMENT] = {"/employment", "jobs in the period", TABLE(employment), 0, 1, avvik__employment_emit},
    [AVVIK_TABLE_EVENT] = {"/event", "life events in the period", TABLE(event), 0, 1, avvik__event_emit},
};

uint64_t avvik__person_hash(const struct avvik__world *world, const struct avvik__member *member)
{
    return avvik__identity_hash(world->key, AVVIK_ID_PERSON,
                                avvik__national_id(world->numbers, member->birth_year, member->is_male, member->rank));
}

uint64_t avvik__household_hash(const struct avvik__world *world, uint32_t first_person)
{
    return avvik__identity_hash(world->key, AVVIK_ID_HOUSEHOLD, first_person);
}

uint64_t avvik__business_hash(const struct avvik__world *world, uint32_t business)
{
    return avvik__identity_hash(world->key, AVVIK_ID_BUSINESS, avvik__organisation_number(business));
}

uint64_t avvik__account_hash(const struct avvik__world *world, uint64_t number)
{
    return avvik__identity_hash(world->key, AVVIK_ID_ACCOUNT, number);
}

uint64_t avvik__ring_account(enum avvik__ring_kind kind, uint32_t ring)
{
    return AVVIK_ACCOUNT_OF_RING + (kind == AVVIK_RING_ACCOUNT ? 0 : UINT64_C(10000000000)) + ring;
}

uint64_t avvik__usual_account(const struct avvik__unit_of *of)
{
    const struct avvik__member *self = of->life->member;
    const int is_shared = self->size > 1 && of->life->scatter < 0.4;
    return AVVIK_ACCOUNT_OF_PERSON + (is_shared ? of->block->first + self->first : of->life->person);
}

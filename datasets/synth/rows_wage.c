/* Wage reports, as they stand when everything about the month has come in: late and corrected ones too. */
#include <math.h>

#include "draw.h"
#include "tables.h"

struct report {
    const struct avvik__unit_of *of;
    const struct avvik__month *month;
    const struct avvik__job *job;
    struct avvik__words words, more;
    int32_t from, to;
    double leave; /* share of the days on sickness or parental benefit, weighted with its grade */
};

static double leave_share(const struct report *report)
{
    const struct avvik__life *life = report->of->life;
    double days = 0;
    for (unsigned i = 0; i < life->n_spells; i++) {
        const struct avvik__spell *spell = &life->spells[i];
        const int32_t from = spell->from > report->from ? spell->from : report->from;
        const int32_t to = spell->to < report->to ? spell->to : report->to;
        if ((spell->scheme == AVVIK_SYKEPENGER || spell->scheme == AVVIK_FORELDREPENGER) && to >= from)
            days += (to - from + 1) * (double)spell->grade / 100;
    }
    const double share = days / (report->to - report->from + 1);
    return share > 1 ? 1 : share;
}

static void report_put(const struct report *report, struct avvik__sink *sink, enum avvik__income income, double amount,
                       int delay)
{
    if (!avvik__sink_wants(sink))
        return;
    const struct avvik__unit_of *of = report->of;
    const struct avvik__job *job = report->job;
    const uint32_t word = avvik__remix(report->more.v[0] + (uint32_t)income);
    const double late = avvik__unit(word);
    /* due on the fifth of the next month */
    int32_t reported = report->month->last + 1 + (int32_t)avvik__below(report->more.v[1], 5);
    if (late < (job->is_late ? 0.35 : 0.07)) {
        const double days = 6 + 18 * avvik__waiting(report->more.v[2]);
        reported = report->month->last + (int32_t)(days > 150 ? 150 : days);
    }
    struct avvik__wage_row row = {.person = avvik__person_hash(of->world, of->life->member),
                                  .employer = avvik__business_hash(of->world, job->employer),
                                  .account = avvik__account_hash(of->world, avvik__usual_account(of)),
                                  .amount = (int64_t)floor(amount * 100 + 0.5),
                                  .earned_from = report->from,
                                  .earned_to = report->to,
                                  .reported_on = reported + delay,
                                  .position_pct = word % 64 == 0 ? NAN : job->position * 100,
                                  .leave_pct = (float)(100 * report->leave),
                                  .income_type = (uint16_t)income,
                                  .occupation = word % 130 == 1 ? UINT16_MAX : job->occupation,
                                  .typology = job->typology,
                                  .look_alike = job->look_alike};
    if (income != AVVIK_INCOME_HOLIDAY)
        row.tax_withheld = (int64_t)(amount * of->life->tax) * 100;
    avvik__sink_put(sink, &row);
}

/* Pay of the month, before leave. */
static double pay_of(const struct report *report)
{
    const struct avvik__job *job = report->job;
    const double share = (double)(report->to - report->from + 1) / report->month->n_days;
    const double noise = job->is_hourly ? 0.82 + 0.36 * avvik__unit(report->words.v[0]) : 1;
    return job->wage * report->month->wage_index * (double)job->position * share * noise;
}

/* How much of last year the job was there for: what its holiday pay is reckoned from. */
static double last_year_share(const struct report *report)
{
    const int32_t from = avvik__day_of(report->month->year - 1, 1, 1), to = avvik__day_of(report->month->year, 1, 1);
    const int32_t start = report->job->since > from ? report->job->since : from;
    return start >= to ? 0 : (double)(to - start) / (to - from);
}

static void job_report(const struct report *report, struct avvik__sink *sink)
{
    const struct avvik__job *job = report->job;
    const uint32_t chance = report->words.v[1];
    const double pay = pay_of(report);
    double regular = pay * (1 - report->leave);
    if (report->month->month == 6 && !job->is_hourly) { /* holiday pay takes the place of pay in June */
        const double share = last_year_share(report);
        if (share > 0)
            report_put(report, sink, AVVIK_INCOME_HOLIDAY,
                       report->month->rule[AVVIK_RULE_HOLIDAY_PAY] / 100 * 12 * pay * share, 0);
        regular *= 1 - share;
    }
    if (regular >= 1)
        report_put(report, sink, job->is_hourly ? AVVIK_INCOME_HOURLY : AVVIK_INCOME_FIXED, regular, 0);
    if (chance % 1000 < 85 && report->leave < 0.5)
        report_put(report, sink, AVVIK_INCOME_OVERTIME, pay * (0.02 + 0.13 * avvik__unit(report->words.v[2])), 0);
    if (job->occupation < 7 && (report->month->month == 12 || report->month->month == 3) && chance / 1000 % 100 < 14)
        report_put(report, sink, AVVIK_INCOME_BONUS, pay * (0.3 + 1.5 * avvik__unit(report->words.v[3])), 0);
    if (job->kind == AVVIK_JOB_CORRECTED)
        report_put(report, sink, AVVIK_INCOME_CORRECTION, -regular, 25 + (int)avvik__below(report->words.v[3], 45));
    else if (chance / 100000 % 1000 < 12 && regular >= 1) /* too much or too little at first */
        report_put(report, sink, AVVIK_INCOME_CORRECTION, pay * (avvik__unit(report->words.v[2]) - 0.6) * 0.3,
                   15 + (int)avvik__below(report->words.v[3], 45));
}

void avvik__wage_emit(const struct avvik__unit_of *of, struct avvik__sink *sink)
{
    const struct avvik__month *month = avvik__month_of(of->world, of->month);
    for (unsigned i = 0; i < of->life->n_jobs; i++) {
        const struct avvik__job *job = &of->life->jobs[i];
        struct report report = {.of = of, .month = month, .job = job};
        report.from = job->from > month->first ? job->from : month->first;
        report.to = job->to < month->last ? job->to : month->last;
        if (report.to < report.from)
            continue;
        report.words = avvik__draw(of->world->seed, of->life->person, of->month, AVVIK_DRAW_WAGE, i);
        report.more = avvik__draw(of->world->seed, of->life->person, of->month, AVVIK_DRAW_WAGE, 32 + i);
        if (job->kind == AVVIK_JOB_PAYOUT) {
            report_put(&report, sink, AVVIK_INCOME_HOLIDAY,
                       month->rule[AVVIK_RULE_HOLIDAY_PAY] / 100 * 12 * job->wage * (double)job->position *
                           (0.2 + 0.6 * avvik__unit(report.words.v[0])),
                       0);
            continue;
        }
        report.leave = leave_share(&report);
        job_report(&report, sink);
    }
}

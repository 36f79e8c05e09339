/* VAT returns: for each two-monthly term a row for each code, in the batch of the term's second month. */
#include <math.h>

#include "draw.h"
#include "tables.h"

struct term {
    const struct avvik__unit_of *of;
    const struct avvik__month *month;
    const struct avvik__business *business;
    struct avvik__words words, more;
    double basis[AVVIK_N_VAT_CODES]; /* kroner */
    double input, exports;           /* shares of the turnover in this term */
    int is_round;
};

/* How trade goes over the year, where the industry has a season: agriculture, construction, retail, hotels, food. */
static double season_of(int industry, int term)
{
    static const double farms[] = {0.6, 0.8, 0.9, 1.2, 1.5, 1.0}, building[] = {0.85, 0.95, 1.1, 0.95, 1.1, 1.05},
                        shops[] = {0.88, 0.95, 1.0, 0.97, 0.98, 1.22}, guests[] = {0.8, 0.85, 1.15, 1.4, 0.95, 0.85};
    switch (industry) {
    case 0: return farms[term - 1];
    case 3:
    case 4: return building[term - 1];
    case 6: return shops[term - 1];
    case 8:
    case 9: return guests[term - 1];
    default: return 1;
    }
}

/* Half of the look-alikes' year is quiet: what they sell, they sell abroad in a season. */
static int is_out_of_season(const struct avvik__business *business, int term)
{
    const int away = (term - business->peak_term + 6) % 6;
    return business->peak_term > 0 && away >= 3;
}

/* What the term has of a typology. 0: the business is silent in it. */
static int typology_term(struct term *term, double *turnover, int number)
{
    const struct avvik__business *business = term->business;
    const int month = term->of->month;
    const double u = avvik__unit(term->more.v[0]);
    const int is_active = month >= business->begins && month <= business->ends;
    const int which = business->typology != 0 ? business->typology : business->look_alike;
    switch (which) {
    case AVVIK_VAT_CAROUSEL:
        if (business->look_alike != 0) {
            *turnover *= 1.6;
            return !is_out_of_season(business, number);
        }
        /* builds up, surges in exports, falls silent */
        if (!is_active)
            return 0;
        *turnover *= 0.7 + 0.12 * (month - business->begins);
        term->exports = 0.06 * u;
        if (business->ends - month < 2) {
            term->exports = 0.5 + 0.4 * u;
            term->input = 0.94 + 0.06 * avvik__unit(avvik__remix(term->more.v[0]));
        }
        return 1;
    case AVVIK_INFLATED_DEDUCTIONS: /* too much for the industry; the look-alike invests in these terms, and to the
                                       krone */
        if (is_active)
            term->input += 0.16 + 0.24 * u;
        term->is_round = is_active && business->typology != 0;
        return 1;
    default: return 1;
    }
}

static void basis_split(struct term *term, double turnover)
{
    const struct avvik__business *business = term->business;
    const double exports = turnover * term->exports, home = turnover - exports;
    const double food = home * business->food, input = turnover * term->input;
    const int sells_low = business->industry == 7 || business->industry == 8; /* transport, hotels */
    const double abroad = avvik__unit(term->words.v[2]);
    term->basis[AVVIK_VAT_EXPORT] = exports;
    term->basis[sells_low ? AVVIK_VAT_SALES_LOW : AVVIK_VAT_SALES_FOOD] = food;
    term->basis[AVVIK_VAT_SALES_STANDARD] = home - food;
    const double food_in = business->food > 0 ? 0.25 * business->food * input : 0;
    const double low_in = term->more.v[1] % 5 == 0 ? 0.03 * input : 0;
    const double imports = abroad < 0.16 ? (0.1 + 0.4 * abroad / 0.16) * input : 0;
    const double services = abroad > 0.86 ? 0.2 * (abroad - 0.8) * input : 0;
    term->basis[AVVIK_VAT_INPUT_FOOD] = food_in;
    term->basis[AVVIK_VAT_INPUT_LOW] = low_in;
    term->basis[AVVIK_VAT_IMPORT] = imports;
    term->basis[AVVIK_VAT_SERVICES_ABROAD] = services;
    term->basis[AVVIK_VAT_INPUT_STANDARD] = input - food_in - low_in - imports - services;
}

static int is_input(int code)
{
    return code >= AVVIK_VAT_INPUT_STANDARD;
}

static void rows_put(const struct term *term, int number, struct avvik__sink *sink)
{
    const struct avvik__unit_of *of = term->of;
    const struct avvik__business *business = term->business;
    int64_t basis[AVVIK_N_VAT_CODES], vat[AVVIK_N_VAT_CODES], settled = 0;
    for (int code = 0; code < AVVIK_N_VAT_CODES; code++) {
        double amount = term->basis[code];
        if (term->is_round && is_input(code) && amount > 2000)
            amount = floor(amount / 1000 + 0.5) * 1000;
        basis[code] = (int64_t)floor(amount + 0.5) * 100;
        vat[code] = (int64_t)((double)basis[code] * avvik__vat_rates[code] / 100);
        settled += is_input(code) ? -vat[code] : vat[code];
    }
    /* due 40 days after the term, that of May and June at the end of August */
    int32_t reported = term->month->last + (number == 3 ? 62 : 40) - (int32_t)avvik__below(term->more.v[2], 18);
    if (term->more.v[3] % 100 < (business->is_sloppy ? 45u : 5u))
        reported += 18 + (int32_t)avvik__below(term->more.v[3] >> 8, 40 << 8) / 256;
    for (int code = 0; code < AVVIK_N_VAT_CODES; code++) {
        if (basis[code] < 10000 || !avvik__sink_wants(sink))
            continue;
        const struct avvik__vat_row row = {
            .business = avvik__business_hash(of->world, business->number),
            .account = avvik__account_hash(of->world, AVVIK_ACCOUNT_OF_BUSINESS + business->number),
            .basis = basis[code],
            .vat = vat[code],
            .settled_vat = settled,
            .reported_on = reported,
            .rate = (float)avvik__vat_rates[code],
            .year = (uint16_t)term->month->year,
            .term = (uint16_t)number,
            .vat_code = (uint16_t)code,
            .industry = business->industry,
            .municipality = business->municipality,
            .typology = business->typology,
            .look_alike = business->look_alike};
        avvik__sink_put(sink, &row);
    }
}

void avvik__vat_emit(const struct avvik__unit_of *of, struct avvik__sink *sink)
{
    const struct avvik__business *business = of->business;
    struct term term = {.of = of, .month = avvik__month_of(of->world, of->month), .business = business};
    const int number = term.month->month / 2;
    if (term.month->month % 2 != 0 || !business->is_registered || business->founded > term.month->last)
        return;
    term.words = avvik__draw(of->world->seed, business->number, of->month, AVVIK_DRAW_VAT, 0);
    term.more = avvik__draw(of->world->seed, business->number, of->month, AVVIK_DRAW_VAT, 1);
    const double spread = avvik__industries[business->industry].spread;
    double turnover = business->turnover / 6 * season_of(business->industry, number) *
                      avvik__exp(0.24 * avvik__normal(term.words.v[0])) * term.month->wage_index;
    term.exports = business->exports;
    term.input = business->input + 0.6 * spread * avvik__normal(term.words.v[1]);
    if (term.words.v[3] % 14 == 0) /* something large is bought */
        term.input += 0.2 + 0.8 * avvik__unit(avvik__remix(term.words.v[3]));
    if (!typology_term(&term, &turnover, number))
        return;
    term.input = term.input < 0.04 ? 0.04 : term.input;
    basis_split(&term, turnover);
    rows_put(&term, number, sink);
}

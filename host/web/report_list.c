/* The list of a report, and how its cases lie over offices and weeks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/check.h"
#include "avvik_internal.h"
#include "plot_svg.h"
#include "report_internal.h"

/* A different text, and how many cases have it. */
struct tally {
    const char *text;
    size_t n;
};

static int tally_compare(const void *a, const void *b)
{
    return strcmp(((const struct tally *)a)->text, ((const struct tally *)b)->text);
}

static int tally_compare_n(const void *a, const void *b)
{
    const struct tally *left = a, *right = b;
    return left->n != right->n ? (left->n < right->n) - (left->n > right->n) : strcmp(left->text, right->text);
}

static int has_date(const struct avvik__case_document *document)
{
    return document->time != NULL && avvik__is_date(document->time);
}

/* The offices of all cases, or of those with a date, sorted by name; the number of them. tallies: room for n_cases. */
static size_t offices_of(const struct avvik__report *report, int needs_date, struct tally *tallies)
{
    size_t n = 0, n_different = 0;
    for (size_t i = 0; i < report->n_cases; i++)
        if (report->cases[i]->office != NULL && (!needs_date || has_date(report->cases[i])))
            tallies[n++] = (struct tally){report->cases[i]->office, 1};
    qsort(tallies, n, sizeof *tallies, tally_compare);
    for (size_t i = 0; i < n; i++)
        if (n_different > 0 && strcmp(tallies[n_different - 1].text, tallies[i].text) == 0)
            tallies[n_different - 1].n++;
        else
            tallies[n_different++] = tallies[i];
    return n_different;
}

static void tools_put(const struct avvik__report *report, struct avvik__html *to)
{
    struct tally *offices = malloc((report->n_cases + 1) * sizeof *offices);
    const size_t n = offices == NULL ? 0 : offices_of(report, 0, offices);
    avvik__html_add(to, "<form id=tools role=search hidden>\n");
    avvik__html_add(to, "<label>%s<br><input type=search id=words autocomplete=off></label>\n",
                    avvik__say(report, AVVIK_WORD_filter));
    avvik__html_add(to, "<label>%s<br><select id=office><option value=\"\">%s", avvik__say(report, AVVIK_WORD_office),
                    avvik__say(report, AVVIK_WORD_all_offices));
    for (size_t i = 0; i < n; i++) {
        avvik__html_add(to, "<option>");
        avvik__html_add(to, "%s", offices[i].text);
    }
    avvik__html_add(to, "</select></label>\n<label>%s<br><select id=chosen><option value=\"\">%s",
                    avvik__say(report, AVVIK_WORD_chosen), avvik__say(report, AVVIK_WORD_all_cases));
    avvik__html_add(to, "<option value=ranked>%s<option value=random>%s</select></label>\n",
                    avvik__say(report, AVVIK_WORD_report_ranked), avvik__say(report, AVVIK_WORD_at_random));
    avvik__html_add(to, "<output id=count data-word=\"%s\"></output>\n</form>\n", avvik__say(report, AVVIK_WORD_shown));
    free(offices);
}

#define MAX_CHIPS 3 /* the case itself has all reasons */

/* What a reason says in a chip: the feature, where it lies, how much of the score. */
static void chip_put(const struct avvik__report *report, const struct avvik__case_document *document,
                     const struct avvik__case_reason *reason, struct avvik__html *to)
{
    char label[200];
    const int is_missing = isnan(reason->value) && reason->text == NULL;
    const char *arrow = reason->value > reason->peer_median ? " \xe2\x86\x91" : " \xe2\x86\x93";
    avvik__label_shown(document, reason->feature, reason->label, report->language, label, sizeof label);
    avvik__html_add(to, "<li>%s", label);
    if (is_missing)
        avvik__html_add(to, " %s", avvik__say(report, AVVIK_WORD_missing));
    else if (isfinite(reason->value) && isfinite(reason->peer_median) && reason->value != reason->peer_median)
        avvik__html_add(to, "%s", arrow);
    if (isfinite(reason->share)) {
        avvik__html_add(to, " ");
        avvik__html_number(to, 100 * reason->share, 0, report->style);
        avvik__html_add(to, "\xc2\xa0%%");
    }
}

static void row_put(const struct avvik__report *report, size_t number, struct avvik__html *to)
{
    const struct avvik__case_document *document = report->cases[number];
    const int is_random = strcmp(document->selected_by, "random") == 0;
    avvik__html_add(to, "<tr%s>", is_random ? " class=random" : "");
    if (document->rank > 0)
        avvik__html_add(to, "<td>%lld", (long long)document->rank);
    else
        avvik__html_add(to, "<td>%s", is_random ? avvik__say(report, AVVIK_WORD_report_random) : "-");
    avvik__html_add(to, "<td><a href=#c%zu>%s</a><td>%s<td>%s<td>", number + 1, document->key, document->office,
                    document->time);
    avvik__html_number(to, document->combined, 2, report->style);
    avvik__html_add(to, "<td>");
    avvik__html_p(to, document->p, report->style);
    avvik__html_add(to, "<td><ul class=chips>");
    for (size_t i = 0; i < document->n_reasons && i < MAX_CHIPS; i++)
        if (i == 0 || !(document->reasons[i].share < 0.005))
            chip_put(report, document, &document->reasons[i], to);
    avvik__html_add(to, "</ul>\n");
}

void avvik__report_list(const struct avvik__report *report, struct avvik__html *to)
{
    static const struct {
        enum avvik__word word;
        const char *more;
    } heads[] = {{AVVIK_WORD_rank, " data-sort=n aria-sort=ascending"},
                 {AVVIK_WORD_case_word, " data-sort=t"},
                 {AVVIK_WORD_office, " data-sort=t"},
                 {AVVIK_WORD_date, " data-sort=t"},
                 {AVVIK_WORD_report_score, " data-sort=n"},
                 {AVVIK_WORD_share_p, " data-sort=n"},
                 {AVVIK_WORD_reasons, ""}};
    avvik__html_add(to, "<section id=cases aria-labelledby=hl>\n<h2 id=hl>%s</h2>\n",
                    avvik__say(report, AVVIK_WORD_list));
    if (report->n_cases == 0) {
        avvik__html_add(to, "<p>%s</p>\n</section>\n", avvik__say(report, AVVIK_WORD_none));
        return;
    }
    tools_put(report, to);
    avvik__html_add(to, "<div class=wide tabindex=0><table id=list>\n<thead><tr>");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        avvik__html_add(to, "<th scope=col%s>%s", heads[i].more, avvik__say(report, heads[i].word));
    avvik__html_add(to, "</thead>\n<tbody>\n");
    for (size_t i = 0; i < report->n_cases; i++)
        row_put(report, i, to);
    avvik__html_add(to, "</table></div>\n</section>\n");
}

/* ---- offices and weeks ---- */

#define MAX_OFFICES 40
#define MAX_WEEKS 53

/* "2026-W48": the ISO week that a day is in is that of its Thursday. */
static void week_text(long week, char text[40])
{
    char date[16];
    const long thursday = week * 7; /* 1970-01-01 was one */
    avvik_date_text((int32_t)thursday, date);
    char first[16];
    snprintf(first, sizeof first, "%.4s-01-01", date);
    snprintf(text, 40, "%.4s-W%02ld", date, (thursday - avvik__date_day(first)) / 7 + 1);
}

static long week_of(const char *date)
{
    const long days = avvik__date_day(date) + 3; /* from Monday 1969-12-29 on */
    return days >= 0 ? days / 7 : -((6 - days) / 7);
}

struct heat {
    struct tally *offices;
    size_t n_offices, n_shown;
    long first_week;
    size_t n_weeks;
    size_t *counts; /* [n_shown + 1][n_weeks]: the last row is of all other offices */
};

static int has_cell(const struct avvik__case_document *document)
{
    return document->office != NULL && has_date(document);
}

/* The weeks up to the last: at most MAX_WEEKS of them. */
static void weeks_find(const struct avvik__report *report, struct heat *heat)
{
    long first = 0, last = 0;
    int any = 0;
    for (size_t i = 0; i < report->n_cases; i++) {
        if (!has_cell(report->cases[i]))
            continue;
        const long week = week_of(report->cases[i]->time);
        first = !any || week < first ? week : first;
        last = !any || week > last ? week : last;
        any = 1;
    }
    heat->first_week = last - first >= MAX_WEEKS ? last - MAX_WEEKS + 1 : first;
    heat->n_weeks = any ? (size_t)(last - heat->first_week) + 1 : 0;
}

static size_t place_of(const struct heat *heat, const char *office)
{
    size_t i = 0;
    while (i < heat->n_shown && strcmp(heat->offices[i].text, office) != 0)
        i++;
    return i;
}

static int heat_make(const struct avvik__report *report, struct heat *heat)
{
    weeks_find(report, heat);
    heat->offices = malloc((report->n_cases + 1) * sizeof *heat->offices);
    if (heat->offices == NULL || heat->n_weeks == 0)
        return 0;
    heat->n_offices = offices_of(report, 1, heat->offices);
    qsort(heat->offices, heat->n_offices, sizeof *heat->offices, tally_compare_n);
    heat->n_shown = heat->n_offices < MAX_OFFICES ? heat->n_offices : MAX_OFFICES;
    heat->counts = calloc((heat->n_shown + 1) * heat->n_weeks, sizeof *heat->counts);
    for (size_t i = 0; i < report->n_cases && heat->counts != NULL; i++) {
        const long week = has_cell(report->cases[i]) ? week_of(report->cases[i]->time) - heat->first_week : -1;
        if (week >= 0)
            heat->counts[place_of(heat, report->cases[i]->office) * heat->n_weeks + (size_t)week]++;
    }
    return heat->counts != NULL;
}

static void heat_row(const struct heat *heat, size_t row, size_t most, struct avvik__html *to)
{
    size_t sum = 0;
    for (size_t w = 0; w < heat->n_weeks; w++) {
        const size_t n = heat->counts[row * heat->n_weeks + w];
        sum += n;
        if (n == 0)
            avvik__html_add(to, "<td>");
        else
            avvik__html_add(to, "<td class=h%zu>%zu", 1 + (most > 1 ? 4 * (n - 1) / (most - 1) : 0), n);
    }
    avvik__html_add(to, "<td>%zu\n", sum);
}

void avvik__report_heat(const struct avvik__report *report, struct avvik__html *to)
{
    struct heat heat = {0};
    char week[40];
    avvik__html_add(to, "<section id=heat aria-labelledby=hh>\n<h2 id=hh>%s</h2>\n",
                    avvik__say(report, AVVIK_WORD_heat));
    if (!heat_make(report, &heat)) {
        avvik__html_add(to, "<p>%s</p>\n</section>\n", avvik__say(report, AVVIK_WORD_no_heat));
    } else {
        size_t most = 1;
        for (size_t i = 0; i < (heat.n_shown + 1) * heat.n_weeks; i++)
            most = heat.counts[i] > most ? heat.counts[i] : most;
        avvik__html_add(to, "<p class=soft>%s</p>\n", avvik__say(report, AVVIK_WORD_heat_text));
        avvik__html_add(to, "<div class=wide tabindex=0><table class=heat><thead><tr><th scope=col>%s",
                        avvik__say(report, AVVIK_WORD_office));
        for (size_t w = 0; w < heat.n_weeks; w++) {
            week_text(heat.first_week + (long)w, week);
            avvik__html_add(to, "<th scope=col>%s", week);
        }
        avvik__html_add(to, "<th scope=col>%s</thead>\n<tbody>\n", avvik__say(report, AVVIK_WORD_sum));
        for (size_t i = 0; i < heat.n_shown + (heat.n_offices > heat.n_shown); i++) {
            avvik__html_add(to, "<tr><th scope=row>");
            avvik__html_add(to, "%s",
                            i < heat.n_shown ? heat.offices[i].text : avvik__say(report, AVVIK_WORD_other_offices));
            heat_row(&heat, i, most, to);
        }
        avvik__html_add(to, "</table></div>\n</section>\n");
    }
    free(heat.offices);
    free(heat.counts);
}

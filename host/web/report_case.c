/* One case of a report: what its words say, its reasons, where it lies among its peers, what came before, the row. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "report_internal.h"
#include "plot_small.h"
#include "plot_svg.h"
#include "value_text.h"

/* What put a case on the list, in words; what no avvik writes as it is. */
static const char *chosen_say(const struct avvik__report *report, const char *selected_by)
{
    static const struct {
        const char *name;
        enum avvik__word word;
    } words[] = {{"combined", AVVIK_WORD_by_combined}, {"forest", AVVIK_WORD_by_forest},
                 {"joint", AVVIK_WORD_by_joint},       {"deviation", AVVIK_WORD_by_deviation},
                 {"tails", AVVIK_WORD_by_tails},       {"row", AVVIK_WORD_by_row},
                 {"random", AVVIK_WORD_report_random}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].name, selected_by) == 0)
            return avvik__say(report, words[i].word);
    return selected_by;
}

static void head_put(const struct avvik__report *report, size_t number, struct avvik__html *to)
{
    const struct avvik__case_document *document = report->cases[number];
    char peers[512];
    avvik__peers_shown(document, report->language, peers, sizeof peers);
    avvik__html_add(to, "<article id=c%zu>\n<h3>", number + 1);
    if (document->rank > 0)
        avvik__html_add(to, "%lld. ", (long long)document->rank);
    avvik__html_add(to, "%s</h3>\n<ul>", document->key);
    const struct {
        enum avvik__word word;
        const char *text;
    } facts[] = {{AVVIK_WORD_office, document->office},
                 {AVVIK_WORD_date, document->time},
                 {AVVIK_WORD_entity, document->entity},
                 {AVVIK_WORD_compared_with, peers},
                 {AVVIK_WORD_chosen, chosen_say(report, document->selected_by)},
                 {AVVIK_WORD_input, report->input == NULL ? document->input : NULL}};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        if (facts[i].text == NULL || facts[i].text[0] == '\0')
            continue;
        avvik__html_add(to, "<li>%s: %s", avvik__say(report, facts[i].word), facts[i].text);
    }
    avvik__html_add(to, "<li>%s: %lld<li>%s: ", avvik__say(report, AVVIK_WORD_source), (long long)document->row,
                    avvik__say(report, AVVIK_WORD_report_score));
    avvik__html_number(to, document->combined, 2, report->style);
    avvik__html_add(to, "<li>%s: ", avvik__say(report, AVVIK_WORD_share_p));
    avvik__html_p(to, document->p, report->style);
    avvik__html_add(to, "</ul>\n");
}

static void words_put(const struct avvik__report *report, const struct avvik__case_document *document,
                      struct avvik__html *to)
{
    const enum avvik_language language = document->n_words[report->language] > 0 ? report->language : AVVIK_ENGLISH;
    avvik__html_add(to, "<ul%s>", language == report->language ? "" : " lang=en");
    for (size_t i = 0; i < document->n_words[language]; i++)
        avvik__html_add(to, "<li>%s", document->words[language][i]);
    avvik__html_add(to, "</ul>\n");
}

static void reasons_put(const struct avvik__report *report, const struct avvik__case_document *document,
                        struct avvik__html *to)
{
    static const enum avvik__word heads[] = {AVVIK_WORD_feature,    AVVIK_WORD_value,    AVVIK_WORD_usual,
                                             AVVIK_WORD_percentile, AVVIK_WORD_robust_z, AVVIK_WORD_share_of_score};
    char label[200], value[160], median[160];
    if (document->n_reasons == 0)
        return;
    avvik__html_add(to, "<div class=wide tabindex=0><table><caption>%s<thead><tr>",
                    avvik__say(report, AVVIK_WORD_reasons));
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        avvik__html_add(to, "<th>%s", avvik__say(report, heads[i]));
    avvik__html_add(to, "<tbody>");
    for (size_t i = 0; i < document->n_reasons; i++) {
        const struct avvik__case_reason *reason = &document->reasons[i];
        avvik__label_shown(document, reason->feature, reason->label, report->language, label, sizeof label);
        avvik__value_shown(document, reason->text, reason->value, reason->units, report->language, value, sizeof value);
        avvik__value_shown(document, reason->peer_median_text, reason->peer_median, reason->units, report->language,
                           median, sizeof median);
        avvik__html_add(to, "<tr><th>%s<td>%s<td>%s<td>", label,
                        isfinite(reason->value) ? value : avvik__say(report, AVVIK_WORD_missing), median);
        if (reason->percentile >= 99.95) /* nothing is larger than all, itself among them */
            avvik__html_add(to, "&gt;\xc2\xa0");
        avvik__html_number(to, reason->percentile >= 99.95 ? 99.9 : reason->percentile, 1, report->style);
        avvik__html_add(to, "%s<td>", isfinite(reason->percentile) ? "\xc2\xa0%" : "");
        avvik__html_number(to, reason->robust_z, 1, report->style);
        avvik__html_add(to, "<td>");
        avvik__html_number(to, 100 * reason->share, 0, report->style);
        avvik__html_add(to, "\xc2\xa0%%");
    }
    avvik__html_add(to, "</table></div>\n");
}

/* Units of a column: as its object says, else those of the row's field. */
static const char *units_of(const struct avvik__case_document *document, const char *units, const char *feature)
{
    for (size_t i = 0; i < document->n_fields && units == NULL && feature != NULL; i++)
        if (strcmp(document->fields[i].name, feature) == 0)
            units = document->fields[i].units;
    return units;
}

/* A number of a column, as short as it can be. */
static void quantity_format(const struct avvik__report *report, double value, const char *units, char *text,
                            size_t size)
{
    const struct avvik_explained_column column = {.name = "",
                                                  .units = units == NULL ? "" : units,
                                                  .is_date = units != NULL && strncmp(units, "days since", 10) == 0};
    avvik__number_text(&column, value, report->language, 1, text, size);
}

static void peers_put(const struct avvik__report *report, const struct avvik__case_document *document,
                      struct avvik__html *to)
{
    static const struct {
        int quantile;
        enum avvik__word word;
        const char *name;
    } rows[] = {{0, AVVIK_WORD_least, NULL},    {5, AVVIK_N_WORDS, "5\xc2\xa0%"},   {25, AVVIK_N_WORDS, "25\xc2\xa0%"},
                {50, AVVIK_WORD_median, NULL},  {75, AVVIK_N_WORDS, "75\xc2\xa0%"}, {95, AVVIK_N_WORDS, "95\xc2\xa0%"},
                {100, AVVIK_WORD_largest, NULL}};
    char label[200], median[160], value[160], value_label[240], number[160];
    if (document->plot_feature == NULL || !isfinite(document->plot_value))
        return;
    const char *units = units_of(document, document->plot_units, document->plot_feature);
    avvik__label_shown(document, document->plot_feature, document->plot_label, report->language, label, sizeof label);
    avvik__value_shown(document, document->plot_text, document->plot_value, units, report->language, value,
                       sizeof value);
    quantity_format(report, document->plot_quantiles[50], units, number, sizeof number);
    snprintf(median, sizeof median, "%s %.100s", avvik__say(report, AVVIK_WORD_median), number);
    snprintf(value_label, sizeof value_label, "%s %.150s", avvik__say(report, AVVIK_WORD_report_this_case), value);
    avvik__html_add(
        to, "<figure><figcaption>%s: %s</figcaption>",
        avvik__say(report, document->plot_is_of_peers ? AVVIK_WORD_among_peers : AVVIK_WORD_report_among_all), label);
    avvik__svg_strip(to, document->plot_quantiles, document->plot_value, median, value_label);
    avvik__html_add(to, "<table>");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        quantity_format(report, document->plot_quantiles[rows[i].quantile], units, number, sizeof number);
        avvik__html_add(to, "<tr><th>%s<td>%s", rows[i].name != NULL ? rows[i].name : avvik__say(report, rows[i].word),
                        number);
    }
    avvik__html_add(to, "<tr><th>%s<td>%s</table></figure>\n", avvik__say(report, AVVIK_WORD_report_this_case), value);
}

/* Of a timeline the last ones are shown; fewer where there is much else. */
#define MAX_SHOWN 18
#define MAX_SHOWN_WIDE 12

/* What can be drawn of a timeline: moments with a date and a value. */
struct course {
    double days[MAX_SHOWN], values[MAX_SHOWN], least, most;
    size_t n, marked; /* marked: the case; n where it is not there */
    const char *first, *last;
};

static void course_make(const struct avvik__case_document *document, const struct avvik__case_moment *moments, size_t n,
                        struct course *course)
{
    size_t marked = MAX_SHOWN;
    *course = (struct course){.least = INFINITY, .most = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        if (!avvik__is_date(moments[i].time) || !isfinite(moments[i].value))
            continue;
        course->days[course->n] = (double)avvik__date_day(moments[i].time);
        course->values[course->n] = moments[i].value;
        course->least = fmin(course->least, moments[i].value);
        course->most = fmax(course->most, moments[i].value);
        course->first = course->n == 0 ? moments[i].time : course->first;
        course->last = moments[i].time;
        if (moments[i].is_case ||
            (marked == MAX_SHOWN && document->time != NULL && strcmp(moments[i].time, document->time) == 0))
            marked = course->n;
        course->n++;
    }
    course->marked = marked < course->n ? marked : course->n;
}

static void timeline_put(const struct avvik__report *report, const struct avvik__case_document *document,
                         struct avvik__html *to)
{
    const size_t most = avvik__report_is_wide(document) ? MAX_SHOWN_WIDE : MAX_SHOWN;
    const size_t before = document->n_timeline > most ? document->n_timeline - most : 0;
    const struct avvik__case_moment *moments = &document->timeline[before];
    const size_t n = document->n_timeline - before;
    const struct avvik__case_reason *reason = document->n_reasons == 0 ? NULL : &document->reasons[0];
    const char *units = reason == NULL ? NULL : units_of(document, reason->units, reason->feature);
    struct course course;
    char label[200] = "", low[160], high[160], range[340], value[160], unit[AVVIK_UNIT_SIZE] = "";
    course_make(document, moments, n, &course);
    if (course.n == 0)
        return;
    if (reason != NULL)
        avvik__label_shown(document, reason->feature, reason->label, report->language, label, sizeof label);
    quantity_format(report, course.least, units, low, sizeof low);
    quantity_format(report, course.most, units, high, sizeof high);
    snprintf(range, sizeof range, "%s \xe2\x80\x93 %s", low, high);
    avvik__html_add(to, "<figure><figcaption>%s: %s</figcaption>", avvik__say(report, AVVIK_WORD_over_time), label);
    avvik__svg_line(to, course.days, course.values, course.n, course.marked,
                    (const char *const[]){range, course.first, course.last});
    avvik__html_add(to, "<table><thead><tr><th>%s<th>%s", avvik__say(report, AVVIK_WORD_date),
                    avvik__say(report, AVVIK_WORD_value));
    for (size_t i = 0; i < n; i++) {
        avvik__value_shown(document, moments[i].text, moments[i].value, units, report->language, value, sizeof value);
        avvik__unit_join(unit, (int)i, value);
    }
    avvik__html_unit(to, unit);
    avvik__html_add(to, "<tbody>");
    for (size_t i = 0; i < n; i++) {
        avvik__value_shown(document, moments[i].text, moments[i].value, units, report->language, value, sizeof value);
        avvik__unit_cut(unit, value);
        avvik__html_add(to, "<tr><th>%s<td>%s", moments[i].time, value);
    }
    avvik__html_add(to, "</table></figure>\n");
}

static void fields_put(const struct avvik__report *report, size_t number, struct avvik__html *to)
{
    const struct avvik__case_document *document = report->cases[number];
    char label[200], value[160];
    if (document->n_fields == 0)
        return;
    if (avvik__report_is_wide(document)) {
        avvik__html_add(to, "<p class=row><a href=#r%zu>%s: %zu %s</a></p>\n", number + 1,
                        avvik__say(report, AVVIK_WORD_report_fields), document->n_fields,
                        avvik__say(report, AVVIK_WORD_n_fields));
        return;
    }
    avvik__html_add(to, "<table><caption>%s<tbody>", avvik__say(report, AVVIK_WORD_report_fields));
    for (size_t i = 0; i < document->n_fields; i++) {
        const struct avvik__case_field *field = &document->fields[i];
        avvik__label_shown(document, field->name, field->label, report->language, label, sizeof label);
        avvik__report_field(report, document, i, value, sizeof value);
        avvik__html_add(to, "<tr><th>%s<td>%s", label, value);
    }
    avvik__html_add(to, "</table>\n");
}

void avvik__report_case(const struct avvik__report *report, size_t number, struct avvik__html *to)
{
    const struct avvik__case_document *document = report->cases[number];
    head_put(report, number, to);
    words_put(report, document, to);
    reasons_put(report, document, to);
    avvik__html_add(to, "<div class=cols><div>");
    fields_put(report, number, to);
    avvik__html_add(to, "</div><div>");
    peers_put(report, document, to);
    timeline_put(report, document, to);
    avvik__html_add(to, "</div></div><p class=back><a href=#cases>%s</a></article>\n",
                    avvik__say(report, AVVIK_WORD_back_to_list));
}

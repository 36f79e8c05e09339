/* One case of a report: what its words say, its reasons, where it lies among its peers, what came before, the row. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "report_internal.h"
#include "plot_small.h"
#include "value_text.h"

static void head_put(const struct avvik__report *report, size_t number, struct avvik__html *to)
{
    const struct avvik__case_document *document = report->cases[number];
    avvik__html_add(to, "<article id=c%zu aria-labelledby=t%zu>\n<h3 id=t%zu>", number + 1, number + 1, number + 1);
    if (document->rank > 0)
        avvik__html_add(to, "%lld. ", (long long)document->rank);
    avvik__html_add(to, "%s", document->key);
    avvik__html_add(to, "</h3>\n<ul class=\"facts soft\">");
    const struct {
        enum avvik__report_word word;
        const char *text;
    } facts[] = {{AVVIK_TELL_OFFICE, document->office},
                 {AVVIK_TELL_TIME, document->time},
                 {AVVIK_TELL_ENTITY, document->entity},
                 {AVVIK_TELL_PEER_GROUP, document->peer_group},
                 {AVVIK_TELL_CHOSEN, strcmp(document->selected_by, "random") == 0
                                         ? avvik__say(report, AVVIK_TELL_RANDOM)
                                         : document->selected_by},
                 {AVVIK_TELL_INPUT, document->input}};
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        if (facts[i].text == NULL || facts[i].text[0] == '\0')
            continue;
        avvik__html_add(to, "<li>%s: ", avvik__say(report, facts[i].word));
        avvik__html_add(to, "%s", facts[i].text);
    }
    avvik__html_add(to, "<li>%s: %lld<li>%s: ", avvik__say(report, AVVIK_TELL_ROW), (long long)document->row,
                    avvik__say(report, AVVIK_TELL_SCORE));
    avvik__html_number(to, document->combined, 2, report->style);
    avvik__html_add(to, "<li>%s: ", avvik__say(report, AVVIK_TELL_SHARE_P));
    avvik__html_p(to, document->p, report->style);
    avvik__html_add(to, "</ul>\n");
}

static void words_put(const struct avvik__report *report, const struct avvik__case_document *document,
                      struct avvik__html *to)
{
    const enum avvik_language language = document->n_words[report->language] > 0 ? report->language : AVVIK_ENGLISH;
    avvik__html_add(to, "<ul class=words%s>", language == report->language ? "" : " lang=en");
    for (size_t i = 0; i < document->n_words[language]; i++) {
        avvik__html_add(to, "<li>");
        avvik__html_add(to, "%s", document->words[language][i]);
    }
    avvik__html_add(to, "</ul>\n");
}

const char *avvik__report_foreign(const struct avvik__report *report, const struct avvik__case_document *document)
{
    static const char *const attributes[AVVIK_N_LANGUAGES] = {" lang=en", " lang=nb", " lang=nn"};
    const char *own = avvik__member_text(document->json, "language");
    for (int i = 0; i < AVVIK_N_LANGUAGES && own != NULL; i++)
        if (i != (int)report->language && strcmp(own, avvik_language_code((enum avvik_language)i)) == 0)
            return attributes[i];
    return "";
}

static void reasons_put(const struct avvik__report *report, const struct avvik__case_document *document,
                        struct avvik__html *to)
{
    static const enum avvik__report_word heads[] = {AVVIK_TELL_FEATURE,    AVVIK_TELL_VALUE,    AVVIK_TELL_PEERS_MEDIAN,
                                                    AVVIK_TELL_PERCENTILE, AVVIK_TELL_ROBUST_Z, AVVIK_TELL_PART};
    if (document->n_reasons == 0)
        return;
    avvik__html_add(to, "<div class=wide tabindex=0><table class=r><caption>%s</caption><thead><tr>",
                    avvik__say(report, AVVIK_TELL_REASONS));
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        avvik__html_add(to, "<th scope=col>%s", avvik__say(report, heads[i]));
    avvik__html_add(to, "</thead><tbody%s>", avvik__report_foreign(report, document));
    for (size_t i = 0; i < document->n_reasons; i++) {
        const struct avvik__case_reason *reason = &document->reasons[i];
        avvik__html_add(to, "\n<tr><th scope=row>");
        avvik__html_add(to, "%s", reason->label);
        avvik__html_add(to, "<td>");
        avvik__html_add(to, "%s", reason->text != NULL ? reason->text : avvik__say(report, AVVIK_TELL_MISSING));
        avvik__html_add(to, "<td>");
        avvik__html_add(to, "%s", reason->peer_median_text);
        avvik__html_add(to, "<td>");
        avvik__html_number(to, reason->percentile, 1, report->style);
        avvik__html_add(to, "%s<td>", isfinite(reason->percentile) ? "\xc2\xa0%" : "");
        avvik__html_number(to, reason->robust_z, 1, report->style);
        avvik__html_add(to, "<td>");
        avvik__html_number(to, 100 * reason->share, 0, report->style);
        avvik__html_add(to, "\xc2\xa0%%");
    }
    avvik__html_add(to, "</table></div>\n");
}

/* A figure's name for a screen reader. */
static const char *titled(char *text, size_t size, const char *name, const char *of)
{
    snprintf(text, size, "%s: %s", name, of);
    return text;
}

/* The units of a column: of the object that tells of it, else of the row's field. */
static const char *units_of(const struct avvik__case_document *document, const json_t *object, const char *feature)
{
    const char *units = avvik__member_text(object, "units");
    for (size_t i = 0; i < document->n_fields && units == NULL && feature != NULL; i++)
        if (strcmp(document->fields[i].name, feature) == 0)
            units = document->fields[i].units;
    return units;
}

/* A number of a column as the documents' texts have it. */
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
        enum avvik__report_word word;
        const char *name;
    } rows[] = {{0, AVVIK_TELL_LEAST, NULL},    {5, AVVIK_N_TOLD, "5\xc2\xa0%"},   {25, AVVIK_N_TOLD, "25\xc2\xa0%"},
                {50, AVVIK_TELL_MEDIAN, NULL},  {75, AVVIK_N_TOLD, "75\xc2\xa0%"}, {95, AVVIK_N_TOLD, "95\xc2\xa0%"},
                {100, AVVIK_TELL_LARGEST, NULL}};
    const json_t *plot = json_object_get(document->json, "peer_plot");
    const char *units = units_of(document, plot, document->plot_feature), *own = avvik__member_text(plot, "text");
    const char *label = avvik__member_text(plot, "label");
    char title[320], median[96], value[96], value_label[160], number[96];
    if (document->plot_feature == NULL || !isfinite(document->plot_value))
        return;
    label = label != NULL ? label : document->plot_feature;
    quantity_format(report, document->plot_quantiles[50], units, number, sizeof number);
    snprintf(median, sizeof median, "%s %.70s", avvik__say(report, AVVIK_TELL_MEDIAN), number);
    quantity_format(report, document->plot_value, units, value, sizeof value);
    snprintf(value_label, sizeof value_label, "%s %.90s", avvik__say(report, AVVIK_TELL_THIS_CASE),
             own != NULL ? own : value);
    const char *among = avvik__member_text(plot, "among");
    const int is_all = among != NULL && strcmp(among, "reference") == 0;
    titled(title, sizeof title, avvik__say(report, is_all ? AVVIK_TELL_AMONG_ALL : AVVIK_TELL_AMONG), label);
    avvik__html_add(to, "<figure><figcaption>");
    avvik__html_add(to, "%s", title);
    avvik__html_add(to, "</figcaption>");
    avvik__svg_strip(to, document->plot_quantiles, document->plot_value, median, value_label);
    avvik__html_add(to, "\n<table class=r>");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        quantity_format(report, document->plot_quantiles[rows[i].quantile], units, number, sizeof number);
        avvik__html_add(to, "<tr><th scope=row>%s<td>",
                        rows[i].name != NULL ? rows[i].name : avvik__say(report, rows[i].word));
        avvik__html_add(to, "%s", number);
    }
    avvik__html_add(to, "<tr><th scope=row>%s<td>", avvik__say(report, AVVIK_TELL_THIS_CASE));
    avvik__html_add(to, "%s", own != NULL ? own : value);
    avvik__html_add(to, "</table></figure>\n");
}

/* Days since some day; months have 31 of them here, which a plot does not show. */
static double day_along(const char *date)
{
    return strtod(date, NULL) * 372 + strtod(date + 5, NULL) * 31 + strtod(date + 8, NULL);
}

#define MAX_SHOWN 24 /* of a timeline: the last ones */

static void timeline_put(const struct avvik__report *report, const struct avvik__case_document *document,
                         struct avvik__html *to)
{
    const size_t first = document->n_timeline > MAX_SHOWN ? document->n_timeline - MAX_SHOWN : 0;
    const struct avvik__case_moment *moments = &document->timeline[first];
    const size_t n = document->n_timeline - first;
    const char *label = document->n_reasons > 0 ? document->reasons[0].label : "";
    const json_t *told = json_object_get(document->json, "timeline");
    const char *units = document->n_reasons == 0
                            ? NULL
                            : units_of(document, json_array_get(json_object_get(document->json, "reasons"), 0),
                                       document->reasons[0].feature);
    double days[MAX_SHOWN], values[MAX_SHOWN], least = INFINITY, most = -INFINITY;
    char title[320], low[96], high[96], range[200], number[96];
    size_t marked = n;
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        if (!avvik__is_date(moments[i].time))
            return; /* nothing to lay along a line */
        days[i] = day_along(moments[i].time);
        values[i] = moments[i].value;
        least = fmin(least, values[i]);
        most = fmax(most, values[i]);
        if (json_is_true(json_object_get(json_array_get(told, first + i), "is_case")) ||
            (marked == n && document->time != NULL && strcmp(moments[i].time, document->time) == 0))
            marked = i;
    }
    quantity_format(report, least, units, low, sizeof low);
    quantity_format(report, most, units, high, sizeof high);
    snprintf(range, sizeof range, "%s \xe2\x80\x93 %s", low, high);
    titled(title, sizeof title, avvik__say(report, AVVIK_TELL_OVER_TIME), label);
    avvik__html_add(to, "<figure><figcaption>");
    avvik__html_add(to, "%s", title);
    avvik__html_add(to, "</figcaption>");
    avvik__svg_line(to, days, values, n, marked, (const char *const[]){range, moments[0].time, moments[n - 1].time});
    avvik__html_add(to, "\n<table class=r><thead><tr><th scope=col>%s<th scope=col>%s</thead><tbody>",
                    avvik__say(report, AVVIK_TELL_TIME), avvik__say(report, AVVIK_TELL_VALUE));
    for (size_t i = 0; i < n; i++) {
        const char *text = avvik__member_text(json_array_get(told, first + i), "text");
        quantity_format(report, values[i], units, number, sizeof number);
        avvik__html_add(to, "<tr><th scope=row>%s<td>", moments[i].time);
        avvik__html_add(to, "%s", text != NULL ? text : number);
    }
    avvik__html_add(to, "</table></figure>\n");
}

static void fields_put(const struct avvik__report *report, const struct avvik__case_document *document,
                       struct avvik__html *to)
{
    if (document->n_fields == 0)
        return;
    avvik__html_add(to, "<table><caption>%s</caption><tbody%s>", avvik__say(report, AVVIK_TELL_FIELDS),
                    avvik__report_foreign(report, document));
    for (size_t i = 0; i < document->n_fields; i++) {
        const struct avvik__case_field *field = &document->fields[i];
        avvik__html_add(to, "<tr><th scope=row>");
        avvik__html_add(to, "%s", field->label);
        avvik__html_add(to, "<td>");
        if (field->text != NULL)
            avvik__html_add(to, "%s", field->text);
        else if (isfinite(field->value))
            avvik__html_add(to, "%.15g", field->value);
        else
            avvik__html_add(to, "<span class=soft>%s</span>", avvik__say(report, AVVIK_TELL_MISSING));
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
    fields_put(report, document, to);
    avvik__html_add(to, "</div><div>\n");
    peers_put(report, document, to);
    timeline_put(report, document, to);
    avvik__html_add(to, "</div></div><p class=back><a href=#cases>%s</a></p></article>\n",
                    avvik__say(report, AVVIK_TELL_TO_LIST));
}

#include "plot_svg.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "page_words.h"
#include "plot_axis.h"
#include "value_text.h"

#define WIDTH 640
#define LEFT 12
#define RIGHT 628
#define N_BINS 56

void avvik__value_shown(const struct avvik__case_document *document, const char *told, double value, const char *units,
                        enum avvik_language language, char *text, size_t size)
{
    const struct avvik_explained_column column = {.units = units == NULL ? "" : units};
    const int is_foreign = document->language >= 0 && document->language != (int)language && column.units[0] != '\0';
    if (told != NULL && !(is_foreign && isfinite(value)))
        snprintf(text, size, "%s", told);
    else
        avvik__number_text(&column, value, language, 0, text, size);
}

void avvik__label_shown(const struct avvik__case_document *document, const char *name, const char *label,
                        enum avvik_language language, char *text, size_t size)
{
    if (document->language < 0 || document->language == (int)language)
        snprintf(text, size, "%s", label);
    else
        avvik_column_label(document->table == NULL ? "" : document->table, name, language, text, size);
}

void avvik__peers_shown(const struct avvik__case_document *document, enum avvik_language language, char *text,
                        size_t size)
{
    const json_t *keys = json_object_get(json_object_get(document->json, "peer_group"), "keys");
    size_t n = 0;
    snprintf(text, size, "%s", document->peer_group == NULL ? "" : document->peer_group);
    if (document->language < 0 || document->language == (int)language)
        return;
    for (size_t k = 0; k < json_array_size(keys) && n < size; k++) {
        char label[200];
        const json_t *key = json_array_get(keys, k);
        const char *column = json_string_value(json_object_get(key, "column")),
                   *own = json_string_value(json_object_get(key, "label")),
                   *code = json_string_value(json_object_get(key, "text"));
        if (column == NULL || own == NULL || code == NULL)
            return;
        avvik__label_shown(document, column, own, language, label, sizeof label);
        n += (size_t)snprintf(text + n, size - n, "%s%s %s", k == 0 ? "" : ", ", label, code);
    }
}

/* A value along an axis. */
static void axis_text(double value, const char *units, enum avvik_language language, char *text, size_t size)
{
    const struct avvik_explained_column column = {.units = units == NULL ? "" : units};
    avvik__number_text(&column, value, language, 1, text, size);
}

static void text_place(struct avvik__html *html, const char *class, double x, double y, double low, double high,
                       const char *text)
{
    const char *anchor = x < low ? "start" : x > high ? "end" : "middle";
    avvik__html_add(html, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>", class, x, y, anchor,
                    text);
}

/* How much of the peers lies in each bin: a hundredth of them between two quantiles, evenly spread. */
static double bins_fill(const struct avvik__case_document *document, const struct avvik__axis *axis,
                        double bins[N_BINS])
{
    const double bin = (RIGHT - LEFT) / (double)N_BINS;
    double highest = 0;
    memset(bins, 0, N_BINS * sizeof bins[0]);
    for (int i = 0; i + 1 < AVVIK_PLOT_QUANTILES; i++) {
        const double from = (avvik__axis_place(axis, document->plot_quantiles[i]) - LEFT) / bin;
        const double to = (avvik__axis_place(axis, document->plot_quantiles[i + 1]) - LEFT) / bin;
        for (int k = 0; k < N_BINS; k++) {
            const double overlap = fmin(to, k + 1.0) - fmax(from, k);
            if (to - from > 1e-9)
                bins[k] += overlap > 0 ? overlap / (to - from) : 0;
            else
                bins[k] += from >= k && (from < k + 1.0 || k == N_BINS - 1) ? 1 : 0;
        }
    }
    for (int k = 0; k < N_BINS; k++)
        highest = fmax(highest, bins[k]);
    return highest;
}

static void axis_draw(struct avvik__html *html, const struct avvik__axis *axis, double y, const char *units,
                      enum avvik_language language)
{
    avvik__html_add(html, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, RIGHT, y, y);
    for (int i = 0; i < axis->n_ticks; i++) {
        char text[80];
        const double x = avvik__axis_place(axis, axis->ticks[i]);
        axis_text(axis->ticks[i], units, language, text, sizeof text);
        avvik__html_add(html, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x, x, y, y + 5);
        text_place(html, i % 2 == 0 ? "tick" : "tick second", x, y + 25, LEFT + 40, RIGHT - 40, text);
    }
}

void avvik__peer_plot(struct avvik__html *html, const struct avvik__case_document *document,
                      enum avvik_language language, const char *id)
{
    const double *quantiles = document->plot_quantiles, value = document->plot_value, floor_y = 150;
    double bins[N_BINS];
    char text[160], median[160], label[200];
    if (document->plot_feature == NULL)
        return;
    const int has_value = isfinite(value);
    const double low = has_value ? fmin(quantiles[0], value) : quantiles[0];
    const double high = has_value ? fmax(quantiles[100], value) : quantiles[100];
    const int is_wide = low > 0 && high / low > 50 && high - low > 8 * (quantiles[95] - quantiles[5]);
    const struct avvik__axis axis = avvik__axis_make(low, high, LEFT, RIGHT, is_wide);
    const double highest = bins_fill(document, &axis, bins), bin = (RIGHT - LEFT) / (double)N_BINS;
    avvik__value_shown(document, document->plot_text, value, document->plot_units, language, text, sizeof text);
    axis_text(quantiles[50], document->plot_units, language, median, sizeof median);
    avvik__label_shown(document, document->plot_feature, document->plot_label, language, label, sizeof label);
    avvik__html_add(html,
                    "<svg class=\"plot\" viewBox=\"0 0 %d 190\" role=\"img\" aria-labelledby=\"%s\"><title id=\"%s\">"
                    "%s: %s %s; %s %s</title>",
                    WIDTH, id, id, label, avvik__word(language, AVVIK_WORD_this_case), text,
                    avvik__word(language, AVVIK_WORD_half_below), median);
    for (int k = 0; k < N_BINS; k++)
        if (bins[k] > 0) {
            const double height = fmax(2, 105 * bins[k] / highest);
            avvik__html_add(html, "<rect class=\"peers\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                            LEFT + k * bin + 0.5, floor_y - height, bin - 1, height);
        }
    const double middle = avvik__axis_place(&axis, quantiles[50]);
    avvik__html_add(html, "<line class=\"median\" x1=\"%.1f\" x2=\"%.1f\" y1=\"38\" y2=\"%.1f\"/>", middle, middle,
                    floor_y);
    axis_draw(html, &axis, floor_y, document->plot_units, language);
    if (has_value) {
        const double x = avvik__axis_place(&axis, value);
        avvik__html_add(html,
                        "<line class=\"case\" x1=\"%.1f\" x2=\"%.1f\" y1=\"28\" y2=\"%.1f\"/>"
                        "<path class=\"case\" d=\"M%.1f %.1fl7 8-7 8-7-8z\"/>",
                        x, x, floor_y, x, floor_y - 16);
        snprintf(median, sizeof median, "%s: %.80s", avvik__word(language, AVVIK_WORD_this_case), text);
        text_place(html, "case", x, 20, LEFT + 170, RIGHT - 170, median);
    }
    avvik__html_add(html, "</svg>");
}

void avvik__peer_table(struct avvik__html *html, const struct avvik__case_document *document,
                       enum avvik_language language)
{
    static const int shown[] = {0, 1, 5, 25, 50, 75, 95, 99, 100};
    char text[160], label[200];
    if (document->plot_feature == NULL)
        return;
    avvik__label_shown(document, document->plot_feature, document->plot_label, language, label, sizeof label);
    avvik__html_add(html,
                    "<table><caption>%s</caption><thead><tr><th scope=\"col\">%s</th><th scope=\"col\">%s</th></tr>"
                    "</thead><tbody>",
                    label, avvik__word(language, AVVIK_WORD_share_below), avvik__word(language, AVVIK_WORD_value));
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        axis_text(document->plot_quantiles[shown[i]], document->plot_units, language, text, sizeof text);
        avvik__html_add(html, "<tr><th scope=\"row\">%d\xc2\xa0%%</th><td>%s</td></tr>", shown[i], text);
    }
    avvik__value_shown(document, document->plot_text, document->plot_value, document->plot_units, language, text,
                       sizeof text);
    avvik__html_add(html, "<tr class=\"own\"><th scope=\"row\">%s</th><td>%s</td></tr></tbody></table>",
                    avvik__word(language, AVVIK_WORD_this_case), text);
}

/* NaN where a moment has no date. */
static double day_of(const char *date)
{
    return avvik__is_date(date) ? (double)avvik__date_day(date) : (double)NAN;
}

/* The ends of what can be drawn: moments with a date and a value. Returns how many there are. */
static size_t timeline_ends(const struct avvik__case_document *document, double ends[4])
{
    size_t n = 0;
    ends[0] = ends[2] = INFINITY;
    ends[1] = ends[3] = -INFINITY;
    for (size_t i = 0; i < document->n_timeline; i++) {
        const double day = day_of(document->timeline[i].time), value = document->timeline[i].value;
        if (isnan(day) || isnan(value))
            continue;
        ends[0] = fmin(ends[0], day);
        ends[1] = fmax(ends[1], day);
        ends[2] = fmin(ends[2], value);
        ends[3] = fmax(ends[3], value);
        n++;
    }
    return n;
}

int avvik__has_timeline(const struct avvik__case_document *document)
{
    double ends[4];
    return timeline_ends(document, ends) >= 2 && ends[1] > ends[0];
}

/* What the timeline is of: the first reason's feature. */
static void timeline_label(const struct avvik__case_document *document, enum avvik_language language, char *label,
                           size_t size)
{
    if (document->n_reasons > 0)
        avvik__label_shown(document, document->reasons[0].feature, document->reasons[0].label, language, label, size);
    else
        snprintf(label, size, "%s", avvik__word(language, AVVIK_WORD_value));
}

static const char *timeline_units(const struct avvik__case_document *document)
{
    return document->n_reasons > 0 ? document->reasons[0].units : document->plot_units;
}

/* Is this moment the case itself? Where the document does not say: the one of its date. */
static int moment_is_case(const struct avvik__case_document *document, const struct avvik__case_moment *moment)
{
    return moment->is_case || (document->time != NULL && strcmp(moment->time, document->time) == 0);
}

void avvik__timeline_plot(struct avvik__html *html, const struct avvik__case_document *document,
                          enum avvik_language language, const char *id)
{
    double ends[4];
    char text[160], label[200];
    if (!avvik__has_timeline(document))
        return;
    timeline_ends(document, ends);
    timeline_label(document, language, label, sizeof label);
    const struct avvik__axis days = avvik__axis_make(ends[0], ends[1], LEFT + 134, RIGHT - 14, 0);
    const struct avvik__axis values = avvik__axis_make(fmin(0, ends[2]), fmax(0, ends[3]), 150, 16, 0);
    avvik__html_add(html,
                    "<svg class=\"plot\" viewBox=\"0 0 %d 190\" role=\"img\" aria-labelledby=\"%s\"><title id=\"%s\">"
                    "%s, %s \xe2\x80\x93 %s</title>",
                    WIDTH, id, id, label, document->timeline[0].time,
                    document->timeline[document->n_timeline - 1].time);
    for (int i = 0; i < values.n_ticks; i++) {
        const double y = avvik__axis_place(&values, values.ticks[i]);
        axis_text(values.ticks[i], timeline_units(document), language, text, sizeof text);
        avvik__html_add(html, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT + 128, RIGHT,
                        y, y);
        avvik__html_add(html, "<text class=\"tick level%s\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
                        i % 2 == 0 ? "" : " second", LEFT + 122, y + 4, text);
    }
    avvik__html_add(html, "<polyline class=\"course\" points=\"");
    for (size_t i = 0; i < document->n_timeline; i++)
        if (!isnan(day_of(document->timeline[i].time)) && !isnan(document->timeline[i].value))
            avvik__html_add(html, "%.1f,%.1f ", avvik__axis_place(&days, day_of(document->timeline[i].time)),
                            avvik__axis_place(&values, document->timeline[i].value));
    avvik__html_add(html, "\"/>");
    for (size_t i = 0; i < document->n_timeline; i++) {
        const struct avvik__case_moment *moment = &document->timeline[i];
        if (isnan(day_of(moment->time)) || isnan(moment->value))
            continue;
        const double x = avvik__axis_place(&days, day_of(moment->time)), y = avvik__axis_place(&values, moment->value);
        if (moment_is_case(document, moment))
            avvik__html_add(html, "<path class=\"case\" d=\"M%.1f %.1fl7 8-7 8-7-8z\"/>", x, y - 8);
        else
            avvik__html_add(html, "<circle class=\"moment\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", x, y);
    }
    text_place(html, "tick", days.start, 180, LEFT + 200, RIGHT, document->timeline[0].time);
    text_place(html, "tick", days.end + 14, 180, LEFT, RIGHT - 40, document->timeline[document->n_timeline - 1].time);
    avvik__html_add(html, "</svg>");
}

void avvik__timeline_table(struct avvik__html *html, const struct avvik__case_document *document,
                           enum avvik_language language)
{
    char text[160], label[200];
    timeline_label(document, language, label, sizeof label);
    avvik__html_add(html,
                    "<table><caption>%s</caption><thead><tr><th scope=\"col\">%s</th><th scope=\"col\">%s</th></tr>"
                    "</thead><tbody>",
                    label, avvik__word(language, AVVIK_WORD_date), avvik__word(language, AVVIK_WORD_value));
    for (size_t i = 0; i < document->n_timeline; i++) {
        const struct avvik__case_moment *moment = &document->timeline[i];
        avvik__value_shown(document, moment->text, moment->value, timeline_units(document), language, text,
                           sizeof text);
        avvik__html_add(html, "<tr><th scope=\"row\">%s%s%s</th><td>%s</td></tr>", moment->time,
                        moment_is_case(document, moment) ? " \xe2\x97\x86 " : "",
                        moment_is_case(document, moment) ? avvik__word(language, AVVIK_WORD_this_case) : "", text);
    }
    avvik__html_add(html, "</tbody></table>");
}

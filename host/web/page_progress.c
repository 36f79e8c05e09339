/* How far the night has come, and what the ranking was worth. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "page_frame.h"

/* Wilson's interval of 95 % for k of n (Wilson 1927). */
static void wilson(double k, double n, double *low_out, double *high_out)
{
    const double z = 1.959964, p = k / n, centre = (p + z * z / (2 * n)) / (1 + z * z / n);
    const double half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    *low_out = fmax(0, centre - half);
    *high_out = fmin(1, centre + half);
}

static long long n_decided(const struct avvik__progress_of_night *progress, int k)
{
    long long n = 0;
    for (int d = 0; d < AVVIK_N_DECISIONS; d++)
        n += progress->n_decided[k][d];
    return n;
}

static void row_add(struct avvik__request *request, struct avvik__html *html,
                    const struct avvik__progress_of_night *progress, int k)
{
    const long long confirmed = progress->n_decided[k][AVVIK_CONFIRMED];
    const long long settled = n_decided(progress, k) - progress->n_decided[k][AVVIK_UNCLEAR];
    const long long total = n_decided(progress, k) + progress->n_waiting[k] + progress->n_open[k];
    const char *const labels[] = {W(total), W(open), W(waiting), W(confirmed), W(explained), W(error), W(unclear)};
    const long long counts[] = {total,
                                progress->n_open[k],
                                progress->n_waiting[k],
                                progress->n_decided[k][0],
                                progress->n_decided[k][1],
                                progress->n_decided[k][2],
                                progress->n_decided[k][3]};
    avvik__html_add(html, "<tr role=\"row\"><th role=\"rowheader\" scope=\"row\" data-label=\"%s\">%s</th>", W(how),
                    k == 0 ? W(ranked) : W(random));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        avvik__html_add(html, "<td role=\"cell\" data-label=\"%s\">", labels[i]);
        avvik__frame_count(html, request->language, counts[i]);
        avvik__html_add(html, "</td>");
    }
    avvik__html_add(html, "<td role=\"cell\" data-label=\"%s\">", W(precision));
    if (settled == 0)
        avvik__html_add(html, "<span class=\"faint\">%s</span>", W(too_few));
    else {
        double low, high;
        wilson((double)confirmed, (double)settled, &low, &high);
        avvik__html_add(html, "<strong>%.0f\xc2\xa0%%</strong> <small>(%.0f\xe2\x80\x93%.0f\xc2\xa0%%)</small>",
                        100.0 * (double)confirmed / (double)settled, 100 * low, 100 * high);
    }
    avvik__html_add(html, "</td></tr>");
}

static void bar_add(struct avvik__request *request, struct avvik__html *html,
                    const struct avvik__progress_of_night *progress)
{
    const double decided = (double)(n_decided(progress, 0) + n_decided(progress, 1));
    const double waiting = (double)(progress->n_waiting[0] + progress->n_waiting[1]);
    const double all = decided + waiting + (double)(progress->n_open[0] + progress->n_open[1]);
    if (all == 0)
        return;
    avvik__html_add(html, "<p class=\"done\"><strong>%.0f</strong> %s %.0f %s</p>", decided, W(of), all, W(done_of));
    avvik__html_add(
        html,
        "<svg class=\"bar\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\" "
        "focusable=\"false\"><rect class=\"ground\" width=\"100\" height=\"4\"/><rect class=\"half\" width=\"%.2f\" "
        "height=\"4\"/><rect class=\"part\" width=\"%.2f\" height=\"4\"/></svg>",
        100 * (decided + waiting) / all, 100 * decided / all);
}

void avvik__page_progress(struct avvik__request *request, struct avvik__answer *answer)
{
    struct avvik__html *html = &answer->html;
    struct avvik_store *store = request->review->store;
    struct avvik__progress_of_night progress;
    struct avvik__names nights = {NULL, 0};
    struct avvik_error error;
    if (avvik__nights_read(store, &nights, &error) != AVVIK_OK ||
        avvik__night_progress(store, avvik__form_value(&request->query, "night"), &progress, &error) != AVVIK_OK) {
        free(nights.names);
        avvik__page_error(request, answer, 500);
        return;
    }
    const int is_all = strcmp(progress.night, "all") == 0;
    avvik__frame_begin(request, html, W(progress), AVVIK_TAB_PROGRESS);
    avvik__html_add(html,
                    "<h1>%s <small>%s</small></h1><form class=\"filter\" method=\"get\" action=\"/progress\"><p>"
                    "<label for=\"night\">%s</label><select id=\"night\" name=\"night\">",
                    W(progress_of), is_all ? W(all_nights) : progress.night, W(night));
    for (size_t i = 0; i < nights.n; i++)
        avvik__html_add(html, "<option%s>%s</option>", strcmp(nights.names[i], progress.night) == 0 ? " selected" : "",
                        nights.names[i]);
    avvik__html_add(
        html,
        "<option value=\"all\"%s>%s</option></select></p><p class=\"buttons\"><button class=\"main\">%s</button>"
        "</p></form>",
        is_all ? " selected" : "", W(all_nights), W(filter_show));
    bar_add(request, html, &progress);
    const char *const heads[] = {W(how),       W(total), W(open),    W(waiting),  W(confirmed),
                                 W(explained), W(error), W(unclear), W(precision)};
    avvik__html_add(html, "<table class=\"cases\" role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        avvik__html_add(html, "<th role=\"columnheader\" scope=\"col\">%s</th>", heads[i]);
    avvik__html_add(html, "</tr></thead><tbody role=\"rowgroup\">");
    row_add(request, html, &progress, 0);
    row_add(request, html, &progress, 1);
    avvik__html_add(html, "</tbody></table><p class=\"faint\">%s</p>", W(precision_told));
    avvik__frame_end(request, html);
    free(nights.names);
}

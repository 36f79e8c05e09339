/* The page of a case: why it is there, among whom, over time; what was decided, and the forms to decide. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "page_case_parts.h"

static void fact_add(struct avvik__html *html, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0')
        avvik__html_add(html, "<div><dt>%s</dt><dd>%s</dd></div>", name, value);
}

static void head_add(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    const struct avvik__case_view *view = &page->view;
    const struct avvik__case_document *document = page->document;
    char peers[512];
    avvik__html_add(html,
                    "<div class=\"casehead\"><p class=\"back\"><a href=\"/cases\">\xe2\x86\x90 %s</a></p><h1>%s</h1>",
                    W(back_to_list), view->key);
    avvik__frame_state(html, request->language, view->state, view->decision);
    if (page->notice->message != NULL)
        avvik__html_add(html, "<p class=\"%s\" role=\"%s\">%s</p>",
                        page->notice->is_problem ? "notice problem" : "notice",
                        page->notice->is_problem ? "alert" : "status", page->notice->message);
    avvik__html_add(html, "<dl class=\"facts\">");
    fact_add(html, W(office), document->office);
    fact_add(html, W(date), document->time);
    fact_add(html, W(entity), document->entity);
    avvik__peers_shown(document, request->language, peers, sizeof peers);
    fact_add(html, W(compared_with), peers);
    avvik__html_add(html, "<div><dt>%s</dt><dd>", W(nights_of_case));
    for (size_t i = 0; i < view->n_nights; i++) {
        avvik__html_add(html, "%s%s", i > 0 ? ", " : "", view->nights[i].night);
        if (view->nights[i].rank > 0)
            avvik__html_add(html, " (%s\xc2\xa0%lld)", W(rank), (long long)view->nights[i].rank);
        else
            avvik__html_add(html, " (%s)", W(drawn));
    }
    avvik__html_add(html, "</dd></div></dl></div>");
}

static void words_add(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    enum avvik_language language = request->language;
    if (page->document->n_words[language] == 0)
        language = AVVIK_ENGLISH;
    avvik__html_add(page->html, "<section class=\"why\"><h2>%s</h2><p lang=\"%s\">", W(why),
                    avvik_language_code(language));
    for (size_t i = 0; i < page->document->n_words[language]; i++)
        avvik__html_add(page->html, "%s<span>%s</span>", i > 0 ? " " : "", page->document->words[language][i]);
    avvik__html_add(page->html, "</p></section>");
}

/* A share as a bar of its length; the number stands beside it. */
static void share_add(struct avvik__html *html, double share)
{
    if (isnan(share) || share < 0 || share > 1) {
        avvik__html_add(html, "\xe2\x80\x93");
        return;
    }
    avvik__html_add(
        html,
        "<svg class=\"share\" viewBox=\"0 0 60 10\" aria-hidden=\"true\" focusable=\"false\"><rect class=\"ground\" "
        "width=\"60\" height=\"10\" rx=\"2\"/><rect class=\"part\" width=\"%.1f\" height=\"10\" rx=\"2\"/></svg> "
        "%.0f\xc2\xa0%%",
        60 * share, 100 * share);
}

static void reasons_add(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    avvik__html_add(
        html,
        "<section><h2 id=\"reasons\">%s</h2><table class=\"reasons\" role=\"table\" aria-labelledby=\"reasons\">"
        "<thead role=\"rowgroup\"><tr role=\"row\">",
        W(reasons));
    const char *const heads[] = {W(feature), W(value), W(usual), W(among_others), W(share_of_score)};
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        avvik__html_add(html, "<th role=\"columnheader\" scope=\"col\">%s</th>", heads[i]);
    avvik__html_add(html, "</tr></thead><tbody role=\"rowgroup\">");
    for (size_t i = 0; i < page->document->n_reasons; i++) {
        const struct avvik__case_reason *reason = &page->document->reasons[i];
        char label[200], value[160], median[160];
        avvik__label_shown(page->document, reason->feature, reason->label, request->language, label, sizeof label);
        avvik__value_shown(page->document, reason->text, reason->value, reason->units, request->language, value,
                           sizeof value);
        avvik__value_shown(page->document, reason->peer_median_text, reason->peer_median, reason->units,
                           request->language, median, sizeof median);
        avvik__html_add(
            html,
            "<tr role=\"row\"><th role=\"rowheader\" scope=\"row\" data-label=\"%s\">%s</th><td role=\"cell\" "
            "data-label=\"%s\"><strong>%s</strong></td><td role=\"cell\" data-label=\"%s\">%s</td><td "
            "role=\"cell\" data-label=\"%s\">",
            W(feature), label, W(value), value, W(usual), median, W(among_others));
        if (isnan(reason->percentile))
            avvik__html_add(html, "\xe2\x80\x93");
        else if (reason->percentile >= 99.995 || reason->percentile < 0.005) /* not "higher than 100 %" */
            avvik__html_add(html, "%s", reason->percentile < 50 ? W(lowest) : W(highest));
        else if (reason->percentile >= 50)
            avvik__html_add(html, "%s %.4g\xc2\xa0%%", W(higher_than), reason->percentile);
        else
            avvik__html_add(html, "%s %.4g\xc2\xa0%%", W(lower_than), 100 - reason->percentile);
        avvik__html_add(html, "</td><td role=\"cell\" data-label=\"%s\">", W(share_of_score));
        share_add(html, reason->share);
        avvik__html_add(html, "</td></tr>");
    }
    avvik__html_add(html, "</tbody></table></section>");
}

static void plots_add(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    char label[200];
    if (page->document->plot_feature != NULL) {
        avvik__label_shown(page->document, page->document->plot_feature, page->document->plot_label, request->language,
                           label, sizeof label);
        avvik__html_add(html, "<section><h2>%s: %s</h2>",
                        page->document->plot_is_of_peers ? W(among_peers) : W(among_all), label);
        avvik__peer_plot(html, page->document, request->language, "peerplot");
        avvik__html_add(html, "<p class=\"legend\">%s</p><details><summary>%s</summary>", W(plot_legend), W(as_table));
        avvik__peer_table(html, page->document, request->language);
        avvik__html_add(html, "</details></section>");
    }
    if (avvik__has_timeline(page->document)) {
        avvik__html_add(html, "<section><h2>%s</h2>", W(over_time));
        avvik__timeline_plot(html, page->document, request->language, "timeplot");
        avvik__html_add(html, "<p class=\"legend\">%s</p><details><summary>%s</summary>", W(time_legend), W(as_table));
        avvik__timeline_table(html, page->document, request->language);
        avvik__html_add(html, "</details></section>");
    }
}

/* Is `name` one of the names in a list with commas between them? */
static int is_listed(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = list; at != NULL && *at != '\0'; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return 1;
    }
    return 0;
}

static void fields_add(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    size_t n_hidden = 0;
    char text[160], label[200];
    avvik__html_add(html, "<section><h2>%s</h2><dl class=\"fields\">", W(fields));
    for (size_t i = 0; i < page->document->n_fields; i++) {
        const struct avvik__case_field *field = &page->document->fields[i];
        if (!is_listed(page->rules.fields, field->name)) {
            n_hidden++;
            continue;
        }
        avvik__label_shown(page->document, field->name, field->label, request->language, label, sizeof label);
        avvik__value_shown(page->document, field->text, field->value, field->units, request->language, text,
                           sizeof text);
        fact_add(html, label, text);
    }
    avvik__html_add(html, "<div><dt>%s</dt><dd>%lld <small>%s %s</small></dd></div>", W(source),
                    (long long)page->document->row, page->document->input, page->document->table);
    avvik__html_add(html, "</dl>");
    if (n_hidden > 0)
        avvik__html_add(html, "<p class=\"faint\">%s %zu</p>", W(fields_hidden), n_hidden);
    avvik__html_add(html, "</section>");
}

static void page_write(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    avvik__frame_begin(request, page->html, page->view.key, AVVIK_TAB_CASES);
    head_add(page);
    avvik__html_add(page->html, "<div class=\"columns\"><div class=\"told\">");
    words_add(page);
    if (page->document->n_reasons > 0)
        reasons_add(page);
    plots_add(page);
    fields_add(page);
    avvik__html_add(page->html, "</div><div class=\"acts\">");
    avvik__case_decision(page);
    avvik__case_assignment(page);
    avvik__case_history(page);
    avvik__html_add(page->html, "</div></div>");
    avvik__frame_end(request, page->html);
}

void avvik__page_case(struct avvik__request *request, struct avvik__answer *answer, int64_t id,
                      const struct avvik__case_notice *notice)
{
    struct avvik__case_page page = {.request = request, .html = &answer->html, .notice = notice};
    struct avvik_store *store = request->review->store;
    struct avvik_error error;
    if (avvik__case_open(store, &request->person, id, &page.view, &error) != AVVIK_OK ||
        avvik_store_rules(store, &page.rules, &error) != AVVIK_OK ||
        avvik__deciders_read(store, &page.deciders, &error) != AVVIK_OK)
        avvik__page_error(request, answer, 500);
    else if (page.view.id == 0)
        avvik__page_error(request, answer, 404);
    else if (avvik__case_document_read(page.view.document, strlen(page.view.document), &page.document, &error) !=
             AVVIK_OK)
        avvik__page_error(request, answer, 500);
    else
        page_write(&page);
    avvik__case_document_free(page.document);
    avvik__case_view_destroy(&page.view);
    free(page.deciders.names);
}

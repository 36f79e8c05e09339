/* The list of cases: filter, sort, pages. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "page_frame.h"

#define PAGE_ROWS 50

static const char *const filter_names[] = {"night", "state", "selected", "office", "assignee", "search"};

/* Text of a query's value in an address. */
static void percent_add(struct avvik__html *html, const char *text)
{
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        char shown[4] = {*text, '\0'};
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c) != NULL))
            snprintf(shown, sizeof shown, "%%%02X", c);
        avvik__html_add(html, "%s", shown);
    }
}

struct list_page {
    struct avvik__request *request;
    struct avvik__html *html;
    struct avvik__list_query query;
    struct avvik__list list;
    struct avvik__names nights, offices, deciders;
};

static void address_add(struct list_page *page, enum avvik__sort sort, int is_descending, long long from)
{
    avvik__html_add(page->html, "/cases?");
    for (size_t i = 0; i < sizeof filter_names / sizeof filter_names[0]; i++) {
        const char *value = avvik__form_value(&page->request->query, filter_names[i]);
        if (value[0] == '\0')
            continue;
        avvik__html_add(page->html, "%s=", filter_names[i]);
        percent_add(page->html, value);
        avvik__html_add(page->html, "&amp;");
    }
    avvik__html_add(page->html, "sort=%s%s", avvik__sort_names[sort], is_descending ? "&amp;order=down" : "");
    if (from > 0)
        avvik__html_add(page->html, "&amp;from=%lld", from);
}

static void option_add(struct avvik__html *html, const char *value, const char *text, const char *chosen)
{
    avvik__html_add(html, "<option value=\"%s\"%s>%s</option>", value, strcmp(value, chosen) == 0 ? " selected" : "",
                    text);
}

static void choice_begin(struct avvik__html *html, const char *name, const char *label)
{
    avvik__html_add(html, "<p><label for=\"%s\">%s</label><select id=\"%s\" name=\"%s\">", name, label, name, name);
}

static void names_add(struct avvik__html *html, const struct avvik__names *names, const char *chosen)
{
    for (size_t i = 0; i < names->n; i++)
        option_add(html, names->names[i], names->names[i], chosen);
}

static void filter_add(struct list_page *page)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    const struct avvik__list_query *query = &page->query;
    avvik__html_add(html, "<form class=\"filter\" method=\"get\" action=\"/cases\" role=\"search\" aria-label=\"%s\">",
                    W(filter));
    choice_begin(html, "night", W(night));
    names_add(html, &page->nights, page->list.night);
    option_add(html, "all", W(all_nights), page->list.night);
    avvik__html_add(html, "</select></p>");
    choice_begin(html, "state", W(state));
    option_add(html, "", W(any), query->state);
    option_add(html, "open", W(open), query->state);
    option_add(html, "waiting", W(waiting), query->state);
    option_add(html, "decided", W(decided), query->state);
    for (int d = 0; d < AVVIK_N_DECISIONS; d++)
        option_add(html, avvik__decision_names[d], avvik__decision_word(request->language, d), query->state);
    avvik__html_add(html, "</select></p>");
    choice_begin(html, "selected", W(selected_by));
    option_add(html, "", W(any), query->selected);
    option_add(html, "ranked", W(ranked), query->selected);
    option_add(html, "random", W(random), query->selected);
    avvik__html_add(html, "</select></p>");
    choice_begin(html, "office", W(office));
    option_add(html, "", W(any), query->office);
    names_add(html, &page->offices, query->office);
    avvik__html_add(html, "</select></p>");
    choice_begin(html, "assignee", W(assigned_to));
    option_add(html, "", W(any), query->assignee);
    option_add(html, "-", W(nobody), query->assignee);
    names_add(html, &page->deciders, query->assignee);
    avvik__html_add(html,
                    "</select></p><p class=\"wide\"><label for=\"search\">%s <small>%s</small></label>"
                    "<input id=\"search\" name=\"search\" type=\"search\" maxlength=\"200\" value=\"%s\"></p>",
                    W(search), W(search_hint), query->search);
    avvik__html_add(html,
                    "<input type=\"hidden\" name=\"sort\" value=\"%s\"><p class=\"buttons\"><button class=\"main\">%s"
                    "</button> <a class=\"button\" href=\"/cases\">%s</a></p></form>",
                    avvik__sort_names[query->sort], W(filter_show), W(filter_clear));
}

static void heading_add(struct list_page *page, enum avvik__sort sort, const char *label)
{
    struct avvik__request *request = page->request;
    const int is_here = page->query.sort == sort, is_down = page->query.is_descending;
    avvik__html_add(page->html, "<th role=\"columnheader\" scope=\"col\" aria-sort=\"%s\"><a href=\"",
                    !is_here  ? "none"
                    : is_down ? "descending"
                              : "ascending");
    address_add(page, sort, is_here && !is_down, 0);
    avvik__html_add(page->html, "\">%s", label);
    if (is_here)
        avvik__html_add(page->html, "<span aria-hidden=\"true\"> %s</span><span class=\"unseen\">, %s</span>",
                        is_down ? "\xe2\x96\xbc" : "\xe2\x96\xb2", is_down ? W(sorted_down) : W(sorted_up));
    avvik__html_add(page->html, "</a></th>");
}

static void rarity_add(struct list_page *page, double p)
{
    struct avvik__request *request = page->request;
    if (isnan(p) || p <= 0 || p > 1) {
        avvik__html_add(page->html, "\xe2\x80\x93");
        return;
    }
    const double one_in = 1 / p, power = pow(10, floor(log10(one_in)) - 1); /* two digits are enough */
    avvik__html_add(page->html, "%s\xc2\xa0", W(one_in));
    avvik__frame_count(page->html, request->language,
                       (int64_t)(one_in < 10 ? one_in + 0.5 : floor(one_in / power + 0.5) * power));
}

#define CELL "<td role=\"cell\" data-label=\"%s\">"
#define WHOLE_CELL "<td role=\"cell\" class=\"whole\" data-label=\"%s\">"

static void row_add(struct list_page *page, const struct avvik__list_row *row)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    avvik__html_add(html, "<tr role=\"row\"><td role=\"cell\" class=\"rank\" data-label=\"%s\">", W(rank));
    if (row->rank > 0)
        avvik__html_add(html, "%lld", (long long)row->rank);
    else
        avvik__html_add(html, "<span class=\"faint\">%s</span>", W(random));
    avvik__html_add(html, "</td><th role=\"rowheader\" scope=\"row\" data-label=\"%s\"><a href=\"/case/%lld\">%s</a>",
                    W(case_word), (long long)row->id, row->key);
    if (row->n_nights > 1)
        avvik__html_add(html, " <small class=\"badge\">%lld %s</small>", (long long)row->n_nights, W(nights_seen));
    avvik__html_add(html, "</th>" CELL "%s%s<strong>%s</strong></td>", W(deviates), row->reason,
                    row->reason_text[0] != '\0' ? ": " : "", row->reason_text);
    avvik__html_add(html, WHOLE_CELL, W(how_rare));
    rarity_add(page, row->p);
    avvik__html_add(html, "</td>" WHOLE_CELL "%s</td>", W(date), row->time);
    avvik__html_add(html, WHOLE_CELL "%s</td>", W(office), row->office);
    avvik__html_add(html, WHOLE_CELL, W(state));
    avvik__frame_state(html, request->language, row->state, row->decision);
    avvik__html_add(html, "</td>" CELL "%s</td></tr>\n", W(assigned_to), row->assignee);
}

static void table_add(struct list_page *page)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    avvik__html_add(html, "<table class=\"cases\" role=\"table\" aria-labelledby=\"heading\"><thead role=\"rowgroup\">"
                          "<tr role=\"row\">");
    heading_add(page, AVVIK_SORT_RANK, W(rank));
    heading_add(page, AVVIK_SORT_KEY, W(case_word));
    avvik__html_add(html, "<th role=\"columnheader\" scope=\"col\">%s</th>", W(deviates));
    heading_add(page, AVVIK_SORT_P, W(how_rare));
    heading_add(page, AVVIK_SORT_TIME, W(date));
    heading_add(page, AVVIK_SORT_OFFICE, W(office));
    avvik__html_add(html,
                    "<th role=\"columnheader\" scope=\"col\">%s</th><th role=\"columnheader\" scope=\"col\">%s</th>"
                    "</tr></thead><tbody role=\"rowgroup\">\n",
                    W(state), W(assigned_to));
    for (size_t i = 0; i < page->list.n_rows; i++)
        row_add(page, &page->list.rows[i]);
    avvik__html_add(html, "</tbody></table>");
}

static void pages_add(struct list_page *page)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    const long long from = page->query.offset, n = page->list.n_matching;
    avvik__html_add(html, "<nav class=\"pages\" aria-label=\"%s\">", W(pages));
    if (from > 0) {
        avvik__html_add(html, "<a class=\"button\" rel=\"prev\" href=\"");
        address_add(page, page->query.sort, page->query.is_descending, from > PAGE_ROWS ? from - PAGE_ROWS : 0);
        avvik__html_add(html, "\">%s</a> ", W(previous));
    }
    avvik__html_add(html, "<span>");
    avvik__frame_count(html, request->language, from + 1);
    avvik__html_add(html, "\xe2\x80\x93");
    avvik__frame_count(html, request->language, from + (long long)page->list.n_rows);
    avvik__html_add(html, " %s ", W(of));
    avvik__frame_count(html, request->language, n);
    avvik__html_add(html, "</span>");
    if (from + PAGE_ROWS < n) {
        avvik__html_add(html, " <a class=\"button\" rel=\"next\" href=\"");
        address_add(page, page->query.sort, page->query.is_descending, from + PAGE_ROWS);
        avvik__html_add(html, "\">%s</a>", W(next));
    }
    avvik__html_add(html, "</nav>");
}

static void query_take(struct list_page *page)
{
    const struct avvik__form *query = &page->request->query;
    const char *sort = avvik__form_value(query, "sort");
    const long long from = avvik__number_read(avvik__form_value(query, "from"));
    page->query = (struct avvik__list_query){.night = avvik__form_value(query, "night"),
                                             .state = avvik__form_value(query, "state"),
                                             .selected = avvik__form_value(query, "selected"),
                                             .office = avvik__form_value(query, "office"),
                                             .assignee = avvik__form_value(query, "assignee"),
                                             .search = avvik__form_value(query, "search"),
                                             .is_descending = strcmp(avvik__form_value(query, "order"), "down") == 0,
                                             .offset = from < 0 ? 0 : from,
                                             .limit = PAGE_ROWS};
    for (int i = 0; i < AVVIK_N_SORTS; i++)
        if (strcmp(sort, avvik__sort_names[i]) == 0)
            page->query.sort = (enum avvik__sort)i;
}

void avvik__page_list(struct avvik__request *request, struct avvik__answer *answer)
{
    struct list_page page = {.request = request, .html = &answer->html};
    struct avvik_store *store = request->review->store;
    struct avvik_error error;
    query_take(&page);
    if (avvik__list_read(store, &request->person, &page.query, &page.list, &error) != AVVIK_OK ||
        avvik__nights_read(store, &page.nights, &error) != AVVIK_OK ||
        avvik__offices_read(store, page.list.night, &page.offices, &error) != AVVIK_OK ||
        avvik__deciders_read(store, &page.deciders, &error) != AVVIK_OK)
        avvik__page_error(request, answer, 500);
    else {
        avvik__frame_begin(request, page.html, W(cases), AVVIK_TAB_CASES);
        avvik__html_add(page.html, "<h1 id=\"heading\">%s <small>%s</small></h1>", W(cases),
                        strcmp(page.list.night, "all") == 0 ? W(all_nights) : page.list.night);
        if (page.nights.n == 0)
            avvik__html_add(page.html, "<p>%s</p>", W(empty_store));
        else
            filter_add(&page);
        if (page.list.n_rows > 0) {
            table_add(&page);
            pages_add(&page);
            avvik__html_add(page.html,
                            "<p class=\"shortcuts\" hidden><label><input type=\"checkbox\" id=\"shortcuts\" "
                            "checked> %s</label> <small>%s</small></p>",
                            W(shortcuts), W(shortcuts_told));
        } else if (page.nights.n > 0)
            avvik__html_add(page.html, "<p>%s</p>", W(no_cases));
        avvik__frame_end(request, page.html);
    }
    free(page.list.rows);
    free(page.nights.names);
    free(page.offices.names);
    free(page.deciders.names);
}

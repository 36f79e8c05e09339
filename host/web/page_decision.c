/* The part of a case's page where people act: decide, agree, undo, assign; and what was done before. */
#include <string.h>

#include "page_case_parts.h"

/* "2026-11-24T07:12:33Z" as people read it. */
static void time_add(struct avvik__html *html, const char *at)
{
    char day[11] = "", hour[6] = "";
    if (strlen(at) == 20) {
        memcpy(day, at, 10);
        memcpy(hour, at + 11, 5);
    }
    avvik__html_add(html, "<time datetime=\"%s\">%s\xc2\xa0%s UTC</time>", at, day, hour);
}

static void form_begin(struct avvik__case_page *page, const char *act, const char *class)
{
    avvik__html_add(page->html, "<form method=\"post\" action=\"/case/%lld\" class=\"%s\">", (long long)page->view.id,
                    class);
    avvik__frame_token(page->request, page->html);
    avvik__html_add(page->html,
                    "<input type=\"hidden\" name=\"act\" value=\"%s\"><input type=\"hidden\" name=\"version\" "
                    "value=\"%lld\">",
                    act, (long long)page->view.version);
}

static void note_add(struct avvik__case_page *page, const char *id)
{
    struct avvik__request *request = page->request;
    avvik__html_add(page->html,
                    "<p><label for=\"%s\">%s <small>%s</small></label><textarea id=\"%s\" name=\"note\" rows=\"4\" "
                    "maxlength=\"4000\">\n%s</textarea></p>",
                    id, W(note), W(note_hint), id, page->notice->note);
}

static void decide_add(struct avvik__case_page *page)
{
    static const enum avvik__word told[AVVIK_N_DECISIONS] = {AVVIK_WORD_told_confirmed, AVVIK_WORD_told_explained,
                                                             AVVIK_WORD_told_error, AVVIK_WORD_told_unclear};
    struct avvik__request *request = page->request;
    const char *chosen = page->notice->decision != NULL ? page->notice->decision : "";
    form_begin(page, "decide", "decide");
    avvik__html_add(page->html, "<fieldset><legend class=\"unseen\">%s</legend>", W(decision));
    for (int d = 0; d < AVVIK_N_DECISIONS; d++) {
        const char *name = avvik__decision_names[d];
        avvik__html_add(page->html,
                        "<label class=\"choice\" for=\"d-%s\"><input type=\"radio\" id=\"d-%s\" name=\"decision\" "
                        "value=\"%s\"%s required><span><strong>%s</strong><small>%s</small></span></label>",
                        name, name, name, strcmp(chosen, name) == 0 ? " checked" : "",
                        avvik__decision_word(request->language, d), avvik__word(request->language, told[d]));
    }
    avvik__html_add(page->html, "</fieldset>");
    note_add(page, "note");
    if (page->rules.four_eyes != AVVIK_FOUR_EYES_NONE)
        avvik__html_add(page->html, "<p class=\"faint\">%s</p>",
                        page->rules.four_eyes == AVVIK_FOUR_EYES_ALL ? W(four_eyes_all) : W(four_eyes_confirmed));
    avvik__html_add(page->html, "<p><button class=\"main\">%s</button></p></form>", W(decide));
}

/* The last decision or agreement that stands; NULL: none. The one before which only an agreement came is the proposal.
 */
static const struct avvik__entry *last_standing(const struct avvik__case_view *view, int is_proposal)
{
    for (size_t i = view->n_entries; i-- > 0;) {
        const struct avvik__entry *entry = &view->entries[i];
        if (!entry->is_undone && (entry->act == AVVIK_DECIDE || (entry->act == AVVIK_AGREE && !is_proposal)))
            return entry;
    }
    return NULL;
}

static void undo_add(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    const struct avvik__entry *last = last_standing(&page->view, 0);
    if (last == NULL || (request->person.role != AVVIK_ROLE_LEAD && strcmp(last->account, request->person.name) != 0))
        return;
    form_begin(page, "undo", "undo");
    avvik__html_add(page->html, "<p><button>%s</button> <small>%s</small></p></form>", W(undo), W(undo_told));
}

void avvik__case_decision(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    const struct avvik__case_view *view = &page->view;
    const struct avvik__entry *proposal = last_standing(view, 1);
    const int is_reader = request->person.role == AVVIK_ROLE_READER;
    const int is_own = proposal != NULL && strcmp(proposal->account, request->person.name) == 0;
    avvik__html_add(html, "<section class=\"card\"><h2>%s</h2>", W(decision));
    if (view->state != AVVIK_OPEN && proposal != NULL) {
        avvik__html_add(html, "<p>");
        avvik__frame_state(html, request->language, view->state, view->decision);
        avvik__html_add(html, " <small>%s, ", proposal->account);
        time_add(html, proposal->at);
        avvik__html_add(html, "</small></p>");
        if (proposal->note[0] != '\0')
            avvik__html_add(html, "<blockquote>%s</blockquote>", proposal->note);
    }
    if (is_reader)
        avvik__html_add(html, "<p>%s</p>", W(reader_told));
    else if (view->state == AVVIK_WAITING && is_own)
        avvik__html_add(html, "<p>%s</p>", W(own_waits));
    else if (view->state == AVVIK_WAITING) {
        avvik__html_add(html, "<p>%s</p>", W(agree_told));
        form_begin(page, "agree", "agree");
        avvik__html_add(html, "<p><button class=\"main\">%s</button></p></form>", W(agree));
    }
    const int may_decide = !is_reader && (view->state == AVVIK_OPEN || (view->state == AVVIK_WAITING && !is_own));
    if (may_decide)
        decide_add(page);
    else if (page->notice->note != NULL && page->notice->note[0] != '\0')
        avvik__html_add(
            html, "<p><label for=\"kept\">%s</label><textarea id=\"kept\" readonly rows=\"4\">\n%s</textarea></p>",
            W(your_note), page->notice->note);
    if (!is_reader)
        undo_add(page);
    if (view->next_open > 0)
        avvik__html_add(html, "<p class=\"onward\"><a class=\"button\" href=\"/case/%lld\">%s \xe2\x86\x92</a></p>",
                        (long long)view->next_open, W(next_open));
    avvik__html_add(html, "</section>");
}

void avvik__case_assignment(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    const char *assignee = page->view.assignee;
    const int is_own = strcmp(assignee, request->person.name) == 0;
    avvik__html_add(html, "<section class=\"card\"><h2>%s</h2><p>%s: <strong>%s</strong></p>", W(assignment),
                    W(assigned_to), assignee[0] == '\0' ? W(nobody) : assignee);
    if (request->person.role == AVVIK_ROLE_LEAD) {
        form_begin(page, "assign", "assign");
        avvik__html_add(html,
                        "<p><label for=\"assignee\">%s</label><select id=\"assignee\" name=\"assignee\">"
                        "<option value=\"\">%s</option>",
                        W(assign), W(nobody));
        for (size_t i = 0; i < page->deciders.n; i++)
            avvik__html_add(html, "<option%s>%s</option>",
                            strcmp(page->deciders.names[i], assignee) == 0 ? " selected" : "", page->deciders.names[i]);
        avvik__html_add(html, "</select> <button>%s</button></p></form>", W(assign));
    } else if (request->person.role == AVVIK_ROLE_AUDITOR) {
        form_begin(page, "assign", "assign");
        avvik__html_add(html, "<input type=\"hidden\" name=\"assignee\" value=\"%s\"><p><button>%s</button></p></form>",
                        is_own ? "" : request->person.name, is_own ? W(give_back) : W(take));
    }
    avvik__html_add(html, "</section>");
}

static void entry_add(struct avvik__case_page *page, const struct avvik__entry *entry)
{
    struct avvik__request *request = page->request;
    struct avvik__html *html = page->html;
    avvik__html_add(html, "<li>");
    time_add(html, entry->at);
    avvik__html_add(html, " <strong>%s</strong> ", entry->account);
    switch (entry->act) {
    case AVVIK_DECIDE:
        avvik__html_add(html, "%s: %s", W(did_decide), avvik__decision_word(request->language, entry->decision));
        break;
    case AVVIK_AGREE:
        avvik__html_add(html, "%s: %s", W(did_agree), avvik__decision_word(request->language, entry->decision));
        break;
    case AVVIK_UNDO: avvik__html_add(html, "%s", W(did_undo)); break;
    default: avvik__html_add(html, "%s %s", W(did_assign), entry->assignee[0] == '\0' ? W(nobody) : entry->assignee);
    }
    if (entry->is_undone)
        avvik__html_add(html, " <em>(%s)</em>", W(taken_back));
    if (entry->note[0] != '\0')
        avvik__html_add(html, "<blockquote>%s</blockquote>", entry->note);
    avvik__html_add(html, "</li>");
}

void avvik__case_history(struct avvik__case_page *page)
{
    struct avvik__request *request = page->request;
    avvik__html_add(page->html, "<section class=\"card\"><h2>%s</h2>", W(history));
    if (page->view.n_entries == 0)
        avvik__html_add(page->html, "<p class=\"faint\">%s</p>", W(nothing_yet));
    else
        avvik__html_add(page->html, "<ol class=\"history\">");
    for (size_t i = page->view.n_entries; i-- > 0;)
        entry_add(page, &page->view.entries[i]);
    if (page->view.n_entries > 0)
        avvik__html_add(page->html, "</ol>");
    avvik__html_add(page->html, "</section>");
}

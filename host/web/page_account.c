/* The page of one's own account: another password. */
#include "page_frame.h"

static void field_add(struct avvik__html *html, const char *name, const char *label, const char *hint,
                      const char *complete)
{
    avvik__html_add(html,
                    "<p><label for=\"%s\">%s <small>%s</small></label><input id=\"%s\" name=\"%s\" type=\"password\" "
                    "autocomplete=\"%s\" required maxlength=\"1024\"></p>",
                    name, label, hint, name, name, complete);
}

void avvik__page_account(struct avvik__request *request, struct avvik__answer *answer, const char *message,
                         int is_problem)
{
    struct avvik__html *html = &answer->html;
    avvik__frame_begin(request, html, W(account), AVVIK_TAB_NONE);
    avvik__html_add(html, "<div class=\"door\"><h1>%s: %s</h1>", W(account), request->person.name);
    if (message != NULL)
        avvik__html_add(html, "<p class=\"notice%s\" role=\"%s\">%s</p>", is_problem ? " problem" : " done",
                        is_problem ? "alert" : "status", message);
    avvik__html_add(html, "<form method=\"post\" action=\"/account\">");
    avvik__frame_token(request, html);
    /* For whatever keeps passwords: whose it is. */
    avvik__html_add(html, "<input type=\"hidden\" name=\"name\" value=\"%s\" autocomplete=\"username\">",
                    request->person.name);
    field_add(html, "password", W(password_old), "", "current-password");
    field_add(html, "next", W(password_next), W(password_hint), "new-password");
    field_add(html, "again", W(password_again), "", "new-password");
    avvik__html_add(html, "<p><button class=\"main\">%s</button></p></form></div>", W(password_change));
    avvik__frame_end(request, html);
}

/* The login page, and pages that say why there is none. */
#include "page_frame.h"

/* What the session's end cut off, so that it is found again behind the door. */
static void kept_add(struct avvik__request *request, struct avvik__html *html)
{
    const struct avvik__kept *kept = &request->kept;
    if (kept->path[0] != '\0')
        avvik__html_add(html, "<input type=\"hidden\" name=\"back\" value=\"%s\">", kept->path);
    if (kept->decision[0] != '\0')
        avvik__html_add(html, "<input type=\"hidden\" name=\"decision\" value=\"%s\">", kept->decision);
    if (kept->note[0] != '\0')
        avvik__html_add(html,
                        "<p><label for=\"kept\">%s</label><textarea id=\"kept\" name=\"note\" rows=\"4\" "
                        "maxlength=\"4000\">\n%s</textarea></p>",
                        W(note_kept), kept->note);
}

void avvik__page_login(struct avvik__request *request, struct avvik__answer *answer, const char *message)
{
    struct avvik__html *html = &answer->html;
    avvik__frame_begin(request, html, W(log_in), AVVIK_TAB_NONE);
    avvik__html_add(html, "<div class=\"door\"><h1>%s</h1>", W(log_in));
    if (message != NULL)
        avvik__html_add(html, "<p class=\"notice\" role=\"alert\" id=\"told\">%s</p>", message);
    avvik__html_add(html, "<form method=\"post\" action=\"/login\">");
    avvik__frame_token(request, html);
    kept_add(request, html);
    avvik__html_add(html,
                    "<p><label for=\"name\">%s</label><input id=\"name\" name=\"name\" autocomplete=\"username\" "
                    "autocapitalize=\"none\" spellcheck=\"false\" required maxlength=\"64\"></p>"
                    "<p><label for=\"password\">%s</label><input id=\"password\" name=\"password\" type=\"password\" "
                    "autocomplete=\"current-password\" required maxlength=\"1024\"></p>"
                    "<p><button class=\"main\">%s</button></p></form></div>",
                    W(user_name), W(password), W(log_in));
    avvik__frame_end(request, html);
}

void avvik__page_problem(struct avvik__request *request, struct avvik__answer *answer, int code, const char *told)
{
    struct avvik__html *html = &answer->html;
    const char *title = code == 404 || code == 405 ? W(not_found)
                        : code == 403              ? W(refused)
                        : code == 400              ? W(bad_request)
                        : code == 413              ? W(too_large)
                                                   : W(failed);
    answer->code = code;
    avvik__frame_begin(request, html, title, AVVIK_TAB_NONE);
    avvik__html_add(html, "<div class=\"door\"><h1>%s</h1><p>%s</p><p><a href=\"/cases\">%s</a></p></div>", title, told,
                    W(back_to_list));
    avvik__frame_end(request, html);
}

void avvik__page_error(struct avvik__request *request, struct avvik__answer *answer, int code)
{
    avvik__page_problem(request, answer, code,
                        code == 404 || code == 405 ? W(not_found_told)
                        : code == 403              ? W(refused_told)
                        : code == 400              ? W(bad_request_told)
                                                   : W(failed_told));
}

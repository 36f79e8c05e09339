#include "page_frame.h"

#include <string.h>

#include "value_text.h"

static const char *role_word(const struct avvik__request *request)
{
    return request->person.role == AVVIK_ROLE_LEAD      ? W(role_lead)
           : request->person.role == AVVIK_ROLE_AUDITOR ? W(role_auditor)
                                                        : W(role_reader);
}

void avvik__frame_token(struct avvik__request *request, struct avvik__html *html)
{
    char token[AVVIK_TOKEN_SIZE];
    avvik__form_token(request->token[0] != '\0' ? request->token : request->door, token);
    avvik__html_add(html, "<input type=\"hidden\" name=\"token\" value=\"%s\">", token);
}

static void languages_add(struct avvik__request *request, struct avvik__html *html)
{
    static const char *const names[AVVIK_N_LANGUAGES] = {"English", "Bokm\xc3\xa5l", "Nynorsk"};
    avvik__html_add(html, "<nav class=\"languages\" aria-label=\"%s\"><ul>", W(language));
    for (int i = 0; i < AVVIK_N_LANGUAGES; i++)
        avvik__html_add(html, "<li><a href=\"/language?to=%s&amp;back=%s\" lang=\"%s\" hreflang=\"%s\"%s>%s</a></li>",
                        avvik_language_code((enum avvik_language)i),
                        strcmp(request->method, "GET") == 0 && avvik__is_own_path(request->path) ? request->path
                                                                                                 : "/cases",
                        avvik_language_code((enum avvik_language)i), avvik_language_code((enum avvik_language)i),
                        i == (int)request->language ? " aria-current=\"true\"" : "", names[i]);
    avvik__html_add(html, "</ul></nav>");
}

void avvik__frame_begin(struct avvik__request *request, struct avvik__html *html, const char *title,
                        enum avvik__tab tab)
{
    avvik__html_add(
        html,
        "<!DOCTYPE html>\n<html lang=\"%s\"><head><meta charset=\"utf-8\"><title>%s \xe2\x80\x93 avvik</title>"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
        "<meta name=\"color-scheme\" content=\"light dark\">"
        "<link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\"><link rel=\"stylesheet\" href=\"/style.css\">"
        "<script src=\"/review.js\" defer></script></head>\n<body>"
        "<a class=\"skip\" href=\"#content\">%s</a><header><div class=\"bar\">"
        "<a class=\"mark\" href=\"/cases\"><svg viewBox=\"0 0 24 24\" aria-hidden=\"true\" focusable=\"false\">"
        "<path d=\"M2 18h20\"/><circle cx=\"6\" cy=\"14\" r=\"1.6\"/><circle cx=\"11\" cy=\"14\" r=\"1.6\"/>"
        "<circle cx=\"16\" cy=\"14\" r=\"1.6\"/><path class=\"out\" d=\"M19 3l3.5 4-3.5 4-3.5-4z\"/></svg>avvik</a>",
        avvik_language_code(request->language), title, W(skip));
    if (request->person.name[0] != '\0') {
        avvik__html_add(html,
                        "<nav class=\"tabs\" aria-label=\"%s\"><ul><li><a href=\"/cases\"%s>%s</a></li><li>"
                        "<a href=\"/progress\"%s>%s</a></li></ul></nav>",
                        W(main_menu), tab == AVVIK_TAB_CASES ? " aria-current=\"page\"" : "", W(cases),
                        tab == AVVIK_TAB_PROGRESS ? " aria-current=\"page\"" : "", W(progress));
        avvik__html_add(
            html,
            "<form class=\"who\" method=\"post\" action=\"/logout\"><a href=\"/account\">%s <small>%s</small></a>",
            request->person.name, role_word(request));
        avvik__frame_token(request, html);
        avvik__html_add(html, "<button class=\"quiet\">%s</button></form>", W(log_out));
    }
    avvik__html_add(html, "</div></header>\n<main id=\"content\" tabindex=\"-1\">");
}

void avvik__frame_end(struct avvik__request *request, struct avvik__html *html)
{
    avvik__html_add(html, "</main>\n<footer><div class=\"bar\"><p>%s</p>", W(deviation_only));
    languages_add(request, html);
    avvik__html_add(html, "</div></footer></body></html>\n");
}

void avvik__frame_count(struct avvik__html *html, enum avvik_language language, int64_t count)
{
    char text[64];
    avvik__count_text((uint64_t)count, language, text, sizeof text);
    avvik__html_add(html, "%s", text);
}

const char *avvik__decision_word(enum avvik_language language, int decision)
{
    static const enum avvik__word words[AVVIK_N_DECISIONS] = {AVVIK_WORD_confirmed, AVVIK_WORD_explained,
                                                              AVVIK_WORD_error, AVVIK_WORD_unclear};
    return decision < 0 ? "" : avvik__word(language, words[decision]);
}

void avvik__frame_state(struct avvik__html *html, enum avvik_language language, enum avvik__case_state state,
                        int decision)
{
    static const char *const signs[] = {"\xe2\x9c\x93", "\xe2\x89\xa1", "\xe2\x9c\x97", "?"};
    const char *sign = state == AVVIK_OPEN      ? "\xe2\x97\x8b"
                       : state == AVVIK_WAITING ? "\xe2\x97\x90"
                       : decision >= 0          ? signs[decision]
                                                : "\xe2\x97\x8f";
    const char *words = state == AVVIK_OPEN      ? avvik__word(language, AVVIK_WORD_open)
                        : state == AVVIK_WAITING ? avvik__word(language, AVVIK_WORD_waits)
                                                 : avvik__decision_word(language, decision);
    avvik__html_add(html, "<span class=\"chip %s\"><span aria-hidden=\"true\">%s</span> %s",
                    state == AVVIK_DECIDED && decision >= 0 ? avvik__decision_names[decision]
                                                            : avvik__state_names[state],
                    sign, words);
    if (state == AVVIK_WAITING && decision >= 0)
        avvik__html_add(html, ": %s", avvik__decision_word(language, decision));
    avvik__html_add(html, "</span>");
}

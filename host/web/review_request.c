/* Which page a request gets, and whether it may have it: session, token, role. */
#include "review_request.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "page_frame.h"

void avvik__send_on(struct avvik__answer *answer, const char *path)
{
    answer->code = 303;
    snprintf(answer->location, sizeof answer->location, "%s", path);
}

static int is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Does the name in a Host header mean this server? Without TLS, a page of another site could otherwise reach it by a
 * name of its own that resolves to 127.0.0.1. */
static int host_is_ours(const struct avvik__request *request)
{
    const char *host = request->host;
    if (request->review->is_tls)
        return 1;
    if (host == NULL)
        return 0;
    const size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    const char *const ours[] = {"127.0.0.1", "localhost", "[::1]", request->review->host};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (ours[i] != NULL && strlen(ours[i]) == n && strncasecmp(ours[i], host, n) == 0)
            return 1;
    return 0;
}

/* A browser says where a form was: it must have been here. */
static int origin_is_ours(const struct avvik__request *request)
{
    char ours[300];
    if (request->origin == NULL)
        return 1;
    snprintf(ours, sizeof ours, "http%s://%s", request->review->is_tls ? "s" : "",
             request->host == NULL ? "" : request->host);
    return strcasecmp(request->origin, ours) == 0;
}

static void language_choose(struct avvik__request *request)
{
    char chosen[8];
    avvik__cookie_read(request->cookies, AVVIK_LANGUAGE_COOKIE, chosen, sizeof chosen);
    const char *wish = chosen[0] != '\0' ? chosen : request->languages;
    request->language = AVVIK_ENGLISH;
    if (wish == NULL)
        return;
    /* The first of a browser's languages that we have; "no" is bokmål. */
    for (; *wish != '\0'; wish += strcspn(wish, ","), wish += strspn(wish, ", ")) {
        if (strncasecmp(wish, "en", 2) == 0)
            return;
        if (strncasecmp(wish, "nn", 2) == 0 || strncasecmp(wish, "nb", 2) == 0 || strncasecmp(wish, "no", 2) == 0) {
            request->language = (wish[1] | 0x20) == 'n' ? AVVIK_NYNORSK : AVVIK_BOKMAAL;
            return;
        }
    }
}

static void language_take(struct avvik__request *request, struct avvik__answer *answer)
{
    const char *to = avvik__form_value(&request->query, "to"), *back = avvik__form_value(&request->query, "back");
    for (int i = 0; i < AVVIK_N_LANGUAGES; i++)
        if (is(to, avvik_language_code((enum avvik_language)i)))
            snprintf(answer->cookies[0], sizeof answer->cookies[0], AVVIK_LANGUAGE_COOKIE "=%s; Max-Age=31536000", to);
    avvik__send_on(answer, avvik__is_own_path(back) ? back : "/cases");
}

/* What a form of a case's page asks for; NULL, or what is wrong with it. */
static const char *action_read(struct avvik__request *request, struct avvik__action *action)
{
    const struct avvik__form *form = &request->form;
    const char *act = avvik__form_value(form, "act"), *decision = avvik__form_value(form, "decision");
    int found = -1;
    for (int i = 0; i < AVVIK_N_ACTS; i++)
        found = is(act, avvik__act_names[i]) ? i : found;
    action->version = avvik__number_read(avvik__form_value(form, "version"));
    if (found < 0 || action->version < 0)
        return W(bad_request_told);
    action->act = (enum avvik__act)found;
    action->note = avvik__form_value(form, "note");
    action->assignee = avvik__form_value(form, "assignee");
    if (strlen(action->note) > AVVIK_MAX_NOTE)
        return W(note_long);
    found = action->act == AVVIK_DECIDE ? -1 : 0;
    for (int d = 0; d < AVVIK_N_DECISIONS; d++)
        found = is(decision, avvik__decision_names[d]) ? d : found;
    if (found < 0)
        return W(choose_one);
    action->decision = (enum avvik__decision)found;
    return NULL;
}

static void case_take(struct avvik__request *request, struct avvik__answer *answer, int64_t id)
{
    struct avvik_error error;
    struct avvik__action action = {.case_id = id};
    enum avvik__outcome outcome = AVVIK_DONE;
    char path[80];
    struct avvik__case_notice notice = {action_read(request, &action), 1, avvik__form_value(&request->form, "note"),
                                        avvik__form_value(&request->form, "decision")};
    if (notice.message != NULL) {
        answer->code = 422;
        avvik__page_case(request, answer, id, &notice);
        return;
    }
    if (avvik__store_act(request->review->store, &request->person, &action, &outcome, &error) != AVVIK_OK) {
        avvik__page_error(request, answer, 500);
        return;
    }
    switch (outcome) {
    case AVVIK_DONE:
        snprintf(path, sizeof path, "/case/%lld?done=%s", (long long)id, avvik__act_names[action.act]);
        avvik__send_on(answer, path);
        return;
    case AVVIK_NO_CASE: avvik__page_error(request, answer, 404); return;
    case AVVIK_NOT_ALLOWED:
        answer->code = 403;
        notice.message = W(refused_told);
        break;
    case AVVIK_CONFLICT:
        answer->code = 409;
        notice.message = W(conflict);
        break;
    case AVVIK_NEEDS_OTHER:
        answer->code = 409;
        notice.message = W(needs_other);
        break;
    case AVVIK_OUT_OF_ORDER:
        answer->code = 409;
        notice.message = W(out_of_order);
        break;
    case AVVIK_NO_ACCOUNT:
        answer->code = 422;
        notice.message = W(no_account);
        break;
    }
    avvik__page_case(request, answer, id, &notice);
}

static void case_show(struct avvik__request *request, struct avvik__answer *answer, int64_t id)
{
    const char *done = avvik__form_value(&request->query, "done");
    const struct avvik__case_notice notice = {is(done, "decide") || is(done, "agree") ? W(recorded)
                                              : is(done, "undo")                      ? W(recorded_undo)
                                              : is(done, "assign")                    ? W(recorded_assign)
                                                                                      : NULL,
                                              0, NULL, NULL};
    avvik__page_case(request, answer, id, &notice);
}

int64_t avvik__case_of(const char *path)
{
    return strncmp(path, "/case/", 6) == 0 ? avvik__number_read(path + 6) : -1;
}

/* What somebody was at when the session ended, for avvik__door_show(). */
static void kept_read(struct avvik__request *request)
{
    const struct avvik__form *form = &request->form;
    const int is_login = is(request->path, "/login");
    const char *path = is_login ? avvik__form_value(form, "back") : request->path;
    request->kept = (struct avvik__kept){"", avvik__form_value(form, "note"), avvik__form_value(form, "decision")};
    if (avvik__case_of(path) >= 0 || is(path, "/cases") || is(path, "/progress") || is(path, "/account"))
        request->kept.path = path;
}

/* Requests of somebody who is logged in. */
static void inside_answer(struct avvik__request *request, struct avvik__answer *answer)
{
    const int is_post = is(request->method, "POST");
    const int64_t id = avvik__case_of(request->path);
    if (is_post && !avvik__token_fits(request, request->token))
        avvik__page_problem(request, answer, 400, W(stale_form));
    else if (is_post && is(request->path, "/logout"))
        avvik__logout_take(request, answer);
    else if (is_post && is(request->path, "/account"))
        avvik__password_take(request, answer);
    else if (is_post && id >= 0)
        case_take(request, answer, id);
    else if (is_post)
        avvik__page_error(request, answer, 404);
    else if (is(request->path, "/") || is(request->path, "/login"))
        avvik__send_on(answer, "/cases");
    else if (is(request->path, "/cases"))
        avvik__page_list(request, answer);
    else if (is(request->path, "/account"))
        avvik__page_account(request, answer,
                            is(avvik__form_value(&request->query, "done"), "password") ? W(password_changed) : NULL, 0);
    else if (is(request->path, "/progress"))
        avvik__page_progress(request, answer);
    else if (id >= 0)
        case_show(request, answer, id);
    else
        avvik__page_error(request, answer, 404);
}

void avvik__request_answer(struct avvik__request *request, struct avvik__answer *answer)
{
    struct avvik__review *review = request->review;
    struct avvik_error error;
    const int is_post = is(request->method, "POST");
    *answer = (struct avvik__answer){.code = 200};
    language_choose(request);
    avvik__cookie_read(request->cookies, AVVIK_TOKEN_COOKIE, request->token, sizeof request->token);
    avvik__cookie_read(request->cookies, AVVIK_DOOR_COOKIE, request->door, sizeof request->door);
    kept_read(request);
    if (!request->is_sound || !host_is_ours(request) || (is_post && !origin_is_ours(request)))
        avvik__page_error(request, answer, 400);
    else if (!is_post && !is(request->method, "GET") && !is(request->method, "HEAD"))
        avvik__page_error(request, answer, 405);
    else if (!is_post && is(request->path, "/language"))
        language_take(request, answer);
    else if (is_post && is(request->path, "/login"))
        avvik__login_take(request, answer);
    else if (request->token[0] != '\0' && avvik__session_find(review->store, request->token, review->idle_s,
                                                              review->absolute_s, &request->person, &error) != AVVIK_OK)
        avvik__page_error(request, answer, 500);
    else if (request->person.name[0] != '\0')
        inside_answer(request, answer);
    else if (is(request->path, "/logout"))
        avvik__door_show(request, answer, 401, W(logged_out));
    else if (is_post || request->token[0] != '\0')
        avvik__door_show(request, answer, 401, is_post ? W(session_cut) : W(session_ended));
    else if (is(request->path, "/login"))
        avvik__door_show(request, answer, 200, NULL);
    else
        avvik__send_on(answer, "/login");
}

/* Which page a request gets, and whether it may have it: session, token, role. */
#include "review_request.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "page_frame.h"

#define MAX_LOGINS 2 /* passwords checked at a time: each takes 64 MiB */

void avvik__form_token(const char *secret, char token_out[AVVIK_TOKEN_SIZE])
{
    static const unsigned char what[] = "avvik form";
    unsigned char hash[32];
    crypto_generichash(hash, sizeof hash, what, sizeof what, (const unsigned char *)secret, strlen(secret));
    sodium_bin2hex(token_out, AVVIK_TOKEN_SIZE, hash, sizeof hash);
}

static int is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static int64_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
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

static int token_fits(const struct avvik__request *request, const char *secret)
{
    char token[AVVIK_TOKEN_SIZE];
    const char *given = avvik__form_value(&request->form, "token");
    avvik__form_token(secret, token);
    return secret[0] != '\0' && strlen(given) == sizeof token - 1 && sodium_memcmp(given, token, sizeof token - 1) == 0;
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

static void send_on(struct avvik__answer *answer, const char *path)
{
    answer->code = 303;
    snprintf(answer->location, sizeof answer->location, "%s", path);
}

/* A login page for somebody new, whose form is bound to a cookie. */
static void door_show(struct avvik__request *request, struct avvik__answer *answer, int code, const char *message,
                      const char *note)
{
    unsigned char bytes[32];
    if (strlen(request->door) != AVVIK_TOKEN_SIZE - 1) {
        randombytes_buf(bytes, sizeof bytes);
        sodium_bin2hex(request->door, sizeof request->door, bytes, sizeof bytes);
        snprintf(answer->cookies[0], sizeof answer->cookies[0], AVVIK_DOOR_COOKIE "=%s", request->door);
    }
    request->token[0] = '\0';
    answer->code = code;
    avvik__page_login(request, answer, message, note);
}

static void login_take(struct avvik__request *request, struct avvik__answer *answer)
{
    struct avvik__review *review = request->review;
    struct avvik_error error;
    char token[AVVIK_TOKEN_SIZE];
    const char *name = avvik__form_value(&request->form, "name"),
               *password = avvik__form_value(&request->form, "password");
    int is_right = 0;
    if (!token_fits(request, request->door)) {
        door_show(request, answer, 400, W(login_stale), NULL);
        return;
    }
    if (strlen(name) > 64 || strlen(password) > AVVIK_PASSWORD_MAX) {
        door_show(request, answer, 401, W(login_wrong), NULL);
        return;
    }
    if (!avvik__login_allowed(review->limit, name, request->address, seconds_now())) {
        answer->retry_after_s = AVVIK_LOGIN_WINDOW_S;
        door_show(request, answer, 429, W(login_often), NULL);
        return;
    }
    if (__atomic_add_fetch(&review->logins_now, 1, __ATOMIC_SEQ_CST) > MAX_LOGINS) {
        __atomic_sub_fetch(&review->logins_now, 1, __ATOMIC_SEQ_CST);
        answer->retry_after_s = 2;
        door_show(request, answer, 503, W(login_busy), NULL);
        return;
    }
    avvik__login_refused(review->limit, name, request->address,
                         seconds_now()); /* until it was not, also for those beside */
    enum avvik_status status = avvik__account_check(review->store, name, password, request->address, &is_right, &error);
    __atomic_sub_fetch(&review->logins_now, 1, __ATOMIC_SEQ_CST);
    if (status == AVVIK_OK && is_right)
        status = avvik__session_begin(review->store, name, token, &error);
    if (status != AVVIK_OK)
        avvik__page_error(request, answer, 500);
    else if (!is_right)
        door_show(request, answer, 401, W(login_wrong), NULL);
    else {
        avvik__login_forget(review->limit, name, request->address, seconds_now());
        snprintf(answer->cookies[0], sizeof answer->cookies[0], AVVIK_TOKEN_COOKIE "=%s", token);
        snprintf(answer->cookies[1], sizeof answer->cookies[1], AVVIK_DOOR_COOKIE "=; Max-Age=0");
        send_on(answer, "/cases");
    }
}

static void logout_take(struct avvik__request *request, struct avvik__answer *answer)
{
    struct avvik_error error;
    if (avvik__session_end(request->review->store, request->token, &request->person, &error) != AVVIK_OK) {
        avvik__page_error(request, answer, 500);
        return;
    }
    request->person.name[0] = '\0';
    snprintf(answer->cookies[1], sizeof answer->cookies[1], AVVIK_TOKEN_COOKIE "=; Max-Age=0");
    door_show(request, answer, 200, W(logged_out), NULL);
}

static void language_take(struct avvik__request *request, struct avvik__answer *answer)
{
    const char *to = avvik__form_value(&request->query, "to"), *back = avvik__form_value(&request->query, "back");
    for (int i = 0; i < AVVIK_N_LANGUAGES; i++)
        if (is(to, avvik_language_code((enum avvik_language)i)))
            snprintf(answer->cookies[0], sizeof answer->cookies[0], AVVIK_LANGUAGE_COOKIE "=%s; Max-Age=31536000", to);
    send_on(answer, avvik__is_own_path(back) ? back : "/cases");
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
        send_on(answer, path);
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

static int64_t case_of(const char *path)
{
    return strncmp(path, "/case/", 6) == 0 ? avvik__number_read(path + 6) : -1;
}

/* Requests of somebody who is logged in. */
static void inside_answer(struct avvik__request *request, struct avvik__answer *answer)
{
    const int is_post = is(request->method, "POST");
    const int64_t id = case_of(request->path);
    if (is_post && !token_fits(request, request->token))
        avvik__page_problem(request, answer, 400, W(stale_form));
    else if (is_post && is(request->path, "/logout"))
        logout_take(request, answer);
    else if (is_post && id >= 0)
        case_take(request, answer, id);
    else if (is_post)
        avvik__page_error(request, answer, 404);
    else if (is(request->path, "/") || is(request->path, "/login"))
        send_on(answer, "/cases");
    else if (is(request->path, "/cases"))
        avvik__page_list(request, answer);
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
    if (!request->is_sound || !host_is_ours(request) || (is_post && !origin_is_ours(request)))
        avvik__page_error(request, answer, 400);
    else if (!is_post && !is(request->method, "GET") && !is(request->method, "HEAD"))
        avvik__page_error(request, answer, 405);
    else if (!is_post && is(request->path, "/language"))
        language_take(request, answer);
    else if (is_post && is(request->path, "/login"))
        login_take(request, answer);
    else if (request->token[0] != '\0' && avvik__session_find(review->store, request->token, review->idle_s,
                                                              review->absolute_s, &request->person, &error) != AVVIK_OK)
        avvik__page_error(request, answer, 500);
    else if (request->person.name[0] != '\0')
        inside_answer(request, answer);
    else if (is_post || request->token[0] != '\0')
        door_show(request, answer, 401, is(request->path, "/logout") ? W(logged_out) : W(session_ended),
                  avvik__form_value(&request->form, "note"));
    else if (is(request->path, "/login"))
        door_show(request, answer, 200, NULL, NULL);
    else
        send_on(answer, "/login");
}

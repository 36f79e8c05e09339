/* The door: who may come in, and what they find there when they come back. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
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

static int64_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

int avvik__token_fits(const struct avvik__request *request, const char *secret)
{
    char token[AVVIK_TOKEN_SIZE];
    const char *given = avvik__form_value(&request->form, "token");
    avvik__form_token(secret, token);
    return secret[0] != '\0' && strlen(given) == sizeof token - 1 && sodium_memcmp(given, token, sizeof token - 1) == 0;
}

void avvik__door_show(struct avvik__request *request, struct avvik__answer *answer, int code, const char *message)
{
    unsigned char bytes[32];
    if (strlen(request->door) != AVVIK_TOKEN_SIZE - 1) {
        randombytes_buf(bytes, sizeof bytes);
        sodium_bin2hex(request->door, sizeof request->door, bytes, sizeof bytes);
        snprintf(answer->cookies[0], sizeof answer->cookies[0], AVVIK_DOOR_COOKIE "=%s", request->door);
    }
    request->token[0] = '\0';
    answer->code = code;
    avvik__page_login(request, answer, message);
}

/* Let somebody in whose session has begun: to where it was, with what was not recorded there. */
static void enter(struct avvik__request *request, struct avvik__answer *answer, const char *token)
{
    const struct avvik__kept *kept = &request->kept;
    struct avvik_error error;
    snprintf(answer->cookies[0], sizeof answer->cookies[0], AVVIK_TOKEN_COOKIE "=%s", token);
    snprintf(answer->cookies[1], sizeof answer->cookies[1], AVVIK_DOOR_COOKIE "=; Max-Age=0");
    if (avvik__case_of(kept->path) < 0 || (kept->note[0] == '\0' && kept->decision[0] == '\0')) {
        avvik__send_on(answer, kept->path[0] == '\0' ? "/cases" : kept->path);
        return;
    }
    snprintf(request->token, sizeof request->token, "%s", token);
    if (avvik__session_find(request->review->store, token, request->review->idle_s, request->review->absolute_s,
                            &request->person, &error) != AVVIK_OK) {
        avvik__page_error(request, answer, 500);
        return;
    }
    const struct avvik__case_notice notice = {W(back_again), 1, kept->note, kept->decision};
    avvik__page_case(request, answer, avvik__case_of(kept->path), &notice);
}

/* Before a password is checked: may it be? NULL, or why not, with answer->code set. */
static const char *attempt_begin(struct avvik__request *request, struct avvik__answer *answer, const char *name)
{
    struct avvik__review *review = request->review;
    if (!avvik__login_allowed(review->limit, name, request->address, seconds_now())) {
        answer->code = 429;
        answer->retry_after_s = AVVIK_LOGIN_WINDOW_S;
        return W(login_often);
    }
    if (__atomic_add_fetch(&review->logins_now, 1, __ATOMIC_SEQ_CST) > MAX_LOGINS) {
        __atomic_sub_fetch(&review->logins_now, 1, __ATOMIC_SEQ_CST);
        answer->code = 503;
        answer->retry_after_s = 2;
        return W(login_busy);
    }
    /* It counts as refused until it was not, also for those beside. */
    avvik__login_refused(review->limit, name, request->address, seconds_now());
    return NULL;
}

static void attempt_end(struct avvik__request *request, const char *name, int is_right)
{
    struct avvik__review *review = request->review;
    __atomic_sub_fetch(&review->logins_now, 1, __ATOMIC_SEQ_CST);
    if (is_right)
        avvik__login_forget(review->limit, name, request->address, seconds_now());
}

void avvik__login_take(struct avvik__request *request, struct avvik__answer *answer)
{
    struct avvik__review *review = request->review;
    struct avvik_error error;
    char token[AVVIK_TOKEN_SIZE];
    const char *name = avvik__form_value(&request->form, "name"),
               *password = avvik__form_value(&request->form, "password"), *refused;
    int is_right = 0;
    if (!avvik__token_fits(request, request->door)) {
        avvik__door_show(request, answer, 400, W(login_stale));
        return;
    }
    if (strlen(name) > 64 || strlen(password) > AVVIK_PASSWORD_MAX) {
        avvik__door_show(request, answer, 401, W(login_wrong));
        return;
    }
    if ((refused = attempt_begin(request, answer, name)) != NULL) {
        avvik__door_show(request, answer, answer->code, refused);
        return;
    }
    enum avvik_status status = avvik__account_check(review->store, name, password, request->address, &is_right, &error);
    attempt_end(request, name, status == AVVIK_OK && is_right);
    if (status == AVVIK_OK && is_right)
        status = avvik__session_begin(review->store, name, token, &error);
    if (status != AVVIK_OK)
        avvik__page_error(request, answer, 500);
    else if (!is_right)
        avvik__door_show(request, answer, 401, W(login_wrong));
    else {
        enter(request, answer, token);
    }
}

void avvik__password_take(struct avvik__request *request, struct avvik__answer *answer)
{
    const struct avvik__form *form = &request->form;
    const char *password = avvik__form_value(form, "password"), *next = avvik__form_value(form, "next"),
               *again = avvik__form_value(form, "again"), *refused;
    const size_t n = strlen(next);
    struct avvik_error error;
    char token[AVVIK_TOKEN_SIZE];
    int is_right = 0;
    answer->code = 422;
    if (strcmp(next, again) != 0)
        refused = W(password_differs);
    else if (n < AVVIK_PASSWORD_MIN || n > AVVIK_PASSWORD_MAX || strlen(password) > AVVIK_PASSWORD_MAX)
        refused = W(password_unfit);
    else if (strcmp(next, password) == 0)
        refused = W(password_same);
    else
        refused = attempt_begin(request, answer, request->person.name);
    if (refused != NULL) {
        avvik__page_account(request, answer, refused, 1);
        return;
    }
    const enum avvik_status status = avvik__password_change(request->review->store, request->person.name, password,
                                                            next, request->address, &is_right, token, &error);
    attempt_end(request, request->person.name, status == AVVIK_OK && is_right);
    if (status != AVVIK_OK)
        avvik__page_error(request, answer, 500);
    else if (!is_right)
        avvik__page_account(request, answer, W(password_wrong), 1);
    else {
        snprintf(answer->cookies[0], sizeof answer->cookies[0], AVVIK_TOKEN_COOKIE "=%s", token);
        avvik__send_on(answer, "/account?done=password");
    }
}

void avvik__logout_take(struct avvik__request *request, struct avvik__answer *answer)
{
    struct avvik_error error;
    if (avvik__session_end(request->review->store, request->token, &request->person, &error) != AVVIK_OK) {
        avvik__page_error(request, answer, 500);
        return;
    }
    request->person.name[0] = '\0';
    snprintf(answer->cookies[1], sizeof answer->cookies[1], AVVIK_TOKEN_COOKIE "=; Max-Age=0");
    avvik__door_show(request, answer, 200, W(logged_out));
}

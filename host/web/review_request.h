/* A request to the review server and its answer, apart from how they travel (serve.c). */
#ifndef AVVIK_REVIEW_REQUEST_H
#define AVVIK_REVIEW_REQUEST_H

#include "case_document.h"
#include "case_store.h"
#include "form_text.h"
#include "html_text.h"
#include "login_limit.h"

#define AVVIK_TOKEN_COOKIE "avvik_session"
#define AVVIK_DOOR_COOKIE "avvik_door" /* what a login form is bound to before there is a session */
#define AVVIK_LANGUAGE_COOKIE "avvik_language"

struct avvik__review {
    struct avvik_store *store;
    int64_t idle_s, absolute_s;
    int is_tls;
    const char *host; /* a name of this server beside those of the loopback, or NULL */
    struct avvik__login_limit *limit;
    int logins_now; /* passwords being checked; changed atomically */
};

/* What somebody was at whose session had ended: it is kept in the login form and found again behind it. */
struct avvik__kept {
    const char *path;            /* a page of ours; "": none */
    const char *note, *decision; /* of the form that was not recorded; "" */
};

struct avvik__request {
    struct avvik__review *review;
    const char *method, *path; /* path: without what follows '?' */
    const char *address;       /* of the client */
    struct avvik__form query, form;
    /* NULL where the header is absent */
    const char *cookies, *host, *origin, *languages;
    int is_sound; /* query and form could be read */
    /* found out by avvik__request_answer() */
    char token[AVVIK_TOKEN_SIZE], door[AVVIK_TOKEN_SIZE];
    struct avvik__person person; /* name "": not logged in */
    enum avvik_language language;
    struct avvik__kept kept;
};

struct avvik__answer {
    int code; /* of HTTP */
    struct avvik__html html;
    char location[512];   /* of a redirection; "" */
    char cookies[2][128]; /* to set: "name=value; Max-Age=..." without what all cookies have; "" */
    int retry_after_s;    /* 0: none */
};

/* Answer a request whose path is none of the fixed files'. answer_out->html.text is the caller's to free. */
void avvik__request_answer(struct avvik__request *request, struct avvik__answer *answer_out);

/* The token that a form must carry: BLAKE2b of the session's token (or of the door's cookie), which no other site
 * knows. */
void avvik__form_token(const char *secret, char token_out[AVVIK_TOKEN_SIZE]);

/* Does the form carry the token that belongs to this secret? */
int avvik__token_fits(const struct avvik__request *request, const char *secret);

/* The number of the case whose page this is; -1: none's. */
int64_t avvik__case_of(const char *path);

void avvik__send_on(struct avvik__answer *answer, const char *path);

/* The door (review_door.c): a login form, bound to a cookie; what comes of it; the way out. */
void avvik__door_show(struct avvik__request *request, struct avvik__answer *answer, int code, const char *message);
void avvik__login_take(struct avvik__request *request, struct avvik__answer *answer);
void avvik__logout_take(struct avvik__request *request, struct avvik__answer *answer);
/* A person's own new password; all other sessions of the account end. */
void avvik__password_take(struct avvik__request *request, struct avvik__answer *answer);

/* Pages. Each writes into answer->html and sets answer->code where it is not 200. */
void avvik__page_login(struct avvik__request *request, struct avvik__answer *answer, const char *message);
void avvik__page_account(struct avvik__request *request, struct avvik__answer *answer, const char *message,
                         int is_problem);
void avvik__page_list(struct avvik__request *request, struct avvik__answer *answer);
void avvik__page_progress(struct avvik__request *request, struct avvik__answer *answer);
/* What a page of a case tells beside the case. */
struct avvik__case_notice {
    const char *message; /* NULL: none */
    int is_problem;
    const char *note, *decision; /* what a form held that was not recorded; NULL: nothing */
};
void avvik__page_case(struct avvik__request *request, struct avvik__answer *answer, int64_t id,
                      const struct avvik__case_notice *notice);
void avvik__page_error(struct avvik__request *request, struct avvik__answer *answer, int code);
/* The same with a sentence of its own. */
void avvik__page_problem(struct avvik__request *request, struct avvik__answer *answer, int code, const char *told);

#endif

/* What the review server asks of a case store. Every function takes the store's lock for itself. */
#ifndef AVVIK_CASE_STORE_H
#define AVVIK_CASE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/store.h"

/* ---- who ---- */

struct avvik__person {
    char name[65];
    enum avvik_role role;
};

/* Does `password` belong to the account `name`? Takes as long for an account that is not there, or is disabled: then
 * *is_right_out is 0. Whatever comes of it is logged, with the address. Takes 64 MiB and tens of milliseconds without
 * the store's lock. */
enum avvik_status avvik__account_check(struct avvik_store *store, const char *name, const char *password,
                                       const char *address, int *is_right_out, struct avvik_error *error);

#define AVVIK_TOKEN_SIZE 65
/* Give the account `name` the password `next`, if `password` is its own; end all its sessions and begin another, whose
 * token is token_out. *is_right_out 0: it was not (logged, with the address), or was changed meanwhile; nothing was
 * done. AVVIK_ERR_USAGE: `next` is too short or too long. Takes as avvik__account_check() twice. */
enum avvik_status avvik__password_change(struct avvik_store *store, const char *name, const char *password,
                                         const char *next, const char *address, int *is_right_out,
                                         char token_out[AVVIK_TOKEN_SIZE], struct avvik_error *error);

/* Sessions. A token is 64 hex digits drawn at random; the store has its hash only. Times are of the wall clock. */
enum avvik_status avvik__session_begin(struct avvik_store *store, const char *account, char token_out[AVVIK_TOKEN_SIZE],
                                       struct avvik_error *error);
/* Whose session is it? person_out->name is "" where it is nobody's, or has ended: unused for idle_s seconds, begun
 * absolute_s ago, or of an account that was disabled. Marks the session as used. */
enum avvik_status avvik__session_find(struct avvik_store *store, const char *token, int64_t idle_s, int64_t absolute_s,
                                      struct avvik__person *person_out, struct avvik_error *error);
/* End it, and log that. */
enum avvik_status avvik__session_end(struct avvik_store *store, const char *token, const struct avvik__person *person,
                                     struct avvik_error *error);

/* ---- decisions ---- */

enum avvik__decision { AVVIK_CONFIRMED, AVVIK_EXPLAINED, AVVIK_ERROR_IN_DATA, AVVIK_UNCLEAR, AVVIK_N_DECISIONS };
extern const char *const avvik__decision_names[AVVIK_N_DECISIONS]; /* "confirmed", "explained", "error", "unclear" */
enum avvik__act { AVVIK_DECIDE, AVVIK_AGREE, AVVIK_UNDO, AVVIK_ASSIGN, AVVIK_N_ACTS };
extern const char *const avvik__act_names[AVVIK_N_ACTS]; /* "decide", "agree", "undo", "assign" */
enum avvik__case_state { AVVIK_OPEN, AVVIK_WAITING, AVVIK_DECIDED, AVVIK_N_STATES };
extern const char *const avvik__state_names[AVVIK_N_STATES]; /* "open", "waiting", "decided" */

#define AVVIK_MAX_NOTE 4000 /* bytes */

/* One entry of a case: what somebody did. Entries are only ever added; an undo is an entry too. */
struct avvik__entry {
    int64_t id;
    enum avvik__act act;
    int decision; /* of AVVIK_DECIDE and AVVIK_AGREE: enum avvik__decision; -1 otherwise */
    int needs_second;
    int is_undone;                          /* by a later entry */
    char account[65], at[32], assignee[65]; /* assignee "": nobody */
    char *note;
};

/* What an act came to; anything but AVVIK_DONE left the case as it was, and so does a form that comes a second time. */
enum avvik__outcome {
    AVVIK_DONE,
    AVVIK_CONFLICT,     /* somebody else has done something since `version` */
    AVVIK_NO_CASE,      /* there is no such case */
    AVVIK_NOT_ALLOWED,  /* not in this role, or another's decision to undo */
    AVVIK_NEEDS_OTHER,  /* a second person must be another one */
    AVVIK_OUT_OF_ORDER, /* nothing to agree with or to undo, or decided already */
    AVVIK_NO_ACCOUNT    /* the assignee is no auditor or lead */
};

struct avvik__action {
    int64_t case_id, version; /* version: of the case as the person saw it */
    enum avvik__act act;
    enum avvik__decision decision; /* of AVVIK_DECIDE */
    const char *note;              /* of at most AVVIK_MAX_NOTE bytes */
    const char *assignee;          /* of AVVIK_ASSIGN; "" for nobody */
};
enum avvik_status avvik__store_act(struct avvik_store *store, const struct avvik__person *person,
                                   const struct avvik__action *action, enum avvik__outcome *outcome_out,
                                   struct avvik_error *error);

/* ---- a case ---- */

struct avvik__case_night {
    char night[16];
    int64_t rank; /* 0: none */
};

struct avvik__case_view {
    int64_t id, version;
    char key[201], assignee[65];
    enum avvik__case_state state;
    int decision;                 /* of a case that is waiting or decided; -1 */
    char *document;               /* of the latest night */
    struct avvik__entry *entries; /* oldest first */
    size_t n_entries;
    struct avvik__case_night *nights; /* newest first */
    size_t n_nights;
    int64_t next_open; /* the next open case of its latest night by rank; 0: none */
};
/* Read a case, and log that `person` has seen it: without the log's row nothing is given out. view_out->id 0: there is
 * no such case. Release with avvik__case_view_destroy(). */
enum avvik_status avvik__case_open(struct avvik_store *store, const struct avvik__person *person, int64_t id,
                                   struct avvik__case_view *view_out, struct avvik_error *error);
void avvik__case_view_destroy(struct avvik__case_view *view);

/* ---- the list ---- */

enum avvik__sort { AVVIK_SORT_RANK, AVVIK_SORT_P, AVVIK_SORT_TIME, AVVIK_SORT_OFFICE, AVVIK_SORT_KEY, AVVIK_N_SORTS };
extern const char *const avvik__sort_names[AVVIK_N_SORTS]; /* "rank", "p", "time", "office", "key" */

/* NULL or "" of a text: any. */
struct avvik__list_query {
    const char *night;             /* a date; "all": the latest sighting of every case; "": the newest night */
    const char *state;             /* "open", ..., or a decision's name */
    const char *selected;          /* "ranked" or "random" */
    const char *office, *assignee; /* assignee "-": nobody */
    const char *search;            /* part of key, entity, office or main reason, in any case of ASCII letters */
    enum avvik__sort sort;
    int is_descending;
    int64_t offset, limit;
};

struct avvik__list_row {
    int64_t id, rank, n_nights;
    double p;
    char key[201], time[33], office[201], entity[201], reason[160], reason_text[160], selected_by[65], assignee[65],
        night[16];
    enum avvik__case_state state;
    int decision;
};
struct avvik__list {
    struct avvik__list_row *rows;
    size_t n_rows;
    int64_t n_matching;
    char night[16]; /* the one listed; "all" */
};
/* Logged as one row that says the filter. Release rows with free(). */
enum avvik_status avvik__list_read(struct avvik_store *store, const struct avvik__person *person,
                                   const struct avvik__list_query *query, struct avvik__list *list_out,
                                   struct avvik_error *error);

/* A sorted list of names: nights (newest first), offices of a night, accounts that may decide. Release with
 * free(). */
struct avvik__names {
    char (*names)[201];
    size_t n;
};
enum avvik_status avvik__nights_read(struct avvik_store *store, struct avvik__names *names_out,
                                     struct avvik_error *error);
enum avvik_status avvik__offices_read(struct avvik_store *store, const char *night, struct avvik__names *names_out,
                                      struct avvik_error *error);
enum avvik_status avvik__deciders_read(struct avvik_store *store, struct avvik__names *names_out,
                                       struct avvik_error *error);

/* How far a night ("all": all) has come. [0]: cases by rank, [1]: drawn at random. */
struct avvik__progress_of_night {
    int64_t n_open[2], n_waiting[2], n_decided[2][AVVIK_N_DECISIONS];
    char night[16];
};
enum avvik_status avvik__night_progress(struct avvik_store *store, const char *night,
                                        struct avvik__progress_of_night *progress_out, struct avvik_error *error);

#endif

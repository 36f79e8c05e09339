/* The case store: cases of all nights, what auditors decided, who may, and a log that shows when it was changed.
 *
 * A store is one SQLite file (host/cases/README.md, "The store"). Functions on one store may be called from several
 * threads; several processes may have the same store open. */
#ifndef AVVIK_STORE_H
#define AVVIK_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct avvik_store;

/* Open the store `path`; may_create: make it where there is none, readable by its owner only. A store of an earlier
 * version is brought forward.
 * store_out  on success the caller's; release with avvik_store_close(). NULL on error.
 * Returns    AVVIK_OK; AVVIK_ERR_IO (not there, cannot be read or written); AVVIK_ERR_FORMAT (no case store, damaged,
 *            or of a later version); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_store_open(const char *path, int may_create, struct avvik_store **store_out,
                                   struct avvik_error *error);
void avvik_store_close(struct avvik_store *store); /* NULL is fine */

/* What avvik_store_add() did with the cases of a file. */
struct avvik_store_added {
    uint64_t n_new;    /* cases never seen before */
    uint64_t n_linked; /* seen on earlier nights: this night was added to them */
    uint64_t n_known;  /* of this night, and already in the store: nothing was done */
};

/* Add the case documents of the JSON Lines file `path` (host/cases/README.md, "Case documents"), all or none.
 * night    YYYY-MM-DD for documents that do not say; NULL: then all must.
 * Returns  AVVIK_OK; AVVIK_ERR_USAGE (night is no date); AVVIK_ERR_IO; AVVIK_ERR_FORMAT (a line is no case document, a
 *          key is there twice, a case of this night is in the store with another content: the text names the line);
 *          AVVIK_ERR_MEMORY. */
enum avvik_status avvik_store_add(struct avvik_store *store, const char *path, const char *night,
                                  struct avvik_store_added *added_out, struct avvik_error *error);

/* Write what was decided to `to`, a line a case: its key, night, rank, how it was selected, p, state, decision, who
 * decided and agreed and when (UTC), whom it is assigned to, the note. CSV with a head, or JSON Lines where is_json.
 * Cells that a spreadsheet would take for a formula begin with an apostrophe. That it was done is logged. night    the
 * cases of that night by rank; NULL: all cases, each of its latest night n_out    how many lines. Nothing is written
 * where it fails before that. Returns  AVVIK_OK; AVVIK_ERR_USAGE (no such night); AVVIK_ERR_IO; AVVIK_ERR_FORMAT (a
 * damaged store); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_store_export(struct avvik_store *store, const char *night, int is_json, FILE *to,
                                     uint64_t *n_out, struct avvik_error *error);

/* Which decisions need a second person. */
enum avvik_four_eyes { AVVIK_FOUR_EYES_NONE, AVVIK_FOUR_EYES_CONFIRMED, AVVIK_FOUR_EYES_ALL };
const char *avvik_four_eyes_name(enum avvik_four_eyes rule); /* "none", "confirmed", "all" */
int avvik_four_eyes_parse(const char *text, enum avvik_four_eyes *rule_out);

struct avvik_store_rules {
    enum avvik_four_eyes four_eyes;
    char fields[4096]; /* names of the fields that may be shown, separated by commas; "" for none */
};

/* The rules of a store, and new ones (NULL text or a negative rule: as it was). What is set is logged. AVVIK_OK,
 * AVVIK_ERR_USAGE (a list of fields that is too long or holds a control character), AVVIK_ERR_IO, AVVIK_ERR_MEMORY. */
enum avvik_status avvik_store_rules(struct avvik_store *store, struct avvik_store_rules *rules_out,
                                    struct avvik_error *error);
enum avvik_status avvik_store_rules_set(struct avvik_store *store, int four_eyes, const char *fields,
                                        struct avvik_error *error);

/* Readers look; auditors decide, and undo what they decided; leads also assign cases and undo what others decided. */
enum avvik_role { AVVIK_ROLE_READER, AVVIK_ROLE_AUDITOR, AVVIK_ROLE_LEAD, AVVIK_N_ROLES };
const char *avvik_role_name(enum avvik_role role); /* "reader", "auditor", "lead" */
int avvik_role_parse(const char *text, enum avvik_role *role_out);

#define AVVIK_PASSWORD_MIN 12   /* bytes */
#define AVVIK_PASSWORD_MAX 1024 /* bytes */

struct avvik_account {
    int64_t id;
    char name[65]; /* letters, digits, '.', '-' and '_' */
    enum avvik_role role;
    int is_disabled;
    char created[32]; /* UTC, ISO 8601 */
};

/* Accounts. Passwords are kept as Argon2id hashes (libsodium, its interactive limits); nobody is ever removed, so that
 * the log can be read. Each change is logged, and ends the account's sessions.
 * AVVIK_OK; AVVIK_ERR_USAGE (a name or password that may not be, no such account); AVVIK_ERR_EXISTS; AVVIK_ERR_IO;
 * AVVIK_ERR_MEMORY. */
enum avvik_status avvik_account_add(struct avvik_store *store, const char *name, enum avvik_role role,
                                    const char *password, struct avvik_error *error);
enum avvik_status avvik_account_password(struct avvik_store *store, const char *name, const char *password,
                                         struct avvik_error *error);
enum avvik_status avvik_account_disable(struct avvik_store *store, const char *name, struct avvik_error *error);
/* All accounts by name; release with free(). */
enum avvik_status avvik_account_list(struct avvik_store *store, struct avvik_account **accounts_out, size_t *n_out,
                                     struct avvik_error *error);

/* The log's last row: its number, and its hash in hex. Kept elsewhere, it shows later that nothing up to it was
 * changed, not even by someone who computes all hashes anew. */
struct avvik_audit_head {
    int64_t row; /* 0: an empty log */
    char hash[65];
};

struct avvik_audit_report {
    struct avvik_audit_head head;
    int64_t n_entries, n_documents, n_accounts; /* compared with what the log says of them */
};

/* Is the log whole, and does the store still hold what the log says was put into it? (host/cases/README.md, "The log")
 * anchor   a head that was kept elsewhere, or NULL.
 * Returns  AVVIK_OK; AVVIK_ERR_FORMAT (something was changed, removed or put elsewhere: the text names the first row
 *          where that shows); AVVIK_ERR_IO; AVVIK_ERR_MEMORY. */
enum avvik_status avvik_audit_verify(struct avvik_store *store, const struct avvik_audit_head *anchor,
                                     struct avvik_audit_report *report_out, struct avvik_error *error);

/* "1234:5f3a..." as a head; 1 on success. */
int avvik_audit_head_parse(const char *text, struct avvik_audit_head *head_out);
enum avvik_status avvik_audit_head_get(struct avvik_store *store, struct avvik_audit_head *head_out,
                                       struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

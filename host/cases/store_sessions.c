#include <sodium.h>
#include <string.h>
#include <time.h>

#include "audit_log.h"
#include "case_store.h"
#include "store_accounts.h"

#define TOKEN_BYTES 32

static void token_hash(const char *token, unsigned char hash[TOKEN_BYTES])
{
    crypto_generichash(hash, TOKEN_BYTES, (const unsigned char *)token, strlen(token), NULL, 0);
}

enum avvik_status avvik__session_insert(struct avvik_store *store, const char *account, char *token_out,
                                        struct avvik_error *error)
{
    unsigned char bytes[TOKEN_BYTES], hash[TOKEN_BYTES];
    const int64_t now = time(NULL);
    randombytes_buf(bytes, sizeof bytes);
    sodium_bin2hex(token_out, AVVIK_TOKEN_SIZE, bytes, sizeof bytes);
    token_hash(token_out, hash);
    return avvik__sql_run(store, error, "INSERT INTO sessions (token, account, began, seen) VALUES (?, ?, ?, ?)",
                          "btii", hash, sizeof hash, account, now, now);
}

enum avvik_status avvik__session_begin(struct avvik_store *store, const char *account, char token_out[AVVIK_TOKEN_SIZE],
                                       struct avvik_error *error)
{
    enum avvik_status status = avvik__store_begin(store, 1, error);
    if (status != AVVIK_OK)
        return status;
    AVVIK_TRY(
        avvik__sql_run(store, error, "DELETE FROM sessions WHERE began < ?", "i", (int64_t)time(NULL) - 7 * 86400));
    AVVIK_TRY(avvik__session_insert(store, account, token_out, error));
done:
    return avvik__store_end(store, status, error);
}

enum avvik_status avvik__session_find(struct avvik_store *store, const char *token, int64_t idle_s, int64_t absolute_s,
                                      struct avvik__person *person_out, struct avvik_error *error)
{
    unsigned char hash[TOKEN_BYTES];
    sqlite3_stmt *statement = NULL;
    char role[16];
    int64_t seen = 0;
    const int64_t now = time(NULL);
    enum avvik_status status = avvik__store_begin(store, 0, error);
    if (status != AVVIK_OK)
        return status;
    *person_out = (struct avvik__person){"", AVVIK_ROLE_READER};
    token_hash(token, hash);
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT a.name, a.role, s.seen FROM sessions s JOIN accounts a ON a.name = s.account"
                                 " WHERE s.token = ? AND s.seen > ? AND s.began > ? AND a.is_disabled = 0",
                                 "bii", hash, sizeof hash, now - idle_s, now - absolute_s));
    const int more = avvik__sql_step(store, statement, error);
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    if (more > 0) {
        avvik__sql_text(statement, 0, person_out->name, sizeof person_out->name);
        avvik__sql_text(statement, 1, role, sizeof role);
        avvik_role_parse(role, &person_out->role);
        seen = sqlite3_column_int64(statement, 2);
    }
done:
    sqlite3_finalize(statement);
    status = avvik__store_end(store, status, error);
    /* Not at every request: a write to the disk each. */
    if (status == AVVIK_OK && person_out->name[0] != '\0' && now - seen > idle_s / 16 &&
        (status = avvik__store_begin(store, 1, error)) == AVVIK_OK)
        status = avvik__store_end(
            store,
            avvik__sql_run(store, error, "UPDATE sessions SET seen = ? WHERE token = ?", "ib", now, hash, sizeof hash),
            error);
    return status;
}

enum avvik_status avvik__session_end(struct avvik_store *store, const char *token, const struct avvik__person *person,
                                     struct avvik_error *error)
{
    unsigned char hash[TOKEN_BYTES];
    char at[32];
    enum avvik_status status = avvik__store_begin(store, 1, error);
    if (status != AVVIK_OK)
        return status;
    token_hash(token, hash);
    avvik__time_text(at);
    AVVIK_TRY(avvik__sql_run(store, error, "DELETE FROM sessions WHERE token = ?", "b", hash, sizeof hash));
    AVVIK_TRY(avvik__audit_append(store, at, person->name, "logout", person->name, "", NULL, error));
done:
    return avvik__store_end(store, status, error);
}

enum avvik_status avvik__sessions_end(struct avvik_store *store, const char *account, struct avvik_error *error)
{
    return avvik__sql_run(store, error, "DELETE FROM sessions WHERE account = ?", "t", account);
}

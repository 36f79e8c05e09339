/* Accounts, passwords, and the rules of a store. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"
#include "case_store.h"
#include "store_accounts.h"
#include "store_entries.h"

static const char *const role_names[AVVIK_N_ROLES] = {"reader", "auditor", "lead"};

const char *avvik_role_name(enum avvik_role role)
{
    return role_names[role];
}

int avvik_role_parse(const char *text, enum avvik_role *role_out)
{
    const int found = avvik__name_find(role_names, AVVIK_N_ROLES, text);
    if (found >= 0)
        *role_out = (enum avvik_role)found;
    return found >= 0;
}

static int name_is_fit(const char *name)
{
    const size_t n = strlen(name);
    return n > 0 && n <= 64 && name[0] != '-' && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static enum avvik_status password_hash(const char *password, char hash_out[crypto_pwhash_STRBYTES],
                                       struct avvik_error *error)
{
    const size_t n = strlen(password);
    if (n < AVVIK_PASSWORD_MIN || n > AVVIK_PASSWORD_MAX)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a password has %d to %d bytes", AVVIK_PASSWORD_MIN,
                                AVVIK_PASSWORD_MAX);
    if (sodium_init() < 0 || crypto_pwhash_str(hash_out, password, n, crypto_pwhash_OPSLIMIT_INTERACTIVE,
                                               crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory for the hash of a password (64 MiB)");
    return AVVIK_OK;
}

void avvik__account_detail(const char *role, int is_disabled, const char *password, char text_out[160])
{
    char hash[65];
    avvik__texts_hash(&password, 1, hash);
    snprintf(text_out, 160, "{\"disabled\":%s,\"password\":\"%s\",\"role\":\"%s\"}", is_disabled ? "true" : "false",
             hash, role);
}

/* Log what an account is from now on, within a transaction. by: who changed it; "": whoever has the file. */
static enum avvik_status account_log(struct avvik_store *store, const char *by, const char *name,
                                     struct avvik_error *error)
{
    sqlite3_stmt *statement = NULL;
    char detail[160], at[32], role[16], hash[crypto_pwhash_STRBYTES];
    enum avvik_status status;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT role, is_disabled, password FROM accounts WHERE name = ?", "t", name));
    const int more = avvik__sql_step(store, statement, error);
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    if (more == 0)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "%s: there is no account '%s'", store->path, name);
    avvik__sql_text(statement, 0, role, sizeof role);
    avvik__sql_text(statement, 2, hash, sizeof hash);
    avvik__account_detail(role, sqlite3_column_int(statement, 1), hash, detail);
    avvik__time_text(at);
    AVVIK_TRY(avvik__audit_append(store, at, by, "account", name, detail, NULL, error));
done:
    sqlite3_finalize(statement);
    return status;
}

enum avvik_status avvik_account_add(struct avvik_store *store, const char *name, enum avvik_role role,
                                    const char *password, struct avvik_error *error)
{
    char hash[crypto_pwhash_STRBYTES], now[32];
    enum avvik_status status;
    int64_t n = 0;
    if (!name_is_fit(name))
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0,
                                "an account's name is 1 to 64 letters, digits, '.', '-' and '_', not '%s'", name);
    if ((status = password_hash(password, hash, error)) != AVVIK_OK ||
        (status = avvik__store_begin(store, 1, error)) != AVVIK_OK)
        return status;
    AVVIK_TRY(avvik__sql_number(store, 0, &n, error, "SELECT count(*) FROM accounts WHERE lower(name) = lower(?)", "t",
                                name));
    if (n > 0)
        AVVIK_FAIL(AVVIK_ERR_EXISTS, 0, "%s: there is an account '%s' already", store->path, name);
    avvik__time_text(now);
    AVVIK_TRY(avvik__sql_run(store, error, "INSERT INTO accounts (name, role, password, created) VALUES (?, ?, ?, ?)",
                             "tttt", name, role_names[role], hash, now));
    AVVIK_TRY(account_log(store, "", name, error));
done:
    sodium_memzero(hash, sizeof hash);
    return avvik__store_end(store, status, error);
}

enum avvik_status avvik_account_password(struct avvik_store *store, const char *name, const char *password,
                                         struct avvik_error *error)
{
    char hash[crypto_pwhash_STRBYTES];
    enum avvik_status status = password_hash(password, hash, error);
    if (status != AVVIK_OK || (status = avvik__store_begin(store, 1, error)) != AVVIK_OK)
        return status;
    AVVIK_TRY(avvik__sql_run(store, error, "UPDATE accounts SET password = ? WHERE name = ?", "tt", hash, name));
    AVVIK_TRY(avvik__sessions_end(store, name, error));
    AVVIK_TRY(account_log(store, "", name, error));
done:
    sodium_memzero(hash, sizeof hash);
    return avvik__store_end(store, status, error);
}

enum avvik_status avvik_account_disable(struct avvik_store *store, const char *name, struct avvik_error *error)
{
    enum avvik_status status = avvik__store_begin(store, 1, error);
    if (status != AVVIK_OK)
        return status;
    AVVIK_TRY(avvik__sql_run(store, error, "UPDATE accounts SET is_disabled = 1 WHERE name = ?", "t", name));
    AVVIK_TRY(avvik__sessions_end(store, name, error));
    AVVIK_TRY(account_log(store, "", name, error));
done:
    return avvik__store_end(store, status, error);
}

enum avvik_status avvik_account_list(struct avvik_store *store, struct avvik_account **accounts_out, size_t *n_out,
                                     struct avvik_error *error)
{
    sqlite3_stmt *statement = NULL;
    struct avvik_account *accounts = NULL;
    size_t n = 0, capacity = 0;
    char role[16];
    int more;
    enum avvik_status status = avvik__store_begin(store, 0, error);
    if (status != AVVIK_OK)
        return status;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT id, name, role, is_disabled, created FROM accounts ORDER BY name", ""));
    while ((more = avvik__sql_step(store, statement, error)) > 0) {
        if (n == capacity) {
            capacity = 2 * capacity + 16;
            struct avvik_account *grown = realloc(accounts, capacity * sizeof *accounts);
            if (grown == NULL)
                AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for accounts");
            accounts = grown;
        }
        struct avvik_account *account = &accounts[n++];
        account->id = sqlite3_column_int64(statement, 0);
        avvik__sql_text(statement, 1, account->name, sizeof account->name);
        avvik__sql_text(statement, 2, role, sizeof role);
        account->role = AVVIK_ROLE_READER; /* what the schema's CHECK rules out has no rights */
        avvik_role_parse(role, &account->role);
        account->is_disabled = sqlite3_column_int(statement, 3) != 0;
        avvik__sql_text(statement, 4, account->created, sizeof account->created);
    }
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    *accounts_out = accounts;
    *n_out = n;
    accounts = NULL;
done:
    sqlite3_finalize(statement);
    free(accounts);
    return avvik__store_end(store, status, error);
}

/* The hash to compare with; "" for an account that may not log in. */
static enum avvik_status hash_read(struct avvik_store *store, const char *name, char hash[crypto_pwhash_STRBYTES],
                                   struct avvik_error *error)
{
    sqlite3_stmt *statement = NULL;
    enum avvik_status status = avvik__store_begin(store, 0, error);
    if (status != AVVIK_OK)
        return status;
    hash[0] = '\0';
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT password FROM accounts WHERE name = ? AND is_disabled = 0", "t", name));
    const int more = avvik__sql_step(store, statement, error);
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    if (more > 0)
        avvik__sql_text(statement, 0, hash, crypto_pwhash_STRBYTES);
done:
    sqlite3_finalize(statement);
    return avvik__store_end(store, status, error);
}

/* Does a password belong to an account? The hash it was compared with; "" for an account that may not log in. */
static enum avvik_status password_check(struct avvik_store *store, const char *name, const char *password,
                                        char hash[crypto_pwhash_STRBYTES], int *is_right_out, struct avvik_error *error)
{
    /* The hash of nobody's password, so that an unknown name takes as long. */
    static const char nobody[crypto_pwhash_STRBYTES] = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"
                                                       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const enum avvik_status status = hash_read(store, name, hash, error);
    if (status == AVVIK_OK)
        *is_right_out = (crypto_pwhash_str_verify(hash[0] != '\0' ? hash : nobody, password, strlen(password)) == 0) &
                        (hash[0] != '\0');
    return status;
}

/* Log one thing that somebody did or tried at an account, in a transaction of its own. */
static enum avvik_status attempt_log(struct avvik_store *store, const char *name, const char *action,
                                     const char *address, struct avvik_error *error)
{
    char at[32];
    const enum avvik_status status = avvik__store_begin(store, 1, error);
    if (status != AVVIK_OK)
        return status;
    avvik__time_text(at);
    return avvik__store_end(store, avvik__audit_append(store, at, name, action, name, address, NULL, error), error);
}

enum avvik_status avvik__account_check(struct avvik_store *store, const char *name, const char *password,
                                       const char *address, int *is_right_out, struct avvik_error *error)
{
    char hash[crypto_pwhash_STRBYTES];
    int is_right = 0;
    enum avvik_status status = password_check(store, name, password, hash, &is_right, error);
    if (status != AVVIK_OK)
        return status;
    /* What was typed as a name may be a password: only a name that is an account's is kept. */
    status = attempt_log(store, hash[0] != '\0' ? name : "", is_right ? "login" : "login refused", address, error);
    sodium_memzero(hash, sizeof hash);
    if (status == AVVIK_OK)
        *is_right_out = is_right;
    return status;
}

enum avvik_status avvik__password_change(struct avvik_store *store, const char *name, const char *password,
                                         const char *next, const char *address, int *is_right_out,
                                         char token_out[AVVIK_TOKEN_SIZE], struct avvik_error *error)
{
    char hash[crypto_pwhash_STRBYTES], next_hash[crypto_pwhash_STRBYTES] = "";
    int is_right = 0;
    int64_t n = 0;
    enum avvik_status status = password_check(store, name, password, hash, &is_right, error);
    if (status == AVVIK_OK && !is_right)
        status = attempt_log(store, name, "password refused", address, error);
    if (status != AVVIK_OK || !is_right) {
        *is_right_out = 0;
        return status;
    }
    if ((status = password_hash(next, next_hash, error)) != AVVIK_OK ||
        (status = avvik__store_begin(store, 1, error)) != AVVIK_OK)
        return status;
    AVVIK_TRY(avvik__sql_run(store, error, "UPDATE accounts SET password = ? WHERE name = ? AND password = ?", "ttt",
                             next_hash, name, hash));
    AVVIK_TRY(avvik__sql_number(store, 0, &n, error, "SELECT count(*) FROM accounts WHERE name = ? AND password = ?",
                                "tt", name, next_hash));
    is_right = n > 0; /* 0: somebody has given it another one meanwhile */
    if (is_right) {
        AVVIK_TRY(avvik__sessions_end(store, name, error));
        AVVIK_TRY(account_log(store, name, name, error));
        AVVIK_TRY(avvik__session_insert(store, name, token_out, error));
    }
done:
    sodium_memzero(hash, sizeof hash);
    sodium_memzero(next_hash, sizeof next_hash);
    status = avvik__store_end(store, status, error);
    if (status == AVVIK_OK)
        *is_right_out = is_right;
    return status;
}

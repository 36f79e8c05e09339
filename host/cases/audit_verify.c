/* Is the log whole, and is the store what the log says? Every check names the first row where it fails. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"
#include "store_accounts.h"
#include "store_entries.h"

struct checking {
    struct avvik_store *store;
    const struct avvik_audit_head *anchor;
    struct avvik_audit_report report;
    unsigned char hash[AVVIK_AUDIT_HASH_BYTES]; /* of the last row looked at */
};

static int is_hash(sqlite3_stmt *statement, int column, const unsigned char *hash)
{
    return sqlite3_column_bytes(statement, column) == AVVIK_AUDIT_HASH_BYTES &&
           memcmp(sqlite3_column_blob(statement, column), hash, AVVIK_AUDIT_HASH_BYTES) == 0;
}

static const char *text_of(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text == NULL ? "" : text;
}

static enum avvik_status anchor_check(struct checking *checking, struct avvik_error *error)
{
    char hash[65];
    if (checking->anchor == NULL || checking->anchor->row != checking->report.head.row)
        return AVVIK_OK;
    sodium_bin2hex(hash, sizeof hash, checking->hash, sizeof checking->hash);
    if (strcmp(hash, checking->anchor->hash) != 0)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                "%s: row %lld of the log is not the one that was noted down: the log was written anew, "
                                "up to there or from before",
                                checking->store->path, (long long)checking->anchor->row);
    return AVVIK_OK;
}

static enum avvik_status row_check(struct checking *checking, sqlite3_stmt *statement, struct avvik_error *error)
{
    unsigned char hash[AVVIK_AUDIT_HASH_BYTES];
    const long long expected = checking->report.head.row + 1, id = sqlite3_column_int64(statement, 0);
    const char *path = checking->store->path;
    const struct avvik__audit_row row = {id,
                                         text_of(statement, 1),
                                         text_of(statement, 2),
                                         text_of(statement, 3),
                                         text_of(statement, 4),
                                         text_of(statement, 5)};
    if (id != expected)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                "%s: row %lld of the log is missing; the next one there is row %lld", path, expected,
                                id);
    if (!is_hash(statement, 6, checking->hash))
        return avvik__error_set(
            error, AVVIK_ERR_FORMAT, 0,
            "%s: row %lld of the log does not follow the row before it: one of the two was changed, "
            "or rows were put in another order",
            path, id);
    avvik__audit_hash(&row, checking->hash, hash);
    if (!is_hash(statement, 7, hash))
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: row %lld of the log was changed (%s, %s, by '%s')",
                                path, id, row.at, row.action, row.account);
    memcpy(checking->hash, hash, sizeof hash);
    checking->report.head.row = id;
    return anchor_check(checking, error);
}

/* The rows one after the other, then whether the last is the last that was written. */
static enum avvik_status chain_check(struct checking *checking, struct avvik_error *error)
{
    struct avvik_store *store = checking->store;
    sqlite3_stmt *statement = NULL;
    enum avvik_status status;
    int more;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT id, at, account, action, subject, detail, hash_before, hash FROM audit"
                                 " ORDER BY id",
                                 ""));
    while ((more = avvik__sql_step(store, statement, error)) > 0)
        AVVIK_TRY(row_check(checking, statement, error));
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    sqlite3_finalize(statement);
    statement = NULL;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error, "SELECT id, hash FROM audit_head", ""));
    more = avvik__sql_step(store, statement, error);
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    const long long last = more > 0 ? sqlite3_column_int64(statement, 0) : 0, here = checking->report.head.row;
    if (last > here || (checking->anchor != NULL && checking->anchor->row > here))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                   "%s: row %lld of the log is missing, and all after it: they were removed from the end", store->path,
                   here + 1);
    if (last != here || (more > 0 && !is_hash(statement, 1, checking->hash)))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: row %lld of the log was added by something other than avvik", store->path,
                   last < here ? last + 1 : here);
    sodium_bin2hex(checking->report.head.hash, sizeof checking->report.head.hash, checking->hash,
                   sizeof checking->hash);
done:
    sqlite3_finalize(statement);
    return status;
}

/* Entries with their rows of the log; then a row of the log whose entry is gone. */
static enum avvik_status case_entries_check(struct checking *checking, int64_t case_id, const char *key,
                                            struct avvik_error *error)
{
    struct avvik_store *store = checking->store;
    struct avvik__entry *entries = NULL;
    sqlite3_stmt *statement = NULL;
    size_t n = 0;
    char *detail = NULL;
    enum avvik_status status;
    AVVIK_TRY(avvik__entries_read(store, case_id, &entries, &n, error));
    for (size_t i = 0; i < n; i++) {
        const struct avvik__entry *entry = &entries[i];
        detail = avvik__entry_detail(entry);
        if (detail == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for the log");
        AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                     "SELECT a.id FROM entries e JOIN audit a ON a.id = e.audit_id WHERE e.id = ? AND"
                                     " a.at = ? AND a.account = ? AND a.action = ? AND a.subject = ? AND a.detail = ?",
                                     "ittttt", entry->id, entry->at, entry->account, avvik__act_names[entry->act], key,
                                     detail));
        const int more = avvik__sql_step(store, statement, error);
        if (more < 0)
            AVVIK_TRY(avvik__sql_error(store, error));
        if (more == 0)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: entry %lld (%s, case \"%s\") is not what the log says of it",
                       store->path, (long long)entry->id, avvik__act_names[entry->act], key);
        sqlite3_finalize(statement);
        statement = NULL;
        free(detail);
        detail = NULL;
        checking->report.n_entries++;
    }
    struct avvik__standing standing;
    int64_t fits;
    avvik__entries_stand(entries, n, &standing);
    AVVIK_TRY(avvik__sql_number(store, 0, &fits, error,
                                "SELECT version = ? AND state = ? AND decision IS ? AND assignee IS ? FROM cases WHERE"
                                " id = ?",
                                "ittti", standing.version, avvik__state_names[standing.state],
                                standing.decision < 0 ? NULL : avvik__decision_names[standing.decision],
                                standing.assignee[0] == '\0' ? NULL : standing.assignee, case_id));
    if (!fits)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the case \"%s\" (row %lld) is not where its entries leave it", store->path,
                   key, (long long)case_id);
done:
    avvik__entries_free(entries, n);
    sqlite3_finalize(statement);
    free(detail);
    return status;
}

static enum avvik_status entries_check(struct checking *checking, struct avvik_error *error)
{
    struct avvik_store *store = checking->store;
    sqlite3_stmt *statement = NULL;
    enum avvik_status status;
    int64_t row;
    int more;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error, "SELECT id, key FROM cases ORDER BY id", ""));
    while ((more = avvik__sql_step(store, statement, error)) > 0)
        AVVIK_TRY(case_entries_check(checking, sqlite3_column_int64(statement, 0), text_of(statement, 1), error));
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    AVVIK_TRY(avvik__sql_number(store, 0, &row, error,
                                "SELECT min(id) FROM audit WHERE action IN ('decide', 'agree', 'undo', 'assign') AND id"
                                " NOT IN (SELECT audit_id FROM entries)",
                                ""));
    if (row != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the entry that row %lld of the log tells of is missing", store->path,
                   (long long)row);
done:
    sqlite3_finalize(statement);
    return status;
}

static enum avvik_status documents_check(struct checking *checking, struct avvik_error *error)
{
    struct avvik_store *store = checking->store;
    sqlite3_stmt *statement = NULL;
    enum avvik_status status;
    char hash[65], detail[160];
    int64_t row;
    int more;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT s.id, a.detail, a.action, a.subject = c.key, n.name, "
                                 "s.rank, s.selected_by, s.p, s.score, s.time, s.office, s.entity, s.reason,"
                                 " s.reason_text, s.document FROM sightings s LEFT JOIN audit a ON a.id = s.audit_id"
                                 " LEFT JOIN cases c ON c.id = s.case_id LEFT JOIN nights n ON n.id = s.night_id"
                                 " ORDER BY s.id",
                                 ""));
    while ((more = avvik__sql_step(store, statement, error)) > 0) {
        avvik__sighting_hash(statement, 5, hash);
        snprintf(detail, sizeof detail, "{\"content\":\"%s\",\"night\":\"%s\"}", hash, text_of(statement, 4));
        if (strcmp(detail, text_of(statement, 1)) != 0 || strcmp(text_of(statement, 2), "add") != 0 ||
            sqlite3_column_int(statement, 3) != 1)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                       "%s: the case document in row %lld of sightings is not the one that was added", store->path,
                       (long long)sqlite3_column_int64(statement, 0));
        checking->report.n_documents++;
    }
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    AVVIK_TRY(avvik__sql_number(store, 0, &row, error,
                                "SELECT min(id) FROM audit WHERE action = 'add' AND id NOT IN"
                                " (SELECT audit_id FROM sightings)",
                                ""));
    if (row != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the case document that row %lld of the log tells of is missing",
                   store->path, (long long)row);
done:
    sqlite3_finalize(statement);
    return status;
}

static enum avvik_status accounts_check(struct checking *checking, struct avvik_error *error)
{
    struct avvik_store *store = checking->store;
    sqlite3_stmt *statement = NULL;
    enum avvik_status status;
    char detail[160];
    int more;
    AVVIK_TRY(
        avvik__sql_prepare(store, &statement, error,
                           "SELECT c.name, c.role, c.is_disabled, c.password, (SELECT a.detail FROM audit a WHERE"
                           " a.action = 'account' AND a.subject = c.name ORDER BY a.id DESC LIMIT 1) FROM accounts"
                           " c ORDER BY c.id",
                           ""));
    while ((more = avvik__sql_step(store, statement, error)) > 0) {
        avvik__account_detail(text_of(statement, 1), sqlite3_column_int(statement, 2), text_of(statement, 3), detail);
        if (strcmp(detail, text_of(statement, 4)) != 0)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the account '%s' is not what the log says of it", store->path,
                       text_of(statement, 0));
        checking->report.n_accounts++;
    }
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
done:
    sqlite3_finalize(statement);
    return status;
}

/* A removed rule loosens; so the last row of the log about each rule must be the rule. */
static enum avvik_status rules_check(struct checking *checking, struct avvik_error *error)
{
    struct avvik_store *store = checking->store;
    enum avvik_status status;
    int64_t n_wrong;
    AVVIK_TRY(avvik__sql_number(store, 0, &n_wrong, error,
                                "SELECT count(*) FROM (SELECT subject AS name, detail AS value FROM audit WHERE id IN"
                                " (SELECT max(id) FROM audit WHERE action = 'rule' GROUP BY subject)) logged"
                                " FULL JOIN rules r ON r.name = logged.name WHERE r.value IS NOT logged.value",
                                ""));
    if (n_wrong != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the rules in the store are not what the log says of them", store->path);
done:
    return status;
}

enum avvik_status avvik_audit_verify(struct avvik_store *store, const struct avvik_audit_head *anchor,
                                     struct avvik_audit_report *report_out, struct avvik_error *error)
{
    struct checking checking = {.store = store, .anchor = anchor};
    enum avvik_status status = avvik__store_begin(store, 0, error);
    if (status != AVVIK_OK)
        return status;
    AVVIK_TRY(chain_check(&checking, error));
    AVVIK_TRY(documents_check(&checking, error));
    AVVIK_TRY(entries_check(&checking, error));
    AVVIK_TRY(accounts_check(&checking, error));
    AVVIK_TRY(rules_check(&checking, error));
done:
    status = avvik__store_end(store, status, error);
    if (status == AVVIK_OK)
        *report_out = checking.report;
    return status;
}

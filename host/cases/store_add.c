/* Case documents into the store: one transaction a file. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"
#include "case_document.h"
#include "store_entries.h"

#define MAX_CASES 1000000 /* of a file */

struct adding {
    struct avvik_store *store;
    const char *path, *night; /* night: of documents that say none, or NULL */
    int64_t line, before;     /* before: the last sighting that was there when the file began */
    char at[32];
    struct avvik_store_added added;
};

/* The id of the row of `name` in nights, or of `key` in cases, which is made where it is missing. */
static enum avvik_status id_of(struct avvik_store *store, int is_night, const char *text, int64_t *id_out,
                               int *is_new_out, struct avvik_error *error)
{
    enum avvik_status status;
    AVVIK_TRY(avvik__sql_number(
        store, 0, id_out, error,
        is_night ? "SELECT id FROM nights WHERE name = ?" : "SELECT id FROM cases WHERE key = ?", "t", text));
    *is_new_out = *id_out == 0;
    if (*id_out != 0)
        goto done;
    AVVIK_TRY(avvik__sql_run(store, error,
                             is_night ? "INSERT INTO nights (name) VALUES (?)" : "INSERT INTO cases (key) VALUES (?)",
                             "t", text));
    *id_out = sqlite3_last_insert_rowid(store->db);
done:
    return status;
}

/* A case of this night that is there already: the same document, by an earlier file? */
static enum avvik_status known_check(struct adding *adding, int64_t case_id, int64_t night_id, const char *text,
                                     const char *key, int *is_known_out, struct avvik_error *error)
{
    struct avvik_store *store = adding->store;
    sqlite3_stmt *statement = NULL;
    enum avvik_status status;
    *is_known_out = 0;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT id, document FROM sightings WHERE case_id = ? AND night_id = ?", "ii", case_id,
                                 night_id));
    const int more = avvik__sql_step(store, statement, error);
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    if (more == 0)
        goto done;
    const char *document = (const char *)sqlite3_column_text(statement, 1);
    if (sqlite3_column_int64(statement, 0) > adding->before)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s, line %lld: the case \"%s\" is in this file twice; nothing was added",
                   adding->path, (long long)adding->line, key);
    if (document == NULL || strcmp(document, text) != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                   "%s, line %lld: the case \"%s\" of this night is in the store with another content, which somebody "
                   "may have seen; nothing was added",
                   adding->path, (long long)adding->line, key);
    *is_known_out = 1;
done:
    sqlite3_finalize(statement);
    return status;
}

/* What the log says of a sighting, and its row there. */
static enum avvik_status sighting_log(struct adding *adding, int64_t sighting, const char *key, const char *night,
                                      int64_t *audit_id_out, struct avvik_error *error)
{
    struct avvik_store *store = adding->store;
    sqlite3_stmt *statement = NULL;
    char hash[65], detail[128];
    enum avvik_status status;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT " AVVIK_SIGHTING_COLUMNS " FROM new_sighting WHERE id = ?", "i", sighting));
    if (avvik__sql_step(store, statement, error) <= 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    avvik__sighting_hash(statement, 0, hash);
    snprintf(detail, sizeof detail, "{\"content\":\"%s\",\"night\":\"%s\"}", hash, night);
    AVVIK_TRY(avvik__audit_append(store, adding->at, "", "add", key, detail, audit_id_out, error));
done:
    sqlite3_finalize(statement);
    return status;
}

/* The sighting is put into a table of this connection first, so that what is hashed is what SQLite gives back. */
static enum avvik_status sighting_write(struct adding *adding, const struct avvik__case_document *document,
                                        const char *text, const char *night, int64_t case_id, int64_t night_id,
                                        struct avvik_error *error)
{
    struct avvik_store *store = adding->store;
    const struct avvik__case_reason *reason = document->n_reasons > 0 ? &document->reasons[0] : NULL;
    int64_t sighting, audit_id;
    enum avvik_status status;
    AVVIK_TRY(avvik__sql_run(store, error, "DELETE FROM new_sighting", ""));
    AVVIK_TRY(avvik__sql_run(
        store, error, "INSERT INTO new_sighting (" AVVIK_SIGHTING_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "itddtttttt", document->rank, document->selected_by, document->p,
        isnan(document->combined) ? document->forest : document->combined, document->time, document->office,
        document->entity, reason == NULL ? NULL : reason->label, reason == NULL ? NULL : reason->text, text));
    if (document->rank == 0)
        AVVIK_TRY(avvik__sql_run(store, error, "UPDATE new_sighting SET rank = NULL", ""));
    AVVIK_TRY(sighting_log(adding, sqlite3_last_insert_rowid(store->db), document->key, night, &audit_id, error));
    AVVIK_TRY(avvik__sql_run(store, error,
                             "INSERT INTO sightings (case_id, night_id, audit_id, " AVVIK_SIGHTING_COLUMNS
                             ") SELECT ?, ?, ?, " AVVIK_SIGHTING_COLUMNS " FROM new_sighting",
                             "iii", case_id, night_id, audit_id));
    sighting = sqlite3_last_insert_rowid(store->db);
    /* The latest night, not the one that was added last. */
    AVVIK_TRY(
        avvik__sql_run(store, error,
                       "UPDATE cases SET last_sighting = ? WHERE id = ? AND (last_sighting IS NULL OR ? >= (SELECT"
                       " n.name FROM sightings s JOIN nights n ON n.id = s.night_id WHERE s.id = last_sighting))",
                       "iit", sighting, case_id, night));
done:
    return status;
}

static enum avvik_status line_add(struct adding *adding, const char *text, size_t n, struct avvik_error *error)
{
    struct avvik_store *store = adding->store;
    struct avvik__case_document *document = NULL;
    struct avvik_error problem = {AVVIK_OK, 0, ""};
    enum avvik_status status = avvik__case_document_read(text, n, &document, &problem);
    int64_t night_id, case_id;
    int is_new_night, is_new, is_known;
    if (status != AVVIK_OK)
        AVVIK_FAIL(status, 0, "%s, line %lld is no case document: %.700s; nothing was added", adding->path,
                   (long long)adding->line, problem.text);
    const char *night = document->night != NULL ? document->night : adding->night;
    if (night == NULL)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s, line %lld does not say of which night it is; say so with --night",
                   adding->path, (long long)adding->line);
    if (adding->night != NULL && strcmp(night, adding->night) != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s, line %lld is of the night %s, not of %s; nothing was added", adding->path,
                   (long long)adding->line, night, adding->night);
    AVVIK_TRY(id_of(store, 1, night, &night_id, &is_new_night, error));
    AVVIK_TRY(id_of(store, 0, document->key, &case_id, &is_new, error));
    AVVIK_TRY(known_check(adding, case_id, night_id, text, document->key, &is_known, error));
    if (!is_known)
        AVVIK_TRY(sighting_write(adding, document, text, night, case_id, night_id, error));
    *(is_known ? &adding->added.n_known : is_new ? &adding->added.n_new : &adding->added.n_linked) += 1;
done:
    avvik__case_document_free(document);
    return status;
}

/* Read a line into `line`, without what ends it. 1; 0 at the end; -1: too long, or the file cannot be read. */
static int line_read(FILE *file, char *line, size_t size, size_t *n_out)
{
    size_t n = 0;
    int c;
    while ((c = getc(file)) != EOF && c != '\n') {
        if (n + 1 >= size)
            return -1;
        line[n++] = (char)c;
    }
    if (ferror(file))
        return -1;
    if (n > 0 && line[n - 1] == '\r')
        n--;
    line[n] = '\0';
    *n_out = n;
    return c != EOF || n > 0;
}

static enum avvik_status lines_add(struct adding *adding, FILE *file, char *line, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    size_t n;
    int more;
    while ((more = line_read(file, line, AVVIK_DOCUMENT_BYTES + 2, &n)) > 0) {
        adding->line++;
        if (n == 0)
            continue;
        if (adding->line > MAX_CASES)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: more than %d lines; nothing was added", adding->path, MAX_CASES);
        AVVIK_TRY(line_add(adding, line, n, error));
    }
    if (more < 0 && ferror(file))
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be read: %s", adding->path, strerror(errno));
    if (more < 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s, line %lld is longer than %zu bytes; nothing was added", adding->path,
                   (long long)adding->line + 1, AVVIK_DOCUMENT_BYTES);
done:
    return status;
}

enum avvik_status avvik_store_add(struct avvik_store *store, const char *path, const char *night,
                                  struct avvik_store_added *added_out, struct avvik_error *error)
{
    struct adding adding = {.store = store, .path = path, .night = night};
    enum avvik_status status = AVVIK_OK;
    if (night != NULL && !avvik__is_date(night))
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a night is a date such as 2026-11-24, not '%s'", night);
    char *line = malloc(AVVIK_DOCUMENT_BYTES + 2);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", path, strerror(errno));
    if (line == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for cases");
    avvik__time_text(adding.at);
    AVVIK_TRY(avvik__store_begin(store, 1, error));
    status = avvik__sql_run(store, error,
                            "CREATE TEMP TABLE IF NOT EXISTS new_sighting (id INTEGER PRIMARY KEY, rank INTEGER,"
                            " selected_by TEXT, p REAL, score REAL, time TEXT, office TEXT, entity TEXT, reason TEXT,"
                            " reason_text TEXT, document TEXT)",
                            "");
    if (status == AVVIK_OK)
        status = avvik__sql_number(store, 0, &adding.before, error, "SELECT max(id) FROM sightings", "");
    if (status == AVVIK_OK)
        status = lines_add(&adding, file, line, error);
    status = avvik__store_end(store, status, error);
    if (status == AVVIK_OK)
        *added_out = adding.added;
done:
    free(line);
    if (file != NULL)
        fclose(file);
    return status;
}

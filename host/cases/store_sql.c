#include "store_sql.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum avvik_status avvik__sql_error(struct avvik_store *store, struct avvik_error *error)
{
    const int code = sqlite3_errcode(store->db);
    enum avvik_status status = AVVIK_ERR_INTERNAL;
    switch (code & 0xff) {
    case SQLITE_BUSY:
        return avvik__error_set(error, AVVIK_ERR_IO, code,
                                "%s: another program has been writing for too long; try again when it is done",
                                store->path);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_LOCKED:
    case SQLITE_AUTH: status = AVVIK_ERR_IO; break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH: status = AVVIK_ERR_FORMAT; break;
    case SQLITE_ERROR: status = AVVIK_ERR_FORMAT; break; /* our statements are right: the tables are not */
    case SQLITE_NOMEM: status = AVVIK_ERR_MEMORY; break;
    default: break;
    }
    return avvik__error_set(error, status, code, "%s: the case store cannot be used: %s", store->path,
                            sqlite3_errmsg(store->db));
}

static enum avvik_status plain_run(struct avvik_store *store, const char *sql, struct avvik_error *error)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? AVVIK_OK : avvik__sql_error(store, error);
}

enum avvik_status avvik__store_begin(struct avvik_store *store, int is_write, struct avvik_error *error)
{
    pthread_mutex_lock(&store->lock);
    const enum avvik_status status = plain_run(store, is_write ? "BEGIN IMMEDIATE" : "BEGIN", error);
    if (status != AVVIK_OK)
        pthread_mutex_unlock(&store->lock);
    return status;
}

enum avvik_status avvik__store_end(struct avvik_store *store, enum avvik_status status, struct avvik_error *error)
{
    if (status == AVVIK_OK)
        status = plain_run(store, "COMMIT", error);
    if (status != AVVIK_OK && !sqlite3_get_autocommit(store->db))
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&store->lock);
    return status;
}

static int parameters_bind(sqlite3_stmt *statement, const char *types, va_list arguments)
{
    int code = SQLITE_OK;
    for (int i = 1; code == SQLITE_OK && types[i - 1] != '\0'; i++) {
        switch (types[i - 1]) {
        case 'i': code = sqlite3_bind_int64(statement, i, va_arg(arguments, int64_t)); break;
        case 'd': code = sqlite3_bind_double(statement, i, va_arg(arguments, double)); break; /* NaN becomes NULL */
        case 't': code = sqlite3_bind_text(statement, i, va_arg(arguments, const char *), -1, SQLITE_STATIC); break;
        default: {
            const void *bytes = va_arg(arguments, const void *);
            code = sqlite3_bind_blob64(statement, i, bytes, va_arg(arguments, size_t), SQLITE_STATIC);
        }
        }
    }
    return code;
}

static enum avvik_status prepare(struct avvik_store *store, sqlite3_stmt **statement_out, struct avvik_error *error,
                                 const char *sql, const char *types, va_list arguments)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        parameters_bind(statement, types, arguments) != SQLITE_OK) {
        const enum avvik_status status = avvik__sql_error(store, error);
        sqlite3_finalize(statement);
        return status;
    }
    *statement_out = statement;
    return AVVIK_OK;
}

enum avvik_status avvik__sql_prepare(struct avvik_store *store, sqlite3_stmt **statement_out, struct avvik_error *error,
                                     const char *sql, const char *types, ...)
{
    va_list arguments;
    va_start(arguments, types);
    const enum avvik_status status = prepare(store, statement_out, error, sql, types, arguments);
    va_end(arguments);
    return status;
}

int avvik__sql_step(struct avvik_store *store, sqlite3_stmt *statement, struct avvik_error *error)
{
    const int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return 1;
    if (code == SQLITE_DONE)
        return 0;
    avvik__sql_error(store, error);
    return -1;
}

enum avvik_status avvik__sql_run(struct avvik_store *store, struct avvik_error *error, const char *sql,
                                 const char *types, ...)
{
    va_list arguments;
    sqlite3_stmt *statement = NULL;
    va_start(arguments, types);
    enum avvik_status status = prepare(store, &statement, error, sql, types, arguments);
    va_end(arguments);
    if (status == AVVIK_OK && sqlite3_step(statement) != SQLITE_DONE)
        status = avvik__sql_error(store, error);
    sqlite3_finalize(statement);
    return status;
}

enum avvik_status avvik__sql_number(struct avvik_store *store, int64_t otherwise, int64_t *number_out,
                                    struct avvik_error *error, const char *sql, const char *types, ...)
{
    va_list arguments;
    sqlite3_stmt *statement = NULL;
    va_start(arguments, types);
    enum avvik_status status = prepare(store, &statement, error, sql, types, arguments);
    va_end(arguments);
    if (status == AVVIK_OK) {
        const int code = sqlite3_step(statement);
        if (code == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL)
            *number_out = sqlite3_column_int64(statement, 0);
        else if (code == SQLITE_ROW || code == SQLITE_DONE)
            *number_out = otherwise;
        else
            status = avvik__sql_error(store, error);
    }
    sqlite3_finalize(statement);
    return status;
}

void avvik__sql_text(sqlite3_stmt *statement, int column, char *text, size_t size)
{
    const unsigned char *found = sqlite3_column_text(statement, column);
    size_t n = found == NULL ? 0 : strlen((const char *)found);
    if (n >= size) /* at the start of a character */
        for (n = size - 1; n > 0 && (found[n] & 0xc0) == 0x80;)
            n--;
    if (n > 0)
        memcpy(text, found, n);
    text[n] = '\0';
}

void avvik__time_text(char text[32])
{
    const time_t now = time(NULL);
    struct tm parts;
    gmtime_r(&now, &parts);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

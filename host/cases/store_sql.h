/* How the files of the case store speak to SQLite: prepared statements, one transaction at a time. */
#ifndef AVVIK_STORE_SQL_H
#define AVVIK_STORE_SQL_H

#include <pthread.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "avvik/store.h"
#include "avvik_internal.h"

struct avvik_store {
    sqlite3 *db;
    pthread_mutex_t lock; /* held through a transaction, and through a read of more than one statement */
    char *path;
};

/* Begin: takes the lock; avvik__store_end() gives it back. A writing transaction has the database's write lock from the
 * start, so that what it reads cannot change before it writes. A reading one sees one state of the store. */
enum avvik_status avvik__store_begin(struct avvik_store *store, int is_write, struct avvik_error *error);
/* Commit where `status` is AVVIK_OK, else roll back. Returns the status of the whole. */
enum avvik_status avvik__store_end(struct avvik_store *store, enum avvik_status status, struct avvik_error *error);

/* Prepare `sql`, a literal, and bind its parameters by the letters of `types`: i int64_t, d double (NaN becomes NULL),
 * t const char * (NULL becomes NULL, the text must outlive the statement), b const void * and size_t. */
enum avvik_status avvik__sql_prepare(struct avvik_store *store, sqlite3_stmt **statement_out, struct avvik_error *error,
                                     const char *sql, const char *types, ...);
/* The next row: 1; 0 at the end; -1 an error, told. */
int avvik__sql_step(struct avvik_store *store, sqlite3_stmt *statement, struct avvik_error *error);
/* A whole statement that gives no rows. */
enum avvik_status avvik__sql_run(struct avvik_store *store, struct avvik_error *error, const char *sql,
                                 const char *types, ...);
/* The one integer that a statement gives; `otherwise` where it gives no row or NULL. */
enum avvik_status avvik__sql_number(struct avvik_store *store, int64_t otherwise, int64_t *number_out,
                                    struct avvik_error *error, const char *sql, const char *types, ...);

/* What SQLite says went wrong, as a sentence about this store. */
enum avvik_status avvik__sql_error(struct avvik_store *store, struct avvik_error *error);

/* A column's text, cut to fit; "" for NULL. */
void avvik__sql_text(sqlite3_stmt *statement, int column, char *text, size_t size);

/* Now in UTC: 2026-11-24T06:30:00Z. */
void avvik__time_text(char text[32]);

#endif

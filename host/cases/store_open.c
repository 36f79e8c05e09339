/* Opening a store: the schema, its versions, what SQLite is told about durability and hostile files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_sql.h"

#define APPLICATION_ID 0x61767674 /* "avvt": file(1) and we know a case store by it */
#define BUSY_MS 10000

/* Script k brings a store of version k to version k + 1. A script that has been released is never edited. */
static const char *const migrations[] = {
    "CREATE TABLE rules (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    "  role TEXT NOT NULL CHECK (role IN ('reader', 'auditor', 'lead')), password TEXT NOT NULL,"
    "  is_disabled INTEGER NOT NULL DEFAULT 0, created TEXT NOT NULL) STRICT;"
    "CREATE TABLE audit (id INTEGER PRIMARY KEY, at TEXT NOT NULL, account TEXT NOT NULL, action TEXT NOT NULL,"
    "  subject TEXT NOT NULL, detail TEXT NOT NULL, hash_before BLOB NOT NULL, hash BLOB NOT NULL) STRICT;"
    "CREATE TABLE audit_head (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), id INTEGER NOT NULL,"
    "  hash BLOB NOT NULL) STRICT;"
    "CREATE TABLE nights (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE cases (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, version INTEGER NOT NULL DEFAULT 0,"
    "  state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'waiting', 'decided')), decision TEXT,"
    "  assignee TEXT REFERENCES accounts (name), last_sighting INTEGER REFERENCES sightings (id)) STRICT;"
    "CREATE TABLE sightings (id INTEGER PRIMARY KEY, case_id INTEGER NOT NULL REFERENCES cases (id),"
    "  night_id INTEGER NOT NULL REFERENCES nights (id), rank INTEGER, selected_by TEXT NOT NULL, p REAL, score REAL,"
    "  time TEXT, office TEXT, entity TEXT, reason TEXT, reason_text TEXT, document TEXT NOT NULL,"
    "  audit_id INTEGER NOT NULL UNIQUE REFERENCES audit (id), UNIQUE (case_id, night_id)) STRICT;"
    "CREATE INDEX sightings_by_night ON sightings (night_id, rank);"
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, case_id INTEGER NOT NULL REFERENCES cases (id),"
    "  kind TEXT NOT NULL CHECK (kind IN ('decide', 'agree', 'undo', 'assign')),"
    "  decision TEXT CHECK (decision IN ('confirmed', 'explained', 'error', 'unclear')), note TEXT NOT NULL,"
    "  needs_second INTEGER NOT NULL, assignee TEXT REFERENCES accounts (name),"
    "  account TEXT NOT NULL REFERENCES accounts (name), at TEXT NOT NULL,"
    "  audit_id INTEGER NOT NULL UNIQUE REFERENCES audit (id)) STRICT;"
    "CREATE INDEX entries_by_case ON entries (case_id, id);"
    /* Against mistakes. Who wants to change the log can drop these; avvik audit verify is against that. */
    "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;"
    "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;"
    "CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;"
    "CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries BEGIN"
    "  SELECT RAISE(ABORT, 'entries are append-only'); END;"
    "CREATE TRIGGER sightings_stay BEFORE UPDATE ON sightings BEGIN SELECT RAISE(ABORT, 'sightings stay'); END;"
    "CREATE TRIGGER sightings_are_kept BEFORE DELETE ON sightings BEGIN SELECT RAISE(ABORT, 'sightings stay'); END;",
    /* 2: a session is known by the hash of its token, so that who reads the store cannot be somebody. */
    "CREATE TABLE sessions (token BLOB PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts (name),"
    "  began INTEGER NOT NULL, seen INTEGER NOT NULL) STRICT;"};
#define VERSION ((int64_t)(sizeof migrations / sizeof migrations[0]))

/* Is this a case store (or an empty file that may become one), and of which version? */
static enum avvik_status version_read(struct avvik_store *store, int64_t *version_out, struct avvik_error *error)
{
    int64_t application, version, n_tables;
    enum avvik_status status;
    AVVIK_TRY(avvik__sql_number(store, 0, &application, error, "PRAGMA application_id", ""));
    AVVIK_TRY(avvik__sql_number(store, 0, &version, error, "PRAGMA user_version", ""));
    AVVIK_TRY(avvik__sql_number(store, 0, &n_tables, error, "SELECT count(*) FROM sqlite_schema", ""));
    if (application != APPLICATION_ID && (application != 0 || version != 0 || n_tables != 0))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: an SQLite file, but no case store of avvik", store->path);
    if (version < 0 || version > VERSION)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: a case store of version %lld, made by a later avvik; this one knows %lld",
                   store->path, (long long)version, (long long)VERSION);
    *version_out = version;
done:
    return status;
}

static enum avvik_status migrate(struct avvik_store *store, struct avvik_error *error)
{
    int64_t version;
    enum avvik_status status = version_read(store, &version, error);
    if (status != AVVIK_OK || version == VERSION)
        return status;
    AVVIK_TRY(avvik__store_begin(store, 1, error));
    status = version_read(store, &version, error); /* another process may have been here meanwhile */
    for (; status == AVVIK_OK && version < VERSION; version++)
        if (sqlite3_exec(store->db, migrations[version], NULL, NULL, NULL) != SQLITE_OK)
            status = avvik__sql_error(store, error);
    char *pragma = sqlite3_mprintf("PRAGMA application_id = %d; PRAGMA user_version = %lld", APPLICATION_ID, VERSION);
    if (status == AVVIK_OK && (pragma == NULL || sqlite3_exec(store->db, pragma, NULL, NULL, NULL) != SQLITE_OK))
        status = avvik__sql_error(store, error);
    sqlite3_free(pragma);
    status = avvik__store_end(store, status, error);
done:
    return status;
}

/* An empty file of its owner's, for SQLite to fill: it would take the umask's word for who may read it. */
static enum avvik_status file_make(const char *path, struct avvik_error *error)
{
    const int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 && errno != EEXIST)
        return avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be created: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
    return AVVIK_OK;
}

enum avvik_status avvik_store_open(const char *path, int may_create, struct avvik_store **store_out,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    *store_out = NULL;
    struct avvik_store *store = calloc(1, sizeof *store);
    if (store == NULL || (store->path = strdup(path)) == NULL) {
        free(store);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory for a case store");
    }
    pthread_mutex_init(&store->lock, NULL);
    if (may_create)
        AVVIK_TRY(file_make(path, error));
    if (access(path, R_OK | W_OK) != 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: the case store cannot be opened: %s%s", path, strerror(errno),
                   errno == ENOENT ? "; `avvik cases add` makes one" : "");
    if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK) {
        if (store->db == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for a case store");
        AVVIK_TRY(avvik__sql_error(store, error));
    }
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, BUSY_MS);
    /* The file may come from anyone: its schema calls no functions, and cannot be written over. */
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (sqlite3_exec(store->db,
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                     "PRAGMA cell_size_check = ON",
                     NULL, NULL, NULL) != SQLITE_OK)
        AVVIK_TRY(avvik__sql_error(store, error));
    AVVIK_TRY(migrate(store, error));
    *store_out = store;
    store = NULL;
done:
    avvik_store_close(store);
    return status;
}

void avvik_store_close(struct avvik_store *store)
{
    if (store == NULL)
        return;
    sqlite3_close(store->db);
    pthread_mutex_destroy(&store->lock);
    free(store->path);
    free(store);
}

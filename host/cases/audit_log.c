#include "audit_log.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_sql.h"

static void number_feed(crypto_generichash_state *state, uint64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(number >> 8 * i);
    crypto_generichash_update(state, bytes, sizeof bytes);
}

static void bytes_feed(crypto_generichash_state *state, const void *bytes, size_t n)
{
    number_feed(state, n);
    crypto_generichash_update(state, bytes, n);
}

static void text_feed(crypto_generichash_state *state, const char *text)
{
    if (text == NULL)
        number_feed(state, UINT64_MAX);
    else
        bytes_feed(state, text, strlen(text));
}

void avvik__audit_hash(const struct avvik__audit_row *row, const unsigned char before[AVVIK_AUDIT_HASH_BYTES],
                       unsigned char hash_out[AVVIK_AUDIT_HASH_BYTES])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, AVVIK_AUDIT_HASH_BYTES);
    text_feed(&state, "avvik audit 1");
    bytes_feed(&state, before, AVVIK_AUDIT_HASH_BYTES);
    number_feed(&state, (uint64_t)row->id);
    text_feed(&state, row->at);
    text_feed(&state, row->account);
    text_feed(&state, row->action);
    text_feed(&state, row->subject);
    text_feed(&state, row->detail);
    crypto_generichash_final(&state, hash_out, AVVIK_AUDIT_HASH_BYTES);
}

void avvik__texts_hash(const char *const *texts, size_t n_texts, char hex_out[2 * AVVIK_AUDIT_HASH_BYTES + 1])
{
    crypto_generichash_state state;
    unsigned char hash[AVVIK_AUDIT_HASH_BYTES];
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    for (size_t i = 0; i < n_texts; i++)
        text_feed(&state, texts[i]);
    crypto_generichash_final(&state, hash, sizeof hash);
    sodium_bin2hex(hex_out, 2 * AVVIK_AUDIT_HASH_BYTES + 1, hash, sizeof hash);
}

/* The last row's number and hash, from the rows themselves; 0 and zeroes where there is none. */
static enum avvik_status last_read(struct avvik_store *store, int64_t *id_out, unsigned char *hash_out,
                                   struct avvik_error *error)
{
    sqlite3_stmt *statement;
    enum avvik_status status =
        avvik__sql_prepare(store, &statement, error, "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1", "");
    if (status != AVVIK_OK)
        return status;
    *id_out = 0;
    memset(hash_out, 0, AVVIK_AUDIT_HASH_BYTES);
    const int more = avvik__sql_step(store, statement, error);
    if (more < 0)
        status = error != NULL ? error->status : AVVIK_ERR_IO;
    else if (more > 0 && sqlite3_column_bytes(statement, 1) != AVVIK_AUDIT_HASH_BYTES)
        status = avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: row %lld of the log has no hash; nothing is added",
                                  store->path, (long long)sqlite3_column_int64(statement, 0));
    else if (more > 0) {
        *id_out = sqlite3_column_int64(statement, 0);
        memcpy(hash_out, sqlite3_column_blob(statement, 1), AVVIK_AUDIT_HASH_BYTES);
    }
    sqlite3_finalize(statement);
    return status;
}

enum avvik_status avvik__audit_append(struct avvik_store *store, const char *at, const char *account,
                                      const char *action, const char *subject, const char *detail, int64_t *id_out,
                                      struct avvik_error *error)
{
    unsigned char before[AVVIK_AUDIT_HASH_BYTES], hash[AVVIK_AUDIT_HASH_BYTES];
    struct avvik__audit_row row = {0, at, account, action, subject, detail};
    enum avvik_status status;
    AVVIK_TRY(last_read(store, &row.id, before, error));
    row.id++;
    avvik__audit_hash(&row, before, hash);
    AVVIK_TRY(avvik__sql_run(store, error,
                             "INSERT INTO audit (id, at, account, action, subject, detail, hash_before, hash)"
                             " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                             "itttttbb", row.id, at, account, action, subject, detail, before, sizeof before, hash,
                             sizeof hash));
    AVVIK_TRY(avvik__sql_run(store, error, "INSERT OR REPLACE INTO audit_head (only_row, id, hash) VALUES (1, ?, ?)",
                             "ib", row.id, hash, sizeof hash));
    if (id_out != NULL)
        *id_out = row.id;
done:
    return status;
}

enum avvik_status avvik_audit_head_get(struct avvik_store *store, struct avvik_audit_head *head_out,
                                       struct avvik_error *error)
{
    unsigned char hash[AVVIK_AUDIT_HASH_BYTES];
    enum avvik_status status;
    AVVIK_TRY(avvik__store_begin(store, 0, error));
    status = avvik__store_end(store, last_read(store, &head_out->row, hash, error), error);
    sodium_bin2hex(head_out->hash, sizeof head_out->hash, hash, sizeof hash);
done:
    return status;
}

int avvik_audit_head_parse(const char *text, struct avvik_audit_head *head_out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return 0;
    const long long row = strtoll(text, &end, 10);
    if (*end != ':' || row < 0 || strlen(end + 1) != sizeof head_out->hash - 1 ||
        strspn(end + 1, "0123456789abcdef") != sizeof head_out->hash - 1)
        return 0;
    head_out->row = row;
    memcpy(head_out->hash, end + 1, sizeof head_out->hash);
    return 1;
}

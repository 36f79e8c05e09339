/* The log of a case store: who did or saw what. Every row holds the hash of the row before it. */
#ifndef AVVIK_AUDIT_LOG_H
#define AVVIK_AUDIT_LOG_H

#include <stdint.h>

#include "avvik/store.h"

#define AVVIK_AUDIT_HASH_BYTES 32

/* One row. hash = BLAKE2b-256 over "avvik audit 1", then each of hash_before, id, at, account, action, subject and
 * detail with its length in front (8 bytes, little-endian; id as 8 such bytes), so that no text can pass for another
 * division of the same bytes. */
struct avvik__audit_row {
    int64_t id;
    const char *at, *account, *action, *subject, *detail;
};
void avvik__audit_hash(const struct avvik__audit_row *row, const unsigned char before[AVVIK_AUDIT_HASH_BYTES],
                       unsigned char hash_out[AVVIK_AUDIT_HASH_BYTES]);

/* Append a row, within a writing transaction: what it tells of and the row itself come about together or not at all.
 * account  who; "" for the command line
 * action   "view", "decide", ...; subject: a case's key, an account, ...
 * id_out   the row's number, or NULL */
enum avvik_status avvik__audit_append(struct avvik_store *store, const char *at, const char *account,
                                      const char *action, const char *subject, const char *detail, int64_t *id_out,
                                      struct avvik_error *error);

/* BLAKE2b-256 of strings, each with its length in front, in hex: what the log says of a document or of a password's
 * hash. NULL counts as a string of its own, unlike "". */
void avvik__texts_hash(const char *const *texts, size_t n_texts, char hex_out[2 * AVVIK_AUDIT_HASH_BYTES + 1]);

#endif

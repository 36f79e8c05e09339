/* What entries come to, and what the log says of them. Between store_act.c, store_case.c and audit_verify.c. */
#ifndef AVVIK_STORE_ENTRIES_H
#define AVVIK_STORE_ENTRIES_H

#include "case_store.h"
#include "store_sql.h"

/* The entries of a case, oldest first, is_undone set. Release with avvik__entries_free(). */
enum avvik_status avvik__entries_read(struct avvik_store *store, int64_t case_id, struct avvik__entry **entries_out,
                                      size_t *n_out, struct avvik_error *error);
void avvik__entries_free(struct avvik__entry *entries, size_t n);

/* Where a case stands after its entries. `last` is the last entry that decides or agrees and was not undone, `proposal`
 * the decision that stands; NULL: none. */
struct avvik__standing {
    enum avvik__case_state state;
    int decision; /* -1: none */
    int64_t version;
    const char *assignee; /* "": nobody */
    const struct avvik__entry *last, *proposal;
};
void avvik__entries_stand(struct avvik__entry *entries, size_t n, struct avvik__standing *standing_out);

/* What the log's row says of an entry, as JSON; NULL without memory. Release with free(). */
char *avvik__entry_detail(const struct avvik__entry *entry);

/* The number in one of the name tables; -1: none of them. */
int avvik__name_find(const char *const *names, int n, const char *text);

/* What the log says of a case's sighting: a hash over the document and all columns that were taken from it. */
void avvik__sighting_hash(sqlite3_stmt *statement, int first_column, char hex_out[65]);
#define AVVIK_SIGHTING_COLUMNS "rank, selected_by, p, score, time, office, entity, reason, reason_text, document"
#define AVVIK_N_SIGHTING_COLUMNS 10

#endif

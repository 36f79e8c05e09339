#include "store_entries.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"

const char *const avvik__decision_names[AVVIK_N_DECISIONS] = {"confirmed", "explained", "error", "unclear"};
const char *const avvik__act_names[AVVIK_N_ACTS] = {"decide", "agree", "undo", "assign"};
const char *const avvik__state_names[AVVIK_N_STATES] = {"open", "waiting", "decided"};

int avvik__name_find(const char *const *names, int n, const char *text)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], text) == 0)
            return i;
    return -1;
}

static enum avvik_status entry_read(struct avvik_store *store, sqlite3_stmt *statement, struct avvik__entry *entry,
                                    struct avvik_error *error)
{
    char kind[16], decision[16];
    const unsigned char *note = sqlite3_column_text(statement, 3);
    avvik__sql_text(statement, 1, kind, sizeof kind);
    avvik__sql_text(statement, 2, decision, sizeof decision);
    const int act = avvik__name_find(avvik__act_names, AVVIK_N_ACTS, kind);
    *entry = (struct avvik__entry){.id = sqlite3_column_int64(statement, 0),
                                   .act = (enum avvik__act)act,
                                   .decision = avvik__name_find(avvik__decision_names, AVVIK_N_DECISIONS, decision),
                                   .needs_second = sqlite3_column_int(statement, 4) != 0};
    avvik__sql_text(statement, 5, entry->assignee, sizeof entry->assignee);
    avvik__sql_text(statement, 6, entry->account, sizeof entry->account);
    avvik__sql_text(statement, 7, entry->at, sizeof entry->at);
    if (act < 0 || ((act == AVVIK_DECIDE || act == AVVIK_AGREE) != (entry->decision >= 0)))
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: entry %lld is none that avvik makes", store->path,
                                (long long)entry->id);
    entry->note = strdup(note == NULL ? "" : (const char *)note);
    return entry->note != NULL ? AVVIK_OK : avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory for a case");
}

enum avvik_status avvik__entries_read(struct avvik_store *store, int64_t case_id, struct avvik__entry **entries_out,
                                      size_t *n_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__entry *entries = NULL;
    sqlite3_stmt *statement = NULL;
    size_t n = 0, capacity = 0;
    int more;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT id, kind, decision, note, needs_second, assignee, account, at FROM entries"
                                 " WHERE case_id = ? ORDER BY id",
                                 "i", case_id));
    while ((more = avvik__sql_step(store, statement, error)) > 0) {
        if (n == capacity) {
            capacity = 2 * capacity + 8;
            struct avvik__entry *grown = realloc(entries, capacity * sizeof *entries);
            if (grown == NULL)
                AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for a case");
            entries = grown;
        }
        AVVIK_TRY(entry_read(store, statement, &entries[n], error));
        n++;
    }
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    *entries_out = entries;
    *n_out = n;
    entries = NULL;
done:
    avvik__entries_free(entries, n);
    sqlite3_finalize(statement);
    return status;
}

void avvik__entries_free(struct avvik__entry *entries, size_t n)
{
    for (size_t i = 0; entries != NULL && i < n; i++)
        free(entries[i].note);
    free(entries);
}

void avvik__entries_stand(struct avvik__entry *entries, size_t n, struct avvik__standing *standing_out)
{
    struct avvik__standing standing = {AVVIK_OPEN, -1, 0, "", NULL, NULL};
    for (size_t i = 0; i < n; i++) {
        standing.version++;
        if (entries[i].act == AVVIK_ASSIGN)
            standing.assignee = entries[i].assignee;
        if (entries[i].act != AVVIK_UNDO)
            continue;
        for (size_t k = i; k-- > 0;) /* what it undid: the last that still stood */
            if ((entries[k].act == AVVIK_DECIDE || entries[k].act == AVVIK_AGREE) && !entries[k].is_undone) {
                entries[k].is_undone = 1;
                break;
            }
    }
    for (size_t i = 0; i < n; i++) {
        if ((entries[i].act != AVVIK_DECIDE && entries[i].act != AVVIK_AGREE) || entries[i].is_undone)
            continue;
        standing.last = &entries[i];
        standing.decision = entries[i].decision;
        if (entries[i].act == AVVIK_DECIDE)
            standing.proposal = &entries[i];
        standing.state = entries[i].act == AVVIK_DECIDE && entries[i].needs_second ? AVVIK_WAITING : AVVIK_DECIDED;
    }
    *standing_out = standing;
}

char *avvik__entry_detail(const struct avvik__entry *entry)
{
    json_t *detail = json_pack("{s:s, s:b}", "note", entry->note, "needs_second", entry->needs_second);
    if (entry->decision >= 0)
        json_object_set_new(detail, "decision", json_string(avvik__decision_names[entry->decision]));
    if (entry->act == AVVIK_ASSIGN)
        json_object_set_new(detail, "assignee", json_string(entry->assignee));
    char *text = detail == NULL ? NULL : json_dumps(detail, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(detail);
    return text;
}

void avvik__sighting_hash(sqlite3_stmt *statement, int first_column, char hex_out[65])
{
    const char *texts[AVVIK_N_SIGHTING_COLUMNS];
    for (int i = 0; i < AVVIK_N_SIGHTING_COLUMNS; i++)
        texts[i] = (const char *)sqlite3_column_text(statement, first_column + i);
    avvik__texts_hash(texts, AVVIK_N_SIGHTING_COLUMNS, hex_out);
}

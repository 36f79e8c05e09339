/* A case as its page shows it. Who sees it is in the log first. */
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"
#include "store_entries.h"

static enum avvik_status row_read(struct avvik_store *store, int64_t id, struct avvik__case_view *view,
                                  int64_t *rank_out, int64_t *night_out, struct avvik_error *error)
{
    sqlite3_stmt *statement = NULL;
    enum avvik_status status;
    char state[16], decision[16];
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT c.id, c.version, c.key, c.assignee, c.state, c.decision, s.document,"
                                 " coalesce(s.rank, 1 << 40), s.night_id FROM cases c JOIN sightings s"
                                 " ON s.id = c.last_sighting WHERE c.id = ?",
                                 "i", id));
    const int more = avvik__sql_step(store, statement, error);
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    if (more == 0)
        goto done;
    view->id = sqlite3_column_int64(statement, 0);
    view->version = sqlite3_column_int64(statement, 1);
    avvik__sql_text(statement, 2, view->key, sizeof view->key);
    avvik__sql_text(statement, 3, view->assignee, sizeof view->assignee);
    avvik__sql_text(statement, 4, state, sizeof state);
    avvik__sql_text(statement, 5, decision, sizeof decision);
    const int found = avvik__name_find(avvik__state_names, AVVIK_N_STATES, state);
    view->state = found < 0 ? AVVIK_OPEN : (enum avvik__case_state)found;
    view->decision = avvik__name_find(avvik__decision_names, AVVIK_N_DECISIONS, decision);
    const char *document = (const char *)sqlite3_column_text(statement, 6);
    view->document = strdup(document == NULL ? "" : document);
    if (view->document == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for a case");
    *rank_out = sqlite3_column_int64(statement, 7);
    *night_out = sqlite3_column_int64(statement, 8);
done:
    sqlite3_finalize(statement);
    return status;
}

static enum avvik_status nights_of(struct avvik_store *store, struct avvik__case_view *view, struct avvik_error *error)
{
    sqlite3_stmt *statement = NULL;
    enum avvik_status status;
    int64_t n;
    int more;
    AVVIK_TRY(
        avvik__sql_number(store, 0, &n, error, "SELECT count(*) FROM sightings WHERE case_id = ?", "i", view->id));
    view->nights = calloc((size_t)n + 1, sizeof *view->nights);
    if (view->nights == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for a case");
    AVVIK_TRY(
        avvik__sql_prepare(store, &statement, error,
                           "SELECT n.name, coalesce(s.rank, 0) FROM sightings s JOIN nights n ON n.id = s.night_id"
                           " WHERE s.case_id = ? ORDER BY n.name DESC",
                           "i", view->id));
    while ((more = avvik__sql_step(store, statement, error)) > 0 && view->n_nights < (size_t)n) {
        struct avvik__case_night *night = &view->nights[view->n_nights++];
        avvik__sql_text(statement, 0, night->night, sizeof night->night);
        night->rank = sqlite3_column_int64(statement, 1);
    }
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
done:
    sqlite3_finalize(statement);
    return status;
}

enum avvik_status avvik__case_open(struct avvik_store *store, const struct avvik__person *person, int64_t id,
                                   struct avvik__case_view *view_out, struct avvik_error *error)
{
    char at[32];
    int64_t rank = 0, night = 0;
    struct avvik__standing standing;
    struct avvik__case_view view = {.id = 0};
    enum avvik_status status = avvik__store_begin(store, 1, error);
    if (status != AVVIK_OK)
        return status;
    AVVIK_TRY(row_read(store, id, &view, &rank, &night, error));
    if (view.id != 0) {
        avvik__time_text(at);
        AVVIK_TRY(avvik__audit_append(store, at, person->name, "view", view.key, "", NULL, error));
        AVVIK_TRY(avvik__entries_read(store, id, &view.entries, &view.n_entries, error));
        avvik__entries_stand(view.entries, view.n_entries, &standing); /* for is_undone */
        AVVIK_TRY(nights_of(store, &view, error));
        AVVIK_TRY(avvik__sql_number(store, 0, &view.next_open, error,
                                    "SELECT c.id FROM cases c JOIN sightings s ON s.id = c.last_sighting WHERE"
                                    " s.night_id = ?1 AND c.state = 'open' AND c.id <> ?2 ORDER BY"
                                    " coalesce(s.rank, 1 << 40) <= ?3, coalesce(s.rank, 1 << 40), c.id LIMIT 1",
                                    "iii", night, id, rank));
    }
done:
    status = avvik__store_end(store, status, error);
    if (status == AVVIK_OK)
        *view_out = view;
    else
        avvik__case_view_destroy(&view);
    return status;
}

void avvik__case_view_destroy(struct avvik__case_view *view)
{
    avvik__entries_free(view->entries, view->n_entries);
    free(view->document);
    free(view->nights);
    memset(view, 0, sizeof *view);
}

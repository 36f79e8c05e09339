/* The list of cases, what it can be filtered by, and how far a night has come. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"
#include "store_entries.h"

const char *const avvik__sort_names[AVVIK_N_SORTS] = {"rank", "p", "time", "office", "key"};

/* Columns of AVVIK_SORT_..., those without a value last in either direction, ties by rank and id. */
static const char *const orders[AVVIK_N_SORTS][2] = {
    {"s.rank IS NULL, s.rank, c.id", "s.rank IS NULL, s.rank DESC, c.id DESC"},
    {"s.p IS NULL, s.p, s.rank IS NULL, s.rank, c.id", "s.p IS NULL, s.p DESC, s.rank IS NULL, s.rank, c.id"},
    {"s.time IS NULL, s.time, s.rank IS NULL, s.rank, c.id",
     "s.time IS NULL, s.time DESC, s.rank IS NULL, s.rank, c.id"},
    {"s.office IS NULL, s.office, s.rank IS NULL, s.rank, c.id",
     "s.office IS NULL, s.office DESC, s.rank IS NULL, s.rank, c.id"},
    {"c.key, c.id", "c.key DESC, c.id DESC"}};

/* ?1 night, ?2 state or decision, ?3 selected, ?4 office, ?5 assignee, ?6 search; NULL lets all pass. */
#define LIST_FROM                                                                                                      \
    " FROM cases c JOIN sightings s ON s.case_id = c.id JOIN nights n ON n.id = s.night_id"                            \
    " WHERE CASE WHEN ?1 = 'all' THEN s.id = c.last_sighting ELSE n.name = ?1 END"                                     \
    " AND (?2 IS NULL OR c.state = ?2 OR (c.state = 'decided' AND c.decision = ?2))"                                   \
    " AND (?3 IS NULL OR (s.selected_by = 'random') = (?3 = 'random'))"                                                \
    " AND (?4 IS NULL OR s.office = ?4) AND (?5 IS NULL OR coalesce(c.assignee, '-') = ?5)"                            \
    " AND (?6 IS NULL OR instr(lower(c.key || char(10) || coalesce(s.entity, '') || char(10) ||"                       \
    " coalesce(s.office, '') || char(10) || coalesce(s.reason, '')), lower(?6)) > 0)"

static const char *filter(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : text;
}

/* The night that is meant; "" where the store has none. */
static enum avvik_status night_choose(struct avvik_store *store, const char *night, char chosen[16],
                                      struct avvik_error *error)
{
    sqlite3_stmt *statement = NULL;
    enum avvik_status status = AVVIK_OK;
    snprintf(chosen, 16, "%s", night == NULL ? "" : night);
    if (chosen[0] != '\0')
        return AVVIK_OK;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error, "SELECT max(name) FROM nights", ""));
    if (avvik__sql_step(store, statement, error) < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
    avvik__sql_text(statement, 0, chosen, 16);
done:
    sqlite3_finalize(statement);
    return status;
}

static void row_take(sqlite3_stmt *statement, struct avvik__list_row *row)
{
    char state[16], decision[16];
    row->id = sqlite3_column_int64(statement, 0);
    avvik__sql_text(statement, 1, row->key, sizeof row->key);
    row->rank = sqlite3_column_int64(statement, 2);
    row->p = sqlite3_column_type(statement, 3) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(statement, 3);
    avvik__sql_text(statement, 4, row->time, sizeof row->time);
    avvik__sql_text(statement, 5, row->office, sizeof row->office);
    avvik__sql_text(statement, 6, row->entity, sizeof row->entity);
    avvik__sql_text(statement, 7, row->reason, sizeof row->reason);
    avvik__sql_text(statement, 8, row->reason_text, sizeof row->reason_text);
    avvik__sql_text(statement, 9, row->selected_by, sizeof row->selected_by);
    avvik__sql_text(statement, 10, row->assignee, sizeof row->assignee);
    avvik__sql_text(statement, 11, state, sizeof state);
    avvik__sql_text(statement, 12, decision, sizeof decision);
    avvik__sql_text(statement, 13, row->night, sizeof row->night);
    row->n_nights = sqlite3_column_int64(statement, 14);
    const int found = avvik__name_find(avvik__state_names, AVVIK_N_STATES, state);
    row->state = found < 0 ? AVVIK_OPEN : (enum avvik__case_state)found;
    row->decision = avvik__name_find(avvik__decision_names, AVVIK_N_DECISIONS, decision);
}

/* Who saw which list: the filter as it was asked for. */
static enum avvik_status list_log(struct avvik_store *store, const struct avvik__person *person,
                                  const struct avvik__list_query *query, const char *night, struct avvik_error *error)
{
    char at[32], detail[1024];
    avvik__time_text(at);
    snprintf(detail, sizeof detail, "state=%s selected=%s office=%.200s assignee=%s search=%.200s from=%lld",
             query->state == NULL ? "" : query->state, query->selected == NULL ? "" : query->selected,
             query->office == NULL ? "" : query->office, query->assignee == NULL ? "" : query->assignee,
             query->search == NULL ? "" : query->search, (long long)query->offset);
    return avvik__audit_append(store, at, person->name, "list", night, detail, NULL, error);
}

enum avvik_status avvik__list_read(struct avvik_store *store, const struct avvik__person *person,
                                   const struct avvik__list_query *query, struct avvik__list *list_out,
                                   struct avvik_error *error)
{
    struct avvik__list list = {.n_rows = 0};
    sqlite3_stmt *statement = NULL;
    char sql[2048];
    int more;
    const char *state = filter(query->state), *selected = filter(query->selected), *office = filter(query->office),
               *assignee = filter(query->assignee), *search = filter(query->search);
    enum avvik_status status = avvik__store_begin(store, 1, error);
    if (status != AVVIK_OK)
        return status;
    AVVIK_TRY(night_choose(store, query->night, list.night, error));
    AVVIK_TRY(list_log(store, person, query, list.night, error));
    AVVIK_TRY(avvik__sql_number(store, 0, &list.n_matching, error, "SELECT count(*)" LIST_FROM, "tttttt", list.night,
                                state, selected, office, assignee, search));
    list.rows = calloc((size_t)query->limit + 1, sizeof *list.rows);
    if (list.rows == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for a list");
    snprintf(sql, sizeof sql,
             "SELECT c.id, c.key, coalesce(s.rank, 0), s.p, s.time, s.office, s.entity, s.reason, s.reason_text,"
             " s.selected_by, c.assignee, c.state, c.decision, n.name,"
             " (SELECT count(*) FROM sightings o WHERE o.case_id = c.id)" LIST_FROM " ORDER BY %s LIMIT ?7 OFFSET ?8",
             orders[query->sort][query->is_descending != 0]);
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error, sql, "ttttttii", list.night, state, selected, office,
                                 assignee, search, query->limit, query->offset));
    while ((more = avvik__sql_step(store, statement, error)) > 0 && list.n_rows < (size_t)query->limit)
        row_take(statement, &list.rows[list.n_rows++]);
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
done:
    sqlite3_finalize(statement);
    status = avvik__store_end(store, status, error);
    if (status == AVVIK_OK)
        *list_out = list;
    else
        free(list.rows);
    return status;
}

/* The first column of a statement with one text parameter or none. */
static enum avvik_status names_read(struct avvik_store *store, const char *sql, const char *types, const char *text,
                                    struct avvik__names *names_out, struct avvik_error *error)
{
    struct avvik__names names = {NULL, 0};
    sqlite3_stmt *statement = NULL;
    size_t capacity = 0;
    int more;
    enum avvik_status status = avvik__store_begin(store, 0, error);
    if (status != AVVIK_OK)
        return status;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error, sql, types, text));
    while ((more = avvik__sql_step(store, statement, error)) > 0) {
        if (names.n == capacity) {
            capacity = 2 * capacity + 32;
            void *grown = realloc(names.names, capacity * sizeof *names.names);
            if (grown == NULL)
                AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for a list");
            names.names = grown;
        }
        avvik__sql_text(statement, 0, names.names[names.n++], sizeof *names.names);
    }
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
done:
    sqlite3_finalize(statement);
    status = avvik__store_end(store, status, error);
    if (status == AVVIK_OK)
        *names_out = names;
    else
        free(names.names);
    return status;
}

enum avvik_status avvik__nights_read(struct avvik_store *store, struct avvik__names *names_out,
                                     struct avvik_error *error)
{
    return names_read(store, "SELECT name FROM nights ORDER BY name DESC LIMIT 400", "", NULL, names_out, error);
}

enum avvik_status avvik__offices_read(struct avvik_store *store, const char *night, struct avvik__names *names_out,
                                      struct avvik_error *error)
{
    return names_read(
        store,
        "SELECT DISTINCT s.office FROM sightings s JOIN nights n ON n.id = s.night_id WHERE s.office IS NOT"
        " NULL AND (?1 = 'all' OR n.name = ?1) ORDER BY s.office LIMIT 1000",
        "t", night, names_out, error);
}

enum avvik_status avvik__deciders_read(struct avvik_store *store, struct avvik__names *names_out,
                                       struct avvik_error *error)
{
    return names_read(store, "SELECT name FROM accounts WHERE role <> 'reader' AND is_disabled = 0 ORDER BY name", "",
                      NULL, names_out, error);
}

enum avvik_status avvik__night_progress(struct avvik_store *store, const char *night,
                                        struct avvik__progress_of_night *progress_out, struct avvik_error *error)
{
    struct avvik__progress_of_night progress = {.night = ""};
    sqlite3_stmt *statement = NULL;
    char state[16], decision[16];
    int more;
    enum avvik_status status = avvik__store_begin(store, 0, error);
    if (status != AVVIK_OK)
        return status;
    AVVIK_TRY(night_choose(store, night, progress.night, error));
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT s.selected_by = 'random', c.state, c.decision, count(*) FROM cases c JOIN"
                                 " sightings s ON s.case_id = c.id JOIN nights n ON n.id = s.night_id WHERE"
                                 " CASE WHEN ?1 = 'all' THEN s.id = c.last_sighting ELSE n.name = ?1 END"
                                 " GROUP BY 1, 2, 3",
                                 "t", progress.night));
    while ((more = avvik__sql_step(store, statement, error)) > 0) {
        const int k = sqlite3_column_int(statement, 0) != 0;
        const int64_t n = sqlite3_column_int64(statement, 3);
        avvik__sql_text(statement, 1, state, sizeof state);
        avvik__sql_text(statement, 2, decision, sizeof decision);
        const int d = avvik__name_find(avvik__decision_names, AVVIK_N_DECISIONS, decision);
        if (strcmp(state, "decided") == 0 && d >= 0)
            progress.n_decided[k][d] += n;
        else
            *(strcmp(state, "waiting") == 0 ? &progress.n_waiting[k] : &progress.n_open[k]) += n;
    }
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
done:
    sqlite3_finalize(statement);
    status = avvik__store_end(store, status, error);
    if (status == AVVIK_OK)
        *progress_out = progress;
    return status;
}

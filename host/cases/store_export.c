/* What was decided, for programs and spreadsheets: a line a case. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"
#include "csv_text.h"
#include "store_entries.h"

/* A case and where it stands. Texts are "" and rank is 0 where there is nothing. */
struct line {
    char key[201], night[16], selected_by[65];
    int64_t rank;
    double p;
    int has_p;
    struct avvik__standing standing;
};

static void csv_write(const struct line *line, FILE *to)
{
    const struct avvik__entry *decided = line->standing.proposal, *last = line->standing.last;
    const struct avvik__entry *agreed = last != NULL && last->act == AVVIK_AGREE ? last : NULL;
    const char *texts[] = {avvik__state_names[line->standing.state],
                           line->standing.decision < 0 ? "" : avvik__decision_names[line->standing.decision],
                           decided == NULL ? "" : decided->account,
                           decided == NULL ? "" : decided->at,
                           agreed == NULL ? "" : agreed->account,
                           agreed == NULL ? "" : agreed->at,
                           line->standing.assignee,
                           decided == NULL ? "" : decided->note};
    avvik__csv_text(to, line->key);
    fputc(',', to);
    avvik__csv_text(to, line->night);
    fputc(',', to);
    if (line->rank > 0)
        fprintf(to, "%lld", (long long)line->rank);
    fputc(',', to);
    avvik__csv_text(to, line->selected_by);
    fputc(',', to);
    if (line->has_p)
        fprintf(to, "%.9g", line->p);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        fputc(',', to);
        avvik__csv_text(to, texts[i]);
    }
    fputc('\n', to);
}

static json_t *text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? json_null() : json_string(text);
}

static void json_write(const struct line *line, FILE *to)
{
    const struct avvik__entry *decided = line->standing.proposal, *last = line->standing.last;
    const struct avvik__entry *agreed = last != NULL && last->act == AVVIK_AGREE ? last : NULL;
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "key", text_or_null(line->key),
                  "night", text_or_null(line->night), "rank", line->rank > 0 ? json_integer(line->rank) : json_null(),
                  "selected_by", text_or_null(line->selected_by), "p", line->has_p ? json_real(line->p) : json_null(),
                  "state", avvik__state_names[line->standing.state], "decision",
                  text_or_null(line->standing.decision < 0 ? NULL : avvik__decision_names[line->standing.decision]),
                  "decided_by", text_or_null(decided == NULL ? NULL : decided->account), "decided_at",
                  text_or_null(decided == NULL ? NULL : decided->at), "agreed_by",
                  text_or_null(agreed == NULL ? NULL : agreed->account), "agreed_at",
                  text_or_null(agreed == NULL ? NULL : agreed->at), "assignee", text_or_null(line->standing.assignee),
                  "note", decided == NULL ? json_null() : json_string(decided->note));
    json_dumpf(object, to, JSON_COMPACT);
    json_decref(object);
    fputc('\n', to);
}

/* All lines, within a transaction; the number of them. */
static enum avvik_status lines_write(struct avvik_store *store, const char *night, int is_json, FILE *to,
                                     uint64_t *n_out, struct avvik_error *error)
{
    sqlite3_stmt *statement = NULL;
    int more;
    enum avvik_status status = AVVIK_OK;
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error,
                                 "SELECT c.id, c.key, n.name, s.selected_by, coalesce(s.rank, 0), s.p FROM cases c"
                                 " JOIN sightings s ON s.case_id = c.id JOIN nights n ON n.id = s.night_id"
                                 " WHERE CASE WHEN ?1 IS NULL THEN s.id = c.last_sighting ELSE n.name = ?1 END"
                                 " ORDER BY n.name, s.rank IS NULL, s.rank, c.id",
                                 "t", night));
    while ((more = avvik__sql_step(store, statement, error)) > 0) {
        struct line line = {.rank = sqlite3_column_int64(statement, 4),
                            .p = sqlite3_column_double(statement, 5),
                            .has_p = sqlite3_column_type(statement, 5) != SQLITE_NULL};
        struct avvik__entry *entries = NULL;
        size_t n = 0;
        avvik__sql_text(statement, 1, line.key, sizeof line.key);
        avvik__sql_text(statement, 2, line.night, sizeof line.night);
        avvik__sql_text(statement, 3, line.selected_by, sizeof line.selected_by);
        AVVIK_TRY(avvik__entries_read(store, sqlite3_column_int64(statement, 0), &entries, &n, error));
        avvik__entries_stand(entries, n, &line.standing);
        (is_json ? json_write : csv_write)(&line, to);
        avvik__entries_free(entries, n);
        ++*n_out;
    }
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
done:
    sqlite3_finalize(statement);
    return status;
}

enum avvik_status avvik_store_export(struct avvik_store *store, const char *night, int is_json, FILE *to,
                                     uint64_t *n_out, struct avvik_error *error)
{
    char *text = NULL, at[32], detail[40];
    size_t length = 0;
    uint64_t n = 0;
    int64_t n_nights = 0;
    FILE *lines = open_memstream(&text, &length); /* a reader that is slow must not hold the store */
    enum avvik_status status;
    if (lines == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory for the lines of cases");
    if ((status = avvik__store_begin(store, 1, error)) != AVVIK_OK) {
        fclose(lines);
        free(text);
        return status;
    }
    if (!is_json)
        fputs("key,night,rank,selected_by,p,state,decision,decided_by,decided_at,agreed_by,agreed_at,assignee,note\n",
              lines);
    AVVIK_TRY(avvik__sql_number(store, 0, &n_nights, error, "SELECT count(*) FROM nights WHERE name = ?1 OR ?1 IS NULL",
                                "t", night));
    if (night != NULL && n_nights == 0)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "%s: there is no night '%s'", store->path, night);
    AVVIK_TRY(lines_write(store, night, is_json, lines, &n, error));
    avvik__time_text(at);
    snprintf(detail, sizeof detail, "%llu cases", (unsigned long long)n);
    AVVIK_TRY(avvik__audit_append(store, at, "", "export", night == NULL ? "all" : night, detail, NULL, error));
done:
    status = avvik__store_end(store, status, error);
    if (fclose(lines) != 0 && status == AVVIK_OK)
        status = avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory for the lines of cases");
    if (status == AVVIK_OK && (fwrite(text, 1, length, to) != length || fflush(to) != 0))
        status = avvik__error_set(error, AVVIK_ERR_IO, 0, "the cases cannot be written");
    if (status == AVVIK_OK)
        *n_out = n;
    free(text);
    return status;
}

/* What people do to a case: decide, agree, undo, assign. Each is a new entry, a row of the log and the case's new
 * state, in one transaction. */
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"
#include "store_entries.h"

/* May `person` do this where the case stands so? Fills in what follows for the entry. */
static enum avvik__outcome act_judge(const struct avvik__standing *standing, const struct avvik__person *person,
                                     const struct avvik__action *action, enum avvik_four_eyes rule,
                                     struct avvik__entry *entry)
{
    const int is_lead = person->role == AVVIK_ROLE_LEAD;
    if (person->role == AVVIK_ROLE_READER)
        return AVVIK_NOT_ALLOWED;
    if (action->version != standing->version)
        return AVVIK_CONFLICT;
    switch (action->act) {
    case AVVIK_DECIDE:
        if (standing->state == AVVIK_DECIDED)
            return AVVIK_OUT_OF_ORDER;
        if (standing->state == AVVIK_WAITING && strcmp(standing->proposal->account, person->name) == 0)
            return AVVIK_NEEDS_OTHER;
        entry->decision = (int)action->decision;
        entry->needs_second = rule == AVVIK_FOUR_EYES_ALL ||
                              (rule == AVVIK_FOUR_EYES_CONFIRMED && action->decision == AVVIK_CONFIRMED) ||
                              standing->state == AVVIK_WAITING; /* who disagrees proposes anew */
        if (standing->state == AVVIK_WAITING && action->decision == (enum avvik__decision)standing->decision) {
            entry->act = AVVIK_AGREE;
            entry->needs_second = 0;
        }
        return AVVIK_DONE;
    case AVVIK_AGREE:
        if (standing->state != AVVIK_WAITING)
            return AVVIK_OUT_OF_ORDER;
        entry->decision = standing->decision;
        return strcmp(standing->proposal->account, person->name) == 0 ? AVVIK_NEEDS_OTHER : AVVIK_DONE;
    case AVVIK_UNDO:
        if (standing->last == NULL)
            return AVVIK_OUT_OF_ORDER;
        return is_lead || strcmp(standing->last->account, person->name) == 0 ? AVVIK_DONE : AVVIK_NOT_ALLOWED;
    case AVVIK_ASSIGN:
        /* Auditors take cases and give back their own; leads hand them out. */
        if (!is_lead && strcmp(action->assignee, person->name) != 0 &&
            !(action->assignee[0] == '\0' && strcmp(standing->assignee, person->name) == 0))
            return AVVIK_NOT_ALLOWED;
        return AVVIK_DONE;
    case AVVIK_N_ACTS: break;
    }
    return AVVIK_OUT_OF_ORDER;
}

/* Is this what the same person did last? Then the form came twice: by a double click, or from a browser that sends it
 * again when a connection ends without an answer (RFC 9110, section 9.2.2, advises against it). */
static int act_is_again(const struct avvik__entry *entries, size_t n, const struct avvik__person *person,
                        const struct avvik__action *action)
{
    const struct avvik__entry *last = n == 0 ? NULL : &entries[n - 1];
    if (last == NULL || action->version != (int64_t)n - 1 || strcmp(last->account, person->name) != 0)
        return 0;
    if (action->act == AVVIK_ASSIGN)
        return last->act == AVVIK_ASSIGN && strcmp(last->assignee, action->assignee) == 0;
    if (strcmp(last->note, action->note) != 0)
        return 0;
    if (action->act == AVVIK_DECIDE) /* who decides as another did agrees */
        return (last->act == AVVIK_DECIDE || last->act == AVVIK_AGREE) && last->decision == (int)action->decision;
    return last->act == action->act;
}

static enum avvik_status assignee_check(struct avvik_store *store, const char *name, enum avvik__outcome *outcome,
                                        struct avvik_error *error)
{
    int64_t n = 1;
    enum avvik_status status = AVVIK_OK;
    if (*outcome == AVVIK_DONE && name[0] != '\0')
        status = avvik__sql_number(
            store, 0, &n, error,
            "SELECT count(*) FROM accounts WHERE name = ? AND role <> 'reader' AND is_disabled = 0", "t", name);
    if (status == AVVIK_OK && n == 0)
        *outcome = AVVIK_NO_ACCOUNT;
    return status;
}

/* The entry, its row of the log, and where the case stands now. */
static enum avvik_status entry_write(struct avvik_store *store, int64_t case_id, const char *key,
                                     const struct avvik__entry *entry, struct avvik_error *error)
{
    enum avvik_status status;
    struct avvik__entry *entries = NULL;
    struct avvik__standing standing;
    size_t n = 0;
    int64_t audit_id;
    const char *assignee = entry->act == AVVIK_ASSIGN && entry->assignee[0] != '\0' ? entry->assignee : NULL;
    char *detail = avvik__entry_detail(entry);
    if (detail == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for a decision");
    AVVIK_TRY(avvik__audit_append(store, entry->at, entry->account, avvik__act_names[entry->act], key, detail,
                                  &audit_id, error));
    AVVIK_TRY(avvik__sql_run(store, error,
                             "INSERT INTO entries (case_id, kind, decision, note, needs_second, assignee, account, at,"
                             " audit_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                             "itttittti", case_id, avvik__act_names[entry->act],
                             entry->decision < 0 ? NULL : avvik__decision_names[entry->decision], entry->note,
                             (int64_t)entry->needs_second, assignee, entry->account, entry->at, audit_id));
    AVVIK_TRY(avvik__entries_read(store, case_id, &entries, &n, error));
    avvik__entries_stand(entries, n, &standing);
    AVVIK_TRY(avvik__sql_run(store, error,
                             "UPDATE cases SET version = ?, state = ?, decision = ?, assignee = ? WHERE id = ?",
                             "ittti", standing.version, avvik__state_names[standing.state],
                             standing.decision < 0 ? NULL : avvik__decision_names[standing.decision],
                             standing.assignee[0] == '\0' ? NULL : standing.assignee, case_id));
done:
    avvik__entries_free(entries, n);
    free(detail);
    return status;
}

static enum avvik_status key_read(struct avvik_store *store, int64_t case_id, char key[201], struct avvik_error *error)
{
    sqlite3_stmt *statement;
    enum avvik_status status =
        avvik__sql_prepare(store, &statement, error, "SELECT key FROM cases WHERE id = ?", "i", case_id);
    key[0] = '\0';
    if (status == AVVIK_OK) {
        const int more = avvik__sql_step(store, statement, error);
        if (more > 0)
            avvik__sql_text(statement, 0, key, 201);
        else if (more < 0)
            status = avvik__sql_error(store, error);
        sqlite3_finalize(statement);
    }
    return status;
}

enum avvik_status avvik__store_act(struct avvik_store *store, const struct avvik__person *person,
                                   const struct avvik__action *action, enum avvik__outcome *outcome_out,
                                   struct avvik_error *error)
{
    enum avvik_status status;
    struct avvik_store_rules rules;
    struct avvik__entry *entries = NULL, entry = {.act = action->act, .decision = -1};
    struct avvik__standing standing;
    enum avvik__outcome outcome = AVVIK_NO_CASE;
    size_t n = 0;
    char key[201];
    if (strlen(action->note) > AVVIK_MAX_NOTE)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a note may have up to %d bytes", AVVIK_MAX_NOTE);
    if ((status = avvik_store_rules(store, &rules, error)) != AVVIK_OK ||
        (status = avvik__store_begin(store, 1, error)) != AVVIK_OK)
        return status;
    AVVIK_TRY(key_read(store, action->case_id, key, error));
    if (key[0] == '\0')
        goto done;
    AVVIK_TRY(avvik__entries_read(store, action->case_id, &entries, &n, error));
    avvik__entries_stand(entries, n, &standing);
    if (act_is_again(entries, n, person, action)) {
        outcome = AVVIK_DONE;
        goto done;
    }
    outcome = act_judge(&standing, person, action, rules.four_eyes, &entry);
    if (action->act == AVVIK_ASSIGN)
        AVVIK_TRY(assignee_check(store, action->assignee, &outcome, error));
    if (outcome != AVVIK_DONE)
        goto done;
    strcpy(entry.account, person->name);
    avvik__time_text(entry.at);
    if (action->act == AVVIK_ASSIGN)
        strcpy(entry.assignee, action->assignee); /* an account's name: it was found */
    entry.note = (char *)(uintptr_t)action->note;
    AVVIK_TRY(entry_write(store, action->case_id, key, &entry, error));
done:
    avvik__entries_free(entries, n);
    status = avvik__store_end(store, status, error);
    if (status == AVVIK_OK)
        *outcome_out = outcome;
    return status;
}

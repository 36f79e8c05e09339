/* The rules of a store: which decisions need a second person, which fields may be shown. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "audit_log.h"
#include "store_entries.h"

/* Of the ready-made tables (datasets/README.md): amounts, dates, shares and what they are of; no person, household,
 * employer or account. */
#define DEFAULT_FIELDS                                                                                                 \
    "benefit_code,period_from,period_to,pay_date,gross,net,tax,basis,grade_pct,hours_reported,office,country,"         \
    "income_type,amount,earned_from,earned_to,reported_on,position_pct,occupation,leave_pct,tax_withheld,"             \
    "year,term,vat_code,rate,vat,settled_vat,industry,municipality"

static const char *const four_eyes_names[] = {"none", "confirmed", "all"};

const char *avvik_four_eyes_name(enum avvik_four_eyes rule)
{
    return four_eyes_names[rule];
}

int avvik_four_eyes_parse(const char *text, enum avvik_four_eyes *rule_out)
{
    const int found = avvik__name_find(four_eyes_names, 3, text);
    if (found >= 0)
        *rule_out = (enum avvik_four_eyes)found;
    return found >= 0;
}

enum avvik_status avvik_store_rules(struct avvik_store *store, struct avvik_store_rules *rules_out,
                                    struct avvik_error *error)
{
    sqlite3_stmt *statement = NULL;
    char name[32], value[sizeof rules_out->fields];
    int more;
    enum avvik_status status = avvik__store_begin(store, 0, error);
    if (status != AVVIK_OK)
        return status;
    *rules_out = (struct avvik_store_rules){AVVIK_FOUR_EYES_NONE, DEFAULT_FIELDS};
    AVVIK_TRY(avvik__sql_prepare(store, &statement, error, "SELECT name, value FROM rules", ""));
    while ((more = avvik__sql_step(store, statement, error)) > 0) {
        avvik__sql_text(statement, 0, name, sizeof name);
        avvik__sql_text(statement, 1, value, sizeof value);
        if (strcmp(name, "fields") == 0)
            strcpy(rules_out->fields, value);
        else if (strcmp(name, "four_eyes") == 0 && !avvik_four_eyes_parse(value, &rules_out->four_eyes))
            rules_out->four_eyes = AVVIK_FOUR_EYES_ALL; /* a rule that cannot be read is no leave to go without */
    }
    if (more < 0)
        AVVIK_TRY(avvik__sql_error(store, error));
done:
    sqlite3_finalize(statement);
    return avvik__store_end(store, status, error);
}

static enum avvik_status rule_write(struct avvik_store *store, const char *name, const char *value,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char at[32];
    if (value == NULL)
        return AVVIK_OK;
    AVVIK_TRY(
        avvik__sql_run(store, error, "INSERT OR REPLACE INTO rules (name, value) VALUES (?, ?)", "tt", name, value));
    avvik__time_text(at);
    AVVIK_TRY(avvik__audit_append(store, at, "", "rule", name, value, NULL, error));
done:
    return status;
}

enum avvik_status avvik_store_rules_set(struct avvik_store *store, int four_eyes, const char *fields,
                                        struct avvik_error *error)
{
    struct avvik_store_rules *rules;
    enum avvik_status status;
    json_t *text = fields == NULL ? NULL : json_string(fields); /* is it UTF-8? */
    if (fields != NULL &&
        (text == NULL || strlen(fields) >= sizeof rules->fields || strpbrk(fields, "\n\r\t ") != NULL))
        status = avvik__error_set(error, AVVIK_ERR_USAGE, 0,
                                  "fields are names with commas between them, without blanks, up to %zu bytes",
                                  sizeof rules->fields - 1);
    else if ((status = avvik__store_begin(store, 1, error)) == AVVIK_OK) {
        status = rule_write(store, "four_eyes", four_eyes < 0 ? NULL : four_eyes_names[four_eyes], error);
        if (status == AVVIK_OK)
            status = rule_write(store, "fields", fields, error);
        status = avvik__store_end(store, status, error);
    }
    json_decref(text);
    return status;
}

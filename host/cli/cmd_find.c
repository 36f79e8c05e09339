/* avvik find: persons of a synthetic country, for whoever needs test data. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char more[] =
    "Filters compose: a person must pass all of them. --benefit and --event take several names with\n"
    "commas between them, which must all be true within the period of the country. Ages are those on its\n"
    "last day. An unknown value lists the known ones. Who belongs to a typology stands in truth.h5 only;\n"
    "this command is the one, beside check --truth and the bench, that reads it, and only if it is named.\n\n"
    "  avvik find registry.h5 --age 30..40 --municipality 0301 --benefit dagpenger --event job_lost\n"
    "  avvik find registry.h5 --benefit aap,tilleggsstonad --csv --limit 1000\n"
    "  avvik find registry.h5 --truth truth.h5 --typology none --look-alike below_limit --json";

/* "1989-07-14" of a day since 1970-01-01, in a buffer of its own. */
static const char *date_text(int32_t day)
{
    static char text[24];
    avvik_date_text(day, text);
    return text;
}

/* Everything of a person that is text. */
struct shown {
    char national_id[16], employer[16], sex[24], municipality[24], benefits[256], events[256], typology[24],
        look_alike[24];
};

static void show_make(const struct avvik_found *person, struct shown *shown)
{
    snprintf(shown->national_id, sizeof shown->national_id, "%011llu", (unsigned long long)person->national_id);
    shown->employer[0] = '\0';
    if (person->employer != 0)
        snprintf(shown->employer, sizeof shown->employer, "%09u", person->employer);
    avvik_find_name(AVVIK_FIND_SEX, person->sex, shown->sex, sizeof shown->sex);
    avvik_find_name(AVVIK_FIND_MUNICIPALITY, person->municipality, shown->municipality, sizeof shown->municipality);
    avvik_find_benefits_text(person->benefits, shown->benefits, sizeof shown->benefits);
    avvik_find_events_text(person->events, shown->events, sizeof shown->events);
    shown->typology[0] = shown->look_alike[0] = '\0';
    if (person->typology >= 0)
        avvik_find_name(AVVIK_FIND_TYPOLOGY, person->typology, shown->typology, sizeof shown->typology);
    if (person->look_alike >= 0)
        avvik_find_name(AVVIK_FIND_TYPOLOGY, person->look_alike, shown->look_alike, sizeof shown->look_alike);
}

static int json_print(const struct avvik_found_list *list)
{
    json_t *persons = json_array();
    for (size_t i = 0; i < list->n_persons; i++) {
        const struct avvik_found *person = &list->persons[i];
        struct shown shown;
        char person_text[24], household[24], account[24];
        show_make(person, &shown);
        snprintf(person_text, sizeof person_text, "%llu", (unsigned long long)person->person);
        snprintf(household, sizeof household, "%llu", (unsigned long long)person->household);
        snprintf(account, sizeof account, "%llu", (unsigned long long)person->account);
        json_t *one = json_pack("{s:I, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "row",
                                (json_int_t)person->row, "national_id", shown.national_id, "birth_date",
                                date_text(person->birth_date), "age", person->age, "sex", shown.sex, "municipality",
                                shown.municipality, "benefits", shown.benefits, "events", shown.events, "employer",
                                shown.employer, "person", person_text, "household", household, "account", account);
        if (one != NULL && person->typology >= 0) {
            json_object_set_new(one, "typology", json_string(shown.typology));
            json_object_set_new(one, "look_alike", json_string(shown.look_alike));
        }
        json_array_append_new(persons, one);
    }
    return cli_print_json(json_pack("{s:I, s:I, s:s, s:o}", "registered", (json_int_t)list->n_registered, "matching",
                                    (json_int_t)list->n_matching, "last_day", date_text(list->last_day), "persons",
                                    persons));
}

static void csv_print(const struct avvik_found_list *list, int has_truth)
{
    printf("row,national_id,birth_date,age,sex,municipality,benefits,events,employer,person,household,account%s\n",
           has_truth ? ",typology,look_alike" : "");
    for (size_t i = 0; i < list->n_persons; i++) {
        const struct avvik_found *person = &list->persons[i];
        struct shown shown;
        show_make(person, &shown);
        printf("%llu,%s,%s,%d,%s,%s,%s,%s,%s,%llu,%llu,%llu", (unsigned long long)person->row, shown.national_id,
               date_text(person->birth_date), person->age, shown.sex, shown.municipality, shown.benefits, shown.events,
               shown.employer, (unsigned long long)person->person, (unsigned long long)person->household,
               (unsigned long long)person->account);
        if (has_truth)
            printf(",%s,%s", shown.typology, shown.look_alike);
        putchar('\n');
    }
}

static void table_print(const struct avvik_found_list *list, int has_truth)
{
    if (list->n_persons > 0)
        printf("%-11s  %-10s  %3s  %-6s  %-12s  %-9s  %-36s  %s%s\n", "national id", "born", "age", "sex",
               "municipality", "employer", "benefits", "events", has_truth ? "  [typology; look-alike]" : "");
    for (size_t i = 0; i < list->n_persons; i++) {
        const struct avvik_found *person = &list->persons[i];
        struct shown shown;
        show_make(person, &shown);
        printf("%s  %s  %3d  %-6s  %-12s  %-9s  %-36s  %s", shown.national_id, date_text(person->birth_date),
               person->age, shown.sex, shown.municipality, shown.employer[0] == '\0' ? "-" : shown.employer,
               shown.benefits[0] == '\0' ? "-" : shown.benefits, shown.events[0] == '\0' ? "-" : shown.events);
        if (has_truth)
            printf("  [%s; %s]", shown.typology, shown.look_alike);
        putchar('\n');
    }
    printf("%s%s of %s persons match", list->n_persons > 0 ? "\n" : "", cli_count(list->n_matching),
           cli_count(list->n_registered));
    if (list->n_persons < list->n_matching)
        printf("; the first %s are listed (--limit)", cli_count(list->n_persons));
    puts(".");
}

/* Set a filter from its option; several values stand between commas where it takes several. -1 to go on. */
static int filter_set(const struct cli_command *command, struct avvik_find_query *query, const char *name,
                      const char *text)
{
    struct avvik_error error;
    const int has_several = strcmp(name, "benefit") == 0 || strcmp(name, "event") == 0;
    char value[256];
    while (text != NULL) {
        const char *comma = has_several ? strchr(text, ',') : NULL;
        snprintf(value, sizeof value, "%.*s", comma == NULL ? (int)sizeof value - 1 : (int)(comma - text), text);
        if (avvik_find_query_set(query, name, value, &error) != AVVIK_OK)
            return cli_usage_error(command, "--%s: %s", name, error.text);
        text = comma == NULL ? NULL : comma + 1;
    }
    return -1;
}

static int run(const struct cli_command *command, int argc, char **argv)
{
    static const char *const names[] = {"age",   "sex",      "municipality", "benefit",
                                        "event", "employer", "typology",     "look-alike"};
    const char *values[8] = {NULL};
    struct avvik_find_query query;
    avvik_find_query_init(&query);
    int is_json = 0, is_csv = 0, first;
    const struct cli_option options[] = {
        {"age", CLI_TEXT, &values[0], "FROM..TO", "years on the last day, like 30..40, 67.., ..17", 0, 0},
        {"sex", CLI_TEXT, &values[1], "SEX", "female or male", 0, 0},
        {"municipality", CLI_TEXT, &values[2], "CODE", "of residence, like 0301", 0, 0},
        {"benefit", CLI_TEXT, &values[3], "NAME,...", "drew these in the period, like dagpenger", 0, 0},
        {"event", CLI_TEXT, &values[4], "NAME,...", "had these life events, like job_lost", 0, 0},
        {"employer", CLI_TEXT, &values[5], "NUMBER", "works at the end for this organisation number", 0, 0},
        {"typology", CLI_TEXT, &values[6], "NAME", "belongs to it, or none; needs --truth", 0, 0},
        {"look-alike", CLI_TEXT, &values[7], "NAME", "looks like it, or none; needs --truth", 0, 0},
        {"truth", CLI_TEXT, &query.truth, "FILE", "the country's truth.h5", 0, 0},
        {"limit", CLI_NUMBER, &query.limit, "K", "how many to list; all are counted (20)", 0, AVVIK_SYNTH_MAX_PERSONS},
        {"csv", CLI_FLAG, &is_csv, NULL, "comma-separated values", 0, 0},
        {"json", CLI_FLAG, &is_json, NULL, "one JSON document on standard output", 0, 0},
        {"quiet", CLI_FLAG, &cli_quiet, NULL, "tell nothing but errors", 0, 0}};
    int code = cli_parse(command, options, sizeof options / sizeof options[0], argc, argv, &first);
    if (code >= 0)
        return code;
    if (first + 1 != argc)
        return cli_usage_error(command, "one register is needed");
    if (is_json && is_csv)
        return cli_usage_error(command, "--csv and --json exclude one another");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (values[i] != NULL && (code = filter_set(command, &query, names[i], values[i])) >= 0)
            return code;

    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_found_list list;
    if (avvik_find(argv[first], &query, &list, &error) != AVVIK_OK)
        return cli_error(&error);
    code = CLI_DONE;
    if (is_json)
        code = json_print(&list);
    else if (is_csv)
        csv_print(&list, query.truth != NULL);
    else
        table_print(&list, query.truth != NULL);
    avvik_found_list_destroy(&list);
    return code;
}

const struct cli_command cli_find = {"find", "REGISTER", "give me persons who ...: filters over a synthetic register",
                                     more, run};

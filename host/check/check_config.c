#include "check_config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

#define MAX_CONFIG_COLUMNS 65535

#define TEXT_FLAGS (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define TEXT(key, type, member) CYAML_FIELD_STRING_PTR(key, TEXT_FLAGS, type, member, 0, 255)
#define LIMITS_OF_COLUMN(type)                                                                                         \
    TEXT("missing", type, limits[AVVIK_LIMIT_MISSING]), TEXT("infinite", type, limits[AVVIK_LIMIT_INFINITE]),          \
        TEXT("unknown_codes", type, limits[AVVIK_LIMIT_UNKNOWN_CODES]),                                                \
        TEXT("impossible_dates", type, limits[AVVIK_LIMIT_IMPOSSIBLE_DATES]),                                          \
        TEXT("outside_period", type, limits[AVVIK_LIMIT_OUTSIDE_PERIOD]),                                              \
        TEXT("constant", type, limits[AVVIK_LIMIT_CONSTANT]), TEXT("psi", type, limits[AVVIK_LIMIT_PSI]),              \
        TEXT("ks", type, limits[AVVIK_LIMIT_KS]), TEXT("missing_change", type, limits[AVVIK_LIMIT_MISSING_CHANGE])

#define COLUMN struct avvik__check_config_column
static const cyaml_schema_field_t column_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, COLUMN, name, 1, AVVIK_NAME_SIZE - 1),
    TEXT("period", COLUMN, period),
    TEXT("min", COLUMN, min),
    TEXT("max", COLUMN, max),
    LIMITS_OF_COLUMN(COLUMN),
    CYAML_FIELD_END};
static const cyaml_schema_value_t column_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, COLUMN, column_fields)};

#define CONFIG struct avvik__check_config
const cyaml_schema_field_t avvik__check_fields[] = {
    CYAML_FIELD_STRING_PTR("id", TEXT_FLAGS, CONFIG, id, 1, AVVIK_NAME_SIZE - 1),
    TEXT("period", CONFIG, period),
    TEXT("min_rows", CONFIG, min_rows),
    TEXT("max_rows", CONFIG, max_rows),
    TEXT("duplicates", CONFIG, limits[AVVIK_LIMIT_DUPLICATES]),
    LIMITS_OF_COLUMN(CONFIG),
    CYAML_FIELD_SEQUENCE_COUNT("columns", TEXT_FLAGS, CONFIG, columns, n_columns, &column_schema, 0,
                               MAX_CONFIG_COLUMNS),
    CYAML_FIELD_END};

/* A decimal number, with nothing after it but spaces and, for a share, a per cent sign. 1 on success. */
static int number_parse(const char *text, int is_share, double *number_out)
{
    char *end;
    if (strspn(text, "+-.0123456789eE %") != strlen(text))
        return 0;
    const double number = strtod(text, &end);
    if (end == text || !isfinite(number))
        return 0;
    end += strspn(end, " ");
    const int is_percent = is_share && *end == '%';
    *number_out = is_percent ? number / 100 : number;
    end += is_percent;
    return end[strspn(end, " ")] == '\0';
}

/* A number, or an amount in kroner or øre, which columns of amounts hold in øre: "250 kr" is 25000. */
static int amount_parse(const char *text, double *amount_out)
{
    static const struct {
        const char *name;
        double oere;
    } units[] = {{"kr", 100}, {"øre", 1}};
    char digits[64];
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        const size_t length = strlen(text), n = strlen(units[i].name);
        if (length <= n || length - n >= sizeof digits || strcmp(text + length - n, units[i].name) != 0)
            continue;
        memcpy(digits, text, length - n);
        digits[length - n] = '\0';
        double number;
        if (!number_parse(digits, 0, &number))
            return 0;
        *amount_out = round(number * units[i].oere); /* 0.29 * 100 is 28.999... */
        return 1;
    }
    return number_parse(text, 0, amount_out);
}

static int count_parse(const char *text, uint64_t *count_out)
{
    char *end;
    errno = 0;
    const unsigned long long count = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return 0;
    *count_out = count;
    return 1;
}

/* `field` of the block, or of its column number `column` if that is not negative. */
static enum avvik_status field_bad(const struct avvik__yaml *file, int64_t column, const char *field, const char *value,
                                   const char *wanted, struct avvik_error *error)
{
    char place[64];
    if (column < 0)
        snprintf(place, sizeof place, "check.%s", field);
    else
        snprintf(place, sizeof place, "check.columns[%lld].%s", (long long)column, field);
    return avvik__yaml_bad(file, place, error, "is '%s'; it takes %s", value, wanted);
}

static enum avvik_status limits_apply(char *const *given, const struct avvik__yaml *file, int64_t column,
                                      struct avvik_check_limit *limits, struct avvik_error *error)
{
    for (enum avvik_limit limit = 0; limit < AVVIK_N_LIMITS; limit++) {
        const int is_share = limit != AVVIK_LIMIT_PSI && limit != AVVIK_LIMIT_KS && limit != AVVIK_LIMIT_CONSTANT;
        double most;
        if (given[limit] == NULL)
            continue;
        if (!number_parse(given[limit], is_share, &most) || most < 0 || (limit != AVVIK_LIMIT_PSI && most > 1))
            return field_bad(file, column, avvik_limit_name(limit), given[limit],
                             is_share                        ? "a share from 0 to 1, or a percentage like 0.5 %"
                             : limit == AVVIK_LIMIT_CONSTANT ? "0 (no column may become constant) or 1"
                             : limit == AVVIK_LIMIT_KS       ? "a number from 0 to 1"
                                                             : "a number from 0 on",
                             error);
        limits[limit] = (struct avvik_check_limit){most, 1};
    }
    return AVVIK_OK;
}

static const char period_form[] = "FROM..TO with dates like 2024-01-31, FROM not after TO";

static enum avvik_status column_apply(const struct avvik__check_config_column *given, const struct avvik__yaml *file,
                                      int64_t number, const struct avvik_check_rules *rules,
                                      struct avvik_check_column_rules *column, struct avvik_error *error)
{
    snprintf(column->name, sizeof column->name, "%s", given->name);
    memcpy(column->limits, rules->limits, sizeof column->limits);
    column->period = rules->period;
    column->min = -INFINITY;
    column->max = INFINITY;
    column->has_period = given->period != NULL;
    if (given->period != NULL && !avvik_period_parse(given->period, &column->period))
        return field_bad(file, number, "period", given->period, period_form, error);
    if (given->min != NULL && !amount_parse(given->min, &column->min))
        return field_bad(file, number, "min", given->min, "a number, or an amount like 250 kr", error);
    if (given->max != NULL && !amount_parse(given->max, &column->max))
        return field_bad(file, number, "max", given->max, "a number, or an amount like 250 kr", error);
    return limits_apply(given->limits, file, number, column->limits, error);
}

enum avvik_status avvik__check_config_apply(const struct avvik__check_config *config, const struct avvik__yaml *file,
                                            struct avvik_check_rules *rules, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    if (config->id != NULL)
        snprintf(rules->id, sizeof rules->id, "%s", config->id);
    if (config->period != NULL && !avvik_period_parse(config->period, &rules->period))
        AVVIK_TRY(field_bad(file, -1, "period", config->period, period_form, error));
    if (config->min_rows != NULL && !count_parse(config->min_rows, &rules->min_rows))
        AVVIK_TRY(field_bad(file, -1, "min_rows", config->min_rows, "a whole number", error));
    if (config->max_rows != NULL && !count_parse(config->max_rows, &rules->max_rows))
        AVVIK_TRY(field_bad(file, -1, "max_rows", config->max_rows, "a whole number", error));
    AVVIK_TRY(limits_apply(config->limits, file, -1, rules->limits, error));
    if ((rules->columns = calloc((size_t)config->n_columns + 1, sizeof *rules->columns)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (uint32_t i = 0; i < config->n_columns; i++) {
        AVVIK_TRY(column_apply(&config->columns[i], file, i, rules, &rules->columns[i], error));
        for (uint32_t earlier = 0; earlier < i; earlier++)
            if (strcmp(rules->columns[earlier].name, rules->columns[i].name) == 0)
                AVVIK_TRY(
                    field_bad(file, i, "name", rules->columns[i].name, "a column that is not named before", error));
        rules->n_columns++;
    }
done:
    if (status != AVVIK_OK)
        avvik_check_rules_destroy(rules);
    return status;
}

enum avvik_status avvik_check_rules_load(const char *path, struct avvik_check_rules *rules_out,
                                         struct avvik_error *error)
{
    struct content {
        struct avvik__check_config *check;
    };
    static const cyaml_schema_field_t fields[] = {
        CYAML_FIELD_MAPPING_PTR("check", CYAML_FLAG_POINTER, struct content, check, avvik__check_fields),
        CYAML_FIELD_END};
    static const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct content, fields)};
    enum avvik_status status = AVVIK_OK;
    struct avvik__yaml file;
    void *data = NULL;
    AVVIK_TRY(avvik__yaml_open(&file, path, error));
    AVVIK_TRY(avvik__yaml_take(&file, &schema, &data, error));
    if (data == NULL)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: has no block `check`", path);
    avvik_check_rules_init(rules_out);
    AVVIK_TRY(avvik__check_config_apply(((struct content *)data)->check, &file, rules_out, error));
done:
    avvik__yaml_release(&schema, data);
    avvik__yaml_close(&file);
    return status;
}

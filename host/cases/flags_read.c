/* Reading back the lists that `avvik flag` writes: JSON or CSV. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/explain.h"
#include "avvik_internal.h"

#define MAX_LIST_BYTES ((size_t)1 << 30)
#define MAX_FIELDS 64

void avvik_flags_destroy(struct avvik_flags *flags)
{
    free(flags->picks);
    memset(flags, 0, sizeof *flags);
}

/* The whole file, with a zero behind it. */
static enum avvik_status text_read(const char *path, char **text_out, size_t *n_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    size_t capacity = 65536, n = 0, got;
    FILE *file = fopen(path, "rb");
    char *text = malloc(capacity + 1);
    if (file == NULL)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", path, strerror(errno));
    if (text == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    while ((got = fread(text + n, 1, capacity - n, file)) > 0) {
        n += got;
        if (n < capacity)
            continue;
        char *larger = capacity >= MAX_LIST_BYTES ? NULL : realloc(text, 2 * capacity + 1);
        if (larger == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "%s: is too large for a list", path);
        text = larger;
        capacity *= 2;
    }
    if (ferror(file))
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be read: %s", path, strerror(errno));
    text[n] = '\0';
    *text_out = text;
    *n_out = n;
    text = NULL;
done:
    free(text);
    if (file != NULL)
        fclose(file);
    return status;
}

/* 1 if `name` is a detector's. */
static int detector_parse(const char *name, enum avvik_detector *detector_out)
{
    for (int d = 0; name != NULL && d < AVVIK_N_DETECTORS; d++)
        if (strcmp(name, avvik_detector_name((enum avvik_detector)d)) == 0) {
            *detector_out = (enum avvik_detector)d;
            return 1;
        }
    return 0;
}

static int pick_of_json(const json_t *flag, struct avvik_pick *pick)
{
    const json_t *row = json_object_get(flag, "row"), *rank = json_object_get(flag, "rank");
    const json_t *path_sum = json_object_get(flag, "path_sum");
    const char *selected_by = json_string_value(json_object_get(flag, "selected_by"));
    if (!json_is_integer(row) || json_integer_value(row) < 0 || selected_by == NULL || !json_is_integer(path_sum) ||
        (!json_is_null(rank) && (!json_is_integer(rank) || json_integer_value(rank) < 1)))
        return 0;
    *pick = (struct avvik_pick){.row = (uint64_t)json_integer_value(row),
                                .rank = json_is_null(rank) ? 0 : (uint64_t)json_integer_value(rank),
                                .is_random = strcmp(selected_by, "random") == 0,
                                .path_sum = (int32_t)json_integer_value(path_sum)};
    return 1;
}

static enum avvik_status json_take(const char *path, const char *text, size_t n, struct avvik_flags *flags,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    json_error_t failure;
    json_t *document = json_loadb(text, n, JSON_REJECT_DUPLICATES, &failure);
    if (document == NULL)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is no JSON: %s in line %d", path, failure.text, failure.line);
    const json_t *list = json_object_get(document, "flags"), *weights = json_object_get(document, "weights");
    const char *hash = json_string_value(json_object_get(document, "content_hash"));
    const char *p_by = json_string_value(json_object_get(document, "p_by"));
    if (!json_is_array(list) || hash == NULL || strlen(hash) >= sizeof flags->content_hash ||
        !detector_parse(json_string_value(json_object_get(document, "by")), &flags->by))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is no list of `avvik flag --json`: it lacks flags, by or content_hash",
                   path);
    snprintf(flags->content_hash, sizeof flags->content_hash, "%s", hash);
    flags->has_weights = json_is_object(weights);
    if (p_by != NULL && !avvik_p_by_parse(p_by, &flags->p_by))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: p_by is '%.40s', neither group nor everyone", path, p_by);
    for (int d = 0; flags->has_weights && d < AVVIK_N_COMBINED; d++) {
        const json_t *weight = json_object_get(weights, avvik_detector_name((enum avvik_detector)d));
        flags->weights[d] = json_number_value(weight);
    }
    if ((flags->picks = calloc(json_array_size(list) + 1, sizeof *flags->picks)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    flags->n_picks = json_array_size(list);
    for (size_t i = 0; i < flags->n_picks; i++)
        if (!pick_of_json(json_array_get(list, i), &flags->picks[i]))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: case %zu of the list lacks row, rank, path_sum or selected_by", path,
                       i + 1);
done:
    json_decref(document);
    return status;
}

/* Cut a line of CSV into fields, in place; returns how many, and the next line in *next_out. Quotes may hold commas
 * and line ends. */
static size_t csv_cut(char *line, char **fields, char **next_out)
{
    size_t n = 0;
    char *from = line, *to;
    for (;;) {
        int is_quoted = *from == '"';
        from += is_quoted;
        if (n < MAX_FIELDS)
            fields[n++] = from;
        for (to = from; *from != '\0' && (is_quoted || (*from != ',' && *from != '\n')); from++) {
            if (is_quoted && *from == '"') {
                if (from[1] != '"') {
                    is_quoted = 0;
                    continue;
                }
                from++;
            }
            *to++ = *from;
        }
        const char end = *from;
        if (to > fields[n - 1] && to[-1] == '\r' && end != ',')
            to--;
        *to = '\0';
        from += end != '\0';
        if (end != ',') {
            *next_out = from;
            return n;
        }
    }
}

static int number_parse(const char *text, intmax_t *number_out)
{
    char *end;
    errno = 0;
    *number_out = strtoimax(text, &end, 10);
    return text[0] != '\0' && *end == '\0' && errno == 0;
}

enum { RANK, ROW, PATH_SUM, SELECTED_BY, N_WANTED, P_BY = N_WANTED, N_KNOWN };

/* One line; `at` has the places of what is wanted. */
static int pick_of_csv(char *const *fields, size_t n_fields, const size_t *at, struct avvik_flags *flags,
                       struct avvik_pick *pick)
{
    intmax_t row, rank = 0, path_sum;
    for (int i = 0; i < N_WANTED; i++)
        if (at[i] >= n_fields)
            return 0;
    if (!number_parse(fields[at[ROW]], &row) || row < 0 || !number_parse(fields[at[PATH_SUM]], &path_sum) ||
        path_sum < 0 || path_sum > INT32_MAX ||
        (fields[at[RANK]][0] != '\0' && (!number_parse(fields[at[RANK]], &rank) || rank < 1)))
        return 0;
    if (at[P_BY] < n_fields && !avvik_p_by_parse(fields[at[P_BY]], &flags->p_by))
        return 0;
    const int is_random = strcmp(fields[at[SELECTED_BY]], "random") == 0;
    *pick = (struct avvik_pick){(uint64_t)row, (uint64_t)rank, is_random, (int32_t)path_sum};
    return is_random || detector_parse(fields[at[SELECTED_BY]], &flags->by);
}

static enum avvik_status csv_take(const char *path, char *text, struct avvik_flags *flags, struct avvik_error *error)
{
    static const char *const wanted[N_KNOWN] = {"rank", "row", "path_sum", "selected_by", "p_by"};
    enum avvik_status status = AVVIK_OK;
    char *fields[MAX_FIELDS], *line;
    size_t at[N_KNOWN], n_fields = csv_cut(text, fields, &line), capacity = 0;
    for (int i = 0; i < N_KNOWN; i++) {
        for (at[i] = 0; at[i] < n_fields && strcmp(fields[at[i]], wanted[i]) != 0;)
            at[i]++;
        if (at[i] == n_fields && i < N_WANTED)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is no list of `avvik flag`: its first line has no '%s'", path,
                       wanted[i]);
    }
    flags->by = AVVIK_BY_COMBINED;
    while (*line != '\0') {
        if (flags->n_picks == capacity) {
            capacity = capacity == 0 ? 256 : 2 * capacity;
            void *larger = realloc(flags->picks, capacity * sizeof *flags->picks);
            if (larger == NULL)
                AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
            flags->picks = larger;
        }
        n_fields = csv_cut(line, fields, &line);
        if (!pick_of_csv(fields, n_fields, at, flags, &flags->picks[flags->n_picks++]))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: line %zu is no case of a list of `avvik flag`", path,
                       flags->n_picks + 1);
    }
done:
    return status;
}

enum avvik_status avvik_flags_read(const char *path, struct avvik_flags *flags_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_flags flags = {0};
    char *text = NULL;
    size_t n = 0;
    AVVIK_TRY(text_read(path, &text, &n, error));
    if (text[strspn(text, " \t\r\n")] == '{')
        AVVIK_TRY(json_take(path, text, n, &flags, error));
    else
        AVVIK_TRY(csv_take(path, text, &flags, error));
    *flags_out = flags;
    flags = (struct avvik_flags){0};
done:
    avvik_flags_destroy(&flags);
    free(text);
    return status;
}

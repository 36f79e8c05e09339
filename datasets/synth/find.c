#include "avvik/find.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "calendar.h"
#include "country_mark.h"
#include "population.h"
#include "record_file.h"

#define BLOCK 65536u

/* A column of /person: read where a filter looks at it, and where somebody is found. */
enum column {
    BIRTH_DATE,
    SEX,
    MUNICIPALITY,
    BENEFITS,
    EVENTS,
    EMPLOYER,
    TYPOLOGY, /* of the truth */
    LOOK_ALIKE,
    NATIONAL_ID,
    PERSON,
    HOUSEHOLD,
    ACCOUNT,
    N_COLUMNS
};
static const struct {
    const char *path;
    enum avvik__type type;
    size_t size;
} kinds[N_COLUMNS] = {
    {"/person/birth_date", AVVIK_I32, 4}, {"/person/sex", AVVIK_U16, 2},        {"/person/municipality", AVVIK_U16, 2},
    {"/person/benefits", AVVIK_U16, 2},   {"/person/events", AVVIK_U16, 2},     {"/person/employer", AVVIK_U64, 8},
    {"/person/typology", AVVIK_U16, 2},   {"/person/look_alike", AVVIK_U16, 2}, {"/person/national_id", AVVIK_U64, 8},
    {"/person/person", AVVIK_U64, 8},     {"/person/household", AVVIK_U64, 8},  {"/person/account", AVVIK_U64, 8}};

struct search {
    const struct avvik_find_query *query;
    struct avvik_found_list *list;
    struct avvik__record *record, *truth;
    struct avvik__record_column *columns[N_COLUMNS]; /* NULL: not there */
    void *values[N_COLUMNS];                         /* BLOCK of each */
    int is_read[N_COLUMNS];                          /* of the block at hand */
    int is_filter[N_COLUMNS];
    uint64_t employer_hash;
    size_t capacity;
};

static enum avvik_status files_open(struct search *search, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_find_query *query = search->query;
    struct avvik__country_mark here, there;
    struct avvik__month last;
    AVVIK_TRY(avvik__record_open(path, "registry", &search->record, error));
    AVVIK_TRY(avvik__country_mark_get(search->record, path, &here, error));
    avvik__month_make(here.year, here.month, (int)here.n_months - 1, &last);
    search->list->last_day = last.last;
    search->list->n_registered = here.n_persons;
    if (query->truth == NULL && (query->typology >= 0 || query->look_alike >= 0))
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0,
                   "who belongs to a typology stands in the truth only; name it with --truth truth.h5");
    if (query->truth != NULL) {
        AVVIK_TRY(avvik__record_open(query->truth, "truth", &search->truth, error));
        AVVIK_TRY(avvik__country_mark_get(search->truth, query->truth, &there, error));
        if (!avvik__country_mark_is_same(&here, &there))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is the truth about another country than %s", query->truth, path);
    }
    for (int c = 0; c < N_COLUMNS; c++) {
        const int is_truth = c == TYPOLOGY || c == LOOK_ALIKE;
        if (is_truth && search->truth == NULL)
            continue;
        AVVIK_TRY(avvik__record_column_open(is_truth ? search->truth : search->record, kinds[c].path, kinds[c].type,
                                            here.n_persons, &search->columns[c], error));
        if ((search->values[c] = malloc(BLOCK * kinds[c].size)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    const int filters[] = {[BIRTH_DATE] = query->min_age > INT_MIN || query->max_age < INT_MAX,
                           [SEX] = query->sex >= 0,
                           [MUNICIPALITY] = query->municipality >= 0,
                           [BENEFITS] = query->benefits != 0,
                           [EVENTS] = query->events != 0,
                           [EMPLOYER] = query->employer != 0,
                           [TYPOLOGY] = query->typology >= 0,
                           [LOOK_ALIKE] = query->look_alike >= 0};
    memcpy(search->is_filter, filters, sizeof filters);
done:
    return status;
}

/* All organisation numbers and their hashes. */
static enum avvik_status employers_read(struct avvik__record *record, uint64_t *n_out, uint32_t **numbers_out,
                                        uint64_t **hashes_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    void *numbers = NULL, *hashes = NULL;
    AVVIK_TRY(avvik__record_dims(record, "/employer/organisation_number", 1, n_out, error));
    AVVIK_TRY(avvik__record_get(record, "/employer/organisation_number", AVVIK_U32, 1, n_out, &numbers, error));
    AVVIK_TRY(avvik__record_get(record, "/employer/employer", AVVIK_U64, 1, n_out, &hashes, error));
    *numbers_out = numbers;
    *hashes_out = hashes;
    numbers = hashes = NULL;
done:
    free(numbers);
    free(hashes);
    return status;
}

static enum avvik_status employer_resolve(struct search *search, const char *path, struct avvik_error *error)
{
    uint64_t n = 0, *hashes = NULL;
    uint32_t *numbers = NULL;
    if (search->query->employer == 0)
        return AVVIK_OK;
    enum avvik_status status = employers_read(search->record, &n, &numbers, &hashes, error);
    for (uint64_t i = 0; status == AVVIK_OK && i < n; i++)
        if (numbers[i] == search->query->employer)
            search->employer_hash = hashes[i];
    if (status == AVVIK_OK && search->employer_hash == 0)
        status = avvik__error_set(error, AVVIK_ERR_USAGE, 0, "%s: has no employer with the organisation number %09u",
                                  path, search->query->employer);
    free(numbers);
    free(hashes);
    return status;
}

static int matches(const struct search *search, size_t i)
{
    const struct avvik_find_query *query = search->query;
    void *const *values = search->values;
    if (search->is_filter[BENEFITS] && (((const uint16_t *)values[BENEFITS])[i] & query->benefits) != query->benefits)
        return 0;
    if (search->is_filter[EVENTS] && (((const uint16_t *)values[EVENTS])[i] & query->events) != query->events)
        return 0;
    if (search->is_filter[MUNICIPALITY] && ((const uint16_t *)values[MUNICIPALITY])[i] != query->municipality)
        return 0;
    if (search->is_filter[SEX] && ((const uint16_t *)values[SEX])[i] != query->sex)
        return 0;
    if (search->is_filter[EMPLOYER] && ((const uint64_t *)values[EMPLOYER])[i] != search->employer_hash)
        return 0;
    if (search->is_filter[TYPOLOGY] && ((const uint16_t *)values[TYPOLOGY])[i] != query->typology)
        return 0;
    if (search->is_filter[LOOK_ALIKE] && ((const uint16_t *)values[LOOK_ALIKE])[i] != query->look_alike)
        return 0;
    if (search->is_filter[BIRTH_DATE]) {
        const int age = avvik__age_on(((const int32_t *)values[BIRTH_DATE])[i], search->list->last_day);
        return age >= query->min_age && age <= query->max_age;
    }
    return 1;
}

/* Read a column of the block at hand, or the filters' columns of the next one. */
static enum avvik_status column_read(struct search *search, int c, size_t n_rows, struct avvik_error *error)
{
    if (search->is_read[c] || search->columns[c] == NULL)
        return AVVIK_OK;
    search->is_read[c] = 1;
    return avvik__record_column_read(search->columns[c], search->values[c], n_rows, error);
}

static enum avvik_status found_add(struct search *search, uint64_t row, size_t i, size_t n_rows,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_found_list *list = search->list;
    void *const *values = search->values;
    for (int c = 0; c < N_COLUMNS; c++)
        AVVIK_TRY(column_read(search, c, n_rows, error));
    if (list->n_persons == search->capacity) {
        const size_t capacity = search->capacity == 0 ? 64 : 2 * search->capacity;
        void *larger = realloc(list->persons, capacity * sizeof *list->persons);
        if (larger == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for %zu persons; lower --limit", capacity);
        list->persons = larger;
        search->capacity = capacity;
    }
    struct avvik_found *found = &list->persons[list->n_persons++];
    *found = (struct avvik_found){.row = row,
                                  .national_id = ((const uint64_t *)values[NATIONAL_ID])[i],
                                  .person = ((const uint64_t *)values[PERSON])[i],
                                  .household = ((const uint64_t *)values[HOUSEHOLD])[i],
                                  .account = ((const uint64_t *)values[ACCOUNT])[i],
                                  .birth_date = ((const int32_t *)values[BIRTH_DATE])[i],
                                  .sex = ((const uint16_t *)values[SEX])[i],
                                  .municipality = ((const uint16_t *)values[MUNICIPALITY])[i],
                                  .benefits = ((const uint16_t *)values[BENEFITS])[i],
                                  .events = ((const uint16_t *)values[EVENTS])[i],
                                  .typology = -1,
                                  .look_alike = -1};
    found->age = avvik__age_on(found->birth_date, list->last_day);
    if (search->truth != NULL) {
        found->typology = ((const uint16_t *)values[TYPOLOGY])[i];
        found->look_alike = ((const uint16_t *)values[LOOK_ALIKE])[i];
    }
    found->employer_hash = ((const uint64_t *)values[EMPLOYER])[i];
done:
    return status;
}

static enum avvik_status persons_search(struct search *search, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_found_list *list = search->list;
    for (uint64_t first = 0; first < list->n_registered; first += BLOCK) {
        const uint64_t left = list->n_registered - first;
        const size_t n_rows = left < BLOCK ? (size_t)left : BLOCK;
        memset(search->is_read, 0, sizeof search->is_read);
        for (int c = 0; c < N_COLUMNS; c++)
            if (search->is_filter[c])
                AVVIK_TRY(column_read(search, c, n_rows, error));
        for (size_t i = 0; i < n_rows; i++)
            if (matches(search, i)) {
                if (list->n_matching++ < search->query->limit)
                    AVVIK_TRY(found_add(search, first + i, i, n_rows, error));
            }
        for (int c = 0; c < N_COLUMNS; c++)
            if (!search->is_read[c] && search->columns[c] != NULL)
                avvik__record_column_skip(search->columns[c], n_rows);
    }
done:
    return status;
}

struct named {
    uint64_t hash;
    size_t person; /* in the list */
};

static int named_compare(const void *a, const void *b)
{
    const uint64_t left = ((const struct named *)a)->hash, right = ((const struct named *)b)->hash;
    return left < right ? -1 : left > right;
}

/* The organisation numbers of those who were found. */
static enum avvik_status employers_name(const struct search *search, struct avvik_error *error)
{
    struct avvik_found_list *list = search->list;
    uint64_t n = 0, *hashes = NULL;
    uint32_t *numbers = NULL;
    struct named *named = malloc((list->n_persons + 1) * sizeof *named);
    if (named == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < list->n_persons; i++)
        named[i] = (struct named){list->persons[i].employer_hash, i};
    qsort(named, list->n_persons, sizeof *named, named_compare);
    const enum avvik_status status = employers_read(search->record, &n, &numbers, &hashes, error);
    for (uint64_t e = 0; status == AVVIK_OK && e < n; e++) {
        size_t low = 0, high = list->n_persons; /* the first with this hash */
        while (low < high) {
            const size_t middle = low + (high - low) / 2;
            if (named[middle].hash < hashes[e])
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < list->n_persons && named[low].hash == hashes[e]; low++)
            list->persons[named[low].person].employer = numbers[e];
    }
    free(numbers);
    free(hashes);
    free(named);
    return status;
}

enum avvik_status avvik_find(const char *path, const struct avvik_find_query *query, struct avvik_found_list *list_out,
                             struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_found_list list = {0};
    struct search search = {.query = query, .list = &list};
    AVVIK_TRY(files_open(&search, path, error));
    AVVIK_TRY(employer_resolve(&search, path, error));
    AVVIK_TRY(persons_search(&search, error));
    AVVIK_TRY(employers_name(&search, error));
    *list_out = list;
    list.persons = NULL;
done:
    free(list.persons);
    for (int c = 0; c < N_COLUMNS; c++)
        free(search.values[c]);
    avvik__record_close(search.record);
    avvik__record_close(search.truth);
    return status;
}

void avvik_found_list_destroy(struct avvik_found_list *list)
{
    free(list->persons);
    *list = (struct avvik_found_list){0};
}

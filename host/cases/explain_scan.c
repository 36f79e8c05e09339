/* One pass over all rows of the batches, for what single rows cannot tell: how many peers have a smaller value, and
 * what else there is of the same person or business. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "explain_run.h"
#include "signed_log.h"

#define BLOCK_ROWS 65536
#define NO_LIST UINT32_MAX

/* A value of a case, which is compared with those of its group. */
struct place {
    uint32_t group, feature;
    float value;
    struct avvik_reason *reason;
};

/* The places of one group and feature, ascending: counts[i] is of values that the i-th is the first not to be below. */
struct list {
    uint32_t group, feature;
    size_t first, n;
    uint64_t *counts; /* n + 1 */
};

/* A case by whose row it is. */
struct owner {
    uint64_t entity;
    struct avvik_explanation *explanation;
};

struct scan {
    struct avvik__explain_run *run;
    struct avvik_source *source;
    struct avvik__cell_reader *cells;
    size_t entity, time; /* columns; SIZE_MAX: none */
    struct place *places;
    size_t n_places;
    struct list *lists;
    size_t n_lists;
    uint64_t *counts;
    uint32_t *list_of_group; /* the first of each group's lists; they stand side by side */
    uint32_t n_groups;
    struct owner *owners;
    size_t n_owners;
    float *columns;
    struct avvik_cell *block;
};

static int place_compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->feature != y->feature)
        return x->feature < y->feature ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

static int owner_compare(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    return (x->entity > y->entity) - (x->entity < y->entity);
}

static int moment_compare(const void *a, const void *b)
{
    const struct avvik_moment *x = a, *y = b;
    const int64_t left = x->time.value.as_signed, right = y->time.value.as_signed;
    return left != right ? (left > right) - (left < right) : (x->row > y->row) - (x->row < y->row);
}

/* The reasons that are told of become places, and places lists. */
static enum avvik_status lists_make(struct scan *scan, struct avvik_error *error)
{
    struct avvik_explanations *all = scan->run->explanations;
    const size_t told = all->n_reasons < all->n_features ? all->n_reasons : all->n_features;
    scan->n_groups = all->model->peers.n_keys == 0 ? 1 : all->model->peers.groups.n;
    scan->places = calloc(all->n_rows * told + 1, sizeof *scan->places);
    scan->lists = calloc(all->n_rows * told + 1, sizeof *scan->lists);
    scan->counts = calloc(2 * all->n_rows * told + 1, sizeof *scan->counts);
    scan->list_of_group = malloc(scan->n_groups * sizeof *scan->list_of_group);
    scan->owners = calloc(all->n_rows, sizeof *scan->owners);
    scan->columns = malloc((all->n_features + all->n_keys) * BLOCK_ROWS * sizeof *scan->columns);
    scan->block = malloc(BLOCK_ROWS * sizeof *scan->block);
    if (scan->places == NULL || scan->lists == NULL || scan->counts == NULL || scan->list_of_group == NULL ||
        scan->owners == NULL || scan->columns == NULL || scan->block == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    memset(scan->list_of_group, 0xff, scan->n_groups * sizeof *scan->list_of_group);
    for (size_t i = 0; i < all->n_rows; i++) {
        struct avvik_explanation *one = &all->rows[i];
        for (size_t k = 0; k < told; k++) {
            const float value = one->values[one->reasons[k].feature];
            if (isfinite(value))
                scan->places[scan->n_places++] =
                    (struct place){one->group, one->reasons[k].feature, avvik__flush(value), &one->reasons[k]};
        }
        if (one->entity.kind != AVVIK_CELL_MISSING)
            scan->owners[scan->n_owners++] = (struct owner){one->entity.value.as_unsigned, one};
    }
    qsort(scan->places, scan->n_places, sizeof *scan->places, place_compare);
    qsort(scan->owners, scan->n_owners, sizeof *scan->owners, owner_compare);
    for (size_t i = 0; i < scan->n_places; i++) {
        const struct place *place = &scan->places[i];
        struct list *list = scan->n_lists == 0 ? NULL : &scan->lists[scan->n_lists - 1];
        if (list == NULL || list->group != place->group || list->feature != place->feature) {
            if (scan->list_of_group[place->group] == NO_LIST)
                scan->list_of_group[place->group] = (uint32_t)scan->n_lists;
            scan->lists[scan->n_lists] =
                (struct list){place->group, place->feature, i, 0, scan->counts + i + scan->n_lists};
            list = &scan->lists[scan->n_lists++];
        }
        list->n++;
    }
    return AVVIK_OK;
}

/* The places of a list that are below x. */
static size_t places_below(const struct scan *scan, const struct list *list, float x)
{
    size_t low = 0, high = list->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (scan->places[list->first + middle].value < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Count a row in its group and in every group around it. */
static void row_count(const struct scan *scan, const float *row)
{
    const struct avvik__peers *peers = &scan->run->model->peers;
    const size_t n_features = scan->run->model->n_features;
    uint32_t group = peers->n_keys == 0 ? 0
                                        : avvik__groups_of_row(&peers->groups, row + n_features * BLOCK_ROWS,
                                                               BLOCK_ROWS, peers->n_keys);
    for (;; group = peers->groups.parent[group]) {
        for (size_t i = scan->list_of_group[group]; i < scan->n_lists && scan->lists[i].group == group; i++) {
            const float x = row[scan->lists[i].feature * BLOCK_ROWS];
            if (isfinite(x))
                scan->lists[i].counts[places_below(scan, &scan->lists[i], avvik__flush(x))]++;
        }
        if (group == 0)
            return;
    }
}

/* A row of somebody who has cases. */
static enum avvik_status moment_add(const struct scan *scan, struct avvik_explanation *one, uint64_t row,
                                    struct avvik_error *error)
{
    struct avvik_moment *larger = one->timeline;
    if ((one->n_timeline & (one->n_timeline + 1)) == 0) /* 0, 1, 3, 7, ...: room for as many again */
        larger = realloc(one->timeline, 2 * (one->n_timeline + 1) * sizeof *larger);
    if (larger == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    one->timeline = larger;
    struct avvik_moment *moment = &one->timeline[one->n_timeline];
    *moment = (struct avvik_moment){.row = row};
    const size_t feature =
        avvik__cells_find(scan->cells, scan->run->explanations->features[one->reasons[0].feature].name);
    enum avvik_status status = avvik__cells_read(scan->cells, scan->time, row, 1, &moment->time, error);
    if (status == AVVIK_OK)
        status = avvik__cells_read(scan->cells, feature, row, 1, &moment->value, error);
    if (status == AVVIK_OK && moment->time.kind == AVVIK_CELL_SIGNED && one->n_timeline < AVVIK_MAX_MOMENTS)
        one->n_timeline++;
    return status;
}

static enum avvik_status entities_look(const struct scan *scan, uint64_t first, size_t n, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    AVVIK_TRY(avvik__cells_read(scan->cells, scan->entity, first, n, scan->block, error));
    for (size_t r = 0; r < n; r++) {
        const uint64_t entity = scan->block[r].value.as_unsigned;
        size_t low = 0, high = scan->n_owners;
        if (scan->block[r].kind == AVVIK_CELL_MISSING)
            continue;
        while (low < high) {
            const size_t middle = low + (high - low) / 2;
            if (scan->owners[middle].entity < entity)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < scan->n_owners && scan->owners[low].entity == entity; low++)
            AVVIK_TRY(moment_add(scan, scan->owners[low].explanation, first + r, error));
    }
done:
    return status;
}

/* The batches of all score files, read as if they were one: rows have the numbers that they have there. */
static enum avvik_status batches_open(struct scan *scan, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__explain_run *run = scan->run;
    const struct avvik_model *model = run->model;
    const struct avvik_explanations *all = run->explanations;
    const char *const *paths = run->options->inputs != NULL ? run->options->inputs : (const char *const *)all->inputs;
    const char *features[UINT16_MAX], *keys[AVVIK_MAX_KEYS];
    for (uint32_t f = 0; f < model->n_features; f++)
        features[f] = model->features[f].name;
    for (uint32_t k = 0; k < model->peers.n_keys; k++)
        keys[k] = model->peers.keys[k];
    const struct avvik_selection selection = {all->table, features, model->n_features, keys, model->peers.n_keys};
    AVVIK_TRY(avvik_source_open(paths, all->n_inputs, &selection, &scan->source, error));
    AVVIK_TRY(avvik__cells_open(paths, all->n_inputs, all->table, &scan->cells, error));
    scan->entity = all->entity.name == NULL ? SIZE_MAX : avvik__cells_find(scan->cells, all->entity.name);
    scan->time = all->time.name == NULL ? SIZE_MAX : avvik__cells_find(scan->cells, all->time.name);
done:
    return status;
}

static void results_take(struct scan *scan)
{
    struct avvik_explanations *all = scan->run->explanations;
    for (size_t i = 0; i < scan->n_lists; i++) {
        const struct list *list = &scan->lists[i];
        uint64_t at_most = 0, total = 0;
        for (size_t k = 0; k <= list->n; k++)
            total += list->counts[k];
        for (size_t k = 0; k < list->n; k++) {
            struct avvik_reason *reason = scan->places[list->first + k].reason;
            at_most += list->counts[k];
            reason->percentile = total == 0 ? NAN : 100.0 * (double)at_most / (double)total;
            reason->percentile_rows = total;
        }
    }
    for (size_t i = 0; i < all->n_rows; i++)
        if (all->rows[i].n_timeline > 0)
            qsort(all->rows[i].timeline, all->rows[i].n_timeline, sizeof *all->rows[i].timeline, moment_compare);
}

enum avvik_status avvik__explain_scan(struct avvik__explain_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct scan scan = {.run = run};
    AVVIK_TRY(batches_open(&scan, error));
    AVVIK_TRY(lists_make(&scan, error));
    const uint64_t n_rows = avvik_source_n_rows(scan.source);
    for (uint64_t first = 0; first < n_rows; first += BLOCK_ROWS) {
        const size_t n = n_rows - first < BLOCK_ROWS ? (size_t)(n_rows - first) : BLOCK_ROWS;
        if (avvik__is_stopped(run->options->stop))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        AVVIK_TRY(avvik_source_read(scan.source, first, n, scan.columns, BLOCK_ROWS, error));
        for (size_t r = 0; r < n; r++)
            row_count(&scan, scan.columns + r);
        if (scan.entity != SIZE_MAX && scan.time != SIZE_MAX && scan.n_owners > 0)
            AVVIK_TRY(entities_look(&scan, first, n, error));
    }
    results_take(&scan);
done:
    avvik_source_close(scan.source);
    avvik__cells_close(scan.cells);
    free(scan.places);
    free(scan.lists);
    free(scan.counts);
    free(scan.list_of_group);
    free(scan.owners);
    free(scan.columns);
    free(scan.block);
    return status;
}

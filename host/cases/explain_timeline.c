#include "explain_timeline.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "avvik_internal.h"
#include "hash_text.h"

#define BLOCK_ROWS 65536
#define MOST ((size_t)AVVIK_MAX_MOMENTS)

/* A case by whose row it is. */
struct owner {
    uint64_t entity;
    struct avvik_explanation *explanation;
    size_t room;
};

struct avvik__timelines {
    struct avvik__explain_run *run;
    struct owner *owners; /* ascending */
    size_t n_owners;
    struct avvik_cell *block;
};

/* Where rows are read from. */
struct place {
    struct avvik__cell_reader *cells;
    size_t entity, time; /* columns */
    int is_earlier;
    size_t input; /* of an earlier batch: its number behind the inputs */
};

void avvik__timelines_close(struct avvik__timelines *timelines)
{
    if (timelines == NULL)
        return;
    free(timelines->owners);
    free(timelines->block);
    free(timelines);
}

static int owner_compare(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    if (x->entity != y->entity)
        return x->entity < y->entity ? -1 : 1;
    return (x->explanation > y->explanation) - (x->explanation < y->explanation);
}

enum avvik_status avvik__timelines_open(struct avvik__explain_run *run, struct avvik__timelines **timelines_out,
                                        struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_explanations *all = run->explanations;
    *timelines_out = NULL;
    if (all->entity.name == NULL || all->time.name == NULL)
        return AVVIK_OK;
    struct avvik__timelines *timelines = calloc(1, sizeof *timelines);
    if (timelines == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    timelines->run = run;
    timelines->owners = calloc(all->n_rows, sizeof *timelines->owners);
    timelines->block = malloc(BLOCK_ROWS * sizeof *timelines->block);
    if (timelines->owners == NULL || timelines->block == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < all->n_rows; i++)
        if (all->rows[i].entity.kind != AVVIK_CELL_MISSING)
            timelines->owners[timelines->n_owners++] =
                (struct owner){all->rows[i].entity.value.as_unsigned, &all->rows[i], 0};
    if (timelines->n_owners == 0)
        goto done;
    qsort(timelines->owners, timelines->n_owners, sizeof *timelines->owners, owner_compare);
    *timelines_out = timelines;
    timelines = NULL;
done:
    avvik__timelines_close(timelines);
    return status;
}

/* By time; then earlier batches first, in the order they are named; then by row. */
static int moment_compare(const void *a, const void *b)
{
    const struct avvik_moment *x = a, *y = b;
    if (x->time.value.as_signed != y->time.value.as_signed)
        return x->time.value.as_signed < y->time.value.as_signed ? -1 : 1;
    if (x->is_earlier != y->is_earlier)
        return x->is_earlier ? -1 : 1;
    if (x->input != y->input)
        return x->input < y->input ? -1 : 1;
    return (x->input_row > y->input_row) - (x->input_row < y->input_row);
}

static int is_same_row(const struct avvik_moment *a, const struct avvik_moment *b)
{
    return a->time.value.as_signed == b->time.value.as_signed && a->content == b->content;
}

/* Rows that are the same next to one another: those of the inputs first, then of the batches in the order of their
 * names. */
static int sameness_compare(const void *a, const void *b)
{
    const struct avvik_moment *x = a, *y = b;
    if (x->time.value.as_signed != y->time.value.as_signed)
        return x->time.value.as_signed < y->time.value.as_signed ? -1 : 1;
    if (x->content != y->content)
        return x->content < y->content ? -1 : 1;
    if (x->is_earlier != y->is_earlier)
        return x->is_earlier ? 1 : -1;
    return moment_compare(a, b);
}

/* Batches may overlap. Of a row that several have, as many stay as the one has that has most of them: a person may well
 * be paid the same twice a day. */
static void repeated_drop(struct avvik_explanation *one)
{
    struct avvik_moment *moments = one->timeline;
    struct avvik_moment before = {0};
    size_t n = 0, n_kept = 0, n_here = 0; /* of one row: kept, and seen in the batch at hand */
    qsort(moments, one->n_timeline, sizeof *moments, sameness_compare);
    for (size_t i = 0; i < one->n_timeline; i++) {
        const struct avvik_moment moment = moments[i];
        if (i == 0 || !is_same_row(&before, &moment))
            n_kept = n_here = 0;
        else if (moment.is_earlier && (!before.is_earlier || before.input != moment.input))
            n_here = 0;
        if (++n_here > n_kept) {
            moments[n++] = moment;
            n_kept++;
        }
        before = moment;
    }
    one->n_timeline = n;
}

/* Keep the last ones, and the case itself. */
static void moments_order(struct avvik_explanation *one)
{
    struct avvik_moment *moments = one->timeline;
    repeated_drop(one);
    qsort(moments, one->n_timeline, sizeof *moments, moment_compare);
    if (one->n_timeline <= MOST)
        return;
    const size_t n_before = one->n_timeline - MOST;
    for (size_t i = 0; i < n_before; i++)
        if (!moments[i].is_earlier && moments[i].row == one->pick.row)
            moments[n_before] = moments[i];
    memmove(moments, moments + n_before, MOST * sizeof *moments);
    one->n_timeline = MOST;
}

/* What tells a row from others: all its values that may be read, with the names of their columns, in any order. */
static enum avvik_status content_find(struct avvik__cell_reader *cells, uint64_t row, uint64_t *content_out,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    size_t n_columns;
    const struct avvik__cell_column *columns = avvik__cells_columns(cells, &n_columns);
    *content_out = 0;
    for (size_t c = 0; c < n_columns; c++) {
        struct {
            uint64_t bits;
            char is_real, is_missing, name[AVVIK_NAME_SIZE];
        } one;
        struct avvik_cell cell;
        if (columns[c].use == AVVIK_USE_NONE)
            continue;
        AVVIK_TRY(avvik__cells_read(cells, c, row, 1, &cell, error));
        memset(&one, 0, sizeof one); /* padding, too */
        one.is_missing = cell.kind == AVVIK_CELL_MISSING;
        one.is_real = cell.kind == AVVIK_CELL_REAL;
        one.bits = one.is_missing ? 0 : cell.value.as_unsigned;
        memcpy(one.name, columns[c].name, sizeof one.name);
        *content_out += XXH3_128bits(&one, sizeof one).low64;
    }
done:
    return status;
}

/* A row of somebody who has cases. */
static enum avvik_status moment_add(const struct avvik__timelines *timelines, const struct place *place,
                                    struct owner *owner, uint64_t row, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_explanations *all = timelines->run->explanations;
    struct avvik_explanation *one = owner->explanation;
    struct avvik_moment moment = {.is_earlier = place->is_earlier, .input = place->input, .input_row = row};
    const size_t feature = avvik__cells_find(place->cells, all->features[one->reasons[0].feature].name);
    if (!place->is_earlier) {
        moment.row = row;
        moment.input = 0;
        while (moment.input + 1 < all->n_inputs && row >= all->input_rows[moment.input + 1])
            moment.input++;
        moment.input_row = row - all->input_rows[moment.input];
    }
    AVVIK_TRY(avvik__cells_read(place->cells, place->time, row, 1, &moment.time, error));
    if (feature != SIZE_MAX)
        AVVIK_TRY(avvik__cells_read(place->cells, feature, row, 1, &moment.value, error));
    if (moment.time.kind != AVVIK_CELL_SIGNED)
        return AVVIK_OK;
    if (timelines->run->options->n_history > 0)
        AVVIK_TRY(content_find(place->cells, row, &moment.content, error));
    if (one->n_timeline == owner->room) {
        if (owner->room == 2 * MOST)
            moments_order(one);
        else {
            const size_t room = owner->room == 0 ? 16 : 2 * owner->room < 2 * MOST ? 2 * owner->room : 2 * MOST;
            struct avvik_moment *larger = realloc(one->timeline, room * sizeof *larger);
            if (larger == NULL)
                AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
            one->timeline = larger;
            owner->room = room;
        }
    }
    one->timeline[one->n_timeline++] = moment;
done:
    return status;
}

static enum avvik_status rows_look(const struct avvik__timelines *timelines, const struct place *place, uint64_t first,
                                   size_t n_rows, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    for (size_t n; n_rows > 0; first += n, n_rows -= n) {
        n = n_rows < BLOCK_ROWS ? n_rows : BLOCK_ROWS;
        if (avvik__is_stopped(timelines->run->options->stop))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        AVVIK_TRY(avvik__cells_read(place->cells, place->entity, first, n, timelines->block, error));
        for (size_t r = 0; r < n; r++) {
            const uint64_t entity = timelines->block[r].value.as_unsigned;
            size_t low = 0, high = timelines->n_owners;
            if (timelines->block[r].kind == AVVIK_CELL_MISSING)
                continue;
            while (low < high) {
                const size_t middle = low + (high - low) / 2;
                if (timelines->owners[middle].entity < entity)
                    low = middle + 1;
                else
                    high = middle;
            }
            for (; low < timelines->n_owners && timelines->owners[low].entity == entity; low++)
                AVVIK_TRY(moment_add(timelines, place, &timelines->owners[low], first + r, error));
        }
    }
done:
    return status;
}

enum avvik_status avvik__timelines_look(struct avvik__timelines *timelines, struct avvik__cell_reader *cells,
                                        uint64_t first, size_t n, struct avvik_error *error)
{
    const struct avvik_explanations *all = timelines->run->explanations;
    const struct place place = {.cells = cells,
                                .entity = avvik__cells_find(cells, all->entity.name),
                                .time = avvik__cells_find(cells, all->time.name)};
    return rows_look(timelines, &place, first, n, error);
}

/* A column of an earlier batch that is there, may be read, and is in the units that the inputs have. */
static enum avvik_status column_find(const struct avvik__cell_reader *cells, const char *path,
                                     const struct avvik_explained_column *wanted, int is_needed, size_t *place_out,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    size_t n;
    const struct avvik__cell_column *columns = avvik__cells_columns(cells, &n);
    *place_out = avvik__cells_find(cells, wanted->name);
    if (*place_out == SIZE_MAX && !is_needed)
        goto done;
    if (*place_out == SIZE_MAX)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: an earlier batch without a column '%s' of numbers", path, wanted->name);
    if (columns[*place_out].use == AVVIK_USE_NONE)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: column '%s' is declared %s, and may not be shown", path, wanted->name,
                   columns[*place_out].role);
    if (strcmp(columns[*place_out].units, wanted->units) != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: column '%s' is in '%s', and in '%s' in the batch that is explained", path,
                   wanted->name, columns[*place_out].units, wanted->units);
done:
    return status;
}

/* Is this file one of the inputs, by whatever name? */
static int is_input(const struct avvik__explain_run *run, const char *path)
{
    struct stat earlier, input;
    const struct avvik_explanations *all = run->explanations;
    const char *const *inputs = run->options->inputs != NULL ? run->options->inputs : (const char *const *)all->inputs;
    if (stat(path, &earlier) != 0)
        return 0;
    for (size_t i = 0; i < all->n_inputs; i++)
        if (stat(inputs[i], &input) == 0 && input.st_dev == earlier.st_dev && input.st_ino == earlier.st_ino)
            return 1;
    return 0;
}

static enum avvik_status earlier_look(struct avvik__timelines *timelines, size_t number, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_explanations *all = timelines->run->explanations;
    const char *path = timelines->run->options->history[number];
    struct place place = {.is_earlier = 1, .input = number};
    size_t unused;
    if (is_input(timelines->run, path))
        return AVVIK_OK;
    AVVIK_TRY(avvik__cells_open(&path, 1, all->table, &place.cells, error));
    AVVIK_TRY(column_find(place.cells, path, &all->entity, 1, &place.entity, error));
    AVVIK_TRY(column_find(place.cells, path, &all->time, 1, &place.time, error));
    for (size_t i = 0; i < timelines->n_owners; i++)
        AVVIK_TRY(column_find(place.cells, path, &all->features[timelines->owners[i].explanation->reasons[0].feature],
                              0, &unused, error));
    AVVIK_TRY(rows_look(timelines, &place, 0, avvik__cells_rows(place.cells), error));
done:
    avvik__cells_close(place.cells);
    return status;
}

enum avvik_status avvik__timelines_history(struct avvik__timelines *timelines, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    for (size_t i = 0; i < timelines->run->options->n_history; i++)
        AVVIK_TRY(earlier_look(timelines, i, error));
done:
    return status;
}

void avvik__timelines_finish(struct avvik__timelines *timelines)
{
    for (size_t i = 0; i < timelines->n_owners; i++)
        if (timelines->owners[i].explanation->n_timeline > 0)
            moments_order(timelines->owners[i].explanation);
}

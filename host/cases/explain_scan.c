/* One pass over all rows of the batches, for what single rows cannot tell: how many peers have a smaller value, how the
 * values of the peers lie, and what else there is of the same person or business. Threads count what they fetch; counts
 * are added up, and samples do not depend on who draws them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "block_pipeline.h"
#include "explain_run.h"
#include "explain_timeline.h"
#include "peer_sample.h"
#include "signed_log.h"
#include "source_plan.h"

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
    size_t count; /* of n + 1, the first */
};

/* What a thread has. */
struct worker {
    struct avvik__fetcher *fetcher;
    float *values; /* [column][piece_rows] */
    uint64_t *counts;
    struct avvik__peer_samples samples;
};

struct scan {
    struct avvik__explain_run *run;
    struct avvik_source *source;
    struct avvik__cell_reader *cells;
    struct avvik__timelines *timelines; /* NULL: there are none */
    struct place *places;
    size_t n_places;
    struct list *lists;
    size_t n_lists, n_counts;
    uint32_t *list_of_group; /* the first of each group's lists; they stand side by side */
    struct avvik__cut cut;
    struct avvik__plan **plans; /* [slot] */
    struct worker *workers;
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

/* The reasons that are told of become places, and places lists. */
static enum avvik_status lists_make(struct scan *scan, struct avvik_error *error)
{
    struct avvik_explanations *all = scan->run->explanations;
    const size_t told = all->n_reasons < all->n_features ? all->n_reasons : all->n_features;
    const uint32_t n_groups = all->model->peers.n_keys == 0 ? 1 : all->model->peers.groups.n;
    scan->places = calloc(all->n_rows * told + 1, sizeof *scan->places);
    scan->lists = calloc(all->n_rows * told + 1, sizeof *scan->lists);
    scan->list_of_group = malloc(n_groups * sizeof *scan->list_of_group);
    if (scan->places == NULL || scan->lists == NULL || scan->list_of_group == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    memset(scan->list_of_group, 0xff, n_groups * sizeof *scan->list_of_group);
    for (size_t i = 0; i < all->n_rows; i++)
        for (size_t k = 0; k < told; k++) {
            struct avvik_explanation *one = &all->rows[i];
            const float value = one->values[one->reasons[k].feature];
            if (isfinite(value))
                scan->places[scan->n_places++] =
                    (struct place){one->group, one->reasons[k].feature, avvik__flush(value), &one->reasons[k]};
        }
    qsort(scan->places, scan->n_places, sizeof *scan->places, place_compare);
    for (size_t i = 0; i < scan->n_places; i++) {
        const struct place *place = &scan->places[i];
        struct list *list = scan->n_lists == 0 ? NULL : &scan->lists[scan->n_lists - 1];
        if (list == NULL || list->group != place->group || list->feature != place->feature) {
            if (scan->list_of_group[place->group] == NO_LIST)
                scan->list_of_group[place->group] = (uint32_t)scan->n_lists;
            list = &scan->lists[scan->n_lists];
            *list = (struct list){place->group, place->feature, i, 0, i + scan->n_lists++};
        }
        list->n++;
    }
    scan->n_counts = scan->n_places + scan->n_lists;
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

/* Count a row in its group and in every group around it. values: of its columns, `stride` apart. */
static enum avvik_status row_count(const struct scan *scan, struct worker *worker, const float *values, size_t stride,
                                   uint64_t row, struct avvik_error *error)
{
    const struct avvik__peers *peers = &scan->run->model->peers;
    const size_t n_features = scan->run->model->n_features;
    uint32_t group = 0;
    if (peers->n_keys > 0)
        group = avvik__groups_of_row(&peers->groups, values + n_features * stride, stride, peers->n_keys);
    for (;; group = peers->groups.parent[group]) {
        for (size_t i = scan->list_of_group[group]; i < scan->n_lists && scan->lists[i].group == group; i++) {
            const struct list *list = &scan->lists[i];
            const float x = values[list->feature * stride];
            if (isfinite(x))
                worker->counts[list->count + places_below(scan, list, avvik__flush(x))]++;
        }
        const enum avvik_status status = avvik__peer_samples_add(&worker->samples, group, values, stride, row, error);
        if (status != AVVIK_OK || group == 0)
            return status;
    }
}

/* ---- The stages ---- */

static size_t rows_of_block(const struct scan *scan, uint64_t block)
{
    const uint64_t left = avvik_source_n_rows(scan->source) - block * scan->cut.block_rows;
    return left < scan->cut.block_rows ? (size_t)left : scan->cut.block_rows;
}

static enum avvik_status block_plan(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    const struct scan *scan = context;
    return avvik__plan_rows(scan->plans[slot], block * scan->cut.block_rows, rows_of_block(scan, block), 0, error);
}

static enum avvik_status block_count(void *context, unsigned worker_number, unsigned slot, uint64_t block,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct scan *scan = context;
    struct worker *worker = &scan->workers[worker_number];
    const size_t n_rows = rows_of_block(scan, block), stride = scan->cut.piece_rows;
    avvik__plan_decode(scan->plans[slot], worker->fetcher);
    for (size_t from = 0; from < n_rows; from += stride) {
        const size_t n = n_rows - from < stride ? n_rows - from : stride;
        AVVIK_TRY(avvik__plan_fetch(scan->plans[slot], worker->fetcher, from, n, worker->values, stride, 0, error));
        for (size_t r = 0; r < n; r++)
            AVVIK_TRY(
                row_count(scan, worker, worker->values + r, stride, block * scan->cut.block_rows + from + r, error));
    }
done:
    return status;
}

static enum avvik_status block_look(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    const struct scan *scan = context;
    (void)slot;
    return scan->timelines == NULL ? AVVIK_OK
                                   : avvik__timelines_look(scan->timelines, scan->cells, block * scan->cut.block_rows,
                                                           rows_of_block(scan, block), error);
}

/* ---- The whole ---- */

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
done:
    return status;
}

static enum avvik_status workers_make(struct scan *scan, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_explanations *all = scan->run->explanations;
    const struct avvik__needs needs = {.threads = scan->run->options->threads,
                                       .worker_bytes = scan->n_counts * sizeof(uint64_t)};
    AVVIK_TRY(avvik__rows_cut(scan->source, &needs, &scan->cut, error));
    scan->plans = calloc(scan->cut.n_slots, sizeof *scan->plans);
    scan->workers = calloc(scan->cut.n_workers, sizeof *scan->workers);
    if (scan->plans == NULL || scan->workers == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (unsigned i = 0; i < scan->cut.n_slots; i++)
        AVVIK_TRY(avvik__plan_create(scan->source, scan->cut.block_rows, &scan->plans[i], error));
    for (unsigned i = 0; i < scan->cut.n_workers; i++) {
        struct worker *worker = &scan->workers[i];
        AVVIK_TRY(avvik__fetcher_create(scan->source, &worker->fetcher, error));
        AVVIK_TRY(avvik__peer_samples_init(&worker->samples, all, error));
        worker->values =
            avvik__aligned_alloc(avvik__source_n_columns(scan->source) * scan->cut.piece_rows, sizeof(float));
        worker->counts = calloc(scan->n_counts + 1, sizeof *worker->counts);
        if (worker->values == NULL || worker->counts == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    }
done:
    return status;
}

/* What the threads have counted, and drawn, becomes the first thread's, and the explanations'. */
static enum avvik_status results_take(struct scan *scan, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct worker *all = &scan->workers[0];
    for (unsigned w = 1; w < scan->cut.n_workers; w++) {
        for (size_t k = 0; k < scan->n_counts; k++)
            all->counts[k] += scan->workers[w].counts[k];
        AVVIK_TRY(avvik__peer_samples_merge(&all->samples, &scan->workers[w].samples, error));
    }
    AVVIK_TRY(avvik__peer_samples_tell(&all->samples, scan->run->explanations, error));
    for (size_t i = 0; i < scan->n_lists; i++) {
        const struct list *list = &scan->lists[i];
        const uint64_t *counts = all->counts + list->count;
        uint64_t at_most = 0, total = 0;
        for (size_t k = 0; k <= list->n; k++)
            total += counts[k];
        for (size_t k = 0; k < list->n; k++) {
            struct avvik_reason *reason = scan->places[list->first + k].reason;
            at_most += counts[k];
            reason->percentile = total == 0 ? NAN : 100.0 * (double)at_most / (double)total;
            reason->percentile_rows = total;
        }
    }
done:
    return status;
}

static void scan_free(struct scan *scan)
{
    for (unsigned i = 0; scan->plans != NULL && i < scan->cut.n_slots; i++)
        avvik__plan_free(scan->plans[i]);
    for (unsigned i = 0; scan->workers != NULL && i < scan->cut.n_workers; i++) {
        avvik__fetcher_free(scan->workers[i].fetcher);
        avvik__peer_samples_free(&scan->workers[i].samples);
        free(scan->workers[i].values);
        free(scan->workers[i].counts);
    }
    free(scan->plans);
    free(scan->workers);
    avvik__timelines_close(scan->timelines);
    avvik_source_close(scan->source);
    avvik__cells_close(scan->cells);
    free(scan->places);
    free(scan->lists);
    free(scan->list_of_group);
}

enum avvik_status avvik__explain_scan(struct avvik__explain_run *run, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct scan scan = {.run = run};
    AVVIK_TRY(batches_open(&scan, error));
    AVVIK_TRY(lists_make(&scan, error));
    AVVIK_TRY(avvik__timelines_open(run, &scan.timelines, error));
    AVVIK_TRY(workers_make(&scan, error));
    const uint64_t n_rows = avvik_source_n_rows(scan.source);
    struct avvik__pipeline pipeline = {.n_blocks = (n_rows + scan.cut.block_rows - 1) / scan.cut.block_rows,
                                       .n_workers = scan.cut.n_workers,
                                       .n_slots = scan.cut.n_slots,
                                       .context = &scan,
                                       .plan = block_plan,
                                       .work = block_count,
                                       .write = block_look,
                                       .stop = run->options->stop};
    AVVIK_TRY(avvik__pipeline_run(&pipeline, error));
    AVVIK_TRY(results_take(&scan, error));
    if (scan.timelines != NULL) {
        AVVIK_TRY(avvik__timelines_history(scan.timelines, error));
        avvik__timelines_finish(scan.timelines);
    }
done:
    scan_free(&scan);
    return status;
}

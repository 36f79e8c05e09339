/* The passes for medians and MADs: each worker keeps or counts for itself, the features are put together one by one
 * after each pass (median_search.h). What is found does not depend on the order of the rows, nor on who read them. */
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "fit_internal.h"

#define SIFTING_PASSES 3      /* columns for which there is no room until then are counted */
#define RUN_FLOATS (1u << 16) /* of the largest runs that kept values come in; the first are smaller */

/* Values that were kept, as long as there was room in this run. Columns grow by runs and not by doubling, so that next
 * to all of the memory is values. */
struct kept_run {
    struct kept_run *before;
    size_t capacity, n; /* n: once there is a newer one */
    float values[];
};

static uint64_t part_bytes(const struct avvik__median_search *search)
{
    return (avvik__search_needs_buckets(search) ? AVVIK_SEARCH_BUCKETS * sizeof(uint64_t) : 0) +
           (avvik__search_needs_exponents(search) ? AVVIK_SEARCH_EXPONENTS * sizeof(uint64_t) : 0);
}

/* What sifting a column is going to keep, with an eighth more than the sample says, and the runs that are begun. */
static uint64_t kept_bytes(const struct fit *fit, const struct avvik__median_search *search)
{
    const uint64_t begun = search->expected < RUN_FLOATS ? search->expected : RUN_FLOATS;
    return (search->expected + search->expected / 8 + fit->cut.n_workers * begun) * sizeof(float);
}

/* Which features take part in pass number `pass`: as many as there is memory for, and one at least. How many do.
 * Selecting takes as much again as the largest column, for each thread. */
static size_t features_choose(struct fit *fit, unsigned pass)
{
    size_t n = 0;
    uint64_t bytes = 0, largest = 0;
    for (size_t f = 0; f < fit->model->n_features; f++) {
        struct avvik__median_search *search = &fit->searches[f];
        fit->is_searched[f] = 0;
        if (search->phase == AVVIK_SEARCH_DONE)
            continue;
        uint64_t kept = search->phase == AVVIK_SEARCH_SIFT ? kept_bytes(fit, search) : 0;
        if (search->phase == AVVIK_SEARCH_SIFT && (pass > SIFTING_PASSES || 2 * kept > fit->memory_bytes)) {
            avvik__search_count(search);
            kept = 0;
        }
        const uint64_t needed = kept + fit->cut.n_workers * part_bytes(search);
        const uint64_t selecting = fit->cut.n_workers * (kept > largest ? kept : largest);
        if (n > 0 && bytes + needed + selecting > fit->memory_bytes)
            continue;
        fit->is_searched[f] = 1;
        bytes += needed;
        largest = kept > largest ? kept : largest;
        n++;
    }
    return n;
}

static void runs_free(struct kept_run *run)
{
    for (struct kept_run *before; run != NULL; run = before) {
        before = run->before;
        free(run);
    }
}

static void parts_free(struct fit *fit)
{
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        struct fit_worker *worker = &fit->workers[i];
        for (size_t f = 0; worker->parts != NULL && f < fit->model->n_features; f++) {
            free(worker->parts[f].buckets);
            free(worker->parts[f].exponents);
        }
        for (size_t f = 0; worker->runs != NULL && f < fit->model->n_features; f++)
            runs_free(worker->runs[f]);
        free(worker->parts);
        free(worker->runs);
        worker->parts = NULL;
        worker->runs = NULL;
    }
}

static int parts_make(struct fit *fit, uint64_t limit)
{
    const size_t n_features = fit->model->n_features;
    fit->kept_limit = limit;
    atomic_store(&fit->kept_bytes, 0);
    for (unsigned i = 0; i < fit->cut.n_workers; i++) {
        struct fit_worker *worker = &fit->workers[i];
        worker->parts = calloc(n_features, sizeof *worker->parts);
        worker->runs = calloc(n_features, sizeof *worker->runs);
        if (worker->parts == NULL || worker->runs == NULL)
            return 0;
        for (size_t f = 0; f < n_features; f++) {
            struct avvik__search_part *part = &worker->parts[f];
            const struct avvik__median_search *search = &fit->searches[f];
            part->next = UINT32_MAX;
            if (!fit->is_searched[f])
                continue;
            atomic_fetch_add(&fit->kept_bytes, part_bytes(search));
            if ((avvik__search_needs_buckets(search) &&
                 (part->buckets = calloc(AVVIK_SEARCH_BUCKETS, sizeof *part->buckets)) == NULL) ||
                (avvik__search_needs_exponents(search) &&
                 (part->exponents = calloc(AVVIK_SEARCH_EXPONENTS, sizeof *part->exponents)) == NULL))
                return 0;
        }
    }
    return 1;
}

/* Room for n more values; 0 if there is none, within the memory allowed or at all. */
static int part_grow(struct fit *fit, struct avvik__search_part *part, struct kept_run **newest, size_t n)
{
    struct kept_run *run = *newest;
    if (run != NULL && part->n_kept + n + AVVIK_LANES <= run->capacity)
        return 1;
    size_t capacity = run == NULL ? 0 : run->capacity < RUN_FLOATS / 2 ? 2 * run->capacity : RUN_FLOATS;
    capacity = capacity < n + AVVIK_LANES ? n + AVVIK_LANES : capacity;
    const size_t bytes = sizeof *run + capacity * sizeof(float);
    if (atomic_fetch_add(&fit->kept_bytes, bytes) + bytes > fit->kept_limit || (run = malloc(bytes)) == NULL)
        return 0;
    if (*newest != NULL)
        (*newest)->n = part->n_kept;
    *run = (struct kept_run){.before = *newest, .capacity = capacity};
    *newest = run;
    part->kept = run->values;
    part->n_kept = 0;
    return 1;
}

void avvik__fit_search_take(struct fit *fit, struct fit_worker *worker, size_t feature, const float *column,
                            size_t n_rows)
{
    if (!fit->is_searched[feature])
        return;
    struct avvik__search_part *part = &worker->parts[feature];
    if (fit->searches[feature].phase == AVVIK_SEARCH_SIFT && !part->is_full &&
        !part_grow(fit, part, &worker->runs[feature], n_rows))
        part->is_full = 1;
    if (!part->is_full)
        avvik__search_take(&fit->searches[feature], part, &fit->kernels, column, n_rows);
}

static enum avvik_status piece_search(struct fit *fit, unsigned number, uint64_t row, size_t n_rows,
                                      struct avvik_error *error)
{
    struct fit_worker *worker = &fit->workers[number];
    (void)row;
    (void)error;
    for (size_t f = 0; f < fit->model->n_features; f++)
        avvik__fit_search_take(fit, worker, f, worker->piece + f * fit->cut.piece_rows, n_rows);
    return AVVIK_OK;
}

/* Move what a worker has kept of a feature behind what is in `values` already; returns how many there are then. */
static size_t kept_move(struct fit_worker *worker, size_t f, float *values, size_t n_values)
{
    struct kept_run *run = worker->runs[f];
    if (run != NULL)
        run->n = worker->parts[f].n_kept;
    for (struct kept_run *before; run != NULL; run = before) {
        before = run->before;
        memcpy(values + n_values, run->values, run->n * sizeof *values);
        n_values += run->n;
        free(run);
    }
    worker->runs[f] = NULL;
    worker->parts[f].kept = NULL;
    worker->parts[f].n_kept = 0;
    return n_values;
}

static size_t kept_count(const struct fit_worker *worker, size_t f)
{
    size_t n = worker->parts[f].n_kept;
    for (const struct kept_run *run = worker->runs[f] == NULL ? NULL : worker->runs[f]->before; run != NULL;
         run = run->before)
        n += run->n;
    return n;
}

/* Put the workers' parts of one feature after the other together, and let its search go on. */
static void *features_advance(void *context)
{
    struct fit *fit = context;
    float *memory = NULL; /* used again: a thread's features keep about as much */
    size_t capacity = 0;
    for (size_t f; (f = atomic_fetch_add(&fit->next, 1)) < fit->model->n_features;) {
        if (!fit->is_searched[f])
            continue;
        struct avvik__search_part *all = &fit->workers[0].parts[f];
        size_t n_kept = 0, n_moved = 0;
        for (unsigned i = 0; i < fit->cut.n_workers; i++)
            n_kept += kept_count(&fit->workers[i], f);
        if (3 * (n_kept + AVVIK_LANES) > capacity) {
            free(memory);
            capacity = 3 * (n_kept + AVVIK_LANES);
            memory = malloc(capacity * sizeof *memory);
        }
        if (memory == NULL) {
            atomic_store(&fit->is_short, 1);
            break;
        }
        for (unsigned i = 0; i < fit->cut.n_workers; i++) {
            n_moved = kept_move(&fit->workers[i], f, memory, n_moved);
            if (i > 0)
                avvik__search_join(all, &fit->workers[i].parts[f]);
        }
        all->kept = memory;
        all->n_kept = n_moved;
        if (!avvik__search_advance(&fit->searches[f], all, &fit->kernels, memory + n_kept + AVVIK_LANES))
            atomic_store(&fit->has_changed, 1);
        all->kept = NULL;
        all->n_kept = 0;
    }
    free(memory);
    return NULL;
}

enum avvik_status avvik__fit_search_begin(struct fit *fit, size_t first, size_t n, uint64_t bytes,
                                          struct avvik_error *error)
{
    uint64_t needed = 0, largest = 0;
    memset(fit->is_searched, 0, fit->model->n_features);
    for (size_t f = first; fit->model->deviation == AVVIK_DEVIATION_ROBUST && f < first + n; f++) {
        const struct avvik__median_search *search = &fit->searches[f];
        const uint64_t kept = kept_bytes(fit, search);
        if (search->phase != AVVIK_SEARCH_SIFT)
            continue;
        fit->is_searched[f] = 1;
        needed += kept + fit->cut.n_workers * part_bytes(search);
        largest = kept > largest ? kept : largest;
    }
    if (needed + 3 * fit->cut.n_workers * largest > bytes)
        memset(fit->is_searched, 0, fit->model->n_features);
    return parts_make(fit, bytes) ? AVVIK_OK : avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
}

void avvik__fit_search_end(struct fit *fit, int is_whole)
{
    if (is_whole && memchr(fit->is_searched, 1, fit->model->n_features) != NULL)
        avvik__fit_share(fit, features_advance);
    parts_free(fit);
    memset(fit->is_searched, 0, fit->model->n_features);
}

static enum avvik_status search_run(struct fit *fit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    if (!parts_make(fit, fit->memory_bytes))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    memcpy(fit->is_taking_part, fit->is_searched, fit->model->n_features);
    AVVIK_TRY(avvik__fit_piece_pass(fit, piece_search, error));
    avvik__fit_search_end(fit, 1);
    AVVIK_TRY(avvik__fit_pass_check(fit, error));
done:
    avvik__fit_search_end(fit, 0);
    return status;
}

enum avvik_status avvik__fit_medians(struct fit *fit, struct avvik_error *error)
{
    memset(fit->is_taking_part, 0, fit->n_columns);
    for (unsigned pass = 1; features_choose(fit, pass) > 0; pass++) {
        const enum avvik_status status = search_run(fit, error);
        if (status != AVVIK_OK)
            return status;
    }
    for (size_t f = 0; f < fit->model->n_features; f++) {
        fit->model->features[f].median = fit->searches[f].median;
        fit->model->features[f].mad = fit->searches[f].mad;
        fit->model->features[f].mean_deviation = fit->searches[f].mean_deviation;
    }
    return AVVIK_OK;
}

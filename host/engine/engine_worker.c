/* Scoring through an engine, and what happens when a device does not do its part: its rows are scored again by the CPU,
 * and a sample of what it did score is looked over. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "engine_internal.h"

#define MIN_DEVICE_ROWS 1024 /* a device without memory for as many is left to others */
/* Which tile of each thousand is checked moves on by so many, so that it meets every place within calls of equal size;
 * coprime to AVVIK_CHECK_INTERVAL. */
#define CHECK_STEP 619

/* Results of one tile, recomputed. */
struct tile_results {
    int32_t path_sum[AVVIK_CHECK_ROWS];
    float deviation[AVVIK_CHECK_ROWS], joint[AVVIK_CHECK_ROWS];
    int32_t tails[AVVIK_CHECK_ROWS];
    uint16_t deviation_feature[AVVIK_CHECK_ROWS], beyond[AVVIK_CHECK_ROWS], missing[AVVIK_CHECK_ROWS];
};

struct avvik_worker {
    struct avvik_engine *engine;
    size_t max_rows;
    void *cpu;      /* a worker of the CPU backend; everything below is for devices */
    int is_after;   /* made after a device computed something wrong: nothing of it is in doubt */
    void *device;   /* the device's worker; NULL if the CPU does its work */
    size_t fitting; /* rows that `device` takes at a time */
    uint64_t n_tiles, next_check;
    uint64_t *counts; /* of columns, of one call: they are the caller's only if the device succeeds */
    struct tile_results *checked;
    struct avvik__engine_device *on;
};

/* ---- Faults ---- */

static void reason_set(struct avvik_engine *engine, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void reason_set(struct avvik_engine *engine, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&engine->reason_lock);
    vsnprintf(engine->reason, sizeof engine->reason, format, arguments);
    pthread_mutex_unlock(&engine->reason_lock);
    va_end(arguments);
}

static void failure_note(struct avvik_engine *engine, struct avvik__engine_device *device, int is_lost,
                         const struct avvik_error *error)
{
    const unsigned n = atomic_fetch_add(&device->failures, 1) + 1;
    atomic_fetch_add(&engine->failures, 1);
    if (is_lost || n >= AVVIK_DEVICE_FAILURES)
        atomic_store(&device->is_off, 1);
    reason_set(engine, "%s: %.800s; %s", device->name, error->text,
               is_lost                      ? "it is not used any more"
               : n >= AVVIK_DEVICE_FAILURES ? "it failed too often and is not used any more"
                                            : "the CPU scored these rows");
}

void avvik_engine_faults(struct avvik_engine *engine, struct avvik_engine_faults *faults_out)
{
    memset(faults_out, 0, sizeof *faults_out);
    if (engine->n_devices == 0)
        return;
    faults_out->n_devices = engine->n_devices;
    for (uint32_t i = 0; i < engine->n_devices; i++)
        faults_out->n_devices_off += atomic_load(&engine->devices[i].is_off) != 0;
    faults_out->is_device_off = faults_out->n_devices_off == engine->n_devices;
    faults_out->device_failures = atomic_load(&engine->failures);
    faults_out->smaller_pieces = atomic_load(&engine->smaller_pieces);
    faults_out->rows_on_cpu = atomic_load(&engine->rows_on_cpu);
    faults_out->tiles_checked = atomic_load(&engine->tiles_checked);
    faults_out->tiles_wrong = atomic_load(&engine->tiles_wrong);
    snprintf(faults_out->cpu_backend, sizeof faults_out->cpu_backend, "%s", engine->cpu->name);
    pthread_mutex_lock(&engine->reason_lock);
    memcpy(faults_out->reason, engine->reason, sizeof faults_out->reason);
    pthread_mutex_unlock(&engine->reason_lock);
}

/* ---- Workers ---- */

static void device_drop(struct avvik_worker *worker)
{
    if (worker->device != NULL)
        worker->engine->backend->worker_free(worker->device);
    worker->device = NULL;
}

/* A worker of the device that takes `rows` at a time, or as many as it has memory for; worker->device stays NULL if it
 * has not even that. */
static void device_make(struct avvik_worker *worker, size_t rows)
{
    struct avvik_engine *engine = worker->engine;
    struct avvik_error reason = {AVVIK_OK, 0, ""};
    device_drop(worker);
    while (!atomic_load(&worker->on->is_off)) {
        const enum avvik_status status =
            engine->backend->worker_create(worker->on->state, rows, &worker->device, &reason);
        worker->fitting = rows;
        if (status == AVVIK_OK)
            return;
        worker->device = NULL;
        if (status != AVVIK_ERR_MEMORY || rows / 2 < MIN_DEVICE_ROWS) {
            failure_note(engine, worker->on, 0, &reason);
            return;
        }
        rows /= 2;
        atomic_fetch_add(&engine->smaller_pieces, 1);
        reason_set(engine, "%s: %.800s; it takes %zu rows at a time", worker->on->name, reason.text, rows);
    }
}

/* The next device that is not off and has room for a worker; none leaves worker->device NULL. One number is drawn and
 * all devices are tried from there: workers that look at the same time do not take each other's turn. */
static void device_find(struct avvik_worker *worker)
{
    struct avvik_engine *engine = worker->engine;
    if (worker->device != NULL || engine->n_devices == 0)
        return;
    const unsigned first = atomic_fetch_add(&engine->next_device, 1) % engine->n_devices;
    for (uint32_t i = 0; i < engine->n_devices && worker->device == NULL; i++) {
        worker->on = &engine->devices[(first + i) % engine->n_devices];
        device_make(worker, worker->max_rows);
    }
}

enum avvik_status avvik_worker_create(struct avvik_engine *engine, size_t max_rows, struct avvik_worker **worker_out,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    worker->engine = engine;
    worker->max_rows = max_rows;
    worker->is_after = atomic_load(&engine->is_doubtful);
    AVVIK_TRY(engine->cpu->worker_create(engine->cpu_state, max_rows, &worker->cpu, error));
    if (engine->n_devices > 0) {
        worker->counts = calloc(2 * (size_t)engine->memory.plan.n_features, sizeof *worker->counts);
        worker->checked = malloc(sizeof *worker->checked);
        if (worker->counts == NULL || worker->checked == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    device_find(worker);
    *worker_out = worker;
    worker = NULL;
done:
    avvik_worker_free(worker);
    return status;
}

void avvik_worker_free(struct avvik_worker *worker)
{
    if (worker == NULL)
        return;
    device_drop(worker);
    worker->engine->cpu->worker_free(worker->cpu);
    free(worker->counts);
    free(worker->checked);
    free(worker);
}

int avvik__worker_times(const struct avvik_worker *worker, struct avvik__device_times *times_out)
{
    if (worker->device == NULL || worker->engine->backend->worker_times == NULL)
        return 0;
    worker->engine->backend->worker_times(worker->device, times_out);
    return 1;
}

/* ---- Scoring ---- */

static struct avvik_rows rows_from(const struct avvik_rows *rows, size_t first, size_t n)
{
    return (struct avvik_rows){rows->values + first * rows->row_stride, n, rows->row_stride, rows->column_stride,
                               rows->groups == NULL ? NULL : rows->groups + first};
}

static struct avvik_scores scores_from(const struct avvik_scores *scores, size_t first)
{
    return (struct avvik_scores){scores->path_sum + first,
                                 scores->deviation + first,
                                 scores->deviation_feature + first,
                                 scores->beyond + first,
                                 scores->missing + first,
                                 scores->column_missing,
                                 scores->column_infinite,
                                 scores->joint == NULL ? NULL : scores->joint + first,
                                 scores->tails == NULL ? NULL : scores->tails + first};
}

/* Recompute the tile that begins at row `first`, and compare. */
static enum avvik_status tile_check(struct avvik_worker *worker, const struct avvik_rows *rows,
                                    const struct avvik_scores *scores, size_t first, struct avvik_error *error)
{
    struct avvik_engine *engine = worker->engine;
    const size_t left = rows->n_rows - first, n = left < AVVIK_CHECK_ROWS ? left : AVVIK_CHECK_ROWS;
    const struct avvik_rows tile = rows_from(rows, first, n);
    const struct avvik_scores got = scores_from(scores, first);
    struct tile_results *checked = worker->checked;
    const struct avvik_scores want = {checked->path_sum,
                                      checked->deviation,
                                      checked->deviation_feature,
                                      checked->beyond,
                                      checked->missing,
                                      NULL,
                                      NULL,
                                      got.joint == NULL ? NULL : checked->joint,
                                      got.tails == NULL ? NULL : checked->tails};
    struct avvik__difference wrong;
    const enum avvik_status status = engine->cpu->worker_score(worker->cpu, &tile, &want, error);
    if (status != AVVIK_OK)
        return status;
    atomic_fetch_add(&engine->tiles_checked, 1);
    if (!avvik__scores_differ(&got, &want, n, &wrong))
        return AVVIK_OK;
    atomic_fetch_add(&engine->tiles_wrong, 1);
    reason_set(engine,
               "%s computed %s of a row as 0x%08" PRIx32 " where the CPU (%s) has 0x%08" PRIx32
               "; nothing that it scored is kept, and it is not used any more",
               worker->on->name, wrong.what, wrong.got, engine->cpu->name, wrong.want);
    for (uint32_t i = 0; i < engine->n_devices; i++)
        atomic_store(&engine->devices[i].is_off, 1);
    atomic_store(&engine->is_doubtful, 1);
    return AVVIK_OK;
}

/* `rows` on the device; the tiles whose turn it is are checked. Any status but AVVIK_OK leaves the caller's counts as
 * they were. */
static enum avvik_status device_score(struct avvik_worker *worker, const struct avvik_rows *rows,
                                      const struct avvik_scores *scores, struct avvik_error *error)
{
    const size_t n_features = worker->engine->memory.plan.n_features;
    struct avvik_scores own = *scores;
    own.column_missing = worker->counts;
    own.column_infinite = worker->counts + n_features;
    memset(worker->counts, 0, 2 * n_features * sizeof *worker->counts);
    enum avvik_status status = worker->engine->backend->worker_score(worker->device, rows, &own, error);
    const uint64_t n_tiles = (rows->n_rows + AVVIK_CHECK_ROWS - 1) / AVVIK_CHECK_ROWS;
    if (status != AVVIK_OK)
        return status;
    while (worker->next_check < worker->n_tiles + n_tiles && status == AVVIK_OK) {
        status =
            tile_check(worker, rows, scores, (size_t)(worker->next_check - worker->n_tiles) * AVVIK_CHECK_ROWS, error);
        const uint64_t thousand = worker->next_check / AVVIK_CHECK_INTERVAL + 1;
        worker->next_check = thousand * AVVIK_CHECK_INTERVAL + thousand * CHECK_STEP % AVVIK_CHECK_INTERVAL;
    }
    worker->n_tiles += n_tiles;
    for (size_t f = 0; f < n_features && status == AVVIK_OK; f++) {
        if (scores->column_missing != NULL)
            scores->column_missing[f] += own.column_missing[f];
        if (scores->column_infinite != NULL)
            scores->column_infinite[f] += own.column_infinite[f];
    }
    return status;
}

/* The first rows of `rows` on the device, or on the CPU if it fails; how many in *n_done_out, 0 for "try again". */
static enum avvik_status some_score(struct avvik_worker *worker, const struct avvik_rows *rows,
                                    const struct avvik_scores *scores, size_t *n_done_out, struct avvik_error *error)
{
    struct avvik_engine *engine = worker->engine;
    struct avvik_error reason = {AVVIK_OK, 0, ""};
    if (worker->device != NULL && atomic_load(&worker->on->is_off)) { /* another worker has found out */
        device_drop(worker);
        device_find(worker);
    }
    const int is_on = worker->device != NULL;
    const size_t n = is_on && worker->fitting < rows->n_rows ? worker->fitting : rows->n_rows;
    const struct avvik_rows some = rows_from(rows, 0, n);
    *n_done_out = n;
    if (is_on) {
        const enum avvik_status status = device_score(worker, &some, scores, &reason);
        if (status == AVVIK_OK)
            return AVVIK_OK;
        if (status == AVVIK_ERR_MEMORY && n / 2 >= MIN_DEVICE_ROWS) {
            *n_done_out = 0;
            atomic_fetch_add(&engine->smaller_pieces, 1);
            reason_set(engine, "%s: %.800s; it takes %zu rows at a time", worker->on->name, reason.text, n / 2);
            device_make(worker, n / 2);
            return AVVIK_OK;
        }
        failure_note(engine, worker->on, engine->backend->worker_is_lost(worker->device), &reason);
        device_make(worker, worker->fitting); /* what a failed call left behind is not built upon */
        device_find(worker);
    }
    atomic_fetch_add(&engine->rows_on_cpu, n);
    return engine->cpu->worker_score(worker->cpu, &some, scores, error);
}

static int is_in_doubt(const struct avvik_worker *worker)
{
    return atomic_load(&worker->engine->is_doubtful) && !worker->is_after;
}

enum avvik_status avvik_worker_score(struct avvik_worker *worker, const struct avvik_rows *rows,
                                     const struct avvik_scores *scores, struct avvik_error *error)
{
    struct avvik_engine *engine = worker->engine;
    enum avvik_status status = AVVIK_OK;
    if (rows->n_rows > worker->max_rows)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "%zu rows are more than the %zu this worker was made for",
                                rows->n_rows, worker->max_rows);
    uint32_t largest = 0;
    for (size_t i = 0; rows->groups != NULL && i < rows->n_rows; i++)
        largest = rows->groups[i] > largest ? rows->groups[i] : largest;
    if (largest >= engine->memory.plan.n_groups)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "peer group %u is not among the %u of the model", largest,
                                engine->memory.plan.n_groups);
    if (engine->n_devices == 0)
        return rows->n_rows == 0 ? AVVIK_OK : engine->cpu->worker_score(worker->cpu, rows, scores, error);
    for (size_t first = 0, n = 0; first < rows->n_rows && !is_in_doubt(worker) && status == AVVIK_OK; first += n) {
        const struct avvik_rows rest = rows_from(rows, first, rows->n_rows - first);
        const struct avvik_scores rest_scores = scores_from(scores, first);
        status = some_score(worker, &rest, &rest_scores, &n, error);
    }
    if (status == AVVIK_OK && is_in_doubt(worker)) {
        struct avvik_engine_faults faults;
        avvik_engine_faults(engine, &faults);
        status = avvik__error_set(error, AVVIK_ERR_SELFTEST, 0, "%s", faults.reason);
    }
    return status;
}

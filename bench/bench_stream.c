/* From the file to the scores: reading, fitting, every backend on rows in memory, and whole runs. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik/avvik.h"
#include "bench.h"
#include "record_file.h"

#define BLOCK_ROWS 65536

struct stream {
    const struct bench_options *options;
    char batch[256], scores[256]; /* paths */
    size_t n_rows, n_features;
    float *columns; /* [feature][n_rows]: the batch in memory */
    struct avvik_source *source;
    struct avvik_model *model;
    double read_s, scalar_rows_s; /* what others are compared with */
    uint64_t reference;           /* hash of the scalar results */
};

static enum bench_exit failed(const struct avvik_error *error)
{
    fprintf(stderr, "avvik-bench: %s\n", error->text);
    return BENCH_FAILED;
}

/* A batch of normal deviates (Box and Muller) with some columns skewed and some rounded. */
static enum avvik_status batch_write(struct stream *stream, struct avvik_error *error)
{
    struct avvik__record *record = NULL;
    uint64_t state = 1;
    const uint64_t dims[1] = {stream->n_rows};
    for (size_t i = 0; i < stream->n_rows * stream->n_features; i++) {
        double unit[2];
        for (int k = 0; k < 2; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            unit[k] = (double)((state >> 11) + 1) * 0x1p-53;
        }
        const double normal = sqrt(-2 * log(unit[0])) * cos(6.283185307179586 * unit[1]);
        const size_t kind = i / stream->n_rows % 4;
        stream->columns[i] = (float)(kind == 1 ? exp(normal) : kind == 2 ? rint(normal * 4) : normal);
    }
    enum avvik_status status = avvik__record_create(stream->batch, "batch", 1, &record, error);
    if (status == AVVIK_OK)
        status = avvik__record_group(record, "/rows", error);
    for (size_t f = 0; f < stream->n_features && status == AVVIK_OK; f++) {
        char path[32];
        snprintf(path, sizeof path, "/rows/x%04zu", f);
        status = avvik__record_put(record, path, AVVIK_F32, 1, dims, stream->columns + f * stream->n_rows, error);
    }
    if (status == AVVIK_OK)
        return avvik__record_commit(record, error);
    avvik__record_close(record);
    return status;
}

/* Best of options->n_samples runs of `run`, in seconds; a negative number if it fails. */
static double best_of(struct stream *stream, int (*run)(struct stream *stream))
{
    double best = -1;
    for (int i = 0; i < stream->options->n_samples; i++) {
        const double start = bench_now_s();
        if (!run(stream))
            return -1;
        const double elapsed_s = bench_now_s() - start;
        best = best < 0 || elapsed_s < best ? elapsed_s : best;
    }
    return best;
}

static int read_run(struct stream *stream)
{
    static float *block;
    struct avvik_error error;
    if (block == NULL && (block = aligned_alloc(64, BLOCK_ROWS * stream->n_features * sizeof *block)) == NULL)
        return 0;
    for (size_t first = 0; first < stream->n_rows; first += BLOCK_ROWS) {
        const size_t n = stream->n_rows - first < BLOCK_ROWS ? stream->n_rows - first : BLOCK_ROWS;
        if (avvik_source_read(stream->source, first, n, block, BLOCK_ROWS, &error) != AVVIK_OK)
            return 0;
    }
    return 1;
}

/* The whole table into memory that was just asked for, as a program does that wants to have it. */
static int load_run(struct stream *stream)
{
    struct avvik_error error;
    float *columns = malloc(stream->n_rows * stream->n_features * sizeof *columns);
    const int is_read = columns != NULL && avvik_source_read(stream->source, 0, stream->n_rows, columns, stream->n_rows,
                                                             &error) == AVVIK_OK;
    free(columns);
    return is_read;
}

static int fit_run(struct stream *stream)
{
    const struct avvik_fit_options options = {
        .trees = stream->options->trees, .sample = stream->options->sample, .seed = 1};
    struct avvik_error error;
    avvik_model_free(stream->model);
    stream->model = NULL;
    return avvik_model_fit(stream->source, &options, &stream->model, &error) == AVVIK_OK;
}

/* --- rows in memory ----------------------------------------------------------------------------------------------- */

struct shared {
    struct stream *stream;
    struct avvik_worker *workers[2];
    unsigned n_workers;
    atomic_size_t next;
    atomic_uint next_worker;
    atomic_int has_failed;
    int32_t *path_sum;
    float *deviation;
    uint16_t *small[3]; /* deviation_feature, beyond, missing */
};

static void *worker_main(void *context)
{
    struct shared *shared = context;
    const struct stream *stream = shared->stream;
    struct avvik_worker *worker = shared->workers[atomic_fetch_add(&shared->next_worker, 1)];
    for (size_t first; (first = atomic_fetch_add(&shared->next, BLOCK_ROWS)) < stream->n_rows;) {
        const struct avvik_rows rows = {stream->columns + first,
                                        stream->n_rows - first < BLOCK_ROWS ? stream->n_rows - first : BLOCK_ROWS, 1,
                                        stream->n_rows};
        const struct avvik_scores scores = {.path_sum = shared->path_sum + first,
                                            .deviation = shared->deviation + first,
                                            .deviation_feature = shared->small[0] + first,
                                            .beyond = shared->small[1] + first,
                                            .missing = shared->small[2] + first};
        if (avvik_worker_score(worker, &rows, &scores, NULL) != AVVIK_OK)
            atomic_store(&shared->has_failed, 1);
    }
    return NULL;
}

static void memory_run(struct shared *shared)
{
    pthread_t thread;
    atomic_store(&shared->next, 0);
    atomic_store(&shared->next_worker, 0);
    const int is_shared = shared->n_workers > 1 && pthread_create(&thread, NULL, worker_main, shared) == 0;
    worker_main(shared);
    if (is_shared)
        pthread_join(thread, NULL);
}

/* FNV-1a over the results: are they the bits that scalar has? */
static uint64_t results_hash(const struct shared *shared, size_t n_rows)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < n_rows; i++) {
        uint32_t words[3] = {(uint32_t)shared->path_sum[i], 0,
                             (uint32_t)shared->small[0][i] << 16 | shared->small[1][i]};
        memcpy(&words[1], &shared->deviation[i], sizeof words[1]);
        for (int k = 0; k < 3; k++)
            hash = (hash ^ words[k]) * 1099511628211u;
    }
    return hash;
}

static enum bench_exit backend_measure(struct stream *stream, const char *backend, unsigned n_workers)
{
    struct avvik_error error = {AVVIK_OK, 0, ""};
    struct avvik_engine *engine = NULL;
    struct shared shared = {.stream = stream, .n_workers = n_workers};
    enum bench_exit result = BENCH_FAILED;
    shared.path_sum = calloc(stream->n_rows, sizeof *shared.path_sum);
    shared.deviation = calloc(stream->n_rows, sizeof *shared.deviation);
    int is_short = shared.path_sum == NULL || shared.deviation == NULL;
    for (int i = 0; i < 3; i++)
        is_short |= (shared.small[i] = calloc(stream->n_rows, sizeof *shared.small[i])) == NULL;
    if (is_short || avvik_engine_open(stream->model, backend, &engine, &error) != AVVIK_OK) {
        result = failed(&error);
        goto done;
    }
    for (unsigned i = 0; i < n_workers; i++)
        if (avvik_worker_create(engine, BLOCK_ROWS, &shared.workers[i], &error) != AVVIK_OK) {
            result = failed(&error);
            goto done;
        }
    memory_run(&shared); /* warm, and checked before anything is timed */
    const uint64_t hash = results_hash(&shared, stream->n_rows);
    if (strcmp(backend, "scalar") == 0)
        stream->reference = hash;
    if (atomic_load(&shared.has_failed) || hash != stream->reference) {
        fprintf(stderr, "avvik-bench: %s gives other results than scalar\n", backend);
        result = BENCH_DIFFERS;
        goto done;
    }
    double best = INFINITY;
    for (int i = 0; i < stream->options->n_samples; i++) {
        const double start = bench_now_s();
        memory_run(&shared);
        const double elapsed_s = bench_now_s() - start;
        best = elapsed_s < best ? elapsed_s : best;
    }
    const double rate = (double)stream->n_rows / best;
    if (strcmp(backend, "scalar") == 0 && n_workers == 1)
        stream->scalar_rows_s = rate;
    printf("  %-12s %u worker%s  %8.2f M rows/s  %6.2f x one scalar core\n", backend, n_workers,
           n_workers == 1 ? " " : "s", rate / 1e6, rate / stream->scalar_rows_s);
    result = BENCH_DONE;
done:
    for (unsigned i = 0; i < n_workers; i++)
        avvik_worker_free(shared.workers[i]);
    avvik_engine_close(engine);
    free(shared.path_sum);
    free(shared.deviation);
    for (int i = 0; i < 3; i++)
        free(shared.small[i]);
    return result;
}

static enum bench_exit file_measure(struct stream *stream, const char *backend)
{
    struct avvik_error error;
    struct avvik_engine *engine;
    const struct avvik_score_options options = {.replace = 1};
    struct avvik_score_summary summary, best = {0};
    if (avvik_engine_open(stream->model, backend, &engine, &error) != AVVIK_OK)
        return failed(&error);
    for (int i = 0; i < stream->options->n_samples; i++) {
        if (avvik_score_file(stream->model, engine, stream->source, stream->scores, &options, &summary, &error) !=
            AVVIK_OK) {
            avvik_engine_close(engine);
            return failed(&error);
        }
        if (i == 0 || summary.elapsed_ns < best.elapsed_ns)
            best = summary;
    }
    avvik_engine_close(engine);
    printf("  %-12s %8.2f M rows/s in %.3f s: read %.3f, work %.3f over %u workers, write %.3f\n", backend,
           (double)best.n_rows / (double)best.elapsed_ns * 1e3, (double)best.elapsed_ns / 1e9,
           (double)best.read_ns / 1e9, (double)best.work_ns / 1e9, best.threads, (double)best.write_ns / 1e9);
    return BENCH_DONE;
}

static enum bench_exit backends_measure(struct stream *stream)
{
    struct avvik_error error;
    struct avvik_device *devices;
    size_t n_devices;
    enum bench_exit result = BENCH_DONE;
    if (avvik_devices_list(&devices, &n_devices, &error) != AVVIK_OK)
        return failed(&error);
    printf("\nrows in memory -> all scores, by backend (results compared with scalar first)\n");
    for (size_t i = 0; i < n_devices && result == BENCH_DONE; i++)
        for (unsigned n_workers = 1; n_workers <= 2 && result == BENCH_DONE; n_workers++)
            if (devices[i].is_available)
                result = backend_measure(stream, devices[i].backend, n_workers);
    printf("\nfile -> score file, synced, one worker a CPU\n");
    for (size_t i = 0; i < n_devices && result == BENCH_DONE; i++)
        if (devices[i].is_available)
            result = file_measure(stream, devices[i].backend);
    free(devices);
    return result;
}

enum bench_exit bench_stream(const struct bench_options *options)
{
    struct avvik_error error;
    struct stream stream = {.options = options, .n_rows = options->rows, .n_features = options->n_features[0]};
    const char *folder = getenv("TMPDIR");
    const struct avvik_selection selection = {.table = "/rows"};
    enum bench_exit result = BENCH_FAILED;
    snprintf(stream.batch, sizeof stream.batch, "%.200s/avvik-bench-%d.h5", folder == NULL ? "/tmp" : folder,
             (int)getpid());
    snprintf(stream.scores, sizeof stream.scores, "%.200s/avvik-bench-%d-scores.h5", folder == NULL ? "/tmp" : folder,
             (int)getpid());
    const char *const paths[1] = {stream.batch};
    if ((stream.columns = malloc(stream.n_rows * stream.n_features * sizeof *stream.columns)) == NULL)
        goto done;
    if (batch_write(&stream, &error) != AVVIK_OK ||
        avvik_source_open(paths, 1, &selection, &stream.source, &error) != AVVIK_OK) {
        result = failed(&error);
        goto done;
    }
    const double megabytes = (double)stream.n_rows * (double)stream.n_features * 4 / 1e6;
    stream.read_s = best_of(&stream, read_run);
    const double load_s = best_of(&stream, load_run), fit_s = best_of(&stream, fit_run);
    if (stream.read_s < 0 || load_s < 0 || fit_s < 0)
        goto done;
    printf("%zu rows x %zu features, float32, contiguous, in the page cache; %u trees of %u rows; best of %d\n",
           stream.n_rows, stream.n_features, options->trees, options->sample, options->n_samples);
    printf("  read into one block over and over  %8.2f ms  %6.2f GB/s\n", stream.read_s * 1e3,
           megabytes / stream.read_s / 1e3);
    printf("  read into memory                   %8.2f ms  %6.2f GB/s\n", load_s * 1e3, megabytes / load_s / 1e3);
    printf("  fit                                %8.2f ms  %6.2f and %.2f x these\n", fit_s * 1e3,
           fit_s / stream.read_s, fit_s / load_s);
    result = backends_measure(&stream);
done:
    avvik_model_free(stream.model);
    avvik_source_close(stream.source);
    free(stream.columns);
    unlink(stream.batch);
    unlink(stream.scores);
    return result;
}

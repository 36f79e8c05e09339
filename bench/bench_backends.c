/* Every backend on rows in memory, as a program that uses the library would call it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/avvik.h"
#include "bench.h"
#include "bench_batch.h"
#include "bench_random.h"
#include "bench_resident.h"
#include "engine_internal.h"

#define MAX_BLOCK_ROWS ((size_t)65536)
#define MIN_BLOCK_ROWS ((size_t)4096)
#define MODEL_ROWS ((size_t)65536)     /* at most, that the model is fitted to */
#define SCALAR_WALKS ((size_t)1 << 26) /* rows x trees above which scalar is only run once, for its results */
#define MAX_WALKS ((size_t)1 << 31)    /* and above which nothing is run */
#define MAX_THREADS 256

static const struct bench_list default_rows = {3, {131072, 4096, 1048576}}, quick_rows = {1, {16384}};

struct rows {
    const struct bench_shape *shape;
    float *columns; /* [feature][row] */
    struct avvik_model *model;
};

struct results {
    int32_t *path_sum;
    float *deviation, *joint;
    uint16_t *small[3]; /* deviation_feature, beyond, missing */
};

/* What a device says of its time, by its own clock; pack by the host's. */
static const struct {
    const char *name;
    size_t offset;
} device_stages[] = {
#define STAGE(name)                                                                                                    \
    {                                                                                                                  \
#name, offsetof(struct avvik__device_times, name##_ns)                                                         \
    }
    STAGE(pack), STAGE(send), STAGE(deviation), STAGE(fill_missing), STAGE(forest_path), STAGE(receive), STAGE(span),
#undef STAGE
};
#define N_DEVICE_STAGES (sizeof device_stages / sizeof device_stages[0])

/* One backend with its workers. */
struct backend {
    const struct rows *rows;
    struct avvik_engine *engine;
    struct avvik_worker *workers[MAX_THREADS];
    size_t n_workers, block_rows;
    struct results results;
    atomic_size_t next, next_worker;
    atomic_int failure; /* an enum avvik_status */
    struct bench_result *result;
    uint64_t times_ns[N_DEVICE_STAGES]; /* when the present run began */
};

static int results_init(struct results *results, size_t n_rows)
{
    results->path_sum = calloc(n_rows, sizeof *results->path_sum);
    results->deviation = calloc(n_rows, sizeof *results->deviation);
    results->joint = calloc(n_rows, sizeof *results->joint);
    int is_good = results->path_sum != NULL && results->deviation != NULL && results->joint != NULL;
    for (int i = 0; i < 3; i++)
        is_good &= (results->small[i] = calloc(n_rows, sizeof *results->small[i])) != NULL;
    return is_good;
}

static void results_destroy(struct results *results)
{
    free(results->path_sum);
    free(results->deviation);
    free(results->joint);
    for (int i = 0; i < 3; i++)
        free(results->small[i]);
}

static int results_equal(const struct results *a, const struct results *b, size_t n_rows)
{
    int is_equal = memcmp(a->path_sum, b->path_sum, n_rows * sizeof *a->path_sum) == 0 &&
                   memcmp(a->deviation, b->deviation, n_rows * sizeof *a->deviation) == 0 &&
                   memcmp(a->joint, b->joint, n_rows * sizeof *a->joint) == 0;
    for (int i = 0; i < 3; i++)
        is_equal &= memcmp(a->small[i], b->small[i], n_rows * sizeof *a->small[i]) == 0;
    return is_equal;
}

static void *worker_main(void *context)
{
    struct backend *backend = context;
    const struct rows *rows = backend->rows;
    const size_t n_rows = rows->shape->rows;
    struct avvik_worker *worker = backend->workers[atomic_fetch_add(&backend->next_worker, 1)];
    for (size_t first; (first = atomic_fetch_add(&backend->next, backend->block_rows)) < n_rows;) {
        const size_t left = n_rows - first;
        const struct avvik_rows block = {rows->columns + first, left < backend->block_rows ? left : backend->block_rows,
                                         1, n_rows, NULL};
        const struct avvik_scores scores = {.path_sum = backend->results.path_sum + first,
                                            .deviation = backend->results.deviation + first,
                                            .deviation_feature = backend->results.small[0] + first,
                                            .beyond = backend->results.small[1] + first,
                                            .missing = backend->results.small[2] + first,
                                            .joint = backend->results.joint + first};
        const enum avvik_status status = avvik_worker_score(worker, &block, &scores, NULL);
        if (status != AVVIK_OK)
            atomic_store(&backend->failure, (int)status);
    }
    return NULL;
}

static int backend_run(void *context)
{
    struct backend *backend = context;
    pthread_t thread[MAX_THREADS];
    size_t n_started = 0;
    atomic_store(&backend->next, 0);
    atomic_store(&backend->next_worker, 0);
    while (n_started + 1 < backend->n_workers && pthread_create(&thread[n_started], NULL, worker_main, backend) == 0)
        n_started++;
    worker_main(backend);
    for (size_t i = 0; i < n_started; i++)
        pthread_join(thread[i], NULL);
    return atomic_load(&backend->failure) == AVVIK_OK;
}

/* Summed over the workers. Returns 0 if the backend has no clock of its own. */
static int times_read(const struct backend *backend, uint64_t times_ns[N_DEVICE_STAGES])
{
    struct avvik__device_times times;
    memset(times_ns, 0, N_DEVICE_STAGES * sizeof *times_ns);
    for (size_t i = 0; i < backend->n_workers; i++) {
        if (!avvik__worker_times(backend->workers[i], &times))
            return 0;
        for (size_t k = 0; k < N_DEVICE_STAGES; k++) {
            uint64_t ns;
            memcpy(&ns, (const char *)&times + device_stages[k].offset, sizeof ns);
            times_ns[k] += ns;
        }
    }
    return 1;
}

static void before_run(void *context)
{
    struct backend *backend = context;
    times_read(backend, backend->times_ns);
}

static void after_run(void *context, int is_best)
{
    struct backend *backend = context;
    uint64_t times_ns[N_DEVICE_STAGES];
    if (!is_best || !times_read(backend, times_ns))
        return;
    backend->result->n_stages = N_DEVICE_STAGES;
    for (size_t k = 0; k < N_DEVICE_STAGES; k++)
        backend->result->stage[k] =
            (struct bench_stage){device_stages[k].name, 1e-9 * (double)(times_ns[k] - backend->times_ns[k])};
}

static void backend_destroy(struct backend *backend)
{
    for (size_t i = 0; i < backend->n_workers; i++)
        avvik_worker_free(backend->workers[i]);
    avvik_engine_close(backend->engine);
    results_destroy(&backend->results);
}

static enum bench_exit backend_init(struct backend *backend, const struct rows *rows, const char *name,
                                    size_t n_threads)
{
    struct avvik_error error;
    const size_t n_rows = rows->shape->rows;
    *backend = (struct backend){.rows = rows, .block_rows = MAX_BLOCK_ROWS};
    while (backend->block_rows > MIN_BLOCK_ROWS && backend->block_rows * 4 * n_threads > n_rows)
        backend->block_rows /= 2;
    if (!results_init(&backend->results, n_rows))
        return bench_fail(BENCH_FAILED, "not enough memory");
    if (avvik_engine_open(rows->model, name, &backend->engine, &error) != AVVIK_OK)
        return bench_fail(error.status == AVVIK_ERR_SELFTEST ? BENCH_DIFFERS : BENCH_NO_BACKEND, "%s", error.text);
    for (; backend->n_workers < n_threads; backend->n_workers++)
        if (avvik_worker_create(backend->engine, backend->block_rows, &backend->workers[backend->n_workers], &error) !=
            AVVIK_OK)
            return bench_fail(BENCH_NO_BACKEND, "%s", error.text);
    if (!backend_run(backend)) /* its results; and caches are warm */
        return bench_fail(atomic_load(&backend->failure) == AVVIK_ERR_SELFTEST ? BENCH_DIFFERS : BENCH_FAILED,
                          "backend %s failed: %s", name,
                          avvik_status_name((enum avvik_status)atomic_load(&backend->failure)));
    return BENCH_DONE;
}

/* Rows in memory, and a model fitted to the first of them. */
static enum bench_exit rows_init(struct rows *rows, const struct bench_shape *shape,
                                 const struct bench_options *options)
{
    struct avvik_error error = {AVVIK_OK, 0, "not enough memory"};
    struct avvik_source *source = NULL;
    const struct avvik_selection selection = {.table = "/rows"};
    struct avvik_fit_options fit = AVVIK_FIT_DEFAULTS;
    struct bench_batch batch = {.n_rows = shape->rows < MODEL_ROWS ? shape->rows : MODEL_ROWS,
                                .n_features = shape->features,
                                .layout = "contiguous",
                                .types = "float32",
                                .seed = options->seed};
    *rows = (struct rows){.shape = shape, .columns = malloc(shape->rows * shape->features * sizeof(float))};
    if (rows->columns == NULL)
        return bench_fail(BENCH_FAILED, "not enough memory");
    for (size_t f = 0; f < shape->features; f++)
        for (size_t r = 0; r < shape->rows; r++)
            rows->columns[f * shape->rows + r] = (float)bench_value(options->seed, r, f);
    fit.trees = (uint32_t)shape->trees;
    fit.sample = (uint32_t)shape->sample;
    fit.seed = options->seed;
    bench_file_name(options, "rows.h5", batch.path, sizeof batch.path);
    const char *const paths[1] = {batch.path};
    enum bench_exit status = bench_batch_write(&batch);
    if (status == BENCH_DONE && (avvik_source_open(paths, 1, &selection, &source, &error) != AVVIK_OK ||
                                 avvik_model_fit(source, &fit, &rows->model, &error) != AVVIK_OK))
        status = bench_fail(BENCH_FAILED, "%s", error.text);
    avvik_source_close(source);
    bench_file_remove(batch.path);
    return status;
}

struct backends_walk {
    const struct bench_options *options;
    struct bench_results *results;
    struct avvik_device *devices;
    size_t n_devices;
};

/* All backends at one shape, after each has proved that it gives the bits of `reference`. */
static enum bench_exit rows_measure(const struct backends_walk *walk, const struct rows *rows, struct backend *backends,
                                    const struct results *reference)
{
    enum bench_exit status = BENCH_DONE;
    struct bench_turn turns[BENCH_MAX_DEVICES];
    struct avvik_model_summary summary;
    size_t n_turns = 0;
    const struct bench_shape *shape = rows->shape;
    struct bench_result like = {.name = "engine",
                                .features = shape->features,
                                .rows = shape->rows,
                                .trees = shape->trees,
                                .sample = shape->sample,
                                .threads = shape->threads,
                                .layout = "",
                                .types = "",
                                .bytes = (double)(shape->rows * (shape->features * sizeof(float) + 18))};
    avvik_model_summarize(rows->model, &summary);
    like.height = summary.height;
    for (size_t i = 0; i < walk->n_devices && status == BENCH_DONE; i++) {
        const char *name = walk->devices[i].backend;
        const int is_scalar = strcmp(name, "scalar") == 0;
        if (is_scalar && shape->rows * shape->trees > SCALAR_WALKS)
            continue;
        if ((status = backend_init(&backends[n_turns], rows, name, shape->threads)) != BENCH_DONE) {
            backend_destroy(&backends[n_turns]);
            break;
        }
        like.limit = walk->devices[i].is_gpu ? BENCH_TRANSFER : BENCH_GATHER;
        strcpy(like.variant, name);
        backends[n_turns].result = bench_results_add(walk->results, &like);
        turns[n_turns] = (struct bench_turn){.result = backends[n_turns].result,
                                             .before = before_run,
                                             .run = backend_run,
                                             .after = after_run,
                                             .context = &backends[n_turns]};
        if (turns[n_turns].result == NULL)
            status = bench_fail(BENCH_FAILED, "not enough memory");
        else if (!results_equal(&backends[n_turns].results, reference, shape->rows))
            status = bench_fail(BENCH_DIFFERS, "%s gives other results than scalar at %zu features, %zu trees", name,
                                shape->features, shape->trees);
        n_turns++;
    }
    if (status == BENCH_DONE && !bench_take_turns(turns, n_turns, walk->options))
        status = bench_fail(BENCH_FAILED, "a backend failed while it was timed");
    for (size_t i = 0; i < n_turns && status == BENCH_DONE; i++)
        status = bench_faults_check(backends[i].engine);
    for (size_t i = 0; i < n_turns; i++) {
        if (status == BENCH_DONE && strcmp(turns[0].result->variant, "scalar") == 0)
            bench_ratio_add(turns[i].result, "scalar", turns[0].result);
        backend_destroy(&backends[i]);
    }
    return status;
}

static enum bench_exit shape_measure(void *context, const struct bench_shape *shape)
{
    const struct backends_walk *walk = context;
    struct rows rows;
    struct backend scalar = {0};
    if (shape->rows < shape->sample || shape->rows * shape->trees > MAX_WALKS)
        return BENCH_DONE;
    struct backend *backends = calloc(walk->n_devices, sizeof *backends);
    if (backends == NULL)
        return bench_fail(BENCH_FAILED, "not enough memory");
    enum bench_exit status = rows_init(&rows, shape, walk->options);
    if (status == BENCH_DONE)
        status = backend_init(&scalar, &rows, "scalar", bench_cores_allowed());
    if (status == BENCH_DONE)
        status = rows_measure(walk, &rows, backends, &scalar.results);
    const struct avvik_scores want = {.path_sum = scalar.results.path_sum,
                                      .deviation = scalar.results.deviation,
                                      .deviation_feature = scalar.results.small[0],
                                      .beyond = scalar.results.small[1],
                                      .missing = scalar.results.small[2],
                                      .joint = scalar.results.joint};
    for (size_t i = 0; i < walk->n_devices && status == BENCH_DONE; i++)
        if (strncmp(walk->devices[i].backend, "opencl:", 7) == 0 && strcmp(walk->devices[i].backend, "opencl:all") != 0)
            status = bench_resident(walk->options, walk->results, rows.model, walk->devices[i].backend, shape,
                                    rows.columns, &want);
    backend_destroy(&scalar);
    avvik_model_free(rows.model);
    free(rows.columns);
    free(backends);
    return status;
}

enum bench_exit bench_faults_check(struct avvik_engine *engine)
{
    struct avvik_engine_faults faults;
    avvik_engine_faults(engine, &faults);
    return faults.rows_on_cpu == 0
               ? BENCH_DONE
               : bench_fail(BENCH_NO_BACKEND, "%s left %llu rows to the CPU: %s", avvik_engine_backend(engine),
                            (unsigned long long)faults.rows_on_cpu, faults.reason);
}

/* Several devices that share the work, after those that were chosen one by one. Returns 0 if there is no memory. */
static int shared_add(struct avvik_device **devices, size_t *n)
{
    struct avvik_device shared = {.backend = "opencl:all", .is_available = 1};
    struct avvik_device *longer = realloc(*devices, (*n + 1) * sizeof *longer);
    if (longer == NULL)
        return 0;
    longer[(*n)++] = shared;
    *devices = longer;
    return 1;
}

/* Keep those of the n devices that `wanted` means, in their order; returns how many. *refused is one that was named and
 * cannot run. */
static size_t devices_keep(struct avvik_device *devices, size_t n, const char *wanted, struct avvik_device *refused)
{
    const int is_all = wanted != NULL && strcmp(wanted, "all") == 0;
    size_t n_kept = 0, widest = 0;
    for (size_t i = 0; i < n; i++)
        if (devices[i].is_available && strncmp(devices[i].backend, "opencl", 6) != 0)
            widest = i;
    for (size_t i = 0; i < n; i++) {
        const int is_opencl = strncmp(devices[i].backend, "opencl", 6) == 0;
        const int is_named = wanted != NULL && !is_all && bench_is_wanted(wanted, devices[i].backend);
        if (is_named && !devices[i].is_available)
            *refused = devices[i];
        if (devices[i].is_available && n_kept < BENCH_MAX_DEVICES - 1 &&
            (wanted == NULL ? is_opencl || i == widest : is_all || is_named))
            devices[n_kept++] = devices[i];
    }
    return n_kept;
}

enum bench_exit bench_backends_choose(const char *wanted, struct avvik_device **devices_out, size_t *n_devices_out)
{
    struct avvik_error error;
    struct avvik_device *devices, refused = {.is_available = 1};
    size_t n_devices;
    enum bench_exit status = BENCH_DONE;
    if (avvik_devices_list(&devices, &n_devices, &error) != AVVIK_OK)
        return bench_fail(BENCH_FAILED, "%s", error.text);
    n_devices = devices_keep(devices, n_devices, wanted, &refused);
    if (wanted != NULL && bench_is_wanted(wanted, "opencl:all") && !shared_add(&devices, &n_devices))
        status = bench_fail(BENCH_FAILED, "not enough memory");
    else if (!refused.is_available)
        status = bench_fail(BENCH_NO_BACKEND, "%s: %s", refused.backend, refused.reason);
    else if (n_devices == 0)
        status = bench_fail(BENCH_NO_BACKEND, "no backend is called '%s'; `avvik devices` lists them", wanted);
    if (status != BENCH_DONE) {
        free(devices);
        return status;
    }
    *devices_out = devices;
    *n_devices_out = n_devices;
    return BENCH_DONE;
}

enum bench_exit bench_backends(const struct bench_options *options, struct bench_results *results)
{
    struct bench_options own = *options;
    struct backends_walk walk = {.options = &own, .results = results};
    if (!bench_is_wanted(options->only, "engine"))
        return BENCH_DONE;
    enum bench_exit status =
        bench_backends_choose(options->backends == NULL ? "all" : options->backends, &walk.devices, &walk.n_devices);
    if (status != BENCH_DONE)
        return status;
    if (options->is_quick) /* a program for every shape takes an OpenCL device seconds to compile */
        own.features = (struct bench_list){1, {16}};
    status = bench_shapes_walk(&own, options->is_quick ? &quick_rows : &default_rows, shape_measure, &walk);
    free(walk.devices);
    return status;
}

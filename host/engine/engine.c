#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "engine_internal.h"

struct avvik_engine {
    struct avvik__plan_memory memory;
    const struct avvik__backend *backend;
    void *state;
    char name[32], device[192], warning[1100];
};

struct avvik_worker {
    const struct avvik_engine *engine;
    void *state;
    size_t max_rows;
};

/* The reference first, then each wider one; `auto` goes from the end of the CPU part to its beginning. */
static const struct avvik__backend *const backends[] = {&avvik__backend_scalar, &avvik__backend_avx2,
                                                        &avvik__backend_avx512, &avvik__backend_avx512vbmi,
                                                        &avvik__backend_opencl};
#define N_BACKENDS (sizeof backends / sizeof backends[0])
#define N_CPU_BACKENDS (N_BACKENDS - 1)

enum avvik_status avvik__backend_find(const char *text, const struct avvik__backend **backend_out,
                                      const char **spec_out, struct avvik_error *error)
{
    const char *colon = strchr(text, ':');
    const size_t length = colon == NULL ? strlen(text) : (size_t)(colon - text);
    for (size_t i = 0; i < N_BACKENDS; i++) {
        if (strlen(backends[i]->name) == length && strncmp(backends[i]->name, text, length) == 0) {
            *backend_out = backends[i];
            *spec_out = colon == NULL ? NULL : colon + 1;
            return AVVIK_OK;
        }
    }
    return avvik__error_set(error, AVVIK_ERR_BACKEND, 0,
                            "backend '%s' is not known; there are auto, scalar, avx2, avx512, avx512vbmi and "
                            "opencl[:PLATFORM.DEVICE]",
                            text);
}

/* Open one backend and let it prove itself. */
static enum avvik_status engine_try(struct avvik_engine *engine, const char *text, struct avvik_error *error)
{
    const char *spec;
    enum avvik_status status = avvik__backend_find(text, &engine->backend, &spec, error);
    if (status != AVVIK_OK)
        return status;
    status =
        engine->backend->open(spec, &engine->memory.plan, &engine->state, engine->device, sizeof engine->device, error);
    if (status != AVVIK_OK)
        return status;
    snprintf(engine->name, sizeof engine->name, "%s", text);
    if (engine->backend != &avvik__backend_scalar)
        status = avvik__plan_selftest(engine->backend, engine->state, &engine->memory.plan, error);
    if (status != AVVIK_OK) {
        engine->backend->close(engine->state);
        engine->state = NULL;
    }
    return status;
}

/* A GPU where there is one, else the widest CPU variant. What fails is told, and the next one taken. */
static enum avvik_status engine_choose(struct avvik_engine *engine, struct avvik_error *error)
{
    struct avvik_device *devices = NULL;
    size_t n_devices = 0;
    struct avvik_error reason;
    enum avvik_status status = avvik__opencl_devices_list(&devices, &n_devices, error);
    if (status != AVVIK_OK)
        return status;
    status = AVVIK_ERR_BACKEND;
    for (size_t i = 0; i < n_devices && status != AVVIK_OK; i++) {
        if (!devices[i].is_available || !devices[i].is_gpu)
            continue;
        status = engine_try(engine, devices[i].backend, &reason);
        if (status != AVVIK_OK)
            snprintf(engine->warning, sizeof engine->warning, "%s; the CPU takes over", reason.text);
    }
    free(devices);
    for (size_t i = N_CPU_BACKENDS; i-- > 0 && status != AVVIK_OK;) {
        status = engine_try(engine, backends[i]->name, &reason);
        if (status == AVVIK_ERR_SELFTEST)
            snprintf(engine->warning, sizeof engine->warning, "%s; a narrower one takes over", reason.text);
    }
    return status == AVVIK_OK ? status : avvik__error_set(error, status, 0, "%s", reason.text);
}

enum avvik_status avvik_engine_open(const struct avvik_model *model, const char *backend,
                                    struct avvik_engine **engine_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__plan_init(&engine->memory, model, error));
    AVVIK_TRY(strcmp(backend, "auto") == 0 ? engine_choose(engine, error) : engine_try(engine, backend, error));
    *engine_out = engine;
    engine = NULL;
done:
    avvik_engine_close(engine);
    return status;
}

void avvik_engine_close(struct avvik_engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->state != NULL)
        engine->backend->close(engine->state);
    avvik__plan_destroy(&engine->memory);
    free(engine);
}

const char *avvik_engine_backend(const struct avvik_engine *engine)
{
    return engine->name;
}

const char *avvik_engine_device(const struct avvik_engine *engine)
{
    return engine->device;
}

const char *avvik_engine_warning(const struct avvik_engine *engine)
{
    return engine->warning[0] == '\0' ? NULL : engine->warning;
}

enum avvik_status avvik_worker_create(struct avvik_engine *engine, size_t max_rows, struct avvik_worker **worker_out,
                                      struct avvik_error *error)
{
    struct avvik_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    worker->engine = engine;
    worker->max_rows = max_rows;
    const enum avvik_status status = engine->backend->worker_create(engine->state, max_rows, &worker->state, error);
    if (status != AVVIK_OK) {
        free(worker);
        return status;
    }
    *worker_out = worker;
    return AVVIK_OK;
}

void avvik_worker_free(struct avvik_worker *worker)
{
    if (worker == NULL)
        return;
    worker->engine->backend->worker_free(worker->state);
    free(worker);
}

enum avvik_status avvik_worker_score(struct avvik_worker *worker, const struct avvik_rows *rows,
                                     const struct avvik_scores *scores, struct avvik_error *error)
{
    if (rows->n_rows > worker->max_rows)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "%zu rows are more than the %zu this worker was made for",
                                rows->n_rows, worker->max_rows);
    return rows->n_rows == 0 ? AVVIK_OK : worker->engine->backend->worker_score(worker->state, rows, scores, error);
}

float avvik_forest_score(const struct avvik_model *model, int32_t path_sum)
{
    const struct avvik__forest *forest = &model->forest;
    const double mean_path = (double)path_sum / AVVIK_LEAF_ONE / forest->n_trees;
    return (float)exp2(-mean_path / forest->average_path);
}

static const unsigned cpu_needs[N_CPU_BACKENDS] = {0, AVVIK_CPU_AVX2, AVVIK_CPU_AVX512, AVVIK_CPU_AVX512VBMI};

enum avvik_status avvik_devices_list(struct avvik_device **devices_out, size_t *n_devices_out,
                                     struct avvik_error *error)
{
    const unsigned features = avvik__cpu_features();
    size_t n_devices = N_CPU_BACKENDS;
    struct avvik_device *devices = calloc(n_devices, sizeof *devices);
    if (devices == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < N_CPU_BACKENDS; i++) {
        struct avvik_device *device = &devices[i];
        snprintf(device->backend, sizeof device->backend, "%s", backends[i]->name);
        avvik__cpu_name(device->name, sizeof device->name);
        device->is_available = (cpu_needs[i] & ~features) == 0;
        if (!device->is_available)
            snprintf(device->reason, sizeof device->reason, "this CPU or its operating system has no %s",
                     backends[i]->name);
    }
    const enum avvik_status status = avvik__opencl_devices_list(&devices, &n_devices, error);
    if (status != AVVIK_OK) {
        free(devices);
        return status;
    }
    *devices_out = devices;
    *n_devices_out = n_devices;
    return AVVIK_OK;
}

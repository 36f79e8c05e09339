#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "engine_internal.h"
#include "forest_score.h"
#include "tuning.h"

#define MAX_DEVICES 64
#define SPEC_BYTES 24 /* "PLATFORM.DEVICE" */

/* One more thing that the caller should be told. */
static void warning_add(struct avvik_engine *engine, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void warning_add(struct avvik_engine *engine, const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(engine->warning);
    if (used > 0 && used + 2 < sizeof engine->warning) {
        memcpy(engine->warning + used, "; ", 3);
        used += 2;
    }
    va_start(arguments, format);
    vsnprintf(engine->warning + used, sizeof engine->warning - used, format, arguments);
    va_end(arguments);
}

/* Open a CPU backend as the engine's own, or as the one that stands in for its devices, and let it prove itself. */
static enum avvik_status cpu_try(struct avvik_engine *engine, const struct avvik__backend *backend, const char *spec,
                                 char *device_out, size_t device_size, struct avvik_error *error)
{
    enum avvik_status status =
        backend->open(spec, &engine->memory.plan, &engine->cpu_state, device_out, device_size, error);
    if (status != AVVIK_OK)
        return status;
    if (backend != &avvik__backend_scalar)
        status = avvik__plan_selftest(backend, engine->cpu_state, &engine->memory.plan, error);
    if (status != AVVIK_OK) {
        backend->close(engine->cpu_state);
        engine->cpu_state = NULL;
        return status;
    }
    engine->cpu = backend;
    return AVVIK_OK;
}

/* The CPU backend that `avvik tune` found fastest, else the widest that passes; one that does not pass is told. */
static enum avvik_status cpu_choose(struct avvik_engine *engine, char *device_out, size_t device_size,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_ERR_BACKEND;
    struct avvik_error reason = {AVVIK_OK, 0, ""};
    struct avvik__cpu_tuning tuning;
    char warning[512];
    const struct avvik__scoring_plan *plan = &engine->memory.plan;
    avvik__cpu_tuning_load(&tuning, warning, sizeof warning);
    if (warning[0] != '\0')
        warning_add(engine, "%s", warning);
    const char *tuned = avvik__cpu_tuning_at(&tuning, plan->n_features, plan->forest.height);
    for (size_t i = AVVIK_CPU_BACKENDS; i-- > 0 && status != AVVIK_OK && tuned[0] != '\0';)
        if (strcmp(avvik__cpu_backends[i]->name, tuned) == 0)
            status = cpu_try(engine, avvik__cpu_backends[i], NULL, device_out, device_size, &reason);
    for (size_t i = AVVIK_CPU_BACKENDS; i-- > 0 && status != AVVIK_OK;) {
        status = cpu_try(engine, avvik__cpu_backends[i], NULL, device_out, device_size, &reason);
        if (status == AVVIK_ERR_SELFTEST)
            warning_add(engine, "%s; a narrower one takes over", reason.text);
    }
    return status == AVVIK_OK ? status : avvik__error_set(error, status, 0, "%s", reason.text);
}

static void devices_close(struct avvik_engine *engine)
{
    for (uint32_t i = 0; i < engine->n_devices; i++)
        engine->backend->close(engine->devices[i].state);
    free(engine->devices);
    engine->devices = NULL;
    engine->n_devices = 0;
    engine->device[0] = '\0';
}

/* Bind the plan to the device that `spec` (NULL: the first) names, and let it prove itself. */
static enum avvik_status device_open(struct avvik_engine *engine, const char *spec, struct avvik_error *error)
{
    char text[192];
    struct avvik__engine_device *device = &engine->devices[engine->n_devices];
    enum avvik_status status =
        engine->backend->open(spec, &engine->memory.plan, &device->state, text, sizeof text, error);
    if (status != AVVIK_OK)
        return status;
    snprintf(device->name, sizeof device->name, "%s%s%s", engine->backend->name, spec == NULL ? "" : ":",
             spec == NULL ? "" : spec);
    const size_t used = strlen(engine->device);
    snprintf(engine->device + used, sizeof engine->device - used, "%s%s", used > 0 ? "; " : "", text);
    engine->n_devices++;
    if (engine->backend->warning(device->state)[0] != '\0')
        warning_add(engine, "%s", engine->backend->warning(device->state));
    return avvik__plan_selftest(engine->backend, device->state, &engine->memory.plan, error);
}

/* Open every device of a list with commas. */
static enum avvik_status devices_open(struct avvik_engine *engine, const struct avvik__backend *backend,
                                      const char *specs, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    size_t n_specs = 1;
    for (const char *comma = specs; comma != NULL && (comma = strchr(comma, ',')) != NULL; comma++)
        n_specs++;
    engine->backend = backend;
    if (n_specs > MAX_DEVICES)
        return avvik__error_set(error, AVVIK_ERR_BACKEND, 0, "%zu devices are more than the %d that can share the work",
                                n_specs, MAX_DEVICES);
    if ((engine->devices = calloc(n_specs, sizeof *engine->devices)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    if (specs == NULL)
        status = device_open(engine, NULL, error);
    for (const char *at = specs; at != NULL && status == AVVIK_OK; at = strchr(at, ',')) {
        char spec[SPEC_BYTES];
        at += *at == ',';
        snprintf(spec, sizeof spec, "%.*s", (int)strcspn(at, ","), at);
        status = device_open(engine, spec, error);
    }
    if (status != AVVIK_OK)
        devices_close(engine);
    return status;
}

/* Open whatever `backend` is: devices, with a CPU backend to stand in for them, or the CPU alone. */
static enum avvik_status engine_try(struct avvik_engine *engine, const struct avvik__backend *backend,
                                    const char *specs, struct avvik_error *error)
{
    enum avvik_status status;
    char cpu_name[192];
    if (backend->is_device) {
        if ((status = devices_open(engine, backend, specs, error)) != AVVIK_OK)
            return status;
        if ((status = cpu_choose(engine, cpu_name, sizeof cpu_name, error)) != AVVIK_OK)
            devices_close(engine);
    } else {
        status = cpu_try(engine, backend, specs, engine->device, sizeof engine->device, error);
    }
    snprintf(engine->name, sizeof engine->name, "%s%s%s", backend->name, specs == NULL ? "" : ":",
             specs == NULL ? "" : specs);
    return status;
}

/* The first GPU that passes; AVVIK_ERR_BACKEND if there is none. One that does not pass is told. */
static enum avvik_status gpu_choose(struct avvik_engine *engine, struct avvik_error *error)
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
        status = engine_try(engine, &avvik__backend_opencl, strchr(devices[i].backend, ':') + 1, &reason);
        if (status != AVVIK_OK)
            warning_add(engine, "%s; the CPU takes over", reason.text);
    }
    free(devices);
    return status;
}

/* A GPU where there is one, else the widest CPU variant. */
static enum avvik_status engine_choose(struct avvik_engine *engine, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_ERR_BACKEND;
    if (avvik__gpu_may_be_here("/dev"))
        status = gpu_choose(engine, error);
    if (status == AVVIK_OK || status == AVVIK_ERR_MEMORY)
        return status;
    status = cpu_choose(engine, engine->device, sizeof engine->device, error);
    if (status == AVVIK_OK)
        snprintf(engine->name, sizeof engine->name, "%s", engine->cpu->name);
    return status;
}

static enum avvik_status engine_create(const struct avvik_model *model, struct avvik_engine **engine_out,
                                       struct avvik_error *error)
{
    struct avvik_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    const enum avvik_status status = avvik__plan_init(&engine->memory, model, error);
    if (status != AVVIK_OK || pthread_mutex_init(&engine->reason_lock, NULL) != 0) {
        if (status == AVVIK_OK)
            avvik__plan_destroy(&engine->memory);
        free(engine);
        return status != AVVIK_OK ? status : avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    *engine_out = engine;
    return AVVIK_OK;
}

enum avvik_status avvik__engine_open_with(const struct avvik_model *model, const struct avvik__backend *backend,
                                          const char *specs, struct avvik_engine **engine_out,
                                          struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_engine *engine = NULL;
    AVVIK_TRY(engine_create(model, &engine, error));
    AVVIK_TRY(engine_try(engine, backend, specs, error));
    *engine_out = engine;
    engine = NULL;
done:
    avvik_engine_close(engine);
    return status;
}

enum avvik_status avvik_engine_open(const struct avvik_model *model, const char *backend_text,
                                    struct avvik_engine **engine_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_engine *engine = NULL;
    const struct avvik__backend *backend;
    const char *specs;
    char *all = NULL;
    if (strcmp(backend_text, "auto") != 0) {
        AVVIK_TRY(avvik__backend_find(backend_text, &backend, &specs, error));
        if (backend->is_device && specs != NULL && strcmp(specs, "all") == 0) {
            AVVIK_TRY(avvik__opencl_specs_all(&all, error));
            specs = all;
        }
        AVVIK_TRY(avvik__engine_open_with(model, backend, specs, engine_out, error));
    } else {
        AVVIK_TRY(engine_create(model, &engine, error));
        AVVIK_TRY(engine_choose(engine, error));
        *engine_out = engine;
        engine = NULL;
    }
done:
    free(all);
    avvik_engine_close(engine);
    return status;
}

void avvik_engine_close(struct avvik_engine *engine)
{
    if (engine == NULL)
        return;
    devices_close(engine);
    if (engine->cpu_state != NULL)
        engine->cpu->close(engine->cpu_state);
    avvik__plan_destroy(&engine->memory);
    pthread_mutex_destroy(&engine->reason_lock);
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

float avvik_forest_score(const struct avvik_model *model, int32_t path_sum)
{
    return avvik__score_of(&model->forest, path_sum);
}

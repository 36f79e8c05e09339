/* `avvik tune`: a handful of settings, each measured on made-up rows, the best one kept. */
#include "avvik/tune.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "avvik_internal.h"
#include "engine_internal.h"
#include "opencl_runtime.h"
#include "tune_internal.h"

#define TREES 100
#define TALL_SAMPLE 1024 /* trees of 10 levels */
#define CPU_ROWS 8192    /* a block of them stays in a cache */
#define CLEARLY 1.03     /* faster by so much, or the usual setting stays */

double avvik__tune_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void avvik__tune_probe_destroy(struct probe *probe)
{
    avvik__plan_destroy(&probe->memory);
    free(probe->values);
    free(probe->path_sum);
    free(probe->deviation);
    for (int i = 0; i < 3; i++)
        free(probe->small[i]);
}

enum avvik_status avvik__tune_probe_init(struct probe *probe, uint32_t sample, uint32_t n_features, size_t n_rows,
                                         struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    uint32_t state = 1;
    memset(probe, 0, sizeof *probe);
    probe->n_rows = n_rows;
    AVVIK_TRY(avvik__probe_plan_init(&probe->memory, TREES, sample, n_features, 1, error));
    probe->values = malloc(n_rows * n_features * sizeof *probe->values);
    probe->path_sum = malloc(n_rows * sizeof *probe->path_sum);
    probe->deviation = malloc(n_rows * sizeof *probe->deviation);
    int is_short = probe->values == NULL || probe->path_sum == NULL || probe->deviation == NULL;
    for (int i = 0; i < 3; i++)
        is_short |= (probe->small[i] = malloc(n_rows * sizeof *probe->small[i])) == NULL;
    if (is_short)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < n_rows * n_features; i++) { /* the forest's features are uniform from their number on */
        state = state * 1664525u + 1013904223u;
        probe->values[i] = (float)(i / n_rows) + (float)(state >> 8) * 0x1p-22f;
    }
done:
    if (status != AVVIK_OK)
        avvik__tune_probe_destroy(probe);
    return status;
}

double avvik__tune_run(const struct probe *probe, const struct avvik__backend *backend, void *worker, size_t first,
                       size_t n)
{
    const struct avvik_rows rows = {probe->values + first, n, 1, probe->n_rows, NULL};
    const struct avvik_scores scores = {.path_sum = probe->path_sum + first,
                                        .deviation = probe->deviation + first,
                                        .deviation_feature = probe->small[0] + first,
                                        .beyond = probe->small[1] + first,
                                        .missing = probe->small[2] + first};
    const double start = avvik__tune_now_s();
    return backend->worker_score(worker, &rows, &scores, NULL) == AVVIK_OK ? avvik__tune_now_s() - start : 0;
}

enum avvik_status avvik__tuning_add(struct tune *tune, const char *target, const char *subject, const char *setting,
                                    double rows_per_second, struct avvik_error *error)
{
    struct avvik_tuning *grown = realloc(tune->tunings, (tune->n_tunings + 1) * sizeof *grown);
    if (grown == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    tune->tunings = grown;
    struct avvik_tuning *tuning = &grown[tune->n_tunings++];
    memset(tuning, 0, sizeof *tuning);
    snprintf(tuning->target, sizeof tuning->target, "%s", target);
    snprintf(tuning->subject, sizeof tuning->subject, "%s", subject);
    snprintf(tuning->setting, sizeof tuning->setting, "%s", setting);
    tuning->rows_per_second = rows_per_second;
    if (avvik__is_stopped(tune->stop))
        return avvik__error_set(error, AVVIK_INTERRUPTED, 0, "interrupted");
    return AVVIK_OK;
}

size_t avvik__tuning_choose(struct tune *tune, size_t n)
{
    struct avvik_tuning *settings = tune->tunings + tune->n_tunings - n;
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (settings[i].rows_per_second > settings[best].rows_per_second * (best == 0 ? CLEARLY : 1))
            best = i;
    if (!(settings[best].rows_per_second > 0))
        return n;
    settings[best].is_chosen = 1;
    return best;
}

/* ---- The CPU ---- */

/* One shape of forest, by every variant in turns; the widest is the usual one. */
static enum avvik_status shape_tune(struct tune *tune, size_t f, size_t h, struct avvik__cpu_tuning *kept,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct probe probe;
    const struct avvik__backend *candidates[AVVIK_CPU_BACKENDS];
    void *states[AVVIK_CPU_BACKENDS] = {NULL}, *workers[AVVIK_CPU_BACKENDS] = {NULL};
    double seconds[AVVIK_CPU_BACKENDS] = {0};
    size_t n = 0;
    char subject[48], device[192];
    AVVIK_TRY(avvik__tune_probe_init(&probe, h == 0 ? AVVIK_TUNE_SAMPLE : TALL_SAMPLE, avvik__tuned_features[f],
                                     CPU_ROWS, error));
    for (size_t b = AVVIK_CPU_BACKENDS; b-- > 1;) {
        const struct avvik__backend *backend = avvik__cpu_backends[b];
        candidates[n] = backend;
        if (backend->open(NULL, &probe.memory.plan, &states[n], device, sizeof device, NULL) == AVVIK_OK &&
            avvik__plan_selftest(backend, states[n], &probe.memory.plan, NULL) == AVVIK_OK &&
            backend->worker_create(states[n], CPU_ROWS, &workers[n], NULL) == AVVIK_OK)
            n++;
        else if (states[n] != NULL) {
            backend->close(states[n]);
            states[n] = NULL;
        }
    }
    for (int run = 0; run < AVVIK_TUNE_RUNS && n > 1; run++)
        for (size_t i = 0; i < n; i++) {
            const double took = avvik__tune_run(&probe, candidates[i], workers[i], 0, CPU_ROWS);
            if (took > 0 && (seconds[i] == 0 || took < seconds[i]))
                seconds[i] = took;
        }
    snprintf(subject, sizeof subject, "%" PRIu32 " features, %s 8 levels", avvik__tuned_features[f],
             h == 0 ? "up to" : "more than");
    for (size_t i = 0; i < n && n > 1 && status == AVVIK_OK; i++)
        status = avvik__tuning_add(tune, "cpu", subject, candidates[i]->name, CPU_ROWS / seconds[i], error);
    if (n > 1 && status == AVVIK_OK)
        snprintf(kept->backend[f][h], sizeof kept->backend[f][h], "%s",
                 candidates[avvik__tuning_choose(tune, n)]->name);
    for (size_t i = 0; i < n; i++) {
        candidates[i]->worker_free(workers[i]);
        candidates[i]->close(states[i]);
    }
    avvik__tune_probe_destroy(&probe);
done:
    return status;
}

static enum avvik_status cpu_tune(struct tune *tune, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__cpu_tuning kept;
    memset(&kept, 0, sizeof kept);
    for (size_t f = 0; f < AVVIK_TUNED_FEATURES; f++)
        for (size_t h = 0; h < AVVIK_TUNED_HEIGHTS; h++)
            AVVIK_TRY(shape_tune(tune, f, h, &kept, error));
    if (tune->n_tunings > 0)
        AVVIK_TRY(avvik__cpu_tuning_save(&kept, error));
done:
    return status;
}

/* Is a device like number i before it in the list? Then both have one file (tuning.c). */
static int has_twin(const struct avvik__cl_devices *devices, size_t i)
{
    const struct avvik__cl_device *device = &devices->devices[i];
    for (size_t k = 0; k < i; k++)
        if (devices->devices[k].reason[0] == '\0' && strcmp(devices->devices[k].name, device->name) == 0 &&
            strcmp(devices->devices[k].driver, device->driver) == 0 &&
            strcmp(devices->devices[k].platform_version, device->platform_version) == 0)
            return 1;
    return 0;
}

enum avvik_status avvik_tune(const char *target, const volatile int *stop, struct avvik_tuning **tunings_out,
                             size_t *n_tunings_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct tune tune = {.stop = stop};
    struct avvik__cl_devices devices = {0};
    struct avvik__cl_device device;
    const int is_cpu = target != NULL && strcmp(target, "cpu") == 0;
    if (!is_cpu && target != NULL && strncmp(target, "opencl:", 7) != 0)
        AVVIK_FAIL(AVVIK_ERR_BACKEND, 0, "'%.60s' cannot be tuned; there are cpu and opencl:PLATFORM.DEVICE", target);
    if (!is_cpu && getenv("AVVIK_OPENCL_WALK") != NULL)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "AVVIK_OPENCL_WALK forces a walk, so that none can be chosen: unset it first");
    if (target == NULL || is_cpu)
        AVVIK_TRY(cpu_tune(&tune, error));
    if (target != NULL && !is_cpu) {
        AVVIK_TRY(avvik__cl_device_choose(target + 7, &device, error));
        AVVIK_TRY(avvik__tune_device(&tune, &device, error));
    }
    if (target == NULL)
        AVVIK_TRY(avvik__cl_devices_init(&devices, error));
    for (size_t i = 0; i < devices.n_devices; i++)
        if (devices.devices[i].reason[0] == '\0' && !has_twin(&devices, i))
            AVVIK_TRY(avvik__tune_device(&tune, &devices.devices[i], error));
    *tunings_out = tune.tunings;
    *n_tunings_out = tune.n_tunings;
    tune.tunings = NULL;
done:
    avvik__cl_devices_destroy(&devices);
    free(tune.tunings);
    return status;
}

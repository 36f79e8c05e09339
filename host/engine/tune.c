/* `avvik tune`: a handful of settings, each measured on made-up rows, the best one kept. */
#include "avvik/tune.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "avvik_internal.h"
#include "engine_internal.h"
#include "opencl_worker.h"
#include "tuning.h"

#define TREES 100
#define SAMPLE 256       /* trees of 8 levels */
#define TALL_SAMPLE 1024 /* of 10 */
#define CPU_ROWS 8192    /* a block of them stays in a cache */
#define DEVICE_ROWS 262144
#define DEVICE_FEATURES 16
#define RUNS 7 /* at most, and no more than fit into ... */
#define RUN_SECONDS 0.25
#define CLEARLY 1.03 /* faster by so much, or the usual setting stays */
#define FAR_BEHIND 2
#define MAX_SETTINGS 8

struct tune {
    const volatile int *stop;
    struct avvik_tuning *tunings;
    size_t n_tunings;
};

/* A plan, rows for it, and room for their scores. */
struct probe {
    struct avvik__plan_memory memory;
    size_t n_rows;
    float *values; /* column after column */
    int32_t *path_sum;
    float *deviation;
    uint16_t *small[3];
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void probe_destroy(struct probe *probe)
{
    avvik__plan_destroy(&probe->memory);
    free(probe->values);
    free(probe->path_sum);
    free(probe->deviation);
    for (int i = 0; i < 3; i++)
        free(probe->small[i]);
}

static enum avvik_status probe_init(struct probe *probe, uint32_t sample, uint32_t n_features, size_t n_rows,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    uint32_t state = 1;
    memset(probe, 0, sizeof *probe);
    probe->n_rows = n_rows;
    AVVIK_TRY(avvik__probe_plan_init(&probe->memory, TREES, sample, n_features, error));
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
        probe_destroy(probe);
    return status;
}

/* Seconds of one run; 0 if it fails. */
static double run_once(const struct probe *probe, const struct avvik__backend *backend, void *worker)
{
    const struct avvik_rows rows = {probe->values, probe->n_rows, 1, probe->n_rows};
    const struct avvik_scores scores = {
        probe->path_sum, probe->deviation, probe->small[0], probe->small[1], probe->small[2], NULL, NULL};
    const double start = now_s();
    return backend->worker_score(worker, &rows, &scores, NULL) == AVVIK_OK ? now_s() - start : 0;
}

static enum avvik_status tuning_add(struct tune *tune, const char *target, const char *subject, const char *setting,
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

/* The fastest of the last n settings; the first of them, which is the usual one, unless another is clearly faster.
 * n if none can run. */
static size_t tuning_choose(struct tune *tune, size_t n)
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
    AVVIK_TRY(probe_init(&probe, h == 0 ? SAMPLE : TALL_SAMPLE, avvik__tuned_features[f], CPU_ROWS, error));
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
    for (int run = 0; run < RUNS && n > 1; run++)
        for (size_t i = 0; i < n; i++) {
            const double took = run_once(&probe, candidates[i], workers[i]);
            if (took > 0 && (seconds[i] == 0 || took < seconds[i]))
                seconds[i] = took;
        }
    snprintf(subject, sizeof subject, "%" PRIu32 " features, %s 8 levels", avvik__tuned_features[f],
             h == 0 ? "up to" : "more than");
    for (size_t i = 0; i < n && n > 1 && status == AVVIK_OK; i++)
        status = tuning_add(tune, "cpu", subject, candidates[i]->name, CPU_ROWS / seconds[i], error);
    if (n > 1 && status == AVVIK_OK)
        snprintf(kept->backend[f][h], sizeof kept->backend[f][h], "%s", candidates[tuning_choose(tune, n)]->name);
    for (size_t i = 0; i < n; i++) {
        candidates[i]->worker_free(workers[i]);
        candidates[i]->close(states[i]);
    }
    probe_destroy(&probe);
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

/* ---- OpenCL devices ---- */

/* One setting of a device, ready to run; worker is NULL if it cannot, or computes wrongly. */
struct candidate {
    void *state, *worker;
    double best; /* seconds */
};

static void candidate_open(struct candidate *candidate, const struct avvik__cl_device *device,
                           const struct avvik__cl_tuning *setting, const struct probe *probe)
{
    const struct avvik__backend *backend = &avvik__backend_opencl;
    struct avvik__cl_device tuned = *device;
    tuned.tuning = *setting;
    memset(candidate, 0, sizeof *candidate);
    if (avvik__opencl_open_device(&tuned, &probe->memory.plan, &candidate->state, NULL) != AVVIK_OK ||
        avvik__plan_selftest(backend, candidate->state, &probe->memory.plan, NULL) != AVVIK_OK ||
        backend->worker_create(candidate->state, probe->n_rows, &candidate->worker, NULL) != AVVIK_OK)
        return;
    candidate->best = run_once(probe, backend, candidate->worker); /* pays for what is made late */
}

/* All candidates in turns, so that what disturbs one disturbs all; one that is far behind is not run again. */
static void candidates_run(struct candidate *candidates, size_t n, const struct probe *probe)
{
    double best = 0;
    const double start = now_s();
    for (int run = 0; run < RUNS && (run < 2 || now_s() - start < (double)n * RUN_SECONDS); run++)
        for (size_t i = 0; i < n; i++) {
            struct candidate *candidate = &candidates[i];
            if (!(candidate->best > 0) || (best > 0 && candidate->best > best * FAR_BEHIND))
                continue;
            const double took = run_once(probe, &avvik__backend_opencl, candidate->worker);
            candidate->best = took < candidate->best ? took : candidate->best; /* 0, a failure, stays */
            best = took > 0 && (best == 0 || took < best) ? took : best;
        }
}

/* What a setting is called. */
static void setting_write(char *text, size_t size, const char *subject, const struct avvik__cl_tuning *setting)
{
    if (strcmp(subject, "walk") == 0)
        snprintf(text, size, "%s", setting->walk);
    else if (strcmp(subject, "group") == 0)
        snprintf(text, size, "%" PRIu32 " work-items", setting->group);
    else
        snprintf(text, size, "%" PRIu32 " KiB", setting->piece_kib);
}

/* Measure n settings of one subject, of which the first is the usual one, and leave the best in device->tuning.
 * AVVIK_ERR_BACKEND if none can run. */
static enum avvik_status settings_tune(struct tune *tune, struct avvik__cl_device *device, const struct probe *probe,
                                       const char *subject, const struct avvik__cl_tuning *settings, size_t n,
                                       struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct candidate candidates[MAX_SETTINGS];
    char target[32], text[32];
    snprintf(target, sizeof target, "opencl:%s", device->number);
    for (size_t i = 0; i < n; i++)
        candidate_open(&candidates[i], device, &settings[i], probe);
    candidates_run(candidates, n, probe);
    for (size_t i = 0; i < n; i++) {
        setting_write(text, sizeof text, subject, &settings[i]);
        if (status == AVVIK_OK)
            status = tuning_add(tune, target, subject, text,
                                candidates[i].best > 0 ? (double)probe->n_rows / candidates[i].best : 0, error);
        avvik__backend_opencl.worker_free(candidates[i].worker);
        avvik__backend_opencl.close(candidates[i].state);
    }
    if (status != AVVIK_OK)
        return status;
    const size_t best = tuning_choose(tune, n);
    if (best == n)
        return avvik__error_set(error, AVVIK_ERR_BACKEND, 0, "nothing that was tried runs on %s (%s)", target,
                                device->name);
    device->tuning = settings[best];
    return AVVIK_OK;
}

/* The walks that make sense on the device, its own first. */
static size_t walks_list(const struct avvik__cl_device *device, struct avvik__cl_tuning *settings)
{
    size_t n = 0;
    const int is_cpu = !device->has_fast_local && device->float_width >= 4;
    if (is_cpu) {
        snprintf(settings[n++].walk, sizeof settings->walk, "lanes:%d", device->float_width >= 16 ? 16 : 8);
        snprintf(settings[n++].walk, sizeof settings->walk, "lanes:%d", device->float_width >= 16 ? 8 : 16);
    }
    for (cl_ulong part = 1; device->has_fast_local && part <= 4;
         part *= 2) /* less of it lets more groups run at once */
        snprintf(settings[n++].walk, sizeof settings->walk, "local:%llu",
                 (unsigned long long)device->local_bytes / part);
    snprintf(settings[n++].walk, sizeof settings->walk, "global");
    return n;
}

static enum avvik_status device_tune(struct tune *tune, struct avvik__cl_device *device, struct avvik_error *error)
{
    static const uint32_t lane_groups[] = {32, 8, 128}, item_groups[] = {256, 64, 128, 512};
    static const uint32_t pieces_kib[] = {1024, 256, 4096, 16384};
    enum avvik_status status = AVVIK_OK;
    struct probe probe;
    struct avvik__cl_tuning settings[MAX_SETTINGS];
    if ((status = probe_init(&probe, SAMPLE, DEVICE_FEATURES, DEVICE_ROWS, error)) != AVVIK_OK)
        return status;
    memset(settings, 0, sizeof settings);
    AVVIK_TRY(settings_tune(tune, device, &probe, "walk", settings, walks_list(device, settings), error));

    const int is_lanes = strncmp(device->tuning.walk, "lanes:", 6) == 0;
    const uint32_t *groups = is_lanes ? lane_groups : item_groups;
    const size_t n_groups = is_lanes ? 3 : 4;
    size_t n = 0;
    for (size_t i = 0; i < n_groups; i++)
        if (i == 0 || groups[i] <= device->max_group) {
            settings[n] = device->tuning;
            settings[n++].group = groups[i];
        }
    AVVIK_TRY(settings_tune(tune, device, &probe, "group", settings, n, error));
    for (n = 0; n < sizeof pieces_kib / sizeof pieces_kib[0]; n++) {
        settings[n] = device->tuning;
        settings[n].piece_kib = pieces_kib[n];
    }
    AVVIK_TRY(settings_tune(tune, device, &probe, "piece", settings, n, error));
    AVVIK_TRY(avvik__cl_tuning_save(device, &device->tuning, error));
done:
    probe_destroy(&probe);
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
        AVVIK_TRY(device_tune(&tune, &device, error));
    }
    if (target == NULL)
        AVVIK_TRY(avvik__cl_devices_init(&devices, error));
    for (size_t i = 0; i < devices.n_devices; i++)
        if (devices.devices[i].reason[0] == '\0' && !has_twin(&devices, i))
            AVVIK_TRY(device_tune(&tune, &devices.devices[i], error));
    *tunings_out = tune.tunings;
    *n_tunings_out = tune.n_tunings;
    tune.tunings = NULL;
done:
    avvik__cl_devices_destroy(&devices);
    free(tune.tunings);
    return status;
}

/* `avvik tune` of one OpenCL device: its walks, then work-items of a group, then rows of a launch. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "engine_internal.h"
#include "opencl_worker.h"
#include "tune_internal.h"

#define DEVICE_ROWS 262144 /* of a call */
#define DEVICE_WORKERS 8   /* at most: one does not pack rows as fast as a device takes them */
#define DEVICE_FEATURES 16
#define RUN_SECONDS 0.25 /* for all runs of a setting */
#define FAR_BEHIND 2
#define MAX_SETTINGS 8

/* One setting of a device, ready to run; a worker is NULL if it cannot, or computes wrongly. */
struct candidate {
    void *state, *workers[DEVICE_WORKERS];
    double best; /* seconds for DEVICE_ROWS of each worker */
};

/* What is measured: the kernels alone, by the device's clock and one worker, where rows of a group and the like are
 * chosen; or everything, by as many workers as a run would have, where the length of a transfer is. By one worker's
 * wall clock a GPU's kernels all look alike, because packing hides them. */
struct candidates {
    struct candidate all[MAX_SETTINGS];
    size_t n;
    const struct probe *probe;
    unsigned n_workers; /* 1: by the device's clock */
};

struct part {
    const struct probe *probe;
    void *worker;
    size_t first;
    double seconds;
};

static void *part_run(void *context)
{
    struct part *part = context;
    part->seconds = avvik__tune_run(part->probe, &avvik__backend_opencl, part->worker, part->first, DEVICE_ROWS);
    return NULL;
}

/* Seconds until all workers have scored their rows; 0 if one of them fails. */
static double workers_run(const struct candidates *candidates, const struct candidate *candidate)
{
    struct part parts[DEVICE_WORKERS];
    pthread_t threads[DEVICE_WORKERS];
    unsigned n_started = 0;
    const double start = avvik__tune_now_s();
    for (unsigned i = 0; i < candidates->n_workers; i++)
        parts[i] = (struct part){candidates->probe, candidate->workers[i], (size_t)i * DEVICE_ROWS, 0};
    while (n_started + 1 < candidates->n_workers &&
           pthread_create(&threads[n_started], NULL, part_run, &parts[n_started]) == 0)
        n_started++;
    for (unsigned i = n_started; i < candidates->n_workers; i++)
        part_run(&parts[i]);
    for (unsigned i = 0; i < n_started; i++)
        pthread_join(threads[i], NULL);
    const double took = avvik__tune_now_s() - start;
    for (unsigned i = 0; i < candidates->n_workers; i++)
        if (!(parts[i].seconds > 0))
            return 0;
    return took;
}

/* Seconds of the kernels, or of everything where the device has no clock; 0 if it fails. */
static double kernels_run(const struct candidates *candidates, const struct candidate *candidate)
{
    struct avvik__device_times before, after;
    avvik__opencl_worker_times(candidate->workers[0], &before);
    const double took =
        avvik__tune_run(candidates->probe, &avvik__backend_opencl, candidate->workers[0], 0, DEVICE_ROWS);
    avvik__opencl_worker_times(candidate->workers[0], &after);
    const uint64_t ns = after.deviation_ns - before.deviation_ns + after.fill_missing_ns - before.fill_missing_ns +
                        after.forest_path_ns - before.forest_path_ns;
    return took > 0 && ns > 0 ? (double)ns * 1e-9 : took;
}

static double candidate_run(const struct candidates *candidates, const struct candidate *candidate)
{
    return candidates->n_workers > 1 ? workers_run(candidates, candidate) : kernels_run(candidates, candidate);
}

static void candidate_open(struct candidates *candidates, const struct avvik__cl_device *device,
                           const struct avvik__cl_tuning *setting)
{
    const struct avvik__backend *backend = &avvik__backend_opencl;
    const struct avvik__scoring_plan *plan = &candidates->probe->memory.plan;
    struct candidate *candidate = &candidates->all[candidates->n++];
    struct avvik__cl_device tuned = *device;
    tuned.tuning = *setting;
    memset(candidate, 0, sizeof *candidate);
    if (avvik__opencl_open_device(&tuned, plan, &candidate->state, NULL) != AVVIK_OK ||
        avvik__plan_selftest(backend, candidate->state, plan, NULL) != AVVIK_OK)
        return;
    for (unsigned i = 0; i < candidates->n_workers; i++)
        if (backend->worker_create(candidate->state, DEVICE_ROWS, &candidate->workers[i], NULL) != AVVIK_OK)
            return;
    candidate->best = candidate_run(candidates, candidate); /* pays for what is made late */
}

static void candidates_close(struct candidates *candidates)
{
    for (size_t i = 0; i < candidates->n; i++) {
        for (unsigned w = 0; w < candidates->n_workers; w++)
            avvik__backend_opencl.worker_free(candidates->all[i].workers[w]);
        avvik__backend_opencl.close(candidates->all[i].state);
    }
}

/* All candidates in turns, so that what disturbs one disturbs all; one that is far behind is not run again. */
static void candidates_run(struct candidates *candidates)
{
    double best = 0;
    const double start = avvik__tune_now_s();
    for (int run = 0;
         run < AVVIK_TUNE_RUNS && (run < 2 || avvik__tune_now_s() - start < (double)candidates->n * RUN_SECONDS); run++)
        for (size_t i = 0; i < candidates->n; i++) {
            struct candidate *candidate = &candidates->all[i];
            if (!(candidate->best > 0) || (best > 0 && candidate->best > best * FAR_BEHIND))
                continue;
            const double took = candidate_run(candidates, candidate);
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
                                       unsigned n_workers, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct candidates candidates = {.probe = probe, .n_workers = n_workers};
    char target[32], text[32];
    snprintf(target, sizeof target, "opencl:%s", device->number);
    for (size_t i = 0; i < n; i++)
        candidate_open(&candidates, device, &settings[i]);
    candidates_run(&candidates);
    for (size_t i = 0; i < n && status == AVVIK_OK; i++) {
        const double best = candidates.all[i].best;
        setting_write(text, sizeof text, subject, &settings[i]);
        status = avvik__tuning_add(tune, target, subject, text, best > 0 ? DEVICE_ROWS * (double)n_workers / best : 0,
                                   error);
    }
    candidates_close(&candidates);
    if (status != AVVIK_OK)
        return status;
    const size_t best = avvik__tuning_choose(tune, n);
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

enum avvik_status avvik__tune_device(struct tune *tune, struct avvik__cl_device *device, struct avvik_error *error)
{
    static const uint32_t lane_groups[] = {32, 8, 128}, item_groups[] = {256, 64, 128, 512};
    static const uint32_t sent_kib[] = {4096, 1024, 2048, 8192}, shared_kib[] = {16384, 256, 1024, 4096};
    enum avvik_status status = AVVIK_OK;
    struct probe probe;
    struct avvik__cl_tuning settings[MAX_SETTINGS];
    const long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    const unsigned n_workers = device->has_unified_memory || n_cpus < 1 ? 1
                               : n_cpus < DEVICE_WORKERS                ? (unsigned)n_cpus
                                                                        : DEVICE_WORKERS;
    if ((status = avvik__tune_probe_init(&probe, AVVIK_TUNE_SAMPLE, DEVICE_FEATURES, (size_t)n_workers * DEVICE_ROWS,
                                         error)) != AVVIK_OK)
        return status;
    memset(settings, 0, sizeof settings);
    AVVIK_TRY(settings_tune(tune, device, &probe, "walk", settings, walks_list(device, settings), 1, error));

    const int is_lanes = strncmp(device->tuning.walk, "lanes:", 6) == 0;
    const uint32_t *groups = is_lanes ? lane_groups : item_groups;
    const size_t n_groups = is_lanes ? 3 : 4;
    size_t n = 0;
    for (size_t i = 0; i < n_groups; i++)
        if (i == 0 || groups[i] <= device->max_group) {
            settings[n] = device->tuning;
            settings[n++].group = groups[i];
        }
    AVVIK_TRY(settings_tune(tune, device, &probe, "group", settings, n, 1, error));
    for (n = 0; n < sizeof sent_kib / sizeof sent_kib[0]; n++) {
        settings[n] = device->tuning;
        settings[n].piece_kib = (device->has_unified_memory ? shared_kib : sent_kib)[n];
    }
    AVVIK_TRY(settings_tune(tune, device, &probe, "piece", settings, n, n_workers, error));
    AVVIK_TRY(avvik__cl_tuning_save(device, &device->tuning, error));
done:
    avvik__tune_probe_destroy(&probe);
    return status;
}

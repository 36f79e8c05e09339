/* Which backends this build has, and which devices this machine. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "engine_internal.h"

const struct avvik__backend *const avvik__cpu_backends[AVVIK_CPU_BACKENDS] = {
    &avvik__backend_scalar, &avvik__backend_avx2, &avvik__backend_avx512, &avvik__backend_avx512vbmi};

enum avvik_status avvik__backend_find(const char *text, const struct avvik__backend **backend_out,
                                      const char **spec_out, struct avvik_error *error)
{
    const size_t length = strcspn(text, ":");
    for (size_t i = 0; i <= AVVIK_CPU_BACKENDS; i++) {
        const struct avvik__backend *backend = i < AVVIK_CPU_BACKENDS ? avvik__cpu_backends[i] : &avvik__backend_opencl;
        if (strlen(backend->name) == length && strncmp(backend->name, text, length) == 0) {
            *backend_out = backend;
            *spec_out = text[length] == ':' ? text + length + 1 : NULL;
            return AVVIK_OK;
        }
    }
    return avvik__error_set(error, AVVIK_ERR_BACKEND, 0,
                            "backend '%s' is not known; there are auto, scalar, avx2, avx512, avx512vbmi, opencl, "
                            "opencl:PLATFORM.DEVICE[,...] and opencl:all",
                            text);
}

static const unsigned cpu_needs[AVVIK_CPU_BACKENDS] = {0, AVVIK_CPU_AVX2, AVVIK_CPU_AVX512, AVVIK_CPU_AVX512VBMI};

enum avvik_status avvik_devices_list(struct avvik_device **devices_out, size_t *n_devices_out,
                                     struct avvik_error *error)
{
    const unsigned features = avvik__cpu_features();
    size_t n_devices = AVVIK_CPU_BACKENDS;
    struct avvik_device *devices = calloc(n_devices, sizeof *devices);
    if (devices == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < AVVIK_CPU_BACKENDS; i++) {
        struct avvik_device *device = &devices[i];
        snprintf(device->backend, sizeof device->backend, "%s", avvik__cpu_backends[i]->name);
        avvik__cpu_name(device->name, sizeof device->name);
        device->is_available = (cpu_needs[i] & ~features) == 0;
        if (!device->is_available)
            snprintf(device->reason, sizeof device->reason, "this CPU or its operating system has no %s",
                     avvik__cpu_backends[i]->name);
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

/* Does a name in directory `path` begin with one of `prefixes` (NULL after the last)? */
static int directory_has(const char *path, const char *const *prefixes)
{
    int has = 0;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return 0;
    for (const struct dirent *entry; !has && (entry = readdir(directory)) != NULL;)
        for (size_t i = 0; prefixes[i] != NULL; i++)
            has |= strncmp(entry->d_name, prefixes[i], strlen(prefixes[i])) == 0;
    closedir(directory);
    return has;
}

int avvik__gpu_may_be_here(const char *devices)
{
    static const char *const makers[] = {"nvidia", "nvhost", "nvgpu", "nvmap", "kfd",     "dxg",
                                         "mali",   "kgsl",   "pvr",   "accel", "galcore", NULL};
    static const char *const direct[] = {"render", "card", NULL};
    char path[4096];
    if (getenv("POCL_DEVICES") != NULL) /* PoCL can be told to offer GPUs of other machines */
        return 1;
    snprintf(path, sizeof path, "%s/dri", devices);
    return directory_has(devices, makers) || directory_has(path, direct);
}

enum avvik_status avvik__opencl_specs_all(char **specs_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_device *devices = NULL;
    size_t n_devices = 0, used = 0;
    int has_gpu = 0;
    char *specs = NULL;
    AVVIK_TRY(avvik__opencl_devices_list(&devices, &n_devices, error));
    if ((specs = calloc(n_devices + 1, sizeof devices->backend)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < n_devices; i++)
        has_gpu |= devices[i].is_available && devices[i].is_gpu;
    for (size_t i = 0; i < n_devices; i++)
        if (devices[i].is_available && devices[i].is_gpu == has_gpu)
            used += (size_t)snprintf(specs + used, sizeof devices->backend, "%s%s", used > 0 ? "," : "",
                                     strchr(devices[i].backend, ':') + 1);
    if (used == 0)
        AVVIK_FAIL(AVVIK_ERR_BACKEND, 0, "no OpenCL device can be used here: %s", devices[0].reason);
    *specs_out = specs;
    specs = NULL;
done:
    free(specs);
    free(devices);
    return status;
}

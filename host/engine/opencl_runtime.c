#include "opencl_runtime.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "backend.h"

#define NO_PLATFORM                                                                                                    \
    "no OpenCL platform is installed: install the driver of your GPU, or PoCL (Debian: pocl-opencl-icd) for the CPU"
#define MAX_PLATFORMS 32
#define MAX_DEVICES 64 /* of one platform */

const char *avvik__cl_code_name(cl_int code)
{
#define NAME(code)                                                                                                     \
    case code: return #code
    switch (code) {
        NAME(CL_SUCCESS);
        NAME(CL_DEVICE_NOT_FOUND);
        NAME(CL_DEVICE_NOT_AVAILABLE);
        NAME(CL_COMPILER_NOT_AVAILABLE);
        NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE);
        NAME(CL_OUT_OF_RESOURCES);
        NAME(CL_OUT_OF_HOST_MEMORY);
        NAME(CL_BUILD_PROGRAM_FAILURE);
        NAME(CL_MAP_FAILURE);
        NAME(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
        NAME(CL_LINKER_NOT_AVAILABLE);
        NAME(CL_INVALID_VALUE);
        NAME(CL_INVALID_DEVICE_TYPE);
        NAME(CL_INVALID_PLATFORM);
        NAME(CL_INVALID_DEVICE);
        NAME(CL_INVALID_CONTEXT);
        NAME(CL_INVALID_QUEUE_PROPERTIES);
        NAME(CL_INVALID_COMMAND_QUEUE);
        NAME(CL_INVALID_HOST_PTR);
        NAME(CL_INVALID_MEM_OBJECT);
        NAME(CL_INVALID_BINARY);
        NAME(CL_INVALID_BUILD_OPTIONS);
        NAME(CL_INVALID_PROGRAM);
        NAME(CL_INVALID_PROGRAM_EXECUTABLE);
        NAME(CL_INVALID_KERNEL_NAME);
        NAME(CL_INVALID_KERNEL);
        NAME(CL_INVALID_ARG_INDEX);
        NAME(CL_INVALID_ARG_VALUE);
        NAME(CL_INVALID_ARG_SIZE);
        NAME(CL_INVALID_KERNEL_ARGS);
        NAME(CL_INVALID_WORK_GROUP_SIZE);
        NAME(CL_INVALID_WORK_ITEM_SIZE);
        NAME(CL_INVALID_EVENT_WAIT_LIST);
        NAME(CL_INVALID_OPERATION);
        NAME(CL_INVALID_BUFFER_SIZE);
        NAME(CL_INVALID_GLOBAL_WORK_SIZE);
    case -1001: return "CL_PLATFORM_NOT_FOUND_KHR";
    default: return "an unknown code";
    }
#undef NAME
}

enum avvik_status avvik__cl_check(cl_int code, const char *call, const char *device, struct avvik_error *error)
{
    if (code == CL_SUCCESS)
        return AVVIK_OK;
    const int is_memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY;
    return avvik__error_set(error, is_memory ? AVVIK_ERR_MEMORY : AVVIK_ERR_BACKEND, code,
                            "OpenCL: %s failed with %s (%d)%s%s", call, avvik__cl_code_name(code), (int)code,
                            device != NULL ? " on " : "", device != NULL ? device : "");
}

void avvik__cl_memory_release(cl_mem *memory)
{
    if (*memory != NULL)
        clReleaseMemObject(*memory);
    *memory = NULL;
}

/* Device and platform strings; empty where there is none. */
static void device_text(cl_device_id id, cl_device_info what, char *text, size_t size)
{
    char value[1024] = "";
    if (clGetDeviceInfo(id, what, sizeof value - 1, value, NULL) != CL_SUCCESS)
        value[0] = '\0';
    snprintf(text, size, "%s", value);
}

static void platform_text(cl_platform_id id, cl_platform_info what, char *text, size_t size)
{
    char value[1024] = "";
    if (clGetPlatformInfo(id, what, sizeof value - 1, value, NULL) != CL_SUCCESS)
        value[0] = '\0';
    snprintf(text, size, "%s", value);
}

static cl_bool device_flag(cl_device_id id, cl_device_info what)
{
    cl_bool value = CL_FALSE;
    return clGetDeviceInfo(id, what, sizeof value, &value, NULL) == CL_SUCCESS ? value : CL_FALSE;
}

/* The numeric contract wants IEEE rounding, infinities and NaN of float; full-profile devices have them. */
static void reason_find(struct avvik__cl_device *device)
{
    char version[128];
    int major = 0, minor = 0;
    cl_device_fp_config fp = 0;
    device_text(device->id, CL_DEVICE_VERSION, version, sizeof version);
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2 || major < 1 || (major == 1 && minor < 2))
        snprintf(device->reason, sizeof device->reason, "it offers %.80s, and 1.2 is needed", version);
    else if (!device_flag(device->id, CL_DEVICE_AVAILABLE))
        snprintf(device->reason, sizeof device->reason, "its driver says it is not available");
    else if (!device_flag(device->id, CL_DEVICE_COMPILER_AVAILABLE))
        snprintf(device->reason, sizeof device->reason, "its driver has no compiler");
    else if (!device_flag(device->id, CL_DEVICE_ENDIAN_LITTLE))
        snprintf(device->reason, sizeof device->reason, "it is big-endian");
    else if (clGetDeviceInfo(device->id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof fp, &fp, NULL) != CL_SUCCESS ||
             !(fp & CL_FP_ROUND_TO_NEAREST) || !(fp & CL_FP_INF_NAN))
        snprintf(device->reason, sizeof device->reason, "it does not round float32 as IEEE 754 says");
}

static void device_fill(struct avvik__cl_device *device)
{
    size_t sizes[8] = {1, 1, 1, 1, 1, 1, 1, 1}, max_group = 1;
    cl_uint alignment_bits = 4096 * CHAR_BIT;
    cl_device_local_mem_type local_type = CL_GLOBAL;
    device_text(device->id, CL_DEVICE_NAME, device->name, sizeof device->name);
    device_text(device->id, CL_DRIVER_VERSION, device->driver, sizeof device->driver);
    device->max_alloc_bytes = (cl_ulong)128 << 20; /* the least that OpenCL 1.2 allows */
    device->float_width = 1;
    device->type = CL_DEVICE_TYPE_DEFAULT;
    /* What a driver does not answer keeps its cautious value. */
    clGetDeviceInfo(device->id, CL_DEVICE_TYPE, sizeof device->type, &device->type, NULL);
    clGetDeviceInfo(device->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof max_group, &max_group, NULL);
    clGetDeviceInfo(device->id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes, NULL);
    clGetDeviceInfo(device->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof device->max_alloc_bytes, &device->max_alloc_bytes,
                    NULL);
    clGetDeviceInfo(device->id, CL_DEVICE_LOCAL_MEM_TYPE, sizeof local_type, &local_type, NULL);
    clGetDeviceInfo(device->id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof device->local_bytes, &device->local_bytes, NULL);
    device->has_fast_local = local_type == CL_LOCAL;
    clGetDeviceInfo(device->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof device->float_width, &device->float_width,
                    NULL);
    clGetDeviceInfo(device->id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof alignment_bits, &alignment_bits, NULL);
    device->buffer_alignment = alignment_bits < CHAR_BIT ? 1 : alignment_bits / CHAR_BIT;
    device->max_group = max_group < sizes[0] ? max_group : sizes[0];
    device->has_unified_memory = device_flag(device->id, CL_DEVICE_HOST_UNIFIED_MEMORY) != CL_FALSE;
    reason_find(device);
}

static struct avvik__cl_device *device_append(struct avvik__cl_devices *devices)
{
    struct avvik__cl_device *grown = realloc(devices->devices, (devices->n_devices + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    devices->devices = grown;
    memset(&grown[devices->n_devices], 0, sizeof *grown);
    return &grown[devices->n_devices++];
}

/* A platform without devices, or one that fails: one entry that says so. */
static void platform_reason(struct avvik__cl_device *device, cl_int code)
{
    const char *name = code == CL_SUCCESS ? "no device" : avvik__cl_code_name(code);
    if (strstr(device->platform_name, "Portable Computing Language") != NULL)
        snprintf(device->reason, sizeof device->reason,
                 "clGetDeviceIDs gave %s; PoCL does so when it cannot write its cache: set POCL_CACHE_DIR to a "
                 "directory you may write to",
                 name);
    else if (code == CL_SUCCESS || code == CL_DEVICE_NOT_FOUND)
        snprintf(device->reason, sizeof device->reason, "the platform has no device here");
    else
        snprintf(device->reason, sizeof device->reason, "clGetDeviceIDs failed with %s", name);
}

enum avvik_status avvik__cl_devices_init(struct avvik__cl_devices *devices, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint n_platforms = 0;
    struct avvik__cl_device *device;
    memset(devices, 0, sizeof *devices);

    /* The ICD loader answers CL_PLATFORM_NOT_FOUND_KHR where there is none. */
    const cl_int code = clGetPlatformIDs(MAX_PLATFORMS, platforms, &n_platforms);
    if (code != CL_SUCCESS || n_platforms == 0) {
        if ((device = device_append(devices)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory to list OpenCL devices");
        snprintf(device->reason, sizeof device->reason, "%s", NO_PLATFORM);
        goto done;
    }
    for (cl_uint p = 0; p < n_platforms && p < MAX_PLATFORMS; p++) {
        cl_device_id ids[MAX_DEVICES];
        cl_uint n_ids = 0;
        const cl_int ids_code = clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &n_ids);
        const int has_none = ids_code != CL_SUCCESS || n_ids == 0;
        for (cl_uint d = 0; d < (has_none ? 1 : n_ids) && d < MAX_DEVICES; d++) {
            if ((device = device_append(devices)) == NULL)
                AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory to list OpenCL devices");
            device->platform = platforms[p];
            platform_text(platforms[p], CL_PLATFORM_NAME, device->platform_name, sizeof device->platform_name);
            platform_text(platforms[p], CL_PLATFORM_VERSION, device->platform_version, sizeof device->platform_version);
            snprintf(device->number, sizeof device->number, "%u.%u", p, d);
            if (has_none) {
                platform_reason(device, ids_code);
            } else {
                device->id = ids[d];
                device_fill(device);
            }
        }
    }
done:
    if (status != AVVIK_OK)
        avvik__cl_devices_destroy(devices);
    return status;
}

void avvik__cl_devices_destroy(struct avvik__cl_devices *devices)
{
    free(devices->devices);
    memset(devices, 0, sizeof *devices);
}

void avvik__cl_device_describe(const struct avvik__cl_device *device, char *text, size_t size)
{
    if (device->id == NULL)
        snprintf(text, size, "%s", device->platform_name[0] != '\0' ? device->platform_name : "OpenCL");
    else
        snprintf(text, size, "%s, driver %s, %s", device->name, device->driver, device->platform_name);
}

/* "0.0 (name), 1.0 (name; cannot run: reason)" */
static void devices_enumerate(const struct avvik__cl_devices *devices, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < devices->n_devices && used < size; i++) {
        const struct avvik__cl_device *device = &devices->devices[i];
        const int is_bare = device->number[0] == '\0';
        const int n =
            snprintf(text + used, size - used, "%s%s%s%s%s%s%s", i > 0 ? ", " : "", device->number, is_bare ? "" : " (",
                     device->id != NULL ? device->name : device->platform_name,
                     device->reason[0] != '\0' && !is_bare ? "; cannot run: " : "", device->reason, is_bare ? "" : ")");
        if (n < 0)
            break;
        used += (size_t)n;
    }
}

enum avvik_status avvik__cl_device_choose(const char *spec, struct avvik__cl_device *device_out,
                                          struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__cl_devices devices = {0};
    const struct avvik__cl_device *chosen = NULL;
    char known[768];
    AVVIK_TRY(avvik__cl_devices_init(&devices, error));
    for (size_t i = 0; i < devices.n_devices; i++) {
        const struct avvik__cl_device *device = &devices.devices[i];
        if (spec != NULL) {
            if (device->number[0] != '\0' && strcmp(device->number, spec) == 0)
                chosen = device;
        } else if (device->reason[0] == '\0' &&
                   (chosen == NULL || ((device->type & CL_DEVICE_TYPE_GPU) && !(chosen->type & CL_DEVICE_TYPE_GPU)))) {
            chosen = device;
        }
    }
    devices_enumerate(&devices, known, sizeof known);
    if (chosen == NULL && spec != NULL)
        AVVIK_FAIL(AVVIK_ERR_BACKEND, 0, "there is no device opencl:%.40s (opencl:PLATFORM.DEVICE); here: %s", spec,
                   known);
    if (chosen == NULL)
        AVVIK_FAIL(AVVIK_ERR_BACKEND, 0, "no OpenCL device can be used here: %s", known);
    if (chosen->reason[0] != '\0')
        AVVIK_FAIL(AVVIK_ERR_BACKEND, 0, "OpenCL device %s cannot be used: %s", chosen->number, chosen->reason);
    *device_out = *chosen;
done:
    avvik__cl_devices_destroy(&devices);
    return status;
}

enum avvik_status avvik__opencl_devices_list(struct avvik_device **devices, size_t *n_devices,
                                             struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__cl_devices found = {0};
    AVVIK_TRY(avvik__cl_devices_init(&found, error));
    struct avvik_device *grown = realloc(*devices, (*n_devices + found.n_devices) * sizeof *grown);
    if (grown == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory to list OpenCL devices");
    *devices = grown;
    for (size_t i = 0; i < found.n_devices; i++) {
        const struct avvik__cl_device *device = &found.devices[i];
        struct avvik_device *entry = &grown[(*n_devices)++];
        memset(entry, 0, sizeof *entry);
        snprintf(entry->backend, sizeof entry->backend, "opencl%s%s", device->number[0] != '\0' ? ":" : "",
                 device->number);
        avvik__cl_device_describe(device, entry->name, sizeof entry->name);
        snprintf(entry->reason, sizeof entry->reason, "%s", device->reason);
        entry->is_available = device->reason[0] == '\0';
        entry->is_gpu = (device->type & CL_DEVICE_TYPE_GPU) != 0;
    }
done:
    avvik__cl_devices_destroy(&found);
    return status;
}

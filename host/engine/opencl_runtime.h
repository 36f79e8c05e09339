/* OpenCL platforms and devices: finding them, choosing one, and a sentence for every call that fails. */
#ifndef AVVIK_OPENCL_RUNTIME_H
#define AVVIK_OPENCL_RUNTIME_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

/* What was measured to be best on a device; 0 and "" where nothing was. */
struct avvik__cl_tuning {
    char walk[24];      /* as AVVIK_OPENCL_WALK says it */
    uint32_t group;     /* work-items of a group at most: a power of two up to AVVIK_CL_MAX_GROUP */
    uint32_t piece_kib; /* packed rows of a launch */
};
#define AVVIK_CL_MAX_GROUP 1024u
#define AVVIK_CL_MAX_PIECE_KIB 65536u

/* One device and what the choice of kernels depends on. `number` is "P.D", the numbers of `avvik devices`. */
struct avvik__cl_device {
    cl_platform_id platform;
    cl_device_id id;
    char number[24];
    char name[128];
    char driver[128]; /* driver version */
    char platform_name[128];
    char platform_version[128];
    char reason[256]; /* empty if avvik can run on it, else why it cannot */
    cl_device_type type;
    size_t max_group; /* work-items of a work-group, in the first dimension */
    cl_ulong max_alloc_bytes;
    size_t buffer_alignment; /* where a part of a buffer may begin */
    cl_ulong local_bytes;
    int has_fast_local;  /* local memory is faster than global memory, not a part of it */
    cl_uint float_width; /* native vector width */
    int has_unified_memory;
    struct avvik__cl_tuning tuning; /* whoever opens the device fills it in */
};

struct avvik__cl_devices {
    struct avvik__cl_device *devices; /* those with an id, and entries without one that tell why a platform has none */
    size_t n_devices;
};

/* The one place where an OpenCL code becomes a status: AVVIK_OK for CL_SUCCESS, else AVVIK_ERR_MEMORY where the
 * device or the host has too little of it, else AVVIK_ERR_BACKEND, with the call, the code's name and the device (NULL:
 * none yet) in *error. */
enum avvik_status avvik__cl_check(cl_int code, const char *call, const char *device, struct avvik_error *error);

/* Name of an OpenCL error code ("CL_OUT_OF_RESOURCES"). Never NULL; static storage. */
const char *avvik__cl_code_name(cl_int code);

/* Every device of every platform. A machine without OpenCL gives one entry with a reason.
 * AVVIK_OK or AVVIK_ERR_MEMORY. Release with avvik__cl_devices_destroy(). */
enum avvik_status avvik__cl_devices_init(struct avvik__cl_devices *devices, struct avvik_error *error);
void avvik__cl_devices_destroy(struct avvik__cl_devices *devices);

/* Copy the device that `spec` names ("P.D"; NULL: the first GPU that can run, else the first device that can) to
 * *device_out. AVVIK_ERR_BACKEND names what there is instead. */
enum avvik_status avvik__cl_device_choose(const char *spec, struct avvik__cl_device *device_out,
                                          struct avvik_error *error);

/* Release *memory if there is one, and set it to NULL. */
void avvik__cl_memory_release(cl_mem *memory);

/* "name, driver version, platform" for people. */
void avvik__cl_device_describe(const struct avvik__cl_device *device, char *text, size_t size);

#endif

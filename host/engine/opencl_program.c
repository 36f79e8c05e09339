#include "opencl_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "build_info.h"
#include "opencl_cache.h"

#define MAX_GROUP 256u  /* work-items of a group */
#define CHAINS 4u       /* walks of an item that hide each other's latency: rows of it times trees in flight */
#define GOOD_GROUP 64u  /* below this, rows in local memory cost more parallelism than they save */
#define LANES_GROUP 32u /* enough to amortise a group's start; PoCL sizes a group's stack by it */
#define LANES_ROWS 8u   /* rows in flight; measured on AVX-512: 1, 2, 4, 8, 16 rows give 45, 46, 70, 100, 95 % */
#define MAX_SOURCES 16
#define N_KEY_TEXTS 5
#define RESERVED_LOCAL_BYTES 256 /* for what a compiler puts there itself */

static uint32_t tree_bytes(const struct avvik__scoring_plan *plan)
{
    return (plan->is_wide ? 8u : 6u) << plan->forest.height; /* words, leaves and perhaps features */
}

/* Rows first: as many as take three quarters of local memory, in groups as large as can be, two rows an item where
 * there are enough; trees share what is left. Where fewer than CHAINS trees would fit beside them, as those of 10
 * levels and more, trees stay in global memory (H200, 12 levels: 1.97 G rows/s, and 0.79 with two trees at a time in
 * local memory); and rows do of which fewer than GOOD_GROUP fit. */
static void local_memory_share(struct avvik__cl_geometry *geometry, uint64_t local_bytes, uint32_t max_group,
                               const struct avvik__scoring_plan *plan)
{
    const uint64_t tree = tree_bytes(plan), row = (uint64_t)plan->n_features * sizeof(float);
    const uint32_t least = max_group < GOOD_GROUP ? max_group : GOOD_GROUP;
    uint64_t left = local_bytes;
    for (uint32_t rows = 2 * max_group; rows >= least && !geometry->has_local_rows; rows /= 2)
        if (rows * row * 4 <= local_bytes * 3) {
            geometry->rows = rows > max_group ? 2 : 1;
            geometry->group = rows / geometry->rows;
            geometry->has_local_rows = 1;
            left -= rows * row;
        }
    const uint64_t fitting = left / tree;
    geometry->in_flight = geometry->has_local_rows ? CHAINS / geometry->rows : fitting == 1 ? 1 : 2;
    if (geometry->has_local_rows && fitting < CHAINS)
        return;
    const uint64_t wanted =
        (plan->forest.n_trees + geometry->in_flight - 1) / geometry->in_flight * geometry->in_flight;
    geometry->tile_trees = (uint32_t)(fitting < wanted ? fitting : wanted) / geometry->in_flight * geometry->in_flight;
}

int avvik__cl_walk_parse(const char *text, struct avvik__cl_walk *walk_out)
{
    unsigned long long bytes = 0;
    char rest;
    struct avvik__cl_walk walk = {.is_lanes = strncmp(text, "lanes:", 6) == 0};
    if (strcmp(text, "lanes:16") == 0)
        walk.vector = 16;
    else if (strcmp(text, "lanes:8") == 0)
        walk.vector = 8;
    else if (sscanf(text, "local:%llu%c", &bytes, &rest) == 1)
        walk.local_bytes = bytes;
    else if (strcmp(text, "global") != 0)
        return 0;
    *walk_out = walk;
    return 1;
}

enum avvik_status avvik__cl_geometry_choose(const struct avvik__cl_device *device,
                                            const struct avvik__scoring_plan *plan,
                                            struct avvik__cl_geometry *geometry_out, struct avvik_error *error)
{
    const char *forced = getenv("AVVIK_OPENCL_WALK");
    const struct avvik__cl_tuning *tuning = &device->tuning;
    /* Vectors without local memory of their own: a CPU. */
    struct avvik__cl_walk walk = {.is_lanes = !device->has_fast_local && device->float_width >= 4,
                                  .vector = device->float_width >= 16 ? 16 : 8,
                                  .local_bytes = device->has_fast_local ? device->local_bytes : 0};
    if (forced != NULL && !avvik__cl_walk_parse(forced, &walk))
        return avvik__error_set(error, AVVIK_ERR_BACKEND, 0,
                                "AVVIK_OPENCL_WALK is '%.40s', and can be lanes:16, lanes:8, local:BYTES or global",
                                forced);
    if (forced == NULL && tuning->walk[0] != '\0')
        avvik__cl_walk_parse(tuning->walk, &walk);
    if (walk.local_bytes > device->local_bytes)
        walk.local_bytes = device->local_bytes;

    const uint32_t most = tuning->group > 0 ? tuning->group : walk.is_lanes ? LANES_GROUP : MAX_GROUP;
    struct avvik__cl_geometry geometry = {
        .is_lanes = walk.is_lanes, .vector = walk.vector > 0 ? walk.vector : 8, .rows = 1, .group = 1, .in_flight = 2};
    while (geometry.group * 2 <= most && geometry.group * 2 <= device->max_group)
        geometry.group *= 2;
    if (walk.is_lanes)
        geometry.rows = LANES_ROWS;
    else if (walk.local_bytes > RESERVED_LOCAL_BYTES)
        local_memory_share(&geometry, walk.local_bytes - RESERVED_LOCAL_BYTES, geometry.group, plan);
    if (tuning->piece_kib > 0) {
        geometry.piece_rows = ((size_t)tuning->piece_kib << 10) / (plan->stride * sizeof(float));
        geometry.piece_rows = geometry.piece_rows == 0 ? 1 : geometry.piece_rows;
    }
    *geometry_out = geometry;
    return AVVIK_OK;
}

/* Never -cl-fast-relaxed-math, -cl-mad-enable or -cl-denorms-are-zero: the contract is exact. */
void avvik__cl_options_write(char *options, size_t size, const struct avvik__scoring_plan *plan,
                             const struct avvik__cl_geometry *geometry)
{
    snprintf(options, size,
             "-cl-std=CL1.2 -DAVVIK_FEATURES=%uu -DAVVIK_STRIDE=%uu -DAVVIK_HEIGHT=%uu -DAVVIK_WIDE=%d "
             "-DAVVIK_WALK_LANES=%d -DAVVIK_WALK_ITEMS=%d -DAVVIK_VECTOR=%u -DAVVIK_ROWS=%uu -DAVVIK_GROUP=%uu "
             "-DAVVIK_TILE_TREES=%uu "
             "-DAVVIK_IN_FLIGHT=%uu -DAVVIK_LOCAL_ROWS=%d -DAVVIK_PEERS=%d -DAVVIK_JOINT=%d -DAVVIK_JOINT_PEERS=%d "
             "-DAVVIK_TAILS=%d",
             plan->n_features, (unsigned)plan->stride, plan->forest.height, plan->is_wide != 0, geometry->is_lanes,
             !geometry->is_lanes, geometry->vector, geometry->rows, geometry->is_lanes ? 1u : geometry->group,
             geometry->tile_trees, geometry->in_flight, geometry->has_local_rows, plan->n_groups > 1, plan->n_joint > 0,
             plan->n_joint > 1, plan->tails != NULL);
}

static cl_program binary_load(cl_context context, const struct avvik__cl_device *device, const char *options,
                              const struct avvik__cl_cache_key *key)
{
    size_t size = 0;
    cl_int code, binary_code;
    uint8_t *binary = avvik__cl_cache_load(key, &size);
    if (binary == NULL)
        return NULL;
    const unsigned char *pointer = binary;
    cl_program program = clCreateProgramWithBinary(context, 1, &device->id, &size, &pointer, &binary_code, &code);
    free(binary);
    if (program != NULL && (code != CL_SUCCESS || clBuildProgram(program, 1, &device->id, options, NULL, NULL) != 0)) {
        clReleaseProgram(program);
        program = NULL;
    }
    return program;
}

static void binary_store(cl_program program, const struct avvik__cl_cache_key *key)
{
    size_t size = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) != CL_SUCCESS || size == 0)
        return;
    uint8_t *binary = malloc(size);
    if (binary != NULL && clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        avvik__cl_cache_store(key, binary, size);
    free(binary);
}

/* The first line of the compiler's log that speaks of an error, or the first there is. */
static void build_log(cl_program program, const struct avvik__cl_device *device, char *text, size_t size)
{
    size_t log_size = 0;
    snprintf(text, size, "no log");
    if (clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &log_size) != CL_SUCCESS ||
        log_size == 0)
        return;
    char *log = calloc(1, log_size + 1);
    if (log != NULL &&
        clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, log_size, log, NULL) == CL_SUCCESS) {
        const char *error_at = strstr(log, "error"), *line = log;
        for (const char *end = strchr(log, '\n'); error_at != NULL && end != NULL && end < error_at;
             end = strchr(line, '\n'))
            line = end + 1;
        snprintf(text, size, "%.*s", (int)strcspn(line, "\n"), line);
    }
    free(log);
}

static enum avvik_status source_build(cl_context context, const struct avvik__cl_device *device, const char *options,
                                      const char **sources, cl_program *program_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    cl_int code;
    char log[512];
    cl_program program = clCreateProgramWithSource(context, avvik__n_cl_sources, sources, NULL, &code);
    AVVIK_TRY(avvik__cl_check(code, "clCreateProgramWithSource", device->name, error));
    code = clBuildProgram(program, 1, &device->id, options, NULL, NULL);
    if (code == CL_BUILD_PROGRAM_FAILURE) {
        build_log(program, device, log, sizeof log);
        AVVIK_FAIL(AVVIK_ERR_BACKEND, code, "OpenCL: %s does not compile the kernels: %s", device->name, log);
    }
    AVVIK_TRY(avvik__cl_check(code, "clBuildProgram", device->name, error));
    *program_out = program;
    program = NULL;
done:
    if (program != NULL)
        clReleaseProgram(program);
    return status;
}

/* From the cache or from source, and how large a group of `kernel_name` may be. */
static enum avvik_status options_build(cl_context context, const struct avvik__cl_device *device, const char *options,
                                       const char *kernel_name, cl_program *program_out, size_t *group_out,
                                       struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__cl_cache_key key;
    const char *texts[N_KEY_TEXTS + MAX_SOURCES] = {AVVIK_VERSION, options, device->name, device->driver,
                                                    device->platform_version};
    cl_program program = NULL;
    cl_kernel kernel = NULL;
    cl_int code;
    if (avvik__n_cl_sources > MAX_SOURCES)
        AVVIK_FAIL(AVVIK_ERR_INTERNAL, 0, "more OpenCL sources than opencl_program.c has room for");
    for (unsigned i = 0; i < avvik__n_cl_sources; i++)
        texts[N_KEY_TEXTS + i] = avvik__cl_sources[i];
    avvik__cl_cache_key(texts, N_KEY_TEXTS + avvik__n_cl_sources, &key);

    program = binary_load(context, device, options, &key);
    if (program == NULL) {
        AVVIK_TRY(source_build(context, device, options, &texts[N_KEY_TEXTS], &program, error));
        binary_store(program, &key);
    }
    kernel = clCreateKernel(program, kernel_name, &code);
    if (code == CL_INVALID_KERNEL_NAME || code == CL_INVALID_PROGRAM_EXECUTABLE) {
        /* A whole cache file with something else in it: once more, from source. */
        clReleaseProgram(program);
        program = NULL;
        avvik__cl_cache_remove(&key);
        AVVIK_TRY(source_build(context, device, options, &texts[N_KEY_TEXTS], &program, error));
        binary_store(program, &key);
        kernel = clCreateKernel(program, kernel_name, &code);
    }
    AVVIK_TRY(avvik__cl_check(code, "clCreateKernel", device->name, error));
    AVVIK_TRY(avvik__cl_check(
        clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof *group_out, group_out, NULL),
        "clGetKernelWorkGroupInfo", device->name, error));
    *program_out = program;
    program = NULL;
done:
    if (kernel != NULL)
        clReleaseKernel(kernel);
    if (program != NULL)
        clReleaseProgram(program);
    return status;
}

enum avvik_status avvik__cl_program_build(cl_context context, const struct avvik__cl_device *device,
                                          const struct avvik__scoring_plan *plan, struct avvik__cl_geometry *geometry,
                                          cl_program *program_out, struct avvik_error *error)
{
    char options[512];
    for (;;) {
        cl_program program = NULL;
        size_t group = 0;
        avvik__cl_options_write(options, sizeof options, plan, geometry);
        const enum avvik_status status =
            options_build(context, device, options, "forest_path", &program, &group, error);
        if (status != AVVIK_OK)
            return status;
        if (geometry->is_lanes) { /* the group is no constant of the kernel */
            while (geometry->group > 1 && geometry->group > group)
                geometry->group /= 2;
        }
        if (geometry->group <= group || geometry->group == 1) {
            *program_out = program;
            return AVVIK_OK;
        }
        clReleaseProgram(program);
        geometry->group /= 2; /* its registers do not fit: a smaller group, compiled for it */
    }
}

enum avvik_status avvik__cl_reasons_program(cl_context context, const struct avvik__cl_device *device,
                                            const struct avvik__scoring_plan *plan, cl_program *program_out,
                                            struct avvik_error *error)
{
    /* Rows lie and are walked in global memory; of forest_path there is nothing in this program. */
    const struct avvik__cl_geometry geometry = {.vector = 8, .rows = 1, .group = 1, .in_flight = 1};
    char walk[512], options[600];
    size_t group;
    avvik__cl_options_write(walk, sizeof walk, plan, &geometry);
    char *items = strstr(walk, "-DAVVIK_WALK_ITEMS=1");
    items[strlen("-DAVVIK_WALK_ITEMS=")] = '0';
    snprintf(options, sizeof options, "%s -DAVVIK_REASONS=1", walk);
    return options_build(context, device, options, "forest_reasons", program_out, &group, error);
}

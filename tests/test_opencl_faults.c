/* OpenCL calls that fail, one after the other, under a real engine on a real device: whatever fails while rows are
 * scored, the results are those of the scalar reference, and every OpenCL object that was made is released. The linker
 * redirects avvik's OpenCL calls here (tests/CMakeLists.txt). Each test runs with the host's memory shared, as the
 * device says, and as if it were not, so that the copies of a GPU run here too. */
#include <dirent.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine_cases.h"
#include "opencl_runtime.h"
#include "suite_run.h"
#include "tuning.h"

enum {
    N_ROWS = 70001,
    CALL = 60001,
    N_PIECES = 5
}; /* a call of four pieces, more than there are slots, and one of one */

/* ---- What is done to the calls ---- */

static struct {
    long first, last;    /* which calls fail, counted from arming on */
    cl_int code;         /* with what */
    int is_event_failed; /* instead: from call `first` on every event says that its command failed with `code` */
    int is_silent;       /* instead: from call `first` on no event is ever complete */
    int is_back;         /* with is_silent: but the second time it is asked for, it is */
    int is_dropped;      /* instead: launch number `first` of the forest's kernel does not take place */
    int is_discrete;     /* the device says that it does not share the host's memory */
} plan;
static atomic_long n_calls, n_launches, n_live, n_spoiled, n_looks, n_launches_at_first_look;

static int fails_now(void)
{
    const long call = atomic_fetch_add(&n_calls, 1);
    return !plan.is_event_failed && !plan.is_silent && !plan.is_dropped && call >= plan.first && call <= plan.last;
}

static void disarm(void)
{
    const int is_discrete = plan.is_discrete;
    memset(&plan, 0, sizeof plan);
    plan.first = -1;
    plan.last = -2;
    plan.is_discrete = is_discrete;
    atomic_store(&n_calls, 0);
    atomic_store(&n_launches, 0);
    atomic_store(&n_spoiled, 0);
    atomic_store(&n_looks, 0);
}

#define DECLARE(type, name, parameters)                                                                                \
    type CL_API_CALL __real_##name parameters;                                                                         \
    type CL_API_CALL __wrap_##name parameters

/* Calls that return a code; an event that they give out is alive. */
#define WRAP_CODE(name, parameters, arguments)                                                                         \
    DECLARE(cl_int, name, parameters);                                                                                 \
    cl_int CL_API_CALL __wrap_##name parameters                                                                        \
    {                                                                                                                  \
        return fails_now() ? plan.code : __real_##name arguments;                                                      \
    }
#define WRAP_COMMAND(name, parameters, arguments)                                                                      \
    DECLARE(cl_int, name, parameters);                                                                                 \
    cl_int CL_API_CALL __wrap_##name parameters                                                                        \
    {                                                                                                                  \
        if (fails_now())                                                                                               \
            return plan.code;                                                                                          \
        const cl_int code = __real_##name arguments;                                                                   \
        if (code == CL_SUCCESS && event != NULL)                                                                       \
            atomic_fetch_add(&n_live, 1);                                                                              \
        return code;                                                                                                   \
    }
/* Calls that return an object. */
#define WRAP_CREATE(type, name, parameters, arguments)                                                                 \
    DECLARE(type, name, parameters);                                                                                   \
    type CL_API_CALL __wrap_##name parameters                                                                          \
    {                                                                                                                  \
        if (fails_now()) {                                                                                             \
            *code = plan.code;                                                                                         \
            return NULL;                                                                                               \
        }                                                                                                              \
        const type made = __real_##name arguments;                                                                     \
        if (made != NULL)                                                                                              \
            atomic_fetch_add(&n_live, 1);                                                                              \
        return made;                                                                                                   \
    }
#define WRAP_RELEASE(type, name)                                                                                       \
    DECLARE(cl_int, name, (type object));                                                                              \
    cl_int CL_API_CALL __wrap_##name(type object)                                                                      \
    {                                                                                                                  \
        atomic_fetch_sub(&n_live, 1);                                                                                  \
        return __real_##name(object);                                                                                  \
    }

WRAP_CODE(clFlush, (cl_command_queue queue), (queue))
WRAP_CODE(clSetKernelArg, (cl_kernel kernel, cl_uint index, size_t size, const void *value),
          (kernel, index, size, value))
WRAP_CODE(clGetKernelWorkGroupInfo,
          (cl_kernel kernel, cl_device_id device, cl_kernel_work_group_info what, size_t size, void *value,
           size_t *size_out),
          (kernel, device, what, size, value, size_out))
WRAP_CODE(clBuildProgram,
          (cl_program program, cl_uint n, const cl_device_id *devices, const char *options,
           void(CL_CALLBACK *notify)(cl_program, void *), void *user),
          (program, n, devices, options, notify, user))
WRAP_COMMAND(clEnqueueWriteBuffer,
             (cl_command_queue queue, cl_mem memory, cl_bool wait, size_t offset, size_t size, const void *from,
              cl_uint n, const cl_event *before, cl_event *event),
             (queue, memory, wait, offset, size, from, n, before, event))
WRAP_COMMAND(clEnqueueReadBuffer,
             (cl_command_queue queue, cl_mem memory, cl_bool wait, size_t offset, size_t size, void *to, cl_uint n,
              const cl_event *before, cl_event *event),
             (queue, memory, wait, offset, size, to, n, before, event))
WRAP_COMMAND(clEnqueueUnmapMemObject,
             (cl_command_queue queue, cl_mem memory, void *mapped, cl_uint n, const cl_event *before, cl_event *event),
             (queue, memory, mapped, n, before, event))
WRAP_CREATE(cl_context, clCreateContext,
            (const cl_context_properties *properties, cl_uint n, const cl_device_id *devices,
             void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user, cl_int *code),
            (properties, n, devices, notify, user, code))
WRAP_CREATE(cl_command_queue, clCreateCommandQueue,
            (cl_context context, cl_device_id device, cl_command_queue_properties properties, cl_int *code),
            (context, device, properties, code))
WRAP_CREATE(cl_mem, clCreateBuffer, (cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *code),
            (context, flags, size, host, code))
WRAP_CREATE(cl_mem, clCreateSubBuffer,
            (cl_mem buffer, cl_mem_flags flags, cl_buffer_create_type type, const void *region, cl_int *code),
            (buffer, flags, type, region, code))
WRAP_CREATE(cl_kernel, clCreateKernel, (cl_program program, const char *name, cl_int *code), (program, name, code))
WRAP_CREATE(cl_program, clCreateProgramWithBinary,
            (cl_context context, cl_uint n, const cl_device_id *devices, const size_t *sizes,
             const unsigned char **binaries, cl_int *binary_code, cl_int *code),
            (context, n, devices, sizes, binaries, binary_code, code))
WRAP_CREATE(cl_program, clCreateProgramWithSource,
            (cl_context context, cl_uint n, const char **texts, const size_t *sizes, cl_int *code),
            (context, n, texts, sizes, code))
WRAP_RELEASE(cl_context, clReleaseContext)
WRAP_RELEASE(cl_command_queue, clReleaseCommandQueue)
WRAP_RELEASE(cl_mem, clReleaseMemObject)
WRAP_RELEASE(cl_kernel, clReleaseKernel)
WRAP_RELEASE(cl_program, clReleaseProgram)
WRAP_RELEASE(cl_event, clReleaseEvent)

DECLARE(void *, clEnqueueMapBuffer,
        (cl_command_queue queue, cl_mem memory, cl_bool wait, cl_map_flags flags, size_t offset, size_t size, cl_uint n,
         const cl_event *before, cl_event *event, cl_int *code));
void *CL_API_CALL __wrap_clEnqueueMapBuffer(cl_command_queue queue, cl_mem memory, cl_bool wait, cl_map_flags flags,
                                            size_t offset, size_t size, cl_uint n, const cl_event *before,
                                            cl_event *event, cl_int *code)
{
    if (fails_now()) {
        *code = plan.code;
        return NULL;
    }
    void *mapped = __real_clEnqueueMapBuffer(queue, memory, wait, flags, offset, size, n, before, event, code);
    if (*code == CL_SUCCESS && event != NULL)
        atomic_fetch_add(&n_live, 1);
    return mapped;
}

DECLARE(cl_int, clEnqueueNDRangeKernel,
        (cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global,
         const size_t *local, cl_uint n, const cl_event *before, cl_event *event));
cl_int CL_API_CALL __wrap_clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions,
                                                 const size_t *offset, const size_t *global, const size_t *local,
                                                 cl_uint n, const cl_event *before, cl_event *event)
{
    char name[32] = "";
    if (fails_now())
        return plan.code;
    clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL);
    const int is_forest = strcmp(name, "forest_path") == 0;
    const int is_dropped = is_forest && atomic_fetch_add(&n_launches, 1) == plan.first && plan.is_dropped;
    const cl_int code =
        is_dropped ? clEnqueueMarkerWithWaitList(queue, n, before, event)
                   : __real_clEnqueueNDRangeKernel(queue, kernel, dimensions, offset, global, local, n, before, event);
    if (code == CL_SUCCESS)
        atomic_fetch_add(&n_live, 1);
    return code;
}

DECLARE(cl_int, clGetEventInfo, (cl_event event, cl_event_info what, size_t size, void *value, size_t *size_out));
cl_int CL_API_CALL __wrap_clGetEventInfo(cl_event event, cl_event_info what, size_t size, void *value, size_t *size_out)
{
    if (fails_now())
        return plan.code;
    if (atomic_fetch_add(&n_looks, 1) == 0)
        atomic_store(&n_launches_at_first_look, atomic_load(&n_launches));
    const cl_int code = __real_clGetEventInfo(event, what, size, value, size_out);
    if (atomic_load(&n_calls) > plan.first && plan.is_event_failed) {
        atomic_fetch_add(&n_spoiled, 1);
        clWaitForEvents(1, &event); /* what has failed does not run any more */
        *(cl_int *)value = plan.code;
    }
    if (atomic_load(&n_calls) > plan.first && plan.is_silent && !(plan.is_back && atomic_load(&n_spoiled) > 0)) {
        atomic_fetch_add(&n_spoiled, 1);
        *(cl_int *)value = CL_RUNNING;
    } else if (plan.is_back) {
        clWaitForEvents(1, &event);
        return __real_clGetEventInfo(event, what, size, value, size_out);
    }
    return code;
}

DECLARE(cl_int, clGetDeviceInfo,
        (cl_device_id device, cl_device_info what, size_t size, void *value, size_t *size_out));
cl_int CL_API_CALL __wrap_clGetDeviceInfo(cl_device_id device, cl_device_info what, size_t size, void *value,
                                          size_t *size_out)
{
    const cl_int code = __real_clGetDeviceInfo(device, what, size, value, size_out);
    if (code == CL_SUCCESS && what == CL_DEVICE_HOST_UNIFIED_MEMORY && plan.is_discrete)
        *(cl_bool *)value = CL_FALSE;
    return code;
}

/* ---- What is scored ---- */

struct results {
    int32_t path_sum[N_ROWS];
    float deviation[N_ROWS], joint[N_ROWS];
    int32_t tails[N_ROWS];
    uint16_t deviation_feature[N_ROWS], beyond[N_ROWS], missing[N_ROWS];
    uint64_t column_missing[N_FEATURES], column_infinite[N_FEATURES];
};

static float values[N_ROWS * N_FEATURES];
static struct results want, got;
static struct avvik_model *model;

/* All rows through one new worker, in calls of CALL rows. */
static enum avvik_status job_run(struct avvik_engine *engine, struct results *results,
                                 struct avvik__device_times *times_out)
{
    struct avvik_worker *worker;
    struct avvik_error error;
    enum avvik_status status = AVVIK_OK;
    memset(results, 0, sizeof *results);
    ck_assert_int_eq(avvik_worker_create(engine, CALL, &worker, NULL), AVVIK_OK);
    for (size_t first = 0; first < N_ROWS && status == AVVIK_OK; first += CALL) {
        const struct avvik_rows rows = {values + first * N_FEATURES, N_ROWS - first < CALL ? N_ROWS - first : CALL,
                                        N_FEATURES, 1, NULL};
        const struct avvik_scores scores = {
            results->path_sum + first, results->deviation + first, results->deviation_feature + first,
            results->beyond + first,   results->missing + first,   results->column_missing,
            results->column_infinite,  results->joint + first,     results->tails + first};
        status = avvik_worker_score(worker, &rows, &scores, &error);
    }
    if (times_out != NULL)
        ck_assert_int_eq(avvik__worker_times(worker, times_out), 1);
    avvik_worker_free(worker);
    return status;
}

static void setup(void)
{
    struct avvik_engine *engine;
    disarm();
    model = model_make();
    values_make(values, N_ROWS);
    ck_assert_int_eq(avvik_engine_open(model, "scalar", &engine, NULL), AVVIK_OK);
    ck_assert_int_eq(job_run(engine, &want, NULL), AVVIK_OK);
    avvik_engine_close(engine);
}

static void teardown(void)
{
    avvik__forest_destroy(&model->forest);
}

/* Pieces of 16,384 rows on the first OpenCL device, as if `avvik tune` had said so. */
static void pieces_tune(void)
{
    const struct avvik__cl_tuning tuning = {.piece_kib = 16384 * AVVIK_LANES * sizeof(float) / 1024};
    struct avvik__cl_device device;
    if (avvik__cl_device_choose(NULL, &device, NULL) == AVVIK_OK)
        ck_assert_int_eq(avvik__cl_tuning_save(&device, &tuning, NULL), AVVIK_OK);
}

/* An engine on the first OpenCL device; NULL where there is none and AVVIK_EXPECT does not insist. */
static struct avvik_engine *engine_open(int is_discrete)
{
    const char *expected = getenv("AVVIK_EXPECT");
    struct avvik_engine *engine = NULL;
    struct avvik_error error;
    plan.is_discrete = is_discrete;
    pieces_tune();
    const enum avvik_status status = avvik_engine_open(model, "opencl", &engine, &error);
    ck_assert_msg(status == AVVIK_OK || expected == NULL || strstr(expected, "opencl") == NULL, "%s", error.text);
    if (status != AVVIK_OK)
        printf("SKIPPED: %s\n", error.text);
    return engine;
}

/* ---- Tests ---- */

/* Several pieces in flight, and what the device says that it did. */
START_TEST(test_pieces_are_timed)
{
    struct avvik__device_times times;
    struct avvik_engine *engine = engine_open(_i);
    if (engine == NULL)
        return;
    ck_assert_int_eq(job_run(engine, &got, &times), AVVIK_OK);
    ck_assert_mem_eq(&want, &got, sizeof want);
    ck_assert_uint_eq(times.rows, N_ROWS);
    ck_assert_uint_eq(times.pieces, N_PIECES);
    ck_assert_uint_gt(times.forest_path_ns, 0);
    ck_assert_uint_gt(times.deviation_ns, 0);
    ck_assert_uint_gt(times.pack_ns, 0);
    ck_assert_uint_ge(times.span_ns, times.forest_path_ns); /* its launches never run at the same time */
    printf("%s: pack %.2f, send %.2f, kernels %.2f, receive %.2f ms in a span of %.2f ms\n",
           _i ? "copies" : "shared memory", (double)times.pack_ns / 1e6, (double)times.send_ns / 1e6,
           (double)(times.deviation_ns + times.fill_missing_ns + times.forest_path_ns) / 1e6,
           (double)times.receive_ns / 1e6, (double)times.span_ns / 1e6);
    avvik_engine_close(engine);
    ck_assert_int_eq(atomic_load(&n_live), 0);
}
END_TEST

/* Three pieces are packed, sent, started and asked for before anything is waited for. */
START_TEST(test_three_pieces_are_in_flight)
{
    struct avvik_worker *worker;
    struct avvik_engine *engine = engine_open(1);
    if (engine == NULL)
        return;
    const struct avvik_rows rows = {values, N_ROWS, N_FEATURES, 1, NULL};
    const struct avvik_scores scores = {
        got.path_sum, got.deviation, got.deviation_feature, got.beyond, got.missing, NULL, NULL, got.joint, got.tails};
    ck_assert_int_eq(avvik_worker_create(engine, N_ROWS, &worker, NULL), AVVIK_OK);
    disarm();
    ck_assert_int_eq(avvik_worker_score(worker, &rows, &scores, NULL), AVVIK_OK);
    ck_assert_int_eq(atomic_load(&n_launches), N_PIECES);
    ck_assert_int_eq(atomic_load(&n_launches_at_first_look), 3);
    avvik_worker_free(worker);
    avvik_engine_close(engine);
}
END_TEST

/* The n-th call fails, for every n: once, and for ever from there on. */
START_TEST(test_every_call_may_fail_while_rows_are_scored)
{
    static const cl_int codes[] = {CL_OUT_OF_RESOURCES, CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_DEVICE_NOT_AVAILABLE,
                                   CL_OUT_OF_HOST_MEMORY, CL_INVALID_COMMAND_QUEUE};
    const int is_for_ever = _i / 2;
    long n = 0, n_noticed = 0, n_reached = 1;
    for (; n_reached > 0; n += is_for_ever ? 7 : 1) {
        struct avvik_engine_faults faults;
        struct avvik_engine *engine = engine_open(_i % 2);
        if (engine == NULL)
            return;
        disarm();
        plan.first = n;
        plan.last = is_for_ever ? LONG_MAX : n;
        plan.code = codes[n % 5];
        const enum avvik_status status = job_run(engine, &got, NULL);
        n_reached = atomic_load(&n_calls) > n;
        const cl_int code = plan.code;
        disarm();
        ck_assert_msg(status == AVVIK_OK, "call %ld, %s", n, avvik__cl_code_name(code));
        ck_assert_msg(memcmp(&want, &got, sizeof want) == 0, "call %ld, %s", n, avvik__cl_code_name(code));
        avvik_engine_faults(engine, &faults);
        if (n_reached && faults.device_failures + faults.smaller_pieces > 0) {
            n_noticed++;
            ck_assert_msg(strstr(faults.reason, "OpenCL: cl") != NULL || strstr(faults.reason, "OpenCL: ") != NULL,
                          "%s", faults.reason);
            ck_assert_msg(strstr(faults.reason, avvik__cl_code_name(code)) != NULL, "%s", faults.reason);
        }
        if (is_for_ever && n_reached && faults.device_failures > 0 && n < 20)
            ck_assert_uint_eq(faults.rows_on_cpu, N_ROWS);
        avvik_engine_close(engine);
        ck_assert_msg(atomic_load(&n_live) == 0, "call %ld, %s: %ld objects are left", n, avvik__cl_code_name(code),
                      atomic_load(&n_live));
    }
    printf("%s: %ld calls, %ld of the failures noticed\n", _i % 2 ? "copies" : "shared memory", n, n_noticed);
    ck_assert_int_gt(n_noticed, is_for_ever ? 10 : 100);
}
END_TEST

START_TEST(test_every_call_may_fail_while_a_device_is_opened)
{
    long n = 0, n_failed = 0, n_reached = 1;
    struct avvik_engine *engine = engine_open(_i);
    if (engine == NULL)
        return;
    avvik_engine_close(engine);
    for (; n_reached > 0; n++) {
        struct avvik_error error = {AVVIK_OK, 0, ""};
        disarm();
        plan.first = plan.last = n;
        plan.code = CL_OUT_OF_RESOURCES;
        engine = NULL;
        const enum avvik_status status = avvik_engine_open(model, "opencl", &engine, &error);
        n_reached = atomic_load(&n_calls) > n;
        disarm();
        if (status != AVVIK_OK) {
            n_failed++;
            ck_assert_ptr_null(engine);
            ck_assert_msg(strstr(error.text, "CL_OUT_OF_RESOURCES") != NULL, "call %ld: %s", n, error.text);
        }
        avvik_engine_close(engine);
        ck_assert_msg(atomic_load(&n_live) == 0, "call %ld: %ld objects are left", n, atomic_load(&n_live));
    }
    ck_assert_int_gt(n_failed, 50);
}
END_TEST

/* A command that was accepted and then failed on the device. */
START_TEST(test_commands_fail_on_the_device)
{
    for (long n = 0, n_reached = 1; n_reached > 0; n += 13) {
        struct avvik_engine_faults faults;
        struct avvik_engine *engine = engine_open(_i);
        if (engine == NULL)
            return;
        disarm();
        plan.is_event_failed = 1;
        plan.first = n;
        plan.code = CL_OUT_OF_RESOURCES;
        ck_assert_int_eq(job_run(engine, &got, NULL), AVVIK_OK);
        n_reached = atomic_load(&n_spoiled) > 0;
        disarm();
        ck_assert_mem_eq(&want, &got, sizeof want);
        avvik_engine_faults(engine, &faults);
        ck_assert(!n_reached || faults.device_failures > 0);
        ck_assert(!n_reached || strstr(faults.reason, "CL_OUT_OF_RESOURCES") != NULL);
        avvik_engine_close(engine);
        ck_assert_int_eq(atomic_load(&n_live), 0);
    }
}
END_TEST

/* A device that falls silent is given up at once, and what it may still write to is left to it; unless it has come back
 * by then, so that everything can be released. */
START_TEST(test_a_silent_device_is_given_up)
{
    const int is_back = _i / 2;
    for (long n = 0, n_reached = 1; n_reached > 0; n += 41) {
        struct avvik_engine_faults faults;
        setenv("AVVIK_OPENCL_TIMEOUT", "10", 1);
        struct avvik_engine *engine = engine_open(_i % 2);
        struct avvik_worker *worker;
        struct avvik_error error;
        if (engine == NULL)
            return;
        setenv("AVVIK_OPENCL_TIMEOUT", is_back ? "0" : "0.05", 1);
        plan.is_back = is_back; /* from here on, as the map of a pinned buffer is waited for, too */
        ck_assert_int_eq(avvik_worker_create(engine, N_ROWS, &worker, NULL), AVVIK_OK);
        disarm();
        plan.is_silent = 1;
        plan.is_back = is_back;
        plan.first = n;
        memset(&got, 0, sizeof got);
        const struct avvik_rows rows = {values, N_ROWS, N_FEATURES, 1, NULL};
        const struct avvik_scores scores = {got.path_sum,        got.deviation, got.deviation_feature,
                                            got.beyond,          got.missing,   got.column_missing,
                                            got.column_infinite, got.joint,     got.tails};
        ck_assert_msg(avvik_worker_score(worker, &rows, &scores, &error) == AVVIK_OK, "%s", error.text);
        n_reached = atomic_load(&n_spoiled) > 0;
        ck_assert_mem_eq(&want, &got, sizeof want);
        avvik_engine_faults(engine, &faults);
        ck_assert_int_eq((long)faults.device_failures, n_reached);
        ck_assert_int_eq(faults.is_device_off, n_reached);
        ck_assert_int_eq((long)faults.rows_on_cpu, n_reached * N_ROWS);
        ck_assert(!n_reached || strstr(faults.reason, "gave no answer") != NULL);
        avvik_worker_free(worker);
        avvik_engine_close(engine);
        ck_assert_int_eq(atomic_load(&n_live) > 0, n_reached && !is_back);
        disarm();
        atomic_store(&n_live, 0);
    }
}
END_TEST

/* A launch that never takes place leaves old numbers in the results. */
START_TEST(test_a_lie_of_the_device_is_found)
{
    struct avvik_engine_faults faults;
    struct avvik_engine *engine = engine_open(_i);
    if (engine == NULL)
        return;
    disarm();
    plan.is_dropped = 1;
    plan.first = 0;
    ck_assert_int_eq(job_run(engine, &got, NULL), AVVIK_ERR_SELFTEST);
    disarm();
    ck_assert_int_eq(job_run(engine, &got, NULL), AVVIK_OK);
    ck_assert_mem_eq(&want, &got, sizeof want);
    avvik_engine_faults(engine, &faults);
    ck_assert_uint_eq(faults.tiles_wrong, 1);
    ck_assert_int_eq(faults.is_device_off, 1);
    ck_assert_uint_eq(faults.rows_on_cpu, N_ROWS);
    ck_assert_ptr_nonnull(strstr(faults.reason, "path_sum"));
    avvik_engine_close(engine);
    ck_assert_int_eq(atomic_load(&n_live), 0);
}
END_TEST

START_TEST(test_timeouts_that_are_none)
{
    static const char *const texts[] = {"", "soon", "-1", "1e9", "5s", "nan"};
    struct avvik_engine *engine = NULL;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    if ((engine = engine_open(0)) == NULL)
        return;
    avvik_engine_close(engine);
    setenv("AVVIK_OPENCL_TIMEOUT", texts[_i], 1);
    ck_assert_int_eq(avvik_engine_open(model, "opencl", &engine, &error), AVVIK_ERR_BACKEND);
    ck_assert_ptr_nonnull(strstr(error.text, "AVVIK_OPENCL_TIMEOUT"));
}
END_TEST

/* Nothing of this process's own cache is left behind. */
static void directory_remove(const char *path)
{
    char file[512];
    DIR *directory = opendir(path);
    for (const struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.') {
            snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
            unlink(file);
        }
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

int main(void)
{
    char cache[] = "/tmp/avvik-test-XXXXXX";
    if (mkdtemp(cache) == NULL)
        return 1;
    setenv("AVVIK_CACHE", cache, 1);
    Suite *suite = suite_create("opencl faults");
    TCase *cases = tcase_create("faults");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, test_pieces_are_timed, 0, 2);
    tcase_add_test(cases, test_three_pieces_are_in_flight);
    tcase_add_loop_test(cases, test_every_call_may_fail_while_rows_are_scored, 0, 4);
    tcase_add_loop_test(cases, test_every_call_may_fail_while_a_device_is_opened, 0, 2);
    tcase_add_loop_test(cases, test_commands_fail_on_the_device, 0, 2);
    tcase_add_loop_test(cases, test_a_silent_device_is_given_up, 0, 4);
    tcase_add_loop_test(cases, test_a_lie_of_the_device_is_found, 0, 2);
    tcase_add_loop_test(cases, test_timeouts_that_are_none, 0, 6);
    suite_add_tcase(suite, cases);
    const int failed = suite_run(suite);
    directory_remove(cache);
    return failed;
}

/* How fast each OpenCL device takes and gives memory. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "opencl_runtime.h"

#define TRANSFER_BYTES ((size_t)64 << 20)

/* Best rates of blocking transfers between pinned host memory and the device; 0 where OpenCL says no. */
static void rates_measure(const struct avvik__cl_device *device, int n_runs, struct bench_device *out)
{
    cl_int code;
    void *pinned = NULL;
    cl_mem host = NULL, memory = NULL;
    cl_command_queue queue = NULL;
    double best_s[2] = {1e9, 1e9};
    cl_context context = clCreateContext(NULL, 1, &device->id, NULL, NULL, &code);
    if (context != NULL) {
        queue = clCreateCommandQueue(context, device->id, 0, &code);
        host = clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, TRANSFER_BYTES, NULL, &code);
        memory = clCreateBuffer(context, CL_MEM_READ_WRITE, TRANSFER_BYTES, NULL, &code);
    }
    if (queue == NULL || host == NULL || memory == NULL)
        goto done;
    pinned =
        clEnqueueMapBuffer(queue, host, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, TRANSFER_BYTES, 0, NULL, NULL, &code);
    if (pinned == NULL)
        goto done;
    memset(pinned, 1, TRANSFER_BYTES);
    for (int run = 0; run < n_runs; run++) {
        for (int is_back = 0; is_back < 2; is_back++) {
            const double start = bench_now_s();
            code = is_back ? clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, TRANSFER_BYTES, pinned, 0, NULL, NULL)
                           : clEnqueueWriteBuffer(queue, memory, CL_TRUE, 0, TRANSFER_BYTES, pinned, 0, NULL, NULL);
            const double elapsed = bench_now_s() - start;
            if (code != CL_SUCCESS)
                goto done;
            best_s[is_back] = elapsed < best_s[is_back] ? elapsed : best_s[is_back];
        }
    }
    out->to_device_gb_s = 1e-9 * (double)TRANSFER_BYTES / best_s[0];
    out->from_device_gb_s = 1e-9 * (double)TRANSFER_BYTES / best_s[1];
done:
    if (pinned != NULL && clEnqueueUnmapMemObject(queue, host, pinned, 0, NULL, NULL) == CL_SUCCESS)
        clFinish(queue);
    avvik__cl_memory_release(&host);
    avvik__cl_memory_release(&memory);
    if (queue != NULL)
        clReleaseCommandQueue(queue);
    if (context != NULL)
        clReleaseContext(context);
}

enum bench_exit bench_devices_measure(struct bench_machine *machine, int n_runs)
{
    struct avvik_error error;
    struct avvik__cl_devices devices;
    machine->n_devices = 0;
    if (avvik__cl_devices_init(&devices, &error) != AVVIK_OK)
        return bench_fail(BENCH_FAILED, "%s", error.text);
    for (size_t i = 0; i < devices.n_devices && machine->n_devices < BENCH_MAX_DEVICES; i++) {
        const struct avvik__cl_device *device = &devices.devices[i];
        struct bench_device *out = &machine->device[machine->n_devices];
        if (device->reason[0] != '\0')
            continue;
        *out = (struct bench_device){.is_gpu = (device->type & CL_DEVICE_TYPE_GPU) != 0};
        snprintf(out->backend, sizeof out->backend, "opencl:%s", device->number);
        avvik__cl_device_describe(device, out->name, sizeof out->name);
        if (n_runs > 0)
            rates_measure(device, n_runs, out);
        machine->n_devices++;
    }
    avvik__cl_devices_destroy(&devices);
    return BENCH_DONE;
}

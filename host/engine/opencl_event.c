#include "opencl_slot.h"

#include <time.h>

#include "avvik_internal.h"

#define SHORTEST_NAP_NS 20000 /* between two looks at an event */
#define LONGEST_NAP_NS 1000000

uint64_t avvik__cl_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Naps grow with the time waited, to 1/64 of it: no wait is much longer than it must be, and a long one costs nothing.
 */
enum avvik_status avvik__cl_event_wait(struct avvik__cl_worker *worker, cl_event event, const char *call,
                                       struct avvik_error *error)
{
    const char *device = worker->state->device.name;
    const uint64_t start = avvik__cl_now_ns();
    for (;;) {
        cl_int progress = CL_COMPLETE;
        const cl_int code = clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof progress, &progress, NULL);
        if (code != CL_SUCCESS || progress <= CL_COMPLETE)
            return avvik__cl_check(code != CL_SUCCESS ? code : progress, call, device, error);
        const uint64_t waited = avvik__cl_now_ns() - start;
        if (waited >= worker->timeout_ns) {
            worker->is_lost = 1;
            return avvik__error_set(error, AVVIK_ERR_BACKEND, 0,
                                    "OpenCL: %s gave no answer to %s for %.3g s (AVVIK_OPENCL_TIMEOUT)", device, call,
                                    (double)worker->timeout_ns / 1e9);
        }
        uint64_t nap = waited / 64;
        nap = nap < SHORTEST_NAP_NS ? SHORTEST_NAP_NS : nap > LONGEST_NAP_NS ? LONGEST_NAP_NS : nap;
        const struct timespec pause = {0, (long)nap};
        nanosleep(&pause, NULL);
    }
}

void avvik__cl_event_release(cl_event *event)
{
    if (*event != NULL)
        clReleaseEvent(*event);
    *event = NULL;
}

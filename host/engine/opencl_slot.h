/* One piece of rows on its way through an OpenCL device: its buffers, its commands, and the wait for them.
 *
 * A worker has a queue for each of sending, running and receiving, and AVVIK_CL_SLOTS slots that take turns: while one
 * slot's kernels run, the next one's rows are packed and sent and the results of the one before come back. Queues are
 * in order, events tie them together; this overlaps on every driver, where one queue out of order does not. */
#ifndef AVVIK_OPENCL_SLOT_H
#define AVVIK_OPENCL_SLOT_H

#include "opencl_worker.h"

#define AVVIK_CL_SLOTS 3

enum avvik__cl_result {
    CL_PATH_SUM,
    CL_DEVIATION,
    CL_JOINT,
    CL_TAILS,
    CL_FEATURE,
    CL_BEYOND,
    CL_MISSING,
    N_CL_RESULTS
};
enum avvik__cl_kernel { CL_KERNEL_DEVIATION, CL_KERNEL_FILL_MISSING, CL_KERNEL_FOREST_PATH, N_CL_KERNELS };

/* A buffer of the device and, where its memory is not the host's, a pinned one to copy through. */
struct avvik__cl_pair {
    cl_mem device, pinned;
    void *mapped; /* the pinned one, or the device's while it is mapped */
    void *host;   /* where the host's part begins: in `mapped`, on a 64-byte boundary if there is a pinned one */
};

/* Every call into a driver takes microseconds, which threads wait for in turn (an H200 with 16 threads: 200 of them),
 * so all results lie in one buffer and come back by one command. */
struct avvik__cl_slot {
    struct avvik__cl_pair tile, results;
    cl_mem parts[N_CL_RESULTS]; /* of results.device, at worker->result_offsets; NULL if of no bytes */
    cl_kernel kernels[N_CL_KERNELS];
    size_t first, n;            /* the rows of the caller in it; n is 0 in a slot that is free */
    cl_event sent;              /* each NULL or an event held */
    cl_event ran[N_CL_KERNELS]; /* in order */
    cl_event received;          /* read back, or mapped */
    cl_event given_back;        /* unmapped: the next kernels wait for it */
};

struct avvik__cl_worker {
    struct avvik__opencl_state *state;
    cl_command_queue send, run, receive;
    struct avvik__cl_slot slots[AVVIK_CL_SLOTS];
    size_t max_rows, piece_rows, row_group;
    size_t result_offsets[N_CL_RESULTS + 1]; /* in bytes; the last is the size of all */
    uint64_t timeout_ns;
    int is_lost;                /* the device gave no answer within timeout_ns */
    uint64_t *counts;           /* where the caller wants none */
    uint64_t first_ns, last_ns; /* of the commands of the call that is going on, by the device's clock */
    struct avvik__device_times times;
};

/* Arguments of the kernel `deviation`; the last is the number of rows. */
static inline cl_uint avvik__cl_deviation_arguments(const struct avvik__scoring_plan *plan)
{
    return 8u + (plan->n_joint > 1 ? 3 : plan->n_joint == 1 ? 2 : 0) + (plan->tails != NULL ? 2 : 0);
}

#define AVVIK_TILE_ALIGNMENT 64 /* what the CPU's packing kernels want */

/* Bytes of a row in a result; 0 for the joint deviation and for tails where there are none. */
size_t avvik__cl_result_bytes(const struct avvik__scoring_plan *plan, enum avvik__cl_result result);

/* What the kernels are called. */
extern const char *const avvik__cl_kernel_names[N_CL_KERNELS];

/* clWaitForEvents() waits for ever for a device that hangs; this gives up after worker->timeout_ns and sets
 * worker->is_lost. AVVIK_OK, what the command failed with, or AVVIK_ERR_BACKEND. `call` is for people. */
enum avvik_status avvik__cl_event_wait(struct avvik__cl_worker *worker, cl_event event, const char *call,
                                       struct avvik_error *error);
void avvik__cl_event_release(cl_event *event); /* and set it to NULL, which is a no-op */
uint64_t avvik__cl_now_ns(void);               /* the host's clock */

/* Buffers and kernels of a slot; worker->state, queues, piece_rows and result_offsets are there. What was made is
 * released by avvik__cl_slot_destroy(), also after an error. */
enum avvik_status avvik__cl_slot_init(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                      struct avvik_error *error);
void avvik__cl_slot_destroy(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot);

/* Pack rows [first, first + n) into the slot, n at most piece_rows, and start everything that must be done with them.
 */
enum avvik_status avvik__cl_slot_start(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                       const struct avvik_rows *rows, size_t first, size_t n,
                                       const struct avvik_scores *scores, struct avvik_error *error);

/* Wait until that is done, and copy the results to the caller's arrays. The slot is free again. */
enum avvik_status avvik__cl_slot_finish(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot,
                                        const struct avvik_scores *scores, struct avvik_error *error);

/* After an error: wait until nothing of the slot is under way any more, and free it. worker->is_lost if it never ends.
 */
void avvik__cl_slot_drain(struct avvik__cl_worker *worker, struct avvik__cl_slot *slot);

/* 1 if none of the slot's commands is under way; does not wait. */
int avvik__cl_slot_is_idle(const struct avvik__cl_slot *slot);

#endif

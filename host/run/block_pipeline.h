/* Rows go by in blocks: read in order by the calling thread, worked on by several, written in order by the calling
 * thread again. Reading and writing share one thread because HDF5 has one lock. */
#ifndef AVVIK_BLOCK_PIPELINE_H
#define AVVIK_BLOCK_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

/* One stage over block number `block`, held in slot `slot`. `worker` tells worker threads apart. */
typedef enum avvik_status avvik__read_fn(void *context, unsigned slot, uint64_t block, struct avvik_error *error);
typedef enum avvik_status avvik__work_fn(void *context, unsigned worker, unsigned slot, uint64_t block,
                                         struct avvik_error *error);

struct avvik__pipeline {
    uint64_t n_blocks;
    unsigned n_workers; /* 1 to AVVIK_MAX_WORKERS */
    unsigned n_slots;   /* blocks in flight, at least 2 */
    void *context;
    avvik__read_fn *read;
    avvik__work_fn *work;
    avvik__read_fn *write;
    const volatile int *stop;
    uint64_t read_ns, work_ns, write_ns; /* out */
};

#define AVVIK_MAX_WORKERS 256

/* Run every block through the three stages. Returns the first status other than AVVIK_OK that a stage returned,
 * AVVIK_INTERRUPTED if *stop was seen, AVVIK_ERR_MEMORY if a thread cannot be started. All threads have ended on
 * return. */
enum avvik_status avvik__pipeline_run(struct avvik__pipeline *pipeline, struct avvik_error *error);

/* `wanted`, or where that is 0 the number of CPUs this process may run on; at most AVVIK_MAX_WORKERS. */
unsigned avvik__worker_count(uint32_t wanted);

/* Rows of a block of n_features columns: a multiple of 4,096, some MiB, and small enough to give each worker a few. */
size_t avvik__block_rows(uint64_t n_rows, size_t n_features, unsigned n_workers);

/* Monotonic clock. */
uint64_t avvik__now_ns(void);

#endif

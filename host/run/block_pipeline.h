/* Rows go by in blocks: planned in order by the calling thread, worked on by several, written in order by the calling
 * thread again. Planning and writing share one thread because HDF5 has one lock; reading and decoding are the workers'.
 */
#ifndef AVVIK_BLOCK_PIPELINE_H
#define AVVIK_BLOCK_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/source.h"
#include "avvik/status.h"

/* One stage over block number `block`, held in slot `slot`. `worker` tells worker threads apart. */
typedef enum avvik_status avvik__block_fn(void *context, unsigned slot, uint64_t block, struct avvik_error *error);
typedef enum avvik_status avvik__work_fn(void *context, unsigned worker, unsigned slot, uint64_t block,
                                         struct avvik_error *error);

struct avvik__pipeline {
    uint64_t first_block, n_blocks; /* from first_block to n_blocks - 1 */
    unsigned n_workers;             /* 1 to AVVIK_MAX_WORKERS */
    unsigned n_slots;               /* blocks in flight, at least 2 */
    void *context;
    avvik__block_fn *plan;
    avvik__work_fn *work;
    avvik__block_fn *write;
    const volatile int *stop;
    uint64_t plan_ns, work_ns, write_ns; /* out, and up to date while it runs */
};

#define AVVIK_MAX_WORKERS 256

/* Run every block through the three stages. Returns the first status other than AVVIK_OK that a stage returned,
 * AVVIK_INTERRUPTED if *stop was seen, AVVIK_ERR_MEMORY if a thread cannot be started. All threads have ended on
 * return. */
enum avvik_status avvik__pipeline_run(struct avvik__pipeline *pipeline, struct avvik_error *error);

/* `wanted`, or where that is 0 the number of CPUs this process may run on; at most AVVIK_MAX_WORKERS. */
unsigned avvik__worker_count(uint32_t wanted);

/* How rows are cut, and what that takes. */
struct avvik__cut {
    size_t block_rows; /* a multiple of 4,096; follows from the table alone, so that outputs do not depend on the
                          machine */
    size_t piece_rows; /* what a worker takes of a block at a time: small enough for the cache; a multiple of 4,096 */
    unsigned n_workers, n_slots;
    uint64_t bytes;
};

/* What a slot and a worker need beside the rows themselves. */
struct avvik__needs {
    unsigned threads;      /* wanted; 0: one per CPU */
    uint64_t memory_bytes; /* 0: AVVIK_MEMORY_DEFAULT, or what one worker needs where that is more */
    size_t slot_row_bytes; /* in a slot for every row of a block */
    size_t worker_bytes;   /* in a worker, beside a piece of rows and what reading takes */
    size_t fixed_bytes;    /* once */
    int has_whole_blocks;  /* a worker takes a whole block at a time: a device wants large pieces */
};

/* As many workers, and as many blocks in flight, as there is memory for. AVVIK_ERR_USAGE if it is too little for one.
 */
enum avvik_status avvik__rows_cut(const struct avvik_source *source, const struct avvik__needs *needs,
                                  struct avvik__cut *cut_out, struct avvik_error *error);

/* Monotonic clock. */
uint64_t avvik__now_ns(void);

#endif

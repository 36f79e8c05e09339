/* How far a run over many rows has come, and where its time goes. */
#ifndef AVVIK_PROGRESS_H
#define AVVIK_PROGRESS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Time by stage. `plan` and `write` belong to the calling thread; the others are summed over the workers. Waiting
 * counts nowhere. */
struct avvik_stages {
    uint64_t plan_ns;       /* finding out where rows lie, and reading what only HDF5 can read */
    uint64_t read_ns;       /* from the file to memory */
    uint64_t decode_ns;     /* undoing filters */
    uint64_t work_ns;       /* converting, hashing, and scoring or gathering statistics */
    uint64_t write_ns;      /* into the output, compression not counted */
    uint64_t compress_ns;   /* of the output */
    uint64_t checkpoint_ns; /* bringing finished blocks to the disk, in a thread of its own */
    uint64_t bytes_read;    /* as stored in the files */
    uint32_t threads;       /* workers */
};

struct avvik_progress {
    uint64_t rows_done, n_rows;
    uint64_t rows_resumed; /* of these, what an earlier run had done */
    uint64_t elapsed_ns;
    struct avvik_stages stages;
};

/* Called from the thread that runs, after each block. */
typedef void avvik_progress_fn(void *user, const struct avvik_progress *progress);

/* The stage that the run's speed depends on: the busiest thread's largest stage. "plan", "read", "decode",
 * "work", "compress" or "write". Static storage. */
const char *avvik_stages_binding(const struct avvik_stages *stages);

#define AVVIK_MEMORY_DEFAULT ((uint64_t)512 << 20) /* bytes a run may take unless it is told another number */
#define AVVIK_CHECKPOINT_DEFAULT_MS 5000

#ifdef __cplusplus
}
#endif
#endif

/* Streaming whole files through a model into a score file. */
#ifndef AVVIK_SCORE_H
#define AVVIK_SCORE_H

#include <stdint.h>

#include "avvik/engine.h"
#include "avvik/model.h"
#include "avvik/source.h"

#ifdef __cplusplus
extern "C" {
#endif

struct avvik_score_options {
    uint32_t threads;         /* workers; 0: one per CPU this process may run on */
    int replace;              /* may an existing output be replaced? */
    const volatile int *stop; /* polled once a block; non-zero ends the run with AVVIK_INTERRUPTED; may be NULL */
    void (*progress)(void *user, uint64_t rows_done, uint64_t n_rows); /* from the calling thread; may be NULL */
    void *user;
};

/* What a run did. Times are wall time of the stage in its own thread, waiting not counted; work is summed over the
 * workers. */
struct avvik_score_summary {
    uint64_t n_rows, rows_with_missing;
    uint64_t values_missing, values_infinite;
    uint32_t threads;
    uint64_t elapsed_ns, read_ns, work_ns, write_ns;
};

/* Score every row of `source`, whose features are those of `engine`'s model in the same order, and write them to `path`
 * in row order (host/io/README.md lists every field): to PATH.partial, synced, then renamed. Memory is bounded whatever
 * the number of rows. The content, and so the content hash, is the same for any backend and number of threads.
 *
 * Returns AVVIK_OK; AVVIK_ERR_EXISTS; AVVIK_ERR_USAGE (other features than the model's); what avvik_source_read() and
 * avvik_worker_score() return; AVVIK_ERR_IO (the output cannot be written); AVVIK_INTERRUPTED. On anything but AVVIK_OK
 * nothing is left at `path` that was not there before. */
enum avvik_status avvik_score_file(const struct avvik_model *model, struct avvik_engine *engine,
                                   struct avvik_source *source, const char *path,
                                   const struct avvik_score_options *options, struct avvik_score_summary *summary_out,
                                   struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

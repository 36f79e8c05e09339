/* Streaming whole files through a model into a score file. */
#ifndef AVVIK_SCORE_H
#define AVVIK_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/engine.h"
#include "avvik/model.h"
#include "avvik/progress.h"
#include "avvik/source.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What `missing` and `deviation_feature` say of a row that could not be read. Its forest score and deviation are NaN,
 * its path sum is INT32_MAX, and /absent tells why. */
#define AVVIK_ABSENT UINT16_MAX

/* Zero everywhere is a good start. */
struct avvik_score_options {
    uint32_t threads;            /* workers; 0: one per CPU this process may run on */
    int replace;                 /* may an existing output be replaced? */
    const volatile int *stop;    /* polled; non-zero ends the run with AVVIK_INTERRUPTED; may be NULL */
    avvik_progress_fn *progress; /* from the calling thread; may be NULL */
    void *user;
    uint64_t memory_bytes;  /* what the run may take; 0: AVVIK_MEMORY_DEFAULT, or more where one chunk of every column
                               and the program itself do not fit in */
    uint32_t compress;      /* 0: the output is not compressed; 1 to 9: shuffle and deflate at that level */
    int skip_damaged;       /* rows that cannot be read are marked absent instead of ending the run */
    int resume;             /* go on with what an interrupted run left */
    uint32_t checkpoint_ms; /* least time between checkpoints, and a hundred times what one takes; 1: after every block;
                               0: AVVIK_CHECKPOINT_DEFAULT_MS */
};

/* What a run did. */
struct avvik_score_summary {
    uint64_t n_rows, rows_with_missing;
    uint64_t values_missing, values_infinite;
    uint64_t
        rows_without_key; /* with peer groups: a key is missing, so that they are compared with a group further out */
    uint64_t rows_without_group; /* their group is not in the model, or too small: likewise */
    uint64_t rows_absent;        /* damaged, and left out */
    uint64_t rows_resumed;       /* done by an earlier run */
    int is_complete_already;     /* the output was there and belongs to these inputs: nothing was done */
    int is_rescored;             /* a device computed something wrong, and everything was scored again by the CPU */
    uint32_t checkpoints;        /* written */
    char no_checkpoints[256];    /* why none could be written, or empty */
    uint64_t memory_bytes;       /* that blocks and buffers took */
    uint64_t elapsed_ns;
    struct avvik_stages stages;
};

/* Score every row of `source`, whose features are those of `engine`'s model in the same order, and write them to `path`
 * in row order (host/io/README.md lists every field): to PATH.partial, synced, then renamed. Memory is bounded whatever
 * the number of rows. The content, and so the content hash, is the same for any backend and number of threads.
 *
 * A run that is killed or interrupted, or that finds the disk full, leaves PATH.partial and PATH.journal behind once it
 * has had time for a checkpoint. With options->resume the next run of the same model over the same files goes on from
 * there, and what comes out is the same, byte for byte but for the times in it. Without, it begins anew.
 *
 * Returns AVVIK_OK; AVVIK_ERR_EXISTS (the output is there, or what is to be resumed belongs to another run, or another
 * process is writing it); AVVIK_ERR_USAGE (other features than the model's; memory_bytes too small); what
 * avvik_source_read() and avvik_worker_score() return; AVVIK_ERR_IO (the output cannot be written); AVVIK_INTERRUPTED.
 * On anything but AVVIK_OK nothing has changed at `path`. */
enum avvik_status avvik_score_file(const struct avvik_model *model, struct avvik_engine *engine,
                                   struct avvik_source *source, const char *path,
                                   const struct avvik_score_options *options, struct avvik_score_summary *summary_out,
                                   struct avvik_error *error);

/* Where the scores of `input` go in the directory `dir` ("": the current one): payments.h5 -> DIR/payments.scores.h5.
 * An ending .h5, .hdf5 or .hdf is taken off, whatever its case; any other stays. Two inputs of one name in different
 * directories get one name: the caller must look.
 * Returns 1; 0 if `size` bytes are not enough or the input has no name. */
int avvik_score_output_name(const char *dir, const char *input, char *buffer, size_t size);

#ifdef __cplusplus
}
#endif
#endif

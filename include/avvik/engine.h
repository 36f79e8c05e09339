/* The engine: a model made ready to score rows on one backend. */
#ifndef AVVIK_ENGINE_H
#define AVVIK_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/model.h"
#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct avvik_engine;
struct avvik_worker;

/* Rows to score, seen through two strides (in floats): the value of feature f in row r is
 * values[r * row_stride + f * column_stride]. Columns side by side in memory have row_stride 1, a NumPy C-order
 * matrix has column_stride 1. NaN and infinities are missing values. */
struct avvik_rows {
    const float *values;
    size_t n_rows;
    size_t row_stride;
    size_t column_stride;
    const uint32_t *groups; /* n_rows numbers of the rows' peer groups (avvik_model_group_of()); NULL: 0, everyone */
};

/* Where the results of n_rows rows go; every array is the caller's and holds n_rows elements.
 * column_missing and column_infinite hold n_features counts and are added to; both may be NULL. */
struct avvik_scores {
    int32_t *path_sum;           /* sum of path lengths over the trees, in steps of 2^-11; small is unusual */
    float *deviation;            /* max over features of |z| */
    uint16_t *deviation_feature; /* the feature that attains it, the first one on a tie */
    uint16_t *beyond;            /* features with |z| > AVVIK_DEVIATION_CUT */
    uint16_t *missing;           /* missing values in the row */
    uint64_t *column_missing;    /* NaN, per feature */
    uint64_t *column_infinite;   /* infinities (treated as missing), per feature */
    float *joint;                /* squared Mahalanobis distance of the signed logarithms of all z, measured with
                                    everyone's center and scale; 0 in a model without it. NULL: not wanted */
    int32_t *tails; /* how far out in their tails the row's values lie: the sum over features of -log2 of the
                       share of rows that are as far out, in steps of 1/256; 0 in a model without tails.
                       NULL: not wanted */
};

#define AVVIK_DEVIATION_CUT 3.5f /* Iglewicz and Hoaglin (1993), p. 11 */

/* One backend as `avvik devices` shows it. */
struct avvik_device {
    char backend[32]; /* what --backend takes: "avx2", "opencl:0.0" */
    char name[192];   /* CPU or device, driver and version */
    char reason[256]; /* empty if it can run here, else why it cannot */
    int is_available;
    int is_gpu;
};

/* Every backend of this build with what this machine says of it, scalar first, OpenCL devices last.
 *
 * devices_out  on success an array of *n_devices_out elements; release with free().
 * Returns      AVVIK_OK or AVVIK_ERR_MEMORY. A machine without OpenCL is not an error. Thread-safe. */
enum avvik_status avvik_devices_list(struct avvik_device **devices_out, size_t *n_devices_out,
                                     struct avvik_error *error);

/* Make `model` ready to score on `backend`: "auto" (a GPU where there is one, else the CPU variant that `avvik tune`
 * found fastest, else the widest), "scalar", "avx2", "avx512", "avx512vbmi", "opencl", "opencl:PLATFORM.DEVICE"
 * (numbers as `avvik devices` prints them), "opencl:0.0,1.0" (several devices share the work; one may be named twice)
 * or "opencl:all" (every GPU that can run, or every OpenCL device where there is no GPU).
 *
 * engine_out  on success owns everything it needs (the model may be freed); release with avvik_engine_close().
 * Returns     AVVIK_OK; AVVIK_ERR_BACKEND (unknown name, or it cannot run here: the text says why);
 *             AVVIK_ERR_SELFTEST (a backend that was asked for by name differs from the scalar reference on known
 *             rows; "auto" takes the next backend instead and tells so through avvik_engine_warning());
 *             AVVIK_ERR_MEMORY. */
enum avvik_status avvik_engine_open(const struct avvik_model *model, const char *backend,
                                    struct avvik_engine **engine_out, struct avvik_error *error);
void avvik_engine_close(struct avvik_engine *engine);

/* Backend in use ("avx512vbmi", "opencl:0.0"), its device, and what the caller should be told (NULL if nothing).
 * Valid until the engine is closed. */
const char *avvik_engine_backend(const struct avvik_engine *engine);
const char *avvik_engine_device(const struct avvik_engine *engine);
const char *avvik_engine_warning(const struct avvik_engine *engine);

/* A worker holds one thread's scratch memory (and command queues, on OpenCL). Any number of workers of one engine may
 * score at once, each used by one thread at a time; where the engine has several devices they are dealt out in turn, so
 * make at least as many workers as devices. max_rows bounds n_rows of every later call.
 * Returns AVVIK_OK or AVVIK_ERR_MEMORY. A device that cannot serve the worker is no error: the CPU does its work, and
 * avvik_engine_faults() tells. Free all workers before closing the engine. */
enum avvik_status avvik_worker_create(struct avvik_engine *engine, size_t max_rows, struct avvik_worker **worker_out,
                                      struct avvik_error *error);
void avvik_worker_free(struct avvik_worker *worker);

/* Score rows->n_rows rows into `scores` (see kernels/README.md for the meaning of every number). Returns when the
 * results are in place. Results do not depend on the backend, the worker or how rows are cut into calls.
 * A device that fails is no error either: these rows are done again by the CPU, and after the third failure (or the
 * first, if the device does not answer at all) all of them are.
 * Returns AVVIK_OK; AVVIK_ERR_USAGE (more rows than max_rows, a group that the model has not); AVVIK_ERR_SELFTEST: a
 * tile that a device scored was recomputed by the CPU and differs. Then nothing that this engine has scored can be
 * trusted: free its workers and score everything again with new ones, which use the CPU only. Every worker made before
 * says so from then on. */
enum avvik_status avvik_worker_score(struct avvik_worker *worker, const struct avvik_rows *rows,
                                     const struct avvik_scores *scores, struct avvik_error *error);

/* What became of an engine's devices so far. On a CPU backend everything is 0 and empty. */
struct avvik_engine_faults {
    uint32_t n_devices;       /* that the engine was opened on */
    uint32_t n_devices_off;   /* of these, the ones that are not used any more */
    uint64_t device_failures; /* times that a device failed, ran out of memory for good, or gave no answer */
    uint64_t smaller_pieces;  /* times that a worker took smaller pieces, because memory was short on its device */
    uint64_t rows_on_cpu;     /* rows that the CPU scored for a device */
    uint64_t tiles_checked; /* tiles of up to 1,024 rows that a device scored and the CPU recomputed: of each worker the
                               first, and then one in 1,000 */
    uint64_t tiles_wrong;   /* of these, the ones that differed; if any, see avvik_worker_score() */
    int is_device_off;      /* 1 if no device is used any more: the CPU scores everything from here on */
    char cpu_backend[32];   /* what the CPU scores with: "avx512vbmi" */
    char reason[1024];      /* one sentence about the latest fault; empty if there was none */
};

/* Thread-safe; may be called at any time, also while workers score. */
void avvik_engine_faults(struct avvik_engine *engine, struct avvik_engine_faults *faults_out);

/* The anomaly score of a path sum: 2^(-(path_sum / 2048 / trees) / c(sample)), Liu, Ting and Zhou (2012), eq. 1. */
float avvik_forest_score(const struct avvik_model *model, int32_t path_sum);

/* Compare `backend` with the scalar reference, bit by bit, on known rows and several shapes of forest.
 * Returns AVVIK_OK, AVVIK_ERR_SELFTEST (the text names kernel, row and both values), AVVIK_ERR_BACKEND or
 * AVVIK_ERR_MEMORY. */
enum avvik_status avvik_selftest(const char *backend, struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

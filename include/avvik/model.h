/* A model: what was learnt from past rows. Made by avvik_model_fit() or read from a file; never changed afterwards. */
#ifndef AVVIK_MODEL_H
#define AVVIK_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/progress.h"
#include "avvik/source.h"
#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct avvik_model;

/* What a z-score is measured with (kernels/README.md, "Deviation"). */
enum avvik_deviation {
    AVVIK_DEVIATION_ROBUST,   /* 0.6745 (x - median) / MAD, Iglewicz and Hoaglin (1993) */
    AVVIK_DEVIATION_CLASSICAL /* (x - mean) / sd */
};

/* How a tree chooses the feature that a node splits on (kernels/README.md, "Draws"). */
enum avvik_splits {
    AVVIK_SPLITS_UNIFORM, /* every feature as often: Liu, Ting and Zhou (2008), algorithm 2; as in scikit-learn */
    AVVIK_SPLITS_MIXED,   /* trees 0, 2, ... so; trees 1, 3, ... by kurtosis in the upper half of their levels */
    AVVIK_SPLITS_KURTOSIS /* in proportion to a feature's kurtosis in the node */
};

/* What a fit did. */
struct avvik_fit_summary {
    uint64_t n_rows, rows_resumed; /* resumed: read by an earlier run */
    uint32_t passes;               /* over all rows */
    uint32_t groups_seen, groups; /* of all levels, everyone not counted; of these, the ones large enough to be peers */
    uint64_t rows_everyone;       /* rows in none of them */
    uint32_t joint_groups;        /* groups with a joint deviation of their own */
    uint32_t joint_left_out;      /* groups that are as large, and have none because there are so many larger ones */
    uint32_t joint_constant;      /* of joint_groups, those in which a feature does not vary, and has no part in it */
    uint32_t joint_alike;         /* groups that are as large, and have none because no feature varies in them */
    uint64_t rows_joint_everyone; /* rows whose joint deviation is measured with everyone's */
    uint32_t checkpoints;         /* written */
    char no_checkpoints[256];     /* why none could be written, or empty */
    uint64_t memory_bytes;        /* that blocks and buffers took */
    uint64_t elapsed_ns, grow_ns; /* all of it; growing the trees */
    struct avvik_stages stages;
};

/* Parameters of a fit; start from AVVIK_FIT_DEFAULTS. Names and meaning as in scikit-learn's IsolationForest. */
struct avvik_fit_options {
    uint32_t trees;  /* 1 to 10000 */
    uint32_t sample; /* rows a tree is grown from, 16 to 4096; shrinks to the number of rows where those are fewer */
    uint32_t calibration; /* rows held out from the trees, from which scores get their probabilities: at most 65,536, a
                             quarter of the rows, and 2^22 / features. 0: none, and every p-value is 1 */
    int no_joint;         /* 1: the model has no joint deviation, as one of more than 64 features never has */
    uint64_t seed;        /* the same seed gives the same model on any machine with any number of threads */
    uint32_t threads;     /* 0: one per CPU this process may run on */
    const volatile int *stop;    /* polled; non-zero ends the fit with AVVIK_INTERRUPTED; may be NULL */
    avvik_progress_fn *progress; /* from the calling thread; may be NULL */
    void *user;
    uint64_t memory_bytes;             /* what the fit may take; as in struct avvik_score_options */
    const char *journal;               /* a file for checkpoints; NULL: none. After a fit that ended well it is the
                                          caller's to remove, once the model is saved */
    int resume;                        /* go on from that file, if it is there */
    uint32_t checkpoint_ms;            /* least time between checkpoints; as in struct avvik_score_options */
    struct avvik_fit_summary *summary; /* filled if not NULL */
    enum avvik_deviation deviation;
    const float *weights; /* of the source's features; NULL: 1 each. A weight multiplies the z-scores of a feature and
                             how often trees choose it, in steps of 1/65536, and what its tails are worth; 0 leaves
                             it out of all */
    uint64_t min_peers;   /* rows that a group of the source's keys must have; 0: AVVIK_MIN_PEERS_DEFAULT */
    int with_tails;       /* 1: the model has tail probabilities, which takes three more passes */
    enum avvik_splits splits;
    uint64_t joint_peers; /* rows, those that are held out left aside, that a group of the source's keys must have for a
                             joint deviation of its own, 16 at least; 0: no group has, and everyone's is everyone's */
};
#define AVVIK_MIN_PEERS_DEFAULT 50
#define AVVIK_JOINT_PEERS_DEFAULT 1000
#define AVVIK_MAX_WEIGHT 1000.0f
#define AVVIK_FIT_DEFAULTS                                                                                             \
    {                                                                                                                  \
        128, 256, 65536, 0, 1, 0, NULL, NULL, NULL, 0, NULL, 0, 0, NULL, AVVIK_DEVIATION_ROBUST, NULL, 0, 0,           \
            AVVIK_SPLITS_MIXED, AVVIK_JOINT_PEERS_DEFAULT                                                              \
    }

/* Weights of features: 1 for those that are not named.
 *
 * text         "NAME=W,..."; or, without a sign of equality, the path of a YAML file, which has them as the block
 *              `feature: weight:`, one line NAME: W each (host/check/README.md, "Weights").
 * weights_out  on success malloc'ed, the caller's to free; n_features of `source`, for struct avvik_fit_options.
 * Returns      AVVIK_OK; AVVIK_ERR_USAGE with what is wrong in the text, to be put behind the name of the setting;
 *              AVVIK_ERR_IO, AVVIK_ERR_FORMAT (the file: the text names it and the line); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_feature_weights_parse(const char *text, const struct avvik_source *source, float **weights_out,
                                              struct avvik_error *error);

/* Learn from all rows of `source`. The first pass over them gives mean and standard deviation of every feature, and the
 * rows the trees are grown from; for the robust deviation the second one gives exact medians and MADs, in rare cases a
 * few more; three give the exact quantiles of tails (kernels/README.md defines all of these, host/README.md says when).
 * Resumed is the first pass; the others begin anew.
 *
 * model_out  on success owns the model; release with avvik_model_free().
 * Returns    AVVIK_OK; AVVIK_ERR_USAGE (an option outside its range, a weight below 0 or above AVVIK_MAX_WEIGHT, all
 * 0); AVVIK_ERR_FORMAT (fewer than 16 rows, every column constant, rows that change while they are read); what
 * avvik_source_read() returns; AVVIK_ERR_EXISTS (the journal to be resumed belongs to another fit, or another process
 * uses it); AVVIK_INTERRUPTED (the journal stays); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_model_fit(struct avvik_source *source, const struct avvik_fit_options *options,
                                  struct avvik_model **model_out, struct avvik_error *error);
void avvik_model_free(struct avvik_model *model); /* NULL is a no-op */

/* Write `model` as an HDF5 file (host/io/README.md lists every field): to PATH.partial, synced, then renamed.
 * Returns AVVIK_OK, AVVIK_ERR_EXISTS (PATH is there and `replace` is 0) or AVVIK_ERR_IO. */
enum avvik_status avvik_model_save(const struct avvik_model *model, const char *path, int replace,
                                   struct avvik_error *error);

/* Read a model. The file is untrusted: every count, offset, node and leaf is checked, and so is the content hash.
 * Returns AVVIK_OK, AVVIK_ERR_IO, AVVIK_ERR_FORMAT (not a model, another version, damaged or changed) or
 * AVVIK_ERR_MEMORY. */
enum avvik_status avvik_model_load(const char *path, struct avvik_model **model_out, struct avvik_error *error);

/* What a model says of itself. Strings are the model's. feature: 0 to n_features - 1. */
struct avvik_model_summary {
    const char *table;        /* HDF5 path of the table it was fitted on */
    const char *created;      /* UTC, ISO 8601 */
    const char *producer;     /* "avvik 0.1.0" */
    const char *content_hash; /* "xxh3-128:..." */
    const char *input_hash;   /* hash of every value it was fitted on */
    uint64_t seed, n_rows;
    uint32_t trees, sample, height, n_features;
    enum avvik_splits splits;
    enum avvik_deviation deviation;
    uint32_t held_out; /* rows that calibrate */
    int has_joint, has_tails;
    uint32_t joint_groups; /* groups of peers that have a joint deviation of their own */
    uint64_t
        joint_peers; /* rows that such a group has at least, those that are held out left aside; 0: there is none */
    uint32_t n_keys, n_groups; /* columns that rows are grouped by; groups of all levels, everyone being one */
    uint64_t min_peers;        /* rows that a group must have */
    int is_wide;
};
struct avvik_feature_summary {
    const char *name;
    double weight;
    double mean, sd;
    double median, mad;    /* 0 where the deviation is classical */
    double mean_deviation; /* from the median: stands in for a MAD of 0, else 0 */
    double min, max;
    float fill; /* what a missing value is replaced by: the median of the rows the trees were grown from */
    uint64_t count, missing, infinite;
    int is_constant;
};
/* A peer group: rows with `code` in the key of its level, within `parent`. Group 0 is everyone, level 0. */
struct avvik_group_summary {
    uint32_t parent;
    int32_t code;
    uint32_t level;
    uint64_t rows; /* among those it was fitted on */
};
/* group: 0 to n_groups - 1; every group comes after its parent. */
void avvik_model_group(const struct avvik_model *model, uint32_t group, struct avvik_group_summary *group_out);
/* The column that groups of level key + 1 are told apart by. */
const char *avvik_model_key(const struct avvik_model *model, uint32_t key);
/* The group of a row with these codes: key k is keys[k * key_stride], a whole number below 2^24 in magnitude, or NaN
 * where it is missing. A row whose group is not in the model, or not known, belongs to the one around it. */
uint32_t avvik_model_group_of(const struct avvik_model *model, const float *keys, size_t key_stride);
void avvik_model_summarize(const struct avvik_model *model, struct avvik_model_summary *summary_out);
const char *avvik_splits_name(enum avvik_splits splits);                 /* "uniform", "mixed", "kurtosis" */
int avvik_splits_parse(const char *name, enum avvik_splits *splits_out); /* 0 if there is no such name */
void avvik_model_feature(const struct avvik_model *model, uint32_t feature, struct avvik_feature_summary *feature_out);

#ifdef __cplusplus
}
#endif
#endif

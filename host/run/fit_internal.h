/* What the parts of a fit share: fit_run.c (its course, and the trees), fit_blocks.c (the pass over all rows) and
 * fit_resume.c (going on where another fit stopped). */
#ifndef AVVIK_FIT_INTERNAL_H
#define AVVIK_FIT_INTERNAL_H

#include <stdatomic.h>

#include "block_pipeline.h"
#include "input_hash.h"
#include "journal.h"
#include "kernels.h"
#include "model_internal.h"
#include "source_plan.h"

/* A run of a tree's draws. */
struct range {
    uint32_t first, end;
};

/* What one block yields, and how it was got. */
struct fit_slot {
    struct avvik__plan *plan;
    struct avvik__moments *moments; /* [block_rows / 4096][feature] */
    XXH128_hash_t *digests;         /* likewise */
    struct avvik_stages stages;
};

struct fit_worker {
    struct avvik__fetcher *fetcher;
    float *piece;        /* [feature][piece_rows] */
    struct range *drawn; /* [tree]: the draws in the piece at hand */
    struct avvik__fetch_times times;
};

struct fit {
    struct avvik_source *source;
    struct avvik_model *model;
    const struct avvik_fit_options *options;
    struct avvik_fit_summary *summary;
    struct avvik__kernels kernels;
    struct avvik__cut cut;
    uint64_t start_ns;
    struct fit_slot *slots;
    struct fit_worker *workers;
    struct avvik__pipeline pipeline;
    uint64_t *draws; /* [tree][sample] row numbers, ascending in a tree */
    size_t n_draws;
    float *sample;                  /* [tree][sample][feature]: those rows */
    XXH3_state_t *hash;             /* of the input */
    struct avvik__journal *journal; /* NULL: none is wanted */
    atomic_uint next;               /* feature or tree, for those who share the work */
    atomic_int is_short;            /* one of them had no memory */
};

size_t avvik__fit_block_rows(const struct fit *fit, uint64_t block);

/* Slots and workers. */
enum avvik_status avvik__fit_blocks_init(struct fit *fit, struct avvik_error *error);
void avvik__fit_blocks_free(struct fit *fit);

/* The three stages of the pipeline; `context` is the fit. */
avvik__block_fn avvik__fit_block_plan, avvik__fit_block_add;
avvik__work_fn avvik__fit_block_work;

/* The draws of a tree among rows [first, first + n_rows). */
struct range avvik__fit_drawn(const struct fit *fit, size_t tree, uint64_t first, size_t n_rows);
/* Add what a block yielded to the model, in row order. */
void avvik__fit_moments_add(struct fit *fit, const struct fit_slot *slot, size_t n_rows);

/* A record of the journal for a block that has been added. */
enum avvik_status avvik__fit_journal_add(struct fit *fit, uint64_t block, const struct fit_slot *slot,
                                         struct avvik_error *error);
/* A text that only a fit of the same rows with the same options has; malloc'ed, NULL without memory. */
char *avvik__fit_identity(const struct fit *fit);
/* Take over what the journal tells of; *first_block_out is the first block that is left to do. */
void avvik__fit_replay(struct fit *fit, uint64_t *first_block_out);

#endif

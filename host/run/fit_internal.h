/* What the parts of a fit share: fit_run.c (its course, and the trees), fit_blocks.c (the first pass over all rows),
 * fit_medians.c (the passes for medians), fit_tails.c (for tails), fit_peers.c (for peer groups) and fit_resume.c
 * (going on where another fit stopped). */
#ifndef AVVIK_FIT_INTERNAL_H
#define AVVIK_FIT_INTERNAL_H

#include <stdatomic.h>

#include "block_pipeline.h"
#include "input_hash.h"
#include "journal.h"
#include "kernels.h"
#include "median_search.h"
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
    XXH128_canonical_t *digests;    /* likewise */
    struct avvik_stages stages;
};

/* How the rows of a piece are dealt out to buckets: avvik__deal_fn. */
struct deal {
    uint32_t *starts; /* [bucket + 1], and one more for rows that go nowhere */
    uint32_t *places; /* [bucket] */
    uint16_t *order;  /* [piece_rows + AVVIK_LANES] */
};

struct fit_worker {
    struct avvik__fetcher *fetcher;
    float *piece;        /* [column][piece_rows] */
    struct range *drawn; /* [list]: the draws in the piece at hand */
    struct avvik__fetch_times times;
    struct avvik__search_part *parts; /* [feature]: of the pass for medians that is going on */
    struct kept_run **runs;           /* [feature]: what a part keeps; the newest, which has those before it */
    struct avvik__groups census;      /* of the pass that counts groups */
    uint32_t *groups;                 /* [piece_rows]: of each row, where rows are grouped */
    struct deal deal;                 /* in the passes that gather groups */
};

struct fit;
typedef enum avvik_status avvik__piece_fn(struct fit *fit, unsigned worker, uint64_t row, size_t n_rows,
                                          struct avvik_error *error);

struct fit {
    struct avvik_source *source;
    struct avvik_model *model;
    const struct avvik_fit_options *options;
    struct avvik_fit_summary *summary;
    struct avvik__kernels kernels;
    struct avvik__cut cut;
    avvik__piece_fn *take_piece; /* of avvik__fit_piece_pass() */
    uint64_t start_ns;
    struct fit_slot *slots;
    struct fit_worker *workers;
    struct avvik__pipeline pipeline;
    size_t n_columns;  /* features and keys */
    uint32_t *weights; /* [feature], in steps of 1/65536 */
    uint64_t *draws;   /* [tree][sample] row numbers, ascending in a tree; then those that are held out, ascending */
    size_t n_draws;    /* of the trees */
    uint32_t n_held_out;
    float *sample; /* [tree][sample][feature], then [held out][feature]: those rows */
    struct avvik__input_hash hash;
    struct avvik__journal *journal;        /* NULL: none is wanted */
    struct avvik__median_search *searches; /* [feature] */
    char *is_taking_part;                  /* [column]: what the pass that is going on reads */
    char *is_searched;                     /* [feature]: whose median it looks for */
    struct fit_peers *peers;               /* of the passes for peer groups */
    struct fit_tails *tails;               /* of those for tails */
    struct joint_sample *joint_sample;     /* for joint deviations of groups; NULL: none has its own */
    uint32_t *sample_groups;               /* of each row of `sample`; NULL without peer groups */
    uint64_t memory_bytes;                 /* that those passes may take for what they keep */
    uint64_t kept_limit;                   /* of these, for what the pass that is going on keeps for medians */
    atomic_ullong kept_bytes;              /* of these, taken */
    uint64_t rows_before;                  /* rows that earlier passes went over, and that all known of will */
    uint64_t rows_planned;
    atomic_uint next;       /* feature or tree, for those who share the work */
    atomic_int is_short;    /* one of them had no memory */
    atomic_int has_changed; /* the rows are not those of the first pass */
};

size_t avvik__fit_block_rows(const struct fit *fit, uint64_t block);

/* Slots and workers. */
enum avvik_status avvik__fit_blocks_init(struct fit *fit, struct avvik_error *error);
void avvik__fit_blocks_free(struct fit *fit);

/* The three stages of the pipeline; `context` is the fit. */
avvik__block_fn avvik__fit_block_plan, avvik__fit_block_add;
avvik__work_fn avvik__fit_block_work;

/* What the stages took since `start`, into the slot; what a slot says of them, into the summary; and the news that the
 * pass has come to the end of `block`, for who waits. */
void avvik__fit_stages_take(struct fit_worker *worker, struct fit_slot *slot, uint64_t start);
void avvik__fit_block_tell(struct fit *fit, const struct fit_slot *slot, uint64_t block);

/* Work that threads share, this one included: `work` is called with the fit by each, and takes from fit->next. */
void avvik__fit_share(struct fit *fit, void *(*work)(void *));

/* Medians and MADs of all features, whose searches have begun. AVVIK_ERR_FORMAT if the rows have changed; what reading
 * them returns. */
enum avvik_status avvik__fit_medians(struct fit *fit, struct avvik_error *error);

/* Part of that in a pass that somebody else makes over features [first, first + n), if `bytes` of memory allow:
 * avvik__fit_search_begin() before it, avvik__fit_search_take() for n_rows values of every feature that the pass reads,
 * avvik__fit_search_end() once it is over, whether it came to its end or not. */
enum avvik_status avvik__fit_search_begin(struct fit *fit, size_t first, size_t n, uint64_t bytes,
                                          struct avvik_error *error);
void avvik__fit_search_take(struct fit *fit, struct fit_worker *worker, size_t feature, const float *column,
                            size_t n_rows);
void avvik__fit_search_end(struct fit *fit, int is_whole);

/* One more pass over all rows, which reads the columns that take part: `work` for every block. What reading returns.
 * Afterwards, AVVIK_ERR_FORMAT if fit->has_changed, AVVIK_ERR_MEMORY if fit->is_short. */
enum avvik_status avvik__fit_pass(struct fit *fit, avvik__work_fn *work, struct avvik_error *error);

/* The same, `take` being given every piece: of rows [row, row + n_rows), in the piece of that worker, where column c is
 * at c * cut.piece_rows. */
enum avvik_status avvik__fit_piece_pass(struct fit *fit, avvik__piece_fn *take, struct avvik_error *error);

enum avvik_status avvik__fit_pass_check(const struct fit *fit, struct avvik_error *error);

/* The quantiles of tails, of all features. As avvik__fit_medians(). */
enum avvik_status avvik__fit_tails(struct fit *fit, struct avvik_error *error);

/* Before the first pass: room to count groups in. Then, for whoever has the keys of rows [first, first + n_rows) in its
 * piece, and which of them are drawn: count. AVVIK_ERR_USAGE for too many groups. */
enum avvik_status avvik__fit_census_begin(struct fit *fit, struct avvik_error *error);
enum avvik_status avvik__fit_census_take(struct fit *fit, unsigned worker, uint64_t first, size_t n_rows,
                                         struct avvik_error *error);

/* Groups and what their z-scores are measured with, but for what they take from everyone: that is settled once the
 * features are finished. Searches for medians go on in the same passes. AVVIK_ERR_USAGE if there is too little memory;
 * what reading returns. */
enum avvik_status avvik__fit_peers(struct fit *fit, struct avvik_error *error);
void avvik__fit_peers_settle(struct avvik_model *model);
void avvik__fit_peers_free(struct fit *fit);

/* Lists of drawn rows: one a tree, and one of those that are held out. */
size_t avvik__fit_lists(const struct fit *fit);
/* Which of n rows, ascending, are rows [first, first + n_rows); which of a list's draws; and that of all lists, into
 * worker->drawn. */
struct range avvik__fit_rows_between(const uint64_t *rows, uint32_t n, uint64_t first, size_t n_rows);
struct range avvik__fit_drawn(const struct fit *fit, size_t list, uint64_t first, size_t n_rows);
void avvik__fit_drawn_find(const struct fit *fit, struct fit_worker *worker, uint64_t first, size_t n_rows);

/* Run `work` in n_threads threads, this one included; those that cannot be started are not missed. */
void avvik__threads_share(void *(*work)(void *), void *context, unsigned n_threads);

/* How features vary together in the rows that the trees grew from. */
enum avvik_status avvik__fit_joint(struct fit *fit, struct avvik_error *error);

/* The same within large groups of peers, each with its own centers and scales, from rows that avvik__fit_peers() has
 * kept (fit_joint.h). Nothing without those. */
enum avvik_status avvik__fit_joint_peers(struct fit *fit, struct avvik_error *error);

/* Score the rows that are held out, and some that the trees grew from, with the finished model. */
enum avvik_status avvik__fit_calibrate(struct fit *fit, struct avvik_error *error);

/* A record of the journal for a block that has been added. */
enum avvik_status avvik__fit_journal_add(struct fit *fit, uint64_t block, struct avvik_error *error);
/* A text that only a fit of the same rows with the same options has; malloc'ed, NULL without memory. */
char *avvik__fit_identity(const struct fit *fit);
/* Take over what the journal tells of; *first_block_out is the first block that is left to do. */
void avvik__fit_replay(struct fit *fit, uint64_t *first_block_out);

#endif

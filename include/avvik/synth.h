/* The synthetic country: a register, batches and the truth about them, of a country that never existed. */
#ifndef AVVIK_SYNTH_H
#define AVVIK_SYNTH_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One line of the table that amounts follow from (datasets/synth/rules.def). Static storage. */
struct avvik_synth_rule {
    const char *name;     /* "BASIC_AMOUNT" */
    int year, month, day; /* from when on it holds */
    double value;
    const char *unit, *source; /* "assumed" in the source: no published figure */
};
size_t avvik_synth_n_rules(void);
const struct avvik_synth_rule *avvik_synth_rule(size_t index); /* NULL from avvik_synth_n_rules() on */

#define AVVIK_SYNTH_MIN_PERSONS 1000
#define AVVIK_SYNTH_MAX_PERSONS 50000000
#define AVVIK_SYNTH_MAX_MONTHS 48
#define AVVIK_SYNTH_TYPOLOGIES 10

/* Names of the typologies, from 1; 0 is "none"; NULL beyond AVVIK_SYNTH_TYPOLOGIES. Static storage. */
const char *avvik_synth_typology_name(int typology);
/* One line of what a typology is; is_business_out: does a rate of it count businesses, or persons? */
const char *avvik_synth_typology_text(int typology, int *is_business_out);

struct avvik_synth_progress {
    const char *file;           /* being written, without its folder; "" while households are counted */
    const char *table;          /* "/benefit" */
    uint64_t rows_done, n_rows; /* of this table */
    uint64_t all_rows_done;
};
/* Called from the thread that runs, after each block. */
typedef void avvik_synth_progress_fn(void *user, const struct avvik_synth_progress *progress);

struct avvik_synth_options {
    uint64_t n_persons; /* AVVIK_SYNTH_MIN_PERSONS to _MAX_PERSONS */
    int year, month;    /* the first month: 2023-01 to 2026-12, and the last not after that */
    int n_months;       /* 1 to AVVIK_SYNTH_MAX_MONTHS */
    uint64_t seed;
    double fraud_rate;                             /* share of persons, and of businesses, in typologies */
    double typologies[AVVIK_SYNTH_TYPOLOGIES + 1]; /* share of each, from [1] on; negative: its part of fraud_rate */
    double look_alikes; /* for each case of a typology, so many benign ones that look like it */
    const char *key;    /* file of the key that identities are hashed with; NULL: a key that follows from the seed */
    int is_contiguous;  /* tables in one piece instead of chunks */
    int level;          /* of deflate after shuffle, 1 to 9; 0: not compressed. Chunks only */
    int replace;        /* a country that is there already */
    uint32_t threads;   /* workers; 0: one per CPU this process may run on */
    const volatile int *stop; /* polled once a block; non-zero: AVVIK_INTERRUPTED, and nothing is left; may be NULL */
    avvik_synth_progress_fn *progress; /* may be NULL */
    void *user;
};

struct avvik_synth_summary {
    uint64_t persons, households, employers, benefit_rows, wage_rows, vat_rows;
    uint64_t typology_persons[AVVIK_SYNTH_TYPOLOGIES + 1],
        look_alike_persons[AVVIK_SYNTH_TYPOLOGIES + 1]; /* or businesses */
    uint64_t bytes;                                     /* of all files */
    uint64_t elapsed_ns, benefit_ns;                    /* benefit_ns: counting and writing /benefit */
    char files[AVVIK_SYNTH_MAX_MONTHS + 3][40];
    size_t n_files;
};

/* 100,000 persons, twelve months from 2025-01 on, seed 1, 0.5 % in typologies, twice as many look-alikes, level 1. */
void avvik_synth_options_init(struct avvik_synth_options *options_out);

/* Write a country into the folder `folder`, which comes into being as a whole at the end: registry.h5, truth.h5,
 * identity.key (mode 0600), and a batch for each month, batch_2025-01.h5 and so on (datasets/README.md has every
 * column). The same options give the same bytes, but for the time of making, at any number of threads.
 * A folder that is there is replaced only if options->replace is set and it holds a country and nothing else.
 *
 * summary_out  may be NULL.
 * Returns      AVVIK_OK; AVVIK_ERR_USAGE (an option outside its range); AVVIK_ERR_EXISTS; AVVIK_ERR_IO (the text has
 * the path); AVVIK_ERR_FORMAT (the key file is none, or others may read it); AVVIK_INTERRUPTED; AVVIK_ERR_MEMORY. After
 * a failure nothing of this run is left on the disk. One call at a time in a process, and no other HDF5 calls beside it
 * unless HDF5 is the thread-safe build. */
enum avvik_status avvik_synth(const char *folder, const struct avvik_synth_options *options,
                              struct avvik_synth_summary *summary_out, struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif

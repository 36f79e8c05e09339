/* The median and the MAD (median absolute deviation from the median) of one column that is too long to be kept, in a
 * few passes over it.
 *
 * The first pass of a search sifts: from a sample it is known within narrow windows where the median lies, and where
 * the values that are one MAD away from it; only what lies in these is kept, and the rest is counted. The ranks show
 * whether the sample told the truth. Where it did not, or where there was no room, the next passes count on the bits of
 * the floats, 4,096 buckets at a time, in three passes at most for the median and three for the MAD. */
#ifndef AVVIK_MEDIAN_SEARCH_H
#define AVVIK_MEDIAN_SEARCH_H

#include "kernels.h"

enum avvik__search_phase { AVVIK_SEARCH_SIFT, AVVIK_SEARCH_MEDIAN, AVVIK_SEARCH_MAD, AVVIK_SEARCH_DONE };

struct avvik__median_search {
    uint64_t n; /* finite values of the column */
    float min, max;
    enum avvik__search_phase phase;
    uint64_t expected;            /* values that sifting is going to keep, by the sample */
    struct avvik__sieve sieve;    /* while sifting */
    uint32_t first_key, last_key; /* while counting: what is sought is among these keys */
    uint64_t below;               /* values before them */
    int is_summed;                /* mean_deviation is known */
    float median, mad;            /* results; 0 where n is 0 */
    double mean_deviation;        /* of the distances from the median; only where mad is 0, else 0 */
};

#define AVVIK_SEARCH_BUCKETS 4096
#define AVVIK_SEARCH_EXPONENTS 256
#define AVVIK_SEARCH_MAX_PASSES 7 /* one that sifts, three for each of median and MAD */

/* What one thread finds out about one column in one pass. Zero is a start, but for `next`, which begins at UINT32_MAX;
 * the owner provides the memory. */
struct avvik__search_part {
    float *kept; /* while sifting: room for n_kept + n + AVVIK_LANES values before a call with n */
    size_t n_kept;
    struct avvik__sift_counts sifted;
    uint64_t *buckets;   /* AVVIK_SEARCH_BUCKETS, where avvik__search_needs_buckets(), else NULL */
    uint64_t *exponents; /* likewise: mantissas of the distances, added up by exponent, exactly */
    uint32_t next;       /* the smallest key above last_key */
    uint64_t n_counted;  /* finite values */
    int is_full;         /* there was no room: what was kept does not count */
};

/* Begin with what is known of the column: n finite values from min to max, and n_sample values of a sample, ascending
 * (n_sample 0 where n is). scratch holds twice as many. */
void avvik__search_begin(struct avvik__median_search *search, uint64_t n, float min, float max, const float *sample,
                         float *scratch, size_t n_sample);

/* There is no room for what sifting keeps: count instead. */
void avvik__search_count(struct avvik__median_search *search);

int avvik__search_needs_buckets(const struct avvik__median_search *search);
int avvik__search_needs_exponents(const struct avvik__median_search *search);

/* Take n values of the column (raw: NaN and infinities are left out). Any number of threads, each with its own part. */
void avvik__search_take(const struct avvik__median_search *search, struct avvik__search_part *part,
                        const struct avvik__kernels *kernels, const float *column, size_t n);

/* After a pass: `all` is the sum of all parts (avvik__search_join()). scratch holds 2 (all->n_kept + AVVIK_LANES).
 * 0 if the column is not the one that began: it has changed meanwhile. */
int avvik__search_advance(struct avvik__median_search *search, const struct avvik__search_part *all,
                          const struct avvik__kernels *kernels, float *scratch);

/* Median, MAD and mean deviation of n values in memory: raw, so that NaN and infinities are left out, unless is_clean
 * says that they are finite, and none denormal or -0.0. Returns how many are left. scratch holds 3 (n + AVVIK_LANES).
 */
size_t avvik__median_of(const float *values, size_t n, int is_clean, const struct avvik__kernels *kernels,
                        float *scratch, struct avvik__median_search *found_out);

/* Add `part` to `all`, whose `kept` has room for both. */
void avvik__search_join(struct avvik__search_part *all, const struct avvik__search_part *part);

#endif

#include "median_search.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "float_order.h"

#define WHOLE 16384     /* a column of so many values, or fewer, is kept whole */
#define SAMPLE 2048     /* of values in memory */
#define HALF_WIDTH 2.25 /* of a window, times sqrt(n_sample): 4.5 standard deviations of the rank of a median */

static float clamp(double x)
{
    return x > FLT_MAX ? FLT_MAX : x < -FLT_MAX ? -FLT_MAX : avvik__flush((float)x);
}

/* Windows around what the sample's median and MAD are. The sample's distances are from its own median, the column's
 * from another one in the middle window: what that can shift is added. */
static void sieve_make(struct avvik__sieve *sieve, const float *sample, float *scratch, size_t n)
{
    const size_t half = (size_t)(HALF_WIDTH * sqrt((double)n)) + 1, middle = n / 2;
    const size_t from = middle > half ? middle - half : 0, to = middle + half < n ? middle + half : n - 1;
    const float low = sample[from], high = sample[to], median = sample[middle];
    float *distances = scratch;
    for (size_t i = 0; i < n; i++)
        distances[i] = avvik__distance(sample[i], median);
    avvik__float_sort(distances, scratch + n, n);
    const double shift = fmax((double)median - low, (double)high - median);
    const double near = fmax(0, distances[from] - shift), far = distances[to] + shift;
    sieve->first = clamp(low - far);
    sieve->last = clamp(high + far);
    sieve->middle_first = low;
    sieve->middle_last = high;
    sieve->low_last = clamp(fmin(high - near, low));
    sieve->high_first = clamp(fmax(low + near, high));
    sieve->tie = low == high ? low : NAN;
}

static void count_begin(struct avvik__median_search *search, enum avvik__search_phase phase)
{
    search->phase = phase;
    search->below = 0;
    search->first_key = avvik__float_key(phase == AVVIK_SEARCH_MAD ? 0 : search->min);
    search->last_key = avvik__float_key(phase == AVVIK_SEARCH_MAD ? fmaxf(avvik__distance(search->min, search->median),
                                                                          avvik__distance(search->max, search->median))
                                                                  : search->max);
}

void avvik__search_begin(struct avvik__median_search *search, uint64_t n, float min, float max, const float *sample,
                         float *scratch, size_t n_sample)
{
    *search = (struct avvik__median_search){.n = n, .min = min, .max = max};
    search->phase = n == 0 ? AVVIK_SEARCH_DONE : AVVIK_SEARCH_SIFT;
    search->sieve = (struct avvik__sieve){-FLT_MAX, -FLT_MAX, -FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX, NAN};
    search->expected = n;
    if (n <= WHOLE || n_sample == 0)
        return;
    struct avvik__sift_counts counts = {0};
    sieve_make(&search->sieve, sample, scratch, n_sample);
    const size_t n_kept = avvik__sift_scalar(scratch, &counts, sample, n_sample, &search->sieve);
    search->expected = (uint64_t)((double)n * (double)n_kept / (double)n_sample) + 1;
}

int avvik__search_needs_buckets(const struct avvik__median_search *search)
{
    return search->phase == AVVIK_SEARCH_MEDIAN || search->phase == AVVIK_SEARCH_MAD;
}

int avvik__search_needs_exponents(const struct avvik__median_search *search)
{
    return search->phase == AVVIK_SEARCH_SIFT ? search->sieve.first == search->sieve.last
                                              : search->phase == AVVIK_SEARCH_MAD && !search->is_summed;
}

void avvik__search_count(struct avvik__median_search *search)
{
    count_begin(search, AVVIK_SEARCH_MEDIAN);
}

static void exponents_add(uint64_t *exponents, float distance)
{
    uint32_t bits;
    memcpy(&bits, &distance, sizeof bits);
    if (bits != 0)
        exponents[bits >> 23] += (bits & 0x7fffffu) | 0x800000u;
}

/* Sum of the distances: exact up to here, so that no order of the rows matters; then from the small ones to the large.
 */
static double exponents_sum(const uint64_t *exponents)
{
    double sum = 0;
    for (int exponent = 1; exponent < AVVIK_SEARCH_EXPONENTS; exponent++)
        sum += ldexp((double)exponents[exponent], exponent - 150);
    return sum;
}

static unsigned shift_of(const struct avvik__median_search *search)
{
    unsigned shift = 0;
    while ((search->last_key - search->first_key) >> shift >= AVVIK_SEARCH_BUCKETS)
        shift++;
    return shift;
}

static void keys_take(const struct avvik__median_search *search, struct avvik__search_part *part, const float *column,
                      size_t n)
{
    const unsigned shift = shift_of(search);
    const int is_distance = search->phase == AVVIK_SEARCH_MAD;
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(column[i]) <= FLT_MAX))
            continue;
        float x = avvik__flush(column[i]);
        x = is_distance ? avvik__distance(x, search->median) : x;
        const uint32_t key = avvik__float_key(x);
        part->n_counted++;
        if (key >= search->first_key && key <= search->last_key)
            part->buckets[(key - search->first_key) >> shift]++;
        else if (key > search->last_key && key < part->next)
            part->next = key;
        if (part->exponents != NULL)
            exponents_add(part->exponents, x);
    }
}

void avvik__search_take(const struct avvik__median_search *search, struct avvik__search_part *part,
                        const struct avvik__kernels *kernels, const float *column, size_t n)
{
    if (search->phase != AVVIK_SEARCH_SIFT) {
        keys_take(search, part, column, n);
        return;
    }
    const size_t n_new = kernels->sift(part->kept + part->n_kept, &part->sifted, column, n, &search->sieve);
    part->n_kept += n_new;
    part->n_counted += n_new;
    if (part->exponents != NULL)
        for (size_t i = 0; i < n; i++)
            if (fabsf(column[i]) <= FLT_MAX)
                exponents_add(part->exponents, avvik__distance(avvik__flush(column[i]), search->sieve.tie));
}

void avvik__search_join(struct avvik__search_part *all, const struct avvik__search_part *part)
{
    if (part->n_kept > 0)
        memcpy(all->kept + all->n_kept, part->kept, part->n_kept * sizeof *all->kept);
    all->n_kept += part->n_kept;
    all->sifted.below += part->sifted.below;
    all->sifted.low_gap += part->sifted.low_gap;
    all->sifted.high_gap += part->sifted.high_gap;
    all->sifted.above += part->sifted.above;
    all->sifted.ties += part->sifted.ties;
    for (size_t i = 0; part->buckets != NULL && i < AVVIK_SEARCH_BUCKETS; i++)
        all->buckets[i] += part->buckets[i];
    for (size_t i = 0; part->exponents != NULL && i < AVVIK_SEARCH_EXPONENTS; i++)
        all->exponents[i] += part->exponents[i];
    all->next = part->next < all->next ? part->next : all->next;
    all->n_counted += part->n_counted;
    all->is_full |= part->is_full;
}

/* What selecting needs beside the values. */
struct buffers {
    const struct avvik__kernels *kernels;
    float *scratch;
};

/* Numbers `rank` and the one after it among what was kept; 0 if they are not both there. */
static int kept_select(const struct avvik__search_part *all, uint64_t rank, int wants_next, int is_distance,
                       float center, const struct buffers *buffers, struct avvik__neighbours *found)
{
    if (rank >= all->n_kept || (wants_next && rank + 1 >= all->n_kept))
        return 0;
    *found = avvik__float_select(all->kept, all->n_kept, rank, is_distance, center, buffers->kernels, buffers->scratch);
    found->next = wants_next ? found->next : found->at;
    return 1;
}

/* Is the median in the middle window? Then it is the median. */
static int median_find(struct avvik__median_search *search, const struct avvik__search_part *all,
                       const struct buffers *buffers)
{
    const struct avvik__sieve *sieve = &search->sieve;
    const uint64_t rank = (search->n - 1) / 2, before = all->sifted.below + all->sifted.low_gap;
    const int is_even = search->n % 2 == 0;
    struct avvik__neighbours found;
    if (!isnan(sieve->tie)) {
        uint64_t n_before = before;
        for (size_t i = 0; i < all->n_kept; i++)
            n_before += all->kept[i] < sieve->tie;
        search->median = sieve->tie;
        return n_before <= rank && search->n / 2 < n_before + all->sifted.ties;
    }
    if (rank < before || !kept_select(all, rank - before, is_even, 0, 0, buffers, &found) ||
        found.at < sieve->middle_first || found.next > sieve->middle_last)
        return 0;
    search->median = avvik__middle(found.at, found.next);
    return 1;
}

/* The MAD, if no value that was only counted can stand in for it: those in the gaps are at most as far from the median
 * as the gaps' outer ends, those outside at least as far as the outer windows' outer ends. */
static int mad_find(struct avvik__median_search *search, const struct avvik__search_part *all,
                    const struct buffers *buffers)
{
    const struct avvik__sieve *sieve = &search->sieve;
    const struct avvik__sift_counts *sifted = &all->sifted;
    const float median = search->median;
    const uint64_t rank = (search->n - 1) / 2, n_near = sifted->ties + sifted->low_gap + sifted->high_gap;
    const int is_even = search->n % 2 == 0;
    struct avvik__neighbours found = {0, 0};
    if (search->n / 2 < sifted->ties) { /* they are the median itself */
        search->mad = 0;
        return 1;
    }
    if (rank < n_near || !kept_select(all, rank - n_near, is_even, 1, median, buffers, &found))
        return 0;
    if ((sifted->low_gap > 0 && found.at < avvik__distance(sieve->low_last, median)) ||
        (sifted->high_gap > 0 && found.at < avvik__distance(sieve->high_first, median)) ||
        (sifted->below > 0 && found.next > avvik__distance(sieve->first, median)) ||
        (sifted->above > 0 && found.next > avvik__distance(sieve->last, median)))
        return 0;
    search->mad = avvik__middle(found.at, found.next);
    return 1;
}

static void sift_advance(struct avvik__median_search *search, const struct avvik__search_part *all,
                         const struct buffers *buffers)
{
    if (all->is_full || !median_find(search, all, buffers)) {
        count_begin(search, AVVIK_SEARCH_MEDIAN);
        return;
    }
    if (!mad_find(search, all, buffers)) {
        count_begin(search, AVVIK_SEARCH_MAD);
        return;
    }
    search->phase = AVVIK_SEARCH_DONE;
    if (search->mad > 0)
        return;
    if (all->exponents != NULL) {
        search->mean_deviation = exponents_sum(all->exponents) / (double)search->n;
    } else if (all->n_kept + all->sifted.ties == search->n) { /* nothing is missing */
        uint64_t exponents[AVVIK_SEARCH_EXPONENTS] = {0};
        for (size_t i = 0; i < all->n_kept; i++)
            exponents_add(exponents, avvik__distance(all->kept[i], search->median));
        search->mean_deviation = exponents_sum(exponents) / (double)search->n;
    } else {
        count_begin(search, AVVIK_SEARCH_MAD);
    }
}

/* Narrow [first_key, last_key] to the bucket of number (n - 1) / 2; when that is one key, take it and the one after it.
 * 0 if they are not there. */
static int count_advance(struct avvik__median_search *search, const struct avvik__search_part *all)
{
    const uint64_t rank = (search->n - 1) / 2;
    const unsigned shift = shift_of(search);
    uint64_t before = search->below;
    uint32_t bucket = 0, next = all->next;
    while (bucket < AVVIK_SEARCH_BUCKETS && before + all->buckets[bucket] <= rank)
        before += all->buckets[bucket++];
    if (bucket == AVVIK_SEARCH_BUCKETS)
        return 0;
    if (search->phase == AVVIK_SEARCH_MAD && !search->is_summed) {
        search->mean_deviation = exponents_sum(all->exponents) / (double)search->n;
        search->is_summed = 1;
    }
    const uint32_t width = search->last_key - search->first_key, start = bucket << shift;
    if (shift > 0) {
        const uint32_t end = start + ((1u << shift) - 1);
        search->below = before;
        search->last_key = search->first_key + (end < width && end >= start ? end : width);
        search->first_key += start;
        return 1;
    }
    const float at = avvik__float_of_key(search->first_key + start);
    float after = at;
    if (search->n % 2 == 0 && before + all->buckets[bucket] == rank + 1) {
        for (uint32_t i = width; i > bucket; i--)
            next = all->buckets[i] > 0 ? search->first_key + i : next;
        if (next == UINT32_MAX)
            return 0;
        after = avvik__float_of_key(next);
    }
    if (search->phase == AVVIK_SEARCH_MEDIAN) {
        search->median = avvik__middle(at, after);
        count_begin(search, AVVIK_SEARCH_MAD);
    } else {
        search->mad = avvik__middle(at, after);
        search->mean_deviation = search->mad > 0 ? 0 : search->mean_deviation;
        search->phase = AVVIK_SEARCH_DONE;
    }
    return 1;
}

int avvik__search_advance(struct avvik__median_search *search, const struct avvik__search_part *all,
                          const struct avvik__kernels *kernels, float *scratch)
{
    const struct avvik__sift_counts *sifted = &all->sifted;
    const uint64_t n =
        all->n_counted + sifted->below + sifted->low_gap + sifted->high_gap + sifted->above + sifted->ties;
    const int is_sifting = search->phase == AVVIK_SEARCH_SIFT;
    if (n != search->n && !(is_sifting && all->is_full))
        return 0;
    if (!is_sifting)
        return count_advance(search, all);
    sift_advance(search, all, &(struct buffers){kernels, scratch});
    return 1;
}

/* By a sample and one look at the values; 0 if the sample says too little, or lied. */
static int large_median(const float *values, size_t n, const struct avvik__kernels *kernels, float *scratch,
                        struct avvik__median_search *found)
{
    float sample[SAMPLE], twice[2 * SAMPLE];
    uint64_t exponents[AVVIK_SEARCH_EXPONENTS] = {0};
    size_t n_sample = 0;
    for (size_t i = 0; i < SAMPLE; i++) {
        const float value = values[n / SAMPLE * i];
        if (isfinite(value))
            sample[n_sample++] = avvik__flush(value);
    }
    if (n_sample < SAMPLE / 4)
        return 0;
    avvik__float_sort(sample, twice, n_sample);
    avvik__search_begin(found, n, -FLT_MAX, FLT_MAX, sample, twice, n_sample);
    struct avvik__search_part part = {.kept = scratch};
    part.exponents = avvik__search_needs_exponents(found) ? exponents : NULL;
    avvik__search_take(found, &part, kernels, values, n);
    const struct avvik__sift_counts *sifted = &part.sifted;
    found->n = part.n_counted + sifted->below + sifted->low_gap + sifted->high_gap + sifted->above + sifted->ties;
    avvik__search_advance(found, &part, kernels, scratch + n + AVVIK_LANES);
    return found->phase == AVVIK_SEARCH_DONE;
}

/* By selecting among n clean values. */
static void small_median(const float *values, size_t n, const struct avvik__kernels *kernels, float *scratch,
                         struct avvik__median_search *found)
{
    *found = (struct avvik__median_search){.n = n, .phase = AVVIK_SEARCH_DONE};
    if (n == 0)
        return;
    const size_t rank = (n - 1) / 2;
    const int is_even = n % 2 == 0;
    struct avvik__neighbours middle = avvik__float_select(values, n, rank, 0, 0, kernels, scratch);
    found->median = avvik__middle(middle.at, is_even ? middle.next : middle.at);
    middle = avvik__float_select(values, n, rank, 1, found->median, kernels, scratch);
    found->mad = avvik__middle(middle.at, is_even ? middle.next : middle.at);
    if (found->mad > 0)
        return;
    uint64_t exponents[AVVIK_SEARCH_EXPONENTS] = {0};
    for (size_t i = 0; i < n; i++)
        exponents_add(exponents, avvik__distance(values[i], found->median));
    found->mean_deviation = exponents_sum(exponents) / (double)n;
}

size_t avvik__median_of(const float *values, size_t n, int is_clean, const struct avvik__kernels *kernels,
                        float *scratch, struct avvik__median_search *found_out)
{
    static const struct avvik__sieve everything = {-FLT_MAX, -FLT_MAX, -FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX, NAN};
    struct avvik__sift_counts counts = {0};
    if (n > WHOLE && large_median(values, n, kernels, scratch, found_out))
        return (size_t)found_out->n;
    const size_t n_clean = is_clean ? n : kernels->sift(scratch, &counts, values, n, &everything);
    small_median(is_clean ? values : scratch, n_clean, kernels, scratch + n + AVVIK_LANES, found_out);
    return n_clean;
}

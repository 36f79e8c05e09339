#include "float_order.h"

#define DIGIT_BITS 11
#define N_DIGITS 3
#define N_BUCKETS (1u << DIGIT_BITS)
#define FEW 16   /* values that are sorted by comparing all, and a sample of more */
#define MARGIN 4 /* of the sample's ranks: two standard deviations of that of a median */

void avvik__float_sort(float *values, float *scratch, size_t n)
{
    uint32_t starts[N_DIGITS][N_BUCKETS] = {{0}};
    for (size_t i = 0; i < n; i++) {
        const uint32_t key = avvik__float_key(values[i]);
        for (int digit = 0; digit < N_DIGITS; digit++)
            starts[digit][key >> (digit * DIGIT_BITS) & (N_BUCKETS - 1)]++;
    }
    float *from = values, *to = scratch;
    for (int digit = 0; digit < N_DIGITS; digit++) {
        uint32_t *start = starts[digit], next = 0;
        for (int bucket = 0; bucket < (int)N_BUCKETS; bucket++) {
            const uint32_t count = start[bucket];
            start[bucket] = next;
            next += count;
        }
        for (size_t i = 0; i < n; i++)
            to[start[avvik__float_key(from[i]) >> (digit * DIGIT_BITS) & (N_BUCKETS - 1)]++] = from[i];
        float *swap = from;
        from = to;
        to = swap;
    }
    memcpy(values, scratch, n * sizeof *values);
}

/* Ascending: each goes to the place that the number of those before it says. Comparisons of everything with everything
 * are more of them than sorting needs, but none of them is a branch. */
static void few_sort(const float *values, size_t n, float *sorted)
{
    float all[FEW];
    int32_t n_before[FEW] = {0};
    for (size_t i = 0; i < FEW; i++)
        all[i] = i < n ? values[i] : INFINITY;
    for (int j = 0; j < FEW; j++) { /* in this order, the inner loop is a few vectors */
        const float x = all[j];
        for (int i = 0; i < FEW; i++)
            n_before[i] += (x < all[i]) | ((x == all[i]) & (j < i));
    }
    for (int i = 0; i < FEW; i++)
        sorted[n_before[i]] = all[i];
}

/* The values at hand, or their distances from the center. */
struct choice {
    const float *values;
    size_t n, rank;
    int is_distance;
    float center;
};

static float value_of(const struct choice *from, size_t i)
{
    return from->is_distance ? avvik__distance(from->values[i], from->center) : from->values[i];
}

/* For any number and any values: count keys in buckets, keep those of the bucket that has the rank, until they are one
 * and the same. */
static struct avvik__neighbours bits_select(const struct choice *from, uint32_t *keys)
{
    uint32_t first = UINT32_MAX, last = 0, next = UINT32_MAX;
    size_t n = from->n, rank = from->rank;
    for (size_t i = 0; i < n; i++) {
        keys[i] = avvik__float_key(value_of(from, i));
        first = keys[i] < first ? keys[i] : first;
        last = keys[i] > last ? keys[i] : last;
    }
    while (first < last) {
        uint32_t counts[N_BUCKETS] = {0}, bucket = 0;
        unsigned shift = 0;
        while ((last - first) >> shift >= N_BUCKETS)
            shift++;
        for (size_t i = 0; i < n; i++)
            counts[(keys[i] - first) >> shift]++;
        for (; counts[bucket] <= rank; bucket++)
            rank -= counts[bucket];
        const uint32_t start = first + (bucket << shift), width = (1u << shift) - 1;
        size_t n_kept = 0;
        for (size_t i = 0; i < n; i++) {
            const uint32_t key = keys[i];
            keys[n_kept] = key;
            n_kept += key - start <= width;
        }
        n = n_kept;
        first = start;
        last = start + width;
    }
    for (size_t i = 0; rank + 1 == n && i < from->n; i++) { /* the one after it is another value */
        const uint32_t key = avvik__float_key(value_of(from, i));
        next = key > first && key < next ? key : next;
    }
    const float at = avvik__float_of_key(first);
    return (struct avvik__neighbours){at, next == UINT32_MAX ? at : avvik__float_of_key(next)};
}

/* A window that probably holds the rank, from a few of the values. */
static void window_sample(const struct choice *from, float *low, float *high)
{
    float sample[FEW], sorted[FEW];
    for (size_t i = 0; i < FEW; i++)
        sample[i] = value_of(from, from->n / FEW * i);
    few_sort(sample, FEW, sorted);
    const size_t middle = from->rank * FEW / from->n;
    *low = sorted[middle > MARGIN ? middle - MARGIN : 0];
    *high = sorted[middle + MARGIN < FEW ? middle + MARGIN : FEW - 1];
}

/* The same where they lie about evenly between *low and *high. */
static void window_interpolate(const struct choice *from, float *low, float *high)
{
    const double width = (double)*high - *low, n = (double)from->n;
    const double at = *low + width * ((double)from->rank + 0.5) / n, margin = width / sqrt(n);
    const float before = (float)(at - margin), after = (float)(at + margin);
    *low = before > *low ? before : *low;
    *high = after < *high ? after : *high;
}

/* Keep what lies in a window. The rank of what is left is meaningless where it does not lie there. */
static struct choice window_keep(const struct choice *from, const struct avvik__kernels *kernels, float *kept,
                                 float low, float high, size_t *below)
{
    *below = 0;
    const size_t n = kernels->narrow(kept, below, from->values, from->n, from->is_distance, from->center, low, high);
    return (struct choice){.values = kept, .n = n, .rank = from->rank - *below};
}

/* The window was [*first, *last]: the one on the side of it where the rank and the one after it lie, or, where it has
 * one of them, itself and that side. */
static void window_move(size_t rank, size_t next, size_t below, size_t n, float *first, float *last, float low,
                        float high)
{
    if (rank < below) {
        *last = next < below ? *first : *last;
        *first = low;
    } else {
        *first = rank >= below + n ? *last : *first;
        *last = high;
    }
}

struct avvik__neighbours avvik__float_select(const float *values, size_t n, size_t rank, int is_distance, float center,
                                             const struct avvik__kernels *kernels, float *scratch)
{
    float *const halves[2] = {scratch, scratch + n + AVVIK_LANES};
    float low = -FLT_MAX, high = FLT_MAX, few[FEW] = {0}, sorted[FEW];
    struct choice from = {values, n, rank, is_distance, center};
    for (int round = 0; from.n > FEW && low < high; round++) {
        const size_t next = from.rank + 1 < from.n ? from.rank + 1 : from.rank;
        float first = low, last = high, *to = halves[round % 2];
        size_t below;
        if (low == -FLT_MAX || high == FLT_MAX)
            window_sample(&from, &first, &last);
        else
            window_interpolate(&from, &first, &last);
        struct choice kept = window_keep(&from, kernels, to, first, last, &below);
        if (from.rank < below || next >= below + kept.n) { /* beside the window, or one of them in it */
            window_move(from.rank, next, below, kept.n, &first, &last, low, high);
            kept = window_keep(&from, kernels, to, first, last, &below);
        }
        if (from.rank < below || next >= below + kept.n || kept.n > from.n - from.n / 8)
            return bits_select(&from, (void *)to);
        from = kept;
        low = first;
        high = last;
    }
    if (low == high)
        return (struct avvik__neighbours){low, low};
    for (size_t i = 0; i < from.n; i++)
        few[i] = value_of(&from, i);
    few_sort(few, from.n, sorted);
    return (struct avvik__neighbours){sorted[from.rank], sorted[from.rank + 1 < from.n ? from.rank + 1 : from.rank]};
}

#include "float_order.h"

#define DIGIT_BITS 11
#define N_DIGITS 3
#define N_BUCKETS (1u << DIGIT_BITS)
#define FEW 32             /* keys that are sorted by insertion */
#define MANY 4096          /* keys for which so many buckets pay */
#define UNKNOWN UINT32_MAX /* no key of a number */

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

/* Number `rank` of n keys in ascending order and the one after it, by insertion; UNKNOWN where that is none of them. */
static void few_select(uint32_t *keys, size_t n, size_t rank, uint32_t found[2])
{
    for (size_t i = 1; i < n; i++) {
        const uint32_t key = keys[i];
        size_t place = i;
        for (; place > 0 && keys[place - 1] > key; place--)
            keys[place] = keys[place - 1];
        keys[place] = key;
    }
    found[0] = keys[rank];
    found[1] = rank + 1 < n ? keys[rank + 1] : UNKNOWN;
}

/* The same for many: count them in buckets, keep those of the bucket that has number `rank`, until they are few or one
 * and the same. */
static void many_select(uint32_t *keys, size_t n, size_t rank, uint32_t first, uint32_t last, uint32_t found[2])
{
    while (n > FEW && first < last) {
        uint32_t counts[N_BUCKETS], bucket = 0;
        const uint32_t n_buckets = n < MANY ? N_BUCKETS / 8 : N_BUCKETS;
        unsigned shift = 0;
        while ((last - first) >> shift >= n_buckets)
            shift++;
        memset(counts, 0, n_buckets * sizeof *counts);
        for (size_t i = 0; i < n; i++)
            counts[(keys[i] - first) >> shift]++;
        for (; counts[bucket] <= rank; bucket++)
            rank -= counts[bucket];
        const uint32_t start = first + (bucket << shift), width = (1u << shift) - 1, end = start + width;
        size_t n_kept = 0;
        for (size_t i = 0; i < n; i++) {
            const uint32_t key = keys[i];
            keys[n_kept] = key;
            n_kept += key - start <= width;
        }
        n = n_kept;
        first = start;
        last = end;
    }
    if (n <= FEW)
        few_select(keys, n, rank, found);
    else
        found[0] = first, found[1] = rank + 1 < n ? first : UNKNOWN;
}

struct avvik__neighbours avvik__float_select(const float *values, size_t n, size_t rank, int is_distance, float center,
                                             uint32_t *scratch)
{
    uint32_t first = UINT32_MAX, last = 0, found[2];
    for (size_t i = 0; i < n; i++) {
        const uint32_t key = avvik__float_key(is_distance ? avvik__distance(values[i], center) : values[i]);
        first = key < first ? key : first;
        last = key > last ? key : last;
        scratch[i] = key;
    }
    many_select(scratch, n, rank, first, last, found);
    const int is_elsewhere = rank + 1 < n && found[1] == UNKNOWN; /* in another bucket */
    for (size_t i = 0; is_elsewhere && i < n; i++) {
        const uint32_t key = avvik__float_key(is_distance ? avvik__distance(values[i], center) : values[i]);
        found[1] = key > found[0] && key < found[1] ? key : found[1];
    }
    return (struct avvik__neighbours){avvik__float_of_key(found[0]),
                                      avvik__float_of_key(rank + 1 < n ? found[1] : found[0])};
}

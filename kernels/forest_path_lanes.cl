/* The walk of every row through every tree, trees side by side (kernels/README.md, "Path sum"): for CPU devices, whose
 * compilers turn float16 or float8 into their widest registers. Bit-equal to forest_path_scalar.c.
 *
 * In the lane layout (kernel_types.h) a step of AVVIK_VECTOR (16 or 8) trees is: gather their words, permute the row's
 * registers by the words' low bits, compare, k = 2k + bit. A work-item has AVVIK_ROWS rows in flight, whose gathers hide
 * each other's latency. The seven nodes of the first three levels stay in registers and are blended instead of gathered.
 * Indices are signed: an unsigned one would have to be widened to 64 bits, which halves the lanes of a gather. */
#if AVVIK_WALK_LANES
#pragma OPENCL FP_CONTRACT OFF

#define AVVIK_EIGHT(p, i)                                                                                              \
    (p)[(i).s0], (p)[(i).s1], (p)[(i).s2], (p)[(i).s3], (p)[(i).s4], (p)[(i).s5], (p)[(i).s6], (p)[(i).s7]
#if AVVIK_VECTOR == 16
typedef int16 avvik_ints;
typedef float16 avvik_floats;
#define AVVIK_EACH(p, i) AVVIK_EIGHT(p, (i).lo), AVVIK_EIGHT(p, (i).hi)
#define AVVIK_COUNTING (avvik_ints)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#define AVVIK_LOAD vload16
#define as_avvik_floats as_float16
#define as_avvik_uints as_uint16
#define AVVIK_CHUNK_BIT 4 /* the lowest bit of a feature number that chooses the register, not the lane */
#else
typedef int8 avvik_ints;
typedef float8 avvik_floats;
#define AVVIK_EACH(p, i) AVVIK_EIGHT(p, i)
#define AVVIK_COUNTING (avvik_ints)(0, 1, 2, 3, 4, 5, 6, 7)
#define AVVIK_LOAD vload8
#define as_avvik_floats as_float8
#define as_avvik_uints as_uint8
#define AVVIK_CHUNK_BIT 3
#endif
#define AVVIK_CHUNKS (AVVIK_STRIDE / AVVIK_VECTOR) /* registers of a row */

/* The vectors x and y blended by a bit of `word`; a vector comparison is -1 where it is true. */
#define AVVIK_BLEND(word, bit, x, y) ((word) << (31 - (bit)) < 0 ? (y) : (x))

inline avvik_ints avvik_gather(__global const int *p, const avvik_ints i)
{
    return (avvik_ints)(AVVIK_EACH(p, i));
}

/* Of two vectors of neighbours, the even and the odd ones. */
inline avvik_ints avvik_even(const avvik_ints a, const avvik_ints b)
{
    return (avvik_ints)(a.even, b.even);
}

inline avvik_ints avvik_odd(const avvik_ints a, const avvik_ints b)
{
    return (avvik_ints)(a.odd, b.odd);
}

#if AVVIK_WIDE
inline avvik_floats avvik_gather_float(__global const float *p, const avvik_ints i)
{
    return (avvik_floats)(AVVIK_EACH(p, i));
}
#else
/* values[i mod AVVIK_VECTOR], which LLVM makes one permute of when it is written as subscripts; shuffle() is the
 * standard's word for it, but PoCL's goes through memory. */
inline avvik_floats avvik_permute(const avvik_floats values, const avvik_ints index)
{
#ifdef __clang__
    const avvik_ints i = index & (AVVIK_VECTOR - 1);
    return (avvik_floats)(AVVIK_EACH(values, i));
#else
    return shuffle(values, as_avvik_uints(index));
#endif
}

/* The value of the feature that each word names, from a row of up to eight registers. A register that the row does not
 * have is never chosen. */
#define AVVIK_PERMUTED(c) avvik_permute(row[(c) < AVVIK_CHUNKS ? (c) : 0], word)
#define AVVIK_OF_TWO(c) AVVIK_BLEND(word, AVVIK_CHUNK_BIT, AVVIK_PERMUTED(c), AVVIK_PERMUTED((c) + 1))
#define AVVIK_OF_FOUR(c) AVVIK_BLEND(word, AVVIK_CHUNK_BIT + 1, AVVIK_OF_TWO(c), AVVIK_OF_TWO((c) + 2))
inline avvik_floats avvik_pick(const avvik_floats *row, const avvik_ints word)
{
#if AVVIK_CHUNKS == 1
    return AVVIK_PERMUTED(0);
#elif AVVIK_CHUNKS == 2
    return AVVIK_OF_TWO(0);
#elif AVVIK_CHUNKS <= 4
    return AVVIK_OF_FOUR(0);
#else
    return AVVIK_BLEND(word, AVVIK_CHUNK_BIT + 2, AVVIK_OF_FOUR(0), AVVIK_OF_FOUR(4));
#endif
}
#endif

/* words, features, leaf_pairs: in the order of lane_nodes, lane_pairs (its halves apart) and lane_leaf_pairs of struct
 * avvik__forest_view. */
__kernel void forest_path(__global int *restrict path_sum, __global const float *restrict tile,
                          __global const int *restrict all_words,
#if AVVIK_WIDE
                          __global const int *restrict all_features,
#endif
                          __global const int *restrict all_leaf_pairs, const uint n_groups, const uint n_rows)
{
    const uint first = (uint)get_global_id(0) * AVVIK_ROWS;
    if (first >= n_rows)
        return;
    avvik_ints sum[AVVIK_ROWS];
#if AVVIK_WIDE
    __global const float *row[AVVIK_ROWS];
#else
    avvik_floats row[AVVIK_ROWS][AVVIK_CHUNKS];
#endif
#pragma unroll
    for (uint r = 0; r < AVVIK_ROWS; r++) {
        __global const float *x = tile + (size_t)min(first + r, n_rows - 1) * AVVIK_STRIDE;
        sum[r] = (avvik_ints)(0);
#if AVVIK_WIDE
        row[r] = x;
#else
#pragma unroll
        for (uint chunk = 0; chunk < AVVIK_CHUNKS; chunk++)
            row[r][chunk] = ((__global const avvik_floats *)x)[chunk]; /* 64-byte aligned */
#endif
    }
    for (uint part = 0; part < n_groups * (AVVIK_LANES / AVVIK_VECTOR); part++) {
        const size_t offset = (size_t)(part / (AVVIK_LANES / AVVIK_VECTOR)) * AVVIK_LANES << AVVIK_HEIGHT;
        const uint root = AVVIK_LANES + part % (AVVIK_LANES / AVVIK_VECTOR) * AVVIK_VECTOR; /* of the first of the trees */
        const avvik_ints roots = (int)root + AVVIK_COUNTING;
        __global const int *words = all_words + offset;
        __global const int *leaf_pairs = all_leaf_pairs + offset;
        avvik_ints k[AVVIK_ROWS];
#if AVVIK_WIDE
        __global const int *features = all_features + offset;
#pragma unroll
        for (uint r = 0; r < AVVIK_ROWS; r++)
            k[r] = roots;
        for (uint level = 0; level < AVVIK_HEIGHT; level++) {
#pragma unroll
            for (uint r = 0; r < AVVIK_ROWS; r++) {
                const avvik_floats threshold = as_avvik_floats(avvik_gather(words, k[r]));
                const avvik_floats x = avvik_gather_float(row[r], avvik_gather(features, k[r]));
                k[r] = 2 * k[r] + (x < threshold ? (avvik_ints)(0) : (avvik_ints)(1));
            }
        }
#else
        const avvik_ints n1 = AVVIK_LOAD(0, words + root);
        const avvik_ints a = AVVIK_LOAD(0, words + 2 * root), b = AVVIK_LOAD(1, words + 2 * root);
        const avvik_ints n2 = avvik_even(a, b), n3 = avvik_odd(a, b);
        const avvik_ints c = AVVIK_LOAD(0, words + 4 * root), d = AVVIK_LOAD(1, words + 4 * root);
        const avvik_ints e = AVVIK_LOAD(2, words + 4 * root), f = AVVIK_LOAD(3, words + 4 * root);
        const avvik_ints n4 = avvik_even(avvik_even(c, d), avvik_even(e, f));
        const avvik_ints n5 = avvik_even(avvik_odd(c, d), avvik_odd(e, f));
        const avvik_ints n6 = avvik_odd(avvik_even(c, d), avvik_even(e, f));
        const avvik_ints n7 = avvik_odd(avvik_odd(c, d), avvik_odd(e, f));
#pragma unroll
        for (uint r = 0; r < AVVIK_ROWS; r++) {
            const avvik_ints go1 = avvik_pick(row[r], n1) < as_avvik_floats(n1); /* left is -1 */
            const avvik_ints w2 = go1 ? n2 : n3;
            const avvik_ints go2 = avvik_pick(row[r], w2) < as_avvik_floats(w2);
            const avvik_ints w3 = go2 ? (go1 ? n4 : n6) : (go1 ? n5 : n7);
            const avvik_ints go3 = avvik_pick(row[r], w3) < as_avvik_floats(w3);
            k[r] = 8 * roots + 7 + 4 * go1 + 2 * go2 + go3;
        }
        for (uint level = 3; level < AVVIK_HEIGHT; level++) {
#pragma unroll
            for (uint r = 0; r < AVVIK_ROWS; r++) {
                const avvik_ints word = avvik_gather(words, k[r]);
                k[r] = 2 * k[r] +
                       (avvik_pick(row[r], word) < as_avvik_floats(word) ? (avvik_ints)(0) : (avvik_ints)(1));
            }
        }
#endif
#pragma unroll
        for (uint r = 0; r < AVVIK_ROWS; r++) {
            const avvik_ints pair = avvik_gather(leaf_pairs, k[r] >> 1);
            sum[r] += AVVIK_BLEND(k[r], 0, pair, pair >> 16) & 0xffff;
        }
    }
#pragma unroll
    for (uint r = 0; r < AVVIK_ROWS; r++) {
#if AVVIK_VECTOR == 16
        const int8 total = sum[r].lo + sum[r].hi;
#else
        const int8 total = sum[r];
#endif
        const int4 half_total = total.lo + total.hi;
        if (first + r < n_rows)
            path_sum[first + r] = half_total.x + half_total.y + half_total.z + half_total.w;
    }
}
#endif

/* The walk of every row through every tree, 16 trees side by side (kernels/README.md, "Path sum"): for CPU devices,
 * whose compilers turn float16 into the widest registers there are. Bit-equal to forest_path_scalar.c.
 *
 * In the lane layout (kernel_types.h) a step of 16 trees is: gather their words, permute the row's registers by the
 * words' low bits, compare, k = 2k + bit. A work-item has AVVIK_ROWS rows in flight, whose gathers hide each other's
 * latency. The seven nodes of the first three levels stay in registers and are blended instead of gathered. Indices are
 * signed: an unsigned one would have to be widened to 64 bits, which halves the lanes of a gather. */
#if AVVIK_WALK_LANES
#pragma OPENCL FP_CONTRACT OFF

#define AVVIK_CHUNKS (AVVIK_STRIDE / AVVIK_LANES)
#define AVVIK_BIT(word, bit) ((word) << (31 - (bit)) < 0) /* -1 where the bit is set, as vectors compare */
#define AVVIK_GATHER(p, i)                                                                                             \
    (p)[(i).s0], (p)[(i).s1], (p)[(i).s2], (p)[(i).s3], (p)[(i).s4], (p)[(i).s5], (p)[(i).s6], (p)[(i).s7],            \
        (p)[(i).s8], (p)[(i).s9], (p)[(i).sa], (p)[(i).sb], (p)[(i).sc], (p)[(i).sd], (p)[(i).se], (p)[(i).sf]

inline int16 avvik_gather(__global const int *p, const int16 i)
{
    return (int16)(AVVIK_GATHER(p, i));
}

#if AVVIK_WIDE
inline float16 avvik_gather_float(__global const float *p, const int16 i)
{
    return (float16)(AVVIK_GATHER(p, i));
}
#else
/* values[i mod 16], which LLVM makes one permute of when it is written as subscripts; shuffle() is the standard's word
 * for it, but PoCL's goes through memory. */
inline float16 avvik_permute(const float16 values, const int16 index)
{
#ifdef __clang__
    const int16 i = index & 15;
    return (float16)(AVVIK_GATHER(values, i));
#else
    return shuffle(values, as_uint16(index));
#endif
}

/* The value of the feature that each word names, from a row of one to four registers. */
inline float16 avvik_pick(const float16 *row, const int16 word)
{
#if AVVIK_CHUNKS == 1
    return avvik_permute(row[0], word);
#else
    const float16 low = AVVIK_BIT(word, 4) ? avvik_permute(row[1], word) : avvik_permute(row[0], word);
#if AVVIK_CHUNKS == 2
    return low;
#else
#if AVVIK_CHUNKS == 3
    const float16 high = avvik_permute(row[2], word);
#else
    const float16 high = AVVIK_BIT(word, 4) ? avvik_permute(row[3], word) : avvik_permute(row[2], word);
#endif
    return AVVIK_BIT(word, 5) ? high : low;
#endif
#endif
}
#endif

/* Of 32 neighbours, the even and the odd ones. */
inline int16 avvik_even(const int16 a, const int16 b)
{
    return (int16)(a.even, b.even);
}

inline int16 avvik_odd(const int16 a, const int16 b)
{
    return (int16)(a.odd, b.odd);
}

/* words, features, leaf_pairs: lane_nodes, lane_features and lane_leaf_pairs of struct avvik__forest_view. */
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
    int16 sum[AVVIK_ROWS];
#if AVVIK_WIDE
    __global const float *row[AVVIK_ROWS];
#else
    float16 row[AVVIK_ROWS][AVVIK_CHUNKS];
#endif
#pragma unroll
    for (uint r = 0; r < AVVIK_ROWS; r++) {
        __global const float *x = tile + (size_t)min(first + r, n_rows - 1) * AVVIK_STRIDE;
        sum[r] = (int16)(0);
#if AVVIK_WIDE
        row[r] = x;
#else
#pragma unroll
        for (int chunk = 0; chunk < AVVIK_CHUNKS; chunk++)
            row[r][chunk] = ((__global const float16 *)x)[chunk]; /* 64-byte aligned */
#endif
    }
    for (uint group = 0; group < n_groups; group++) {
        const size_t offset = (size_t)group * AVVIK_LANES << AVVIK_HEIGHT;
        __global const int *words = all_words + offset;
        __global const int *leaf_pairs = all_leaf_pairs + offset;
        int16 k[AVVIK_ROWS];
#if AVVIK_WIDE
        __global const int *features = all_features + offset;
#pragma unroll
        for (int r = 0; r < AVVIK_ROWS; r++)
            k[r] = (int16)(16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
        for (int level = 0; level < AVVIK_HEIGHT; level++) {
#pragma unroll
            for (int r = 0; r < AVVIK_ROWS; r++) {
                const float16 threshold = as_float16(avvik_gather(words, k[r]));
                const float16 x = avvik_gather_float(row[r], avvik_gather(features, k[r]));
                k[r] = 2 * k[r] + (x < threshold ? (int16)(0) : (int16)(1));
            }
        }
#else
        const int16 a = vload16(4, words), b = vload16(5, words), c = vload16(6, words), d = vload16(7, words);
        const int16 even_ab = avvik_even(a, b), even_cd = avvik_even(c, d);
        const int16 odd_ab = avvik_odd(a, b), odd_cd = avvik_odd(c, d);
        const int16 n1 = vload16(1, words);
        const int16 n2 = avvik_even(vload16(2, words), vload16(3, words));
        const int16 n3 = avvik_odd(vload16(2, words), vload16(3, words));
        const int16 n4 = avvik_even(even_ab, even_cd), n5 = avvik_even(odd_ab, odd_cd);
        const int16 n6 = avvik_odd(even_ab, even_cd), n7 = avvik_odd(odd_ab, odd_cd);
        const int16 third_level =
            8 * (int16)(16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31) + 7; /* after three steps right */
#pragma unroll
        for (int r = 0; r < AVVIK_ROWS; r++) {
            const int16 go1 = avvik_pick(row[r], n1) < as_float16(n1); /* left is -1, as vectors compare */
            const int16 w2 = go1 ? n2 : n3;
            const int16 go2 = avvik_pick(row[r], w2) < as_float16(w2);
            const int16 w3 = go2 ? (go1 ? n4 : n6) : (go1 ? n5 : n7);
            const int16 go3 = avvik_pick(row[r], w3) < as_float16(w3);
            k[r] = third_level + 4 * go1 + 2 * go2 + go3;
        }
        for (int level = 3; level < AVVIK_HEIGHT; level++) {
#pragma unroll
            for (int r = 0; r < AVVIK_ROWS; r++) {
                const int16 word = avvik_gather(words, k[r]);
                k[r] = 2 * k[r] + (avvik_pick(row[r], word) < as_float16(word) ? (int16)(0) : (int16)(1));
            }
        }
#endif
#pragma unroll
        for (int r = 0; r < AVVIK_ROWS; r++) {
            const int16 pair = avvik_gather(leaf_pairs, k[r] >> 1);
            sum[r] += (AVVIK_BIT(k[r], 0) ? pair >> 16 : pair) & 0xffff;
        }
    }
#pragma unroll
    for (uint r = 0; r < AVVIK_ROWS; r++) {
        const int8 a = sum[r].lo + sum[r].hi;
        const int4 b = a.lo + a.hi;
        if (first + r < n_rows)
            path_sum[first + r] = b.x + b.y + b.z + b.w;
    }
}
#endif

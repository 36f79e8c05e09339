/* z-scores of every row of a tile and their maximum (kernels/README.md, "Deviation"). Bit-equal to
 * deviation_scalar.c on any device, whether it keeps denormals or flushes them.
 *
 * A work-item takes one row, 16 features at a time: on a CPU device the vectors are registers, on a GPU they are 16
 * independent chains. With AVVIK_PEERS the tables have a row for each group, and behind the n_rows rows of the tile lie
 * their groups' numbers. Padding has center 0 and rscale 0, hence z = 0, which no maximum and no cut >= 0 sees. With
 * AVVIK_JOINT the joint deviation is computed, too, with the only table of `tables`, or with AVVIK_JOINT_PEERS the one
 * that joint_of has for the row's group; fma is the only contraction. With AVVIK_TAILS so are tails. */
#pragma OPENCL FP_CONTRACT OFF

inline float16 avvik_flush(float16 x)
{
    return fabs(x) < FLT_MIN ? (float16)(0.0f) : x; /* a NaN stays */
}

inline int avvik_max16(int16 x)
{
    const int8 a = x.lo > x.hi ? x.lo : x.hi;
    const int4 b = a.lo > a.hi ? a.lo : a.hi;
    const int2 c = b.lo > b.hi ? b.lo : b.hi;
    return c.x > c.y ? c.x : c.y;
}

inline int avvik_min16(int16 x)
{
    const int8 a = x.lo < x.hi ? x.lo : x.hi;
    const int4 b = a.lo < a.hi ? a.lo : a.hi;
    const int2 c = b.lo < b.hi ? b.lo : b.hi;
    return c.x < c.y ? c.x : c.y;
}

inline int avvik_sum16(int16 x)
{
    const int8 a = x.lo + x.hi;
    const int4 b = a.lo + a.hi;
    return b.x + b.y + b.z + b.w;
}

#if AVVIK_JOINT
inline float8 avvik_apart(float8 x, float8 center, float8 rscale, float8 mean)
{
    const float8 difference = x - center;
    const float8 z = (fabs(difference) < FLT_MIN ? (float8)(0.0f) : difference) * rscale;
    /* A |z| that should be 0 vanishes beside 1, and of NaN and 0 the maximum is 0. */
    const float8 one_more = 1.0f + fmax(fabs(z), (float8)(0.0f));
    return copysign(convert_float8(as_int8(one_more) - (int8)(0x3f800000)), z) - mean;
}

/* Panel by panel of the factor, 8 of the row's values at a time, which are taken anew for each panel: an array of them
 * would be memory, and more weights at a time than registers. */
inline float avvik_joint(__global const float8 *x, __global const float *table)
{
    __global const float8 *centers = (__global const float8 *)table;
    __global const float8 *rscales = (__global const float8 *)(table + AVVIK_STRIDE);
    __global const float8 *means = (__global const float8 *)(table + 2 * AVVIK_STRIDE);
    __global const float8 *weights = (__global const float8 *)(table + 3 * AVVIK_STRIDE);
    float8 squares = (float8)(0.0f);
#pragma unroll 1
    for (uint panel = 0; panel * AVVIK_JOINT_PANEL < AVVIK_FEATURES; panel++) {
        float8 sum = (float8)(0.0f);
#pragma unroll 1
        for (uint chunk = 0; chunk <= panel; chunk++, weights += AVVIK_JOINT_PANEL) {
            const float8 apart = avvik_apart(x[chunk], centers[chunk], rscales[chunk], means[chunk]);
            sum = fma(weights[0], (float8)(apart.s0), sum);
            sum = fma(weights[1], (float8)(apart.s1), sum);
            sum = fma(weights[2], (float8)(apart.s2), sum);
            sum = fma(weights[3], (float8)(apart.s3), sum);
            sum = fma(weights[4], (float8)(apart.s4), sum);
            sum = fma(weights[5], (float8)(apart.s5), sum);
            sum = fma(weights[6], (float8)(apart.s6), sum);
            sum = fma(weights[7], (float8)(apart.s7), sum);
        }
        squares = fma(sum, sum, squares);
    }
    const float4 a = squares.lo + squares.hi;
    const float2 b = a.lo + a.hi;
    return b.x + b.y < AVVIK_JOINT_LEAST ? 0.0f : b.x + b.y;
}
#endif

#if AVVIK_TAILS
/* What x is worth: a table's 64 words of numbers, two in each, then the levels of its search. */
inline uint avvik_tail(__global const uint *table, float x)
{
    __global const float *level = (__global const float *)(table + AVVIK_TAIL_CELLS / 2);
    uint path = 0;
#pragma unroll
    for (uint step = 0; step < AVVIK_TAIL_STEPS; step++)
        path |= (uint)(x >= level[(1u << step) + path]) << step;
    return table[path / 2] >> path % 2 * 16 & 0xffffu; /* of a little-endian device, as all are that run this */
}
#endif

__kernel void deviation(__global float *restrict deviation_out, __global ushort *restrict feature,
                        __global ushort *restrict beyond, __global const float *restrict tile,
                        __global const float *restrict center, __global const float *restrict rscale, const float cut,
#if AVVIK_JOINT
                        __global float *restrict joint, __global const float *restrict tables,
#endif
#if AVVIK_JOINT_PEERS
                        __global const uint *restrict joint_of,
#endif
#if AVVIK_TAILS
                        __global int *restrict tails, __global const uint *restrict tail_tables,
#endif
                        const uint n_rows)
{
    const size_t row = get_global_id(0);
    if (row >= n_rows)
        return;
    __global const float16 *x = (__global const float16 *)(tile + row * AVVIK_STRIDE); /* 64-byte aligned */
#if AVVIK_PEERS
    const size_t group = ((__global const uint *)(tile + (size_t)n_rows * AVVIK_STRIDE))[row];
#else
    const size_t group = 0;
#endif
    __global const float16 *centers = (__global const float16 *)(center + group * AVVIK_STRIDE);
    __global const float16 *rscales = (__global const float16 *)(rscale + group * AVVIK_STRIDE);
    const int16 lane = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    float16 largest = (float16)(0.0f); /* by feature number mod 16 */
    int16 attained_by = (int16)(0), n_beyond = (int16)(0);
    for (uint chunk = 0; chunk < AVVIK_STRIDE / AVVIK_LANES; chunk++) {
        const float16 difference = avvik_flush(x[chunk] - centers[chunk]);
        const float16 z = fabs(avvik_flush(difference * rscales[chunk]));
        const int16 is_larger = z > largest; /* false for NaN; keeps the first of equals */
        largest = is_larger ? z : largest;
        attained_by = is_larger ? lane + (int)(chunk * AVVIK_LANES) : attained_by;
        n_beyond -= z > (float16)(cut); /* a true comparison of vectors is -1 */
    }
    /* No z is negative or NaN, so their bits are in order as integers, whose maximum needs no care for NaN. */
    const int maximum = avvik_max16(as_int16(largest));
    const int16 candidates = as_int16(largest) == (int16)(maximum) ? attained_by : (int16)(INT_MAX);
    deviation_out[row] = as_float(maximum);
    feature[row] = (ushort)avvik_min16(candidates); /* where nothing deviates, all are candidates, and lane 0 has 0 */
    beyond[row] = (ushort)avvik_sum16(n_beyond);
#if AVVIK_JOINT_PEERS
    joint[row] =
        avvik_joint((__global const float8 *)x, tables + joint_of[group] * AVVIK_JOINT_TABLE(AVVIK_STRIDE, AVVIK_FEATURES));
#elif AVVIK_JOINT
    joint[row] = avvik_joint((__global const float8 *)x, tables);
#endif
#if AVVIK_TAILS
    uint sum = 0;
    for (uint f = 0; f < AVVIK_FEATURES; f++)
        sum += avvik_tail(tail_tables + f * AVVIK_TAIL_WORDS, tile[row * AVVIK_STRIDE + f]);
    tails[row] = (int)sum;
#endif
}

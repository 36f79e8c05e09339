/* z-scores of every row of a tile and their maximum (kernels/README.md, "Deviation"). Bit-equal to
 * deviation_scalar.c on any device, whether it keeps denormals or flushes them.
 *
 * A work-item takes one row, 16 features at a time: on a CPU device the vectors are registers, on a GPU they are 16
 * independent chains. With AVVIK_PEERS the tables have a row for each group, and behind the n_rows rows of the tile lie
 * their groups' numbers. Padding has center 0 and rscale 0, hence z = 0, which no maximum and no cut >= 0 sees. */
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

__kernel void deviation(__global float *restrict deviation_out, __global ushort *restrict feature,
                        __global ushort *restrict beyond, __global const float *restrict tile,
                        __global const float *restrict center, __global const float *restrict rscale, const float cut,
                        const uint n_rows)
{
    const size_t row = get_global_id(0);
    if (row >= n_rows)
        return;
    __global const float16 *x = (__global const float16 *)(tile + row * AVVIK_STRIDE); /* 64-byte aligned */
#if AVVIK_PEERS
    const size_t own = ((__global const uint *)(tile + (size_t)n_rows * AVVIK_STRIDE))[row] * (size_t)AVVIK_STRIDE;
#else
    const size_t own = 0;
#endif
    __global const float16 *centers = (__global const float16 *)(center + own);
    __global const float16 *rscales = (__global const float16 *)(rscale + own);
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
}

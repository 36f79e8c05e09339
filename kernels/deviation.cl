/* Classical z-scores of every row of a tile and their maximum (kernels/README.md, "Deviation"). Bit-equal to
 * deviation_scalar.c on any device, whether it keeps denormals or flushes them.
 *
 * A work-item takes one row, 16 features at a time: on a CPU device the vectors are registers, on a GPU they are 16
 * independent chains. Padding has mean 0 and rscale 0, hence z = 0, which no maximum and no cut >= 0 sees. */
#pragma OPENCL FP_CONTRACT OFF

inline float16 avvik_flush(float16 x)
{
    return fabs(x) < FLT_MIN ? (float16)(0.0f) : x; /* a NaN stays */
}

inline float avvik_max16(float16 x)
{
    const float8 a = fmax(x.lo, x.hi);
    const float4 b = fmax(a.lo, a.hi);
    return fmax(fmax(b.x, b.y), fmax(b.z, b.w));
}

inline int avvik_min16(int16 x)
{
    const int8 a = min(x.lo, x.hi);
    const int4 b = min(a.lo, a.hi);
    return min(min(b.x, b.y), min(b.z, b.w));
}

inline int avvik_sum16(int16 x)
{
    const int8 a = x.lo + x.hi;
    const int4 b = a.lo + a.hi;
    return b.x + b.y + b.z + b.w;
}

__kernel void deviation(__global float *restrict deviation_out, __global ushort *restrict feature,
                        __global ushort *restrict beyond, __global const float *restrict tile,
                        __global const float *restrict mean, __global const float *restrict rscale, const float cut,
                        const uint n_rows)
{
    const size_t row = get_global_id(0);
    if (row >= n_rows)
        return;
    __global const float *x = tile + row * AVVIK_STRIDE;
    const int16 lane = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    float16 largest = (float16)(0.0f); /* by feature number mod 16 */
    int16 attained_by = (int16)(0), n_beyond = (int16)(0);
    for (int chunk = 0; chunk < AVVIK_STRIDE / AVVIK_LANES; chunk++) {
        const float16 difference = avvik_flush(vload16(chunk, x) - vload16(chunk, mean));
        const float16 z = fabs(avvik_flush(difference * vload16(chunk, rscale)));
        const int16 is_larger = z > largest; /* false for NaN; keeps the first of equals */
        largest = is_larger ? z : largest;
        attained_by = is_larger ? lane + chunk * AVVIK_LANES : attained_by;
        n_beyond -= z > (float16)(cut); /* a true comparison of vectors is -1 */
    }
    const float maximum = avvik_max16(largest);
    const int16 candidates = largest == (float16)(maximum) ? attained_by : (int16)(INT_MAX);
    deviation_out[row] = maximum;
    feature[row] = (ushort)(maximum > 0.0f ? avvik_min16(candidates) : 0);
    beyond[row] = (ushort)avvik_sum16(n_beyond);
}

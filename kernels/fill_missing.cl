/* Every NaN of a tile replaced by the fill value of its feature, in place, and counted per row. Bit-equal to
 * avvik__fill_missing_scalar. A work-item takes one row; padding holds no NaN. */
#pragma OPENCL FP_CONTRACT OFF

__kernel void fill_missing(__global float *restrict tile, __global ushort *restrict missing,
                           __global const float *restrict fill, const uint n_rows)
{
    const size_t row = get_global_id(0);
    if (row >= n_rows)
        return;
    __global float16 *x = (__global float16 *)(tile + row * AVVIK_STRIDE); /* 64-byte aligned */
    __global const float16 *fills = (__global const float16 *)fill;
    int16 counts = (int16)(0);
    for (uint chunk = 0; chunk < AVVIK_STRIDE / AVVIK_LANES; chunk++) {
        const float16 value = x[chunk];
        const int16 is_missing = isnan(value); /* -1 where it is */
        if (any(is_missing)) {
            counts -= is_missing;
            x[chunk] = is_missing ? fills[chunk] : value;
        }
    }
    const int8 a = counts.lo + counts.hi;
    const int4 b = a.lo + a.hi;
    missing[row] = (ushort)(b.x + b.y + b.z + b.w);
}

/* How each feature moves a row's path sum, a work-item a row (kernels/README.md, "Reasons"). Bit-equal to
 * forest_reasons_scalar.c: integers, added in any order. Compiled only for a program of its own (AVVIK_REASONS). */
#if AVVIK_REASONS
#pragma OPENCL FP_CONTRACT OFF

#define AVVIK_INNER (1u << AVVIK_HEIGHT)

/* words: packed nodes, or the bits of wide thresholds, whose features stand beside them; features is not read where
 * nodes are packed. expected: g of every node and leaf, [tree][2^(height + 1)]. */
__kernel void forest_reasons(__global long *restrict contributions, __global const float *restrict tile,
                             __global const uint *restrict words, __global const ushort *restrict features,
                             __global const int *restrict expected, const uint n_trees, const uint n_rows)
{
    const size_t row = get_global_id(0);
    (void)features;
    if (row >= n_rows)
        return;
    __global const float *x = tile + row * AVVIK_STRIDE;
    __global long *own = contributions + row * AVVIK_STRIDE;
    for (uint f = 0; f < AVVIK_STRIDE; f++)
        own[f] = 0;
    for (uint tree = 0; tree < n_trees; tree++) {
        const size_t base = (size_t)tree * AVVIK_INNER;
        __global const int *g = expected + 2 * base;
        int before = g[1];
        for (uint k = 1; k < AVVIK_INNER;) {
            const uint word = words[base + k];
#if AVVIK_WIDE
            const uint feature = features[base + k];
#else
            const uint feature = word & AVVIK_FEATURE_MASK;
#endif
            k = 2 * k + (x[feature] < as_float(word) ? 0u : 1u);
            const int after = g[k];
            own[feature] += after - before;
            before = after;
        }
    }
}
#endif

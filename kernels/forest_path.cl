/* The walk of every row through every tree, by work-items that take AVVIK_ROWS rows each (kernels/README.md, "Path sum"):
 * for GPUs, and for any device without wide vectors. Bit-equal to forest_path_scalar.c.
 *
 * With AVVIK_TILE_TREES > 0 a work-group copies that many trees at a time to local memory and walks them there; else it
 * walks them where they lie. With AVVIK_LOCAL_ROWS each item keeps its rows in local memory, feature-major: feature f of
 * row r of item i at (r * AVVIK_FEATURES + f) * AVVIK_GROUP + i, so that items that ask for different features never
 * meet in a memory bank. AVVIK_GROUP is a power of two. Nodes and values are addressed by their offsets in bytes: a GPU's
 * load adds an offset to a base by itself, but scales nothing, and `|` joins the parts of an offset in the instruction
 * that masks them. AVVIK_IN_FLIGHT trees are walked at a time by each of the rows, because each step waits for two
 * dependent reads; the forest in memory is padded with trees of zeros to a multiple of it, and so is a tile. */
#if AVVIK_WALK_ITEMS
#pragma OPENCL FP_CONTRACT OFF

#define AVVIK_NODES (1 << AVVIK_HEIGHT)
#define AVVIK_CHAINS (AVVIK_IN_FLIGHT * AVVIK_ROWS) /* walks of an item that hide each other's latency */

#if AVVIK_TILE_TREES
#define AVVIK_NODE_SPACE __local
#else
#define AVVIK_NODE_SPACE __global
#endif

/* The element of `array` at an offset in bytes. */
#define AVVIK_AT(space, type, array, offset) (*(space const type *)((space const char *)(array) + (offset)))

#if AVVIK_LOCAL_ROWS
#define AVVIK_VALUE(r, f)                                                                                              \
    AVVIK_AT(__local, float, values + (r) * AVVIK_FEATURES * AVVIK_GROUP, (f) * (4 * AVVIK_GROUP) | 4 * item)
#else
#define AVVIK_VALUE(r, f) x[r][f]
#endif

#if AVVIK_WIDE
#define AVVIK_FEATURE_OF(tree, at, word) AVVIK_AT(AVVIK_NODE_SPACE, ushort, features + (tree) * AVVIK_NODES, (at) / 2)
#define AVVIK_FEATURE_ARGUMENT __global const ushort *restrict all_features,
#else
#define AVVIK_FEATURE_OF(tree, at, word) ((word) & AVVIK_FEATURE_MASK)
#define AVVIK_FEATURE_ARGUMENT
#endif

/* words: packed nodes, or the bits of wide thresholds. n_trees is a multiple of AVVIK_IN_FLIGHT. */
__kernel __attribute__((reqd_work_group_size(AVVIK_GROUP, 1, 1))) void
forest_path(__global int *restrict path_sum, __global const float *restrict tile,
            __global const uint *restrict all_words, AVVIK_FEATURE_ARGUMENT __global const ushort *restrict all_leaves,
            const uint n_trees, const uint n_rows)
{
    const uint item = (uint)get_local_id(0);
    const uint first_row = (uint)get_group_id(0) * (AVVIK_GROUP * AVVIK_ROWS) + item; /* the others: AVVIK_GROUP apart */
    __global const float *x[AVVIK_ROWS];
#pragma unroll
    for (uint r = 0; r < AVVIK_ROWS; r++) /* all items reach the barriers */
        x[r] = tile + (size_t)min(first_row + r * AVVIK_GROUP, n_rows - 1) * AVVIK_STRIDE;
#if AVVIK_LOCAL_ROWS
    __local float values[AVVIK_ROWS * AVVIK_FEATURES * AVVIK_GROUP];
#pragma unroll
    for (uint r = 0; r < AVVIK_ROWS; r++) {
        __local float *own = values + r * AVVIK_FEATURES * AVVIK_GROUP + item; /* read by this item only: no barrier */
        for (uint f = 0; f < AVVIK_FEATURES; f += 4) {
            const float4 four = *(__global const float4 *)(x[r] + f); /* a row is padded */
            own[f * AVVIK_GROUP] = four.x;
            if (f + 1 < AVVIK_FEATURES)
                own[(f + 1) * AVVIK_GROUP] = four.y;
            if (f + 2 < AVVIK_FEATURES)
                own[(f + 2) * AVVIK_GROUP] = four.z;
            if (f + 3 < AVVIK_FEATURES)
                own[(f + 3) * AVVIK_GROUP] = four.w;
        }
    }
#endif
#if AVVIK_TILE_TREES
    __local uint4 tile_words[AVVIK_TILE_TREES * AVVIK_NODES / 4]; /* nodes are powers of two, 16 or more */
    __local uint4 tile_leaves[AVVIK_TILE_TREES * AVVIK_NODES / 8];
#if AVVIK_WIDE
    __local uint4 tile_features[AVVIK_TILE_TREES * AVVIK_NODES / 8];
#endif
    const uint step = AVVIK_TILE_TREES;
#else
    const uint step = n_trees;
#endif

    int sum[AVVIK_ROWS];
#pragma unroll
    for (uint r = 0; r < AVVIK_ROWS; r++)
        sum[r] = 0;
    for (uint first = 0; first < n_trees; first += step) {
        const uint n_here = min(step, n_trees - first);
#if AVVIK_TILE_TREES
        __global const uint4 *const from_words = (__global const uint4 *)(all_words + first * AVVIK_NODES);
        __global const uint4 *const from_leaves = (__global const uint4 *)(all_leaves + first * AVVIK_NODES);
#if AVVIK_WIDE
        __global const uint4 *const from_features = (__global const uint4 *)(all_features + first * AVVIK_NODES);
#endif
        barrier(CLK_LOCAL_MEM_FENCE); /* the tile before this one has been walked */
        for (uint i = item; i < n_here * (AVVIK_NODES / 4); i += AVVIK_GROUP)
            tile_words[i] = from_words[i];
        for (uint i = item; i < n_here * (AVVIK_NODES / 8); i += AVVIK_GROUP) {
            tile_leaves[i] = from_leaves[i];
#if AVVIK_WIDE
            tile_features[i] = from_features[i];
#endif
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        __local const uint *words = (__local const uint *)tile_words;
        __local const ushort *leaves = (__local const ushort *)tile_leaves;
#if AVVIK_WIDE
        __local const ushort *features = (__local const ushort *)tile_features;
#endif
#else
        __global const uint *words = all_words;
        __global const ushort *leaves = all_leaves;
#if AVVIK_WIDE
        __global const ushort *features = all_features;
#endif
#endif
        for (uint tree = 0; tree < n_here; tree += AVVIK_IN_FLIGHT) {
            uint at[AVVIK_CHAINS]; /* 4 times the number of the node */
#pragma unroll
            for (uint i = 0; i < AVVIK_CHAINS; i++)
                at[i] = 4;
#pragma unroll
            for (uint level = 0; level < AVVIK_HEIGHT; level++) {
#pragma unroll
                for (uint i = 0; i < AVVIK_CHAINS; i++) {
                    const uint t = tree + i / AVVIK_ROWS, r = i % AVVIK_ROWS;
                    const uint word = AVVIK_AT(AVVIK_NODE_SPACE, uint, words + t * AVVIK_NODES, at[i]);
                    const float value = AVVIK_VALUE(r, AVVIK_FEATURE_OF(t, at[i], word));
                    at[i] = 2 * at[i] + (value < as_float(word) ? 0 : 4);
                }
            }
#pragma unroll
            for (uint i = 0; i < AVVIK_CHAINS; i++) {
                const uint t = tree + i / AVVIK_ROWS;
                sum[i % AVVIK_ROWS] += leaves[t * AVVIK_NODES + at[i] / 4 - AVVIK_NODES];
            }
        }
    }
#pragma unroll
    for (uint r = 0; r < AVVIK_ROWS; r++)
        if (first_row + r * AVVIK_GROUP < n_rows)
            path_sum[first_row + r * AVVIK_GROUP] = sum[r];
}
#endif

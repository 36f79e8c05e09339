/* The walk of every row through every tree, a row a work-item (kernels/README.md, "Path sum"): for GPUs, and for any
 * device without wide vectors. Bit-equal to forest_path_scalar.c.
 *
 * With AVVIK_TILE_TREES > 0 a work-group copies that many trees at a time to local memory and walks them there; else it
 * walks them where they lie. With AVVIK_LOCAL_ROWS each item keeps its row in local memory, feature-major: feature f of
 * item i at f * AVVIK_GROUP + i, so that items that ask for different features never meet in a memory bank.
 * AVVIK_GROUP is a power of two. Nodes and values are addressed by their offsets in bytes: a GPU's load adds an offset to
 * a base by itself, but scales nothing, and `|` joins the parts of an offset in the instruction that masks them.
 * AVVIK_IN_FLIGHT trees are walked at a time, because each step waits for two dependent reads; the forest in memory is
 * padded with trees of zeros to a multiple of it, and so is a tile. */
#if AVVIK_WALK_ITEMS
#pragma OPENCL FP_CONTRACT OFF

#define AVVIK_NODES (1 << AVVIK_HEIGHT)

#if AVVIK_TILE_TREES
#define AVVIK_NODE_SPACE __local
#else
#define AVVIK_NODE_SPACE __global
#endif

/* The element of `array` at an offset in bytes. */
#define AVVIK_AT(space, type, array, offset) (*(space const type *)((space const char *)(array) + (offset)))

#if AVVIK_LOCAL_ROWS
#define AVVIK_VALUE(f) AVVIK_AT(__local, float, values, (f) * (4 * AVVIK_GROUP) | 4 * item)
#else
#define AVVIK_VALUE(f) x[f]
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
            __global const uint *restrict all_words, AVVIK_FEATURE_ARGUMENT __global const uint *restrict all_leaf_pairs,
            const uint n_trees, const uint n_rows)
{
    const uint row = (uint)get_global_id(0);
    __global const float *x = tile + (size_t)min(row, n_rows - 1) * AVVIK_STRIDE; /* all items reach the barriers */
#if AVVIK_LOCAL_ROWS || AVVIK_TILE_TREES
    const uint item = (uint)get_local_id(0);
#endif
#if AVVIK_LOCAL_ROWS
    __local float values[AVVIK_FEATURES * AVVIK_GROUP];
    for (uint f = 0; f < AVVIK_FEATURES; f++)
        values[f * AVVIK_GROUP + item] = x[f]; /* read by this item only: no barrier */
#endif
#if AVVIK_TILE_TREES
    __local uint tile_words[AVVIK_TILE_TREES * AVVIK_NODES];
    __local uint tile_leaf_pairs[AVVIK_TILE_TREES * AVVIK_NODES / 2];
#if AVVIK_WIDE
    __local ushort tile_features[AVVIK_TILE_TREES * AVVIK_NODES];
#endif
    const uint step = AVVIK_TILE_TREES;
#else
    const uint step = n_trees;
#endif

    int sum = 0;
    for (uint first = 0; first < n_trees; first += step) {
        const uint n_here = min(step, n_trees - first);
#if AVVIK_TILE_TREES
        barrier(CLK_LOCAL_MEM_FENCE); /* the tile before this one has been walked */
        for (uint i = item; i < n_here * AVVIK_NODES; i += AVVIK_GROUP) {
            tile_words[i] = all_words[first * AVVIK_NODES + i];
#if AVVIK_WIDE
            tile_features[i] = all_features[first * AVVIK_NODES + i];
#endif
        }
        for (uint i = item; i < n_here * (AVVIK_NODES / 2); i += AVVIK_GROUP)
            tile_leaf_pairs[i] = all_leaf_pairs[first * (AVVIK_NODES / 2) + i];
        barrier(CLK_LOCAL_MEM_FENCE);
        __local const uint *words = tile_words;
        __local const uint *leaf_pairs = tile_leaf_pairs;
#if AVVIK_WIDE
        __local const ushort *features = tile_features;
#endif
#else
        __global const uint *words = all_words;
        __global const uint *leaf_pairs = all_leaf_pairs;
#if AVVIK_WIDE
        __global const ushort *features = all_features;
#endif
#endif
        for (uint tree = 0; tree < n_here; tree += AVVIK_IN_FLIGHT) {
            uint at[AVVIK_IN_FLIGHT]; /* 4 times the number of the node */
#pragma unroll
            for (uint i = 0; i < AVVIK_IN_FLIGHT; i++)
                at[i] = 4;
            for (uint level = 0; level < AVVIK_HEIGHT; level++) {
#pragma unroll
                for (uint i = 0; i < AVVIK_IN_FLIGHT; i++) {
                    const uint word = AVVIK_AT(AVVIK_NODE_SPACE, uint, words + (tree + i) * AVVIK_NODES, at[i]);
                    const float value = AVVIK_VALUE(AVVIK_FEATURE_OF(tree + i, at[i], word));
                    at[i] = 2 * at[i] + (value < as_float(word) ? 0 : 4);
                }
            }
#pragma unroll
            for (uint i = 0; i < AVVIK_IN_FLIGHT; i++) {
                const uint leaf = (tree + i) * AVVIK_NODES + at[i] / 4 - AVVIK_NODES;
                sum += (int)(leaf_pairs[leaf / 2] >> 16 * (leaf & 1) & 0xffff);
            }
        }
    }
    if (row < n_rows)
        path_sum[row] = sum;
}
#endif

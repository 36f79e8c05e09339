/* Structures and constants that C and OpenCL share. kernels/README.md has the mathematics. */
#ifndef AVVIK_KERNEL_TYPES_H
#define AVVIK_KERNEL_TYPES_H

#define AVVIK_LANES 16              /* trees side by side in the lane layout; floats a row is padded to */
#define AVVIK_FEATURE_BITS 6        /* low mantissa bits of a packed node that hold the feature number */
#define AVVIK_FEATURE_MASK 63u      /* (1 << AVVIK_FEATURE_BITS) - 1 */
#define AVVIK_PACKED_FEATURES 64    /* a forest over more features has wide nodes */
#define AVVIK_JOINT_FEATURES 64     /* of a joint deviation, at most */
#define AVVIK_JOINT_PANEL 8         /* rows of its factor side by side in memory; partial sums of squares */
#define AVVIK_JOINT_LEAST 0x1p-90f  /* a joint deviation below it is 0 */
#define AVVIK_TAIL_STEPS 7          /* of the search among the thresholds of a feature's tails */
#define AVVIK_TAIL_CELLS 128        /* 1 << AVVIK_TAIL_STEPS: one more than there are thresholds */
#define AVVIK_TAIL_WORDS 192        /* 32-bit words of a struct avvik__tail_table */
#define AVVIK_TAIL_ONE 256          /* one bit in steps of a tail */
#define AVVIK_TAIL_MOST 8191        /* no tail has more steps: that is 1 in 4 billion */
#define AVVIK_MIN_HEIGHT 4          /* ceil(log2 16) */
#define AVVIK_MAX_HEIGHT 12         /* ceil(log2 4096) */
#define AVVIK_LEAF_ONE 2048         /* path length 1 in steps of a leaf value (unsigned 5.11 fixed point) */
#define AVVIK_NODE_LEFT 0x7f800000u /* +infinity, feature 0: the node below a leaf; every finite row goes left */

/* Where entry (i, f) of the lower triangle is kept: panels of AVVIK_JOINT_PANEL rows, each column by column up to the
 * panel's last row, so that the entries that a value is multiplied with are side by side. The rest of a panel is 0. */
#define AVVIK_JOINT_AT(i, f)                                                                                           \
    ((i) / AVVIK_JOINT_PANEL * ((i) / AVVIK_JOINT_PANEL + 1) / 2 * AVVIK_JOINT_PANEL * AVVIK_JOINT_PANEL +             \
     (f)*AVVIK_JOINT_PANEL + (i) % AVVIK_JOINT_PANEL)
#define AVVIK_JOINT_ENTRIES AVVIK_JOINT_AT((size_t)AVVIK_JOINT_FEATURES, 0)

/* Floats of a table that the joint deviation of some rows is measured with: center, rscale and mean, each padded with
 * zeros to `stride`, and the factor, one after the other. Tables side by side are 64-byte aligned if the first is. */
#define AVVIK_JOINT_TABLE(stride, n_features)                                                                          \
    (3 * (size_t)(stride) +                                                                                            \
     AVVIK_JOINT_AT(((size_t)(n_features) + AVVIK_JOINT_PANEL - 1) / AVVIK_JOINT_PANEL * AVVIK_JOINT_PANEL, 0))

#ifndef __OPENCL_VERSION__

#include <stddef.h>
#include <stdint.h>

#define AVVIK_SUMS_ROWS 128        /* of a group that are multiplied at a time, for its covariance */
#define AVVIK_SUMS_LOG 0x1p19      /* steps that 1 on the scale of the signed logarithm has there */
#define AVVIK_STATISTICS_ROWS 4096 /* rows of one block of partial moments, by absolute row number */

#define AVVIK_BYTE_HEIGHT 8       /* of the trees of the byte walk */
#define AVVIK_BYTE_THRESHOLDS 255 /* of one feature in one group of its trees: their ranks fill a byte */
#define AVVIK_BYTE_FEATURES 512   /* of a wide forest that has byte trees: ranks of 128 rows fill 64 KB */

#define AVVIK_BYTE_SLOTS                                                                                               \
    {                                                                                                                  \
        8, 12, 16, 24                                                                                                  \
    }                          /* numbers of columns for which the byte walk has code */
#define AVVIK_BYTE_BY_PATH 255 /* for n_slots */

/* Thresholds of one feature in one group of trees, ascending, in the order of a binary search without branches of
 * n_steps steps: 0 where there is no threshold, else 4, 6, 7 or 8, enough for all. Step d compares x with
 * level_d[path], where bit i of path is the result of x >= at step i. The rank of x, #{thresholds <= x} 2^(8 -
 * n_steps), is the path with its eight bits in reverse. */
struct avvik__byte_search {
    uint32_t n_steps;
    float level_0;
    float unused[14];
    float level_1[16], level_2[16], level_3[16], level_4[16]; /* 2^d entries, repeated */
    float level_5[32], level_6[64], level_7[128];
};

/* One tree of height AVVIK_BYTE_HEIGHT (or less: its leaves repeated below themselves) over ranks: a row goes right
 * where the rank of its feature is above the node's. Tables are indexed by path: bit i is the turn at level i, 1 for
 * right. kernels/README.md, "Byte walk".
 *
 * The columns among which a level chooses: by path the feature of each node; by slot the features that split in this
 * level of this tree, and slot_d has each node's number among them. A column is named by where it begins, its feature
 * times 64. */
struct avvik__byte_tree {
    uint16_t column[256]; /* from [2^level] on: levels 0 to 3 by path, levels 4 to 7 by path or slot */
    uint32_t rank_0[2];   /* from here on ranks of nodes; level 0 and 1 four times over */
    uint32_t rank_1[2];
    uint8_t rank_2[16], rank_3[16], rank_4[16];
    uint8_t rank_5[32], slot_5[32];
    uint8_t slot_4[16], n_slots[8]; /* of level d: 0 where nothing splits; one of AVVIK_BYTE_SLOTS; else by path */
    uint8_t has_ends, unused[39];
    uint8_t rank_6[64], slot_6[64];
    uint8_t rank_7[128], slot_7[128];      /* has_ends: indexed by end, the first 64 */
    uint8_t leaf_low[256], leaf_high[256]; /* has_ends: indexed by end, 64 of turn 0, 64 of turn 1 */
    uint8_t end[128]; /* by path; the nodes of level 7 that have rank, slot and both leaves in common are one end */
};

/* Trees that share their thresholds' ranks. */
struct avvik__byte_group {
    uint32_t first_tree; /* of avvik__byte_forest.trees */
    uint32_t n_trees;    /* at most 256, so that sums of their leaves' bytes fit in 16 bits */
};

struct avvik__byte_forest {
    uint32_t n_groups;
    const struct avvik__byte_group *groups;
    const struct avvik__byte_search *searches; /* [group][feature] */
    const struct avvik__byte_tree *trees;
};

/* A forest of perfect trees as the kernels see it. Read-only; owned by whoever built it (host/engine/scoring_plan.c).
 *
 * Heap order: the root is node 1, the children of node k are 2k (x < threshold) and 2k + 1; the leaf that a walk of
 * `height` steps ends in is k - 2^height. `leaves` and `nodes` hold 2^height words a tree; word 0 of `nodes` is unused.
 * All arrays are 64-byte aligned. Exactly one of nodes (packed) and thresholds + features (wide) is not NULL. */
struct avvik__forest_view {
    uint32_t n_trees;
    uint32_t height; /* AVVIK_MIN_HEIGHT to AVVIK_MAX_HEIGHT */
    uint32_t n_features;
    uint32_t n_groups; /* ceil(n_trees / AVVIK_LANES) */

    const uint32_t *nodes;    /* [tree][2^height] packed words */
    const float *thresholds;  /* [tree][2^height] */
    const uint16_t *features; /* [tree][2^height] */
    const uint16_t *leaves;   /* [tree][2^height] in steps of 1 / AVVIK_LEAF_ONE */

    /* Lane layout: the 16 trees of a group are the subtrees of one perfect tree whose top four levels are left out, in
     * heap order. Node 2^d + j of the tree in lane l is node (16 + l) * 2^d + j of it, so that a walk is k = 2k + bit
     * in every lane, with no offset to add, and each level of 8 or 16 trees is contiguous. Absent trees of the last
     * group have leaves of 0. Words 0 to 15 of a group of nodes are unused. */
    const uint32_t *lane_nodes; /* [group][16 * 2^height] packed words; NULL for wide nodes */
    const uint64_t *lane_pairs; /* [group][16 * 2^height] wide: the threshold's bits in the low half, the feature
                                   number in the high half; NULL for packed nodes */
    const uint32_t
        *lane_leaf_pairs; /* [group][16 * 2^height], used from 16 * 2^(height-1) on: below node k of the lowest
                             level, the left leaf in the low half and the right leaf in the high half */

    const struct avvik__byte_forest *bytes; /* for the byte walk; NULL where it does not apply */
};

/* What the additive contributions of a forest are computed from; borrowed. */
struct avvik__reasons_view {
    const struct avvik__forest_view *forest;
    const int32_t *expected; /* [tree][2^(height + 1)]: g of heap node k, mean leaf value below it, in steps of 2^-20:
                                0 to 2^25 */
    size_t stride;           /* of a row of contributions: n_features rounded up to a multiple of 16 */
    /* [tree][2^height][stride]: what a row that ends in a leaf gets from that tree, by feature; 64-byte aligned. NULL
     * where it would be too large: then rows are walked node by node. */
    const int32_t *leaf_reasons;
};

/* What a value of one feature is worth in the tails (kernels/README.md, "Tails"): a search without branches among 127
 * ascending thresholds, the last ones +infinity if there are fewer. Step d compares x with level[2^d + path], where bit
 * i of path is the result of x >= at step i; after the last step bits[path] is what x is worth. */
struct avvik__tail_table {
    uint16_t bits[AVVIK_TAIL_CELLS]; /* in steps of 1 / AVVIK_TAIL_ONE; bits[0] is 0, and NaN's */
    float level[AVVIK_TAIL_CELLS];   /* level[0] is unused */
};

/* Partial moments of one column over at most AVVIK_STATISTICS_ROWS rows. */
struct avvik__moments {
    uint32_t n;          /* finite values */
    uint32_t n_nan;      /* NaN */
    uint32_t n_infinite; /* infinities */
    float min, max;      /* of the finite values; 0 where n is 0 */
    double mean, m2;     /* mean, and sum of squared deviations from it; 0 where n is 0 */
};

/* Where the median of a column and the values as far from it as its MAD are presumed to be: three windows [first,
 * low_last], [middle_first, middle_last] and [high_first, last], ascending and finite. What lies in a window is kept,
 * unless it equals `tie` (NaN: nothing does); what lies before, between and behind them is counted. */
struct avvik__sieve {
    float first, low_last, middle_first, middle_last, high_first, last, tie;
};
struct avvik__sift_counts {
    uint64_t below, low_gap, high_gap, above, ties;
};

#endif
#endif

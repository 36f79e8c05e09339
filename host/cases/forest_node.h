/* A node of a forest, whichever way it is stored. */
#ifndef AVVIK_FOREST_NODE_H
#define AVVIK_FOREST_NODE_H

#include <math.h>
#include <string.h>

#include "forest.h"
#include "kernel_types.h"

struct avvik__split {
    uint32_t feature;
    float threshold;
};

/* 1 and the split of the node at place `at` of the arrays; 0 where every row goes left, below a leaf. */
static inline int avvik__split_of(const struct avvik__forest *forest, size_t at, struct avvik__split *split_out)
{
    if (forest->nodes != NULL) {
        split_out->feature = forest->nodes[at] & AVVIK_FEATURE_MASK;
        memcpy(&split_out->threshold, &forest->nodes[at], sizeof split_out->threshold);
    } else {
        split_out->feature = forest->features[at];
        split_out->threshold = forest->thresholds[at];
    }
    return split_out->threshold < INFINITY;
}

#endif

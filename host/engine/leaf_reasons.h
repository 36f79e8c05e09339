/* What the leaves of a forest add to the contributions of a row that ends in them: the table that vector variants of
 * forest_reasons go by. */
#ifndef AVVIK_LEAF_REASONS_H
#define AVVIK_LEAF_REASONS_H

#include <stddef.h>
#include <stdint.h>

#include "forest.h"

/* [tree][2^height][stride] int32, 64-byte aligned; release with free(). NULL where it would take more than 64 MiB, the
 * nodes are wide, or memory is out: rows are then walked node by node. */
int32_t *avvik__leaf_reasons_make(const struct avvik__forest *forest, size_t stride);

#endif

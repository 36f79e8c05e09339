/* Held-out rows told apart by peer group, so that a row's p-value comes from rows of its own group: the taxonomy of a
 * Mondrian conformal predictor (Vovk, Lindsay, Nouretdinov and Gammerman 2003; Vovk, Gammerman and Shafer 2005, chapter
 * 4.5). host/cases/README.md, "Whom p is about". */
#ifndef AVVIK_STRATA_H
#define AVVIK_STRATA_H

#include <stdint.h>

#include "groups.h"

/* A group with fewer held-out rows is not told apart: its p could not say "one in a thousand". */
#define AVVIK_STRATUM_ROWS 1000

/* Each stratum is a peer group without the strata inside it, so that every row is in one of them. Stratum 0 is what is
 * left of everyone. n is 0 where there are no peer groups: then all rows are together. */
struct avvik__strata {
    uint32_t n;
    uint32_t *group;  /* ascending; the peer groups in order, each followed by those within it */
    uint32_t *last;   /* the last peer group within that one */
    uint32_t *parent; /* the stratum around it; of stratum 0: 0 */
};

/* The strata of held-out rows: of_row[i] is the peer group of the i-th of n. A group that has AVVIK_STRATUM_ROWS of
 * them outside the strata within it is one; the rows of the others count for the group around them. If fewer than that
 * are left of everyone, the outermost stratum that has fewest (the first of such) joins them. What rows score has no
 * say. 0 without memory. Release with avvik__strata_destroy(). */
int avvik__strata_make(struct avvik__strata *strata, const struct avvik__groups *groups, const uint32_t *of_row,
                       uint32_t n);
void avvik__strata_destroy(struct avvik__strata *strata);

/* group and last, n of each, come from a file: can they be? Then `parent` is made. -1 without memory. */
int avvik__strata_check(struct avvik__strata *strata);

/* The stratum of a row of that peer group: the innermost that has it. */
uint32_t avvik__strata_of(const struct avvik__strata *strata, uint32_t peer_group);

#endif

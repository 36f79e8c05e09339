/* The orders in which the kernels want a forest's nodes. */
#ifndef AVVIK_FOREST_LAYOUT_H
#define AVVIK_FOREST_LAYOUT_H

#include "avvik/status.h"
#include "forest.h"
#include "kernel_types.h"

/* `view` points into memory that the layout owns. */
struct avvik__forest_layout {
    struct avvik__forest_view view;
    void *owned[11];
};

/* Copy `forest` into every layout that some kernel variant walks; the forest may be freed afterwards.
 * AVVIK_OK or AVVIK_ERR_MEMORY; on error nothing is held. */
enum avvik_status avvik__forest_layout_init(struct avvik__forest_layout *layout, const struct avvik__forest *forest,
                                            struct avvik_error *error);
void avvik__forest_layout_destroy(struct avvik__forest_layout *layout);

#endif

/* HDF5's shuffle filter undone: from all first bytes, all second bytes, ... back to elements. */
#ifndef AVVIK_UNSHUFFLE_H
#define AVVIK_UNSHUFFLE_H

#include <stddef.h>

/* n bytes of elements of element_bytes each (1 or more); what is left over at the end is copied as it stands.
 * `to` does not overlap `from`. */
void avvik__unshuffle(const void *from, size_t n, size_t element_bytes, void *to);
/* Elements [first, first + n) of those n_elements alone. */
void avvik__unshuffle_part(const void *from, size_t n_elements, size_t element_bytes, size_t first, size_t n, void *to);

/* The filter itself. */
void avvik__shuffle(const void *from, size_t n, size_t element_bytes, void *to);

#endif

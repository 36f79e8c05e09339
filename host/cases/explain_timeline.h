/* What else there is of the same person or business: in the batches that are explained, and in earlier ones. */
#ifndef AVVIK_EXPLAIN_TIMELINE_H
#define AVVIK_EXPLAIN_TIMELINE_H

#include "explain_run.h"

struct avvik__timelines;

/* AVVIK_OK or AVVIK_ERR_MEMORY. *timelines_out: NULL where no case says whose row it is, or when it was. */
enum avvik_status avvik__timelines_open(struct avvik__explain_run *run, struct avvik__timelines **timelines_out,
                                        struct avvik_error *error);
void avvik__timelines_close(struct avvik__timelines *timelines); /* NULL is a no-op */

/* Look at the rows [first, first + n) of the inputs, which are open as `cells`. */
enum avvik_status avvik__timelines_look(struct avvik__timelines *timelines, struct avvik__cell_reader *cells,
                                        uint64_t first, size_t n, struct avvik_error *error);

/* Look at all rows of the earlier batches in the options, a file at a time. What avvik__cells_open() returns;
 * AVVIK_ERR_FORMAT where one has no such column, or other units. */
enum avvik_status avvik__timelines_history(struct avvik__timelines *timelines, struct avvik_error *error);

/* Order them by time, the last AVVIK_MAX_MOMENTS of each. */
void avvik__timelines_finish(struct avvik__timelines *timelines);

#endif

/* From the stored bytes of a chunk to its rows, without HDF5, on any thread.
 *
 * Everything here takes its input from a file and trusts none of it: a chunk comes out with exactly the bytes it was
 * declared with, or with a reason why not, and nothing is ever allocated by what the stored bytes say. */
#ifndef AVVIK_CHUNK_DECODE_H
#define AVVIK_CHUNK_DECODE_H

#include <hdf5.h>
#include <stddef.h>

#define AVVIK_MAX_FILTERS 6

/* The filters that a chunk goes through when it is written, in that order. */
struct avvik__pipeline_filters {
    int n;
    struct {
        H5Z_filter_t id;
        size_t element_bytes; /* of shuffle */
    } filter[AVVIK_MAX_FILTERS];
};

/* What one thread needs to decode chunks. */
struct avvik__decoder;

/* Can every filter of `list` (a data set creation list) be undone here? 1, and they are in filters_out; 0 if not. */
int avvik__filters_read(hid_t list, struct avvik__pipeline_filters *filters_out);

/* As many stored bytes as a chunk of chunk_bytes can sensibly have. */
size_t avvik__stored_bytes_max(size_t chunk_bytes);

/* NULL if there is no memory. avvik__decoder_free(NULL) is a no-op. A decoder is used by one thread at a time. */
struct avvik__decoder *avvik__decoder_create(void);
void avvik__decoder_free(struct avvik__decoder *decoder);

/* The number of the shuffle filter if undoing that of elements of element_bytes is what is left at the end; else -1.
 * With its bit added to the mask avvik__chunk_decode() leaves the bytes shuffled. */
int avvik__shuffle_at_end(const struct avvik__pipeline_filters *filters, unsigned filter_mask, size_t element_bytes);

/* Undo the filters, but those whose bit is set in filter_mask (bit 0: the first).
 *
 * stored   n bytes; may be overwritten
 * chunk    out, chunk_bytes bytes
 * Returns  NULL, or the reason in a few words ("its checksum does not fit"): static storage. */
const char *avvik__chunk_decode(struct avvik__decoder *decoder, const struct avvik__pipeline_filters *filters,
                                unsigned filter_mask, void *stored, size_t n, void *chunk, size_t chunk_bytes);

#endif

/* Compressing chunks of avvik's own columns, on any thread: what HDF5's shuffle and deflate filters would make of them.
 */
#ifndef AVVIK_CHUNK_ENCODE_H
#define AVVIK_CHUNK_ENCODE_H

#include <stddef.h>

struct avvik__encoder; /* used by one thread at a time */

/* level: 1 to 9. NULL if there is no memory. avvik__encoder_free(NULL) is a no-op. */
struct avvik__encoder *avvik__encoder_create(int level);
void avvik__encoder_free(struct avvik__encoder *encoder);

/* Bytes that chunk_bytes bytes may take once encoded. */
size_t avvik__encoded_bytes_max(size_t chunk_bytes);

/* Encode n elements of element_bytes each as a chunk of chunk_rows elements, the rest of it zero. `to` holds
 * avvik__encoded_bytes_max(chunk_rows * element_bytes) bytes. Returns the bytes used; 0 if there is no memory. */
size_t avvik__chunk_encode(struct avvik__encoder *encoder, const void *data, size_t n, size_t chunk_rows,
                           size_t element_bytes, void *to);

/* Back again: n elements of such a chunk. 1 if it is whole. */
int avvik__chunk_unpack(struct avvik__encoder *encoder, void *encoded, size_t encoded_bytes, size_t n,
                        size_t chunk_rows, size_t element_bytes, void *data_out);

#endif

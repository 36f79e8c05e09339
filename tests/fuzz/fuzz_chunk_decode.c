/* Any bytes as a stored chunk, through any filters that avvik undoes.
 *
 * Input: one byte of how many filters and which of them are left out, 6 bytes of what they are, 2 bytes of how long the
 * chunk is, 1 byte of the elements that shuffle moves; the rest is stored. seeds.py writes such inputs. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "chunk_decode.h"

#define HEADER 10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const H5Z_filter_t menu[] = {
        H5Z_FILTER_DEFLATE, H5Z_FILTER_SHUFFLE, H5Z_FILTER_FLETCHER32, 32015, 32004, 32001};
    static struct avvik__decoder *decoder; /* kept, as a thread of avvik keeps it */
    struct avvik__pipeline_filters filters = {0};
    if (n < HEADER || (decoder == NULL && (decoder = avvik__decoder_create()) == NULL))
        return 0;
    filters.n = data[0] % (AVVIK_MAX_FILTERS + 1);
    const unsigned filter_mask = data[0] / (AVVIK_MAX_FILTERS + 1);
    for (int i = 0, is_compressed = 0; i < filters.n; i++) {
        H5Z_filter_t id = menu[data[1 + i] % (sizeof menu / sizeof menu[0])];
        if (is_compressed) /* as avvik__filters_read() insists */
            id = H5Z_FILTER_FLETCHER32;
        is_compressed = is_compressed || (id != H5Z_FILTER_SHUFFLE && id != H5Z_FILTER_FLETCHER32);
        filters.filter[i].id = id;
        filters.filter[i].element_bytes = data[9] == 255 ? UINT32_MAX : data[9] + 1u;
    }
    const size_t chunk_bytes = 1 + (data[7] | (size_t)data[8] << 8), n_stored = n - HEADER;
    void *stored = malloc(n_stored + 1), *chunk = malloc(chunk_bytes); /* so that one byte too far is seen */
    if (stored != NULL && chunk != NULL) {
        memcpy(stored, data + HEADER, n_stored);
        void *exact = realloc(stored, n_stored > 0 ? n_stored : 1);
        stored = exact != NULL ? exact : stored;
        const char *problem = avvik__chunk_decode(decoder, &filters, filter_mask, stored, n_stored, chunk, chunk_bytes);
        volatile unsigned char sum = 0;
        for (size_t i = 0; problem == NULL && i < chunk_bytes; i++)
            sum = (unsigned char)(sum + ((unsigned char *)chunk)[i]);
    }
    free(chunk);
    free(stored);
    return 0;
}

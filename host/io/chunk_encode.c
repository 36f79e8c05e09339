#include "chunk_encode.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "chunk_decode.h"
#include "unshuffle.h"

struct avvik__encoder {
    struct libdeflate_compressor *deflate;
    struct avvik__decoder *decoder;
    unsigned char *padded, *shuffled;
    size_t bytes; /* of each */
};

struct avvik__encoder *avvik__encoder_create(int level)
{
    struct avvik__encoder *encoder = calloc(1, sizeof *encoder);
    if (encoder == NULL || (encoder->deflate = libdeflate_alloc_compressor(level)) == NULL ||
        (encoder->decoder = avvik__decoder_create()) == NULL) {
        avvik__encoder_free(encoder);
        return NULL;
    }
    return encoder;
}

void avvik__encoder_free(struct avvik__encoder *encoder)
{
    if (encoder == NULL)
        return;
    if (encoder->deflate != NULL)
        libdeflate_free_compressor(encoder->deflate);
    avvik__decoder_free(encoder->decoder);
    free(encoder->padded);
    free(encoder->shuffled);
    free(encoder);
}

size_t avvik__encoded_bytes_max(size_t chunk_bytes)
{
    return libdeflate_zlib_compress_bound(NULL, chunk_bytes);
}

static int buffers_reserve(struct avvik__encoder *encoder, size_t bytes)
{
    if (bytes <= encoder->bytes)
        return 1;
    free(encoder->padded);
    free(encoder->shuffled);
    encoder->padded = malloc(bytes);
    encoder->shuffled = malloc(bytes);
    encoder->bytes = encoder->padded == NULL || encoder->shuffled == NULL ? 0 : bytes;
    return encoder->bytes > 0;
}

size_t avvik__chunk_encode(struct avvik__encoder *encoder, const void *data, size_t n, size_t chunk_rows,
                           size_t element_bytes, void *to)
{
    const size_t bytes = chunk_rows * element_bytes;
    if (!buffers_reserve(encoder, bytes))
        return 0;
    if (n < chunk_rows) {
        memcpy(encoder->padded, data, n * element_bytes);
        memset(encoder->padded + n * element_bytes, 0, bytes - n * element_bytes);
        data = encoder->padded;
    }
    avvik__shuffle(data, bytes, element_bytes, encoder->shuffled);
    return libdeflate_zlib_compress(encoder->deflate, encoder->shuffled, bytes, to, avvik__encoded_bytes_max(bytes));
}

int avvik__chunk_unpack(struct avvik__encoder *encoder, void *encoded, size_t encoded_bytes, size_t n,
                        size_t chunk_rows, size_t element_bytes, void *data_out)
{
    const struct avvik__pipeline_filters filters = {2, {{H5Z_FILTER_SHUFFLE, element_bytes}, {H5Z_FILTER_DEFLATE, 0}}};
    const size_t bytes = chunk_rows * element_bytes;
    if (!buffers_reserve(encoder, bytes) ||
        avvik__chunk_decode(encoder->decoder, &filters, 0, encoded, encoded_bytes, encoder->padded, bytes) != NULL)
        return 0;
    memcpy(data_out, encoder->padded, n * element_bytes);
    return 1;
}

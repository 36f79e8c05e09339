#include "chunk_decode.h"

#include <libdeflate.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if AVVIK_WITH_ZSTD
#include <zstd.h>
#endif
#if AVVIK_WITH_LZ4
#include <lz4.h>
#endif
#if AVVIK_WITH_BLOSC
#include <blosc.h>
#endif

#include "fletcher32.h"
#include "unshuffle.h"

/* Numbers of the filters in HDF5's registry. */
enum { FILTER_BLOSC = 32001, FILTER_LZ4 = 32004, FILTER_ZSTD = 32015 };

#define FLETCHER_BYTES 4

struct avvik__decoder {
    struct libdeflate_decompressor *inflate;
#if AVVIK_WITH_ZSTD
    ZSTD_DCtx *zstd;
#endif
    struct {
        unsigned char *bytes;
        size_t n;
    } scratch[2]; /* what lies between two filters */
};

struct avvik__decoder *avvik__decoder_create(void)
{
    struct avvik__decoder *decoder = calloc(1, sizeof *decoder);
    int is_whole = decoder != NULL && (decoder->inflate = libdeflate_alloc_decompressor()) != NULL;
#if AVVIK_WITH_ZSTD
    is_whole = is_whole && (decoder->zstd = ZSTD_createDCtx()) != NULL;
#endif
    if (is_whole)
        return decoder;
    avvik__decoder_free(decoder);
    return NULL;
}

void avvik__decoder_free(struct avvik__decoder *decoder)
{
    if (decoder == NULL)
        return;
    if (decoder->inflate != NULL)
        libdeflate_free_decompressor(decoder->inflate);
#if AVVIK_WITH_ZSTD
    ZSTD_freeDCtx(decoder->zstd);
#endif
    free(decoder->scratch[0].bytes);
    free(decoder->scratch[1].bytes);
    free(decoder);
}

size_t avvik__stored_bytes_max(size_t chunk_bytes)
{
    return chunk_bytes + chunk_bytes / 4 + 4096; /* LZ4 in blocks of 16 bytes adds most: 4 bytes to each */
}

static int is_compressor(H5Z_filter_t id)
{
    switch (id) {
    case H5Z_FILTER_DEFLATE: return 1;
#if AVVIK_WITH_ZSTD
    case FILTER_ZSTD: return 1;
#endif
#if AVVIK_WITH_LZ4
    case FILTER_LZ4: return 1;
#endif
#if AVVIK_WITH_BLOSC
    case FILTER_BLOSC: return 1;
#endif
    default: return 0;
    }
}

int avvik__filters_read(hid_t list, struct avvik__pipeline_filters *filters_out)
{
    const int n = H5Pget_nfilters(list);
    int n_compressors = 0;
    if (n < 0 || n > AVVIK_MAX_FILTERS)
        return 0;
    struct avvik__pipeline_filters filters = {.n = n};
    for (int i = 0; i < n; i++) {
        unsigned flags, config, values[8] = {0};
        size_t n_values = sizeof values / sizeof values[0];
        const H5Z_filter_t id = H5Pget_filter2(list, (unsigned)i, &flags, &n_values, values, 0, NULL, &config);
        if (is_compressor(id))
            n_compressors++;
        /* After a compressor nobody knows how many bytes there are: only a checksum may follow. */
        if (id == H5Z_FILTER_SHUFFLE ? n_compressors > 0 || n_values != 1 || values[0] == 0
                                     : !is_compressor(id) && id != H5Z_FILTER_FLETCHER32)
            return 0;
        filters.filter[i].id = id;
        filters.filter[i].element_bytes = values[0];
    }
    if (n_compressors > 1)
        return 0;
    *filters_out = filters;
    return 1;
}

/* Two 16-bit sums, little-endian; before HDF5 1.6.3 the bytes of each stood the other way round. HDF5 folds its sums
 * and may keep 65,535 where a remainder is 0: both mean the same. */
static int checksum_fits(const unsigned char *data, size_t n)
{
    const unsigned char *stored = data + n;
    const uint32_t computed = avvik__fletcher32(data, n);
    for (int low = 0; low < 2; low++) {
        const uint32_t sum1 = (uint32_t)(stored[low] | stored[1 - low] << 8);
        const uint32_t sum2 = (uint32_t)(stored[2 + low] | stored[3 - low] << 8);
        if (sum1 % 65535 == (computed & 65535) && sum2 % 65535 == computed >> 16)
            return 1;
    }
    return 0;
}

#if AVVIK_WITH_LZ4
static uint32_t big_endian_32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The registered LZ4 filter: 8 bytes of length, 4 of block length, then blocks, each after 4 bytes of its stored
 * length; a block that is stored with its own length is not compressed. All big-endian. */
static int lz4_expand(const unsigned char *from, size_t n, unsigned char *to, size_t n_to)
{
    if (n < 12 || big_endian_32(from) != 0 || big_endian_32(from + 4) != n_to)
        return 0;
    const size_t block = big_endian_32(from + 8);
    from += 12;
    n -= 12;
    while (n_to > 0) {
        const size_t wanted = n_to < block ? n_to : block;
        if (wanted == 0 || n < 4)
            return 0;
        const size_t stored = big_endian_32(from);
        from += 4;
        n -= 4;
        if (stored > n || stored > INT32_MAX || wanted > INT32_MAX)
            return 0;
        if (stored == wanted)
            memcpy(to, from, wanted);
        else if (LZ4_decompress_safe((const char *)from, (char *)to, (int)stored, (int)wanted) != (int)wanted)
            return 0;
        from += stored;
        n -= stored;
        to += wanted;
        n_to -= wanted;
    }
    return n == 0;
}
#endif

static const char *inflate(struct avvik__decoder *decoder, const unsigned char *from, size_t n, unsigned char *to,
                           size_t n_to)
{
    switch (libdeflate_zlib_decompress(decoder->inflate, from, n, to, n_to, NULL)) {
    case LIBDEFLATE_SUCCESS: return NULL;
    case LIBDEFLATE_SHORT_OUTPUT: return "it inflates to fewer bytes than its rows have";
    case LIBDEFLATE_INSUFFICIENT_SPACE: return "it inflates to more bytes than its rows have";
    default: return "its compressed bytes are damaged";
    }
}

/* Expand to exactly n_to bytes; NULL, or the reason why that is not what comes out. */
static const char *expand(struct avvik__decoder *decoder, H5Z_filter_t id, const unsigned char *from, size_t n,
                          unsigned char *to, size_t n_to)
{
    int is_done = 0;
    switch (id) {
    case H5Z_FILTER_DEFLATE: return inflate(decoder, from, n, to, n_to);
#if AVVIK_WITH_ZSTD
    case FILTER_ZSTD: is_done = ZSTD_decompressDCtx(decoder->zstd, to, n_to, from, n) == n_to; break;
#endif
#if AVVIK_WITH_LZ4
    case FILTER_LZ4: is_done = lz4_expand(from, n, to, n_to); break;
#endif
#if AVVIK_WITH_BLOSC
    case FILTER_BLOSC: {
        size_t declared = 0;
        is_done = n >= BLOSC_MIN_HEADER_LENGTH && blosc_cbuffer_validate(from, n, &declared) == 0 && declared == n_to &&
                  blosc_decompress_ctx(from, to, n_to, 1) == (int)n_to;
        break;
    }
#endif
    default: break;
    }
    return is_done ? NULL : "it cannot be decompressed to as many bytes as its rows have";
}

/* At least n bytes, or NULL. */
static unsigned char *scratch_get(struct avvik__decoder *decoder, int which, size_t n)
{
    if (n > decoder->scratch[which].n) {
        free(decoder->scratch[which].bytes);
        decoder->scratch[which].bytes = malloc(n);
        decoder->scratch[which].n = decoder->scratch[which].bytes == NULL ? 0 : n;
    }
    return decoder->scratch[which].bytes;
}

int avvik__shuffle_at_end(const struct avvik__pipeline_filters *filters, unsigned filter_mask, size_t element_bytes)
{
    int first = 0;
    while (first < filters->n && (filter_mask >> first & 1))
        first++;
    return first < filters->n && filters->filter[first].id == H5Z_FILTER_SHUFFLE &&
                   filters->filter[first].element_bytes == element_bytes
               ? first
               : -1;
}

const char *avvik__chunk_decode(struct avvik__decoder *decoder, const struct avvik__pipeline_filters *filters,
                                unsigned filter_mask, void *stored, size_t n, void *chunk, size_t chunk_bytes)
{
    size_t before[AVVIK_MAX_FILTERS + 1] = {chunk_bytes}; /* bytes that go into each filter, up to the compressor */
    for (int i = 0; i < filters->n; i++)
        before[i + 1] =
            before[i] +
            (filters->filter[i].id == H5Z_FILTER_FLETCHER32 && (filter_mask >> i & 1) == 0 ? FLETCHER_BYTES : 0);
    unsigned char *from = stored;
    for (int i = filters->n, used = 0; i-- > 0;) {
        if (filter_mask >> i & 1)
            continue;
        const H5Z_filter_t id = filters->filter[i].id;
        if (id == H5Z_FILTER_FLETCHER32) {
            if (n < FLETCHER_BYTES)
                return "it is too short for its checksum";
            n -= FLETCHER_BYTES;
            if (!checksum_fits(from, n))
                return "its checksum does not fit";
            continue;
        }
        int is_last = 1; /* the last filter to undo that changes bytes writes into the chunk itself */
        for (int k = 0; k < i; k++)
            is_last = is_last && ((filter_mask >> k & 1) || filters->filter[k].id == H5Z_FILTER_FLETCHER32);
        unsigned char *to =
            is_last && before[i] == chunk_bytes ? chunk : scratch_get(decoder, used++ % 2, before[filters->n]);
        if (to == NULL)
            return "there is no memory to decode it";
        if (id == H5Z_FILTER_SHUFFLE) {
            if (n != before[i])
                return "it has not as many bytes as its rows";
            avvik__unshuffle(from, n, filters->filter[i].element_bytes, to);
        } else {
            const char *problem = expand(decoder, id, from, n, to, before[i]);
            if (problem != NULL)
                return problem;
            n = before[i];
        }
        from = to;
    }
    if (n != chunk_bytes)
        return "it has not as many bytes as its rows";
    if (from != chunk)
        memcpy(chunk, from, chunk_bytes);
    return NULL;
}

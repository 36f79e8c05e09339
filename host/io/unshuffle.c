#include "unshuffle.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__SSE2__)
/* 16 elements of n_planes (2, 4 or 8) planes: each round of interleaving pairs planes that are half of all planes
 * apart; after log2 of the number of planes rounds the bytes of an element stand together. */
static inline __attribute__((always_inline)) void planes_interleave(const unsigned char *from, size_t plane_bytes,
                                                                    size_t n_planes, __m128i *plane)
{
    __m128i next[8];
    for (size_t p = 0; p < n_planes; p++)
        plane[p] = _mm_loadu_si128((const __m128i *)(const void *)(from + p * plane_bytes));
    for (size_t round = 1; round < n_planes; round *= 2) {
        for (size_t p = 0; p < n_planes / 2; p++) {
            next[2 * p] = _mm_unpacklo_epi8(plane[p], plane[p + n_planes / 2]);
            next[2 * p + 1] = _mm_unpackhi_epi8(plane[p], plane[p + n_planes / 2]);
        }
        memcpy(plane, next, n_planes * sizeof plane[0]);
    }
}

/* Elements of 2, 4 or 8 bytes, whose number is a constant so that the loops over planes are unrolled. Returns the
 * elements done, as the next does. */
static inline __attribute__((always_inline)) size_t unshuffle_numbers(const unsigned char *from, size_t plane_bytes,
                                                                      size_t n, size_t element_bytes, unsigned char *to)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m128i plane[8];
        planes_interleave(from + i, plane_bytes, element_bytes, plane);
        for (size_t p = 0; p < element_bytes; p++)
            _mm_storeu_si128((__m128i *)(void *)(to + i * element_bytes + 16 * p), plane[p]);
    }
    return i;
}

/* Rows of tables, of more than 8 bytes: 8 planes at a time, the last 8 over again what others have done; 64 rows of
 * them, which is a cache line of each plane. */
static size_t unshuffle_rows(const unsigned char *from, size_t plane_bytes, size_t n, size_t element_bytes,
                             unsigned char *to)
{
    const size_t n_done = n / 64 * 64;
    for (size_t i = 0; i < n_done; i += 64)
        for (size_t p = 0; p < element_bytes; p += 8) {
            const size_t first = p + 8 <= element_bytes ? p : element_bytes - 8;
            for (size_t k = i; k < i + 64; k += 16) {
                __m128i plane[8];
                planes_interleave(from + first * plane_bytes + k, plane_bytes, 8, plane);
                for (size_t pair = 0; pair < 8; pair++) {
                    unsigned char *place = to + (k + 2 * pair) * element_bytes + first;
                    _mm_storel_epi64((__m128i *)(void *)place, plane[pair]);
                    _mm_storel_epi64((__m128i *)(void *)(place + element_bytes),
                                     _mm_unpackhi_epi64(plane[pair], plane[pair]));
                }
            }
        }
    return n_done;
}
#endif

void avvik__unshuffle_part(const void *from, size_t n_elements, size_t element_bytes, size_t first, size_t n, void *to)
{
    const unsigned char *planes = (const unsigned char *)from + first;
    unsigned char *elements = to;
    size_t done = 0;
#if defined(__SSE2__)
    switch (element_bytes) {
    case 2: done = unshuffle_numbers(planes, n_elements, n, 2, elements); break;
    case 4: done = unshuffle_numbers(planes, n_elements, n, 4, elements); break;
    case 8: done = unshuffle_numbers(planes, n_elements, n, 8, elements); break;
    default: done = element_bytes > 8 ? unshuffle_rows(planes, n_elements, n, element_bytes, elements) : 0; break;
    }
#endif
    for (size_t p = 0; p < element_bytes; p++)
        for (size_t i = done; i < n; i++)
            elements[i * element_bytes + p] = planes[p * n_elements + i];
}

void avvik__unshuffle(const void *from, size_t n, size_t element_bytes, void *to)
{
    const size_t n_elements = n / element_bytes, n_whole = n_elements * element_bytes;
    if (element_bytes == 1 || n_elements <= 1) {
        memcpy(to, from, n);
        return;
    }
    avvik__unshuffle_part(from, n_elements, element_bytes, 0, n_elements, to);
    memcpy((char *)to + n_whole, (const char *)from + n_whole, n % element_bytes);
}

void avvik__shuffle(const void *from, size_t n, size_t element_bytes, void *to)
{
    const unsigned char *elements = from;
    unsigned char *planes = to;
    const size_t n_elements = n / element_bytes;
    for (size_t p = 0; p < element_bytes; p++)
        for (size_t i = 0; i < n_elements; i++)
            planes[p * n_elements + i] = elements[i * element_bytes + p];
    memcpy(planes + n_elements * element_bytes, elements + n_elements * element_bytes, n % element_bytes);
}

#include "fletcher32.h"

#include <string.h>

/* What gcc and clang make vectors of, whatever the machine has. */
typedef uint32_t words32 __attribute__((vector_size(32)));
typedef uint16_t words16 __attribute__((vector_size(16)));

#define VECTORS 2
#define LANES (8 * VECTORS) /* words of a row */
#define ROWS 256            /* of a block: the sums of a lane stay below 2^32 */

/* Add a block of ROWS * LANES words to the sums. The word at row r and lane i counts ROWS * LANES - (r * LANES + i)
 * times in the second: LANES times for each row below it, which `weighted` counts, and LANES - i times more. */
static void block_add(const unsigned char *data, uint64_t *sum1, uint64_t *sum2)
{
    words32 plain[VECTORS] = {{0}}, weighted[VECTORS] = {{0}};
    for (size_t row = 0; row < ROWS; row++)
        for (size_t k = 0; k < VECTORS; k++, data += sizeof(words16)) {
            words16 words;
            memcpy(&words, data, sizeof words);
            weighted[k] += plain[k];
            plain[k] += __builtin_convertvector(words, words32);
        }
    *sum2 += *sum1 * (ROWS * LANES);
    for (size_t i = 0; i < LANES; i++) {
        *sum1 += plain[i / 8][i % 8];
        *sum2 += (uint64_t)weighted[i / 8][i % 8] * LANES + (uint64_t)plain[i / 8][i % 8] * (LANES - i);
    }
    *sum1 %= 65535;
    *sum2 %= 65535;
}

uint32_t avvik__fletcher32(const void *bytes, size_t n)
{
    /* Sums of words whose bytes are swapped are the swapped sums, modulo 65,535: 256 times as much. */
    const uint64_t swap = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 256 : 1;
    const unsigned char *data = bytes;
    uint64_t sum1 = 0, sum2 = 0;
    size_t n_words = n / 2;
    for (; n_words >= ROWS * LANES; n_words -= ROWS * LANES, data += 2 * ROWS * LANES)
        block_add(data, &sum1, &sum2);
    for (; n_words > 0; n_words--, data += 2) {
        uint16_t word;
        memcpy(&word, data, sizeof word);
        sum1 += word;
        sum2 += sum1;
    }
    sum1 = sum1 % 65535 * swap % 65535;
    sum2 = sum2 % 65535 * swap % 65535;
    if (n % 2 != 0) {
        sum1 = (sum1 + ((uint64_t)*data << 8)) % 65535;
        sum2 = (sum2 + sum1) % 65535;
    }
    return (uint32_t)(sum2 << 16 | sum1);
}

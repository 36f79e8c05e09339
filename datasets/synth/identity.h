/* Identity numbers that can belong to nobody, and the keyed hash that stands for them in batches.
 *
 * A national identity number is DDMMYY, three individual digits (the last is odd for men), two check digits. Synthetic
 * ones have 80 added to the month, as in the test data of the Norwegian Tax Administration (Tenor). A birth date has
 * about 410 numbers under the rules in force, which decide the century by the individual digits; a country of more than
 * some eleven million runs out of them on some dates. From there on the rules of 2032 are followed: the individual
 * digits say nothing of the century, and the first check digit may leave a remainder of 1 to 3.
 *
 * An organisation number is eight digits and a check digit; synthetic ones begin with 2 or 3 (real ones: 8 or 9). */
#ifndef AVVIK_SYNTH_IDENTITY_H
#define AVVIK_SYNTH_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

/* Tables over check digits; read-only once made. NULL if there is no memory. */
struct avvik__numbers;
struct avvik__numbers *avvik__numbers_create(void);
void avvik__numbers_free(struct avvik__numbers *numbers); /* NULL is a no-op */

/* The date of birth of number `rank` (from 0) among those of one birth year and sex: the days of the year in turn. */
int32_t avvik__birth_day(int year, uint32_t rank);
/* The identity number of that rank, as a number of 11 digits; ranks are never the same number. 0 if the year is full.
 */
uint64_t avvik__national_id(const struct avvik__numbers *numbers, int year, int is_male, uint32_t rank);
/* The organisation number of business `index`, below 18 million; no two are the same. */
uint32_t avvik__organisation_number(uint32_t index);

#define AVVIK_KEY_BYTES 16

/* What is hashed; numbers of different kinds never have a hash in common but by chance. */
enum avvik__identity_kind {
    AVVIK_ID_PERSON = 1,
    AVVIK_ID_BUSINESS,
    AVVIK_ID_ACCOUNT,
    AVVIK_ID_HOUSEHOLD,
    AVVIK_ID_CASE
};

/* SipHash-2-4 (libsodium's crypto_shorthash) of a kind and a number; never 0, which stands for none. */
uint64_t avvik__identity_hash(const unsigned char *key, enum avvik__identity_kind kind, uint64_t number);

/* The key of a country that was given none: BLAKE2b of its seed. Nobody real is behind it. */
void avvik__key_from_seed(uint64_t seed, unsigned char *key_out);

/* Read a key file: a line "avvik identity key 1", a line of 32 hexadecimal digits.
 * AVVIK_ERR_IO; AVVIK_ERR_FORMAT (something else, or a file that others than its owner may read or write). */
enum avvik_status avvik__key_load(const char *path, unsigned char *key_out, struct avvik_error *error);
/* Write one, mode 0600, over nothing that is there. */
enum avvik_status avvik__key_save(const char *path, const unsigned char *key, struct avvik_error *error);

#endif

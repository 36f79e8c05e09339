#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "avvik_internal.h"
#include "calendar.h"

#define REMAINDERS 4 /* of the first check digit: 0, and from 2032 on 1, 2, 3 */
#define MONTH_ADDED 80

/* Valid individual numbers, ascending, by what the date contributes to the two check sums modulo 11. */
struct numbers_list {
    uint16_t n, below_500, below_900;
    uint16_t individual[500];
};
struct avvik__numbers {
    struct numbers_list lists[REMAINDERS][11][11][2]; /* [remainder][first sum][second sum][is male] */
};

static void date_sums(const int *d, int *first_out, int *second_out)
{
    *first_out = (3 * d[0] + 7 * d[1] + 6 * d[2] + d[3] + 8 * d[4] + 9 * d[5]) % 11;
    *second_out = (5 * d[0] + 4 * d[1] + 3 * d[2] + 2 * d[3] + 7 * d[4] + 6 * d[5]) % 11;
}

/* Both check digits of a date's sums with an individual number; 0 if one of them would be 10. */
static int check_digits(int first, int second, int individual, int remainder, int *k1_out, int *k2_out)
{
    const int i1 = individual / 100, i2 = individual / 10 % 10, i3 = individual % 10;
    *k1_out = ((remainder - first - 4 * i1 - 5 * i2 - 2 * i3) % 11 + 11) % 11;
    *k2_out = (11 - (second + 5 * i1 + 4 * i2 + 3 * i3 + 2 * *k1_out) % 11) % 11;
    return *k1_out < 10 && *k2_out < 10;
}

struct avvik__numbers *avvik__numbers_create(void)
{
    struct avvik__numbers *numbers = calloc(1, sizeof *numbers);
    int k1, k2;
    for (int r = 0; numbers != NULL && r < REMAINDERS; r++)
        for (int first = 0; first < 11; first++)
            for (int second = 0; second < 11; second++)
                for (int i = 0; i < 1000; i++) {
                    struct numbers_list *list = &numbers->lists[r][first][second][i % 2];
                    if (!check_digits(first, second, i, r, &k1, &k2))
                        continue;
                    list->individual[list->n++] = (uint16_t)i;
                    list->below_500 = (uint16_t)(list->below_500 + (i < 500));
                    list->below_900 = (uint16_t)(list->below_900 + (i < 900));
                }
    return numbers;
}

void avvik__numbers_free(struct avvik__numbers *numbers)
{
    free(numbers);
}

static uint32_t days_in(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365;
}

int32_t avvik__birth_day(int year, uint32_t rank)
{
    const uint32_t days = days_in(year); /* 227 is prime to both */
    return avvik__day_of(year, 1, 1) + (int32_t)((rank % days * 227 + (uint32_t)year * 31) % days);
}

/* The `at`-th individual number that the rules in force give a birth year; -1 if there are not as many. *left_out:
 * how many `at` is beyond them. */
static int individual_now(const struct numbers_list *list, int year, uint32_t at, uint32_t *left_out)
{
    const uint32_t early = year < 2000 ? list->below_500 : 0;
    const uint32_t from = year < 1940 ? list->n : year < 2000 ? list->below_900 : list->below_500;
    const uint32_t late = list->n - from;
    *left_out = at - early - late;
    if (at < early)
        return list->individual[at];
    return at < early + late ? list->individual[from + at - early] : -1;
}

uint64_t avvik__national_id(const struct avvik__numbers *numbers, int year, int is_male, uint32_t rank)
{
    int y, month, day, first, second, k1, k2, remainder = 0;
    uint32_t at = rank / days_in(year);
    avvik__date_of(avvik__birth_day(year, rank), &y, &month, &day);
    month += MONTH_ADDED;
    const int digits[6] = {day / 10, day % 10, month / 10, month % 10, year / 10 % 10, year % 10};
    date_sums(digits, &first, &second);
    int individual = individual_now(&numbers->lists[0][first][second][is_male], year, at, &at);
    while (individual < 0 && ++remainder < REMAINDERS) {
        const struct numbers_list *list = &numbers->lists[remainder][first][second][is_male];
        if (at < list->n)
            individual = list->individual[at];
        else
            at -= list->n;
    }
    if (individual < 0)
        return 0;
    check_digits(first, second, individual, remainder, &k1, &k2);
    return (uint64_t)((day * 100 + month) * 100 + year % 100) * 100000 + (uint64_t)(individual * 100 + k1 * 10 + k2);
}

/* Of ten consecutive numbers at most one has no check digit (the last digit's weight is 2): nine of each ten are used.
 */
uint32_t avvik__organisation_number(uint32_t index)
{
    static const uint32_t weights[] = {2, 3, 4, 5, 6, 7, 2, 3};                              /* from the right */
    const uint32_t decade = 2000000 + (uint32_t)((uint64_t)(index / 9) * 1299709 % 2000000); /* prime to 2000000 */
    uint32_t left = index % 9;
    for (uint32_t digit = 0; digit < 10; digit++) {
        const uint32_t eight = decade * 10 + digit;
        uint32_t sum = 0, rest = eight;
        for (int i = 0; i < 8; i++, rest /= 10)
            sum += rest % 10 * weights[i];
        const uint32_t check = (11 - sum % 11) % 11;
        if (check < 10 && left-- == 0)
            return eight * 10 + check;
    }
    return 0;
}

uint64_t avvik__identity_hash(const unsigned char *key, enum avvik__identity_kind kind, uint64_t number)
{
    unsigned char message[9] = {(unsigned char)kind}, digest[crypto_shorthash_BYTES];
    uint64_t hash = 0;
    for (int i = 0; i < 8; i++)
        message[1 + i] = (unsigned char)(number >> 8 * i);
    crypto_shorthash(digest, message, sizeof message, key);
    for (int i = 0; i < 8; i++)
        hash |= (uint64_t)digest[i] << 8 * i;
    return hash == 0 ? 1 : hash;
}

void avvik__key_from_seed(uint64_t seed, unsigned char *key_out)
{
    static const char purpose[] = "avvik: key of a synthetic country";
    unsigned char bytes[8];
    crypto_generichash_state state;
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(seed >> 8 * i);
    crypto_generichash_init(&state, NULL, 0, AVVIK_KEY_BYTES);
    crypto_generichash_update(&state, (const unsigned char *)purpose, sizeof purpose);
    crypto_generichash_update(&state, bytes, sizeof bytes);
    crypto_generichash_final(&state, key_out, AVVIK_KEY_BYTES);
}

static const char key_head[] = "avvik identity key 1\n";

enum avvik_status avvik__key_load(const char *path, unsigned char *key_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char text[128];
    struct stat info;
    size_t n = 0;
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &info) != 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is no key file", path);
    if ((info.st_mode & 077) != 0)
        AVVIK_FAIL(
            AVVIK_ERR_FORMAT, 0,
            "%s: others than its owner may read or change this key (mode %03o); make it private with chmod 600 and "
            "consider it known",
            path, (unsigned)(info.st_mode & 0777));
    for (ssize_t got; n < sizeof text - 1 && (got = read(file, text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    size_t used = 0;
    const char *end = NULL;
    if (strncmp(text, key_head, sizeof key_head - 1) != 0 ||
        sodium_hex2bin(key_out, AVVIK_KEY_BYTES, text + sizeof key_head - 1, n - (sizeof key_head - 1), NULL, &used,
                       &end) != 0 ||
        used != AVVIK_KEY_BYTES || strcmp(end, "\n") != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                   "%s: is no key file of avvik (a line 'avvik identity key 1', then 32 hexadecimal digits)", path);
done:
    sodium_memzero(text, sizeof text);
    if (file >= 0)
        close(file);
    return status;
}

enum avvik_status avvik__key_save(const char *path, const unsigned char *key, struct avvik_error *error)
{
    char text[sizeof key_head + 2 * AVVIK_KEY_BYTES + 1];
    memcpy(text, key_head, sizeof key_head);
    sodium_bin2hex(text + sizeof key_head - 1, 2 * AVVIK_KEY_BYTES + 1, key, AVVIK_KEY_BYTES);
    text[sizeof text - 2] = '\n';
    const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    const int failed = file < 0 || write(file, text, sizeof text - 1) != (ssize_t)(sizeof text - 1) || fsync(file) != 0;
    const int code = errno;
    sodium_memzero(text, sizeof text);
    if (file >= 0)
        close(file);
    return failed
               ? avvik__error_set(error, AVVIK_ERR_IO, code, "%s: the key cannot be written: %s", path, strerror(code))
               : AVVIK_OK;
}

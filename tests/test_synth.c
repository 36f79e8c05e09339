/* The synthetic country's numbers: check digits, calendar, mathematics, against what the C library and the published
 * rules say. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "calendar.h"
#include "draw.h"
#include "identity.h"
#include "suite_run.h"

static int compare(const void *a, const void *b)
{
    const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* The remainders of both check sums of a national identity number. */
static void remainders(uint64_t id, int *first_out, int *second_out)
{
    static const int weights1[] = {3, 7, 6, 1, 8, 9, 4, 5, 2, 1, 0}, weights2[] = {5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1};
    int first = 0, second = 0;
    for (int i = 10; i >= 0; i--, id /= 10) {
        first += (int)(id % 10) * weights1[i];
        second += (int)(id % 10) * weights2[i];
    }
    *first_out = first % 11;
    *second_out = second % 11;
}

/* Every number that a year of birth has, for one sex: all different, all valid, 80 added to the month; those by the
 * rules in force come first on each date. */
START_TEST(test_national_ids_of_a_year)
{
    static const int years[] = {1931, 1968, 2008};
    const int year = years[_i / 2], is_male = _i % 2;
    struct avvik__numbers *numbers = avvik__numbers_create();
    const size_t most = 600000;
    uint64_t *ids = malloc(most * sizeof *ids), id;
    uint32_t n = 0, n_now = 0, n_wrong = 0, n_twice = 0;
    ck_assert(numbers != NULL && ids != NULL);
    for (; (id = avvik__national_id(numbers, year, is_male, n)) != 0 && n < most; n++) {
        int first, second, y, month, day;
        remainders(id, &first, &second);
        avvik__date_of(avvik__birth_day(year, n), &y, &month, &day);
        n_wrong += second != 0 || first > 3 || (int)(id / 100 % 10 % 2) != is_male || y != year ||
                   (int)(id / 1000000000) != day || (int)(id / 10000000 % 100) != month + 80 ||
                   (int)(id / 100000 % 100) != year % 100;
        n_now += first == 0;
        ids[n] = id;
    }
    ck_assert_uint_eq(n_wrong, 0);
    ck_assert_msg(n > 400000, "only %u numbers", n); /* 50 million persons need 350,000 of a year and sex */
    ck_assert_msg(n_now > 60000 && n_now < 100000, "%u by the rules in force", n_now);
    qsort(ids, n, sizeof *ids, compare);
    for (uint32_t i = 1; i < n; i++)
        n_twice += ids[i] == ids[i - 1];
    ck_assert_uint_eq(n_twice, 0);
    free(ids);
    avvik__numbers_free(numbers);
}
END_TEST

START_TEST(test_organisation_numbers)
{
    static const uint32_t weights[] = {1, 2, 3, 4, 5, 6, 7, 2, 3}; /* from the right */
    const uint32_t n = 300000;
    uint32_t n_wrong = 0;
    uint64_t *numbers = malloc(n * sizeof *numbers);
    ck_assert_ptr_nonnull(numbers);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t rest = avvik__organisation_number(i), sum = 0;
        n_wrong += rest / 100000000 != 2 && rest / 100000000 != 3;
        numbers[i] = rest;
        for (int k = 0; k < 9; k++, rest /= 10)
            sum += rest % 10 * weights[k];
        n_wrong += sum % 11 != 0;
    }
    qsort(numbers, n, sizeof *numbers, compare);
    for (uint32_t i = 1; i < n; i++)
        n_wrong += numbers[i] == numbers[i - 1];
    ck_assert_uint_eq(n_wrong, 0);
    free(numbers);
}
END_TEST

START_TEST(test_calendar)
{
    int weekdays = 0, n_wrong = 0;
    for (int32_t day = -40000; day < 40000; day++) {
        const time_t seconds = (time_t)day * 86400;
        struct tm utc;
        int year, month, in_month;
        gmtime_r(&seconds, &utc);
        avvik__date_of(day, &year, &month, &in_month);
        weekdays += utc.tm_wday >= 1 && utc.tm_wday <= 5;
        n_wrong += year != utc.tm_year + 1900 || month != utc.tm_mon + 1 || in_month != utc.tm_mday ||
                   avvik__day_of(year, month, in_month) != day || avvik__weekdays(-40000, day) != weekdays;
    }
    ck_assert_int_eq(n_wrong, 0);
}
END_TEST

START_TEST(test_mathematics)
{
    double worst[3] = {0};
    for (int i = 0; i < 100000; i++) {
        const double x = (i - 50000) / 1000.0, positive = exp(x);
        const uint32_t word = (uint32_t)i * 42949u + 17;
        worst[0] = fmax(worst[0], fabs(avvik__exp(x) / positive - 1));
        worst[1] = fmax(worst[1], fabs(avvik__log(positive) - log(positive)));
        /* the normal quantile is where the distribution function says */
        worst[2] = fmax(worst[2], fabs(0.5 * erfc(-avvik__normal(word) / sqrt(2)) - avvik__unit(word)));
    }
    ck_assert_double_lt(worst[0], 1e-14);
    ck_assert_double_lt(worst[1], 1e-13);
    ck_assert_double_lt(worst[2], 1e-14);
}
END_TEST

/* Known answers of Philox4x32-10, from the Random123 distribution (kat_vectors). */
START_TEST(test_draws)
{
    const struct avvik__words zero = avvik__draw(0, 0, 0, (enum avvik__purpose)0, 0);
    const struct avvik__words ones = avvik__draw(UINT64_MAX, UINT32_MAX, -1, (enum avvik__purpose) - 1, UINT32_MAX);
    ck_assert(zero.v[0] == 0x6627e8d5 && zero.v[1] == 0xe169c58d && zero.v[2] == 0xbc57ac4c && zero.v[3] == 0x9b00dbd8);
    ck_assert(ones.v[0] == 0x408f276d && ones.v[1] == 0x41c83b0e && ones.v[2] == 0xa20bc7c6 && ones.v[3] == 0x6d5451fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("synth");
    TCase *numbers = tcase_create("numbers");
    tcase_add_loop_test(numbers, test_national_ids_of_a_year, 0, 6);
    tcase_add_test(numbers, test_organisation_numbers);
    tcase_add_test(numbers, test_calendar);
    tcase_add_test(numbers, test_mathematics);
    tcase_add_test(numbers, test_draws);
    tcase_set_timeout(numbers, 60);
    suite_add_tcase(suite, numbers);
    return suite_run(suite);
}

/* Reading through the public API: tiles are the columns, whatever the piece. What the values are is compared with h5py
 * in python/test_batches.py. And hashing, which all that is read and written goes through. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/source.h"
#include "hash_text.h"
#include "suite_run.h"

static struct avvik_source *shuttle_open(size_t n_files)
{
    static const char *const paths[2] = {TEST_DATASETS "/real/shuttle.h5", TEST_DATASETS "/real/shuttle.h5"};
    const struct avvik_selection selection = {0};
    struct avvik_source *source = NULL;
    struct avvik_error error;
    const enum avvik_status status = avvik_source_open(paths, n_files, &selection, &source, &error);
    ck_assert_msg(status == AVVIK_OK, "%s", error.text);
    return source;
}

START_TEST(test_tiles_are_the_columns)
{
    static const size_t pieces[] = {1, 15, 1000, 49096};
    const size_t piece = pieces[_i];
    struct avvik_source *source = shuttle_open(2); /* pieces run across the end of the first file */
    const uint64_t n_rows = avvik_source_n_rows(source), half = n_rows / 2;
    const size_t n_features = avvik_source_n_features(source), stride = avvik_source_stride(source);
    ck_assert_uint_eq(n_features, 9); /* the label is no feature */
    ck_assert_uint_eq(stride, 16);
    ck_assert_uint_eq(avvik_source_n_files(source), 2);
    ck_assert_uint_eq(avvik_source_file_rows(source, 1), half);
    ck_assert_str_eq(avvik_source_table(source), "/shuttle");
    float *columns = malloc(piece * n_features * sizeof *columns),
          *tile = aligned_alloc(64, piece * stride * sizeof *tile);
    const uint64_t starts[] = {0, 1, half - 1 - piece / 2, n_rows - piece};
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        ck_assert_int_eq(avvik_source_read(source, starts[s], piece, columns, piece, NULL), AVVIK_OK);
        ck_assert_int_eq(avvik_source_read_tile(source, starts[s], piece, tile, NULL), AVVIK_OK);
        size_t n_wrong = 0; /* an assertion takes its time, so not one a value */
        for (size_t r = 0; r < piece; r++) {
            for (size_t f = 0; f < n_features; f++)
                n_wrong += tile[r * stride + f] != columns[f * piece + r];
            for (size_t f = n_features; f < stride; f++)
                n_wrong += tile[r * stride + f] != 0 || signbit(tile[r * stride + f]) != 0;
        }
        ck_assert_uint_eq(n_wrong, 0);
    }
    free(columns);
    free(tile);
    avvik_source_close(source);
}
END_TEST

START_TEST(test_the_second_file_repeats_the_first)
{
    enum { N = 100 };
    struct avvik_source *source = shuttle_open(2);
    const uint64_t half = avvik_source_n_rows(source) / 2;
    const size_t n_features = avvik_source_n_features(source);
    float *first = malloc(N * n_features * sizeof *first), *second = malloc(N * n_features * sizeof *second);
    ck_assert_int_eq(avvik_source_read(source, 40, N, first, N, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik_source_read(source, half + 40, N, second, N, NULL), AVVIK_OK);
    ck_assert_int_eq(memcmp(first, second, N * n_features * sizeof *first), 0);
    free(first);
    free(second);
    avvik_source_close(source);
}
END_TEST

START_TEST(test_rows_outside_are_refused)
{
    float columns[16 * 9];
    struct avvik_source *source = shuttle_open(1);
    const uint64_t n_rows = avvik_source_n_rows(source);
    ck_assert_int_eq(avvik_source_read(source, n_rows, 1, columns, 16, NULL), AVVIK_ERR_USAGE);
    ck_assert_int_eq(avvik_source_read(source, n_rows - 1, 2, columns, 16, NULL), AVVIK_ERR_USAGE);
    ck_assert_int_eq(avvik_source_read(source, UINT64_MAX, 2, columns, 16, NULL), AVVIK_ERR_USAGE);
    ck_assert_int_eq(avvik_source_read(source, n_rows, 0, columns, 16, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik_source_read(source, n_rows - 16, 16, columns, 16, NULL), AVVIK_OK);
    avvik_source_close(source);
}
END_TEST

#if defined(__x86_64__)
/* Which parts of the registers hold something: XINUSE, where the CPU tells it (Intel SDM, XGETBV with ECX = 1). */
static uint32_t state_in_use(void)
{
    uint32_t a = 0, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !__get_cpuid_count(13, 1, &a, &b, &c, &d) || !(a & 4))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    return a;
}

/* With upper halves of vector registers in use, SSE code behind it is many times slower. */
START_TEST(test_hashing_leaves_the_upper_halves_clear)
{
    enum { BYTES = 1 << 20, UPPER_HALVES = 1 << 2 | 1 << 6 };
    char *bytes = malloc(BYTES);
    XXH3_state_t *state = XXH3_createState();
    memset(bytes, 7, BYTES);
    const XXH128_hash_t whole = XXH3_128bits(bytes, BYTES);
    ck_assert_uint_eq(state_in_use() & UPPER_HALVES, 0);
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, bytes, BYTES);
    ck_assert_uint_eq(state_in_use() & UPPER_HALVES, 0);
    ck_assert(XXH128_isEqual(whole, XXH3_128bits_digest(state)));
    XXH3_freeState(state);
    free(bytes);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("source");
    TCase *cases = tcase_create("source");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, test_tiles_are_the_columns, 0, 4);
    tcase_add_test(cases, test_the_second_file_repeats_the_first);
    tcase_add_test(cases, test_rows_outside_are_refused);
#if defined(__x86_64__)
    tcase_add_test(cases, test_hashing_leaves_the_upper_halves_clear);
#endif
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

/* What a peer plot keeps of many rows: the same however threads share them, and near the quantiles of all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "peer_sample.h"
#include "suite_run.h"

#define ROWS 300000u
#define GROUP 3u

static float value_of(uint32_t row)
{
    return (float)(row * 2654435761u % ROWS); /* each of 0 to ROWS - 1 about once */
}

/* One case, explained by feature 1 of two, in a group. */
struct made {
    struct avvik_explanations all;
    struct avvik_explanation row;
    struct avvik_reason reason;
};

static void made_init(struct made *made)
{
    memset(made, 0, sizeof *made);
    made->reason.feature = 1;
    made->row.reasons = &made->reason;
    made->row.group = GROUP;
    made->all.rows = &made->row;
    made->all.n_rows = 1;
}

/* Rows of which row % 100 lies in [from, to). */
static void draw(struct avvik__peer_samples *samples, const struct made *made, uint32_t from, uint32_t to)
{
    ck_assert_int_eq(avvik__peer_samples_init(samples, &made->all, NULL), AVVIK_OK);
    int is_added = 1; /* an assertion takes its time, so not one a row */
    for (uint32_t row = 0; row < ROWS; row++) {
        const float values[2] = {-1, row % 7 == 0 ? NAN : value_of(row)};
        if (row % 100 >= from && row % 100 < to)
            is_added &= avvik__peer_samples_add(samples, GROUP, values, 1, row, NULL) == AVVIK_OK &&
                        avvik__peer_samples_add(samples, GROUP + row % 2 * 2 - 1, values, 1, row, NULL) == AVVIK_OK;
    }
    ck_assert(is_added);
}

START_TEST(threads_may_share_rows_as_they_like)
{
    static const uint32_t parts[][2] = {{0, 0}, {1, 1}, {50, 50}, {7, 90}, {99, 99}, {100, 100}};
    struct made whole;
    struct avvik__peer_samples samples, more;
    made_init(&whole);
    draw(&samples, &whole, 0, 100);
    ck_assert_int_eq(avvik__peer_samples_tell(&samples, &whole.all, NULL), AVVIK_OK);
    avvik__peer_samples_free(&samples);
    ck_assert_uint_eq(whole.row.peer_rows, ROWS - (ROWS + 6) / 7);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct made shared;
        made_init(&shared);
        draw(&samples, &shared, 0, parts[i][0]);
        draw(&more, &shared, parts[i][1], 100);
        ck_assert_int_eq(avvik__peer_samples_merge(&samples, &more, NULL), AVVIK_OK);
        avvik__peer_samples_free(&more);
        draw(&more, &shared, parts[i][0], parts[i][1]);
        ck_assert_int_eq(avvik__peer_samples_merge(&samples, &more, NULL), AVVIK_OK);
        avvik__peer_samples_free(&more);
        ck_assert_int_eq(avvik__peer_samples_tell(&samples, &shared.all, NULL), AVVIK_OK);
        avvik__peer_samples_free(&samples);
        ck_assert_uint_eq(shared.row.peer_rows, whole.row.peer_rows);
        ck_assert_mem_eq(shared.row.peer_quantiles, whole.row.peer_quantiles, AVVIK_PLOT_POINTS * sizeof(float));
        free(shared.row.peer_quantiles);
    }
    for (int p = 0; p < AVVIK_PLOT_POINTS; p++)
        ck_assert_double_eq_tol((double)whole.row.peer_quantiles[p], p / 100.0 * ROWS, 0.01 * ROWS);
    free(whole.row.peer_quantiles);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peer_sample");
    TCase *cases = tcase_create("peer_sample");
    tcase_add_test(cases, threads_may_share_rows_as_they_like);
    tcase_set_timeout(cases, 300);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

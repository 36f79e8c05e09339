/* Writes what avvik reads of a batch to standard output, for tests that compare it with h5py:
 *
 *   read_rows plain|raw BLOCK_ROWS FILE...     one block after the other: its columns as float32, NaN for missing
 * values
 *
 * `plain` reads by H5Dread, `raw` as avvik does. Two threads fetch every block, each its half. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source_plan.h"

struct half {
    struct avvik__plan *plan;
    struct avvik__fetcher *fetcher;
    size_t from, n_rows, column_stride;
    float *columns;
    enum avvik_status status;
    struct avvik_error error;
};

static void *half_fetch(void *opaque)
{
    struct half *half = opaque;
    avvik__plan_decode(half->plan, half->fetcher);
    half->status = avvik__plan_fetch(half->plan, half->fetcher, half->from, half->n_rows, half->columns + half->from,
                                     half->column_stride, 0, &half->error);
    return NULL;
}

static int fail(const struct avvik_error *error)
{
    fprintf(stderr, "%s\n", error->text);
    return 3;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const size_t block_rows = strtoull(argv[2], NULL, 10);
    const struct avvik_selection selection = {0};
    struct avvik_source *source;
    struct avvik__plan *plan;
    struct half halves[2] = {{0}};
    struct avvik_error error;
    if (avvik_source_open((const char *const *)argv + 3, (size_t)argc - 3, &selection, &source, &error) != AVVIK_OK)
        return fail(&error);
    if (strcmp(argv[1], "plain") == 0)
        avvik__source_read_plainly(source);
    const size_t n_features = avvik_source_n_features(source);
    float *columns = malloc(block_rows * n_features * sizeof *columns);
    if (columns == NULL || avvik__plan_create(source, block_rows, &plan, &error) != AVVIK_OK)
        return 70;
    for (int i = 0; i < 2; i++)
        if (avvik__fetcher_create(source, &halves[i].fetcher, &error) != AVVIK_OK)
            return fail(&error);
    int code = 0;
    for (uint64_t first = 0; first < avvik_source_n_rows(source) && code == 0; first += block_rows) {
        const uint64_t left = avvik_source_n_rows(source) - first;
        const size_t n = left < block_rows ? (size_t)left : block_rows;
        if (avvik__plan_rows(plan, first, n, 0, &error) != AVVIK_OK) {
            code = fail(&error);
            break;
        }
        pthread_t threads[2];
        for (size_t i = 0; i < 2; i++) {
            halves[i].plan = plan;
            halves[i].from = i == 0 ? 0 : n / 2;
            halves[i].n_rows = i == 0 ? n / 2 : n - n / 2;
            halves[i].columns = columns;
            halves[i].column_stride = n;
            if (pthread_create(&threads[i], NULL, half_fetch, &halves[i]) != 0)
                return 70;
        }
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < 2 && code == 0; i++)
            if (halves[i].status != AVVIK_OK)
                code = fail(&halves[i].error);
        if (code == 0 && fwrite(columns, sizeof *columns, n * n_features, stdout) != n * n_features)
            code = 70;
    }
    for (int i = 0; i < 2; i++)
        avvik__fetcher_free(halves[i].fetcher);
    avvik__plan_free(plan);
    avvik_source_close(source);
    free(columns);
    return code;
}

/* The list of what was measured, shapes in order, and the turns in which runs are timed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define ENOUGH_S 1.0      /* of one measurement, after which it stops */
#define ENOUGH_SAMPLES 5u /* but not before */

double bench_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct bench_result *bench_results_add(struct bench_results *results, const struct bench_result *like)
{
    struct bench_result *result = malloc(sizeof *result);
    struct bench_result **list = realloc(results->result, (results->n + 1) * sizeof(struct bench_result *));
    if (list != NULL)
        results->result = list;
    if (list == NULL || result == NULL) {
        free(result);
        return NULL;
    }
    *result = *like;
    result->n_samples = 0;
    return results->result[results->n++] = result;
}

void bench_results_destroy(struct bench_results *results)
{
    for (size_t i = 0; i < results->n; i++)
        free(results->result[i]);
    free(results->result);
    *results = (struct bench_results){0};
}

double bench_best_s(const struct bench_result *result)
{
    double best = INFINITY;
    for (size_t i = 0; i < result->n_samples; i++)
        best = result->sample_s[i] < best ? result->sample_s[i] : best;
    return best;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median_s(const struct bench_result *result)
{
    double sorted[BENCH_MAX_SAMPLES];
    const size_t n = result->n_samples;
    memcpy(sorted, result->sample_s, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_doubles);
    return n == 0 ? INFINITY : (sorted[n / 2] + sorted[(n - 1) / 2]) / 2;
}

void bench_ratio_add(struct bench_result *result, const char *to, const struct bench_result *other)
{
    if (result->n_ratios < BENCH_MAX_RATIOS && other->n_samples > 0 && result->n_samples > 0)
        result->ratio[result->n_ratios++] = (struct bench_ratio){to, bench_best_s(other) / bench_best_s(result)};
}

double bench_share(const struct bench_result *result, const struct bench_machine *machine)
{
    const double best_s = bench_best_s(result), gb_s = 1e-9 * result->bytes / best_s;
    const double walks = (double)result->rows * (double)result->trees;
    double gather_ns = 0, limit = 0;
    size_t size = 0;
    while (size + 1 < BENCH_N_SIZES && (double)bench_size_bytes[size] < result->bytes)
        size++;
    switch (result->limit) {
    case BENCH_NO_LIMIT: break;
    case BENCH_COPY: limit = machine->copy_gb_s[size]; break;
    case BENCH_READ: limit = machine->read_gb_s[size]; break;
    case BENCH_TRANSFER:
        for (size_t i = 0; i < machine->n_devices; i++)
            if (strcmp(machine->device[i].backend, result->variant) == 0)
                limit = machine->device[i].to_device_gb_s;
        break;
    case BENCH_GATHER: /* a lookup a level, by the fastest way to do 16 of them */
        for (size_t i = 0; i < 3; i++)
            if (machine->gather_ns[i] > 0 && (gather_ns == 0 || machine->gather_ns[i] < gather_ns))
                gather_ns = machine->gather_ns[i];
        return walks * (double)result->height * gather_ns / 16 * 1e-9 / best_s / (double)result->threads;
    }
    return limit > 0 ? gb_s / limit : 0;
}

static int is_due(const struct bench_result *result, double taken_s, size_t n_samples)
{
    return result->n_samples < n_samples && (result->n_samples < ENOUGH_SAMPLES || taken_s < ENOUGH_S);
}

int bench_take_turns(const struct bench_turn *turns, size_t n_turns, const struct bench_options *options)
{
    int is_any = 1;
    double *taken_s = calloc(n_turns + 1, sizeof *taken_s);
    if (taken_s == NULL)
        return 0;
    while (is_any) {
        is_any = 0;
        for (size_t i = 0; i < n_turns; i++) {
            const struct bench_turn *turn = &turns[i];
            struct bench_result *result = turn->result;
            if (!is_due(result, taken_s[i], options->n_samples))
                continue;
            if (turn->before != NULL)
                turn->before(turn->context);
            const double start_s = bench_now_s(), best_s = bench_best_s(result);
            if (!turn->run(turn->context)) {
                free(taken_s);
                return 0;
            }
            const double elapsed_s = bench_now_s() - start_s;
            taken_s[i] += elapsed_s;
            result->sample_s[result->n_samples++] = elapsed_s;
            if (turn->after != NULL)
                turn->after(turn->context, elapsed_s < best_s);
            is_any = 1;
        }
    }
    free(taken_s);
    return 1;
}

/* --- shapes --- */

enum { FEATURES, TREES, SAMPLE, ROWS, THREADS, N_LISTS };

static enum bench_exit shape_visit(const size_t value[N_LISTS], bench_visit_fn *visit, void *context)
{
    const struct bench_shape shape = {value[FEATURES], value[TREES], value[SAMPLE], value[ROWS], value[THREADS]};
    return visit(context, &shape);
}

static size_t base_of(const struct bench_list *list, size_t wanted)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->value[i] == wanted)
            return wanted;
    return list->value[0];
}

static enum bench_exit grid_walk(const struct bench_list *lists[N_LISTS], size_t value[N_LISTS], size_t depth,
                                 bench_visit_fn *visit, void *context)
{
    enum bench_exit status = BENCH_DONE;
    if (depth == N_LISTS)
        return shape_visit(value, visit, context);
    for (size_t i = 0; i < lists[depth]->n && status == BENCH_DONE; i++) {
        value[depth] = lists[depth]->value[i];
        status = grid_walk(lists, value, depth + 1, visit, context);
    }
    return status;
}

enum bench_exit bench_shapes_walk(const struct bench_options *options, const struct bench_list *rows,
                                  bench_visit_fn *visit, void *context)
{
    const struct bench_list *lists[N_LISTS] = {&options->features, &options->trees, &options->sample,
                                               options->rows.n > 0 ? &options->rows : rows, &options->threads};
    const size_t base[N_LISTS] = {base_of(lists[FEATURES], 16), base_of(lists[TREES], 100), base_of(lists[SAMPLE], 256),
                                  lists[ROWS]->value[0], lists[THREADS]->value[0]};
    size_t value[N_LISTS];
    if (options->is_grid)
        return grid_walk(lists, value, 0, visit, context);
    memcpy(value, base, sizeof value);
    enum bench_exit status = shape_visit(value, visit, context);
    for (size_t list = 0; list < N_LISTS; list++) {
        memcpy(value, base, sizeof value);
        for (size_t i = 0; i < lists[list]->n && status == BENCH_DONE; i++) {
            value[list] = lists[list]->value[i];
            if (value[list] != base[list])
                status = shape_visit(value, visit, context);
        }
    }
    return status;
}

/* One run of each kernel, and what it read, wrote and left behind. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_work.h"
#include "leaf_reasons.h"

static void run_tile_pack(any_fn *f, struct work *w)
{
    memset(w->counts, 0, 2 * w->n_features * sizeof *w->counts);
    ((avvik__tile_pack_fn *)f)(w->out_tile, w->stride, w->columns, w->n_rows, w->n_features, 1, w->n_rows, w->counts,
                               w->counts + w->n_features);
}

static struct trace trace_tile_pack(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * (w->n_features + w->stride) * sizeof(float)),
                          {w->out_tile, w->counts},
                          {w->n_rows * w->stride * sizeof(float), 2 * w->n_features * sizeof *w->counts}};
}

static void run_deviation(any_fn *f, struct work *w)
{
    ((avvik__deviation_fn *)f)(w->deviation, w->feature, w->beyond, w->tile, w->stride, w->n_rows, w->n_features,
                               w->mean, w->rscale, 3.5f);
}

static struct trace trace_deviation(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * (w->stride * sizeof(float) + 8)),
                          {w->deviation, w->feature, w->beyond},
                          {w->n_rows * sizeof(float), w->n_rows * sizeof(uint16_t), w->n_rows * sizeof(uint16_t)}};
}

/* Each row among one of N_GROUPS groups, at random as a file has them. */
static void run_deviation_peers(any_fn *f, struct work *w)
{
    ((avvik__deviation_peers_fn *)f)(w->deviation, w->feature, w->beyond, w->tile, w->stride, w->n_rows, w->n_features,
                                     w->group, w->group_center, w->group_rscale, 3.5f);
}

static void run_fill_missing(any_fn *f, struct work *w)
{
    ((avvik__fill_missing_fn *)f)(w->tile, w->stride, w->n_rows, w->n_features, w->mean, w->feature);
}

static struct trace trace_fill_missing(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * (w->stride * sizeof(float) + 2)),
                          {w->tile, w->feature},
                          {w->n_rows * w->stride * sizeof(float), w->n_rows * sizeof(uint16_t)}};
}

static void run_statistics(any_fn *f, struct work *w)
{
    for (size_t column = 0; column < w->n_features; column++) {
        for (size_t block = 0; block < n_blocks(w); block++) {
            const size_t first = block * AVVIK_STATISTICS_ROWS, left = w->n_rows - first;
            ((avvik__statistics_fn *)f)(&w->moments[column * n_blocks(w) + block],
                                        w->columns + column * w->n_rows + first,
                                        left < AVVIK_STATISTICS_ROWS ? left : AVVIK_STATISTICS_ROWS);
        }
    }
}

static struct trace trace_statistics(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * w->n_features * sizeof(float)),
                          {w->moments},
                          {w->n_features * n_blocks(w) * sizeof *w->moments}};
}

/* Windows that keep one value in twenty of a normal column, as those do that a fit narrows from its sample. */
static void run_sift(any_fn *f, struct work *w)
{
    const struct avvik__sieve sieve = {-0.70f, -0.65f, -0.03f, 0.03f, 0.65f, 0.70f, NAN};
    memset(w->sifted, 0, w->n_features * sizeof *w->sifted);
    w->n_kept = 0;
    for (size_t column = 0; column < w->n_features; column++)
        for (size_t first = 0; first < w->n_rows; first += AVVIK_STATISTICS_ROWS) {
            const size_t left = w->n_rows - first;
            w->n_kept += ((avvik__sift_fn *)f)(w->out_tile + w->n_kept, &w->sifted[column],
                                               w->columns + column * w->n_rows + first,
                                               left < AVVIK_STATISTICS_ROWS ? left : AVVIK_STATISTICS_ROWS, &sieve);
        }
}

static struct trace trace_sift(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * w->n_features * sizeof(float)),
                          {w->sifted, w->out_tile},
                          {w->n_features * sizeof *w->sifted, w->n_kept * sizeof(float)}};
}

/* A window that keeps one value in four, as the first one of a group's does. */
static void run_narrow(any_fn *f, struct work *w)
{
    size_t below = 0;
    w->n_kept = 0;
    for (size_t column = 0; column < w->n_features; column++)
        for (size_t first = 0; first < w->n_rows; first += AVVIK_STATISTICS_ROWS) {
            const size_t left = w->n_rows - first;
            w->n_kept += ((avvik__narrow_fn *)f)(
                w->out_tile + w->n_kept, &below, w->columns + column * w->n_rows + first,
                left < AVVIK_STATISTICS_ROWS ? left : AVVIK_STATISTICS_ROWS, 0, 0, -0.32f, 0.32f);
        }
}

static struct trace trace_narrow(const struct work *w)
{
    return (struct trace){
        (double)(w->n_rows * w->n_features * sizeof(float)), {w->out_tile}, {w->n_kept * sizeof(float)}};
}

/* Rows of a piece to 256 buckets, whose number the row's group gives, as a fit with peer groups deals them out. */
static void run_deal(any_fn *f, struct work *w)
{
    enum { BUCKETS = 256, PIECE = AVVIK_STATISTICS_ROWS };
    static uint16_t order[PIECE + AVVIK_LANES];
    static uint32_t places[BUCKETS];
    for (size_t first = 0; first < w->n_rows; first += PIECE) {
        const size_t left = w->n_rows - first, n = left < PIECE ? left : PIECE;
        uint32_t starts[BUCKETS + 1] = {0}, next[BUCKETS];
        for (size_t i = 0; i < n; i++)
            starts[w->group[first + i] % BUCKETS + 1]++;
        for (size_t b = 0; b < BUCKETS; b++) {
            starts[b + 1] += starts[b];
            next[b] = starts[b];
            places[b] = starts[b];
        }
        for (size_t i = 0; i < n; i++)
            order[next[w->group[first + i] % BUCKETS]++] = (uint16_t)i;
        for (size_t column = 0; column < w->n_features; column++)
            ((avvik__deal_fn *)f)(w->out_tile + column * w->n_rows + first, w->columns + column * w->n_rows + first,
                                  order, starts, places, BUCKETS);
    }
}

static struct trace trace_deal(const struct work *w)
{
    const size_t bytes = w->n_rows * w->n_features * sizeof(float);
    return (struct trace){(double)(2 * bytes), {w->out_tile}, {bytes}};
}

static void run_deviation_joint(any_fn *f, struct work *w)
{
    ((avvik__deviation_joint_fn *)f)(w->deviation, w->feature, w->beyond, w->joint, w->tile, w->stride, w->n_rows,
                                     w->n_features, w->mean, w->rscale, 3.5f, w->mean, w->joint_tables + 3 * w->stride);
}

static void run_joint_peers(any_fn *f, struct work *w)
{
    ((avvik__joint_peers_fn *)f)(w->joint, w->tile, w->stride, w->n_rows, w->n_features, w->group, w->joint_tables);
}

static struct trace trace_joint_peers(const struct work *w)
{
    return (struct trace){
        (double)(w->n_rows * (w->stride + 2) * sizeof(float)), {w->joint}, {w->n_rows * sizeof(float)}};
}

static struct trace trace_deviation_joint(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * (w->stride * sizeof(float) + 12)),
                          {w->deviation, w->feature, w->beyond, w->joint},
                          {w->n_rows * sizeof(float), w->n_rows * sizeof(uint16_t), w->n_rows * sizeof(uint16_t),
                           w->n_rows * sizeof(float)}};
}

static void run_tails(any_fn *f, struct work *w)
{
    ((avvik__tails_fn *)f)(w->tails, w->tile, w->stride, w->n_rows, w->n_features, w->tables);
}

static struct trace trace_tails(const struct work *w)
{
    return (struct trace){
        (double)(w->n_rows * (w->stride + 1) * sizeof(float)), {w->tails}, {w->n_rows * sizeof(int32_t)}};
}

/* As many rows at a time as are multiplied. */
static void run_joint_logs(any_fn *f, struct work *w)
{
    for (size_t first = 0; first + AVVIK_SUMS_ROWS <= w->n_rows; first += AVVIK_SUMS_ROWS)
        for (size_t column = 0; column < w->n_features; column++)
            ((avvik__joint_logs_fn *)f)(w->sums[column], w->columns + column * w->n_rows + first, AVVIK_SUMS_ROWS,
                                        w->mean[column], w->rscale[column]);
}

static struct trace trace_joint_logs(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * w->n_features * 12), {w->sums}, {w->n_features * sizeof *w->sums}};
}

static void run_forest_path(any_fn *f, struct work *w)
{
    ((avvik__forest_path_fn *)f)(w->path_sum, w->tile, w->stride, w->n_rows, &w->layout.view);
}

static struct trace trace_forest_path(const struct work *w)
{
    return (struct trace){
        (double)(w->n_rows * (w->stride + 1) * sizeof(float)), {w->path_sum}, {w->n_rows * sizeof(int32_t)}};
}

static void run_forest_reasons(any_fn *f, struct work *w)
{
    const struct avvik__reasons_view view = {&w->layout.view, w->expected, w->stride, w->leaf_reasons};
    ((avvik__forest_reasons_fn *)f)(w->contributions, w->tile, w->stride, w->n_rows, &view);
}

static struct trace trace_forest_reasons(const struct work *w)
{
    return (struct trace){(double)(w->n_rows * w->stride * (sizeof(float) + sizeof(int64_t))),
                          {w->contributions},
                          {w->n_rows * w->stride * sizeof(int64_t)}};
}

const struct job bench_jobs[] = {
    {"tile_pack", run_tile_pack, trace_tile_pack, BENCH_COPY},
    {"fill_missing", run_fill_missing, trace_fill_missing, BENCH_READ},
    {"deviation", run_deviation, trace_deviation, BENCH_READ},
    {"deviation_joint", run_deviation_joint, trace_deviation_joint, BENCH_READ},
    {"tails", run_tails, trace_tails, BENCH_READ},
    {"deviation_peers", run_deviation_peers, trace_deviation, BENCH_READ},
    {"joint_peers", run_joint_peers, trace_joint_peers, BENCH_READ},
    {"joint_logs", run_joint_logs, trace_joint_logs, BENCH_READ},
    {"statistics", run_statistics, trace_statistics, BENCH_READ},
    {"sift", run_sift, trace_sift, BENCH_READ},
    {"narrow", run_narrow, trace_narrow, BENCH_READ},
    {"deal", run_deal, trace_deal, BENCH_COPY},
    {"forest_path", run_forest_path, trace_forest_path, BENCH_GATHER},
    {"forest_path_wide", run_forest_path, trace_forest_path, BENCH_GATHER},
    {"forest_reasons", run_forest_reasons, trace_forest_reasons, BENCH_GATHER},
    {NULL, NULL, NULL, BENCH_READ},
};

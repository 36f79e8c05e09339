/* Every kernel's signature and specification; one list (kernels.def) of its variants; the choice among them.
 *
 * A kernel is a pure function: no allocation, no I/O, no globals. All variants of a kernel write the same bits.
 * "Tile": n_rows x stride float32, row-major, 64-byte aligned, stride a multiple of 16; features at [0, n_features) of
 * a row, none of them a denormal, +0.0 in the rest. Parameters per feature (center, rscale, fill) are 64-byte aligned
 * and padded with zeros to `stride`. n_rows == 0 writes nothing. */
#ifndef AVVIK_KERNELS_H
#define AVVIK_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "cpu_features.h"
#include "kernel_types.h"

/* Bring rows into a tile: tile[r][f] = values[r * row_stride + f * column_stride], where
 *   |x| < FLT_MIN (denormals and -0.0) becomes +0.0;
 *   NaN and infinities become the quiet NaN 0x7fc00000.
 * nan_count and infinite_count (n_features elements each) are added to. `values` needs no alignment. */
typedef void avvik__tile_pack_fn(float *tile, size_t stride, const float *values, size_t n_rows, size_t n_features,
                                 size_t row_stride, size_t column_stride, uint64_t *nan_count,
                                 uint64_t *infinite_count);

/* z-scores of a tile and their maximum. For each row and feature, in float32 without contraction:
 *   d = x - center[f];      |d| < FLT_MIN becomes 0
 *   z = d * rscale[f];     |z| < FLT_MIN becomes 0, NaN becomes 0
 * deviation  out, n_rows: max over f of |z|, 0 if nothing deviates.
 * feature    out, n_rows: the smallest f that attains it; 0 if nothing deviates.
 * beyond     out, n_rows: number of f with |z| > cut. */
typedef void avvik__deviation_fn(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile,
                                 size_t stride, size_t n_rows, size_t n_features, const float *center,
                                 const float *rscale, float cut);

/* The same among peers: row r is measured with center[group[r] * stride + f] and rscale[group[r] * stride + f], rows of
 * these tables being 64-byte aligned and padded as a tile's are. group may have any alignment. */
typedef void avvik__deviation_peers_fn(float *deviation, uint16_t *feature, uint16_t *beyond, const float *tile,
                                       size_t stride, size_t n_rows, size_t n_features, const uint32_t *group,
                                       const float *center, const float *rscale, float cut);

/* The same as avvik__deviation_fn, and the joint deviation: the squared Mahalanobis distance over the signed logarithms
 * of the z-scores. Contracted only where it says fma, which rounds once:
 *   s = sign(z) L(1 + |z|), L(y) = (float)(bits of y as int32 - 0x3f800000): 2^23 log2 y, linear between powers of two
 *   w_i = fma(factor[AVVIK_JOINT_AT(i, f)], s_f - mean[f], w_i) for f = 0, 1, ... i, from 0 on
 *   q_j = fma(w_i, w_i, q_j) for i = j, j + 8, ... below n_features, from 0 on (8: AVVIK_JOINT_PANEL)
 * joint   out, n_rows: ((q_0 + q_4) + (q_2 + q_6)) + ((q_1 + q_5) + (q_3 + q_7)), or 0 if that is below
 *         AVVIK_JOINT_LEAST.
 * mean    whole numbers, padded with zeros to `stride` like center and rscale.
 * factor  AVVIK_JOINT_AT(n_features rounded up to a multiple of 8, 0) entries, zeros above the diagonal and behind
 *         n_features; each 0 or at least 2^-100 in magnitude. Then no w_i is a denormal, on any device.
 * n_features is 1 to AVVIK_JOINT_FEATURES. */
typedef void avvik__deviation_joint_fn(float *deviation, uint16_t *feature, uint16_t *beyond, float *joint,
                                       const float *tile, size_t stride, size_t n_rows, size_t n_features,
                                       const float *center, const float *rscale, float cut, const float *mean,
                                       const float *factor);

/* How far out in their tails the values of each row lie: the sum over features of table[f]'s bits (struct
 * avvik__tail_table); NaN adds 0. n_features times AVVIK_TAIL_MOST is at most INT32_MAX.
 * tails   out, n_rows.
 * tables  n_features of them, 64-byte aligned. */
typedef void avvik__tails_fn(int32_t *tails, const float *tile, size_t stride, size_t n_rows, size_t n_features,
                             const struct avvik__tail_table *tables);

/* The joint deviation alone, as avvik__deviation_joint_fn has it, of rows that are not all measured with the same: row
 * r with table number table[r] of `tables`, which are AVVIK_JOINT_TABLE(stride, n_features) floats each, 64-byte
 * aligned. */
typedef void avvik__joint_peers_fn(float *joint, const float *tile, size_t stride, size_t n_rows, size_t n_features,
                                   const uint32_t *table, const float *tables);

/* Signed logarithms of n_rows values (log2 as avvik__deviation_joint_fn has it, 0 for NaN and infinities; x may hold
 * denormals, which are 0) in steps of 1 / AVVIK_SUMS_LOG, rounded to whole ones, to even where in doubt.
 * values   out, n_rows. Returns the largest magnitude, at most 128 AVVIK_SUMS_LOG. */
typedef double avvik__joint_logs_fn(double *values, const float *x, size_t n_rows, float center, float rscale);

/* Replace every NaN of a tile by fill[f], in place; missing[r] (out, n_rows) counts them. */
typedef void avvik__fill_missing_fn(float *tile, size_t stride, size_t n_rows, size_t n_features, const float *fill,
                                    uint16_t *missing);

/* Moments of n_rows (1 to AVVIK_STATISTICS_ROWS) values of one column. Values with |x| < FLT_MIN count as 0; NaN and
 * infinities are counted and left out. With p the first finite value and d_i = (double)x_i - p, row i adds d_i and
 * d_i * d_i to the partial sums i mod 16; the 16 partial sums are added in order 0 to 15 to S and Q; then
 * mean = p + S / n and m2 = max(0, Q - S * S / n). Double, no contraction. */
typedef void avvik__statistics_fn(struct avvik__moments *moments, const float *column, size_t n_rows);

/* Keep the values of the window [low, high]; with is_distance their distances from the center that lie in it, |x -
 * center| with what is below FLT_MIN as 0 and infinity as FLT_MAX.
 *
 * values   finite, none denormal or -0.0; where center matters, so is that.
 * kept     out, in order; returns how many there are. Room for n_values + AVVIK_LANES; values is elsewhere.
 * below    added to: how many lie below the window. */
typedef size_t avvik__narrow_fn(float *kept, size_t *below, const float *values, size_t n_values, int is_distance,
                                float center, float low, float high);

/* Deal the rows of a column out to hands: values[places[h] + j] = column[order[starts[h] + j]] for every hand h <
 * n_hands and j < starts[h + 1] - starts[h], where |x| < FLT_MIN (denormals and -0.0) becomes +0.0. Hands do not
 * overlap, and nothing beside them is written: neighbours may belong to another thread.
 *
 * order   numbers of rows; AVVIK_LANES more can be read.
 * starts  n_hands + 1, ascending. */
typedef void avvik__deal_fn(float *values, const float *column, const uint16_t *order, const uint32_t *starts,
                            const uint32_t *places, size_t n_hands);

/* Keep the values of a column that the search for its median and MAD has to look at, and count the others by where they
 * lie. Values with |x| < FLT_MIN are 0; NaN and infinities are neither kept nor counted.
 *
 * kept    out, in row order; returns how many there are. Room for n_rows + AVVIK_LANES.
 * counts  added to. */
typedef size_t avvik__sift_fn(float *kept, struct avvik__sift_counts *counts, const float *column, size_t n_rows,
                              const struct avvik__sieve *sieve);

/* Sum over all trees of the leaf values that each row of `tile` reaches (kernels/README.md, "Path sum").
 *
 * path_sum   out, n_rows int32 in steps of 2^-11 path length; overwritten.
 * tile       no NaN (missing values have been replaced); stride >= forest->n_features.
 * forest_path takes packed nodes, forest_path_wide wide ones. */
typedef void avvik__forest_path_fn(int32_t *path_sum, const float *tile, size_t stride, size_t n_rows,
                                   const struct avvik__forest_view *forest);
typedef avvik__forest_path_fn avvik__forest_path_wide_fn;

/* How each feature moves a row's path sum: along the row's path in a tree the feature of node v earns g(child) - g(v),
 * g being the mean leaf value below a node (kernels/README.md, "Reasons").
 *
 * contributions  out, [n_rows][stride] int64 in steps of 2^-20 path length, 64-byte aligned; overwritten, 0 from
 *                n_features on. Over features they add up to 2^9 path_sum less the sum of g(root) over trees.
 * tile           as for forest_path. */
typedef void avvik__forest_reasons_fn(int64_t *contributions, const float *tile, size_t stride, size_t n_rows,
                                      const struct avvik__reasons_view *view);

#define AVVIK_KERNEL(kernel, variant, bits) avvik__##kernel##_fn avvik__##kernel##_##variant;
#include "kernels.def"

/* One variant of every kernel. */
struct avvik__kernels {
    avvik__tile_pack_fn *tile_pack;
    avvik__deviation_fn *deviation;
    avvik__deviation_peers_fn *deviation_peers;
    avvik__deviation_joint_fn *deviation_joint;
    avvik__tails_fn *tails;
    avvik__joint_peers_fn *joint_peers;
    avvik__joint_logs_fn *joint_logs;
    avvik__fill_missing_fn *fill_missing;
    avvik__statistics_fn *statistics;
    avvik__narrow_fn *narrow;
    avvik__deal_fn *deal;
    avvik__sift_fn *sift;
    avvik__forest_path_fn *forest_path;
    avvik__forest_path_wide_fn *forest_path_wide;
    avvik__forest_reasons_fn *forest_reasons;
};

/* The last variant in kernels.def of each kernel whose needs are all in `cpu_bits` (0 gives the scalar reference). */
void avvik__kernels_select(struct avvik__kernels *kernels_out, unsigned cpu_bits);

#endif

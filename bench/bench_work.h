/* What the kernels are timed on (bench_work.c), and one run of each (bench_runs.c). */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include "avvik_internal.h"
#include "bench.h"
#include "forest_layout.h"
#include "kernels.h"
#include "tails.h"

typedef void any_fn(void); /* a kernel of any kind */

#define N_GROUPS ((size_t)1000) /* of peers */

/* Inputs and outputs of all kernels at one shape. */
struct work {
    const struct bench_shape *shape;
    size_t n_rows, n_features, stride;
    float *columns; /* n_features columns side by side, 1 value in 128 NaN */
    float *tile;    /* the same rows without NaN */
    float *out_tile;
    float *mean, *rscale;
    uint32_t *group;                    /* of each row */
    float *group_center, *group_rscale; /* [group][stride] */
    struct avvik__tail_table *tables;   /* [feature] */
    float *joint_tables;                /* [group]: of the joint deviation; NULL for too many features */
    double (*sums)[AVVIK_SUMS_ROWS];    /* [feature]: some rows of a group, in steps; NULL likewise */
    struct avvik__forest_layout layout;
    int32_t *expected, *leaf_reasons; /* of that forest */

    int32_t *path_sum, *tails;
    int64_t *contributions; /* [row][stride] */
    float *deviation, *joint;
    uint16_t *feature, *beyond;
    uint64_t *counts;
    struct avvik__moments *moments;    /* [feature][block] */
    struct avvik__sift_counts *sifted; /* [feature] */
    size_t n_kept;
};

static inline size_t n_blocks(const struct work *w)
{
    return (w->n_rows + AVVIK_STATISTICS_ROWS - 1) / AVVIK_STATISTICS_ROWS;
}

/* 0 if out of memory; release with bench_work_destroy() in any case. */
int bench_work_init(struct work *w, const struct bench_shape *shape, uint64_t seed);
void bench_work_destroy(struct work *w);
/* A forest grown from the tile's rows, in the order the kernels want. 0 if out of memory. */
int bench_layout_make(struct work *w, uint64_t seed);

#define N_OUTPUTS 4 /* at most */

/* What a run read and wrote, and what it left behind. */
struct trace {
    double bytes;
    const void *output[N_OUTPUTS];
    size_t output_bytes[N_OUTPUTS];
};

/* How a kernel is run. */
struct job {
    const char *kernel;
    void (*run)(any_fn *function, struct work *w);
    struct trace (*trace)(const struct work *w);
    enum bench_limit limit; /* BENCH_GATHER: it walks a forest */
};

extern const struct job bench_jobs[]; /* up to one without a name */

#endif

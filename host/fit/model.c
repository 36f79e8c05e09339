#include "model_internal.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void avvik__moments_add(struct avvik__moments_total *total, const struct avvik__moments *block)
{
    total->n_nan += block->n_nan;
    total->n_infinite += block->n_infinite;
    if (block->n == 0)
        return;
    if (total->n == 0) {
        total->min = block->min;
        total->max = block->max;
    }
    total->min = block->min < total->min ? block->min : total->min;
    total->max = block->max > total->max ? block->max : total->max;
    const double n_old = (double)total->n, n_block = block->n, n = n_old + n_block;
    const double difference = block->mean - total->mean;
    total->mean += difference * (n_block / n);
    total->m2 += block->m2 + difference * difference * (n_old * n_block / n);
    total->n += block->n;
}

static float flush(float x)
{
    return fabsf(x) < FLT_MIN ? 0.0f : x;
}

void avvik__feature_finish(struct avvik__feature *feature)
{
    const struct avvik__moments_total *moments = &feature->moments;
    feature->sd = moments->n < 2 ? 0 : sqrt(moments->m2 / (double)(moments->n - 1));
    feature->mean32 = flush((float)moments->mean);
    const double rscale = feature->sd > 0 && moments->min < moments->max ? 1 / feature->sd : 0;
    feature->rscale32 = rscale > FLT_MAX ? FLT_MAX : flush((float)rscale);
}

/* Hoare's FIND (1961): values[rank] ends in its sorted place, none larger before it. */
static float select_rank(float *values, size_t n, size_t wanted)
{
    const ptrdiff_t rank = (ptrdiff_t)wanted;
    ptrdiff_t low = 0, high = (ptrdiff_t)n - 1;
    while (low < high) {
        const float pivot = values[rank];
        ptrdiff_t i = low, j = high;
        do {
            while (values[i] < pivot)
                i++;
            while (pivot < values[j])
                j--;
            if (i <= j) {
                const float swap = values[i];
                values[i++] = values[j];
                values[j--] = swap;
            }
        } while (i <= j);
        if (j < rank)
            low = i;
        if (rank < i)
            high = j;
    }
    return values[rank];
}

#define BUCKET_BITS 11

/* The leading bits of a float in the order of the numbers: negative ones turned over, positive ones above them. */
static uint32_t bucket_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits ^= (uint32_t) - (int32_t)(bits >> 31) | 0x80000000u;
    return bits >> (32 - BUCKET_BITS);
}

float avvik__median(float *values, size_t n)
{
    /* Counting finds the bucket that holds the middle; what is left to select from is a small part of the values. */
    uint32_t count[1 << BUCKET_BITS] = {0};
    size_t below = 0, n_inside = 0;
    uint32_t bucket = 0;
    for (size_t i = 0; i < n; i++)
        count[bucket_of(values[i])]++;
    while (below + count[bucket] <= n / 2)
        below += count[bucket++];
    float lower = -FLT_MAX; /* largest value of the buckets below */
    for (size_t i = 0; i < n; i++) {
        const uint32_t found = bucket_of(values[i]);
        if (found == bucket)
            values[n_inside++] = values[i];
        else if (found < bucket && values[i] > lower)
            lower = values[i];
    }
    const size_t rank = n / 2 - below;
    const float middle = select_rank(values, n_inside, rank);
    if (n % 2 == 1)
        return middle;
    for (size_t i = 0; i < rank; i++)
        lower = values[i] > lower ? values[i] : lower;
    return flush((float)(((double)lower + middle) / 2));
}

void avvik_model_free(struct avvik_model *model)
{
    if (model == NULL)
        return;
    avvik__forest_destroy(&model->forest);
    free(model->features);
    free(model->table);
    free(model);
}

void avvik_model_summarize(const struct avvik_model *model, struct avvik_model_summary *summary_out)
{
    *summary_out = (struct avvik_model_summary){.table = model->table,
                                                .created = model->created,
                                                .producer = model->producer,
                                                .content_hash = model->content_hash,
                                                .input_hash = model->input_hash,
                                                .seed = model->seed,
                                                .n_rows = model->n_rows,
                                                .trees = model->forest.n_trees,
                                                .sample = model->forest.sample,
                                                .height = model->forest.height,
                                                .n_features = model->n_features,
                                                .is_wide = model->forest.nodes == NULL};
}

void avvik_model_feature(const struct avvik_model *model, uint32_t feature, struct avvik_feature_summary *feature_out)
{
    const struct avvik__feature *from = &model->features[feature];
    *feature_out = (struct avvik_feature_summary){.name = from->name,
                                                  .mean = from->moments.mean,
                                                  .sd = from->sd,
                                                  .min = from->moments.min,
                                                  .max = from->moments.max,
                                                  .fill = from->fill,
                                                  .count = from->moments.n,
                                                  .missing = from->moments.n_nan,
                                                  .infinite = from->moments.n_infinite,
                                                  .is_constant = from->rscale32 == 0};
}

#include "peer_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "signed_log.h"

#define MOST_VALUES ((size_t)1 << 21) /* over all samples */
#define MOST_ROWS ((size_t)1 << 16)   /* of one */
#define LEAST_ROWS ((size_t)1 << 10)

static int sample_compare(const void *a, const void *b)
{
    const struct avvik__peer_sample *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return (x->feature > y->feature) - (x->feature < y->feature);
}

enum avvik_status avvik__peer_samples_init(struct avvik__peer_samples *samples,
                                           const struct avvik_explanations *explanations, struct avvik_error *error)
{
    *samples = (struct avvik__peer_samples){.samples = calloc(explanations->n_rows + 1, sizeof *samples->samples)};
    if (samples->samples == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (size_t i = 0; i < explanations->n_rows; i++)
        samples->samples[i] = (struct avvik__peer_sample){.group = explanations->rows[i].group,
                                                          .feature = explanations->rows[i].reasons[0].feature,
                                                          .least = INFINITY,
                                                          .largest = -INFINITY,
                                                          .below = UINT32_MAX};
    qsort(samples->samples, explanations->n_rows, sizeof *samples->samples, sample_compare);
    for (size_t i = 0; i < explanations->n_rows; i++)
        if (samples->n == 0 || sample_compare(&samples->samples[samples->n - 1], &samples->samples[i]) != 0)
            samples->samples[samples->n++] = samples->samples[i];
    samples->most = MOST_VALUES / (samples->n + 1);
    samples->most = samples->most > MOST_ROWS ? MOST_ROWS : samples->most < LEAST_ROWS ? LEAST_ROWS : samples->most;
    return AVVIK_OK;
}

void avvik__peer_samples_free(struct avvik__peer_samples *samples)
{
    for (size_t i = 0; samples->samples != NULL && i < samples->n; i++)
        free(samples->samples[i].kept);
    free(samples->samples);
}

/* Half of the rows go. */
static void sample_halve(struct avvik__peer_sample *sample)
{
    size_t n = 0;
    sample->below /= 2;
    for (size_t i = 0; i < sample->n; i++)
        if (sample->kept[i].draw <= sample->below)
            sample->kept[n++] = sample->kept[i];
    sample->n = n;
}

static enum avvik_status sample_add(struct avvik__peer_sample *sample, struct avvik__sampled row, size_t most,
                                    struct avvik_error *error)
{
    if (row.draw > sample->below)
        return AVVIK_OK;
    if (sample->n == sample->room) {
        const size_t room = 2 * sample->room + 64;
        struct avvik__sampled *larger = realloc(sample->kept, room * sizeof *larger);
        if (larger == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        sample->kept = larger;
        sample->room = room;
    }
    sample->kept[sample->n++] = row;
    while (sample->n > most)
        sample_halve(sample);
    return AVVIK_OK;
}

/* The first sample of a group, or the end. */
static size_t samples_of(const struct avvik__peer_samples *samples, uint32_t group)
{
    size_t low = 0, high = samples->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (samples->samples[middle].group < group)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Neighbouring numbers far apart: Steele, Lea and Flood (2014), the finalizer of SplitMix. */
static uint32_t draw_of(uint64_t row)
{
    uint64_t z = row + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

enum avvik_status avvik__peer_samples_add(struct avvik__peer_samples *samples, uint32_t group, const float *values,
                                          size_t stride, uint64_t row, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    for (size_t i = samples_of(samples, group); i < samples->n && samples->samples[i].group == group; i++) {
        struct avvik__peer_sample *sample = &samples->samples[i];
        const float x = values[sample->feature * stride];
        if (!isfinite(x))
            continue;
        sample->n_rows++;
        sample->least = fminf(sample->least, x);
        sample->largest = fmaxf(sample->largest, x);
        AVVIK_TRY(sample_add(sample, (struct avvik__sampled){avvik__flush(x), draw_of(row)}, samples->most, error));
    }
done:
    return status;
}

enum avvik_status avvik__peer_samples_merge(struct avvik__peer_samples *samples, const struct avvik__peer_samples *more,
                                            struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    for (size_t i = 0; i < samples->n; i++) {
        struct avvik__peer_sample *sample = &samples->samples[i];
        const struct avvik__peer_sample *from = &more->samples[i];
        sample->n_rows += from->n_rows;
        sample->least = fminf(sample->least, from->least);
        sample->largest = fmaxf(sample->largest, from->largest);
        while (sample->below > from->below)
            sample_halve(sample);
        for (size_t k = 0; k < from->n; k++)
            AVVIK_TRY(sample_add(sample, from->kept[k], samples->most, error));
    }
done:
    return status;
}

static int values_compare(const void *a, const void *b)
{
    const struct avvik__sampled *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

enum avvik_status avvik__peer_samples_tell(struct avvik__peer_samples *samples, struct avvik_explanations *explanations,
                                           struct avvik_error *error)
{
    for (size_t i = 0; i < samples->n; i++)
        if (samples->samples[i].n > 0)
            qsort(samples->samples[i].kept, samples->samples[i].n, sizeof(struct avvik__sampled), values_compare);
    for (size_t i = 0; i < explanations->n_rows; i++) {
        struct avvik_explanation *one = &explanations->rows[i];
        const struct avvik__peer_sample wanted = {.group = one->group, .feature = one->reasons[0].feature};
        const struct avvik__peer_sample *sample =
            bsearch(&wanted, samples->samples, samples->n, sizeof wanted, sample_compare);
        if (sample == NULL || sample->n < 2)
            continue;
        if ((one->peer_quantiles = calloc(AVVIK_PLOT_POINTS, sizeof *one->peer_quantiles)) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        one->peer_rows = sample->n_rows;
        for (int p = 0; p < AVVIK_PLOT_POINTS; p++) {
            const double place = (double)(sample->n - 1) * p / (AVVIK_PLOT_POINTS - 1);
            const size_t before = (size_t)place, after = before + 1 < sample->n ? before + 1 : before;
            const double low = (double)sample->kept[before].value, high = (double)sample->kept[after].value;
            one->peer_quantiles[p] = (float)(low + (place - (double)before) * (high - low));
        }
        one->peer_quantiles[0] = sample->least;
        one->peer_quantiles[AVVIK_PLOT_POINTS - 1] = sample->largest;
    }
    return AVVIK_OK;
}

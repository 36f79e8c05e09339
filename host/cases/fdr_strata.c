#include "fdr_strata.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/cases.h"
#include "avvik_internal.h"
#include "fdr.h"

static struct avvik__p_level level_of(const struct avvik__fdr_strata *strata, const struct avvik__fdr_step *step)
{
    return (struct avvik__p_level){step->rank, strata->held_out[step->stratum]};
}

/* How many held-out rows of a stratum have so small a p. */
static uint32_t rank_at(const struct avvik__fdr_strata *strata, uint32_t stratum, struct avvik__p_level level)
{
    return (uint32_t)(level.rank * (strata->held_out[stratum] + (uint64_t)1) / (level.n + (uint64_t)1));
}

/* The level after `g` steps: an eighth more, one at least. */
static uint32_t level_next(uint32_t g)
{
    return g + (g < 8 ? 1 : g / 8);
}

/* Every stratum's held-out rows come in order of rank; so the next step is the smallest p of the strata's next ones,
 * taken from a heap of them. */
struct merging {
    const struct avvik__fdr_strata *strata;
    struct avvik__fdr_step *heap;
    uint32_t n;
};

static int is_before(const struct merging *merging, uint32_t a, uint32_t b)
{
    const struct avvik__p_level x = level_of(merging->strata, &merging->heap[a]);
    const struct avvik__p_level y = level_of(merging->strata, &merging->heap[b]);
    return avvik__p_above(y, x) || (!avvik__p_above(x, y) && merging->heap[a].stratum < merging->heap[b].stratum);
}

static void sift_down(struct merging *merging, uint32_t at)
{
    for (;;) {
        uint32_t least = at;
        for (uint32_t child = 2 * at + 1; child <= 2 * at + 2 && child < merging->n; child++)
            least = is_before(merging, child, least) ? child : least;
        if (least == at)
            return;
        const struct avvik__fdr_step step = merging->heap[at];
        merging->heap[at] = merging->heap[least];
        merging->heap[least] = step;
        at = least;
    }
}

static void steps_merge(struct avvik__fdr_strata *strata, struct merging *merging)
{
    for (uint32_t s = 0; s < strata->n; s++)
        if (strata->rows[s] > 0)
            merging->heap[merging->n++] = (struct avvik__fdr_step){s, 1};
    for (uint32_t i = merging->n; i-- > 0;)
        sift_down(merging, i);
    for (uint32_t i = 0; i < strata->n_steps; i++) {
        struct avvik__fdr_step *first = &merging->heap[0];
        strata->steps[i] = *first;
        if (first->rank++ == strata->held_out[first->stratum])
            *first = merging->heap[--merging->n];
        sift_down(merging, 0);
    }
}

enum avvik_status avvik__fdr_strata_init(struct avvik__fdr_strata *strata, uint32_t n, const uint32_t *held_out,
                                         const uint64_t *rows, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    uint32_t n_with_rows = 0;
    struct merging merging = {.strata = strata};
    *strata = (struct avvik__fdr_strata){.n = n, .held_out = held_out, .rows = rows};
    for (uint32_t s = 0; s < n; s++)
        if (rows[s] > 0) {
            strata->only = s;
            strata->n_steps += held_out[s];
            n_with_rows++;
        }
    if (n_with_rows <= 1)
        return AVVIK_OK;
    strata->steps = calloc(strata->n_steps, sizeof *strata->steps);
    strata->at = calloc(n, sizeof *strata->at);
    merging.heap = calloc(n, sizeof *merging.heap);
    if (strata->steps == NULL || strata->at == NULL || merging.heap == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    steps_merge(strata, &merging);
    for (uint32_t g = 1; g < strata->n_steps; g = level_next(g))
        strata->n_levels++;
    strata->n_levels++; /* all of them */
done:
    free(merging.heap);
    if (status != AVVIK_OK)
        avvik__fdr_strata_destroy(strata);
    return status;
}

void avvik__fdr_strata_destroy(struct avvik__fdr_strata *strata)
{
    free(strata->steps);
    free(strata->at);
    memset(strata, 0, sizeof *strata);
}

double avvik__fdr_strata_expected(const struct avvik__fdr_strata *strata, struct avvik__p_level level)
{
    double expected = 0;
    for (uint32_t s = 0; s < strata->n; s++)
        expected += (double)strata->rows[s] * rank_at(strata, s, level) / (strata->held_out[s] + 1.0);
    return expected;
}

/* (log(1 / chance) - sum R_s log(1 - u N_s / (n_s + 1))) over u, or over log(1 + u). */
static double chernoff(const struct avvik__fdr_strata *strata, double chance, double u, int is_one_batch)
{
    double sum = -log(chance);
    for (uint32_t s = 0; s < strata->n; s++)
        if (strata->at[s] > 0)
            sum -= strata->at[s] * log1p(-u * (double)strata->rows[s] / (strata->held_out[s] + 1.0));
    return sum / (is_one_batch ? log1p(u) : u);
}

/* Its least value over u, by golden sections: any u gives a bound. */
static double chernoff_least(const struct avvik__fdr_strata *strata, double chance, int is_one_batch)
{
    const double golden = 0.61803398874989485;
    double most = 0;
    for (uint32_t s = 0; s < strata->n; s++)
        if (strata->at[s] > 0)
            most = fmax(most, (double)strata->rows[s] / (strata->held_out[s] + 1.0));
    double low = 0, high = 1 / most;
    for (int i = 0; i < 50; i++) {
        const double left = high - golden * (high - low), right = low + golden * (high - low);
        if (chernoff(strata, chance, left, is_one_batch) < chernoff(strata, chance, right, is_one_batch))
            high = right;
        else
            low = left;
    }
    return chernoff(strata, chance, (low + high) / 2, is_one_batch);
}

/* False discoveries among the first g held-out rows' levels, g one of those that are looked at. */
static double discoveries_bound(const struct avvik__fdr_strata *strata, uint32_t g)
{
    const double chance = 1 - AVVIK_FDR_CONFIDENCE;
    memset(strata->at, 0, strata->n * sizeof *strata->at);
    for (uint32_t i = 0; i < g; i++)
        strata->at[strata->steps[i].stratum]++;
    return fmax(chernoff_least(strata, chance / strata->n_levels, 0), chernoff_least(strata, chance, 1));
}

double avvik__fdr_strata_bound(const struct avvik__fdr_strata *strata, struct avvik__p_level level, uint64_t n_listed)
{
    if (level.rank > level.n)
        return 1;
    if (strata->steps == NULL)
        return avvik__fdr_bound(rank_at(strata, strata->only, level), strata->held_out[strata->only],
                                strata->rows[strata->only], n_listed);
    uint32_t n_within = 0, g = 1;
    for (uint32_t s = 0; s < strata->n; s++)
        n_within += strata->rows[s] > 0 ? rank_at(strata, s, level) : 0;
    while (g < n_within)
        g = level_next(g);
    return fmin(1, discoveries_bound(strata, g < strata->n_steps ? g : strata->n_steps) / (double)n_listed);
}

struct avvik__p_level avvik__fdr_strata_cut(const struct avvik__fdr_strata *strata, const uint32_t *first,
                                            const uint64_t *counts, double fdr)
{
    struct avvik__p_level cut = {0, 0};
    uint64_t n_listed = 0;
    uint32_t g = 0;
    double most = 0;
    if (strata->steps == NULL) {
        const uint32_t only = strata->only, n = strata->held_out[only];
        return (struct avvik__p_level){avvik__fdr_cut(counts + first[only], n, strata->rows[only], fdr), n};
    }
    for (uint32_t i = 0; i < strata->n_steps; i++) {
        const struct avvik__fdr_step *step = &strata->steps[i];
        n_listed += counts[first[step->stratum] + step->rank];
        if (i >= g) {
            g = g == 0 ? 1 : level_next(g);
            most = discoveries_bound(strata, g < strata->n_steps ? g : strata->n_steps);
        }
        if (i + 1 < strata->n_steps && !avvik__p_above(level_of(strata, step + 1), level_of(strata, step)))
            continue; /* the next has the same p */
        if (n_listed > 0 && most <= fdr * (double)n_listed)
            cut = level_of(strata, step);
    }
    return cut;
}

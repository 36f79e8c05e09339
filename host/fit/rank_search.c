#include "rank_search.h"

#include <string.h>

#include "float_order.h"

#define FIRST (1u << AVVIK_RANK_FIRST_BITS)
#define MORE (1u << AVVIK_RANK_MORE_BITS)

void avvik__rank_search_begin(struct avvik__rank_search *search, uint64_t n)
{
    memset(search, 0, sizeof *search);
    search->n_places = avvik__tail_places(n, search->places);
    search->pass = n == 0 ? AVVIK_RANK_PASSES : 0;
    search->cells.n = 1; /* of all keys */
    search->cells.within[0] = n;
}

static size_t cell_counters(const struct avvik__rank_search *search)
{
    return search->pass == 0 ? FIRST : MORE;
}

size_t avvik__rank_search_counters(const struct avvik__rank_search *search)
{
    return search->pass == AVVIK_RANK_PASSES ? 0 : search->cells.n * cell_counters(search);
}

static uint32_t key_of(float x)
{
    return avvik__float_key(avvik__flush(x));
}

void avvik__rank_search_take(const struct avvik__rank_search *search, uint64_t *counters, const float *column, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(column[i]) <= FLT_MAX))
            continue;
        const uint32_t key = key_of(column[i]), first = key >> 20, next = key >> 10 & (MORE - 1),
                       last = key & (MORE - 1);
        if (search->pass == 0) {
            counters[first]++;
            continue;
        }
        const uint32_t cell = search->first[first];
        if (cell == 0)
            continue;
        if (search->pass == 1)
            counters[(cell - 1) * MORE + next]++;
        else if (search->next[cell - 1][next] > 0)
            counters[(search->next[cell - 1][next] - 1u) * MORE + last]++;
    }
}

/* Note under what first bits the coming pass finds the new cell `number`, which was counter `at` of cell `cell`. */
static void cell_enter(struct avvik__rank_search *search, uint32_t cell, uint32_t at, uint32_t number)
{
    if (search->pass == 0)
        search->first[at] = (uint8_t)(number + 1);
    else if (search->pass == 1)
        search->next[cell][at] = (uint8_t)(number + 1);
}

int avvik__rank_search_advance(struct avvik__rank_search *search, const uint64_t *counters,
                               struct avvik__tail_quantiles *quantiles_out)
{
    const struct avvik__rank_cells now = search->cells;
    struct avvik__rank_cells *cells = &search->cells;
    const size_t width = cell_counters(search);
    uint32_t place = 0;
    cells->n = 0;
    for (uint32_t cell = 0; cell < now.n; cell++) {
        uint64_t before = now.before[cell];
        for (uint32_t at = 0; at < width; at++) {
            const uint64_t n = counters[cell * width + at], end = before + n;
            const uint32_t number = cells->n;
            while (place < search->n_places && now.of_place[place] == cell && search->places[place] <= end) {
                cells->of_place[place++] = number;
                cells->n = number + 1;
            }
            if (cells->n > number) {
                cells->bits[number] = search->pass == 0 ? at : now.bits[cell] << AVVIK_RANK_MORE_BITS | at;
                cells->before[number] = before;
                cells->within[number] = n;
                cell_enter(search, cell, at, number);
            }
            before = end;
        }
        if (before != now.before[cell] + now.within[cell])
            return 0;
    }
    search->pass++;
    quantiles_out->n_quantiles = search->n_places;
    for (uint32_t i = 0; i < search->n_places && search->pass == AVVIK_RANK_PASSES; i++) {
        const uint32_t cell = cells->of_place[i];
        quantiles_out->value[i] = avvik__float_of_key(cells->bits[cell]);
        quantiles_out->below[i] = cells->before[cell];
        quantiles_out->at_most[i] = cells->before[cell] + cells->within[cell];
    }
    return 1;
}

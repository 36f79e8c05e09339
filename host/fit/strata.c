#include "strata.h"

#include <stdlib.h>
#include <string.h>

void avvik__strata_destroy(struct avvik__strata *strata)
{
    free(strata->group);
    free(strata->last);
    free(strata->parent);
    *strata = (struct avvik__strata){0};
}

int avvik__strata_check(struct avvik__strata *strata)
{
    if (strata->n == 0 || strata->group[0] != 0 || (strata->parent = calloc(strata->n, sizeof(uint32_t))) == NULL)
        return strata->n == 0 || strata->group[0] != 0 ? 0 : -1;
    for (uint32_t i = 0; i < strata->n; i++) {
        if (strata->last[i] < strata->group[i])
            return 0;
        if (i == 0)
            continue;
        uint32_t around = i - 1;
        while (around > 0 && strata->last[around] < strata->group[i])
            around = strata->parent[around];
        if (strata->group[i] <= strata->group[i - 1] || strata->last[i] > strata->last[around])
            return 0;
        strata->parent[i] = around;
    }
    return 1;
}

uint32_t avvik__strata_of(const struct avvik__strata *strata, uint32_t peer_group)
{
    uint32_t low = 0, high = strata->n;
    while (low + 1 < high) { /* the last whose group is not behind this one */
        const uint32_t middle = low + (high - low) / 2;
        if (strata->group[middle] <= peer_group)
            low = middle;
        else
            high = middle;
    }
    while (low > 0 && strata->last[low] < peer_group)
        low = strata->parent[low];
    return low;
}

/* Rows of each group that no stratum within it has, in `rows`; is_apart where there are enough of them. */
static void groups_part(const struct avvik__groups *groups, uint32_t *rows, uint8_t *is_apart)
{
    for (uint32_t g = groups->n; g-- > 1;)
        if (rows[g] >= AVVIK_STRATUM_ROWS)
            is_apart[g] = 1;
        else
            rows[groups->parent[g]] += rows[g];
    is_apart[0] = 1;
    if (rows[0] >= AVVIK_STRATUM_ROWS)
        return;
    uint32_t fewest = 0;
    for (uint32_t g = 1; g < groups->n; g++) {
        uint32_t around = groups->parent[g];
        while (!is_apart[around])
            around = groups->parent[around];
        if (is_apart[g] && around == 0 && (fewest == 0 || rows[g] < rows[fewest]))
            fewest = g;
    }
    if (fewest > 0)
        is_apart[fewest] = 0;
}

int avvik__strata_make(struct avvik__strata *strata, const struct avvik__groups *groups, const uint32_t *of_row,
                       uint32_t n)
{
    uint32_t *rows = calloc(groups->n, sizeof *rows);
    uint8_t *is_apart = calloc(groups->n, 1);
    uint32_t n_apart = 0;
    *strata = (struct avvik__strata){0};
    if (rows != NULL && is_apart != NULL) {
        for (uint32_t i = 0; i < n; i++)
            rows[of_row[i]]++;
        groups_part(groups, rows, is_apart);
        for (uint32_t g = 0; g < groups->n; g++)
            n_apart += is_apart[g];
        strata->group = calloc(n_apart, sizeof *strata->group);
        strata->last = calloc(n_apart, sizeof *strata->last);
    }
    for (uint32_t g = 0; strata->group != NULL && strata->last != NULL && g < groups->n; g++)
        if (is_apart[g]) {
            strata->group[strata->n] = g;
            strata->last[strata->n++] = avvik__groups_end(groups, g) - 1;
        }
    free(rows);
    free(is_apart);
    if (strata->n > 0 && avvik__strata_check(strata) == 1)
        return 1;
    avvik__strata_destroy(strata);
    return 0;
}

#include "groups.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 64

static int table_make(struct avvik__groups *groups)
{
    uint32_t n_slots = 2 * FIRST_CAPACITY;
    while (n_slots < 2 * groups->capacity)
        n_slots *= 2;
    struct avvik__group_slot *slots = realloc(groups->slots, n_slots * sizeof *slots);
    if (slots == NULL)
        return 0;
    groups->slots = slots;
    groups->n_slots = n_slots;
    memset(slots, 0xff, n_slots * sizeof *slots);
    for (uint32_t g = 1; g < groups->n; g++)
        *avvik__groups_slot(groups, groups->parent[g], groups->code[g]) =
            (struct avvik__group_slot){groups->parent[g], groups->code[g], g};
    return 1;
}

/* Room for `capacity` groups, and a table to match. */
static int capacity_set(struct avvik__groups *groups, uint32_t capacity)
{
    uint32_t *parent = realloc(groups->parent, capacity * sizeof *parent);
    groups->parent = parent == NULL ? groups->parent : parent;
    int32_t *code = realloc(groups->code, capacity * sizeof *code);
    groups->code = code == NULL ? groups->code : code;
    uint8_t *level = realloc(groups->level, capacity * sizeof *level);
    groups->level = level == NULL ? groups->level : level;
    uint64_t *rows = realloc(groups->rows, capacity * sizeof *rows);
    groups->rows = rows == NULL ? groups->rows : rows;
    if (parent == NULL || code == NULL || level == NULL || rows == NULL)
        return 0;
    groups->capacity = capacity;
    return table_make(groups);
}

int avvik__groups_init(struct avvik__groups *groups, uint32_t max)
{
    *groups = (struct avvik__groups){.max = max};
    if (!capacity_set(groups, FIRST_CAPACITY)) {
        avvik__groups_destroy(groups);
        return 0;
    }
    groups->n = 1;
    groups->parent[0] = 0;
    groups->code[0] = 0;
    groups->level[0] = 0;
    groups->rows[0] = 0;
    return 1;
}

void avvik__groups_destroy(struct avvik__groups *groups)
{
    free(groups->parent);
    free(groups->code);
    free(groups->level);
    free(groups->rows);
    free(groups->slots);
    memset(groups, 0, sizeof *groups);
}

uint32_t avvik__groups_add(struct avvik__groups *groups, uint32_t parent, int32_t code)
{
    struct avvik__group_slot *slot = avvik__groups_slot(groups, parent, code);
    if (slot->group != AVVIK_NO_GROUP)
        return slot->group;
    if (groups->n == groups->max)
        return AVVIK_NO_GROUP;
    if (groups->n == groups->capacity) {
        if (!capacity_set(groups, 2 * groups->capacity))
            return AVVIK_NO_GROUP;
        slot = avvik__groups_slot(groups, parent, code);
    }
    const uint32_t g = groups->n++;
    groups->parent[g] = parent;
    groups->code[g] = code;
    groups->level[g] = (uint8_t)(groups->level[parent] + 1);
    groups->rows[g] = 0;
    *slot = (struct avvik__group_slot){parent, code, g};
    return g;
}

int avvik__groups_merge(struct avvik__groups *groups, const struct avvik__groups *from, uint32_t *numbers_out)
{
    for (uint32_t g = 0; g < from->n; g++) {
        numbers_out[g] = g == 0 ? 0 : avvik__groups_add(groups, numbers_out[from->parent[g]], from->code[g]);
        if (numbers_out[g] == AVVIK_NO_GROUP)
            return 0;
        groups->rows[numbers_out[g]] += from->rows[g];
    }
    return 1;
}

struct place {
    uint32_t parent, group;
    int32_t code;
};

static int place_compare(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    return left->parent != right->parent ? (left->parent > right->parent) - (left->parent < right->parent)
                                         : (left->code > right->code) - (left->code < right->code);
}

/* Number the groups so that each is followed by those within it. `places` are all but everyone, by parent and code;
 * numbers_out[group] is set for these. */
static int order_make(struct avvik__groups *groups, const struct place *places, uint32_t n_places,
                      uint32_t *numbers_out)
{
    struct avvik__groups ordered = {.max = groups->max};
    uint32_t *first = calloc(groups->n + 1, sizeof *first); /* of each group's children in `places` */
    struct {
        uint32_t next, end, number;
    } open[AVVIK_MAX_KEYS + 1]; /* whose children are being numbered */
    int depth = 0;
    if (first == NULL || !avvik__groups_init(&ordered, groups->max)) {
        free(first);
        return 0;
    }
    for (uint32_t i = 0; i < n_places; i++)
        first[places[i].parent + 1]++;
    for (uint32_t g = 0; g < groups->n; g++)
        first[g + 1] += first[g];
    ordered.rows[0] = groups->rows[0];
    open[0].next = first[0], open[0].end = first[1], open[0].number = 0;
    int is_made = 1;
    while (depth >= 0 && is_made) {
        if (open[depth].next == open[depth].end) {
            depth--;
            continue;
        }
        const struct place *place = &places[open[depth].next++];
        const uint32_t number = avvik__groups_add(&ordered, open[depth].number, place->code);
        is_made = number != AVVIK_NO_GROUP;
        if (is_made) {
            ordered.rows[number] = groups->rows[place->group];
            numbers_out[place->group] = number;
            depth++;
            open[depth].next = first[place->group];
            open[depth].end = first[place->group + 1];
            open[depth].number = number;
        }
    }
    free(first);
    if (is_made) {
        avvik__groups_destroy(groups);
        *groups = ordered;
    } else {
        avvik__groups_destroy(&ordered);
    }
    return is_made;
}

int avvik__groups_finish(struct avvik__groups *groups, uint64_t min_rows, uint32_t *numbers_out)
{
    const uint32_t n_groups = groups->n;
    struct place *places = malloc(n_groups * sizeof *places);
    uint32_t n_places = 0;
    if (places == NULL)
        return 0;
    memset(numbers_out, 0xff, n_groups * sizeof *numbers_out);
    numbers_out[0] = 0;
    for (uint32_t g = groups->n; g-- > 1;)
        groups->rows[groups->parent[g]] += groups->rows[g];
    for (uint32_t g = 1; g < groups->n; g++)
        if (groups->rows[g] >= min_rows)
            places[n_places++] = (struct place){groups->parent[g], g, groups->code[g]};
    qsort(places, n_places, sizeof *places, place_compare);
    uint32_t *parent = malloc(n_groups * sizeof *parent); /* as it was */
    if (parent != NULL)
        memcpy(parent, groups->parent, n_groups * sizeof *parent);
    const int is_made = parent != NULL && order_make(groups, places, n_places, numbers_out);
    for (uint32_t g = 1; is_made && g < n_groups; g++)
        if (numbers_out[g] == AVVIK_NO_GROUP)
            numbers_out[g] = numbers_out[parent[g]];
    free(parent);
    free(places);
    return is_made;
}

uint32_t avvik__groups_end(const struct avvik__groups *groups, uint32_t g)
{
    uint32_t end = g + 1;
    while (end < groups->n && groups->level[end] > groups->level[g])
        end++;
    return end;
}

int avvik__groups_check(struct avvik__groups *groups, uint32_t n_levels)
{
    uint32_t last[AVVIK_MAX_KEYS + 1] = {0}; /* the newest group of each level */
    if (groups->n == 0 || groups->parent[0] != 0 || groups->code[0] != 0)
        return 0;
    groups->level[0] = 0;
    for (uint32_t g = 1, level = 0; g < groups->n; g++) { /* `level` is that of g - 1 */
        const uint32_t parent = groups->parent[g];
        if (parent >= g || groups->level[parent] >= n_levels || groups->level[parent] > level ||
            last[groups->level[parent]] != parent)
            return 0; /* not within the groups that are open */
        const uint32_t own = groups->level[parent] + 1u;
        if (own <= level && groups->parent[last[own]] == parent && groups->code[last[own]] >= groups->code[g])
            return 0;
        if (groups->rows[g] == 0 || groups->rows[g] > groups->rows[parent])
            return 0;
        groups->level[g] = (uint8_t)own;
        last[own] = g;
        level = own;
    }
    groups->capacity = groups->n;
    return table_make(groups) ? 1 : -1;
}

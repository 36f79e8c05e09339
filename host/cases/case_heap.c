#include "case_heap.h"

#include <stdlib.h>

#include "avvik_internal.h"
#include "ranking.h"

enum avvik_status avvik__case_heap_init(struct avvik__case_heap *heap, uint64_t capacity, struct avvik_error *error)
{
    *heap = (struct avvik__case_heap){.capacity = (size_t)capacity};
    if ((heap->entries = calloc((size_t)capacity + 1, sizeof *heap->entries)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "not enough memory for %llu cases",
                                (unsigned long long)capacity);
    return AVVIK_OK;
}

void avvik__case_heap_destroy(struct avvik__case_heap *heap)
{
    free(heap->entries);
    *heap = (struct avvik__case_heap){0};
}

static int is_worse(const struct avvik__case_entry *a, const struct avvik__case_entry *b)
{
    return avvik__rank_before((struct avvik__rank_key){b->surprise, b->one.row},
                              (struct avvik__rank_key){a->surprise, a->one.row});
}

static void sift_down(struct avvik__case_heap *heap, size_t at, size_t n)
{
    const struct avvik__case_entry moving = heap->entries[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_worse(&heap->entries[child + 1], &heap->entries[child]))
            child++;
        if (!is_worse(&heap->entries[child], &moving))
            break;
        heap->entries[at] = heap->entries[child];
    }
    heap->entries[at] = moving;
}

void avvik__case_heap_offer(struct avvik__case_heap *heap, const struct avvik_case *one, double surprise)
{
    const struct avvik__case_entry entry = {*one, surprise};
    if (heap->n < heap->capacity) {
        size_t at = heap->n++;
        for (; at > 0 && is_worse(&entry, &heap->entries[(at - 1) / 2]); at = (at - 1) / 2)
            heap->entries[at] = heap->entries[(at - 1) / 2];
        heap->entries[at] = entry;
    } else if (heap->n > 0 && is_worse(&heap->entries[0], &entry)) {
        heap->entries[0] = entry;
        sift_down(heap, 0, heap->n);
    }
}

/* Heap sort in place: the worst goes to the end. */
void avvik__case_heap_sort(struct avvik__case_heap *heap)
{
    for (size_t n = heap->n; n > 1; n--) {
        const struct avvik__case_entry worst = heap->entries[0];
        heap->entries[0] = heap->entries[n - 1];
        heap->entries[n - 1] = worst;
        sift_down(heap, 0, n - 1);
    }
}

static int rows_compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void avvik__rows_sort(uint64_t *rows, size_t n)
{
    qsort(rows, n, sizeof *rows, rows_compare);
}

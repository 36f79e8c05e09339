/* The cases that surprise most: a heap of the best `capacity` seen so far, its worst at the root. */
#ifndef AVVIK_CASE_HEAP_H
#define AVVIK_CASE_HEAP_H

#include "avvik/cases.h"

struct avvik__case_entry {
    struct avvik_case one;
    double surprise;
};

struct avvik__case_heap {
    struct avvik__case_entry *entries;
    size_t n, capacity;
};

/* AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__case_heap_init(struct avvik__case_heap *heap, uint64_t capacity, struct avvik_error *error);
void avvik__case_heap_destroy(struct avvik__case_heap *heap);
void avvik__case_heap_offer(struct avvik__case_heap *heap, const struct avvik_case *one, double surprise);
/* Best first. The heap takes no more cases. */
void avvik__case_heap_sort(struct avvik__case_heap *heap);

/* Ascending. */
void avvik__rows_sort(uint64_t *rows, size_t n);

#endif

/* The rows that deviate most: a heap of the best `budget` seen so far, its worst at the root. */
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "ranking.h"
#include "score_reader.h"

const char *avvik_detector_name(enum avvik_detector detector)
{
    switch (detector) {
    case AVVIK_BY_FOREST: return "forest";
    case AVVIK_BY_DEVIATION: return "deviation";
    case AVVIK_N_DETECTORS: break;
    }
    return "unknown";
}

struct heap {
    struct avvik_case *cases;
    size_t n, capacity;
    enum avvik_detector detector;
};

static struct avvik__rank_key case_key(const struct heap *heap, const struct avvik_case *one)
{
    return avvik__rank_key(heap->detector, one->path_sum, one->deviation, one->row);
}

static int is_worse(const struct heap *heap, const struct avvik_case *a, const struct avvik_case *b)
{
    return avvik__rank_before(case_key(heap, b), case_key(heap, a));
}

static void heap_sift_down(struct heap *heap, size_t at, size_t n)
{
    const struct avvik_case moving = heap->cases[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_worse(heap, &heap->cases[child + 1], &heap->cases[child]))
            child++;
        if (!is_worse(heap, &heap->cases[child], &moving))
            break;
        heap->cases[at] = heap->cases[child];
    }
    heap->cases[at] = moving;
}

static void heap_offer(struct heap *heap, const struct avvik_case *one)
{
    if (heap->n < heap->capacity) {
        size_t at = heap->n++;
        for (; at > 0 && is_worse(heap, one, &heap->cases[(at - 1) / 2]); at = (at - 1) / 2)
            heap->cases[at] = heap->cases[(at - 1) / 2];
        heap->cases[at] = *one;
    } else if (is_worse(heap, &heap->cases[0], one)) {
        heap->cases[0] = *one;
        heap_sift_down(heap, 0, heap->n);
    }
}

/* Heap sort in place: the worst goes to the end. */
static void heap_sort(struct heap *heap)
{
    for (size_t n = heap->n; n > 1; n--) {
        const struct avvik_case worst = heap->cases[0];
        heap->cases[0] = heap->cases[n - 1];
        heap->cases[n - 1] = worst;
        heap_sift_down(heap, 0, n - 1);
    }
    for (size_t i = 0; i < heap->n; i++)
        heap->cases[i].rank = i + 1;
}

void avvik_case_list_destroy(struct avvik_case_list *list)
{
    free(list->cases);
    avvik__strings_free(list->features, list->n_features);
    avvik__strings_free(list->inputs, list->n_inputs);
    free(list->input_offsets);
    memset(list, 0, sizeof *list);
}

enum avvik_status avvik_flag(const char *path, uint64_t budget, enum avvik_detector detector,
                             struct avvik_case_list *list_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__score_reader reader;
    struct heap heap = {.detector = detector};
    AVVIK_TRY(avvik__score_reader_open(&reader, path, error));
    if (budget == 0 || budget > reader.n_rows)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "a budget of %llu cannot be met: %s has %llu rows", (unsigned long long)budget,
                   path, (unsigned long long)reader.n_rows);
    heap.capacity = (size_t)budget;
    if ((heap.cases = calloc(heap.capacity, sizeof *heap.cases)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for %llu cases", (unsigned long long)budget);
    for (;;) {
        AVVIK_TRY(avvik__score_reader_next(&reader, error));
        if (reader.n == 0)
            break;
        for (size_t i = 0; i < reader.n; i++) {
            const struct avvik_case one = {.row = reader.next + i,
                                           .path_sum = reader.path_sum[i],
                                           .forest = reader.forest[i],
                                           .deviation = reader.deviation[i],
                                           .deviation_feature = reader.deviation_feature[i],
                                           .beyond = reader.beyond[i],
                                           .missing = reader.missing[i]};
            heap_offer(&heap, &one);
        }
    }
    heap_sort(&heap);
    *list_out = (struct avvik_case_list){.cases = heap.cases,
                                         .n_cases = heap.n,
                                         .n_rows = reader.n_rows,
                                         .features = reader.features,
                                         .n_features = reader.n_features,
                                         .inputs = reader.inputs,
                                         .input_offsets = reader.input_offsets,
                                         .n_inputs = reader.n_inputs};
    memcpy(list_out->table, reader.table, sizeof list_out->table);
    memcpy(list_out->content_hash, reader.content_hash, sizeof list_out->content_hash);
    heap.cases = NULL; /* the list's now, as are the strings */
    reader.features = reader.inputs = NULL;
    reader.input_offsets = NULL;
done:
    free(heap.cases);
    avvik__score_reader_close(&reader);
    return status;
}

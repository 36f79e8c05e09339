/* The rows that deviate most: a heap of the best `budget` seen so far, its worst at the root. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "hash_text.h"
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

/* Everything but the cases: of the first file what all have in common, of every file its inputs. */
static enum avvik_status list_extend(struct avvik_case_list *list, struct avvik__score_reader *reader,
                                     struct avvik_error *error)
{
    if (list->n_inputs == 0) {
        list->features = reader->features;
        list->n_features = reader->n_features;
        reader->features = NULL;
        memcpy(list->table, reader->table, sizeof list->table);
        memcpy(list->model_hash, reader->model_hash, sizeof list->model_hash);
    } else if (strcmp(list->model_hash, reader->model_hash) != 0)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                "%s: was scored by another model (%s) than the files before it (%s), so that they "
                                "cannot be ranked together",
                                reader->path, reader->model_hash, list->model_hash);
    const size_t n = list->n_inputs + reader->n_inputs;
    char **inputs = realloc(list->inputs, n * sizeof *inputs);
    if (inputs == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    list->inputs = inputs;
    uint64_t *offsets = realloc(list->input_offsets, n * sizeof *offsets);
    if (offsets == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    list->input_offsets = offsets;
    for (size_t i = 0; i < reader->n_inputs; i++) {
        list->inputs[list->n_inputs] = reader->inputs[i];
        list->input_offsets[list->n_inputs++] = list->n_rows + reader->input_offsets[i];
        reader->inputs[i] = NULL;
    }
    list->n_rows += reader->n_rows;
    return AVVIK_OK;
}

static enum avvik_status rows_offer(struct heap *heap, struct avvik__score_reader *reader, uint64_t first_row,
                                    uint64_t *n_absent, struct avvik_error *error)
{
    for (;;) {
        const enum avvik_status status = avvik__score_reader_next(reader, error);
        if (status != AVVIK_OK || reader->n == 0)
            return status;
        for (size_t i = 0; i < reader->n; i++) {
            const struct avvik_case one = {.row = first_row + reader->next + i,
                                           .path_sum = reader->path_sum[i],
                                           .forest = reader->forest[i],
                                           .deviation = reader->deviation[i],
                                           .deviation_feature = reader->deviation_feature[i],
                                           .beyond = reader->beyond[i],
                                           .missing = reader->missing[i]};
            if (isnan(one.forest))
                (*n_absent)++;
            else
                heap_offer(heap, &one);
        }
    }
}

/* The hash of one file is that of the list; that of several is the hash of their hashes. */
static void hash_join(XXH3_state_t *hashes, size_t n_paths, const char *of_last, char *text)
{
    if (n_paths == 1)
        memcpy(text, of_last, AVVIK_HASH_SIZE);
    else
        avvik__hash_text(XXH3_128bits_digest(hashes), text);
}

/* Rows of all files together: what the budget is held against before memory is taken for it. */
static enum avvik_status budget_check(const char *const *paths, size_t n_paths, uint64_t budget,
                                      struct avvik_error *error)
{
    uint64_t n_rows = 0;
    for (size_t i = 0; i < n_paths; i++) {
        struct avvik__score_reader reader;
        const enum avvik_status status = avvik__score_reader_open(&reader, paths[i], error);
        if (status != AVVIK_OK)
            return status;
        n_rows += reader.n_rows;
        avvik__score_reader_close(&reader);
    }
    if (budget > 0 && budget <= n_rows)
        return AVVIK_OK;
    return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a budget of %llu cannot be met: %s%s has %llu rows",
                            (unsigned long long)budget, n_paths == 0 ? "no file" : paths[0],
                            n_paths > 1 ? " with the files after it" : "", (unsigned long long)n_rows);
}

enum avvik_status avvik_flag_files(const char *const *paths, size_t n_paths, uint64_t budget,
                                   enum avvik_detector detector, struct avvik_case_list *list_out,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__score_reader reader = {0};
    struct avvik_case_list list = {0};
    struct heap heap = {.detector = detector};
    XXH3_state_t *hashes = XXH3_createState();
    if (hashes == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    XXH3_128bits_reset(hashes);
    AVVIK_TRY(budget_check(paths, n_paths, budget, error));
    heap.capacity = (size_t)budget;
    if ((heap.cases = calloc(heap.capacity, sizeof *heap.cases)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory for %llu cases", (unsigned long long)budget);
    for (size_t i = 0; i < n_paths; i++) {
        const uint64_t first_row = list.n_rows;
        AVVIK_TRY(avvik__score_reader_open(&reader, paths[i], error));
        AVVIK_TRY(list_extend(&list, &reader, error));
        AVVIK_TRY(rows_offer(&heap, &reader, first_row, &list.n_absent, error));
        XXH3_128bits_update(hashes, reader.content_hash, strlen(reader.content_hash));
        hash_join(hashes, n_paths, reader.content_hash, list.content_hash);
        avvik__score_reader_close(&reader);
    }
    heap_sort(&heap);
    list.cases = heap.cases;
    list.n_cases = heap.n;
    *list_out = list;
    heap.cases = NULL; /* the list's now, as are the strings */
    list = (struct avvik_case_list){0};
done:
    free(heap.cases);
    avvik_case_list_destroy(&list);
    avvik__score_reader_close(&reader);
    XXH3_freeState(hashes);
    return status;
}

enum avvik_status avvik_flag(const char *path, uint64_t budget, enum avvik_detector detector,
                             struct avvik_case_list *list_out, struct avvik_error *error)
{
    return avvik_flag_files(&path, 1, budget, detector, list_out, error);
}

/* A short list: the rows that deviate most, and some drawn at random from the others. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "case_heap.h"
#include "counter_draw.h"
#include "fdr_strata.h"
#include "hash_text.h"
#include "score_reader.h"
#include "surprise.h"

/* The job of making a list. */
struct flagging {
    const char *const *paths;
    size_t n_paths;
    const struct avvik_flag_options *options;
    struct avvik_case_list list;
    struct avvik__surprise surprise;
    uint64_t n_scored;
    uint64_t *n_in; /* [stratum]: of these */

    uint64_t *counts;            /* [surprise.first[stratum] + rank]: rows of that rank in the stratum */
    struct avvik__p_level level; /* with an fdr: no row with a larger p is ranked */
    struct avvik__case_heap heap;
    uint64_t *listed; /* row numbers in the heap, ascending */
    size_t n_listed;
    uint64_t n_rest, at_rest; /* rows that are not listed, and how many have gone by */
    size_t n_random;          /* to be drawn of them */
};

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

/* The hash of one file is that of the list; that of several is the hash of their hashes. */
static void hash_join(XXH3_state_t *hashes, size_t n_paths, const char *of_last, char *text)
{
    if (n_paths == 1)
        memcpy(text, of_last, AVVIK_HASH_SIZE);
    else
        avvik__hash_text(XXH3_128bits_digest(hashes), text);
}

/* What is done with each row that has a score. */
typedef void row_fn(struct flagging *flagging, const struct avvik_case *one);

static enum avvik_status file_each(struct flagging *flagging, struct avvik__score_reader *reader, uint64_t first_row,
                                   row_fn *take, uint64_t *n_absent, struct avvik_error *error)
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
                                           .joint = reader->joint[i],
                                           .tails = reader->tails[i],
                                           .deviation_feature = reader->deviation_feature[i],
                                           .beyond = reader->beyond[i],
                                           .missing = reader->missing[i],
                                           .peer_group = reader->has_groups ? reader->peer_group[i] : 0};
            if (isnan(one.forest))
                (*n_absent)++;
            else {
                flagging->n_in[avvik__surprise_stratum(&flagging->surprise, one.peer_group)]++;
                take(flagging, &one);
            }
        }
    }
}

/* Go through all rows of all files. */
static enum avvik_status rows_each(struct flagging *flagging, row_fn *take, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__score_reader reader = {0};
    uint64_t first_row = 0, n_absent = 0;
    memset(flagging->n_in, 0, flagging->surprise.n_strata * sizeof *flagging->n_in);
    for (size_t i = 0; i < flagging->n_paths; i++) {
        AVVIK_TRY(avvik__score_reader_open(&reader, flagging->paths[i], error));
        if (strcmp(reader.model_hash, flagging->list.model_hash) != 0 ||
            first_row + reader.n_rows > flagging->list.n_rows)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: changed while it was read", flagging->paths[i]);
        AVVIK_TRY(file_each(flagging, &reader, first_row, take, &n_absent, error));
        first_row += reader.n_rows;
        avvik__score_reader_close(&reader);
    }
    flagging->list.n_absent = n_absent;
    flagging->n_scored = first_row - n_absent;
done:
    avvik__score_reader_close(&reader);
    return status;
}

static double surprise_of(const struct flagging *flagging, enum avvik_detector detector, const struct avvik_case *one)
{
    const struct avvik__row_scores row = {one->path_sum, one->deviation, one->joint, one->tails};
    return avvik__surprise_of(&flagging->surprise, detector, &row);
}

/* The p-value of a row by the detector that it is ranked by. */
static struct avvik__p_level level_of(const struct flagging *flagging, const struct avvik_case *one)
{
    const struct avvik__surprise *surprise = &flagging->surprise;
    const enum avvik_detector by = flagging->options->by;
    const uint32_t stratum = avvik__surprise_stratum(surprise, one->peer_group);
    return (struct avvik__p_level){avvik__surprise_rank(surprise, by, stratum, surprise_of(flagging, by, one)),
                                   surprise->n_in[stratum]};
}

static void row_count(struct flagging *flagging, const struct avvik_case *one)
{
    const uint32_t stratum = avvik__surprise_stratum(&flagging->surprise, one->peer_group);
    const struct avvik__p_level level = level_of(flagging, one);
    if (level.rank <= level.n)
        flagging->counts[flagging->surprise.first[stratum] + level.rank]++;
}

static void row_offer(struct flagging *flagging, const struct avvik_case *one)
{
    const enum avvik_detector by = flagging->options->by;
    if (flagging->options->fdr != 0 && avvik__p_above(level_of(flagging, one), flagging->level))
        return;
    avvik__case_heap_offer(&flagging->heap, one,
                           avvik__surprise_order(&flagging->surprise, by,
                                                 avvik__surprise_stratum(&flagging->surprise, one->peer_group),
                                                 surprise_of(flagging, by, one)));
}

/* The next of the rows that are drawn is one of those that are not listed, counted in row order. */
static void row_draw(struct flagging *flagging, const struct avvik_case *one)
{
    struct avvik_case_list *list = &flagging->list;
    size_t low = 0, high = flagging->n_listed;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (flagging->listed[middle] < one->row)
            low = middle + 1;
        else
            high = middle;
    }
    if ((low < flagging->n_listed && flagging->listed[low] == one->row) || list->n_random == flagging->n_random)
        return;
    if (flagging->at_rest++ == avvik__draw_stratified(flagging->options->seed, AVVIK_DRAW_AUDIT, list->n_random,
                                                      flagging->n_random, flagging->n_rest)) {
        list->cases[list->n_cases] = *one;
        list->cases[list->n_cases++].is_random = 1;
        list->n_random++;
    }
}

static enum avvik_status options_check(const struct flagging *flagging, struct avvik_error *error)
{
    const struct avvik_flag_options *options = flagging->options;
    if (options->fdr != 0 && !(options->fdr > 0 && options->fdr < 1))
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a rate of false discoveries of %g is not between 0 and 1",
                                options->fdr);
    if (!(options->random_share >= 0 && options->random_share <= 1))
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a share of %g drawn at random is outside 0 to 1",
                                options->random_share);
    if (options->fdr != 0 && flagging->surprise.n == 0)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0,
                                "%s: the model was fitted without calibration rows, so that no rate of false "
                                "discoveries can be told; a budget can",
                                flagging->paths[0]);
    if (options->budget > flagging->list.n_rows || (options->budget == 0 && options->fdr == 0))
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "a budget of %llu cannot be met: %s%s has %llu rows",
                                (unsigned long long)options->budget, flagging->paths[0],
                                flagging->n_paths > 1 ? " with the files after it" : "",
                                (unsigned long long)flagging->list.n_rows);
    return AVVIK_OK;
}

/* What the files say of themselves, and what their scores mean. */
static enum avvik_status flagging_begin(struct flagging *flagging, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__score_reader reader = {0};
    XXH3_state_t *hashes = XXH3_createState();
    if (hashes == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    XXH3_128bits_reset(hashes);
    if (flagging->n_paths == 0)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "no score file is named");
    for (size_t i = 0; i < flagging->n_paths; i++) {
        AVVIK_TRY(avvik__score_reader_open(&reader, flagging->paths[i], error));
        AVVIK_TRY(avvik__score_reader_ranks(&reader, flagging->options->by, flagging->options->weights, error));
        flagging->list.has_tails = reader.has_tails;
        if (i == 0)
            AVVIK_TRY(avvik__surprise_init(&flagging->surprise, &reader.calibration, flagging->options->weights,
                                           flagging->options->p_by, reader.path, error));
        AVVIK_TRY(list_extend(&flagging->list, &reader, error));
        XXH3_128bits_update(hashes, reader.content_hash, strlen(reader.content_hash));
        hash_join(hashes, flagging->n_paths, reader.content_hash, flagging->list.content_hash);
        avvik__score_reader_close(&reader);
    }
    flagging->list.by = flagging->options->by;
    memcpy(flagging->list.weights, flagging->options->weights, sizeof flagging->list.weights);
    flagging->list.n_calibration = flagging->surprise.n;
    flagging->list.n_p_groups = flagging->surprise.n_strata;
    flagging->list.p_by = flagging->surprise.n_strata > 1 ? AVVIK_P_BY_GROUP : AVVIK_P_BY_EVERYONE;
    if ((flagging->n_in = calloc(flagging->surprise.n_strata, sizeof *flagging->n_in)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
done:
    avvik__score_reader_close(&reader);
    XXH3_freeState(hashes);
    return status;
}

/* How many rows the ranking may choose, and how many are drawn besides. */
static enum avvik_status lengths_choose(struct flagging *flagging, uint64_t *n_ranked_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik_flag_options *options = flagging->options;
    struct avvik__fdr_strata strata = {0};
    uint64_t n_random = (uint64_t)llround((double)options->budget * options->random_share);
    uint64_t n_ranked = options->budget - n_random;
    if (options->fdr != 0) {
        if ((flagging->counts = calloc((size_t)flagging->surprise.n + 2, sizeof *flagging->counts)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(rows_each(flagging, row_count, error));
        AVVIK_TRY(avvik__fdr_strata_init(&strata, flagging->surprise.n_strata, flagging->surprise.n_in, flagging->n_in,
                                         error));
        flagging->level = avvik__fdr_strata_cut(&strata, flagging->surprise.first, flagging->counts, options->fdr);
        uint64_t n_safe = 0;
        for (uint32_t s = 0; s < flagging->surprise.n_strata; s++)
            for (uint32_t rank = 1; rank <= flagging->surprise.n_in[s]; rank++)
                if (!avvik__p_above((struct avvik__p_level){rank, flagging->surprise.n_in[s]}, flagging->level))
                    n_safe += flagging->counts[flagging->surprise.first[s] + rank];
        if (options->budget == 0) {
            const double share = options->random_share;
            n_ranked = share == 1 ? 0 : n_safe;
            n_random = share == 1 ? n_safe : (uint64_t)llround((double)n_safe * share / (1 - share));
        } else
            n_ranked = n_ranked < n_safe ? n_ranked : n_safe;
    }
    flagging->n_random = (size_t)n_random;
    *n_ranked_out = n_ranked;
done:
    avvik__fdr_strata_destroy(&strata);
    return status;
}

/* What the rows by rank are worth, all of which have p-values up to some largest one. */
static enum avvik_status rates_tell(struct flagging *flagging, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_case_list *list = &flagging->list;
    struct avvik__fdr_strata strata = {0};
    struct avvik__p_level largest = {0, 0};
    for (size_t i = 0; i < list->n_cases; i++) {
        const struct avvik__p_level level = level_of(flagging, &list->cases[i]);
        largest = avvik__p_above(level, largest) ? level : largest;
    }
    AVVIK_TRY(
        avvik__fdr_strata_init(&strata, flagging->surprise.n_strata, flagging->surprise.n_in, flagging->n_in, error));
    list->expected = avvik__fdr_strata_expected(&strata, largest);
    list->fdr_estimate = fmin(1, list->expected / (double)list->n_cases);
    list->fdr_bound = avvik__fdr_strata_bound(&strata, largest, list->n_cases);
done:
    avvik__fdr_strata_destroy(&strata);
    return status;
}

/* Put the rows that the ranking chose into the list, with what is told of them. */
static enum avvik_status ranked_take(struct flagging *flagging, struct avvik_error *error)
{
    struct avvik_case_list *list = &flagging->list;
    const size_t n = flagging->heap.n;
    flagging->n_rest = flagging->n_scored - n;
    if (flagging->n_random > flagging->n_rest)
        flagging->n_random = (size_t)flagging->n_rest;
    avvik__case_heap_sort(&flagging->heap);
    list->cases = calloc(n + flagging->n_random + 1, sizeof *list->cases);
    flagging->listed = calloc(n + 1, sizeof *flagging->listed);
    if (list->cases == NULL || flagging->listed == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "not enough memory for %zu cases", n + flagging->n_random);
    for (size_t i = 0; i < n; i++) {
        list->cases[i] = flagging->heap.entries[i].one;
        list->cases[i].rank = i + 1;
        flagging->listed[i] = list->cases[i].row;
    }
    list->n_cases = flagging->n_listed = n;
    avvik__rows_sort(flagging->listed, n);
    return n > 0 ? rates_tell(flagging, error) : AVVIK_OK;
}

static void p_values_set(const struct flagging *flagging, struct avvik_case *one)
{
    const struct avvik__surprise *surprise = &flagging->surprise;
    const uint32_t stratum = avvik__surprise_stratum(surprise, one->peer_group);
    one->p_group = avvik__surprise_group(surprise, stratum);
    one->p_rows = surprise->n_in[stratum];
    for (int d = 0; d < AVVIK_N_DETECTORS; d++) {
        const double of_row = surprise_of(flagging, (enum avvik_detector)d, one);
        one->p[d] = avvik__surprise_p(surprise, (enum avvik_detector)d, stratum, of_row);
    }
}

enum avvik_status avvik_flag(const char *const *paths, size_t n_paths, const struct avvik_flag_options *options,
                             struct avvik_case_list *list_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct flagging flagging = {.paths = paths, .n_paths = n_paths, .options = options};
    uint64_t n_ranked = 0;
    AVVIK_TRY(flagging_begin(&flagging, error));
    AVVIK_TRY(options_check(&flagging, error));
    AVVIK_TRY(lengths_choose(&flagging, &n_ranked, error));
    AVVIK_TRY(avvik__case_heap_init(&flagging.heap, n_ranked, error));
    AVVIK_TRY(rows_each(&flagging, row_offer, error));
    AVVIK_TRY(ranked_take(&flagging, error));
    if (flagging.n_random > 0)
        AVVIK_TRY(rows_each(&flagging, row_draw, error));
    for (size_t i = 0; i < flagging.list.n_cases; i++)
        p_values_set(&flagging, &flagging.list.cases[i]);
    *list_out = flagging.list;
    flagging.list = (struct avvik_case_list){0};
done:
    avvik_case_list_destroy(&flagging.list);
    avvik__surprise_destroy(&flagging.surprise);
    avvik__case_heap_destroy(&flagging.heap);
    free(flagging.counts);
    free(flagging.n_in);
    free(flagging.listed);
    return status;
}

/* The short list of a night, and where it is delivered. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "avvik_internal.h"
#include "night_steps.h"
#include "night_text.h"

static const char *const list_names[] = {"flags.csv", "flags.json"};

struct list_fill {
    const struct avvik_case_list *list;
    enum avvik_list_format format;
};

static enum avvik_status list_fill(FILE *stream, void *context, struct avvik_error *error)
{
    const struct list_fill *fill = context;
    return avvik_case_list_write(fill->list, NULL, fill->format, stream, error);
}

/* The score files that there are, their rows, and the hash of their hashes. paths_out: n_out malloc'ed texts. */
static enum avvik_status scores_gather(const struct avvik__night *night, char **paths_out, size_t *n_out,
                                       uint64_t *n_rows_out, char hash[AVVIK_HASH_SIZE], struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    XXH3_state_t *state = XXH3_createState();
    *n_out = 0;
    *n_rows_out = 0;
    if (state == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < night->files.n; i++) {
        const struct avvik__night_input *input = &night->inputs[i];
        if (input->is_bad)
            continue;
        const json_t *unit = avvik__unit(night, "score", input->path);
        const char *of_file = avvik__unit_text(json_array_get(json_object_get(unit, "outputs"), 0), "hash");
        if ((paths_out[*n_out] = avvik__night_path(night, input->scores)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        ++*n_out;
        *n_rows_out += (uint64_t)avvik__unit_fact(unit, "rows") - (uint64_t)avvik__unit_fact(unit, "rows_absent");
        XXH3_128bits_update(state, of_file, strlen(of_file) + 1);
    }
    avvik__hash_text(XXH3_128bits_digest(state), hash);
done:
    XXH3_freeState(state);
    return status;
}

static enum avvik_status lists_write(struct avvik__night *night, char *const *paths, size_t n_paths, uint64_t budget,
                                     json_t *unit, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_case_list list = {0};
    char *path = NULL, cases[AVVIK_COUNT_SIZE], rows[AVVIK_COUNT_SIZE];
    struct avvik_flag_options options = night->config->flag;
    options.budget = budget;
    AVVIK_TRY(avvik_flag((const char *const *)paths, n_paths, &options, &list, error));
    for (int i = 0; i < 2; i++) {
        struct list_fill fill = {&list, i == 0 ? AVVIK_LIST_CSV : AVVIK_LIST_JSON};
        free(path);
        if ((path = avvik__night_path(night, list_names[i])) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(avvik__file_replace(path, list_fill, &fill, error));
    }
    json_t *facts = json_pack("{s:I, s:I, s:f, s:f, s:I, s:s}", "flagged", (json_int_t)list.n_cases, "random",
                              (json_int_t)list.n_random, "fdr_estimate", list.fdr_estimate, "fdr_bound", list.fdr_bound,
                              "rows", (json_int_t)list.n_rows, "content_hash", list.content_hash);
    AVVIK_TRY(avvik__unit_end(night, unit, list_names, 2, facts, error));
    avvik__night_tell(night, 0, "flagged %s of %s rows -> %s/flags.csv", avvik__count(list.n_cases, cases),
                      avvik__count(list.n_rows, rows), night->folder);
done:
    free(path);
    avvik_case_list_destroy(&list);
    return status;
}

enum avvik_status avvik__step_flag(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char key[AVVIK_HASH_SIZE], hash[AVVIK_HASH_SIZE];
    size_t n_paths = 0;
    uint64_t n_rows = 0, budget = night->config->flag.budget;
    json_t *unit = avvik__unit(night, "flag", NULL);
    char **paths = calloc(night->files.n, sizeof *paths);
    if (paths == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(scores_gather(night, paths, &n_paths, &n_rows, hash, error));
    if (n_rows == 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "no row was scored, so that there is nothing to flag");
    if (budget > n_rows) /* a small night is no failure */
        budget = n_rows;
    const struct avvik_flag_options *flag = &night->config->flag;
    avvik__unit_key(key, "flag|%s|%llu|%d|%.17g|%.17g|%llu|%.17g|%.17g|%.17g|%.17g|%d", hash,
                    (unsigned long long)budget, (int)flag->by, flag->fdr, flag->random_share,
                    (unsigned long long)flag->seed, flag->weights[AVVIK_BY_FOREST], flag->weights[AVVIK_BY_DEVIATION],
                    flag->weights[AVVIK_BY_JOINT], flag->weights[AVVIK_BY_TAILS], (int)flag->p_by);
    if (avvik__unit_is_done(night, unit, key))
        goto done;
    AVVIK_TRY(avvik__unit_begin(night, unit, key, error));
    status = lists_write(night, paths, n_paths, budget, unit, error);
done:
    for (size_t i = 0; i < n_paths; i++)
        free(paths[i]);
    free(paths);
    return status;
}

enum avvik_status avvik__step_results(struct avvik__night *night, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char key[AVVIK_HASH_SIZE], *from = NULL, *folder = NULL, *to[2] = {NULL, NULL};
    json_t *unit = avvik__unit(night, "results", NULL);
    const json_t *lists = json_object_get(avvik__unit(night, "flag", NULL), "outputs");
    if (night->config->results == NULL)
        return AVVIK_OK;
    if ((folder = avvik__date_fill(night->config->results, night->date)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    avvik__unit_key(key, "results|%s|%s|%s", folder, avvik__unit_text(json_array_get(lists, 0), "hash"),
                    avvik__unit_text(json_array_get(lists, 1), "hash"));
    if (avvik__unit_is_done(night, unit, key))
        goto done;
    AVVIK_TRY(avvik__unit_begin(night, unit, key, error));
    AVVIK_TRY(avvik__directory_make(folder, error));
    for (int i = 0; i < 2; i++) {
        free(from);
        from = avvik__night_path(night, list_names[i]);
        to[i] = avvik__text("%s/%s", folder, list_names[i]);
        if (from == NULL || to[i] == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        AVVIK_TRY(avvik__file_copy(from, to[i], error));
    }
    status = avvik__unit_end(night, unit, (const char *const *)to, 2, json_object(), error);
done:
    free(from);
    free(folder);
    free(to[0]);
    free(to[1]);
    return status;
}

#include "calibration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "counter_draw.h"

uint32_t avvik__calibration_count(uint64_t n_rows, uint32_t n_features, uint32_t wanted)
{
    uint64_t n = wanted < AVVIK_CALIBRATION_ROWS ? wanted : AVVIK_CALIBRATION_ROWS;
    const uint64_t of_rows = n_rows / AVVIK_CALIBRATION_SHARE, of_memory = AVVIK_CALIBRATION_VALUES / n_features;
    n = n < of_rows ? n : of_rows;
    n = n < of_memory ? n : of_memory;
    if (n_rows - n < AVVIK_TREE_ROWS) /* what trees need */
        n = n_rows < AVVIK_TREE_ROWS ? 0 : n_rows - AVVIK_TREE_ROWS;
    return (uint32_t)n;
}

void avvik__calibration_draw(uint64_t seed, uint64_t n_rows, uint32_t n, uint64_t *rows_out)
{
    for (uint32_t i = 0; i < n; i++)
        rows_out[i] = avvik__draw_stratified(seed, AVVIK_DRAW_CALIBRATION, i, n, n_rows);
}

void avvik__calibration_skip(const uint64_t *held_out, uint32_t n_held_out, uint64_t n_rows, uint64_t *places, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* How many of the held-out rows lie before: about as many as if they lay evenly, since there is one in each of
         * n_held_out equal parts. */
        uint64_t before = avvik__draw_stratum(places[i], n_rows - n_held_out, n_held_out);
        while (before > 0 && held_out[before - 1] - (before - 1) > places[i])
            before--;
        while (before < n_held_out && held_out[before] - before <= places[i])
            before++;
        places[i] += before;
    }
}

enum avvik_status avvik__scored_init(struct avvik__scored *scored, uint32_t n, int has_tails, struct avvik_error *error)
{
    *scored = (struct avvik__scored){.n = n};
    if (n == 0)
        return AVVIK_OK;
    scored->path_sum = calloc(n, sizeof *scored->path_sum);
    scored->deviation = calloc(n, sizeof *scored->deviation);
    scored->joint = calloc(n, sizeof *scored->joint);
    scored->tails = has_tails ? calloc(n, sizeof *scored->tails) : NULL;
    if (scored->path_sum != NULL && scored->deviation != NULL && scored->joint != NULL &&
        (scored->tails != NULL || !has_tails))
        return AVVIK_OK;
    return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "not enough memory for the scores of %u rows", n);
}

static int integers_compare(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int floats_compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void avvik__scored_sort(struct avvik__scored *scored)
{
    if (scored->n == 0)
        return;
    qsort(scored->path_sum, scored->n, sizeof *scored->path_sum, integers_compare);
    qsort(scored->deviation, scored->n, sizeof *scored->deviation, floats_compare);
    qsort(scored->joint, scored->n, sizeof *scored->joint, floats_compare);
    if (scored->tails != NULL)
        qsort(scored->tails, scored->n, sizeof *scored->tails, integers_compare);
}

static void scored_destroy(struct avvik__scored *scored)
{
    free(scored->path_sum);
    free(scored->deviation);
    free(scored->joint);
    free(scored->tails);
    *scored = (struct avvik__scored){0};
}

void avvik__calibration_destroy(struct avvik__calibration *calibration)
{
    scored_destroy(&calibration->reference);
    scored_destroy(&calibration->held_out);
    free(calibration->held_out_groups);
    calibration->held_out_groups = NULL;
    avvik__strata_destroy(&calibration->strata);
}

enum avvik_status avvik__calibration_part(struct avvik__calibration *calibration, const struct avvik__groups *groups,
                                          const uint32_t *of_row, struct avvik_error *error)
{
    const uint32_t n = calibration->held_out.n;
    if (n == 0)
        return AVVIK_OK;
    if ((calibration->held_out_groups = malloc(n * sizeof *of_row)) == NULL ||
        !avvik__strata_make(&calibration->strata, groups, of_row, n))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "not enough memory for the groups of %u rows", n);
    memcpy(calibration->held_out_groups, of_row, n * sizeof *of_row);
    return AVVIK_OK;
}

static enum avvik_status scored_put(const struct avvik__scored *scored, const char *group, struct avvik__record *record,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char path[64];
    const uint64_t dims[1] = {scored->n};
    AVVIK_TRY(avvik__record_group(record, group, error));
    AVVIK_TRY(avvik__record_put_u64(record, group, "rows", scored->n, 1, error));
    if (scored->n == 0)
        return AVVIK_OK;
    snprintf(path, sizeof path, "%s/path_sum", group);
    AVVIK_TRY(avvik__record_put(record, path, AVVIK_I32, 1, dims, scored->path_sum, error));
    snprintf(path, sizeof path, "%s/deviation", group);
    AVVIK_TRY(avvik__record_put(record, path, AVVIK_F32, 1, dims, scored->deviation, error));
    snprintf(path, sizeof path, "%s/joint", group);
    AVVIK_TRY(avvik__record_put(record, path, AVVIK_F32, 1, dims, scored->joint, error));
    snprintf(path, sizeof path, "%s/tails", group);
    if (scored->tails != NULL)
        AVVIK_TRY(avvik__record_put(record, path, AVVIK_I32, 1, dims, scored->tails, error));
done:
    return status;
}

enum avvik_status avvik__calibration_put(const struct avvik__calibration *calibration, struct avvik__record *record,
                                         struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t n[1] = {calibration->held_out.n}, n_strata[1] = {calibration->strata.n};
    AVVIK_TRY(scored_put(&calibration->reference, "/reference", record, error));
    AVVIK_TRY(scored_put(&calibration->held_out, "/calibration", record, error));
    if (calibration->held_out_groups == NULL)
        goto done;
    AVVIK_TRY(
        avvik__record_put(record, "/calibration/peer_group", AVVIK_U32, 1, n, calibration->held_out_groups, error));
    AVVIK_TRY(
        avvik__record_put(record, "/calibration/among", AVVIK_U32, 1, n_strata, calibration->strata.group, error));
    AVVIK_TRY(
        avvik__record_put(record, "/calibration/among_last", AVVIK_U32, 1, n_strata, calibration->strata.last, error));
done:
    return status;
}

/* Files without peer groups, and those of earlier versions, do not have them. */
static enum avvik_status groups_get(struct avvik__calibration *calibration, struct avvik__record *record,
                                    const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__strata *strata = &calibration->strata;
    const uint64_t dims[1] = {calibration->held_out.n};
    uint64_t n_strata[1];
    if (!avvik__record_has(record, "/calibration/peer_group"))
        return AVVIK_OK;
    AVVIK_TRY(avvik__record_get(record, "/calibration/peer_group", AVVIK_U32, 1, dims,
                                (void **)&calibration->held_out_groups, error));
    AVVIK_TRY(avvik__record_dims(record, "/calibration/among", 1, n_strata, error));
    if (n_strata[0] == 0 || n_strata[0] > dims[0])
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %llu groups of %u held-out rows cannot be", path,
                   (unsigned long long)n_strata[0], calibration->held_out.n);
    AVVIK_TRY(avvik__record_get(record, "/calibration/among", AVVIK_U32, 1, n_strata, (void **)&strata->group, error));
    AVVIK_TRY(
        avvik__record_get(record, "/calibration/among_last", AVVIK_U32, 1, n_strata, (void **)&strata->last, error));
    strata->n = (uint32_t)n_strata[0];
    const int fits = avvik__strata_check(strata);
    if (fits < 0)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (!fits)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the groups of held-out rows do not fit together", path);
done:
    return status;
}

/* Path sums from 0 on and deviations, of one feature or joint, and tails that are no less than 0, ascending where they
 * should be.
 */
static int scored_fits(const struct avvik__scored *scored, int is_sorted)
{
    for (uint32_t i = 0; i < scored->n; i++) {
        if (scored->path_sum[i] < 0 || !(scored->deviation[i] >= 0) || !(scored->joint[i] >= 0) ||
            (scored->tails != NULL && scored->tails[i] < 0))
            return 0;
        if (is_sorted && i > 0 &&
            (scored->path_sum[i] < scored->path_sum[i - 1] || scored->deviation[i] < scored->deviation[i - 1] ||
             scored->joint[i] < scored->joint[i - 1] ||
             (scored->tails != NULL && scored->tails[i] < scored->tails[i - 1])))
            return 0;
    }
    return 1;
}

static enum avvik_status scored_get(struct avvik__scored *scored, const char *group, uint32_t max, int is_sorted,
                                    struct avvik__record *record, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    uint64_t n;
    void *data = NULL;
    char name[64];
    *scored = (struct avvik__scored){0};
    AVVIK_TRY(avvik__record_get_u64(record, group, "rows", &n, error));
    if (n > max)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s has %llu rows, more than the %u that there can be", path, group,
                   (unsigned long long)n, max);
    if (n == 0)
        return AVVIK_OK;
    const uint64_t dims[1] = {n};
    scored->n = (uint32_t)n;
    snprintf(name, sizeof name, "%s/path_sum", group);
    AVVIK_TRY(avvik__record_get(record, name, AVVIK_I32, 1, dims, &data, error));
    scored->path_sum = data;
    snprintf(name, sizeof name, "%s/deviation", group);
    AVVIK_TRY(avvik__record_get(record, name, AVVIK_F32, 1, dims, &data, error));
    scored->deviation = data;
    snprintf(name, sizeof name, "%s/joint", group);
    AVVIK_TRY(avvik__record_get(record, name, AVVIK_F32, 1, dims, &data, error));
    scored->joint = data;
    snprintf(name, sizeof name, "%s/tails", group);
    if (avvik__record_has(record, name)) {
        AVVIK_TRY(avvik__record_get(record, name, AVVIK_I32, 1, dims, &data, error));
        scored->tails = data;
    }
    if (!scored_fits(scored, is_sorted))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s has scores that cannot be; the file was changed or damaged", path,
                   group);
done:
    if (status != AVVIK_OK)
        scored_destroy(scored);
    return status;
}

enum avvik_status avvik__calibration_get(struct avvik__calibration *calibration, struct avvik__record *record,
                                         const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    *calibration = (struct avvik__calibration){0};
    AVVIK_TRY(scored_get(&calibration->reference, "/reference", AVVIK_REFERENCE_ROWS, 1, record, path, error));
    AVVIK_TRY(scored_get(&calibration->held_out, "/calibration", AVVIK_CALIBRATION_ROWS, 0, record, path, error));
    AVVIK_TRY(groups_get(calibration, record, path, error));
done:
    if (status != AVVIK_OK)
        avvik__calibration_destroy(calibration);
    return status;
}

/* Peer groups in a model file (host/io/README.md lists every field). */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "model_internal.h"

#define MAX_CELLS ((uint64_t)1 << 27)

enum avvik_status avvik__peers_put(const struct avvik_model *model, struct avvik__record *record,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__peers *peers = &model->peers;
    const struct avvik__groups *groups = &peers->groups;
    const uint64_t dims[2] = {groups->n, model->n_features}, names[2] = {peers->n_keys, AVVIK_NAME_SIZE};
    if (peers->n_keys == 0)
        goto done;
    AVVIK_TRY(avvik__record_group(record, "/peers", error));
    AVVIK_TRY(avvik__record_put_u64(record, "/peers", "min_rows", peers->min_rows, 1, error));
    AVVIK_TRY(avvik__record_put(record, "/peers/key", AVVIK_TEXT, 1, names, peers->keys, error));
    AVVIK_TRY(avvik__record_put(record, "/peers/parent", AVVIK_U32, 1, dims, groups->parent, error));
    AVVIK_TRY(avvik__record_put(record, "/peers/code", AVVIK_I32, 1, dims, groups->code, error));
    AVVIK_TRY(avvik__record_put(record, "/peers/rows", AVVIK_U64, 1, dims, groups->rows, error));
    AVVIK_TRY(avvik__record_put(record, "/peers/center32", AVVIK_F32, 2, dims, peers->center32, error));
    AVVIK_TRY(avvik__record_put(record, "/peers/rscale32", AVVIK_F32, 2, dims, peers->rscale32, error));
done:
    return status;
}

static int keys_fit(const struct avvik__peers *peers)
{
    for (uint32_t k = 0; k < peers->n_keys; k++)
        if (peers->keys[k][0] == '\0' || memchr(peers->keys[k], '\0', AVVIK_NAME_SIZE) == NULL)
            return 0;
    return 1;
}

/* Everyone is all rows, no group is smaller than it may be, and none is larger than what it is made of. */
static int rows_fit(const struct avvik_model *model)
{
    const struct avvik__groups *groups = &model->peers.groups;
    uint64_t *within = calloc(groups->n, sizeof *within);
    int fits = groups->rows[0] == model->n_rows;
    if (within == NULL)
        return -1;
    for (uint32_t g = 1; g < groups->n && fits; g++) {
        uint64_t *sum = &within[groups->parent[g]];
        fits = groups->rows[g] >= model->peers.min_rows && groups->rows[g] <= groups->rows[groups->parent[g]] - *sum;
        *sum += groups->rows[g];
    }
    free(within);
    return fits;
}

/* What kernels take: no NaN, infinity or denormal, no negative scale; and everyone has what the features have. */
static int cells_fit(const struct avvik_model *model)
{
    const struct avvik__peers *peers = &model->peers;
    for (size_t i = 0; i < (size_t)peers->groups.n * model->n_features; i++) {
        const float center = peers->center32[i], rscale = peers->rscale32[i];
        if (!isfinite(center) || (center != 0 && fabsf(center) < FLT_MIN) || !(rscale >= 0) || rscale > FLT_MAX ||
            (rscale != 0 && rscale < FLT_MIN))
            return 0;
        if (i < model->n_features && (center != model->features[i].center32 || rscale != model->features[i].rscale32))
            return 0;
    }
    return 1;
}

enum avvik_status avvik__peers_get(struct avvik_model *model, struct avvik__record *record, const char *path,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__peers *peers = &model->peers;
    struct avvik__groups *groups = &peers->groups;
    uint64_t n_keys, name_size, dims[2] = {0, model->n_features};
    void *data = NULL;
    if (!avvik__record_has(record, "/peers"))
        return AVVIK_OK;
    AVVIK_TRY(avvik__record_get_u64(record, "/peers", "min_rows", &peers->min_rows, error));
    AVVIK_TRY(avvik__record_dims(record, "/peers/key", 1, &n_keys, error));
    AVVIK_TRY(avvik__record_text_size(record, "/peers/key", &name_size, error));
    AVVIK_TRY(avvik__record_dims(record, "/peers/parent", 1, dims, error));
    if (n_keys == 0 || n_keys > AVVIK_MAX_KEYS || name_size != AVVIK_NAME_SIZE || dims[0] == 0 ||
        dims[0] > AVVIK_MAX_GROUPS || dims[0] * dims[1] > MAX_CELLS)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %llu peer groups by %llu columns cannot be", path,
                   (unsigned long long)dims[0], (unsigned long long)n_keys);
    AVVIK_TRY(
        avvik__record_get(record, "/peers/key", AVVIK_TEXT, 1, (const uint64_t[]){n_keys, name_size}, &data, error));
    memcpy(peers->keys, data, n_keys * name_size);
    free(data);
    peers->n_keys = (uint32_t)n_keys;
    groups->n = (uint32_t)dims[0];
    AVVIK_TRY(avvik__record_get(record, "/peers/parent", AVVIK_U32, 1, dims, (void **)&groups->parent, error));
    AVVIK_TRY(avvik__record_get(record, "/peers/code", AVVIK_I32, 1, dims, (void **)&groups->code, error));
    AVVIK_TRY(avvik__record_get(record, "/peers/rows", AVVIK_U64, 1, dims, (void **)&groups->rows, error));
    AVVIK_TRY(avvik__record_get(record, "/peers/center32", AVVIK_F32, 2, dims, (void **)&peers->center32, error));
    AVVIK_TRY(avvik__record_get(record, "/peers/rscale32", AVVIK_F32, 2, dims, (void **)&peers->rscale32, error));
    if ((groups->level = calloc(groups->n, sizeof *groups->level)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const int are_groups = avvik__groups_check(groups, peers->n_keys);
    const int have_rows = are_groups == 1 ? rows_fit(model) : 0;
    if (are_groups < 0 || have_rows < 0)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (!have_rows || !keys_fit(peers) || !cells_fit(model))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the peer groups do not fit together", path);
done:
    return status;
}

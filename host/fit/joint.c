#include "joint.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

uint32_t avvik__joint_most(uint32_t n_features)
{
    return (uint32_t)(AVVIK_JOINT_BYTES / ((n_features + AVVIK_JOINT_FACTOR(n_features)) * sizeof(float)));
}

uint64_t avvik__joint_peer_bytes(uint32_t n_features)
{
    const size_t stride = (n_features + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES;
    return (n_features + AVVIK_JOINT_FACTOR(n_features) + AVVIK_JOINT_TABLE(stride, n_features)) * sizeof(float);
}

/* More room for an array, what is new being zeros. */
static int array_grow(void *array, size_t size, size_t n_before, size_t n)
{
    void *before, *after;
    memcpy(&before, array, sizeof before);
    if ((after = realloc(before, n * size)) == NULL)
        return 0;
    memset((char *)after + n_before * size, 0, (n - n_before) * size);
    memcpy(array, &after, sizeof after);
    return 1;
}

int avvik__joint_grow(struct avvik__joint *joint, uint32_t n_features, uint32_t n)
{
    const size_t n_factor = AVVIK_JOINT_FACTOR(n_features), before = joint->n;
    if (!array_grow(&joint->group, sizeof *joint->group, before, n) ||
        !array_grow(&joint->rows, sizeof *joint->rows, before, n) ||
        !array_grow(&joint->mean, sizeof *joint->mean, before * n_features, (size_t)n * n_features) ||
        !array_grow(&joint->factor, sizeof *joint->factor, before * n_factor, n * n_factor))
        return 0;
    joint->n_features = n_features;
    joint->n = n;
    return 1;
}

void avvik__joint_destroy(struct avvik__joint *joint)
{
    free(joint->group);
    free(joint->rows);
    free(joint->mean);
    free(joint->factor);
    *joint = (struct avvik__joint){0};
}

enum avvik_status avvik__joint_put(const struct avvik__joint *joint, struct avvik__record *record,
                                   struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t n = joint->n_features, n_factor = AVVIK_JOINT_FACTOR(n), n_groups = joint->n - 1;
    const uint64_t means[2] = {n_groups, n}, factors[2] = {n_groups, n_factor};
    if (n == 0)
        return AVVIK_OK;
    AVVIK_TRY(avvik__record_group(record, "/joint", error));
    AVVIK_TRY(avvik__record_put(record, "/joint/mean", AVVIK_F32, 1, &n, joint->mean, error));
    AVVIK_TRY(avvik__record_put(record, "/joint/factor", AVVIK_F32, 1, &n_factor, joint->factor, error));
    if (n_groups == 0)
        return AVVIK_OK;
    const struct avvik__joint_measure first = avvik__joint_measure(joint, 1);
    AVVIK_TRY(avvik__record_group(record, "/joint/peers", error));
    AVVIK_TRY(avvik__record_put_u64(record, "/joint/peers", "min_rows", joint->min_rows, 1, error));
    AVVIK_TRY(avvik__record_put(record, "/joint/peers/group", AVVIK_U32, 1, &n_groups, joint->group + 1, error));
    AVVIK_TRY(avvik__record_put(record, "/joint/peers/rows", AVVIK_U64, 1, &n_groups, joint->rows + 1, error));
    AVVIK_TRY(avvik__record_put(record, "/joint/peers/mean", AVVIK_F32, 2, means, first.mean, error));
    AVVIK_TRY(avvik__record_put(record, "/joint/peers/factor", AVVIK_F32, 2, factors, first.factor, error));
done:
    return status;
}

/* Numbers that are finite, and 0 or at least `least` in magnitude. */
static enum avvik_status floats_get(struct avvik__record *record, const char *name, int rank, const uint64_t *dims,
                                    float least, float *into, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t n = rank == 1 ? dims[0] : dims[0] * dims[1];
    void *data = NULL;
    AVVIK_TRY(avvik__record_get(record, name, AVVIK_F32, rank, dims, &data, error));
    memcpy(into, data, n * sizeof *into);
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(into[i]) || (into[i] != 0 && fabsf(into[i]) < least))
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s has a number that cannot be; the model was changed or damaged",
                       path, name);
done:
    free(data);
    return status;
}

/* Of groups that there are, each once and in order, and of rows that they have. */
static int peers_fit(const struct avvik__joint *joint, const struct avvik__groups *groups)
{
    for (uint32_t k = 1; k < joint->n; k++)
        if (joint->group[k] <= joint->group[k - 1] || joint->group[k] >= groups->n ||
            joint->rows[k] < joint->min_rows || joint->rows[k] > groups->rows[joint->group[k]])
            return 0;
    return 1;
}

static enum avvik_status peers_get(struct avvik__joint *joint, const struct avvik__groups *groups,
                                   struct avvik__record *record, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint32_t n_features = joint->n_features;
    uint64_t means[2] = {0, n_features}, factors[2] = {0, AVVIK_JOINT_FACTOR(n_features)};
    void *numbers = NULL, *rows = NULL;
    AVVIK_TRY(avvik__record_get_u64(record, "/joint/peers", "min_rows", &joint->min_rows, error));
    AVVIK_TRY(avvik__record_dims(record, "/joint/peers/group", 1, means, error));
    if (means[0] == 0 || means[0] >= groups->n || means[0] > avvik__joint_most(n_features) ||
        joint->min_rows < AVVIK_JOINT_PEERS_LEAST)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %llu joint deviations of peer groups cannot be", path,
                   (unsigned long long)means[0]);
    factors[0] = means[0];
    if (!avvik__joint_grow(joint, n_features, (uint32_t)means[0] + 1))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    const struct avvik__joint_measure first = avvik__joint_measure(joint, 1);
    AVVIK_TRY(avvik__record_get(record, "/joint/peers/group", AVVIK_U32, 1, means, &numbers, error));
    AVVIK_TRY(avvik__record_get(record, "/joint/peers/rows", AVVIK_U64, 1, means, &rows, error));
    memcpy(joint->group + 1, numbers, means[0] * sizeof *joint->group);
    memcpy(joint->rows + 1, rows, means[0] * sizeof *joint->rows);
    if (!peers_fit(joint, groups))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: the joint deviations of peer groups do not fit these groups", path);
    AVVIK_TRY(floats_get(record, "/joint/peers/mean", 2, means, FLT_MIN, first.mean, path, error));
    AVVIK_TRY(
        floats_get(record, "/joint/peers/factor", 2, factors, AVVIK_JOINT_LEAST_FACTOR, first.factor, path, error));
done:
    free(numbers);
    free(rows);
    return status;
}

enum avvik_status avvik__joint_get(struct avvik__joint *joint, uint32_t n_features, const struct avvik__groups *groups,
                                   struct avvik__record *record, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t n = n_features, n_factor = AVVIK_JOINT_FACTOR(n);
    if (!avvik__record_has(record, "/joint"))
        return AVVIK_OK;
    if (n > AVVIK_JOINT_FEATURES)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: a joint deviation over %u features is not known", path,
                                n_features);
    if (!avvik__joint_grow(joint, n_features, 1))
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(floats_get(record, "/joint/mean", 1, &n, FLT_MIN, joint->mean, path, error));
    AVVIK_TRY(floats_get(record, "/joint/factor", 1, &n_factor, AVVIK_JOINT_LEAST_FACTOR, joint->factor, path, error));
    if (avvik__record_has(record, "/joint/peers"))
        AVVIK_TRY(peers_get(joint, groups, record, path, error));
done:
    return status;
}

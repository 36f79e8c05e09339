#include "input_hash.h"

#include <stdlib.h>

#include "hash_text.h"

struct avvik__input_hash {
    size_t n_features;
    XXH3_state_t *states[];
};

struct avvik__input_hash *avvik__input_hash_new(size_t n_features)
{
    struct avvik__input_hash *hash = calloc(1, sizeof *hash + n_features * sizeof hash->states[0]);
    if (hash == NULL)
        return NULL;
    hash->n_features = n_features;
    for (size_t f = 0; f < n_features; f++) {
        if ((hash->states[f] = XXH3_createState()) == NULL) {
            avvik__input_hash_free(hash);
            return NULL;
        }
        XXH3_128bits_reset(hash->states[f]);
    }
    return hash;
}

void avvik__input_hash_free(struct avvik__input_hash *hash)
{
    for (size_t f = 0; hash != NULL && f < hash->n_features; f++)
        XXH3_freeState(hash->states[f]);
    free(hash);
}

void avvik__input_hash_add(struct avvik__input_hash *hash, const float *columns, size_t column_stride, size_t n_rows)
{
    for (size_t f = 0; f < hash->n_features; f++)
        XXH3_128bits_update(hash->states[f], columns + f * column_stride, n_rows * sizeof(float));
}

void avvik__input_hash_text(const struct avvik__input_hash *hash, char *text)
{
    XXH3_state_t *all = XXH3_createState();
    if (all != NULL)
        XXH3_128bits_reset(all);
    for (size_t f = 0; all != NULL && f < hash->n_features; f++) {
        XXH128_canonical_t digest;
        XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(hash->states[f]));
        XXH3_128bits_update(all, &digest, sizeof digest);
    }
    avvik__hash_text(all == NULL ? XXH3_128bits("", 0) : XXH3_128bits_digest(all), text);
    XXH3_freeState(all);
}

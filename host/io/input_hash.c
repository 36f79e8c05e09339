#include "input_hash.h"

#include "hash_text.h"

XXH3_state_t *avvik__input_hash_new(void)
{
    XXH3_state_t *hash = XXH3_createState();
    if (hash != NULL)
        XXH3_128bits_reset(hash);
    return hash;
}

void avvik__input_hash_add(XXH3_state_t *hash, const XXH128_hash_t *digests, size_t n_rows, size_t n_features)
{
    const size_t n = avvik__input_digest_count(n_rows, n_features);
    for (size_t i = 0; i < n; i++) {
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, digests[i]);
        XXH3_128bits_update(hash, &canonical, sizeof canonical);
    }
}

void avvik__input_hash_text(const XXH3_state_t *hash, char *text)
{
    avvik__hash_text(XXH3_128bits_digest(hash), text);
}

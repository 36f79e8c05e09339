#include "input_hash.h"

void avvik__input_hash_add(struct avvik__input_hash *hash, const XXH128_canonical_t *digests, size_t n_rows,
                           size_t n_features)
{
    for (size_t row = 0; row < n_rows; row += AVVIK_HASH_ROWS, digests += n_features) {
        struct {
            XXH128_canonical_t before, columns;
        } both = {.before = hash->sum};
        XXH128_canonicalFromHash(&both.columns, XXH3_128bits(digests, n_features * sizeof *digests));
        XXH128_canonicalFromHash(&hash->sum, XXH3_128bits(&both, sizeof both));
    }
}

void avvik__input_hash_text(const struct avvik__input_hash *hash, char *text)
{
    avvik__hash_text(XXH128_hashFromCanonical(&hash->sum), text);
}

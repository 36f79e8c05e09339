/* A cache file is a header and a payload; the header's integers are in the machine's order, as the payload is for this
 * machine alone. */
#include "opencl_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "cache_file.h"

#define CACHE_MAGIC "avvikCL1"
#define CACHE_MAX_BYTES ((uint64_t)64 << 20) /* far above any program of ours */
#define NAME_BYTES 40

struct cache_header {
    char magic[8];
    uint8_t key[16];
    uint64_t payload_bytes;
    uint8_t payload_hash[16];
};

static void hash_bytes(XXH128_hash_t hash, uint8_t bytes[16])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(bytes, canonical.digest, 16);
}

void avvik__cl_cache_key(const char *const *texts, size_t n_texts, struct avvik__cl_cache_key *key_out)
{
    /* A chain of hashes, each over the one before and the hash of the next text: no streaming state to allocate. */
    struct {
        uint8_t before[16], text[16];
        uint64_t length;
    } link = {{0}, {0}, 0};
    for (size_t i = 0; i < n_texts; i++) {
        const size_t length = strlen(texts[i]);
        link.length = length;
        hash_bytes(XXH3_128bits(texts[i], length), link.text);
        hash_bytes(XXH3_128bits(&link, sizeof link), link.before);
    }
    memcpy(key_out->bytes, link.before, sizeof key_out->bytes);
}

void avvik__cl_cache_name(const struct avvik__cl_cache_key *key, const char *suffix, char name[NAME_BYTES])
{
    for (int i = 0; i < 16; i++)
        snprintf(name + 2 * i, 3, "%02x", key->bytes[i]);
    snprintf(name + 32, NAME_BYTES - 32, ".%s", suffix);
}

uint8_t *avvik__cl_cache_load(const struct avvik__cl_cache_key *key, size_t *size_out)
{
    char name[NAME_BYTES];
    struct cache_header header;
    size_t size = 0;
    uint8_t hash[16];
    int is_odd;
    avvik__cl_cache_name(key, "clbin", name);
    uint8_t *content = avvik__cache_read(name, sizeof header + CACHE_MAX_BYTES, &size, &is_odd);
    if (content == NULL)
        return NULL;
    if (size > sizeof header) {
        memcpy(&header, content, sizeof header);
        memmove(content, content + sizeof header, size -= sizeof header);
        hash_bytes(XXH3_128bits(content, size), hash);
        if (memcmp(header.magic, CACHE_MAGIC, sizeof header.magic) == 0 &&
            memcmp(header.key, key->bytes, sizeof header.key) == 0 && header.payload_bytes == size &&
            memcmp(hash, header.payload_hash, sizeof hash) == 0) {
            *size_out = size;
            return content;
        }
    }
    free(content);
    return NULL;
}

void avvik__cl_cache_store(const struct avvik__cl_cache_key *key, const uint8_t *binary, size_t size)
{
    char name[NAME_BYTES];
    struct cache_header header;
    if (size == 0 || size > CACHE_MAX_BYTES)
        return;
    memcpy(header.magic, CACHE_MAGIC, sizeof header.magic);
    memcpy(header.key, key->bytes, sizeof header.key);
    header.payload_bytes = size;
    hash_bytes(XXH3_128bits(binary, size), header.payload_hash);
    avvik__cl_cache_name(key, "clbin", name);
    avvik__cache_write(name, &header, sizeof header, binary, size);
}

void avvik__cl_cache_remove(const struct avvik__cl_cache_key *key)
{
    char name[NAME_BYTES];
    avvik__cl_cache_name(key, "clbin", name);
    avvik__cache_remove(name);
}

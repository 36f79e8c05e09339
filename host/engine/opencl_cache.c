/* A cache file is a header and a payload; the header's integers are in the machine's order, as the payload is for this
 * machine alone. */
#include "opencl_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#define CACHE_MAGIC "avvikCL1"
#define CACHE_MAX_BYTES ((uint64_t)64 << 20) /* far above any program of ours */
#define PATH_BYTES 4096

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

/* The cache directory; 0 if there is no place for one. */
static int directory_path(char path[PATH_BYTES])
{
    const char *own = getenv("AVVIK_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (own != NULL && own[0] != '\0')
        n = snprintf(path, PATH_BYTES, "%s", own);
    else if (xdg != NULL && xdg[0] == '/') /* the XDG specification: relative paths are to be ignored */
        n = snprintf(path, PATH_BYTES, "%s/avvik", xdg);
    else if (home != NULL && home[0] == '/')
        n = snprintf(path, PATH_BYTES, "%s/.cache/avvik", home);
    return n > 0 && n < PATH_BYTES;
}

static int file_path(const struct avvik__cl_cache_key *key, char path[PATH_BYTES])
{
    char directory[PATH_BYTES], name[33];
    if (!directory_path(directory))
        return 0;
    for (int i = 0; i < 16; i++)
        snprintf(name + 2 * i, 3, "%02x", key->bytes[i]);
    const int n = snprintf(path, PATH_BYTES, "%s/%s.clbin", directory, name);
    return n > 0 && n < PATH_BYTES;
}

static int read_all(int fd, void *to, size_t size)
{
    uint8_t *at = to;
    while (size > 0) {
        const ssize_t n = read(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        at += n;
        size -= (size_t)n;
    }
    return 1;
}

static int write_all(int fd, const void *from, size_t size)
{
    const uint8_t *at = from;
    while (size > 0) {
        const ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        at += n;
        size -= (size_t)n;
    }
    return 1;
}

uint8_t *avvik__cl_cache_load(const struct avvik__cl_cache_key *key, size_t *size_out)
{
    char path[PATH_BYTES];
    struct cache_header header;
    struct stat info;
    uint8_t *payload = NULL, hash[16];
    int is_whole = 0;
    if (!file_path(key, path))
        return NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != geteuid() ||
        (info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        goto done;
    if (!read_all(fd, &header, sizeof header) || memcmp(header.magic, CACHE_MAGIC, sizeof header.magic) != 0 ||
        memcmp(header.key, key->bytes, sizeof header.key) != 0 || header.payload_bytes == 0 ||
        header.payload_bytes > CACHE_MAX_BYTES || (uint64_t)info.st_size != sizeof header + header.payload_bytes)
        goto done;
    payload = malloc(header.payload_bytes);
    if (payload == NULL || !read_all(fd, payload, header.payload_bytes))
        goto done;
    hash_bytes(XXH3_128bits(payload, header.payload_bytes), hash);
    is_whole = memcmp(hash, header.payload_hash, sizeof hash) == 0;
    *size_out = header.payload_bytes;
done:
    close(fd);
    if (!is_whole) {
        free(payload);
        payload = NULL;
    }
    return payload;
}

/* mkdir -p; what fails here fails again, visibly, when the file is made. */
static void directories_make(char *directory)
{
    for (char *slash = strchr(directory + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(directory, 0700);
        *slash = '/';
    }
    mkdir(directory, 0700);
}

void avvik__cl_cache_store(const struct avvik__cl_cache_key *key, const uint8_t *binary, size_t size)
{
    char path[PATH_BYTES], directory[PATH_BYTES], temporary[PATH_BYTES + 16];
    struct cache_header header;
    if (size == 0 || size > CACHE_MAX_BYTES || !directory_path(directory) || !file_path(key, path))
        return;
    directories_make(directory);
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    const int fd = mkstemp(temporary); /* mode 0600 */
    if (fd < 0)
        return;
    memcpy(header.magic, CACHE_MAGIC, sizeof header.magic);
    memcpy(header.key, key->bytes, sizeof header.key);
    header.payload_bytes = size;
    hash_bytes(XXH3_128bits(binary, size), header.payload_hash);
    const int is_written = write_all(fd, &header, sizeof header) && write_all(fd, binary, size);
    if (close(fd) != 0 || !is_written || rename(temporary, path) != 0)
        unlink(temporary);
}

void avvik__cl_cache_remove(const struct avvik__cl_cache_key *key)
{
    char path[PATH_BYTES];
    if (file_path(key, path))
        unlink(path);
}

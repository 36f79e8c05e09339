#include "login_limit.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define N_SLOTS 8192
#define N_PROBES 8
#define N_KINDS 3

struct slot {
    uint64_t key; /* 0: free */
    int64_t began;
    int count;
};

struct avvik__login_limit {
    pthread_mutex_t lock;
    unsigned char secret[crypto_shorthash_KEYBYTES]; /* so that nobody can choose names that meet in a slot */
    struct slot slots[N_SLOTS];
};

struct avvik__login_limit *avvik__login_limit_create(void)
{
    struct avvik__login_limit *limit = sodium_init() < 0 ? NULL : calloc(1, sizeof *limit);
    if (limit != NULL) {
        pthread_mutex_init(&limit->lock, NULL);
        crypto_shorthash_keygen(limit->secret);
    }
    return limit;
}

void avvik__login_limit_free(struct avvik__login_limit *limit)
{
    if (limit != NULL)
        pthread_mutex_destroy(&limit->lock);
    free(limit);
}

static uint64_t key_of(const struct avvik__login_limit *limit, int kind, const char *account, const char *address)
{
    const char *const texts[N_KINDS][2] = {{account, address}, {"", address}, {account, ""}};
    unsigned char parts[2 * crypto_shorthash_BYTES + 1], hash[crypto_shorthash_BYTES];
    uint64_t key;
    for (size_t i = 0; i < 2; i++)
        crypto_shorthash(parts + i * crypto_shorthash_BYTES, (const unsigned char *)texts[kind][i],
                         strlen(texts[kind][i]), limit->secret);
    parts[sizeof parts - 1] = (unsigned char)kind;
    crypto_shorthash(hash, parts, sizeof parts, limit->secret);
    memcpy(&key, hash, sizeof key);
    return key == 0 ? 1 : key;
}

/* The slot of a key; one to take for it, the oldest of those looked at, where it has none. */
static struct slot *slot_find(struct avvik__login_limit *limit, uint64_t key, int64_t now)
{
    struct slot *oldest = &limit->slots[key % N_SLOTS];
    for (uint64_t i = 0; i < N_PROBES; i++) {
        struct slot *slot = &limit->slots[(key + i) % N_SLOTS];
        if (slot->key != 0 && now - slot->began >= AVVIK_LOGIN_WINDOW_S)
            *slot = (struct slot){0, 0, 0};
        if (slot->key == key)
            return slot;
        if (slot->began < oldest->began)
            oldest = slot;
    }
    return oldest;
}

int avvik__login_allowed(struct avvik__login_limit *limit, const char *account, const char *address, int64_t now)
{
    static const int most[N_KINDS] = {AVVIK_LOGIN_PAIR, AVVIK_LOGIN_ADDRESS, AVVIK_LOGIN_ACCOUNT};
    int is_allowed = 1;
    pthread_mutex_lock(&limit->lock);
    for (int kind = 0; kind < N_KINDS; kind++) {
        const uint64_t key = key_of(limit, kind, account, address);
        const struct slot *slot = slot_find(limit, key, now);
        is_allowed = is_allowed && (slot->key != key || slot->count < most[kind]);
    }
    pthread_mutex_unlock(&limit->lock);
    return is_allowed;
}

void avvik__login_refused(struct avvik__login_limit *limit, const char *account, const char *address, int64_t now)
{
    pthread_mutex_lock(&limit->lock);
    for (int kind = 0; kind < N_KINDS; kind++) {
        const uint64_t key = key_of(limit, kind, account, address);
        struct slot *slot = slot_find(limit, key, now);
        if (slot->key != key)
            *slot = (struct slot){key, now, 0};
        slot->count++;
    }
    pthread_mutex_unlock(&limit->lock);
}

void avvik__login_forget(struct avvik__login_limit *limit, const char *account, const char *address, int64_t now)
{
    pthread_mutex_lock(&limit->lock);
    for (int kind = 0; kind < N_KINDS; kind++) {
        const uint64_t key = key_of(limit, kind, account, address);
        struct slot *slot = slot_find(limit, key, now);
        if (slot->key == key)
            slot->count = kind == 0 ? 0 : slot->count - 1; /* others' are not forgiven for one's own */
    }
    pthread_mutex_unlock(&limit->lock);
}

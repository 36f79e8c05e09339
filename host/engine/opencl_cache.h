/* Compiled OpenCL programs kept on disk between runs. */
#ifndef AVVIK_OPENCL_CACHE_H
#define AVVIK_OPENCL_CACHE_H

#include <stddef.h>
#include <stdint.h>

/* What a binary depends on; XXH3-128 of all of it names the file. */
struct avvik__cl_cache_key {
    uint8_t bytes[16];
};

/* Hash `n_texts` strings, each with its length, so that no two lists of texts run together. */
void avvik__cl_cache_key(const char *const *texts, size_t n_texts, struct avvik__cl_cache_key *key_out);

/* The name of a file for a key (cache_file.h): 32 hexadecimal digits and ".suffix", which has at most 6 letters. */
void avvik__cl_cache_name(const struct avvik__cl_cache_key *key, const char *suffix, char name[40]);

/* The binary stored under `key`, malloc'ed, its length in *size_out; NULL if there is none that is whole and ours: the
 * file is untrusted, and must match the hash it carries. */
uint8_t *avvik__cl_cache_load(const struct avvik__cl_cache_key *key, size_t *size_out);

/* Store a binary. A cache that cannot be written is no error: the next run compiles again. */
void avvik__cl_cache_store(const struct avvik__cl_cache_key *key, const uint8_t *binary, size_t size);

/* Forget what is stored under `key`. */
void avvik__cl_cache_remove(const struct avvik__cl_cache_key *key);

#endif

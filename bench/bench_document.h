/* The JSON documents of avvik-bench: written by a run, read by compare, plot and join. bench/README.md has the fields.
 */
#ifndef AVVIK_BENCH_DOCUMENT_H
#define AVVIK_BENCH_DOCUMENT_H

#include <jansson.h>

#include "bench.h"

#define BENCH_SCHEMA "avvik-bench 2"
#define BENCH_KEY_SIZE 256

/* One measurement of a document; strings and samples are the document's or its own. */
struct bench_entry {
    char key[BENCH_KEY_SIZE]; /* all of what makes it the same measurement in another run */
    const char *name, *variant, *layout, *types;
    size_t features, rows, trees, sample, threads;
    size_t n_samples;
    double sample_s[BENCH_MAX_SAMPLES];
};

/* A document that was read: who made it, on what, and its measurements. */
struct bench_document {
    json_t *json;
    const char *path, *commit, *when, *cpu, *compiler;
    struct bench_entry *entries;
    size_t n_entries;
};

/* Read `path`. Every field is checked. BENCH_BAD_INPUT, with a sentence, if it is no JSON, of another schema (the
 * sentence names both), or if a measurement is not as documented or occurs twice. */
enum bench_exit bench_document_read(const char *path, struct bench_document *document);
void bench_document_destroy(struct bench_document *document);

/* The measurement of `document` with this key, or NULL. */
const struct bench_entry *bench_document_find(const struct bench_document *document, const char *key);

/* Print `json` on stdout and release it. */
enum bench_exit bench_json_print(json_t *json);

#endif

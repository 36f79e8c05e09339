#include "bench_document.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_document_destroy(struct bench_document *document)
{
    json_decref(document->json);
    free(document->entries);
    *document = (struct bench_document){0};
}

const struct bench_entry *bench_document_find(const struct bench_document *document, const char *key)
{
    for (size_t i = 0; i < document->n_entries; i++)
        if (strcmp(document->entries[i].key, key) == 0)
            return &document->entries[i];
    return NULL;
}

/* "forest_path avx2, 16 features, 65536 rows, 100 trees of 256, 1 thread, contiguous float32" */
static void key_make(struct bench_entry *entry)
{
    char forest[64] = "", file[64] = "";
    if (entry->trees > 0)
        snprintf(forest, sizeof forest, ", %zu trees of %zu", entry->trees, entry->sample);
    if (entry->layout[0] != '\0')
        snprintf(file, sizeof file, ", %.24s %.24s", entry->layout, entry->types);
    snprintf(entry->key, sizeof entry->key, "%.40s%s%.40s, %zu features, %zu rows%s, %zu thread%s%s", entry->name,
             entry->variant[0] == '\0' ? "" : " ", entry->variant, entry->features, entry->rows, forest, entry->threads,
             entry->threads == 1 ? "" : "s", file);
}

static int samples_read(const json_t *list, struct bench_entry *entry)
{
    size_t i;
    json_t *value;
    entry->n_samples = json_array_size(list);
    if (entry->n_samples == 0 || entry->n_samples > BENCH_MAX_SAMPLES)
        return 0;
    json_array_foreach(list, i, value)
    {
        entry->sample_s[i] = json_number_value(value);
        if (!json_is_number(value) || !(entry->sample_s[i] > 0) || isinf(entry->sample_s[i]))
            return 0;
    }
    return 1;
}

static enum bench_exit entry_read(const char *path, size_t i, json_t *json, struct bench_entry *entry)
{
    json_error_t error;
    json_t *samples;
    json_int_t counts[5];
    if (json_unpack_ex(json, &error, 0, "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "name", &entry->name,
                       "variant", &entry->variant, "layout", &entry->layout, "types", &entry->types, "features",
                       &counts[0], "rows", &counts[1], "trees", &counts[2], "sample", &counts[3], "threads", &counts[4],
                       "samples_s", &samples) != 0)
        return bench_fail(BENCH_BAD_INPUT, "%s: measurement %zu: %s", path, i, error.text);
    for (int k = 0; k < 5; k++)
        if (counts[k] < 0)
            return bench_fail(BENCH_BAD_INPUT, "%s: measurement %zu has a negative count", path, i);
    entry->features = (size_t)counts[0];
    entry->rows = (size_t)counts[1];
    entry->trees = (size_t)counts[2];
    entry->sample = (size_t)counts[3];
    entry->threads = (size_t)counts[4];
    if (!samples_read(samples, entry))
        return bench_fail(BENCH_BAD_INPUT, "%s: measurement %zu (%s) has no samples_s of 1 to %d times above 0", path,
                          i, entry->name, BENCH_MAX_SAMPLES);
    key_make(entry);
    return BENCH_DONE;
}

static enum bench_exit entries_read(struct bench_document *document, const json_t *list)
{
    size_t i;
    json_t *json;
    document->entries = calloc(json_array_size(list) + 1, sizeof *document->entries);
    if (document->entries == NULL)
        return bench_fail(BENCH_FAILED, "not enough memory");
    json_array_foreach(list, i, json)
    {
        struct bench_entry *entry = &document->entries[i];
        const enum bench_exit status = entry_read(document->path, i, json, entry);
        if (status != BENCH_DONE)
            return status;
        if (bench_document_find(document, entry->key) != NULL)
            return bench_fail(BENCH_BAD_INPUT, "%s has two measurements of %s", document->path, entry->key);
        document->n_entries++;
    }
    return BENCH_DONE;
}

enum bench_exit bench_document_read(const char *path, struct bench_document *document)
{
    json_error_t error;
    const char *schema;
    json_t *list;
    *document = (struct bench_document){.path = path, .json = json_load_file(path, 0, &error)};
    if (document->json == NULL)
        return bench_fail(BENCH_BAD_INPUT, "%s: line %d: %s", path, error.line, error.text);
    schema = json_string_value(json_object_get(document->json, "schema"));
    if (schema == NULL || strcmp(schema, BENCH_SCHEMA) != 0)
        return bench_fail(BENCH_BAD_INPUT,
                          "%s is of the schema '%.40s', and this program reads '%s' only; measure again", path,
                          schema == NULL ? "none" : schema, BENCH_SCHEMA);
    if (json_unpack_ex(document->json, &error, 0, "{s:s, s:{s:s, s:s}, s:{s:s}, s:o}", "when", &document->when, "build",
                       "commit", &document->commit, "compiler", &document->compiler, "machine", "cpu", &document->cpu,
                       "results", &list) != 0 ||
        !json_is_array(list))
        return bench_fail(BENCH_BAD_INPUT, "%s: %s", path, error.text[0] == '\0' ? "results is no list" : error.text);
    return entries_read(document, list);
}

enum bench_exit bench_json_print(json_t *json)
{
    const int is_printed = json != NULL && json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0 &&
                           putchar('\n') == '\n' && fflush(stdout) == 0;
    json_decref(json);
    return is_printed ? BENCH_DONE : bench_fail(BENCH_FAILED, "the JSON document cannot be written");
}

enum bench_exit bench_join(const struct bench_options *options)
{
    struct bench_document first = {0};
    if (options->n_files < 1)
        return bench_fail(BENCH_USAGE, "join takes the documents to put together");
    enum bench_exit status = bench_document_read(options->files[0], &first);
    for (size_t i = 1; i < options->n_files && status == BENCH_DONE; i++) {
        struct bench_document other;
        status = bench_document_read(options->files[i], &other);
        if (status == BENCH_DONE && (strcmp(first.commit, other.commit) != 0 || strcmp(first.cpu, other.cpu) != 0 ||
                                     strcmp(first.compiler, other.compiler) != 0))
            status =
                bench_fail(BENCH_BAD_INPUT, "%s is of another commit, compiler or CPU than %s", other.path, first.path);
        for (size_t k = 0; k < other.n_entries && status == BENCH_DONE; k++)
            if (bench_document_find(&first, other.entries[k].key) != NULL)
                status =
                    bench_fail(BENCH_BAD_INPUT, "%s and %s both have %s", first.path, other.path, other.entries[k].key);
        if (status == BENCH_DONE)
            json_array_extend(json_object_get(first.json, "results"), json_object_get(other.json, "results"));
        bench_document_destroy(&other);
    }
    if (status == BENCH_DONE)
        status = bench_json_print(json_incref(first.json));
    bench_document_destroy(&first);
    return status;
}

/* One run against another, measurement by measurement. */
#include <stdio.h>
#include <string.h>

#include "bench_document.h"
#include "bench_interval.h"

#define LEAST_CONFIDENCE 0.95

enum verdict { SAME, FASTER, SLOWER, TOO_FEW, N_VERDICTS };
static const char *const verdict_names[N_VERDICTS] = {"same", "faster", "SLOWER", "too few samples"};

/* A regression is one that the whole interval says. */
static enum verdict verdict_of(const struct bench_interval *interval, double limit)
{
    if (interval->confidence < LEAST_CONFIDENCE)
        return TOO_FEW;
    if (interval->low > 1 + limit)
        return SLOWER;
    return interval->high < 1 / (1 + limit) ? FASTER : SAME;
}

static json_t *line_json(const struct bench_entry *entry, const struct bench_interval *interval, enum verdict verdict)
{
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:s}", "measurement", entry->key, "ratio", interval->ratio, "low",
                     interval->low, "high", interval->high, "confidence", interval->confidence, "verdict",
                     verdict == SLOWER ? "slower" : verdict_names[verdict]);
}

static void line_print(const struct bench_entry *entry, const struct bench_interval *interval, enum verdict verdict)
{
    printf("%7.3f  [%6.3f, %6.3f]  %-15s  %s\n", interval->ratio, interval->low, interval->high, verdict_names[verdict],
           entry->key);
}

static size_t n_missing(const struct bench_document *of, const struct bench_document *from)
{
    size_t n = 0;
    for (size_t i = 0; i < of->n_entries; i++)
        n += bench_document_find(from, of->entries[i].key) == NULL;
    return n;
}

static enum bench_exit documents_compare(const struct bench_document *a, const struct bench_document *b,
                                         const struct bench_options *options)
{
    size_t n[N_VERDICTS] = {0}, n_common = 0;
    json_t *list = json_array();
    if (!options->is_json)
        printf("time of %s (%s) over time of %s (%s), and the interval at 95 %%\n", b->path, b->commit, a->path,
               a->commit);
    for (size_t i = 0; i < a->n_entries; i++) {
        const struct bench_entry *old = &a->entries[i], *new = bench_document_find(b, old->key);
        struct bench_interval interval;
        if (new == NULL)
            continue;
        if (!bench_interval_of(old->sample_s, old->n_samples, new->sample_s, new->n_samples, &interval)) {
            json_decref(list);
            return bench_fail(BENCH_FAILED, "not enough memory");
        }
        const enum verdict verdict = verdict_of(&interval, (double)options->limit / 100);
        n[verdict]++;
        n_common++;
        if (options->is_json)
            json_array_append_new(list, line_json(old, &interval, verdict));
        else
            line_print(old, &interval, verdict);
    }
    if (options->is_json)
        bench_json_print(json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:O}", "schema", "avvik-bench compare 1", "a",
                                   a->path, "b", b->path, "limit_percent", (json_int_t)options->limit, "only_in_a",
                                   (json_int_t)n_missing(a, b), "only_in_b", (json_int_t)n_missing(b, a),
                                   "measurements", list));
    else
        printf("%zu compared: %zu slower by more than %zu %%, %zu faster, %zu the same, %zu with too few samples; "
               "%zu only in %s, %zu only in %s\n",
               n_common, n[SLOWER], options->limit, n[FASTER], n[SAME], n[TOO_FEW], n_missing(a, b), a->path,
               n_missing(b, a), b->path);
    json_decref(list);
    if (n_common == 0)
        return bench_fail(BENCH_BAD_INPUT, "%s and %s have no measurement in common", a->path, b->path);
    return n[SLOWER] > 0 ? BENCH_SLOWER : BENCH_DONE;
}

enum bench_exit bench_compare(const struct bench_options *options)
{
    struct bench_document a = {0}, b = {0};
    if (options->n_files != 2)
        return bench_fail(BENCH_USAGE, "compare takes two documents, the old one first");
    enum bench_exit status = bench_document_read(options->files[0], &a);
    if (status == BENCH_DONE)
        status = bench_document_read(options->files[1], &b);
    if (status == BENCH_DONE && strcmp(a.cpu, b.cpu) != 0)
        bench_fail(BENCH_DONE, "%s ran on %s, %s on %s: the ratios are of machines, too", a.path, a.cpu, b.path, b.cpu);
    if (status == BENCH_DONE)
        status = documents_compare(&a, &b, options);
    bench_document_destroy(&a);
    bench_document_destroy(&b);
    return status;
}

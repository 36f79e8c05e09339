/* What a run says: a table for people, JSON for machines, a verdict for CI. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "bench.h"
#include "build_info.h"

static double median_s(const struct bench_result *r)
{
    return r->sample_s[r->n_samples / 2];
}

static double best_s(const struct bench_result *r)
{
    return r->sample_s[0];
}

static double gb_s(const struct bench_result *r)
{
    return 1e-9 * r->bytes / best_s(r);
}

void bench_report_table(const struct bench_options *options, const struct bench_machine *machine,
                        const struct bench_results *results)
{
    printf("avvik %s, %s, %s\n", AVVIK_VERSION, AVVIK_BUILD_COMPILER, AVVIK_BUILD_TYPE);
    printf("%s; one thread: copy %.1f GB/s, read %.1f GB/s, 16 lookups in L1 %.1f ns\n", machine->cpu,
           machine->copy_gb_s, machine->read_gb_s, machine->gather_ns);
    printf("%zu rows, %u trees of %u rows, %d runs in turns; M rows/s of the best run (and of the median one)\n\n",
           options->rows, options->trees, options->sample, options->n_samples);
    printf("%-17s %-11s %8s %9s %10s %12s %7s %8s %8s\n", "kernel", "variant", "features", "M rows/s", "(median)",
           "ns/row/tree", "GB/s", "of copy", "x scalar");
    for (size_t i = 0; i < results->n; i++) {
        const struct bench_result *r = &results->result[i];
        const double rows = (double)r->n_rows;
        char per_tree[32] = "";
        if (r->trees > 0)
            snprintf(per_tree, sizeof per_tree, "%.3f", 1e9 * best_s(r) / rows / r->trees);
        if (i > 0 && strcmp(r->variant, "scalar") == 0)
            printf("\n");
        printf("%-17s %-11s %8zu %9.2f %10.2f %12s %7.2f %7.0f%% %8.2f\n", r->kernel, r->variant, r->n_features,
               1e-6 * rows / best_s(r), 1e-6 * rows / median_s(r), per_tree, gb_s(r),
               100 * gb_s(r) / machine->copy_gb_s, r->ratio);
    }
}

static json_t *result_json(const struct bench_result *r, const struct bench_machine *machine)
{
    json_t *samples = json_array();
    for (int i = 0; i < r->n_samples; i++)
        json_array_append_new(samples, json_real(r->sample_s[i]));
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:o}", "kernel", r->kernel, "variant",
                     r->variant, "features", (json_int_t)r->n_features, "rows", (json_int_t)r->n_rows, "trees",
                     (json_int_t)r->trees, "height", (json_int_t)r->height, "best_rows_per_s",
                     (double)r->n_rows / best_s(r), "median_rows_per_s", (double)r->n_rows / median_s(r), "gb_per_s",
                     gb_s(r), "share_of_copy", gb_s(r) / machine->copy_gb_s, "ratio", r->ratio, "samples_s", samples);
}

void bench_report_json(const struct bench_options *options, const struct bench_machine *machine,
                       const struct bench_results *results)
{
    json_t *list = json_array();
    for (size_t i = 0; i < results->n; i++)
        json_array_append_new(list, result_json(&results->result[i], machine));
    json_t *document = json_pack("{s:{s:s, s:f, s:f, s:f}, s:{s:s, s:s, s:s}, s:{s:I, s:I, s:I, s:i}, s:o}", "machine",
                                 "cpu", machine->cpu, "copy_gb_per_s", machine->copy_gb_s, "read_gb_per_s",
                                 machine->read_gb_s, "lookups_16_ns", machine->gather_ns, "build", "version",
                                 AVVIK_VERSION, "compiler", AVVIK_BUILD_COMPILER, "type", AVVIK_BUILD_TYPE, "options",
                                 "rows", (json_int_t)options->rows, "trees", (json_int_t)options->trees, "sample",
                                 (json_int_t)options->sample, "samples", options->n_samples, "results", list);
    json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(document);
}

enum bench_exit bench_floors_check(const char *path, const struct bench_results *results)
{
    enum bench_exit status = BENCH_DONE;
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error), *floor;
    size_t i, n_checked = 0;
    if (document == NULL) {
        fprintf(stderr, "avvik-bench: %s:%d: %s\n", path, error.line, error.text);
        return BENCH_USAGE;
    }
    json_array_foreach(json_object_get(document, "floors"), i, floor)
    {
        const char *kernel, *variant;
        json_int_t features;
        double ratio;
        if (json_unpack_ex(floor, &error, 0, "{s:s, s:s, s:I, s:F}", "kernel", &kernel, "variant", &variant, "features",
                           &features, "ratio", &ratio) != 0) {
            fprintf(stderr, "avvik-bench: %s: floor %zu: %s\n", path, i, error.text);
            status = BENCH_USAGE;
            break;
        }
        for (size_t j = 0; j < results->n; j++) {
            const struct bench_result *r = &results->result[j];
            if (strcmp(r->kernel, kernel) != 0 || strcmp(r->variant, variant) != 0 || r->n_features != (size_t)features)
                continue;
            n_checked++;
            if (r->ratio >= ratio)
                continue;
            fprintf(stderr, "avvik-bench: %s %s at %zu features is %.2f times scalar, less than %.2f\n", kernel,
                    variant, r->n_features, r->ratio, ratio);
            status = BENCH_SLOWER;
        }
    }
    fprintf(stderr, "avvik-bench: %zu ratios compared with %s\n", n_checked, path);
    json_decref(document);
    return status;
}

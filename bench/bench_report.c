/* Tables for people. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "build_info.h"

void bench_report_machine(const struct bench_machine *machine)
{
    printf("avvik %s, %s, %s\n", AVVIK_VERSION, AVVIK_BUILD_COMPILER, AVVIK_BUILD_TYPE);
    printf("%s, %u of %u cores, %s, %.0f GB; load %.2f\n", machine->cpu, machine->n_cores_allowed, machine->n_cores,
           machine->kernel, 1e-9 * (double)machine->memory_bytes, machine->load);
    printf("caches: %.0f KiB, %.1f MiB, %.0f MiB; gather mitigation: %s\n", (double)machine->l1_bytes / 1024,
           (double)machine->l2_bytes / 1048576, (double)machine->l3_bytes / 1048576, machine->gather_mitigation);
    if (machine->copy_gb_s[0] > 0) {
        printf("one thread, GB/s over");
        for (size_t i = 0; i < BENCH_N_SIZES; i++)
            printf("%s %.2g MiB: copy %.1f, read %.1f", i == 0 ? "" : ";", (double)bench_size_bytes[i] / 1048576,
                   machine->copy_gb_s[i], machine->read_gb_s[i]);
        printf("\n16 lookups in 16 KiB: %.1f ns scalar, %.1f ns AVX2, %.1f ns AVX-512\n", machine->gather_ns[0],
               machine->gather_ns[1], machine->gather_ns[2]);
    }
    for (size_t i = 0; i < machine->n_devices; i++) {
        const struct bench_device *device = &machine->device[i];
        printf("%s: %s", device->backend, device->name);
        if (device->to_device_gb_s > 0)
            printf("; %.1f GB/s to it, %.1f GB/s from it", device->to_device_gb_s, device->from_device_gb_s);
        printf("\n");
    }
}

static double ratio_to(const struct bench_result *r, const char *to)
{
    for (size_t i = 0; i < r->n_ratios; i++)
        if (strcmp(r->ratio[i].to, to) == 0)
            return r->ratio[i].times;
    return 0;
}

/* "1.23", or nothing for 0. */
static const char *or_nothing(double value, const char *format, char *text, size_t size)
{
    text[0] = '\0';
    if (value > 0)
        snprintf(text, size, format, value);
    return text;
}

/* The rest of the line: milliseconds by stage of the best run. */
static void stages_print(const struct bench_result *r)
{
    for (size_t i = 0; i < r->n_stages; i++)
        printf("%s%s %.1f", i == 0 ? "  " : ", ", r->stage[i].name, 1e3 * r->stage[i].seconds);
    if (r->binding != NULL)
        printf("; bound by %s", r->binding);
    printf("\n");
}

static void shape_text(const struct bench_result *r, char *text, size_t size)
{
    int n = snprintf(text, size, "%zu rows", r->rows);
    if (r->trees > 0 && n > 0 && (size_t)n < size)
        n += snprintf(text + n, size - (size_t)n, ", %zu trees of %zu", r->trees, r->sample);
    if (r->threads > 1 && n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, ", %zu threads", r->threads);
}

void bench_report_kernels(const struct bench_machine *machine, const struct bench_results *results)
{
    static const char *const limits[] = {"", "copy", "read", "gather", "link"};
    char last[128] = "", shape[96], text[3][32];
    bench_report_machine(machine);
    printf("M rows/s of the best run (and of the median one)\n");
    for (size_t i = 0; i < results->n; i++) {
        const struct bench_result *r = results->result[i];
        const double rows = (double)r->rows, best_s = bench_best_s(r), walks = rows * (double)r->trees;
        char title[128];
        shape_text(r, shape, sizeof shape);
        snprintf(title, sizeof title, "%s, %zu features, %s", r->name, r->features, shape);
        if (strcmp(title, last) != 0)
            printf("\n%-58s %9s %10s %11s %8s  %-11s %8s\n", title, "M rows/s", "(median)", "ns/row/tree", "GB/s",
                   "of limit", "x scalar");
        strcpy(last, title);
        printf("  %-56s %9.2f %10.2f %11s %8.2f  %4s %-6s %8s", r->variant, 1e-6 * rows / best_s,
               1e-6 * rows / bench_median_s(r), or_nothing(walks > 0 ? 1e9 * best_s / walks : 0, "%.3f", text[0], 32),
               1e-9 * r->bytes / best_s, or_nothing(100 * bench_share(r, machine), "%.0f%%", text[1], 32),
               limits[r->limit], or_nothing(ratio_to(r, "scalar"), "%.2f", text[2], 32));
        stages_print(r);
    }
}

void bench_report_stream(const struct bench_machine *machine, const struct bench_results *results)
{
    char last[128] = "", text[3][32];
    bench_report_machine(machine);
    printf("GB/s: bytes of the values as the file has them (pread: of the file); x: time of the bare loop over time\n");
    for (size_t i = 0; i < results->n; i++) {
        const struct bench_result *r = results->result[i];
        const double best_s = bench_best_s(r);
        char title[128], name[160];
        snprintf(title, sizeof title, "%zu rows x %zu features, %s, %s", r->rows, r->features, r->types, r->layout);
        if (strcmp(title, last) != 0)
            printf("\n%-50s %9s %10s %7s %8s %9s %9s  %s\n", title, "M rows/s", "(median)", "GB/s", "x pread",
                   "x H5Dread", "peak MiB", "milliseconds by stage");
        strcpy(last, title);
        if (r->trees > 0)
            snprintf(name, sizeof name, "%s%s%s, %zu trees of %zu, %zu threads", r->name,
                     r->variant[0] == '\0' ? "" : " ", r->variant, r->trees, r->sample, r->threads);
        else
            snprintf(name, sizeof name, "%s", r->name);
        printf("  %-48s %9.2f %10.2f %7.2f %8s %9s %9s", name, 1e-6 * (double)r->rows / best_s,
               1e-6 * (double)r->rows / bench_median_s(r), 1e-9 * r->bytes / best_s,
               or_nothing(ratio_to(r, "pread"), "%.2f", text[0], 32),
               or_nothing(ratio_to(r, "H5Dread"), "%.2f", text[1], 32), or_nothing(r->peak_mib, "%.0f", text[2], 32));
        stages_print(r);
    }
}

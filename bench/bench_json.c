/* What a run writes: everything that a reader of its figures may ask for. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "avvik/version.h"
#include "bench.h"
#include "bench_build.h"
#include "bench_commit.h"
#include "bench_document.h"
#include "build_info.h"

/* Text of the system, which may hold anything. */
static json_t *text_json(const char *text)
{
    char plain[256];
    json_t *json = json_string(text);
    if (json != NULL)
        return json;
    snprintf(plain, sizeof plain, "%s", text);
    for (char *c = plain; *c != '\0'; c++)
        if ((unsigned char)*c > 126 || (unsigned char)*c < 32)
            *c = '?';
    return json_string(plain);
}

static json_t *rates_json(const double *rates)
{
    json_t *list = json_array();
    for (size_t i = 0; i < BENCH_N_SIZES; i++)
        json_array_append_new(list, json_real(rates[i]));
    return list;
}

static json_t *limits_json(const struct bench_machine *machine)
{
    json_t *sizes = json_array();
    for (size_t i = 0; i < BENCH_N_SIZES; i++)
        json_array_append_new(sizes, json_integer((json_int_t)bench_size_bytes[i]));
    return json_pack("{s:o, s:o, s:o, s:{s:f, s:f, s:f}}", "size_bytes", sizes, "copy_gb_per_s",
                     rates_json(machine->copy_gb_s), "read_gb_per_s", rates_json(machine->read_gb_s), "lookups_16_ns",
                     "scalar", machine->gather_ns[0], "avx2", machine->gather_ns[1], "avx512", machine->gather_ns[2]);
}

static json_t *machine_json(const struct bench_machine *machine)
{
    char name[128];
    json_t *devices = json_array();
    bench_machine_name(machine, name, sizeof name);
    for (size_t i = 0; i < machine->n_devices; i++) {
        const struct bench_device *device = &machine->device[i];
        json_array_append_new(devices,
                              json_pack("{s:s, s:o, s:b, s:f, s:f}", "backend", device->backend, "driver",
                                        text_json(device->name), "gpu", device->is_gpu, "to_device_gb_per_s",
                                        device->to_device_gb_s, "from_device_gb_per_s", device->from_device_gb_s));
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:i, s:i, s:I, s:I, s:I, s:I, s:f, s:o, s:o}", "name", name, "cpu",
                     text_json(machine->cpu), "kernel", text_json(machine->kernel), "gather_mitigation",
                     text_json(machine->gather_mitigation), "cores", (int)machine->n_cores, "cores_allowed",
                     (int)machine->n_cores_allowed, "l1_bytes", (json_int_t)machine->l1_bytes, "l2_bytes",
                     (json_int_t)machine->l2_bytes, "l3_bytes", (json_int_t)machine->l3_bytes, "memory_bytes",
                     (json_int_t)machine->memory_bytes, "load_before", machine->load, "limits", limits_json(machine),
                     "devices", devices);
}

static json_t *build_json(void)
{
    struct avvik_version version;
    avvik_version_get(&version);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "avvik", version.avvik, "commit", BENCH_COMMIT, "compiler",
                     AVVIK_BUILD_COMPILER, "flags", BENCH_FLAGS, "type", AVVIK_BUILD_TYPE, "hdf5", version.hdf5,
                     "xxhash", version.xxhash);
}

static json_t *list_json(const struct bench_list *values)
{
    json_t *list = json_array();
    for (size_t i = 0; i < values->n; i++)
        json_array_append_new(list, json_integer((json_int_t)values->value[i]));
    return list;
}

static json_t *options_json(const struct bench_options *options)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:b, s:b, s:b}", "features", list_json(&options->features),
                     "trees", list_json(&options->trees), "sample", list_json(&options->sample), "rows",
                     list_json(&options->rows), "threads", list_json(&options->threads), "samples",
                     (json_int_t)options->n_samples, "seed", (json_int_t)options->seed, "quick", options->is_quick,
                     "grid", options->is_grid, "cold", options->is_cold);
}

static json_t *result_json(const struct bench_result *r, const struct bench_machine *machine)
{
    static const char *const limits[] = {"none", "copy", "read", "gather", "to_device"};
    const double rows = (double)r->rows, best_s = bench_best_s(r);
    json_t *samples = json_array(), *ratios = json_object(), *seconds = json_object();
    for (size_t i = 0; i < r->n_samples; i++)
        json_array_append_new(samples, json_real(r->sample_s[i]));
    for (size_t i = 0; i < r->n_ratios; i++)
        json_object_set_new(ratios, r->ratio[i].to, json_real(r->ratio[i].times));
    for (size_t i = 0; i < r->n_stages; i++)
        json_object_set_new(seconds, r->stage[i].name, json_real(r->stage[i].seconds));
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:f, s:f, s:f, s:s, s:f, s:o, s:o, s:f, s:o}", "name", r->name,
        "variant", r->variant, "features", (json_int_t)r->features, "rows", (json_int_t)r->rows, "trees",
        (json_int_t)r->trees, "sample", (json_int_t)r->sample, "threads", (json_int_t)r->threads, "layout", r->layout,
        "types", r->types, "best_rows_per_s", rows / best_s, "median_rows_per_s", rows / bench_median_s(r), "gb_per_s",
        1e-9 * r->bytes / best_s, "limit", limits[r->limit], "share_of_limit", bench_share(r, machine), "times", ratios,
        "stages_s", seconds, "peak_mib", r->peak_mib, "samples_s", samples);
    if (r->binding != NULL)
        json_object_set_new(json, "binding", json_string(r->binding));
    if (r->trees > 0)
        json_object_set_new(json, "ns_per_row_tree", json_real(1e9 * best_s / rows / (double)r->trees));
    return json;
}

void bench_report_json(const char *subject, const struct bench_options *options, const struct bench_machine *machine,
                       const struct bench_results *results)
{
    char when[32];
    const time_t now = time(NULL);
    struct tm parts;
    json_t *list = json_array();
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    for (size_t i = 0; results != NULL && i < results->n; i++)
        json_array_append_new(list, result_json(results->result[i], machine));
    bench_json_print(json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "schema", BENCH_SCHEMA, "subject", subject,
                               "when", when, "build", build_json(), "machine", machine_json(machine), "options",
                               options_json(options), "results", list));
}

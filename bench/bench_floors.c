/* Least ratios of a variant over scalar, for CI. */
#include <string.h>

#include <jansson.h>

#include "bench.h"

struct floor {
    const char *kernel, *variant;
    json_int_t features;
    double ratio;
};

static int is_met(const struct bench_result *r, const struct floor *floor)
{
    for (size_t i = 0; i < r->n_ratios; i++) {
        if (strcmp(r->ratio[i].to, "scalar") != 0 || r->ratio[i].times >= floor->ratio)
            continue;
        bench_fail(BENCH_SLOWER, "%s %s at %zu features is %.2f times scalar, less than %.2f", r->name, r->variant,
                   r->features, r->ratio[i].times, floor->ratio);
        return 0;
    }
    return 1;
}

/* A floor holds for every measurement of 100 trees of 256 rows (or without trees) on one thread; an OpenCL device goes
 * by its first word. */
static int is_meant(const struct bench_result *r, const struct floor *floor)
{
    const size_t length = strlen(floor->variant);
    return strcmp(r->name, floor->kernel) == 0 && strncmp(r->variant, floor->variant, length) == 0 &&
           (r->variant[length] == '\0' || r->variant[length] == ':') && r->features == (size_t)floor->features &&
           (r->trees == 0 || (r->trees == 100 && r->sample == 256)) && r->threads == 1;
}

enum bench_exit bench_floors_check(const char *path, const struct bench_results *results)
{
    enum bench_exit status = BENCH_DONE;
    json_error_t error;
    json_t *document = json_load_file(path, 0, &error), *json;
    size_t i, n_checked = 0;
    if (document == NULL)
        return bench_fail(BENCH_BAD_INPUT, "%s: line %d: %s", path, error.line, error.text);
    json_array_foreach(json_object_get(document, "floors"), i, json)
    {
        struct floor floor;
        if (json_unpack_ex(json, &error, 0, "{s:s, s:s, s:I, s:F}", "kernel", &floor.kernel, "variant", &floor.variant,
                           "features", &floor.features, "ratio", &floor.ratio) != 0) {
            status = bench_fail(BENCH_BAD_INPUT, "%s: floor %zu: %s", path, i, error.text);
            break;
        }
        for (size_t k = 0; k < results->n; k++) {
            if (!is_meant(results->result[k], &floor))
                continue;
            n_checked++;
            if (!is_met(results->result[k], &floor))
                status = BENCH_SLOWER;
        }
    }
    if (status == BENCH_DONE && n_checked == 0)
        status = bench_fail(BENCH_BAD_INPUT, "%s has no floor for anything that was measured", path);
    else
        bench_fail(status, "%zu ratios compared with %s", n_checked, path);
    json_decref(document);
    return status;
}

/* A run of the other libraries as bars. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "bench_plot.h"
#include "bench_svg.h"

#define PEERS_SCHEMA "avvik-peers 1"
#define MAX_BARS 64

struct chart {
    char title[200], line[300];
    struct bench_bar bars[MAX_BARS];
    size_t n_bars;
};

int bench_is_of_peers(const char *path)
{
    json_t *document = json_load_file(path, 0, NULL);
    const char *schema = json_string_value(json_object_get(document, "schema"));
    const int is_of_peers = schema != NULL && strcmp(schema, PEERS_SCHEMA) == 0;
    json_decref(document);
    return is_of_peers;
}

static int compare_bars(const void *a, const void *b)
{
    const double x = ((const struct bench_bar *)a)->value, y = ((const struct bench_bar *)b)->value;
    return (x < y) - (x > y);
}

/* The best of an entry's seconds; infinite if there is none above 0. */
static double best_of(const json_t *seconds)
{
    size_t i;
    json_t *value;
    double best = INFINITY;
    json_array_foreach(seconds, i, value)
    {
        const double one = json_number_value(value);
        best = one > 0 && one < best ? one : best;
    }
    return best;
}

static enum bench_exit entry_take(const char *path, size_t i, json_t *entry, double rows, struct chart *chart)
{
    json_error_t error;
    const char *name, *version = json_string_value(json_object_get(entry, "version"));
    int cores, is_ours;
    json_t *seconds;
    if (json_unpack_ex(entry, &error, 0, "{s:s, s:i, s:b, s:o}", "name", &name, "cores", &cores, "is_avvik", &is_ours,
                       "seconds", &seconds) != 0)
        return bench_fail(BENCH_BAD_INPUT, "%s: contender %zu: %s", path, i, error.text);
    const double best_s = best_of(seconds);
    if (isinf(best_s))
        return bench_fail(BENCH_BAD_INPUT, "%s: contender %zu has no seconds above 0", path, i);
    if (cores != 1 || chart->n_bars == MAX_BARS)
        return BENCH_DONE;
    struct bench_bar *bar = &chart->bars[chart->n_bars++];
    *bar = (struct bench_bar){.value = 1e-6 * rows / best_s, .is_ours = is_ours};
    snprintf(bar->name, sizeof bar->name, "%.60s%s%.30s", name, version == NULL ? "" : " ",
             version == NULL ? "" : version);
    return BENCH_DONE;
}

/* Fastest first; everything below avvik's best says by how much. */
static void bars_finish(struct chart *chart)
{
    double best = 0;
    qsort(chart->bars, chart->n_bars, sizeof *chart->bars, compare_bars);
    for (size_t i = 0; i < chart->n_bars; i++)
        if (chart->bars[i].is_ours)
            best = fmax(best, chart->bars[i].value);
    for (size_t i = 0; i < chart->n_bars; i++) {
        struct bench_bar *bar = &chart->bars[i];
        const double times = best / bar->value;
        const int n =
            snprintf(bar->value_text, sizeof bar->value_text, bar->value >= 9.95 ? "%.1f" : "%.2f", bar->value);
        if (times > 1)
            snprintf(bar->value_text + n, sizeof bar->value_text - (size_t)n,
                     times >= 9.95 ? "  (%.0f times slower)" : "  (%.1f times slower)", times);
    }
}

static int peers_draw(FILE *file, const void *context)
{
    const struct chart *chart = context;
    const char *const lines[2] = {chart->line,
                                  "M rows/s on one core, best run, logarithmic. avvik's time includes its z-scores."};
    return bench_svg_write_bars(file, chart->title, lines, 2, chart->bars, chart->n_bars);
}

enum bench_exit bench_plot_peers(const char *path, const char *out)
{
    static struct chart chart;
    enum bench_exit status = BENCH_DONE;
    json_error_t error;
    json_int_t rows, features, trees, sample;
    const char *cpu, *avvik;
    json_t *list, *entry, *document = json_load_file(path, 0, &error);
    size_t i;
    if (json_unpack_ex(document, &error, 0, "{s:I, s:I, s:I, s:I, s:s, s:{s:s}, s:o}", "rows", &rows, "features",
                       &features, "trees", &trees, "sample", &sample, "avvik", &avvik, "machine", "cpu", &cpu, "memory",
                       &list) != 0 ||
        !json_is_array(list) || rows <= 0) {
        json_decref(document);
        return bench_fail(BENCH_BAD_INPUT, "%s is not as compare_peers.py writes it: %s", path, error.text);
    }
    json_array_foreach(list, i, entry)
    {
        if ((status = entry_take(path, i, entry, (double)rows, &chart)) != BENCH_DONE)
            break;
    }
    if (status == BENCH_DONE && chart.n_bars == 0)
        status = bench_fail(BENCH_BAD_INPUT, "%s has no contender on one core", path);
    if (status == BENCH_DONE) {
        bars_finish(&chart);
        snprintf(chart.title, sizeof chart.title, "Scoring rows with an isolation forest");
        snprintf(chart.line, sizeof chart.line,
                 "%lld rows x %lld features in memory, %lld trees of %lld rows; %.80s; %.40s", (long long)rows,
                 (long long)features, (long long)trees, (long long)sample, cpu, avvik);
        status = bench_picture_write(out, peers_draw, &chart);
    }
    json_decref(document);
    return status;
}

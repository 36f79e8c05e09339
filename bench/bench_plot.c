/* What the pictures of a run show: throughput over commits, and over each part of the shape. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_document.h"
#include "bench_plot.h"
#include "bench_svg.h"

#define MAX_DOCUMENTS 256

struct picture {
    const struct bench_document *last;
    const struct bench_panel *panels;
    size_t n_panels;
};

/* The parts of a shape that can be an axis. */
enum axis { ROWS, FEATURES, TREES, SAMPLE, THREADS, N_AXES };
static const struct {
    const char *title, *label;
} axes[N_AXES] = {{"Over rows", "rows of one run"},
                  {"Over features", "features"},
                  {"Over trees", "trees"},
                  {"Over the rows of a tree", "rows a tree is grown from"},
                  {"Over threads", "threads"}};

/* What can be drawn, the best first. */
static const char *const subjects[] = {"engine", "forest_path", "score", "fit"};
static const char *const subject_names[] = {"rows in memory to all scores", "kernel forest_path",
                                            "file to file of scores", "file to model"};
#define N_SUBJECTS (sizeof subjects / sizeof subjects[0])

static size_t value_of(const struct bench_entry *entry, int axis)
{
    const size_t values[N_AXES] = {entry->rows, entry->features, entry->trees, entry->sample, entry->threads};
    return values[axis];
}

/* forest_path and forest_path_wide are one walk over few and over many features. */
static int is_subject(const struct bench_entry *entry, const char *subject)
{
    const size_t length = strlen(subject);
    return strncmp(entry->name, subject, length) == 0 &&
           (entry->name[length] == '\0' || strcmp(entry->name + length, "_wide") == 0);
}

/* Equal but for `axis` (N_AXES: equal in all) and the variant? */
static int is_alike(const struct bench_entry *a, const struct bench_entry *b, int axis)
{
    for (int other = 0; other < N_AXES; other++)
        if (other != axis && value_of(a, other) != value_of(b, other))
            return 0;
    return strcmp(a->layout, b->layout) == 0 && strcmp(a->types, b->types) == 0;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Millions of rows a second: the median, and the quarters around it. */
static struct bench_point point_of(const struct bench_entry *entry, double x)
{
    double sorted[BENCH_MAX_SAMPLES];
    const size_t n = entry->n_samples;
    const double rows = 1e-6 * (double)entry->rows;
    memcpy(sorted, entry->sample_s, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_doubles);
    return (struct bench_point){x, rows / ((sorted[n / 2] + sorted[(n - 1) / 2]) / 2), rows / sorted[n - 1 - n / 4],
                                rows / sorted[n / 4]};
}

static int compare_points(const void *a, const void *b)
{
    return compare_doubles(&((const struct bench_point *)a)->x, &((const struct bench_point *)b)->x);
}

/* Add a point to the series of the entry's variant, a new one if need be. */
static void point_add(struct bench_panel *panel, const struct bench_entry *entry, double x)
{
    const char *name = entry->variant[0] == '\0' ? entry->name : entry->variant;
    size_t s = 0;
    while (s < panel->n_series && strcmp(panel->series[s].name, name) != 0)
        s++;
    if (s == BENCH_MAX_SERIES)
        return;
    if (s == panel->n_series)
        panel->series[panel->n_series++] = (struct bench_series){.name = name};
    struct bench_series *series = &panel->series[s];
    if (series->n_points == BENCH_MAX_POINTS)
        return;
    series->point[series->n_points++] = point_of(entry, x);
    qsort(series->point, series->n_points, sizeof *series->point, compare_points);
}

/* What the points of a panel have in common, above the plot; what its axis counts. */
static void note_make(struct bench_panel *panel, const struct bench_entry *entry, int axis, size_t subject)
{
    static const char *const words[N_AXES] = {"rows", "features", "trees", "rows a tree", "threads"};
    int n = 0;
    snprintf(panel->y_label, sizeof panel->y_label, "M rows/s, %s", subject_names[subject]);
    for (int other = 0; other < N_AXES && n >= 0 && (size_t)n < sizeof panel->note; other++)
        if (other != axis && value_of(entry, other) > 0)
            n += snprintf(panel->note + n, sizeof panel->note - (size_t)n, "%s%zu %s", n > 0 ? ", " : "",
                          value_of(entry, other),
                          other == THREADS && value_of(entry, other) == 1 ? "thread" : words[other]);
    if (entry->layout[0] != '\0' && n > 0 && (size_t)n < sizeof panel->note)
        snprintf(panel->note + n, sizeof panel->note - (size_t)n, ", %.20s %.20s", entry->layout, entry->types);
}

/* Entries of `subject` that differ from *model along `axis`; 0 unless there is more than one value. */
static size_t n_along(const struct bench_document *document, const struct bench_entry *model, const char *subject,
                      int axis)
{
    size_t n = 0, n_other = 0;
    for (size_t i = 0; i < document->n_entries; i++) {
        const struct bench_entry *entry = &document->entries[i];
        if (!is_subject(entry, subject) || !is_alike(entry, model, axis))
            continue;
        n++;
        n_other += value_of(entry, axis) != value_of(model, axis);
    }
    return n_other == 0 ? 0 : n;
}

/* The entries that vary along `axis` only, those of which there are most. Returns 0 if there are none. */
static int axis_panel(const struct bench_document *document, int axis, struct bench_panel *panel)
{
    const struct bench_entry *model = NULL;
    size_t most = 0, subject = 0;
    for (size_t s = 0; s < N_SUBJECTS && model == NULL; s++) {
        for (size_t i = 0; i < document->n_entries; i++) {
            const struct bench_entry *entry = &document->entries[i];
            const size_t n = is_subject(entry, subjects[s]) ? n_along(document, entry, subjects[s], axis) : 0;
            if (n > most) {
                most = n;
                subject = s;
                model = entry;
            }
        }
    }
    if (model == NULL)
        return 0;
    *panel = (struct bench_panel){.n_series = 0};
    snprintf(panel->title, sizeof panel->title, "%s", axes[axis].title);
    snprintf(panel->x_label, sizeof panel->x_label, "%s", axes[axis].label);
    note_make(panel, model, axis, subject);
    for (size_t i = 0; i < document->n_entries; i++)
        if (is_subject(&document->entries[i], subjects[subject]) && is_alike(&document->entries[i], model, axis))
            point_add(panel, &document->entries[i], (double)value_of(&document->entries[i], axis));
    return 1;
}

/* The entry that most others are alike to but for the variant; earlier subjects first. */
static const struct bench_entry *base_choose(const struct bench_document *document, size_t *subject_out)
{
    const struct bench_entry *base = NULL;
    size_t most = 0;
    for (*subject_out = 0; *subject_out < N_SUBJECTS; ++*subject_out) {
        for (size_t i = 0; i < document->n_entries; i++) {
            const struct bench_entry *entry = &document->entries[i];
            size_t n = 0;
            if (!is_subject(entry, subjects[*subject_out]))
                continue;
            for (int axis = 0; axis < N_AXES; axis++)
                n += n_along(document, entry, subjects[*subject_out], axis);
            if (base == NULL || n > most) {
                most = n;
                base = entry;
            }
        }
        if (base != NULL)
            return base;
    }
    return NULL;
}

/* The same measurement in every document, in the order in which they were given. */
static int commits_panel(const struct bench_document *documents, size_t n_documents, const char **names,
                         struct bench_panel *panel)
{
    size_t subject;
    const struct bench_entry *base = base_choose(&documents[n_documents - 1], &subject);
    if (n_documents < 2 || base == NULL)
        return 0;
    *panel = (struct bench_panel){.title = "Over commits",
                                  .y_label = "M rows/s",
                                  .x_label = "commit",
                                  .x_names = names,
                                  .n_x_names = n_documents};
    note_make(panel, base, N_AXES, subject);
    for (size_t d = 0; d < n_documents; d++) {
        names[d] = documents[d].commit;
        for (size_t i = 0; i < documents[d].n_entries; i++) {
            const struct bench_entry *entry = &documents[d].entries[i];
            if (is_subject(entry, subjects[subject]) && is_alike(entry, base, N_AXES))
                point_add(panel, entry, (double)d + 1);
        }
    }
    return 1;
}

static int runs_draw(FILE *file, const void *context)
{
    const struct picture *picture = context;
    const struct bench_document *last = picture->last;
    char line[400];
    const char *const lines[2] = {line, "Points are medians, bars the quarters around them. Higher is faster."};
    snprintf(line, sizeof line, "%.120s, %.60s, commit %.40s, %.30s", last->cpu, last->compiler, last->commit,
             last->when);
    return bench_svg_write(file, "avvik: rows scored a second", lines, 2, picture->panels, picture->n_panels);
}

enum bench_exit bench_picture_write(const char *path, int (*draw)(FILE *file, const void *context), const void *context)
{
    char partial[4096];
    if (snprintf(partial, sizeof partial, "%s.partial", path) >= (int)sizeof partial)
        return bench_fail(BENCH_USAGE, "the name of the picture is too long");
    FILE *file = fopen(partial, "w");
    if (file == NULL)
        return bench_fail(BENCH_BAD_INPUT, "%s cannot be written: %s", partial, strerror(errno));
    int is_written = draw(file, context);
    is_written = fflush(file) == 0 && fsync(fileno(file)) == 0 && is_written;
    is_written = fclose(file) == 0 && is_written;
    if (is_written && rename(partial, path) == 0)
        return BENCH_DONE;
    const int reason = errno;
    remove(partial);
    return bench_fail(BENCH_BAD_INPUT, "%s cannot be written: %s", path, strerror(reason));
}

static enum bench_exit runs_plot(const struct bench_options *options)
{
    static struct bench_document documents[MAX_DOCUMENTS];
    static struct bench_panel panels[BENCH_MAX_PANELS];
    const char *names[MAX_DOCUMENTS];
    enum bench_exit status = BENCH_DONE;
    size_t n_documents = 0, n_panels = 0;
    while (n_documents < options->n_files && status == BENCH_DONE) {
        status = bench_document_read(options->files[n_documents], &documents[n_documents]);
        n_documents++;
    }
    if (status == BENCH_DONE) {
        const struct bench_document *last = &documents[n_documents - 1];
        n_panels += (size_t)commits_panel(documents, n_documents, names, &panels[n_panels]);
        for (int axis = 0; axis < N_AXES; axis++)
            n_panels += (size_t)axis_panel(last, axis, &panels[n_panels]);
        const struct picture picture = {last, panels, n_panels};
        status = n_panels > 0 ? bench_picture_write(options->out, runs_draw, &picture)
                              : bench_fail(BENCH_BAD_INPUT,
                                           "%s holds nothing that varies; give the JSON of `avvik-bench kernels` or "
                                           "several documents",
                                           last->path);
    }
    for (size_t i = 0; i < n_documents; i++)
        bench_document_destroy(&documents[i]);
    return status;
}

enum bench_exit bench_plot(const struct bench_options *options)
{
    if (options->out == NULL || options->n_files == 0 || options->n_files > MAX_DOCUMENTS)
        return bench_fail(BENCH_USAGE, "plot takes --out FILE.svg and 1 to %d documents, the oldest first",
                          MAX_DOCUMENTS);
    if (options->n_files == 1 && bench_is_of_peers(options->files[0]))
        return bench_plot_peers(options->files[0], options->out);
    return runs_plot(options);
}

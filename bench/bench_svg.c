#include "bench_svg.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LEFT 56 /* margins of a panel around its plot */
#define RIGHT 118
#define TOP 58
#define BOTTOM 50
#define LABEL_STEP 14.0 /* least distance between lines of text */
#define BARS_WIDTH 860
#define BARS_LEFT 230
#define BARS_RIGHT 640 /* of the longest bar; its text comes behind it */
#define BAR_STEP 28
#define OUR_COLOUR 3
#define OTHER_COLOUR 0
#define LETTER_WIDTH 6.6 /* of the small text, roughly */

/* Colours of the series and of ink and paper, each for light and for dark. */
#define N_COLOURS 8
static const char *const light[N_COLOURS] = {"#6b7280", "#1d6fb8", "#0f8a6d", "#c2570c",
                                             "#8a3fb0", "#b4235a", "#7a6a00", "#3f51b5"};
static const char *const dark[N_COLOURS] = {"#9aa3b0", "#5aa9ec", "#3cc9a3", "#f59049",
                                            "#c58be6", "#f0709f", "#d3c14a", "#8f9df0"};
static const char *const known[] = {"scalar", "avx2", "avx512", "avx512vbmi", "opencl"};

/* A variant has the same colour in every picture. */
static size_t colour_of(const char *name)
{
    size_t hash = 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const size_t length = strlen(known[i]);
        if (strncmp(name, known[i], length) == 0 && (name[length] == '\0' || name[length] == ':'))
            return i;
    }
    for (; *name != '\0'; name++)
        hash = hash * 31 + (unsigned char)*name;
    return 5 + hash % (N_COLOURS - 5);
}

static void text_escape(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<': fputs("&lt;", file); break;
        case '>': fputs("&gt;", file); break;
        case '&': fputs("&amp;", file); break;
        case '"': fputs("&quot;", file); break;
        default: fputc((unsigned char)*text < 32 ? '?' : *text, file);
        }
    }
}

static void text_put(FILE *file, double x, double y, const char *attributes, const char *text)
{
    fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    text_escape(file, text);
    fputs("</text>\n", file);
}

static void style_put(FILE *file)
{
    fputs("<style>\ntext{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#374151}\n"
          ".title{font-size:20px;font-weight:600;fill:#111827}.head{font-size:15px;font-weight:600;fill:#111827}\n"
          ".small{font-size:11px}.name{font-weight:600}.paper{fill:#ffffff}.grid{stroke:#e5e7eb}.axis{stroke:#9ca3af}\n"
          ".line{fill:none;stroke-width:2.2;stroke-linejoin:round}.spread{stroke-width:1.2;opacity:.55}\n",
          file);
    for (size_t i = 0; i < N_COLOURS; i++)
        fprintf(file, ".s%zu{stroke:%s}.f%zu{fill:%s}\n", i, light[i], i, light[i]);
    fputs("@media(prefers-color-scheme:dark){text{fill:#c9d1d9}.title,.head{fill:#f0f3f6}.paper{fill:#0d1117}\n"
          ".grid{stroke:#242b34}.axis{stroke:#57606a}\n",
          file);
    for (size_t i = 0; i < N_COLOURS; i++)
        fprintf(file, ".s%zu{stroke:%s}.f%zu{fill:%s}\n", i, dark[i], i, dark[i]);
    fputs("}\n</style>\n", file);
}

/* --- scales --- */

struct scale {
    double low, high, from, to; /* values, and where they lie */
    int is_log;
};

static double place_of(const struct scale *scale, double value)
{
    const double part = scale->is_log ? log(value / scale->low) / log(scale->high / scale->low)
                                      : (value - scale->low) / (scale->high - scale->low);
    return scale->from + part * (scale->to - scale->from);
}

/* "0.5", "20", "65k", "2M" */
static void number_text(double value, char *text, size_t size)
{
    if (value >= 1e6)
        snprintf(text, size, "%.3gM", value / 1e6);
    else if (value >= 1e4)
        snprintf(text, size, "%.3gk", value / 1e3);
    else
        snprintf(text, size, "%.4g", value);
}

static void scales_make(const struct bench_panel *panel, struct scale *x, struct scale *y)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {0, 0};
    for (size_t s = 0; s < panel->n_series; s++) {
        for (size_t i = 0; i < panel->series[s].n_points; i++) {
            const struct bench_point *point = &panel->series[s].point[i];
            low[0] = fmin(low[0], point->x);
            high[0] = fmax(high[0], point->x);
            low[1] = fmin(low[1], point->low);
            high[1] = fmax(high[1], point->high);
        }
    }
    *x = (struct scale){low[0], high[0], LEFT + 12, BENCH_PANEL_WIDTH - RIGHT - 8, panel->x_names == NULL};
    if (x->high <= x->low) { /* one point stands in the middle */
        x->low = x->is_log ? low[0] / 2 : low[0] - 1;
        x->high = x->is_log ? low[0] * 2 : low[0] + 1;
    }
    *y = (struct scale){low[1] / 1.25, high[1] * 1.25, BENCH_PANEL_HEIGHT - BOTTOM, TOP, 1};
}

static void y_axis_put(FILE *file, const struct scale *y)
{
    static const double steps[] = {1, 2, 5};
    const double decades = log10(y->high / y->low);
    for (double decade = pow(10, floor(log10(y->low))); decade <= y->high; decade *= 10) {
        for (size_t i = 0; i < 3; i++) {
            const double value = decade * steps[i];
            char text[32];
            if (value < y->low || value > y->high || (i > 0 && decades > 2.4))
                continue;
            number_text(value, text, sizeof text);
            fprintf(file, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT,
                    BENCH_PANEL_WIDTH - RIGHT, place_of(y, value), place_of(y, value));
            text_put(file, LEFT - 8, place_of(y, value) + 4, "class=\"small\" text-anchor=\"end\"", text);
        }
    }
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A tick at every measured value, with a label where there is room. */
static void x_axis_put(FILE *file, const struct bench_panel *panel, const struct scale *x)
{
    double values[BENCH_MAX_SERIES * BENCH_MAX_POINTS], last = -INFINITY;
    size_t n = 0;
    const double bottom = BENCH_PANEL_HEIGHT - BOTTOM;
    for (size_t s = 0; s < panel->n_series; s++)
        for (size_t i = 0; i < panel->series[s].n_points; i++)
            values[n++] = panel->series[s].point[i].x;
    qsort(values, n, sizeof *values, compare_doubles);
    fprintf(file, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT,
            BENCH_PANEL_WIDTH - RIGHT, bottom, bottom);
    for (size_t i = 0; i < n; i++) {
        char text[32];
        const double at = place_of(x, values[i]);
        if (i > 0 && values[i] == values[i - 1])
            continue;
        fprintf(file, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", at, at, bottom,
                bottom + 4);
        if (panel->x_names == NULL)
            number_text(values[i], text, sizeof text);
        else
            snprintf(text, sizeof text, "%.8s", panel->x_names[(size_t)values[i] - 1]);
        const double half = (double)strlen(text) * LETTER_WIDTH / 2;
        if (at - half < last + 6)
            continue;
        last = at + half;
        text_put(file, at, bottom + 18, "class=\"small\" text-anchor=\"middle\"", text);
    }
}

/* --- lines and their labels --- */

static void series_put(FILE *file, const struct bench_series *series, const struct scale *x, const struct scale *y)
{
    const size_t colour = colour_of(series->name);
    fprintf(file, "<polyline class=\"line s%zu\" points=\"", colour);
    for (size_t i = 0; i < series->n_points; i++)
        fprintf(file, "%s%.1f,%.1f", i == 0 ? "" : " ", place_of(x, series->point[i].x),
                place_of(y, series->point[i].y));
    fputs("\"/>\n", file);
    for (size_t i = 0; i < series->n_points; i++) {
        const struct bench_point *point = &series->point[i];
        const double at = place_of(x, point->x);
        fprintf(file, "<line class=\"spread s%zu\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", colour, at, at,
                place_of(y, point->low), place_of(y, point->high));
        fprintf(file, "<circle class=\"f%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", colour, at, place_of(y, point->y));
    }
}

struct label {
    double y;
    const struct bench_series *series;
};

static int compare_labels(const void *a, const void *b)
{
    return compare_doubles(&((const struct label *)a)->y, &((const struct label *)b)->y);
}

/* The name and the last value at the right end of each line, pushed apart where they would touch. */
static void labels_put(FILE *file, const struct bench_panel *panel, const struct scale *x, const struct scale *y)
{
    struct label labels[BENCH_MAX_SERIES];
    const size_t n = panel->n_series;
    for (size_t s = 0; s < n; s++) {
        const struct bench_series *series = &panel->series[s];
        labels[s] = (struct label){place_of(y, series->point[series->n_points - 1].y) + 4, series};
    }
    qsort(labels, n, sizeof *labels, compare_labels);
    for (size_t s = 1; s < n; s++)
        labels[s].y = fmax(labels[s].y, labels[s - 1].y + LABEL_STEP);
    for (size_t s = n; s-- > 0;) {
        const double below = s + 1 < n ? labels[s + 1].y - LABEL_STEP : BENCH_PANEL_HEIGHT - BOTTOM + 4;
        const struct bench_point *last = &labels[s].series->point[labels[s].series->n_points - 1];
        char text[96], value[32], attributes[64];
        labels[s].y = fmin(labels[s].y, below);
        snprintf(value, sizeof value, last->y >= 99.5 ? "%.0f" : last->y >= 9.95 ? "%.1f" : "%.2f", last->y);
        snprintf(text, sizeof text, "%.40s  %s", labels[s].series->name, value);
        snprintf(attributes, sizeof attributes, "class=\"small name f%zu\"", colour_of(labels[s].series->name));
        text_put(file, place_of(x, last->x) + 9, labels[s].y, attributes, text);
    }
}

static void panel_put(FILE *file, const struct bench_panel *panel, double left, double top)
{
    struct scale x, y;
    scales_make(panel, &x, &y);
    fprintf(file, "<g transform=\"translate(%.0f %.0f)\">\n", left, top);
    text_put(file, LEFT, 16, "class=\"head\"", panel->title);
    text_put(file, LEFT, 33, "class=\"small\"", panel->note);
    text_put(file, LEFT, TOP - 8, "class=\"small\"", panel->y_label);
    y_axis_put(file, &y);
    x_axis_put(file, panel, &x);
    text_put(file, (LEFT + BENCH_PANEL_WIDTH - RIGHT) / 2.0, BENCH_PANEL_HEIGHT - 14,
             "class=\"small\" text-anchor=\"middle\"", panel->x_label);
    for (size_t s = 0; s < panel->n_series; s++)
        series_put(file, &panel->series[s], &x, &y);
    labels_put(file, panel, &x, &y);
    fputs("</g>\n", file);
}

static void head_put(FILE *file, size_t width, size_t height, const char *title, const char *const *lines,
                     size_t n_lines)
{
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%zu\" height=\"%zu\" viewBox=\"0 0 %zu %zu\" "
            "role=\"img\">\n<title>",
            width, height, width, height);
    text_escape(file, title);
    fputs("</title>\n", file);
    style_put(file);
    fprintf(file, "<rect class=\"paper\" width=\"%zu\" height=\"%zu\"/>\n", width, height);
    text_put(file, LEFT, 32, "class=\"title\"", title);
    for (size_t i = 0; i < n_lines; i++)
        text_put(file, LEFT, 51 + 15 * (double)i, "class=\"small\"", lines[i]);
}

int bench_svg_write(FILE *file, const char *title, const char *const *lines, size_t n_lines,
                    const struct bench_panel *panels, size_t n_panels)
{
    const size_t n_columns = n_panels > 1 ? 2 : 1, n_rows = (n_panels + n_columns - 1) / n_columns;
    head_put(file, n_columns * BENCH_PANEL_WIDTH + 20, BENCH_HEAD_HEIGHT + n_rows * BENCH_PANEL_HEIGHT, title, lines,
             n_lines);
    for (size_t i = 0; i < n_panels; i++)
        panel_put(file, &panels[i], (double)(i % n_columns * BENCH_PANEL_WIDTH),
                  (double)(BENCH_HEAD_HEIGHT + i / n_columns * BENCH_PANEL_HEIGHT));
    fputs("</svg>\n", file);
    return !ferror(file);
}

int bench_svg_write_bars(FILE *file, const char *title, const char *const *lines, size_t n_lines,
                         const struct bench_bar *bars, size_t n_bars)
{
    struct scale x = {INFINITY, 0, BARS_LEFT, BARS_RIGHT, 1};
    for (size_t i = 0; i < n_bars; i++) {
        x.low = fmin(x.low, bars[i].value / 2);
        x.high = fmax(x.high, bars[i].value);
    }
    head_put(file, BARS_WIDTH, BENCH_HEAD_HEIGHT + n_bars * BAR_STEP + 12, title, lines, n_lines);
    for (size_t i = 0; i < n_bars; i++) {
        const double top = BENCH_HEAD_HEIGHT + (double)i * BAR_STEP, end = place_of(&x, bars[i].value);
        fprintf(file, "<rect class=\"f%d\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n",
                bars[i].is_ours ? OUR_COLOUR : OTHER_COLOUR, BARS_LEFT, top, end - BARS_LEFT, BAR_STEP - 8);
        text_put(file, BARS_LEFT - 8, top + BAR_STEP / 2.0, "text-anchor=\"end\"", bars[i].name);
        text_put(file, end + 8, top + BAR_STEP / 2.0, "", bars[i].value_text);
    }
    fputs("</svg>\n", file);
    return !ferror(file);
}

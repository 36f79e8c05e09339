/* Charts as plain SVG text: lines over a logarithmic or a counted axis, labelled at their ends, readable on light and
 * on dark paper. */
#ifndef AVVIK_BENCH_SVG_H
#define AVVIK_BENCH_SVG_H

#include <stddef.h>
#include <stdio.h>

#define BENCH_MAX_POINTS 64
#define BENCH_MAX_SERIES 16
#define BENCH_MAX_PANELS 8
#define BENCH_PANEL_WIDTH 480
#define BENCH_PANEL_HEIGHT 330
#define BENCH_HEAD_HEIGHT 92

/* A value with the quarters above and below it. */
struct bench_point {
    double x, y, low, high; /* all above 0 */
};

struct bench_series {
    const char *name; /* its label; names the colour, too */
    size_t n_points;
    struct bench_point point[BENCH_MAX_POINTS]; /* x ascending */
};

struct bench_panel {
    char title[80], note[200], x_label[80], y_label[80];
    const char *const *x_names; /* names of x = 1, 2, ...; NULL: x is a number on a logarithmic axis */
    size_t n_x_names;
    size_t n_series;
    struct bench_series series[BENCH_MAX_SERIES];
};

/* A bar of a chart of bars: ours or another's. */
struct bench_bar {
    char name[96], value_text[96];
    double value; /* above 0 */
    int is_ours;
};

/* Write `bars`, the first on top, on a logarithmic axis, under a heading. Returns 0 if the file cannot be written. */
int bench_svg_write_bars(FILE *file, const char *title, const char *const *lines, size_t n_lines,
                         const struct bench_bar *bars, size_t n_bars);

/* Write `panels`, two a row, under a heading. Texts may hold anything. Returns 0 if the file cannot be written. */
int bench_svg_write(FILE *file, const char *title, const char *const *lines, size_t n_lines,
                    const struct bench_panel *panels, size_t n_panels);

#endif

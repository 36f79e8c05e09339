/* Plots as inline SVG. Strokes and colours are the style sheet's (report.css), which knows the parts of a plot by their
 * order: a page has two plots a case. They are hidden from screen readers: the caption above and the table beside say
 * the same. */
#ifndef AVVIK_PLOT_SMALL_H
#define AVVIK_PLOT_SMALL_H

#include <stddef.h>

#include "html_text.h"

/* What all plots of a page refer to: once, before the first of them. */
void avvik__svg_shared(struct avvik__html *to);

/* Where a value lies among others: a line from the least to the largest, bars from 5 to 95 and 25 to 75 per cent, a
 * stroke at the median and a diamond at the value. The scale is asinh around the median, so that what lies far out is
 * seen and the middle is not squeezed together.
 * quantiles  [101], ascending
 * Labels are escaped here. */
void avvik__svg_strip(struct avvik__html *to, const double *quantiles, double value, const char *median_label,
                      const char *value_label);

/* Values over time: a line with a point for each.
 * days     [n], ascending, not all need differ; marked: the point that is drawn as a diamond, or n
 * labels   the range of the values, the first and the last day */
void avvik__svg_line(struct avvik__html *to, const double *days, const double *values, size_t n, size_t marked,
                     const char *const labels[3]);

#endif

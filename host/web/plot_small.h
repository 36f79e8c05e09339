/* Plots as inline SVG. They take the page's colours by class (report.css), and are hidden from screen readers: the
 * caption above and the table beside say the same. */
#ifndef AVVIK_PLOT_SMALL_H
#define AVVIK_PLOT_SMALL_H

#include <stddef.h>

#include "html_text.h"

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

#include "plot_small.h"

#include <math.h>

#include "html_number.h"

#define WIDTH 320.0
#define MARGIN 12.0

/* A length along the x axis from where the least and the largest are drawn. */
static double along(double at, double least, double most)
{
    return most > least ? MARGIN + (WIDTH - 2 * MARGIN) * (at - least) / (most - least) : WIDTH / 2;
}

static void begin(struct avvik__html *to, double height)
{
    avvik__html_add(to, "<svg viewBox=\"0 0 %g %g\" aria-hidden=true>", WIDTH, height);
}

/* A label under x, kept within the picture. */
static void label(struct avvik__html *to, double x, double y, const char *kind, const char *text)
{
    const char *anchor = x < WIDTH / 3 ? "start" : x > 2 * WIDTH / 3 ? "end" : "middle";
    avvik__html_add(to, "<text class=%s x=%.0f y=%g text-anchor=%s>", kind, x, y, anchor);
    avvik__html_add(to, "%s", text);
    avvik__html_add(to, "</text>");
}

static void diamond(struct avvik__html *to, double x, double y)
{
    avvik__html_add(to, "<path class=it d=\"M%.1f %.1fl6 6-6 6-6-6z\" />", x, y - 6);
}

void avvik__svg_strip(struct avvik__html *to, const double *quantiles, double value, const char *median_label,
                      const char *value_label)
{
    const double median = quantiles[50];
    double spread = (quantiles[75] - quantiles[25]) / 1.35;
    if (!(spread > 0))
        spread = (quantiles[95] - quantiles[5]) / 3.3;
    if (!(spread > 0))
        spread = fmax(quantiles[100] - quantiles[0], fabs(value - median)) / 10;
    if (!(spread > 0))
        spread = 1;
    const double least = asinh((fmin(quantiles[0], value) - median) / spread);
    const double most = asinh((fmax(quantiles[100], value) - median) / spread);
    double x[101];
    for (int i = 0; i <= 100; i++)
        x[i] = along(asinh((quantiles[i] - median) / spread), least, most);
    const double at = along(asinh((value - median) / spread), least, most);
    begin(to, 62);
    avvik__html_add(to, "<path class=far d=\"M%.1f 28H%.1f\" /><path class=most d=\"M%.1f 28H%.1f\" />", x[0], x[100],
                    x[5], x[95]);
    avvik__html_add(to, "<path class=mid d=\"M%.1f 28H%.1f\" /><path class=med d=\"M%.1f 18V38\" />", x[25], x[75],
                    x[50]);
    diamond(to, at, 28);
    label(to, at, 11, "own", value_label);
    label(to, x[50], 55, "lab", median_label);
    avvik__html_add(to, "</svg>");
}

void avvik__svg_line(struct avvik__html *to, const double *days, const double *values, size_t n, size_t marked,
                     const char *const labels[3])
{
    const double top = 16, bottom = 76;
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        least = fmin(least, values[i]);
        most = fmax(most, values[i]);
    }
    begin(to, 100);
    avvik__html_add(to, "<path class=axis d=\"M%g %gH%g\" /><path class=line d=\"", MARGIN, bottom + 6, WIDTH - MARGIN);
    for (size_t i = 0; i < n; i++)
        avvik__html_add(to, "%s%.1f %.1f", i == 0 ? "M" : "L", along(days[i], days[0], days[n - 1]),
                        most > least ? bottom - (bottom - top) * (values[i] - least) / (most - least)
                                     : (top + bottom) / 2);
    avvik__html_add(to, "\" />");
    if (marked < n)
        diamond(to, along(days[marked], days[0], days[n - 1]),
                most > least ? bottom - (bottom - top) * (values[marked] - least) / (most - least)
                             : (top + bottom) / 2);
    label(to, MARGIN, 10, "lab", labels[0]);
    label(to, MARGIN, bottom + 21, "lab", labels[1]);
    label(to, WIDTH - MARGIN, bottom + 21, "lab", labels[2]);
    avvik__html_add(to, "</svg>");
}

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

static void begin(struct avvik__html *to, const char *kind, double height)
{
    avvik__html_add(to, "<svg class=%s viewBox=\"0 0 %g %g\" aria-hidden=true>", kind, WIDTH, height);
}

/* A label at x, kept within the picture: it begins there, or has its middle (m) or its end (e) there. */
static void label(struct avvik__html *to, double x, const char *text)
{
    const char *anchor = x < WIDTH / 3 ? "" : x > 2 * WIDTH / 3 ? " class=e" : " class=m";
    avvik__html_add(to, "<text%s x=%.0f>%s</text>", anchor, x, text);
}

void avvik__svg_shared(struct avvik__html *to)
{
    avvik__html_add(to, "<svg class=shared aria-hidden=true><path id=it d=\"M0-6l6 6-6 6-6-6z\"/></svg>\n");
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
    begin(to, "strip", 62);
    avvik__html_add(to, "<path d=\"M%.0f 28H%.0f\"/><path d=\"M%.0f 28H%.0f\"/><path d=\"M%.0f 28H%.0f\"/>", x[0],
                    x[100], x[5], x[95], x[25], x[75]);
    avvik__html_add(to, "<path d=\"M%.0f 18V38\"/>", x[50]);
    avvik__html_add(to, "<use href=#it x=%.0f />", at);
    label(to, at, value_label);
    label(to, x[50], median_label);
    avvik__html_add(to, "</svg>");
}

#define LINE_TOP 16.0
#define LINE_BOTTOM 76.0

static double height_of(double value, double least, double most)
{
    return most > least ? LINE_BOTTOM - (LINE_BOTTOM - LINE_TOP) * (value - least) / (most - least)
                        : (LINE_TOP + LINE_BOTTOM) / 2;
}

void avvik__svg_line(struct avvik__html *to, const double *days, const double *values, size_t n, size_t marked,
                     const char *const labels[3])
{
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        least = fmin(least, values[i]);
        most = fmax(most, values[i]);
    }
    begin(to, "line", 100);
    avvik__html_add(to, "<path d=\"M%g %gH%g\"/><path d=\"", MARGIN, LINE_BOTTOM + 6, WIDTH - MARGIN);
    for (size_t i = 0; i < n; i++) /* what follows the first point are lines */
        avvik__html_add(to, "%s%.0f %.0f", i == 0 ? "M" : " ", along(days[i], days[0], days[n - 1]),
                        height_of(values[i], least, most));
    avvik__html_add(to, "\"/>");
    if (marked < n)
        avvik__html_add(to, "<use href=#it x=%.0f y=%.0f />", along(days[marked], days[0], days[n - 1]),
                        height_of(values[marked], least, most));
    avvik__html_add(to, "<text>%s</text><text>%s</text><text>%s</text></svg>", labels[0], labels[1], labels[2]);
}

/* An axis: from values to places, and round numbers to write along it. */
#ifndef AVVIK_PLOT_AXIS_H
#define AVVIK_PLOT_AXIS_H

#define AVVIK_MAX_TICKS 8

struct avvik__axis {
    double low, high;   /* values at its ends; low < high */
    double start, end;  /* their places */
    int is_logarithmic; /* low > 0 then */
    double ticks[AVVIK_MAX_TICKS];
    int n_ticks;
};

/* An axis from a value to another, widened where they are equal, ticks at 1, 2 or 5 times a power of ten. */
struct avvik__axis avvik__axis_make(double low, double high, double start, double end, int is_logarithmic);
double avvik__axis_place(const struct avvik__axis *axis, double value); /* held within the axis */

#endif

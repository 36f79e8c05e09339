#include "plot_axis.h"

#include <math.h>

static double scaled(const struct avvik__axis *axis, double value)
{
    return axis->is_logarithmic ? log10(value) : value;
}

static void ticks_find(struct avvik__axis *axis)
{
    static const double steps[] = {1, 2, 5, 10};
    if (axis->is_logarithmic) {
        const double first = ceil(log10(axis->low) - 1e-9), last = floor(log10(axis->high) + 1e-9);
        const double step = fmax(1, ceil((last - first + 1) / (AVVIK_MAX_TICKS - 1)));
        for (double power = first; power <= last && axis->n_ticks < AVVIK_MAX_TICKS; power += step)
            axis->ticks[axis->n_ticks++] = pow(10, power);
        if (axis->n_ticks >= 2)
            return;
        axis->n_ticks = 0; /* less than two powers of ten: round numbers as on a plain axis */
    }
    const double range = axis->high - axis->low, power = pow(10, floor(log10(range / 4)));
    double step = steps[0] * power;
    for (int i = 1; i < 4 && range / step > 5.2; i++)
        step = steps[i] * power;
    for (double k = ceil(axis->low / step - 1e-9);
         k * step <= axis->high + 1e-9 * range && axis->n_ticks < AVVIK_MAX_TICKS; k++)
        axis->ticks[axis->n_ticks++] = k * step + 0.0; /* + 0.0: never minus zero */
}

struct avvik__axis avvik__axis_make(double low, double high, double start, double end, int is_logarithmic)
{
    struct avvik__axis axis = {low, high, start, end, is_logarithmic && low > 0, {0}, 0};
    if (!(high - low > fabs(high) * 1e-9)) {
        axis.low = low - fmax(1, fabs(low) * 0.1);
        axis.high = high + fmax(1, fabs(high) * 0.1);
        axis.is_logarithmic = 0;
    }
    ticks_find(&axis);
    return axis;
}

double avvik__axis_place(const struct avvik__axis *axis, double value)
{
    const double held = value < axis->low ? axis->low : value > axis->high ? axis->high : value;
    const double low = scaled(axis, axis->low), high = scaled(axis, axis->high);
    return axis->start + (axis->end - axis->start) * (scaled(axis, held) - low) / (high - low);
}

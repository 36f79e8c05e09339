#include "draw.h"

#include <math.h>
#include <string.h>

#include <Random123/philox.h>

struct avvik__words avvik__draw(uint64_t seed, uint32_t unit, int month, enum avvik__purpose purpose, uint32_t draw)
{
    const philox4x32_ctr_t counter = {{draw, (uint32_t)purpose, (uint32_t)month, unit}};
    const philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    const philox4x32_ctr_t word = philox4x32(counter, key); /* ten rounds */
    return (struct avvik__words){{word.v[0], word.v[1], word.v[2], word.v[3]}};
}

/* 2^k for a normal result. */
static double power_of_two(int k)
{
    const uint64_t bits = (uint64_t)(k + 1023) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* exp(x) = 2^k exp(r), |r| <= ln 2 / 2, by its power series: 1 / n!, highest first. */
double avvik__exp(double x)
{
    static const double c[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0};
    const double k = floor(x * 1.4426950408889634 + 0.5);
    const double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double sum = c[0];
    for (size_t i = 1; i < sizeof c / sizeof c[0]; i++)
        sum = sum * r + c[i];
    return sum * power_of_two((int)k);
}

/* log(x) = k ln 2 + 2 atanh((m - 1) / (m + 1)), m within a factor sqrt(2) of 1: 1 / n of the odd n, highest first. */
double avvik__log(double x)
{
    static const double c[] = {1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13,
                               1.0 / 11, 1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3,  1.0};
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int k = (int)(bits >> 52) - 1022;
    double m = x * power_of_two(-k); /* in [0.5, 1) */
    if (m < 0.70710678118654752440) {
        m *= 2;
        k--;
    }
    const double s = (m - 1) / (m + 1), square = s * s;
    double sum = c[0];
    for (size_t i = 1; i < sizeof c / sizeof c[0]; i++)
        sum = sum * square + c[i];
    return k * 6.93147180559945309417e-01 + 2 * s * sum;
}

double avvik__power(double x, double y)
{
    return avvik__exp(y * avvik__log(x));
}

double avvik__waiting(uint32_t word)
{
    return -avvik__log(avvik__unit(word));
}

/* Horner, highest power first. */
static double polynomial(const double *c, double x)
{
    double sum = c[7];
    for (int i = 6; i >= 0; i--)
        sum = sum * x + c[i];
    return sum;
}

/* Algorithm AS 241 (Wichura 1988), PPND16; relative error about 1e-16. */
double avvik__normal(uint32_t word)
{
    static const double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                               1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                               3.3430575583588128105e+4, 2.5090809287301226727e+3};
    static const double b[] = {1.0,
                               4.2313330701600911252e+1,
                               6.8718700749205790830e+2,
                               5.3941960214247511077e+3,
                               2.1213794301586595867e+4,
                               3.9307895800092710610e+4,
                               2.8729085735721942674e+4,
                               5.2264952788528545610e+3};
    static const double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                               3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                               2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[] = {1.0,
                               2.05319162663775882187e0,
                               1.67638483018380384940e0,
                               6.89767334985100004550e-1,
                               1.48103976427480074590e-1,
                               1.51986665636164571966e-2,
                               5.47593808499534494600e-4,
                               1.05075007164441684324e-9};
    static const double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                               2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                               2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[] = {1.0,
                               5.99832206555887937690e-1,
                               1.36929880922735805310e-1,
                               1.48753612908506148525e-2,
                               7.86869131145613259100e-4,
                               1.84631831751005468180e-5,
                               1.42151175831644588870e-7,
                               2.04426310338993978564e-15};
    const double p = avvik__unit(word), q = p - 0.5;
    if (fabs(q) <= 0.425) {
        const double r = 0.180625 - q * q;
        return q * polynomial(a, r) / polynomial(b, r);
    }
    double r = sqrt(-avvik__log(q < 0 ? p : 1 - p));
    if (r <= 5) {
        r -= 1.6;
        r = polynomial(c, r) / polynomial(d, r);
    } else {
        r -= 5;
        r = polynomial(e, r) / polynomial(f, r);
    }
    return q < 0 ? -r : r;
}

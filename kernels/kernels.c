#include "kernels.h"

void avvik__kernels_select(struct avvik__kernels *kernels_out, unsigned cpu_bits)
{
#define AVVIK_KERNEL(kernel, variant, bits)                                                                            \
    if (((bits) & ~cpu_bits) == 0)                                                                                     \
        kernels_out->kernel = avvik__##kernel##_##variant;
#include "kernels.def"
}

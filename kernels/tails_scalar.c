/* Scalar reference: how far out in their tails values lie (kernels/README.md, "Tails"). */
#include "kernels.h"

void avvik__tails_scalar(int32_t *tails, const float *tile, size_t stride, size_t n_rows, size_t n_features,
                         const struct avvik__tail_table *tables)
{
    for (size_t r = 0; r < n_rows; r++) {
        int32_t sum = 0;
        for (size_t f = 0; f < n_features; f++) {
            uint32_t path = 0;
            for (uint32_t step = 0; step < AVVIK_TAIL_STEPS; step++)
                path |= (uint32_t)(tile[r * stride + f] >= tables[f].level[(1u << step) + path]) << step;
            sum += tables[f].bits[path];
        }
        tails[r] = sum;
    }
}

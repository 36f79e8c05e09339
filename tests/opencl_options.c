/* Prints the options that avvik compiles its OpenCL kernels with on a device that need not be here:
 *
 *   opencl_options FEATURES HEIGHT TREES MAX_GROUP LOCAL_BYTES
 *
 * for a forest of that shape on a device with groups of up to MAX_GROUP work-items and LOCAL_BYTES of local memory of
 * its own. AVVIK_OPENCL_WALK overrides the choice, as it does in avvik. */
#include <stdio.h>
#include <stdlib.h>

#include "opencl_program.h"

int main(int argc, char **argv)
{
    char options[512];
    struct avvik__cl_geometry geometry;
    struct avvik_error error;
    unsigned long number[5];
    if (argc != 6) {
        fputs("usage: opencl_options FEATURES HEIGHT TREES MAX_GROUP LOCAL_BYTES\n", stderr);
        return 2;
    }
    for (int i = 0; i < 5; i++)
        number[i] = strtoul(argv[i + 1], NULL, 10);
    const struct avvik__cl_device device = {
        .max_group = number[3], .local_bytes = number[4], .has_fast_local = 1, .float_width = 1};
    const struct avvik__tail_table tails = {{0}, {0}};
    const struct avvik__scoring_plan plan = {.n_features = (uint32_t)number[0],
                                             .n_groups = number[0] % 2 == 0 ? 1 : 2,
                                             .stride = (number[0] + AVVIK_LANES - 1) / AVVIK_LANES * AVVIK_LANES,
                                             .n_joint = number[0] > AVVIK_JOINT_FEATURES ? 0
                                                        : number[0] % 2 == 0             ? 1
                                                                                         : 2,
                                             .tails = number[0] % 3 == 0 ? NULL : &tails,
                                             .is_wide = number[0] > AVVIK_PACKED_FEATURES,
                                             .forest = {.n_trees = (uint32_t)number[2], .height = (uint32_t)number[1]}};
    if (avvik__cl_geometry_choose(&device, &plan, &geometry, &error) != AVVIK_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    avvik__cl_options_write(options, sizeof options, &plan, &geometry);
    puts(options);
    return 0;
}

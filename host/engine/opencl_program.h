/* Which of the OpenCL kernels a device gets, with which constants, and how they are compiled. */
#ifndef AVVIK_OPENCL_PROGRAM_H
#define AVVIK_OPENCL_PROGRAM_H

#include <stdint.h>

#include "backend.h"
#include "opencl_runtime.h"

/* The sources in kernels/, kernel_types.h first; made by kernels/embed_cl.cmake. */
extern const char *const avvik__cl_sources[];
extern const unsigned avvik__n_cl_sources;

/* How the forest is walked on one device. */
struct avvik__cl_geometry {
    int is_lanes;        /* forest_path_lanes.cl, else forest_path.cl */
    uint32_t vector;     /* lanes of it: 16 or 8 */
    uint32_t rows;       /* rows of a work-item */
    uint32_t group;      /* work-items of a group; for lanes an upper bound */
    uint32_t tile_trees; /* trees in local memory at a time; 0: walked in global memory */
    uint32_t in_flight;  /* trees a work-item walks at a time; n_trees is padded to a multiple */
    int has_local_rows;
    size_t piece_rows; /* rows of a launch; 0: by the length of the calls */
};

/* A walk as it is written: "lanes:16", "lanes:8", "global" (trees and rows in global memory) or "local:BYTES" (as if
 * the device had that much local memory, if it has). 0 if `text` is none of these. */
struct avvik__cl_walk {
    int is_lanes;
    uint32_t vector;
    uint64_t local_bytes; /* 0: global */
};
int avvik__cl_walk_parse(const char *text, struct avvik__cl_walk *walk_out);

/* Choose by what the device said, or by device->tuning. So that every walk can be tested on every device, the
 * environment variable AVVIK_OPENCL_WALK overrides both. AVVIK_OK, or AVVIK_ERR_BACKEND if that variable says no walk.
 */
enum avvik_status avvik__cl_geometry_choose(const struct avvik__cl_device *device,
                                            const struct avvik__scoring_plan *plan,
                                            struct avvik__cl_geometry *geometry_out, struct avvik_error *error);

/* The options the kernels are compiled with; 512 bytes suffice. tests/opencl_offline.sh compiles with them for devices
 * that are not here. */
void avvik__cl_options_write(char *options, size_t size, const struct avvik__scoring_plan *plan,
                             const struct avvik__cl_geometry *geometry);

/* The program for `plan`, from the cache if it is there, else compiled and cached; *geometry is narrowed where the
 * compiled kernel cannot have as large a group. program_out: release with clReleaseProgram(). */
enum avvik_status avvik__cl_program_build(cl_context context, const struct avvik__cl_device *device,
                                          const struct avvik__scoring_plan *plan, struct avvik__cl_geometry *geometry,
                                          cl_program *program_out, struct avvik_error *error);

/* The program that has forest_reasons for `plan`, likewise. */
enum avvik_status avvik__cl_reasons_program(cl_context context, const struct avvik__cl_device *device,
                                            const struct avvik__scoring_plan *plan, cl_program *program_out,
                                            struct avvik_error *error);

#endif

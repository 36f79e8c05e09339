/* The HDF5 file driver that output files are written through.
 *
 * HDF5 1.10 does not survive a write that fails: a file that cannot be flushed never closes, and the program crashes
 * when it ends. This driver never lets HDF5 see a failure. It keeps the first one, writes nothing from then on, and
 * whoever writes the file asks for it after every call. */
#ifndef AVVIK_OUTPUT_DRIVER_H
#define AVVIK_OUTPUT_DRIVER_H

#include <hdf5.h>
#include <stdint.h>

struct avvik__span {
    uint64_t first, end; /* bytes */
};

struct avvik__output {
    int descriptor;  /* open for reading and writing; stays the caller's */
    int first_errno; /* of the first write that failed; 0 while all is well */
    void *replay;    /* not NULL: raw data that are written are in the file already, and are read into here instead */
    uint64_t started, written; /* raw data whose way to the disk has begun, raw data written; bytes from the start */
    int is_over_old;           /* there may be old bytes: what is written is noted in spans */
    struct avvik__span *spans; /* ascending, apart from each other; the owner frees them */
    size_t n_spans, spans_capacity;
};

/* Make a file in `output`, which outlives it. H5I_INVALID_HID if HDF5 refuses. */
hid_t avvik__output_create(struct avvik__output *output, const char *name);

/* After the file is closed: what HDF5 left unwritten is zero in a new file, and now in one that is_over_old as well. */
void avvik__output_gaps_clear(struct avvik__output *output);

#endif

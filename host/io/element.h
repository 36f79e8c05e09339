/* Numbers as files have them, and their way to float32. */
#ifndef AVVIK_ELEMENT_H
#define AVVIK_ELEMENT_H

#include <hdf5.h>
#include <stddef.h>

/* A number that avvik converts itself. Anything else (float16, bit fields, odd precisions) is HDF5's to convert. */
enum avvik__element {
    AVVIK_ELEMENT_NONE,
    AVVIK_ELEMENT_I8,
    AVVIK_ELEMENT_U8,
    AVVIK_ELEMENT_I16,
    AVVIK_ELEMENT_U16,
    AVVIK_ELEMENT_I32,
    AVVIK_ELEMENT_U32,
    AVVIK_ELEMENT_I64,
    AVVIK_ELEMENT_U64,
    AVVIK_ELEMENT_F32,
    AVVIK_ELEMENT_F64,
    AVVIK_ELEMENT_KINDS,
    AVVIK_ELEMENT_SWAPPED = 16 /* added to one of these: in the byte order that this machine has not */
};

/* What `type` is; enumerations are what they are made of. Bytes of one are H5Tget_size(type). */
int avvik__element_of(hid_t type);

/* Convert n elements, `stride` bytes apart and with any alignment, to float32 in round to nearest: the values that
 * HDF5 1.10 converts to, to the last bit.
 * to    out, n floats; does not overlap `from`. */
void avvik__element_convert(int element, const void *from, size_t stride, size_t n, float *to);

#endif

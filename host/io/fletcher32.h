/* The checksum of HDF5's Fletcher32 filter. */
#ifndef AVVIK_FLETCHER32_H
#define AVVIK_FLETCHER32_H

#include <stddef.h>
#include <stdint.h>

/* Fletcher's two sums over 16-bit big-endian words, the second in the upper half, each modulo 65,535 (and below it:
 * HDF5 may keep 65,535 instead of 0). Of an odd last byte a word is made with a zero. */
uint32_t avvik__fletcher32(const void *bytes, size_t n);

#endif

/* The HDF5 file driver that batches are read through: plain reads of a file, and two things HDF5's own driver cannot
 * do.
 *
 * HDF5 1.10 tells where a chunk lies only by walking all of them (H5Dget_chunk_info_by_coord() iterates), and it reads
 * behind one lock. This driver can be asked not to read the next raw data but to say where they are; they are then read
 * by any thread, without HDF5. */
#ifndef AVVIK_INPUT_DRIVER_H
#define AVVIK_INPUT_DRIVER_H

#include <hdf5.h>
#include <stdint.h>

/* Open `path` read-only. H5I_INVALID_HID if it cannot be: HDF5's error stack has the reason. Files that it refers to
 * (external links, virtual data sets) go through the same driver. */
hid_t avvik__input_open(const char *path);

/* HDF5 inflates whatever a chunk says it holds: a few kilobytes of a hostile file can take all memory. While a limit is
 * set, a chunk of deflate (that is, stored bytes which are a zlib stream) that this thread reads through HDF5 fails to
 * be read if it grows beyond `bytes`; HDF5's error stack says so. 0: no limit. */
void avvik__input_inflate_limit(size_t bytes);

/* The descriptor of the file that `object` lies in, and its size in bytes; -1 if it was opened by another driver. It is
 * valid as long as that file is open. */
int avvik__input_descriptor(hid_t object, uint64_t *bytes_out);

/* Where the stored bytes of the chunk that begins at row `row` are. Returns 1 and fills the address in the file, the
 * bytes stored and the mask of the filters that were left out; 0 where no such chunk is stored; -1 on an error, with
 * HDF5's error stack. Calls HDF5. */
int avvik__input_locate_chunk(hid_t dataset, uint64_t row, uint64_t *address_out, uint64_t *bytes_out,
                              unsigned *filter_mask_out);

#endif

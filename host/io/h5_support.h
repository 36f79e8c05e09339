/* Small helpers around HDF5's C API. For host/io only: the only folder that includes hdf5.h. */
#ifndef AVVIK_H5_SUPPORT_H
#define AVVIK_H5_SUPPORT_H

#include <hdf5.h>
#include <stddef.h>

#include "avvik_internal.h"

/* HDF5 prints its error stack to stderr by default; the library never prints. Call at every public entry. */
void avvik__h5_quiet(void);

/* HDF5's reason for the last failure of this thread, the innermost entry of its error stack or the operating system's
 * words in it, into text. */
void avvik__h5_reason(char *text, size_t size);

/* Close any identifier by its kind; a negative one is a no-op. */
void avvik__h5_close(hid_t id);

/* A file driver, registered when it is first asked for and until HDF5 ends: *id keeps its number. HDF5 1.10 looks into
 * the driver of a file once more after it has let go of it, so that the last file that is closed must not be what keeps
 * it. */
hid_t avvik__driver_keep(hid_t *id, const H5FD_class_t *driver);

/* Let HDF5 keep no more than about `bytes` of a file's metadata in memory, counted as they lie in the file; a node of a
 * chunk index, 2 KiB there, takes 19 KiB in memory. Left to itself HDF5 keeps all nodes it has met, up to a thousand,
 * so that memory grows with the rows. */
void avvik__h5_metadata_limit(hid_t file, size_t bytes);

/* Read a scalar string attribute of fixed or variable length; text is cut at size - 1 bytes, trailing spaces go.
 * Returns 1 if it is there and a string, else 0 with an empty text. */
int avvik__h5_string_attribute(hid_t object, const char *name, char *text, size_t size);

/* Open an existing HDF5 file read-only. AVVIK_ERR_IO or AVVIK_ERR_FORMAT with a sentence that has the path. */
enum avvik_status avvik__h5_open(const char *path, hid_t *file_out, struct avvik_error *error);

/* Is every filter of the data set's pipeline installed, and deflate the last that changes its size? AVVIK_OK, or
 * AVVIK_ERR_FILTER with a sentence that names the filter and the package that has it. `where` names file and column. */
enum avvik_status avvik__h5_check_filters(hid_t dataset, const char *where, struct avvik_error *error);

#endif

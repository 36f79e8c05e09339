/* Files that avvik writes and reads back (models, scores): named arrays and attributes in HDF5, a content hash over
 * them, and the way a file comes into being: NAME.partial, fsync, rename. HDF5 stays behind this header.
 *
 * Content hash: XXH3-128 over the sorted list of "path digest" lines, one for each array and attribute that counts,
 * where a digest is XXH3-128 over type, shape and little-endian bytes. It finds damage and careless edits; it is no
 * signature. */
#ifndef AVVIK_RECORD_FILE_H
#define AVVIK_RECORD_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

#define AVVIK_FORMAT_VERSION 2 /* of files that are written; version 1 has nothing that it does not have */
#define AVVIK_HASH_SIZE 48     /* "xxh3-128:" and 32 hex digits, with the final zero */

enum avvik__type { AVVIK_U16, AVVIK_U32, AVVIK_U64, AVVIK_I32, AVVIK_F32, AVVIK_F64, AVVIK_TEXT, AVVIK_I64 };

struct avvik__record;
struct avvik__record_column;

/* Start writing PATH (as PATH.partial) with the root attributes avvik_kind, format_version, producer and created.
 * AVVIK_ERR_EXISTS if PATH is there and replace is 0, or another process is writing it; AVVIK_ERR_IO. */
enum avvik_status avvik__record_create(const char *path, const char *kind, int replace,
                                       struct avvik__record **record_out, struct avvik_error *error);

/* The same over the PATH.partial that an earlier run left, if there is one: HDF5 places everything where it placed it
 * then, as long as it is asked for the same things in the same order, and whole columns can be replayed. created: when
 * the first run began (avvik__record_now()). */
enum avvik_status avvik__record_resume(const char *path, const char *kind, int replace, const char *created,
                                       struct avvik__record **record_out, struct avvik_error *error);

/* UTC, ISO 8601, into 32 bytes. */
void avvik__record_now(char *text);

/* The descriptor that a record is written through, for whoever syncs it; and AVVIK_ERR_IO with the sentence for a sync
 * that failed. */
int avvik__record_descriptor(const struct avvik__record *record);
enum avvik_status avvik__record_sync_failed(const struct avvik__record *record, int code, struct avvik_error *error);

/* 1 if `path` is a file of that kind made by avvik, whatever else may be wrong with it. */
int avvik__record_is(const char *path, const char *kind);

/* Read PATH, which must be of `kind` and of a format version up to this one. Untrusted. AVVIK_ERR_IO or
 * AVVIK_ERR_FORMAT. */
enum avvik_status avvik__record_open(const char *path, const char *kind, struct avvik__record **record_out,
                                     struct avvik_error *error);

/* Finish writing: hash, flush, fsync, rename. On success the record is freed and NULL; on failure it is the caller's to
 * close or leave. */
enum avvik_status avvik__record_commit(struct avvik__record **owned, struct avvik_error *error);
/* Writing: take everything back, the partial file too. Reading: release. Frees the record; NULL is a no-op. */
void avvik__record_close(struct avvik__record *record);
/* Give up writing, but leave the partial file to be resumed. */
void avvik__record_leave(struct avvik__record *record);

/* Bring the name `path` to the disk: a file that was made or renamed is safe once its directory is. Some file systems
 * cannot sync one; the data are safe there all the same. */
void avvik__directory_sync(const char *path);
/* Remove what a run that was killed left at `path`, unless another process is using it. */
void avvik__leftover_remove(const char *path);

/* The content hash: what was written so far, or what the file says of itself. */
void avvik__record_hash(struct avvik__record *record, char *hash_out);

/* A writer makes a group before it puts something into it. */
enum avvik_status avvik__record_group(struct avvik__record *record, const char *group, struct avvik_error *error);

/* Whole arrays. dims: rank (1 or 2) lengths. For AVVIK_TEXT the last of rank + 1 dims is the bytes a string takes. */
enum avvik_status avvik__record_put(struct avvik__record *record, const char *path, enum avvik__type type, int rank,
                                    const uint64_t *dims, const void *data, struct avvik_error *error);
/* data_out: malloc'ed, release with free(). The array must have exactly these dims, which the caller has bounded. */
enum avvik_status avvik__record_get(struct avvik__record *record, const char *path, enum avvik__type type, int rank,
                                    const uint64_t *dims, void **data_out, struct avvik_error *error);
/* Lengths of an array of `rank` dimensions (2 at most). */
enum avvik_status avvik__record_dims(struct avvik__record *record, const char *path, int rank, uint64_t *dims_out,
                                     struct avvik_error *error);
/* Bytes that a string of a text array takes. */
enum avvik_status avvik__record_text_size(struct avvik__record *record, const char *path, uint64_t *size_out,
                                          struct avvik_error *error);
int avvik__record_has(struct avvik__record *record, const char *path);

/* Attributes of a group. `counts`: does it count in the content hash? */
enum avvik_status avvik__record_put_u64(struct avvik__record *record, const char *group, const char *name,
                                        uint64_t value, int counts, struct avvik_error *error);
enum avvik_status avvik__record_put_text(struct avvik__record *record, const char *group, const char *name,
                                         const char *value, int counts, struct avvik_error *error);
enum avvik_status avvik__record_get_u64(struct avvik__record *record, const char *group, const char *name,
                                        uint64_t *value_out, struct avvik_error *error);
enum avvik_status avvik__record_get_text(struct avvik__record *record, const char *group, const char *name, char *value,
                                         size_t size, int counts, struct avvik_error *error);

/* The attribute `name` of the data set or group `path`: an array of n strings of `size` bytes each, zero padded. Counts
 * in the content hash. */
enum avvik_status avvik__record_put_texts(struct avvik__record *record, const char *path, const char *name,
                                          const char *texts, size_t n, size_t size, struct avvik_error *error);
/* The attribute `name` of a data set: one number of type `type`. Counts in the content hash. */
enum avvik_status avvik__record_put_number(struct avvik__record *record, const char *path, const char *name,
                                           enum avvik__type type, const void *value, struct avvik_error *error);

/* One-dimensional arrays of n_rows elements. The column belongs to the record. They are written chunk by chunk in row
 * order: chunk_rows rows each, fewer in the last. level: 0, or 1 to 9 for shuffle and deflate. chunk_rows 0:
 * contiguous, written in runs of any length. */
enum avvik_status avvik__record_column_create(struct avvik__record *record, const char *path, enum avvik__type type,
                                              uint64_t n_rows, size_t chunk_rows, int level,
                                              struct avvik__record_column **column_out, struct avvik_error *error);
/* The next chunk. encoded: what avvik__chunk_encode() made of it; NULL where the column is not compressed. */
enum avvik_status avvik__record_column_write(struct avvik__record_column *column, const void *data, size_t n_rows,
                                             const void *encoded, size_t encoded_bytes, struct avvik_error *error);

/* On a record that is resumed: the next chunk, which an earlier run wrote with encoded_bytes bytes (0: not compressed)
 * of this digest, is taken as written, and read back into data_out (n_rows elements). It counts only once it is
 * accepted; a chunk that turns out to be something else (*is_whole_out is 0) is simply written again.
 * encoder: as for avvik__chunk_encode(). */
struct avvik__encoder;
enum avvik_status avvik__record_column_replay(struct avvik__record_column *column, struct avvik__encoder *encoder,
                                              size_t n_rows, size_t encoded_bytes, const unsigned char *digest,
                                              void *data_out, int *is_whole_out, struct avvik_error *error);
void avvik__record_column_accept(struct avvik__record_column *column, const void *data, size_t n_rows);
/* That digest (16 bytes): of the encoded chunk, or of the elements that are not encoded. */
void avvik__record_chunk_digest(const void *bytes, size_t n, unsigned char *digest_out);

/* Columns are read a run of rows at a time, in row order. */
enum avvik_status avvik__record_column_open(struct avvik__record *record, const char *path, enum avvik__type type,
                                            uint64_t n_rows, struct avvik__record_column **column_out,
                                            struct avvik_error *error);
enum avvik_status avvik__record_column_read(struct avvik__record_column *column, void *data, size_t n_rows,
                                            struct avvik_error *error);
/* Go on n_rows further down, without reading them; such a record cannot be verified. */
void avvik__record_column_skip(struct avvik__record_column *column, size_t n_rows);

/* Reading: does what was read (all of what counts) have the hash that the file says? AVVIK_ERR_FORMAT if not. */
enum avvik_status avvik__record_verify(struct avvik__record *record, struct avvik_error *error);

#endif

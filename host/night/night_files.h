/* Files of a night: hashed, put in place whole, found by patterns. */
#ifndef AVVIK_NIGHT_FILES_H
#define AVVIK_NIGHT_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "avvik/status.h"
#include "record_file.h" /* AVVIK_HASH_SIZE */

/* XXH3-128 of the bytes of `path` (what `xxhsum -H2` prints, after "xxh3-128:"), and what fstat() said of it while it
 * was read. stop as elsewhere. AVVIK_OK; AVVIK_ERR_IO (also: no regular file, changed while it was read);
 * AVVIK_INTERRUPTED; AVVIK_ERR_MEMORY. */
enum avvik_status avvik__file_hash(const char *path, const volatile int *stop, char hash[AVVIK_HASH_SIZE],
                                   struct stat *info_out, struct avvik_error *error);

/* Write `path` through PATH.partial: `fill` writes to the stream, then it is synced and renamed. What was at `path` is
 * replaced; on an error it stays, and PATH.partial is removed. */
enum avvik_status avvik__file_replace(const char *path,
                                      enum avvik_status (*fill)(FILE *stream, void *context, struct avvik_error *error),
                                      void *context, struct avvik_error *error);
enum avvik_status avvik__file_copy(const char *from, const char *to, struct avvik_error *error);

/* Make one directory unless it is there. AVVIK_ERR_IO, also where something else has its name. */
enum avvik_status avvik__directory_make(const char *path, struct avvik_error *error);

/* What a list of patterns stands for: files in the order of the patterns, those of one pattern by the bytes of their
 * names, none twice. A pattern that fits nothing, or leads into a directory that cannot be read, becomes an entry of
 * its own, so that it is told. */
struct avvik__file_entry {
    char *path;     /* absolute; of an entry without a file: the pattern */
    int is_missing; /* no file fits */
};
struct avvik__file_list {
    struct avvik__file_entry *entries;
    size_t n, capacity;
};
#define AVVIK_MAX_INPUTS 1000

/* Relative patterns are relative to `folder`; placeholders stand for `date`. AVVIK_OK, AVVIK_ERR_FORMAT (more than
 * AVVIK_MAX_INPUTS) or AVVIK_ERR_MEMORY; destroy the list whatever the outcome. */
enum avvik_status avvik__files_find(char *const *patterns, size_t n_patterns, const char *folder, const char *date,
                                    struct avvik__file_list *list, struct avvik_error *error);
void avvik__files_destroy(struct avvik__file_list *list);

#endif

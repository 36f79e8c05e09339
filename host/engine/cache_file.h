/* Small files that avvik keeps for itself between runs, in $AVVIK_CACHE, else $XDG_CACHE_HOME/avvik, else
 * $HOME/.cache/avvik. Losing them costs time and nothing else. */
#ifndef AVVIK_CACHE_FILE_H
#define AVVIK_CACHE_FILE_H

#include <stddef.h>
#include <stdint.h>

#define AVVIK_CACHE_PATH_BYTES 4096

/* Path of the file `name` ("": the directory itself). 0 if there is no place for one. */
int avvik__cache_path(const char *name, char path[AVVIK_CACHE_PATH_BYTES]);

/* What is in the file `name`, malloc'ed, with a 0 byte behind it; its length in *size_out. NULL if there is no such
 * file
 * (*is_odd_out 0), or if it may not be trusted (1): it must be an ordinary file of this user's, writable by nobody
 * else, and no longer than max_bytes. */
uint8_t *avvik__cache_read(const char *name, size_t max_bytes, size_t *size_out, int *is_odd_out);

/* Write two pieces of memory, one after the other, to a temporary file beside `name`, then rename it: a reader sees all
 * of it or nothing. 0 if it cannot be written. */
int avvik__cache_write(const char *name, const void *first, size_t first_bytes, const void *second,
                       size_t second_bytes);

void avvik__cache_remove(const char *name);

#endif

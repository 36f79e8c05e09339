/* One night at a time. */
#ifndef AVVIK_NIGHT_LOCK_H
#define AVVIK_NIGHT_LOCK_H

#include "avvik/status.h"

/* Take the lock file `path`, which is made if it is not there and never removed. The kernel gives the lock back when
 * the process ends, however it ends. lock_out  on success a descriptor for avvik__lock_release(). Returns   AVVIK_OK;
 * AVVIK_ERR_IO: another process holds it (the text has its number), or it cannot be made. */
enum avvik_status avvik__lock_take(const char *path, int *lock_out, struct avvik_error *error);
void avvik__lock_release(int lock); /* -1 is a no-op */

/* The process that holds the lock, 0 if none does. Makes nothing. */
long avvik__lock_holder(const char *path);

#endif

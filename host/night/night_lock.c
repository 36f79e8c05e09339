#include "night_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik_internal.h"

static long holder_of(int file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[32] = "";
    if (fcntl(file, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK)
        return 0;
    if (lock.l_pid > 0)
        return lock.l_pid;
    /* Another machine or container: its own number is what it has written. */
    if (pread(file, text, sizeof text - 1, 0) > 0 && atol(text) > 0)
        return atol(text);
    return -1;
}

enum avvik_status avvik__lock_take(const char *path, int *lock_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[32];
    const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file < 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: the lock file cannot be opened: %s", path, strerror(errno));
    if (fcntl(file, F_SETLK, &lock) != 0) {
        const int reason = errno;
        if (reason != EACCES && reason != EAGAIN)
            AVVIK_FAIL(AVVIK_ERR_IO, reason, "%s: cannot be locked: %s", path, strerror(reason));
        const long holder = holder_of(file);
        char who[48] = "another machine";
        if (holder > 0)
            snprintf(who, sizeof who, "process %ld", holder);
        AVVIK_FAIL(AVVIK_ERR_IO, reason, "another night is running (%s holds %s); this one has not begun",
                   holder == 0 ? "a process that has just ended" : who, path);
    }
    const int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) != 0 || pwrite(file, text, (size_t)length, 0) != length)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be written: %s", path, strerror(errno));
    *lock_out = file;
done:
    if (status != AVVIK_OK && file >= 0)
        close(file);
    return status;
}

void avvik__lock_release(int lock)
{
    if (lock >= 0)
        close(lock);
}

long avvik__lock_holder(const char *path)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return 0;
    const long holder = holder_of(file);
    close(file);
    return holder;
}

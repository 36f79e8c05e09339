#include "cache_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int avvik__cache_path(const char *name, char path[AVVIK_CACHE_PATH_BYTES])
{
    const char *own = getenv("AVVIK_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *slash = name[0] == '\0' ? "" : "/";
    int n = -1;
    if (own != NULL && own[0] != '\0')
        n = snprintf(path, AVVIK_CACHE_PATH_BYTES, "%s%s%s", own, slash, name);
    else if (xdg != NULL && xdg[0] == '/') /* the XDG specification: relative paths are to be ignored */
        n = snprintf(path, AVVIK_CACHE_PATH_BYTES, "%s/avvik%s%s", xdg, slash, name);
    else if (home != NULL && home[0] == '/')
        n = snprintf(path, AVVIK_CACHE_PATH_BYTES, "%s/.cache/avvik%s%s", home, slash, name);
    return n > 0 && n < AVVIK_CACHE_PATH_BYTES;
}

static int read_all(int fd, void *to, size_t size)
{
    uint8_t *at = to;
    while (size > 0) {
        const ssize_t n = read(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        at += n;
        size -= (size_t)n;
    }
    return 1;
}

static int write_all(int fd, const void *from, size_t size)
{
    const uint8_t *at = from;
    while (size > 0) {
        const ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 0;
        at += n;
        size -= (size_t)n;
    }
    return 1;
}

uint8_t *avvik__cache_read(const char *name, size_t max_bytes, size_t *size_out, int *is_odd_out)
{
    char path[AVVIK_CACHE_PATH_BYTES];
    struct stat info;
    uint8_t *content = NULL;
    *is_odd_out = 0;
    if (!avvik__cache_path(name, path))
        return NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        *is_odd_out = errno != ENOENT && errno != ENOTDIR;
        return NULL;
    }
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
        (info.st_mode & (S_IWGRP | S_IWOTH)) == 0 && info.st_size >= 0 && (uint64_t)info.st_size <= max_bytes &&
        (content = malloc((size_t)info.st_size + 1)) != NULL && !read_all(fd, content, (size_t)info.st_size)) {
        free(content);
        content = NULL;
    }
    close(fd);
    if (content == NULL) {
        *is_odd_out = 1;
        return NULL;
    }
    content[info.st_size] = 0;
    *size_out = (size_t)info.st_size;
    return content;
}

/* mkdir -p; what fails here fails again, visibly, when the file is made. */
static void directories_make(char *directory)
{
    for (char *slash = strchr(directory + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(directory, 0700);
        *slash = '/';
    }
    mkdir(directory, 0700);
}

int avvik__cache_write(const char *name, const void *first, size_t first_bytes, const void *second, size_t second_bytes)
{
    char path[AVVIK_CACHE_PATH_BYTES], directory[AVVIK_CACHE_PATH_BYTES], temporary[AVVIK_CACHE_PATH_BYTES + 16];
    if (!avvik__cache_path("", directory) || !avvik__cache_path(name, path))
        return 0;
    directories_make(directory);
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    const int fd = mkstemp(temporary); /* mode 0600 */
    if (fd < 0)
        return 0;
    const int is_written = write_all(fd, first, first_bytes) && write_all(fd, second, second_bytes);
    if (close(fd) == 0 && is_written && rename(temporary, path) == 0)
        return 1;
    unlink(temporary);
    return 0;
}

void avvik__cache_remove(const char *name)
{
    char path[AVVIK_CACHE_PATH_BYTES];
    if (avvik__cache_path(name, path))
        unlink(path);
}

/* A disk that fails, and a machine that stops: preloaded into avvik, it counts the calls that change files in one
 * folder and does something to the n-th.
 *
 *   FAULT_DIR     the folder; files elsewhere are left alone
 *   FAULT_AT      which call, from 1; 0: none
 *   FAULT_KIND    calls of this kind alone are counted: open, write, fsync, fdatasync, ftruncate, rename, unlink
 *   FAULT_ACTION  fail     the call fails with FAULT_ERRNO, this once
 *                 broken   it and every later write, sync, creation and rename fails with FAULT_ERRNO
 *                 short    a write writes half, a call of another kind fails with EINTR where it may, this once
 *                 before   the process is killed instead of the call
 *                 after    the process is killed once the call is done
 *   FAULT_ERRNO   a number
 *   FAULT_BYTES   bytes that may be written in all; then writes are short, and the next fails with ENOSPC. -1: no end
 *   FAULT_POWER   a seed: before it is killed, what was not synced is lost, kept or torn, as chance has it. 0: none
 *   FAULT_LOG     a file: a line for each call, "number kind name bytes", and in the end "fired" if something was done
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILES 64
#define MAX_DESCRIPTORS 1024

/* A write that no sync has followed: what was there before. */
struct unsynced {
    off_t offset;
    size_t bytes, had; /* had: bytes of `before` that the file had */
    char *before;
    struct unsynced *next; /* the one before it */
};

/* A change of a name that no sync of the folder has followed. */
struct name_change {
    enum change { MADE, RENAMED, REMOVED } kind;
    char from[PATH_MAX], to[PATH_MAX];
    char backup[PATH_MAX]; /* a link to what was at `to` (RENAMED) or at `from` (REMOVED); "" if nothing was */
};

static struct file {
    dev_t device;
    ino_t inode;
    struct unsynced *unsynced;
    off_t synced_size;
} files[MAX_FILES];
static size_t n_files;
static struct name_change changes[MAX_FILES];
static size_t n_changes;
static signed char tracked[MAX_DESCRIPTORS]; /* 1: a file in the folder, 2: the folder itself */

static char folder[PATH_MAX];
static const char *only; /* NULL: calls of any kind */
static size_t folder_length;
static long at, counted, bytes_left = -1;
static unsigned long power;
static int code, is_broken, is_this, has_fired, log_descriptor = -1;
static enum action { NOTHING, FAIL, BROKEN, SHORT, BEFORE, AFTER } action;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int), (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);

static long number_of(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtol(text, NULL, 10);
}

/* Function pointers and dlsym()'s object pointers do not convert in ISO C. */
static void symbol_find(void *pointer_out, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(pointer_out, &symbol, sizeof symbol);
}

static void setup(void)
{
    static const char *const names[] = {"nothing", "fail", "broken", "short", "before", "after"};
    static int is_set_up;
    if (is_set_up)
        return;
    is_set_up = 1;
    symbol_find(&real_open, "open");
    symbol_find(&real_close, "close");
    symbol_find(&real_write, "write");
    symbol_find(&real_pwrite, "pwrite");
    symbol_find(&real_fsync, "fsync");
    symbol_find(&real_fdatasync, "fdatasync");
    symbol_find(&real_ftruncate, "ftruncate");
    symbol_find(&real_rename, "rename");
    symbol_find(&real_unlink, "unlink");
    const char *dir = getenv("FAULT_DIR"), *wanted = getenv("FAULT_ACTION"), *log = getenv("FAULT_LOG");
    only = getenv("FAULT_KIND");
    if (dir == NULL || realpath(dir, folder) == NULL)
        return;
    folder_length = strlen(folder);
    at = number_of("FAULT_AT", 0);
    code = (int)number_of("FAULT_ERRNO", EIO);
    bytes_left = number_of("FAULT_BYTES", -1);
    power = (unsigned long)number_of("FAULT_POWER", 0);
    for (size_t i = 0; wanted != NULL && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(wanted, names[i]) == 0)
            action = (enum action)i;
    if (log != NULL)
        log_descriptor = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

/* Is `path` a file in the folder (1), the folder (2), or neither (0)? `full` gets its whole name. */
static int path_kind(const char *path, char full[PATH_MAX])
{
    char copy[PATH_MAX], directory[PATH_MAX];
    if (folder_length == 0 || strlen(path) >= sizeof copy)
        return 0;
    if (realpath(path, full) != NULL && strcmp(full, folder) == 0)
        return 2;
    strcpy(copy, path);
    char *slash = strrchr(copy, '/');
    const char *name = slash == NULL ? copy : slash + 1;
    if (slash != NULL)
        *slash = '\0';
    if (realpath(slash == NULL ? "." : copy, directory) == NULL || strcmp(directory, folder) != 0)
        return 0;
    return snprintf(full, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

static int is_tracked(int descriptor)
{
    setup();
    return descriptor >= 0 && descriptor < MAX_DESCRIPTORS && tracked[descriptor] != 0;
}

static unsigned long chance(void)
{
    power = power * 6364136223846793005u + 1442695040888963407u;
    return power >> 33;
}

/* ---- What the disk knows ---- */

static struct file *file_of(int descriptor)
{
    struct stat info;
    if (fstat(descriptor, &info) != 0)
        return NULL;
    for (size_t i = 0; i < n_files; i++)
        if (files[i].device == info.st_dev && files[i].inode == info.st_ino)
            return &files[i];
    if (n_files == MAX_FILES)
        abort();
    files[n_files] = (struct file){.device = info.st_dev, .inode = info.st_ino, .synced_size = info.st_size};
    return &files[n_files++];
}

static void unsynced_forget(struct file *file)
{
    while (file->unsynced != NULL) {
        struct unsynced *next = file->unsynced->next;
        free(file->unsynced->before);
        free(file->unsynced);
        file->unsynced = next;
    }
}

/* Remember what bytes [offset, offset + n) were. */
static void write_note(int descriptor, size_t n, off_t offset)
{
    struct file *file = power == 0 ? NULL : file_of(descriptor);
    struct unsynced *write = file == NULL ? NULL : calloc(1, sizeof *write);
    if (write == NULL || (write->before = calloc(1, n + 1)) == NULL)
        return;
    const ssize_t had = pread(descriptor, write->before, n, offset);
    *write = (struct unsynced){offset, n, had < 0 ? 0 : (size_t)had, write->before, file->unsynced};
    file->unsynced = write;
}

static void sync_note(int descriptor)
{
    struct stat info;
    struct file *file = power == 0 ? NULL : file_of(descriptor);
    if (file == NULL || fstat(descriptor, &info) != 0)
        return;
    unsynced_forget(file);
    file->synced_size = info.st_size;
}

static void change_note(enum change kind, const char *from, const char *to)
{
    char backup[PATH_MAX];
    if (power == 0)
        return;
    if (n_changes == MAX_FILES)
        abort();
    struct name_change *change = &changes[n_changes];
    *change = (struct name_change){.kind = kind};
    strcpy(change->from, from);
    strcpy(change->to, to);
    snprintf(backup, sizeof backup, "%.*s.lost.%d.%zu", (int)folder_length, folder, (int)getpid(), n_changes++);
    if (kind != MADE && link(kind == RENAMED ? to : from, backup) == 0)
        strcpy(change->backup, backup);
}

static void changes_forget(void)
{
    for (size_t i = 0; i < n_changes; i++)
        if (changes[i].backup[0] != '\0')
            real_unlink(changes[i].backup);
    n_changes = 0;
}

/* ---- Power loss ---- */

/* One write that may not have reached the disk: there, not there, there in part, zeros, or nonsense. */
static void write_lose(int descriptor, const struct unsynced *write, unsigned long mood)
{
    char *bytes = calloc(1, write->bytes + 1);
    if (bytes == NULL)
        return;
    size_t n = write->bytes, first = 0;
    switch (mood) {
    case 0: memcpy(bytes, write->before, write->had); break;
    case 1: /* the front sectors are there */
        first = chance() % (n + 1) / 512 * 512;
        memcpy(bytes, write->before + first, write->had > first ? write->had - first : 0);
        n -= first;
        break;
    case 2: break;
    default:
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)chance();
    }
    if (real_pwrite(descriptor, bytes, n, write->offset + (off_t)first) < 0)
        abort();
    free(bytes);
}

static void file_lose(const char *path, const struct file *file)
{
    struct stat info;
    const int descriptor = real_open(path, O_RDWR);
    if (descriptor < 0 || fstat(descriptor, &info) != 0)
        abort();
    const unsigned long temper = chance() % 4; /* 0: nothing got through, 1: everything did, else mixed */
    for (const struct unsynced *write = file->unsynced; write != NULL; write = write->next) /* the last is first */
        if (temper == 0)
            write_lose(descriptor, write, 0);
        else if (temper > 1 && chance() % 2 == 0)
            write_lose(descriptor, write, chance() % 4);
    if (temper != 1 && info.st_size > file->synced_size && chance() % 2 == 0) {
        const off_t span = info.st_size - file->synced_size;
        if (real_ftruncate(descriptor, file->synced_size + (off_t)(chance() % (unsigned long)(span + 1))) != 0)
            abort();
    }
    real_close(descriptor);
}

/* From the last to one chosen by chance, undo what was done to names: folders are written in order. */
static void names_lose(void)
{
    const size_t kept = n_changes == 0 ? 0 : chance() % (n_changes + 1);
    while (n_changes > kept) {
        const struct name_change *change = &changes[--n_changes];
        if (change->kind == MADE)
            real_unlink(change->from);
        else if (change->kind == RENAMED)
            real_rename(change->to, change->from);
        if (change->kind != MADE && change->backup[0] != '\0')
            real_rename(change->backup, change->kind == RENAMED ? change->to : change->from);
    }
    changes_forget();
}

static void power_lose(void)
{
    char names[3 * MAX_FILES][PATH_MAX];
    size_t n_names = 0;
    for (size_t i = 0; i < n_changes; i++) {
        strcpy(names[n_names++], changes[i].from);
        strcpy(names[n_names++], changes[i].to);
        strcpy(names[n_names++], changes[i].backup);
    }
    for (size_t i = 0; i < n_files; i++) {
        char link_path[64], path[PATH_MAX];
        int is_lost = 0;
        for (int descriptor = 0; descriptor < MAX_DESCRIPTORS && !is_lost; descriptor++) {
            struct stat info;
            if (tracked[descriptor] != 1 || fstat(descriptor, &info) != 0 || info.st_ino != files[i].inode)
                continue;
            snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", descriptor);
            const ssize_t n = readlink(link_path, path, sizeof path - 1);
            if (n > 0) {
                file_lose(link_path, &files[i]);
                is_lost = 1;
            }
        }
        for (size_t k = 0; k < n_names && !is_lost; k++) {
            struct stat info;
            if (stat(names[k], &info) == 0 && info.st_ino == files[i].inode) {
                file_lose(names[k], &files[i]);
                is_lost = 1;
            }
        }
    }
    names_lose();
}

/* ---- The n-th call ---- */

static void fired(void)
{
    if (!has_fired && log_descriptor >= 0 && real_write(log_descriptor, "fired\n", 6) != 6)
        abort();
    has_fired = 1;
}

static void die(void)
{
    fired();
    if (power != 0)
        power_lose();
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Count a call. Returns 0: do it; else the errno it fails with. *is_half_out: write half. */
static int call_count(const char *kind, const char *name, size_t bytes, int *is_half_out)
{
    char line[PATH_MAX + 64];
    is_this = 0;
    if (only != NULL && strcmp(kind, only) != 0)
        return 0;
    counted++;
    const int length = snprintf(line, sizeof line, "%ld %s %s %zu\n", counted, kind, name, bytes);
    if (log_descriptor >= 0 && real_write(log_descriptor, line, (size_t)length) != length)
        abort();
    if (is_broken && strcmp(kind, "unlink") != 0)
        return code;
    is_this = counted == at;
    if (!is_this)
        return 0;
    switch (action) {
    case NOTHING:
    case AFTER: return 0;
    case BROKEN: is_broken = 1; /* fall through */
    case FAIL: fired(); return code;
    case SHORT:
        fired();
        *is_half_out = bytes > 1;
        return bytes > 0 ? 0 : EINTR;
    case BEFORE: die();
    }
    return 0;
}

static void call_end(void)
{
    if (action == AFTER && is_this)
        die();
}

static const char *name_of(int descriptor)
{
    static char path[PATH_MAX];
    char link_path[64];
    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", descriptor);
    const ssize_t n = readlink(link_path, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = '\0';
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* ---- What is put in the place of the C library's ---- */

static int open_any(const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX];
    setup();
    const int kind = path_kind(path, full);
    if (kind == 0)
        return real_open(path, flags, mode);
    pthread_mutex_lock(&mutex);
    const int is_made = kind == 1 && (flags & O_CREAT) != 0 && access(full, F_OK) != 0;
    int half = 0, descriptor = -1;
    const int failure = (flags & O_CREAT) != 0 ? call_count("open", full + folder_length, 0, &half) : 0;
    if (failure == 0 && (descriptor = real_open(path, flags, mode)) >= 0 && descriptor < MAX_DESCRIPTORS)
        tracked[descriptor] = (signed char)kind;
    const int reason = failure != 0 ? failure : errno;
    if (descriptor >= 0 && is_made)
        change_note(MADE, full, full);
    struct file *file = descriptor >= 0 && kind == 1 ? file_of(descriptor) : NULL;
    if (file != NULL && is_made) { /* perhaps an inode number that was another's */
        unsynced_forget(file);
        file->synced_size = 0;
    }
    if ((flags & O_CREAT) != 0)
        call_end();
    pthread_mutex_unlock(&mutex);
    errno = reason;
    return descriptor;
}

#define MODE_OF(flags, last)                                                                                           \
    mode_t mode = 0;                                                                                                   \
    if ((flags)&O_CREAT) {                                                                                             \
        va_list arguments;                                                                                             \
        va_start(arguments, last);                                                                                     \
        mode = (mode_t)va_arg(arguments, unsigned);                                                                    \
        va_end(arguments);                                                                                             \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return open_any(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags, flags)
    return open_any(path, flags, mode);
}

int close(int descriptor)
{
    if (is_tracked(descriptor)) {
        pthread_mutex_lock(&mutex);
        tracked[descriptor] = 0;
        pthread_mutex_unlock(&mutex);
    }
    return real_close(descriptor);
}

/* A write at `offset`, or at the end of what was written before it (-1). */
static ssize_t write_any(int descriptor, const void *bytes, size_t n, off_t offset)
{
    pthread_mutex_lock(&mutex);
    int half = 0;
    int failure = call_count("write", name_of(descriptor), n, &half);
    ssize_t put = -1;
    if (half)
        n /= 2;
    if (failure == 0 && bytes_left >= 0 && n > (size_t)bytes_left) {
        fired();
        n = (size_t)bytes_left;
        failure = n == 0 ? ENOSPC : 0;
    }
    if (failure == 0) {
        write_note(descriptor, n, offset < 0 ? lseek(descriptor, 0, SEEK_CUR) : offset);
        put = offset < 0 ? real_write(descriptor, bytes, n) : real_pwrite(descriptor, bytes, n, offset);
        failure = errno;
        if (bytes_left >= 0 && put > 0)
            bytes_left -= put;
    }
    call_end();
    pthread_mutex_unlock(&mutex);
    errno = failure;
    return put;
}

ssize_t write(int descriptor, const void *bytes, size_t n)
{
    return is_tracked(descriptor) ? write_any(descriptor, bytes, n, -1) : real_write(descriptor, bytes, n);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t n, off_t offset)
{
    return is_tracked(descriptor) ? write_any(descriptor, bytes, n, offset) : real_pwrite(descriptor, bytes, n, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t n, off64_t offset)
{
    return pwrite(descriptor, bytes, n, offset);
}

static int sync_any(int descriptor, int (*real)(int), const char *kind)
{
    pthread_mutex_lock(&mutex);
    int half = 0, result = -1, failure = call_count(kind, name_of(descriptor), 0, &half);
    if (failure == 0 && (result = real(descriptor)) == 0) {
        if (tracked[descriptor] == 2)
            changes_forget();
        else
            sync_note(descriptor);
    } else if (failure == 0) {
        failure = errno;
    }
    call_end();
    pthread_mutex_unlock(&mutex);
    errno = failure;
    return result;
}

int fsync(int descriptor)
{
    return is_tracked(descriptor) ? sync_any(descriptor, real_fsync, "fsync") : real_fsync(descriptor);
}

int fdatasync(int descriptor)
{
    return is_tracked(descriptor) ? sync_any(descriptor, real_fdatasync, "fdatasync") : real_fdatasync(descriptor);
}

int ftruncate(int descriptor, off_t size)
{
    if (!is_tracked(descriptor))
        return real_ftruncate(descriptor, size);
    pthread_mutex_lock(&mutex);
    struct stat info;
    int half = 0, result = -1, failure = call_count("ftruncate", name_of(descriptor), 0, &half);
    if (failure == 0) {
        if (fstat(descriptor, &info) == 0 && info.st_size > size)
            write_note(descriptor, (size_t)(info.st_size - size), size); /* may come back */
        result = real_ftruncate(descriptor, size);
        failure = errno;
    }
    call_end();
    pthread_mutex_unlock(&mutex);
    errno = failure;
    return result;
}

int ftruncate64(int descriptor, off64_t size)
{
    return ftruncate(descriptor, size);
}

int rename(const char *from, const char *to)
{
    char full_from[PATH_MAX], full_to[PATH_MAX];
    setup();
    if (path_kind(from, full_from) != 1 || path_kind(to, full_to) != 1)
        return real_rename(from, to);
    pthread_mutex_lock(&mutex);
    int half = 0, result = -1, failure = call_count("rename", full_from + folder_length, 0, &half);
    if (failure == 0) {
        change_note(RENAMED, full_from, full_to);
        result = real_rename(from, to);
        failure = errno;
    }
    call_end();
    pthread_mutex_unlock(&mutex);
    errno = failure;
    return result;
}

int unlink(const char *path)
{
    char full[PATH_MAX];
    setup();
    if (path_kind(path, full) != 1)
        return real_unlink(path);
    pthread_mutex_lock(&mutex);
    int half = 0, result = -1, failure = call_count("unlink", full + folder_length, 0, &half);
    if (failure == 0) {
        change_note(REMOVED, full, full);
        result = real_unlink(path);
        failure = errno;
    }
    call_end();
    pthread_mutex_unlock(&mutex);
    errno = failure;
    return result;
}

#define _GNU_SOURCE /* sync_file_range */
#include "output_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "h5_support.h"

#define START_BYTES ((uint64_t)8 << 20)

/* HDF5 knows an open file by its first member. */
struct driver_file {
    H5FD_t public;
    struct avvik__output *output;
    haddr_t allocated_end, written_end;
};

/* What the file access list carries to driver_open(). */
struct driver_info {
    struct avvik__output *output;
};

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t max_address)
{
    const struct driver_info *info = H5Pget_driver_info(access);
    struct driver_file *file = info == NULL ? NULL : calloc(1, sizeof *file);
    (void)name;
    (void)flags;
    (void)max_address;
    if (file == NULL)
        return NULL;
    file->output = info->output;
    return &file->public;
}

static herr_t driver_close(H5FD_t *opaque)
{
    free(opaque);
    return 0;
}

static herr_t driver_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_get_allocated_end(const H5FD_t *opaque, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver_file *)(const void *)opaque)->allocated_end;
}

static herr_t driver_set_allocated_end(H5FD_t *opaque, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    ((struct driver_file *)(void *)opaque)->allocated_end = address;
    return 0;
}

static haddr_t driver_get_written_end(const H5FD_t *opaque, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver_file *)(const void *)opaque)->written_end;
}

/* What was never written reads as zero. */
static void bytes_get(int descriptor, haddr_t address, size_t size, char *to)
{
    while (size > 0) {
        const ssize_t n = pread(descriptor, to, size, (off_t)address);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        to += n;
        size -= (size_t)n;
        address += (haddr_t)n;
    }
    memset(to, 0, size);
}

static herr_t driver_read(H5FD_t *opaque, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size, void *buffer)
{
    const struct driver_file *file = (const struct driver_file *)(const void *)opaque;
    (void)type;
    (void)transfer;
    bytes_get(file->output->descriptor, address, size, buffer);
    return 0;
}

/* Let the kernel begin to bring large outputs to the disk as they grow, so that the sync at the end finds little left.
 */
static void writing_start(struct avvik__output *output, haddr_t end)
{
    if (end > output->written)
        output->written = end;
    if (output->written - output->started < START_BYTES)
        return;
    sync_file_range(output->descriptor, (off_t)output->started, (off_t)(output->written - output->started),
                    SYNC_FILE_RANGE_WRITE);
    output->started = output->written;
}

/* Note that bytes [first, end) are this run's. Most follow the ones before. */
static void span_add(struct avvik__output *output, uint64_t first, uint64_t end)
{
    size_t at = output->n_spans, last;
    while (at > 0 && output->spans[at - 1].end >= first)
        at--;
    for (last = at; last < output->n_spans && output->spans[last].first <= end; last++) {
        first = output->spans[last].first < first ? output->spans[last].first : first;
        end = output->spans[last].end > end ? output->spans[last].end : end;
    }
    if (last == at && output->n_spans == output->spans_capacity) {
        const size_t capacity = output->spans_capacity == 0 ? 256 : 2 * output->spans_capacity;
        void *larger = realloc(output->spans, capacity * sizeof *output->spans);
        if (larger == NULL) {
            output->first_errno = ENOMEM;
            return;
        }
        output->spans = larger;
        output->spans_capacity = capacity;
    }
    if (last != at + 1)
        memmove(output->spans + at + 1, output->spans + last, (output->n_spans - last) * sizeof *output->spans);
    output->n_spans = output->n_spans + 1 + at - last;
    output->spans[at] = (struct avvik__span){first, end};
}

/* Write all of it, or keep the reason. */
static void bytes_put(struct avvik__output *output, haddr_t address, size_t size, const char *from)
{
    while (size > 0 && output->first_errno == 0) {
        const ssize_t n = pwrite(output->descriptor, from, size, (off_t)address);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            output->first_errno = n < 0 ? errno : ENOSPC;
            break;
        }
        from += n;
        size -= (size_t)n;
        address += (haddr_t)n;
    }
}

void avvik__output_gaps_clear(struct avvik__output *output)
{
    static const char zeros[4096];
    for (size_t i = 0; output->is_over_old && i < output->n_spans; i++) {
        uint64_t at = i == 0 ? 0 : output->spans[i - 1].end;
        for (size_t n; at < output->spans[i].first; at += n) {
            n = output->spans[i].first - at < sizeof zeros ? (size_t)(output->spans[i].first - at) : sizeof zeros;
            bytes_put(output, at, n, zeros);
        }
    }
    struct stat info;
    const uint64_t end = output->n_spans == 0 ? 0 : output->spans[output->n_spans - 1].end;
    if (!output->is_over_old || output->first_errno != 0)
        return;
    /* what follows the last is gone, and zero where the file goes on */
    if (fstat(output->descriptor, &info) != 0 ||
        ((uint64_t)info.st_size > end &&
         (ftruncate(output->descriptor, (off_t)end) != 0 || ftruncate(output->descriptor, info.st_size) != 0)))
        output->first_errno = errno;
}

static herr_t driver_write(H5FD_t *opaque, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                           const void *buffer)
{
    struct driver_file *file = (struct driver_file *)(void *)opaque;
    const int is_raw = type == H5FD_MEM_DRAW;
    (void)transfer;
    if (address + size > file->written_end)
        file->written_end = address + size;
    if (file->output->is_over_old && size > 0)
        span_add(file->output, address, address + size);
    if (is_raw && file->output->replay != NULL) {
        bytes_get(file->output->descriptor, address, size, file->output->replay);
        return 0;
    }
    bytes_put(file->output, address, size, buffer);
    if (is_raw)
        writing_start(file->output, address + size);
    return 0;
}

static herr_t driver_truncate(H5FD_t *opaque, hid_t transfer, hbool_t is_closing)
{
    struct driver_file *file = (struct driver_file *)(void *)opaque;
    (void)transfer;
    (void)is_closing;
    if (file->output->first_errno == 0 && ftruncate(file->output->descriptor, (off_t)file->allocated_end) != 0)
        file->output->first_errno = errno;
    file->written_end = file->allocated_end;
    return 0;
}

static const H5FD_class_t driver_class = {
    .name = "avvik_output",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    .fapl_size = sizeof(struct driver_info),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_allocated_end,
    .set_eoa = driver_set_allocated_end,
    .get_eof = driver_get_written_end,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t avvik__output_create(struct avvik__output *output, const char *name)
{
    static hid_t registered = H5I_INVALID_HID;
    const struct driver_info info = {output};
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS), driver = avvik__driver_keep(&registered, &driver_class);
    hid_t file = H5I_INVALID_HID;
    if (driver >= 0 && H5Pset_driver(access, driver, &info) >= 0) {
        H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18); /* readable by every HDF5 since 1.8 */
        file = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    }
    if (access >= 0)
        H5Pclose(access);
    return file;
}

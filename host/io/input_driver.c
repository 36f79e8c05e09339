#include "input_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "h5_support.h"

/* HDF5 knows an open file by its first member. */
struct driver_file {
    H5FD_t public;
    int descriptor;
    haddr_t bytes, end;
    dev_t device;
    ino_t inode;
};

/* While this is set, reads of raw data are noted instead of done. */
static _Thread_local struct {
    int is_wanted, is_found;
    haddr_t address;
} noted;

/* What a compressed chunk may grow to; 0: anything. */
static _Thread_local size_t inflate_limit;

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t max_address)
{
    struct stat info;
    (void)access;
    (void)max_address;
    if (flags & (H5F_ACC_RDWR | H5F_ACC_TRUNC | H5F_ACC_CREAT)) {
        errno = EROFS;
        return NULL;
    }
    struct driver_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return NULL;
    file->descriptor = open(name, O_RDONLY | O_CLOEXEC);
    if (file->descriptor < 0 || fstat(file->descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
        if (file->descriptor >= 0)
            close(file->descriptor);
        free(file);
        return NULL;
    }
    file->bytes = (haddr_t)info.st_size;
    file->device = info.st_dev;
    file->inode = info.st_ino;
    return &file->public;
}

static herr_t driver_close(H5FD_t *opaque)
{
    close(((struct driver_file *)(void *)opaque)->descriptor);
    free(opaque);
    return 0;
}

/* So that HDF5 knows a file that is opened twice. */
static int driver_compare(const H5FD_t *a, const H5FD_t *b)
{
    const struct driver_file *one = (const struct driver_file *)(const void *)a,
                             *other = (const struct driver_file *)(const void *)b;
    if (one->device != other->device)
        return one->device < other->device ? -1 : 1;
    return one->inode == other->inode ? 0 : one->inode < other->inode ? -1 : 1;
}

static herr_t driver_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t driver_get_end(const H5FD_t *opaque, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver_file *)(const void *)opaque)->end;
}

static herr_t driver_set_end(H5FD_t *opaque, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    ((struct driver_file *)(void *)opaque)->end = address;
    return 0;
}

static haddr_t driver_get_bytes(const H5FD_t *opaque, H5FD_mem_t type)
{
    (void)type;
    return ((const struct driver_file *)(const void *)opaque)->bytes;
}

static herr_t driver_get_handle(H5FD_t *opaque, hid_t access, void **handle_out)
{
    (void)access;
    *handle_out = &((struct driver_file *)(void *)opaque)->descriptor;
    return 0;
}

/* Are these bytes a zlib stream that grows beyond the limit? */
static int is_bomb(const unsigned char *stored, size_t n)
{
    if (n < 2 || (stored[0] & 15) != 8 || (stored[0] << 8 | stored[1]) % 31 != 0)
        return 0;
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    void *inflated = malloc(inflate_limit);
    size_t n_inflated;
    const int is_beyond = decompressor == NULL || inflated == NULL ||
                          libdeflate_zlib_decompress(decompressor, stored, n, inflated, inflate_limit, &n_inflated) ==
                              LIBDEFLATE_INSUFFICIENT_SPACE;
    if (decompressor != NULL)
        libdeflate_free_decompressor(decompressor);
    free(inflated);
    if (is_beyond)
        H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, H5E_READERROR,
                 "a chunk inflates to more bytes than its rows have");
    return is_beyond;
}

/* What lies behind the end of the file reads as zero, as with HDF5's own driver. */
static herr_t driver_read(H5FD_t *opaque, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size, void *buffer)
{
    const struct driver_file *file = (const struct driver_file *)(const void *)opaque;
    char *to = buffer;
    (void)transfer;
    if (noted.is_wanted && type == H5FD_MEM_DRAW) {
        noted.address = address;
        noted.is_found = 1;
        return 0;
    }
    while (size > 0) {
        const ssize_t n = pread(file->descriptor, to, size, (off_t)address);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        to += n;
        size -= (size_t)n;
        address += (haddr_t)n;
    }
    memset(to, 0, size);
    if (inflate_limit > 0 && type == H5FD_MEM_DRAW && is_bomb(buffer, (size_t)(to - (char *)buffer)))
        return -1;
    return 0;
}

static herr_t driver_write(H5FD_t *opaque, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t size,
                           const void *buffer)
{
    (void)opaque;
    (void)type;
    (void)transfer;
    (void)address;
    (void)size;
    (void)buffer;
    return -1;
}

/* Some file systems cannot lock: that is no reason not to read. */
static herr_t driver_lock(H5FD_t *opaque, hbool_t is_exclusive)
{
    const struct driver_file *file = (const struct driver_file *)(const void *)opaque;
    const int failed = flock(file->descriptor, (is_exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0;
    return failed && errno != ENOSYS && errno != ENOLCK && errno != EOPNOTSUPP ? -1 : 0;
}

static herr_t driver_unlock(H5FD_t *opaque)
{
    flock(((struct driver_file *)(void *)opaque)->descriptor, LOCK_UN);
    return 0;
}

static const H5FD_class_t driver_class = {
    .name = "avvik_input",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    .open = driver_open,
    .close = driver_close,
    .cmp = driver_compare,
    .query = driver_query,
    .get_eoa = driver_get_end,
    .set_eoa = driver_set_end,
    .get_eof = driver_get_bytes,
    .get_handle = driver_get_handle,
    .read = driver_read,
    .write = driver_write,
    .lock = driver_lock,
    .unlock = driver_unlock,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t avvik__input_open(const char *path)
{
    static hid_t registered = H5I_INVALID_HID;
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS), driver = avvik__driver_keep(&registered, &driver_class);
    hid_t file = H5I_INVALID_HID, reason = H5I_INVALID_HID;
    if (driver >= 0 && H5Pset_driver(access, driver, NULL) >= 0 && (file = H5Fopen(path, H5F_ACC_RDONLY, access)) < 0)
        reason = H5Eget_current_stack(); /* which the next calls would clear */
    if (access >= 0)
        H5Pclose(access);
    if (reason >= 0)
        H5Eset_current_stack(reason);
    return file;
}

void avvik__input_inflate_limit(size_t bytes)
{
    inflate_limit = bytes;
}

int avvik__input_descriptor(hid_t object, uint64_t *bytes_out)
{
    void *handle = NULL;
    int descriptor = -1;
    struct stat info;
    const hid_t file = H5Iget_file_id(object);
    const hid_t access = file < 0 ? H5I_INVALID_HID : H5Fget_access_plist(file);
    const hid_t driver = access < 0 ? H5I_INVALID_HID : H5Pget_driver(access);
    if (driver >= 0 && H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) >= 0 && handle != NULL)
        descriptor = *(const int *)handle;
    if (descriptor >= 0 && fstat(descriptor, &info) == 0)
        *bytes_out = (uint64_t)info.st_size;
    else
        descriptor = -1;
    if (access >= 0)
        H5Pclose(access);
    if (file >= 0)
        H5Fclose(file);
    return descriptor;
}

int avvik__input_locate_chunk(hid_t dataset, uint64_t row, uint64_t *address_out, uint64_t *bytes_out,
                              unsigned *filter_mask_out)
{
    static char nothing[1]; /* never written to: the driver does not read */
    const hsize_t offset = row;
    hsize_t bytes = 0;
    uint32_t filter_mask = 0;
    if (H5Dget_chunk_storage_size(dataset, &offset, &bytes) < 0) {
        char reason[64]; /* HDF5 1.10.8 calls it an error that others are stored and this one is not */
        avvik__h5_reason(reason, sizeof reason);
        return strcmp(reason, "chunk storage is not allocated") == 0 ? 0 : -1;
    }
    noted.is_wanted = 1;
    noted.is_found = 0;
    noted.address = 0;
    const herr_t failed = H5Dread_chunk(dataset, H5P_DEFAULT, &offset, &filter_mask, nothing);
    noted.is_wanted = 0;
    if (bytes == 0 && failed < 0) /* none at all is stored; a damaged file may well have a chunk of no bytes */
        return 0;
    if (failed < 0)
        return -1;
    if (!noted.is_found) /* HDF5 does not read no bytes */
        bytes = 0;
    *address_out = noted.address;
    *bytes_out = bytes;
    *filter_mask_out = filter_mask;
    return 1;
}

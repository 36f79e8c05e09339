#include "bench_batch.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bench_random.h"
#include "h5_support.h"

#define BLOCK_ROWS ((size_t)65536)
#define READ_BYTES ((size_t)256 << 10) /* stays in the second-level cache */
#define N_CODES 40
#define MAX_VALUE_BYTES 8

const char *const bench_layouts[] = {"contiguous", "chunked", "deflate", NULL};
const char *const bench_types[] = {"float32", "float64", "int64", "date", "codes", "mixed", NULL};
enum { FLOAT32, FLOAT64, INT64, DATE, CODES, N_TYPES };

static int type_of(const struct bench_batch *batch, size_t column)
{
    for (int type = 0; type < N_TYPES; type++)
        if (strcmp(batch->types, bench_types[type]) == 0)
            return type;
    return (int)(column % N_TYPES);
}

/* Only after HDF5 is initialised: its native types are variables. */
static hid_t file_type(int type)
{
    const hid_t types[N_TYPES] = {H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE, H5T_NATIVE_INT64, H5T_NATIVE_INT32,
                                  H5T_NATIVE_UINT16};
    return types[type];
}

static size_t type_bytes(int type)
{
    static const size_t bytes[N_TYPES] = {4, 8, 8, 4, 2};
    return bytes[type];
}

size_t bench_batch_row_bytes(const struct bench_batch *batch)
{
    size_t bytes = 0;
    for (size_t column = 0; column < batch->n_features; column++)
        bytes += type_bytes(type_of(batch, column));
    return bytes;
}

double bench_batch_file_bytes(const struct bench_batch *batch)
{
    struct stat info;
    return stat(batch->path, &info) == 0 ? (double)info.st_size : 0;
}

/* Values of one column: float types have missing values, integer types none. */
static void values_make(const struct bench_batch *batch, size_t column, size_t first, size_t n, void *values)
{
    const int type = type_of(batch, column);
    for (size_t i = 0; i < n; i++) {
        const double x = bench_value(batch->seed, first + i, column), finite = isnan(x) ? 0 : x;
        switch (type) {
        case FLOAT32: ((float *)values)[i] = (float)x; break;
        case FLOAT64: ((double *)values)[i] = x; break;
        case INT64: ((int64_t *)values)[i] = llrint(1000000 + 250000 * finite); break;
        case DATE: ((int32_t *)values)[i] = (int32_t)lrint(19000 + 500 * finite); break;
        case CODES: ((uint16_t *)values)[i] = (uint16_t)(fabs(finite) * 16) % N_CODES; break;
        default: break;
        }
    }
}

static int is_written(const struct bench_batch *batch, size_t column, hid_t dataset, void *values)
{
    const hid_t type = file_type(type_of(batch, column));
    int is_good = 1;
    for (size_t first = 0; first < batch->n_rows && is_good; first += BLOCK_ROWS) {
        const hsize_t start = first, n = batch->n_rows - first < BLOCK_ROWS ? batch->n_rows - first : BLOCK_ROWS;
        const hid_t place = H5Dget_space(dataset), memory = H5Screate_simple(1, &n, NULL);
        values_make(batch, column, first, (size_t)n, values);
        is_good = H5Sselect_hyperslab(place, H5S_SELECT_SET, &start, NULL, &n, NULL) >= 0 &&
                  H5Dwrite(dataset, type, memory, place, H5P_DEFAULT, values) >= 0;
        avvik__h5_close(place);
        avvik__h5_close(memory);
    }
    return is_good;
}

/* What a reader needs to know of dates and codes. */
static int is_described(const struct bench_batch *batch, size_t column, hid_t dataset)
{
    static const char units[] = "days since 1970-01-01";
    char codes[N_CODES][8];
    const hsize_t n_codes = N_CODES;
    const int type = type_of(batch, column);
    if (type != DATE && type != CODES)
        return 1;
    const hid_t text = H5Tcopy(H5T_C_S1);
    const hid_t space = type == DATE ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &n_codes, NULL);
    int is_good = H5Tset_size(text, type == DATE ? sizeof units : sizeof codes[0]) >= 0;
    for (int i = 0; i < N_CODES; i++)
        snprintf(codes[i], sizeof codes[i], "K%02d", i);
    const hid_t attribute =
        H5Acreate2(dataset, type == DATE ? "units" : "codes", text, space, H5P_DEFAULT, H5P_DEFAULT);
    is_good = is_good && H5Awrite(attribute, text, type == DATE ? (const void *)units : codes) >= 0;
    avvik__h5_close(attribute);
    avvik__h5_close(space);
    avvik__h5_close(text);
    return is_good;
}

static int column_write(const struct bench_batch *batch, size_t column, hid_t group, void *values)
{
    char name[32];
    const hsize_t n_rows = batch->n_rows, chunk = n_rows < BLOCK_ROWS ? n_rows : BLOCK_ROWS;
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, &n_rows, NULL);
    int is_good = 1;
    snprintf(name, sizeof name, "x%04zu", column);
    if (strcmp(batch->layout, "contiguous") != 0)
        is_good = H5Pset_chunk(properties, 1, &chunk) >= 0;
    if (strcmp(batch->layout, "deflate") == 0)
        is_good = is_good && H5Pset_shuffle(properties) >= 0 && H5Pset_deflate(properties, 4) >= 0;
    const hid_t dataset =
        H5Dcreate2(group, name, file_type(type_of(batch, column)), space, H5P_DEFAULT, properties, H5P_DEFAULT);
    is_good =
        is_good && dataset >= 0 && is_described(batch, column, dataset) && is_written(batch, column, dataset, values);
    avvik__h5_close(dataset);
    avvik__h5_close(space);
    avvik__h5_close(properties);
    return is_good;
}

static enum bench_exit room_check(const struct bench_batch *batch)
{
    struct statvfs system;
    char folder[sizeof batch->path];
    const double wanted = (double)batch->n_rows * ((double)bench_batch_row_bytes(batch) + 18);
    snprintf(folder, sizeof folder, "%s", batch->path);
    *strrchr(folder, '/') = '\0';
    if (statvfs(folder, &system) != 0)
        return bench_fail(BENCH_BAD_INPUT, "%s: %s; choose another --folder", folder, strerror(errno));
    const double room = (double)system.f_bavail * (double)system.f_frsize;
    if (room < wanted)
        return bench_fail(BENCH_BAD_INPUT,
                          "%s has room for %.1f GB, and the rows and their scores take %.1f GB; choose "
                          "another --folder",
                          folder, room / 1e9, wanted / 1e9);
    return BENCH_DONE;
}

enum bench_exit bench_batch_write(const struct bench_batch *batch)
{
    avvik__h5_quiet();
    const enum bench_exit status = room_check(batch);
    void *values = malloc(BLOCK_ROWS * MAX_VALUE_BYTES);
    if (status != BENCH_DONE || values == NULL) {
        free(values);
        return status != BENCH_DONE ? status : bench_fail(BENCH_FAILED, "not enough memory");
    }
    const hid_t file = H5Fcreate(batch->path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t group = H5Gcreate2(file, "rows", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int is_good = group >= 0;
    for (size_t column = 0; column < batch->n_features && is_good; column++)
        is_good = column_write(batch, column, group, values);
    avvik__h5_close(group);
    is_good = file >= 0 && H5Fclose(file) >= 0 && is_good;
    free(values);
    const int descriptor = open(batch->path, O_RDONLY); /* what is not on the disk yet would disturb what is timed */
    if (descriptor >= 0) {
        is_good = fsync(descriptor) == 0 && is_good;
        close(descriptor);
    }
    return is_good ? BENCH_DONE : bench_fail(BENCH_BAD_INPUT, "%s cannot be written", batch->path);
}

/* --- bare reading --- */

int bench_batch_pread(const struct bench_batch *batch)
{
    static unsigned char buffer[READ_BYTES];
    const int file = open(batch->path, O_RDONLY);
    ssize_t n = file < 0 ? -1 : 1;
    for (off_t place = 0; n > 0; place += n)
        n = pread(file, buffer, READ_BYTES, place);
    if (file >= 0)
        close(file);
    return n == 0;
}

static int column_read(const struct bench_batch *batch, size_t column, hid_t file, void *values)
{
    char name[32];
    snprintf(name, sizeof name, "/rows/x%04zu", column);
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t place = H5Dget_space(dataset);
    int is_good = place >= 0;
    for (size_t first = 0; first < batch->n_rows && is_good; first += BLOCK_ROWS) {
        const hsize_t start = first, n = batch->n_rows - first < BLOCK_ROWS ? batch->n_rows - first : BLOCK_ROWS;
        const hid_t memory = H5Screate_simple(1, &n, NULL);
        is_good = H5Sselect_hyperslab(place, H5S_SELECT_SET, &start, NULL, &n, NULL) >= 0 &&
                  H5Dread(dataset, file_type(type_of(batch, column)), memory, place, H5P_DEFAULT, values) >= 0;
        avvik__h5_close(memory);
    }
    avvik__h5_close(place);
    avvik__h5_close(dataset);
    return is_good;
}

int bench_batch_h5dread(const struct bench_batch *batch)
{
    avvik__h5_quiet();
    void *values = malloc(BLOCK_ROWS * MAX_VALUE_BYTES);
    const hid_t file = H5Fopen(batch->path, H5F_ACC_RDONLY, H5P_DEFAULT);
    int is_good = values != NULL && file >= 0;
    for (size_t column = 0; column < batch->n_features && is_good; column++)
        is_good = column_read(batch, column, file, values);
    avvik__h5_close(file);
    free(values);
    return is_good;
}

void bench_batch_drop(const struct bench_batch *batch)
{
    const int file = open(batch->path, O_RDONLY);
    if (file < 0)
        return;
    fsync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
}

#include "record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "build_info.h"
#include "h5_support.h"
#include "hash_text.h"
#include "output_driver.h"

#define MAX_COLUMNS 32
#define COLUMN_CHUNK_ROWS 65536

/* One line of the list that is hashed. */
struct item {
    char path[192];
    XXH128_hash_t digest;
};

struct avvik__record_column {
    struct avvik__record *record;
    char path[128];
    hid_t dataset;
    enum avvik__type type;
    uint64_t n_rows, next;
    XXH3_state_t *digest;
};

struct avvik__record {
    char *path, *partial; /* partial: NULL when reading */
    hid_t file;
    struct avvik__output output; /* when writing */
    struct item *items;
    size_t n_items, capacity;
    struct avvik__record_column columns[MAX_COLUMNS];
    size_t n_columns;
};

static size_t type_size(enum avvik__type type)
{
    switch (type) {
    case AVVIK_U16: return 2;
    case AVVIK_U32:
    case AVVIK_I32:
    case AVVIK_F32: return 4;
    case AVVIK_U64:
    case AVVIK_F64: return 8;
    case AVVIK_TEXT: return 1;
    }
    return 0;
}

static hid_t type_id(enum avvik__type type)
{
    switch (type) {
    case AVVIK_U16: return H5T_STD_U16LE;
    case AVVIK_U32: return H5T_STD_U32LE;
    case AVVIK_U64: return H5T_STD_U64LE;
    case AVVIK_I32: return H5T_STD_I32LE;
    case AVVIK_F32: return H5T_IEEE_F32LE;
    case AVVIK_F64: return H5T_IEEE_F64LE;
    case AVVIK_TEXT: break;
    }
    return H5I_INVALID_HID;
}

static hid_t text_type(size_t size)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size == 0 ? 1 : size);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
}

static enum avvik_status write_failed(const struct avvik__record *record, const char *what, struct avvik_error *error)
{
    char reason[256];
    if (record->output.first_errno != 0)
        snprintf(reason, sizeof reason, "%s", strerror(record->output.first_errno));
    else
        avvik__h5_reason(reason, sizeof reason);
    return avvik__error_set(error, AVVIK_ERR_IO, record->output.first_errno, "%s: %s cannot be written (%s)", record->path,
                            what, reason);
}

static enum avvik_status read_failed(const struct avvik__record *record, const char *what, struct avvik_error *error)
{
    return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: %s is missing or not of the documented type and shape",
                            record->path, what);
}

static enum avvik_status item_add(struct avvik__record *record, const char *path, XXH128_hash_t digest,
                                  struct avvik_error *error)
{
    if (record->n_items == record->capacity) {
        const size_t capacity = record->capacity == 0 ? 32 : 2 * record->capacity;
        void *larger = realloc(record->items, capacity * sizeof *record->items);
        if (larger == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        record->items = larger;
        record->capacity = capacity;
    }
    struct item *item = &record->items[record->n_items++];
    memset(item, 0, sizeof *item);
    snprintf(item->path, sizeof item->path, "%s", path);
    item->digest = digest;
    return AVVIK_OK;
}

static void digest_start(XXH3_state_t *state, enum avvik__type type, int rank, const uint64_t *dims)
{
    const uint64_t head[2] = {(uint64_t)type, (uint64_t)rank};
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, head, sizeof head);
    XXH3_128bits_update(state, dims, (size_t)rank * sizeof *dims);
}

static enum avvik_status item_add_array(struct avvik__record *record, const char *path, enum avvik__type type, int rank,
                                        const uint64_t *dims, const void *data, size_t bytes, struct avvik_error *error)
{
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    digest_start(state, type, rank, dims);
    XXH3_128bits_update(state, data, bytes);
    const XXH128_hash_t digest = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return item_add(record, path, digest, error);
}

static int item_compare(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->path, ((const struct item *)b)->path);
}

void avvik__hash_text(XXH128_hash_t hash, char *text)
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    int length = snprintf(text, AVVIK_HASH_SIZE, "xxh3-128:");
    for (size_t i = 0; i < sizeof canonical.digest; i++)
        length += snprintf(text + length, AVVIK_HASH_SIZE - (size_t)length, "%02x", canonical.digest[i]);
}

static void hash_of_items(struct avvik__record *record, char *hash_out)
{
    qsort(record->items, record->n_items, sizeof *record->items, item_compare);
    avvik__hash_text(XXH3_128bits(record->items, record->n_items * sizeof *record->items), hash_out);
}

void avvik__record_hash(struct avvik__record *record, char *hash_out)
{
    if (record->partial != NULL)
        hash_of_items(record, hash_out);
    else if (!avvik__h5_string_attribute(record->file, "content_hash", hash_out, AVVIK_HASH_SIZE))
        snprintf(hash_out, AVVIK_HASH_SIZE, "none");
}

static void record_free(struct avvik__record *record)
{
    for (size_t i = 0; i < record->n_columns; i++) {
        avvik__h5_close(record->columns[i].dataset);
        XXH3_freeState(record->columns[i].digest);
    }
    avvik__h5_close(record->file);
    if (record->output.descriptor >= 0)
        close(record->output.descriptor);
    free(record->items);
    free(record->partial);
    free(record->path);
    free(record);
}

void avvik__record_close(struct avvik__record *record)
{
    if (record == NULL)
        return;
    char *partial = record->partial;
    if (partial != NULL && record->output.first_errno == 0)
        record->output.first_errno = ECANCELED; /* what HDF5 still holds need not be written */
    record->partial = NULL;
    record_free(record);
    if (partial != NULL)
        unlink(partial);
    free(partial);
}

static struct avvik__record *record_new(const char *path)
{
    struct avvik__record *record = calloc(1, sizeof *record);
    if (record == NULL || (record->path = strdup(path)) == NULL) {
        free(record);
        return NULL;
    }
    record->file = H5I_INVALID_HID;
    record->output.descriptor = -1;
    return record;
}

enum avvik_status avvik__record_create(const char *path, const char *kind, int replace, struct avvik__record **record_out,
                                       struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const size_t length = strlen(path) + sizeof ".partial";
    struct avvik__record *record = record_new(path);
    char *partial = malloc(length), created[32];
    avvik__h5_quiet();
    if (record == NULL || partial == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    if (!replace && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        AVVIK_FAIL(AVVIK_ERR_EXISTS, EEXIST, "%s: is already there; --force replaces it", path);
    snprintf(partial, length, "%s.partial", path);
    record->output.descriptor = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (record->output.descriptor < 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be created: %s", path, strerror(errno));
    record->partial = partial;
    partial = NULL;
    if ((record->file = avvik__output_create(&record->output, record->partial)) < 0)
        AVVIK_TRY(write_failed(record, "the file", error));
    const time_t now = time(NULL);
    struct tm utc;
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    AVVIK_TRY(avvik__record_put_text(record, "/", "avvik_kind", kind, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/", "format_version", AVVIK_FORMAT_VERSION, 1, error));
    AVVIK_TRY(avvik__record_put_text(record, "/", "producer", "avvik " AVVIK_VERSION, 0, error));
    AVVIK_TRY(avvik__record_put_text(record, "/", "created", created, 0, error));
    *record_out = record;
    record = NULL;
done:
    free(partial);
    avvik__record_close(record);
    return status;
}

enum avvik_status avvik__record_open(const char *path, const char *kind, struct avvik__record **record_out,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    uint64_t version;
    char found[32];
    struct avvik__record *record = record_new(path);
    if (record == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(avvik__h5_open(path, &record->file, error));
    if (!avvik__h5_string_attribute(record->file, "avvik_kind", found, sizeof found))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is not a file of kind '%s' made by avvik", path, kind);
    if (strcmp(found, kind) != 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is of kind '%s', where '%s' is needed", path, found, kind);
    AVVIK_TRY(avvik__record_get_u64(record, "/", "format_version", &version, error));
    if (version != AVVIK_FORMAT_VERSION)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: has format version %llu where this avvik reads %d; make it anew", path,
                   (unsigned long long)version, AVVIK_FORMAT_VERSION);
    AVVIK_TRY(avvik__record_get_text(record, "/", "avvik_kind", found, sizeof found, 1, error)); /* into the hash */
    *record_out = record;
    record = NULL;
done:
    avvik__record_close(record);
    return status;
}

/* A rename is safe once its directory is on the disk. Some file systems cannot sync one: the data are safe. */
static void directory_sync(const char *path)
{
    char *copy = strdup(path);
    const int descriptor = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
    free(copy);
}

enum avvik_status avvik__record_commit(struct avvik__record *record, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char hash[AVVIK_HASH_SIZE];
    for (size_t i = 0; i < record->n_columns; i++) {
        struct avvik__record_column *column = &record->columns[i];
        AVVIK_TRY(item_add(record, column->path, XXH3_128bits_digest(column->digest), error));
        if (column->next != column->n_rows)
            AVVIK_FAIL(AVVIK_ERR_INTERNAL, 0, "%s: %s is not complete", record->path, column->path);
        const herr_t column_closed = H5Dclose(column->dataset);
        column->dataset = H5I_INVALID_HID;
        if (column_closed < 0 || record->output.first_errno != 0)
            AVVIK_TRY(write_failed(record, column->path, error));
    }
    hash_of_items(record, hash);
    AVVIK_TRY(avvik__record_put_text(record, "/", "content_hash", hash, 0, error));
    const herr_t closed = H5Fclose(record->file);
    record->file = H5I_INVALID_HID;
    if (closed < 0 || record->output.first_errno != 0)
        AVVIK_TRY(write_failed(record, "the file", error));
    if (fsync(record->output.descriptor) != 0 || rename(record->partial, record->path) != 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be put in place: %s", record->path, strerror(errno));
    free(record->partial);
    record->partial = NULL;
    directory_sync(record->path);
done:
    avvik__record_close(record);
    return status;
}

enum avvik_status avvik__record_group(struct avvik__record *record, const char *group, struct avvik_error *error)
{
    const hid_t id = H5Gcreate2(record->file, group, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    avvik__h5_close(id);
    return id < 0 || record->output.first_errno != 0 ? write_failed(record, group, error) : AVVIK_OK;
}

/* New data set without time stamps, so that the same content is the same bytes. */
static hid_t dataset_create(struct avvik__record *record, const char *path, hid_t type, int rank, const hsize_t *dims,
                            hsize_t chunk_rows)
{
    const hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(rank, dims, NULL);
    H5Pset_obj_track_times(list, 0);
    H5Pset_fill_time(list, H5D_FILL_TIME_NEVER);
    if (chunk_rows > 0)
        H5Pset_chunk(list, 1, &chunk_rows);
    const hid_t dataset = H5Dcreate2(record->file, path, type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    avvik__h5_close(space);
    avvik__h5_close(list);
    return dataset;
}

enum avvik_status avvik__record_put(struct avvik__record *record, const char *path, enum avvik__type type, int rank,
                                    const uint64_t *dims, const void *data, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    hsize_t shape[2] = {0};
    size_t bytes = type == AVVIK_TEXT ? (size_t)dims[rank] : type_size(type);
    const hid_t id = type == AVVIK_TEXT ? text_type(bytes) : type_id(type);
    for (int i = 0; i < rank; i++) {
        shape[i] = dims[i];
        bytes *= (size_t)dims[i];
    }
    const hid_t dataset = dataset_create(record, path, id, rank, shape, 0);
    if (dataset < 0 || H5Dwrite(dataset, id, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        status = write_failed(record, path, error);
    if (((dataset >= 0 && H5Dclose(dataset) < 0) || record->output.first_errno != 0) && status == AVVIK_OK)
        status = write_failed(record, path, error);
    if (type == AVVIK_TEXT)
        H5Tclose(id);
    return status != AVVIK_OK ? status
                              : item_add_array(record, path, type, rank + (type == AVVIK_TEXT), dims, data, bytes, error);
}

int avvik__record_has(struct avvik__record *record, const char *path)
{
    return H5Lexists(record->file, path, H5P_DEFAULT) > 0;
}

/* Open a data set whose type is exactly `type`. */
static hid_t dataset_open(struct avvik__record *record, const char *path, enum avvik__type type, size_t text_size)
{
    if (!avvik__record_has(record, path))
        return H5I_INVALID_HID;
    const hid_t dataset = H5Dopen2(record->file, path, H5P_DEFAULT);
    const hid_t found = dataset < 0 ? H5I_INVALID_HID : H5Dget_type(dataset);
    const int fits = found >= 0 && (type == AVVIK_TEXT ? H5Tget_class(found) == H5T_STRING && H5Tis_variable_str(found) == 0 &&
                                                             H5Tget_size(found) == text_size
                                                       : H5Tequal(found, type_id(type)) > 0);
    avvik__h5_close(found);
    if (fits)
        return dataset;
    avvik__h5_close(dataset);
    return H5I_INVALID_HID;
}

static int dataset_dims(hid_t dataset, int rank, uint64_t *dims_out)
{
    hsize_t dims[2];
    const hid_t space = H5Dget_space(dataset);
    const int fits = space >= 0 && H5Sget_simple_extent_type(space) == H5S_SIMPLE &&
                     H5Sget_simple_extent_ndims(space) == rank && H5Sget_simple_extent_dims(space, dims, NULL) == rank;
    for (int i = 0; fits && i < rank; i++)
        dims_out[i] = dims[i];
    avvik__h5_close(space);
    return fits;
}

enum avvik_status avvik__record_dims(struct avvik__record *record, const char *path, int rank, uint64_t *dims_out,
                                     struct avvik_error *error)
{
    const hid_t dataset = avvik__record_has(record, path) ? H5Dopen2(record->file, path, H5P_DEFAULT) : H5I_INVALID_HID;
    const int fits = dataset >= 0 && dataset_dims(dataset, rank, dims_out);
    avvik__h5_close(dataset);
    return fits ? AVVIK_OK : read_failed(record, path, error);
}

enum avvik_status avvik__record_text_size(struct avvik__record *record, const char *path, uint64_t *size_out,
                                          struct avvik_error *error)
{
    const hid_t dataset = avvik__record_has(record, path) ? H5Dopen2(record->file, path, H5P_DEFAULT) : H5I_INVALID_HID;
    const hid_t type = dataset < 0 ? H5I_INVALID_HID : H5Dget_type(dataset);
    const int fits = type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0;
    if (fits)
        *size_out = H5Tget_size(type);
    avvik__h5_close(type);
    avvik__h5_close(dataset);
    return fits ? AVVIK_OK : read_failed(record, path, error);
}

enum avvik_status avvik__record_get(struct avvik__record *record, const char *path, enum avvik__type type, int rank,
                                    const uint64_t *dims, void **data_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    size_t bytes = type == AVVIK_TEXT ? (size_t)dims[rank] : type_size(type);
    uint64_t found[2] = {0};
    void *data = NULL;
    const hid_t id = type == AVVIK_TEXT ? text_type(bytes) : type_id(type);
    const hid_t dataset = dataset_open(record, path, type, bytes);
    if (dataset < 0 || !dataset_dims(dataset, rank, found))
        AVVIK_TRY(read_failed(record, path, error));
    for (int i = 0; i < rank; i++)
        if (found[i] != dims[i] || __builtin_mul_overflow(bytes, (size_t)dims[i], &bytes))
            AVVIK_TRY(read_failed(record, path, error));
    if ((data = malloc(bytes == 0 ? 1 : bytes)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "%s: not enough memory for %s", record->path, path);
    if (H5Dread(dataset, id, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s cannot be read; the file is damaged", record->path, path);
    AVVIK_TRY(item_add_array(record, path, type, rank + (type == AVVIK_TEXT), dims, data, bytes, error));
    *data_out = data;
    data = NULL;
done:
    free(data);
    avvik__h5_close(dataset);
    if (type == AVVIK_TEXT)
        H5Tclose(id);
    return status;
}

static void attribute_path(char *path, size_t size, const char *group, const char *name)
{
    snprintf(path, size, "%s@%s", group, name);
}

static enum avvik_status attribute_put(struct avvik__record *record, const char *group, const char *name, hid_t type,
                                       const void *data, struct avvik_error *error)
{
    const hid_t object = H5Oopen(record->file, group, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const int written = attribute >= 0 && H5Awrite(attribute, type, data) >= 0 && record->output.first_errno == 0;
    avvik__h5_close(attribute);
    avvik__h5_close(space);
    H5Oclose(object);
    return written ? AVVIK_OK : write_failed(record, name, error);
}

enum avvik_status avvik__record_put_u64(struct avvik__record *record, const char *group, const char *name,
                                        uint64_t value, int counts, struct avvik_error *error)
{
    char path[192];
    const enum avvik_status status = attribute_put(record, group, name, H5T_STD_U64LE, &value, error);
    attribute_path(path, sizeof path, group, name);
    return status != AVVIK_OK || !counts ? status
                                         : item_add_array(record, path, AVVIK_U64, 0, NULL, &value, sizeof value, error);
}

enum avvik_status avvik__record_put_text(struct avvik__record *record, const char *group, const char *name,
                                         const char *value, int counts, struct avvik_error *error)
{
    char path[192];
    const hid_t type = text_type(strlen(value));
    const enum avvik_status status = attribute_put(record, group, name, type, value, error);
    H5Tclose(type);
    attribute_path(path, sizeof path, group, name);
    return status != AVVIK_OK || !counts
               ? status
               : item_add_array(record, path, AVVIK_TEXT, 0, NULL, value, strlen(value), error);
}

enum avvik_status avvik__record_get_u64(struct avvik__record *record, const char *group, const char *name,
                                        uint64_t *value_out, struct avvik_error *error)
{
    char path[192];
    uint64_t value = 0;
    int fits = 0;
    attribute_path(path, sizeof path, group, name);
    if (strcmp(group, "/") == 0 || avvik__record_has(record, group)) {
        const hid_t attribute = H5Aopen_by_name(record->file, group, name, H5P_DEFAULT, H5P_DEFAULT);
        const hid_t type = attribute < 0 ? H5I_INVALID_HID : H5Aget_type(attribute);
        const hid_t space = attribute < 0 ? H5I_INVALID_HID : H5Aget_space(attribute);
        fits = type >= 0 && space >= 0 && H5Tget_class(type) == H5T_INTEGER && H5Sget_simple_extent_npoints(space) == 1 &&
               H5Aread(attribute, H5T_NATIVE_UINT64, &value) >= 0;
        avvik__h5_close(space);
        avvik__h5_close(type);
        avvik__h5_close(attribute);
    }
    if (!fits)
        return read_failed(record, path, error);
    *value_out = value;
    return item_add_array(record, path, AVVIK_U64, 0, NULL, &value, sizeof value, error);
}

enum avvik_status avvik__record_get_text(struct avvik__record *record, const char *group, const char *name, char *value,
                                         size_t size, int counts, struct avvik_error *error)
{
    char path[192];
    int fits = 0;
    attribute_path(path, sizeof path, group, name);
    if (strcmp(group, "/") == 0 || avvik__record_has(record, group)) {
        const hid_t object = H5Oopen(record->file, group, H5P_DEFAULT);
        if (object >= 0) {
            fits = avvik__h5_string_attribute(object, name, value, size);
            H5Oclose(object);
        }
    }
    if (!fits)
        return read_failed(record, path, error);
    return counts ? item_add_array(record, path, AVVIK_TEXT, 0, NULL, value, strlen(value), error) : AVVIK_OK;
}

static enum avvik_status column_add(struct avvik__record *record, const char *path, enum avvik__type type,
                                    uint64_t n_rows, hid_t dataset, struct avvik__record_column **column_out,
                                    struct avvik_error *error)
{
    XXH3_state_t *digest = XXH3_createState();
    if (record->n_columns == MAX_COLUMNS || digest == NULL) {
        avvik__h5_close(dataset);
        XXH3_freeState(digest);
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    struct avvik__record_column *column = &record->columns[record->n_columns++];
    *column = (struct avvik__record_column){
        .record = record, .dataset = dataset, .type = type, .n_rows = n_rows, .digest = digest};
    snprintf(column->path, sizeof column->path, "%s", path);
    digest_start(digest, type, 1, &n_rows);
    *column_out = column;
    return AVVIK_OK;
}

enum avvik_status avvik__record_column_create(struct avvik__record *record, const char *path, enum avvik__type type,
                                              uint64_t n_rows, struct avvik__record_column **column_out,
                                              struct avvik_error *error)
{
    const hsize_t dims = n_rows;
    const hid_t dataset = dataset_create(record, path, type_id(type), 1, &dims,
                                         n_rows < COLUMN_CHUNK_ROWS ? n_rows : COLUMN_CHUNK_ROWS);
    return dataset < 0 ? write_failed(record, path, error)
                       : column_add(record, path, type, n_rows, dataset, column_out, error);
}

enum avvik_status avvik__record_column_open(struct avvik__record *record, const char *path, enum avvik__type type,
                                            uint64_t n_rows, struct avvik__record_column **column_out,
                                            struct avvik_error *error)
{
    uint64_t found;
    const hid_t dataset = dataset_open(record, path, type, 0);
    if (dataset < 0 || !dataset_dims(dataset, 1, &found) || found != n_rows) {
        avvik__h5_close(dataset);
        return read_failed(record, path, error);
    }
    return column_add(record, path, type, n_rows, dataset, column_out, error);
}

/* Select the next n_rows rows; 0 if that works. */
static int column_select(struct avvik__record_column *column, size_t n_rows, hid_t *memory_out, hid_t *space_out)
{
    const hsize_t start = column->next, count = n_rows;
    *memory_out = H5Screate_simple(1, &count, NULL);
    *space_out = H5Dget_space(column->dataset);
    return n_rows <= column->n_rows - column->next && *memory_out >= 0 && *space_out >= 0 &&
                   H5Sselect_hyperslab(*space_out, H5S_SELECT_SET, &start, NULL, &count, NULL) >= 0
               ? 0
               : -1;
}

enum avvik_status avvik__record_column_write(struct avvik__record_column *column, const void *data, size_t n_rows,
                                             struct avvik_error *error)
{
    hid_t memory, space;
    enum avvik_status status = AVVIK_OK;
    if (column_select(column, n_rows, &memory, &space) != 0 ||
        H5Dwrite(column->dataset, type_id(column->type), memory, space, H5P_DEFAULT, data) < 0 ||
        column->record->output.first_errno != 0)
        status = write_failed(column->record, column->path, error);
    avvik__h5_close(memory);
    avvik__h5_close(space);
    XXH3_128bits_update(column->digest, data, n_rows * type_size(column->type));
    column->next += n_rows;
    return status;
}

enum avvik_status avvik__record_column_read(struct avvik__record_column *column, void *data, size_t n_rows,
                                            struct avvik_error *error)
{
    hid_t memory, space;
    enum avvik_status status = AVVIK_OK;
    if (column_select(column, n_rows, &memory, &space) != 0 ||
        H5Dread(column->dataset, type_id(column->type), memory, space, H5P_DEFAULT, data) < 0)
        status = avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: rows %" PRIu64 " to %" PRIu64 " of %s cannot be read; "
                                  "the file is damaged", column->record->path, column->next,
                                  column->next + n_rows - 1, column->path);
    avvik__h5_close(memory);
    avvik__h5_close(space);
    if (status == AVVIK_OK)
        XXH3_128bits_update(column->digest, data, n_rows * type_size(column->type));
    column->next += n_rows;
    return status;
}

enum avvik_status avvik__record_verify(struct avvik__record *record, struct avvik_error *error)
{
    char computed[AVVIK_HASH_SIZE], stated[AVVIK_HASH_SIZE];
    for (size_t i = 0; i < record->n_columns; i++) {
        const enum avvik_status status = item_add(record, record->columns[i].path,
                                                  XXH3_128bits_digest(record->columns[i].digest), error);
        if (status != AVVIK_OK)
            return status;
    }
    hash_of_items(record, computed);
    avvik__record_hash(record, stated);
    return strcmp(computed, stated) == 0
               ? AVVIK_OK
               : avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                  "%s: its content does not have the hash it states (%s); it was changed or damaged",
                                  record->path, stated);
}

/* Arrays and attributes of a record. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record_internal.h"

size_t avvik__type_size(enum avvik__type type)
{
    switch (type) {
    case AVVIK_U16: return 2;
    case AVVIK_U32:
    case AVVIK_I32:
    case AVVIK_F32: return 4;
    case AVVIK_U64:
    case AVVIK_I64:
    case AVVIK_F64: return 8;
    case AVVIK_TEXT: return 1;
    }
    return 0;
}

hid_t avvik__type_id(enum avvik__type type)
{
    switch (type) {
    case AVVIK_U16: return H5T_STD_U16LE;
    case AVVIK_U32: return H5T_STD_U32LE;
    case AVVIK_U64: return H5T_STD_U64LE;
    case AVVIK_I32: return H5T_STD_I32LE;
    case AVVIK_I64: return H5T_STD_I64LE;
    case AVVIK_F32: return H5T_IEEE_F32LE;
    case AVVIK_F64: return H5T_IEEE_F64LE;
    case AVVIK_TEXT: break;
    }
    return H5I_INVALID_HID;
}

hid_t avvik__text_type(size_t size)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, size == 0 ? 1 : size);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
}

void avvik__digest_start(XXH3_state_t *state, enum avvik__type type, int rank, const uint64_t *dims)
{
    const uint64_t head[2] = {(uint64_t)type, (uint64_t)rank};
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, head, sizeof head);
    XXH3_128bits_update(state, dims, (size_t)rank * sizeof *dims);
}

static enum avvik_status add_array(struct avvik__record *record, const char *path, enum avvik__type type, int rank,
                                   const uint64_t *dims, const void *data, size_t bytes, struct avvik_error *error)
{
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    avvik__digest_start(state, type, rank, dims);
    XXH3_128bits_update(state, data, bytes);
    const XXH128_hash_t digest = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return avvik__record_add(record, path, digest, error);
}

enum avvik_status avvik__record_group(struct avvik__record *record, const char *group, struct avvik_error *error)
{
    const hid_t id = H5Gcreate2(record->file, group, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    avvik__h5_close(id);
    return id < 0 || record->output.first_errno != 0 ? avvik__record_write_failed(record, group, error) : AVVIK_OK;
}

/* New data set without time stamps, so that the same content is the same bytes. */
hid_t avvik__dataset_create(struct avvik__record *record, const char *path, hid_t type, int rank, const hsize_t *dims,
                            hsize_t chunk_rows, unsigned level)
{
    const hid_t list = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(rank, dims, NULL);
    H5Pset_obj_track_times(list, 0);
    H5Pset_fill_time(list, H5D_FILL_TIME_NEVER);
    if (chunk_rows > 0)
        H5Pset_chunk(list, 1, &chunk_rows);
    if (level > 0) {
        H5Pset_shuffle(list);
        H5Pset_deflate(list, level);
    }
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
    size_t bytes = type == AVVIK_TEXT ? (size_t)dims[rank] : avvik__type_size(type);
    const hid_t id = type == AVVIK_TEXT ? avvik__text_type(bytes) : avvik__type_id(type);
    for (int i = 0; i < rank; i++) {
        shape[i] = dims[i];
        bytes *= (size_t)dims[i];
    }
    const hid_t dataset = avvik__dataset_create(record, path, id, rank, shape, 0, 0);
    if (dataset < 0 || H5Dwrite(dataset, id, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        status = avvik__record_write_failed(record, path, error);
    if (((dataset >= 0 && H5Dclose(dataset) < 0) || record->output.first_errno != 0) && status == AVVIK_OK)
        status = avvik__record_write_failed(record, path, error);
    if (type == AVVIK_TEXT)
        H5Tclose(id);
    return status != AVVIK_OK ? status
                              : add_array(record, path, type, rank + (type == AVVIK_TEXT), dims, data, bytes, error);
}

int avvik__record_has(struct avvik__record *record, const char *path)
{
    return H5Lexists(record->file, path, H5P_DEFAULT) > 0;
}

/* Open a data set whose type is exactly `type`. */
hid_t avvik__dataset_open_exact(struct avvik__record *record, const char *path, enum avvik__type type, size_t text_size)
{
    if (!avvik__record_has(record, path))
        return H5I_INVALID_HID;
    const hid_t dataset = H5Dopen2(record->file, path, H5P_DEFAULT);
    const hid_t found = dataset < 0 ? H5I_INVALID_HID : H5Dget_type(dataset);
    const int fits =
        found >= 0 && (type == AVVIK_TEXT ? H5Tget_class(found) == H5T_STRING && H5Tis_variable_str(found) == 0 &&
                                                H5Tget_size(found) == text_size
                                          : H5Tequal(found, avvik__type_id(type)) > 0);
    avvik__h5_close(found);
    if (fits)
        return dataset;
    avvik__h5_close(dataset);
    return H5I_INVALID_HID;
}

int avvik__dataset_dims(hid_t dataset, int rank, uint64_t *dims_out)
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
    const int fits = dataset >= 0 && avvik__dataset_dims(dataset, rank, dims_out);
    avvik__h5_close(dataset);
    return fits ? AVVIK_OK : avvik__record_read_failed(record, path, error);
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
    return fits ? AVVIK_OK : avvik__record_read_failed(record, path, error);
}

enum avvik_status avvik__record_get(struct avvik__record *record, const char *path, enum avvik__type type, int rank,
                                    const uint64_t *dims, void **data_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    size_t bytes = type == AVVIK_TEXT ? (size_t)dims[rank] : avvik__type_size(type);
    uint64_t found[2] = {0};
    void *data = NULL;
    const hid_t id = type == AVVIK_TEXT ? avvik__text_type(bytes) : avvik__type_id(type);
    const hid_t dataset = avvik__dataset_open_exact(record, path, type, bytes);
    if (dataset < 0 || !avvik__dataset_dims(dataset, rank, found))
        AVVIK_TRY(avvik__record_read_failed(record, path, error));
    for (int i = 0; i < rank; i++)
        if (found[i] != dims[i] || __builtin_mul_overflow(bytes, (size_t)dims[i], &bytes))
            AVVIK_TRY(avvik__record_read_failed(record, path, error));
    if ((data = malloc(bytes == 0 ? 1 : bytes)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "%s: not enough memory for %s", record->path, path);
    if (H5Dread(dataset, id, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s cannot be read; the file is damaged", record->path, path);
    AVVIK_TRY(add_array(record, path, type, rank + (type == AVVIK_TEXT), dims, data, bytes, error));
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

/* n 0: one value, else an array of n. */
static enum avvik_status attribute_put(struct avvik__record *record, const char *group, const char *name, hid_t type,
                                       hsize_t n, const void *data, struct avvik_error *error)
{
    const hid_t object = H5Oopen(record->file, group, H5P_DEFAULT);
    const hid_t space = n == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &n, NULL);
    const hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const int written = attribute >= 0 && H5Awrite(attribute, type, data) >= 0 && record->output.first_errno == 0;
    avvik__h5_close(attribute);
    avvik__h5_close(space);
    H5Oclose(object);
    return written ? AVVIK_OK : avvik__record_write_failed(record, name, error);
}

enum avvik_status avvik__record_put_u64(struct avvik__record *record, const char *group, const char *name,
                                        uint64_t value, int counts, struct avvik_error *error)
{
    char path[192];
    const enum avvik_status status = attribute_put(record, group, name, H5T_STD_U64LE, 0, &value, error);
    attribute_path(path, sizeof path, group, name);
    return status != AVVIK_OK || !counts ? status
                                         : add_array(record, path, AVVIK_U64, 0, NULL, &value, sizeof value, error);
}

enum avvik_status avvik__record_put_text(struct avvik__record *record, const char *group, const char *name,
                                         const char *value, int counts, struct avvik_error *error)
{
    char path[192];
    const hid_t type = avvik__text_type(strlen(value));
    const enum avvik_status status = attribute_put(record, group, name, type, 0, value, error);
    H5Tclose(type);
    attribute_path(path, sizeof path, group, name);
    return status != AVVIK_OK || !counts ? status
                                         : add_array(record, path, AVVIK_TEXT, 0, NULL, value, strlen(value), error);
}

enum avvik_status avvik__record_put_texts(struct avvik__record *record, const char *path, const char *name,
                                          const char *texts, size_t n, size_t size, struct avvik_error *error)
{
    char item[192];
    const uint64_t dims[2] = {n, size};
    const hid_t type = avvik__text_type(size);
    const enum avvik_status status = attribute_put(record, path, name, type, n, texts, error);
    H5Tclose(type);
    attribute_path(item, sizeof item, path, name);
    return status != AVVIK_OK ? status : add_array(record, item, AVVIK_TEXT, 2, dims, texts, n * size, error);
}

enum avvik_status avvik__record_put_number(struct avvik__record *record, const char *path, const char *name,
                                           enum avvik__type type, const void *value, struct avvik_error *error)
{
    char item[192];
    const enum avvik_status status = attribute_put(record, path, name, avvik__type_id(type), 0, value, error);
    attribute_path(item, sizeof item, path, name);
    return status != AVVIK_OK ? status : add_array(record, item, type, 0, NULL, value, avvik__type_size(type), error);
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
        fits = type >= 0 && space >= 0 && H5Tget_class(type) == H5T_INTEGER &&
               H5Sget_simple_extent_npoints(space) == 1 && H5Aread(attribute, H5T_NATIVE_UINT64, &value) >= 0;
        avvik__h5_close(space);
        avvik__h5_close(type);
        avvik__h5_close(attribute);
    }
    if (!fits)
        return avvik__record_read_failed(record, path, error);
    *value_out = value;
    return add_array(record, path, AVVIK_U64, 0, NULL, &value, sizeof value, error);
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
        return avvik__record_read_failed(record, path, error);
    return counts ? add_array(record, path, AVVIK_TEXT, 0, NULL, value, strlen(value), error) : AVVIK_OK;
}

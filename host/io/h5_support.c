#include "h5_support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input_driver.h"

void avvik__h5_quiet(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

struct reason {
    char *text;
    size_t size;
};

static herr_t reason_take(unsigned depth, const H5E_error2_t *entry, void *data)
{
    const struct reason *reason = data;
    (void)depth;
    if (entry->desc != NULL)
        snprintf(reason->text, reason->size, "%s", entry->desc);
    return 0;
}

void avvik__h5_reason(char *text, size_t size)
{
    struct reason reason = {text, size};
    snprintf(text, size, "HDF5 gives no reason");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, reason_take, &reason); /* the last entry is the innermost call */
    static const char mark[] = "error message = '"; /* the operating system's own words, where there are any */
    const char *words = strstr(text, mark);
    if (words != NULL) {
        memmove(text, words + sizeof mark - 1, strlen(words + sizeof mark - 1) + 1);
        text[strcspn(text, "'")] = '\0';
    }
    H5Eclear2(H5E_DEFAULT); /* HDF5 would lose what is on the stack of a thread that ends */
}

void avvik__h5_close(hid_t id)
{
    if (id < 0)
        return;
    switch (H5Iget_type(id)) {
    case H5I_FILE: H5Fclose(id); break;
    case H5I_GROUP: H5Gclose(id); break;
    case H5I_DATATYPE: H5Tclose(id); break;
    case H5I_DATASPACE: H5Sclose(id); break;
    case H5I_DATASET: H5Dclose(id); break;
    case H5I_ATTR: H5Aclose(id); break;
    case H5I_GENPROP_LST: H5Pclose(id); break;
    default: H5Idec_ref(id); break;
    }
}

hid_t avvik__driver_keep(hid_t *id, const H5FD_class_t *driver)
{
    if (H5Iget_type(*id) != H5I_VFL)
        *id = H5FDregister(driver);
    return *id;
}

void avvik__h5_metadata_limit(hid_t file, size_t bytes)
{
    H5AC_cache_config_t config = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
    if (H5Fget_mdc_config(file, &config) < 0)
        return;
    config.set_initial_size = 1;
    config.initial_size = config.min_size = config.max_size = bytes;
    config.incr_mode = H5C_incr__off;
    config.flash_incr_mode = H5C_flash_incr__off;
    config.decr_mode = H5C_decr__off;
    H5Fset_mdc_config(file, &config);
}

int avvik__h5_string_attribute(hid_t object, const char *name, char *text, size_t size)
{
    int found = 0;
    hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    text[0] = '\0';
    if (H5Aexists(object, name) <= 0)
        return 0;
    const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0 || (type = H5Aget_type(attribute)) < 0 || (space = H5Aget_space(attribute)) < 0)
        goto done;
    if (H5Tget_class(type) != H5T_STRING || H5Sget_simple_extent_npoints(space) != 1)
        goto done;
    if (H5Tis_variable_str(type) > 0) {
        char *value = NULL;
        if (H5Aread(attribute, type, &value) < 0 || value == NULL)
            goto done;
        snprintf(text, size, "%s", value);
        H5free_memory(value);
    } else {
        const size_t length = H5Tget_size(type);
        char *value = length < 1 << 20 ? calloc(length + 1, 1) : NULL;
        if (value == NULL)
            goto done;
        if (H5Aread(attribute, type, value) < 0) {
            free(value);
            goto done;
        }
        snprintf(text, size, "%s", value);
        free(value);
    }
    for (size_t n = strlen(text); n > 0 && text[n - 1] == ' '; n--)
        text[n - 1] = '\0';
    found = 1;
done:
    avvik__h5_close(space);
    avvik__h5_close(type);
    avvik__h5_close(attribute);
    return found;
}

enum avvik_status avvik__h5_open(const char *path, hid_t *file_out, struct avvik_error *error)
{
    struct stat info;
    avvik__h5_quiet();
    if (stat(path, &info) != 0)
        return avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: %s", path,
                                errno == ENOENT ? "no such file" : strerror(errno));
    if (S_ISDIR(info.st_mode))
        return avvik__error_set(error, AVVIK_ERR_IO, EISDIR, "%s: is a directory, not an HDF5 file", path);
    if (!S_ISREG(info.st_mode))
        return avvik__error_set(error, AVVIK_ERR_IO, 0, "%s: is not a regular file", path);
    if (access(path, R_OK) != 0)
        return avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: %s", path, strerror(errno));
    const htri_t is_hdf5 = H5Fis_hdf5(path);
    if (is_hdf5 == 0)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: is not an HDF5 file", path);
    *file_out = avvik__input_open(path);
    if (*file_out >= 0)
        return AVVIK_OK;
    char reason[256];
    avvik__h5_reason(reason, sizeof reason);
    if (strstr(reason, "lock request") != NULL) /* in HDF5's words */
        return avvik__error_set(error, AVVIK_ERR_IO, 0,
                                "%s: another program holds a lock on it; wait for it, or set "
                                "HDF5_USE_FILE_LOCKING=FALSE if nothing writes to it",
                                path);
    return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                            "%s: HDF5 cannot open it (%s); the file is truncated or damaged", path, reason);
}

static const char *filter_package(H5Z_filter_t filter)
{
    switch (filter) {
    case 307: return "bzip2, in Debian's hdf5-filter-plugin";
    case 32001: return "Blosc, in Debian's hdf5-filter-plugin-blosc-serial";
    case 32004: return "LZ4, in Debian's hdf5-filter-plugin";
    case 32008: return "bitshuffle, in PyPI's hdf5plugin";
    case 32013: return "ZFP, in Debian's hdf5-filter-plugin-zfp-serial";
    case 32015: return "Zstandard, in PyPI's hdf5plugin";
    case 32000: return "LZF, which only h5py has: rewrite the file with gzip";
    default: return "see the HDF Group's list of registered filters";
    }
}

enum avvik_status avvik__h5_check_filters(hid_t dataset, const char *where, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const hid_t list = H5Dget_create_plist(dataset);
    const int n_filters = list < 0 ? 0 : H5Pget_nfilters(list);
    int is_deflated = 0;
    for (int i = 0; i < n_filters && status == AVVIK_OK; i++) {
        unsigned flags, config;
        size_t n_values = 0;
        char name[64] = "";
        const H5Z_filter_t filter =
            H5Pget_filter2(list, (unsigned)i, &flags, &n_values, NULL, sizeof name, name, &config);
        if (filter < 0 || H5Zfilter_avail(filter) <= 0)
            status = avvik__error_set(error, AVVIK_ERR_FILTER, filter,
                                      "%s: is compressed with HDF5 filter %d, which is not installed (%s); install it "
                                      "or rewrite the file with `h5repack -f GZIP=4`",
                                      where, (int)filter, filter_package(filter));
        else if (is_deflated && filter != H5Z_FILTER_FLETCHER32) /* nobody can tell what it inflates to */
            status = avvik__error_set(error, AVVIK_ERR_FILTER, filter,
                                      "%s: is deflated and then goes through HDF5 filter %d; avvik reads files where "
                                      "deflate is the last: rewrite this one with `h5repack -f GZIP=4`",
                                      where, (int)filter);
        is_deflated = is_deflated || filter == H5Z_FILTER_DEFLATE;
    }
    avvik__h5_close(list);
    return status;
}

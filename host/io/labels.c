#include <math.h>
#include <stdlib.h>

#include "avvik/cases.h"
#include "h5_support.h"

#define RUN_ROWS 65536

enum avvik_status avvik_labels_read(const char *path, const char *name, uint64_t n_rows, uint8_t **labels_out,
                                    struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    hid_t file = H5I_INVALID_HID, dataset = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    hsize_t found = 0;
    uint8_t *labels = NULL;
    float *values = NULL;
    AVVIK_TRY(avvik__h5_open(path, &file, error));
    if ((dataset = H5Dopen2(file, name, H5P_DEFAULT)) < 0)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: has no data set %s", path, name);
    type = H5Dget_type(dataset);
    space = H5Dget_space(dataset);
    const H5T_class_t class = H5Tget_class(type);
    if (class != H5T_INTEGER && class != H5T_FLOAT && class != H5T_ENUM)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s does not hold numbers; labels are 0 (ordinary) or 1 (anomalous)", path,
                   name);
    if (H5Sget_simple_extent_type(space) != H5S_SIMPLE || H5Sget_simple_extent_ndims(space) != 1 ||
        H5Sget_simple_extent_dims(space, &found, NULL) != 1 || found != n_rows)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s has %llu rows where the scores have %llu", path, name,
                   (unsigned long long)found, (unsigned long long)n_rows);
    AVVIK_TRY(avvik__h5_check_filters(dataset, path, error));
    if ((labels = malloc(n_rows == 0 ? 1 : n_rows)) == NULL || (values = malloc(RUN_ROWS * sizeof *values)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (hsize_t first = 0; first < n_rows; first += RUN_ROWS) {
        const hsize_t count = n_rows - first < RUN_ROWS ? n_rows - first : RUN_ROWS;
        const hid_t memory = H5Screate_simple(1, &count, NULL);
        const int is_read = H5Sselect_hyperslab(space, H5S_SELECT_SET, &first, NULL, &count, NULL) >= 0 &&
                            H5Dread(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, values) >= 0;
        avvik__h5_close(memory);
        if (!is_read)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s cannot be read; the file is damaged", path, name);
        for (hsize_t i = 0; i < count; i++) {
            if (isnan(values[i]))
                AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: %s has no label (NaN) in row %llu", path, name,
                           (unsigned long long)(first + i));
            if (values[i] != 0 && values[i] != 1)
                AVVIK_FAIL(AVVIK_ERR_FORMAT, 0,
                           "%s: %s has the label %g in row %llu; labels are 0 (ordinary) or 1 "
                           "(anomalous)",
                           path, name, (double)values[i], (unsigned long long)(first + i));
            labels[first + i] = values[i] == 1;
        }
    }
    *labels_out = labels;
    labels = NULL;
done:
    free(labels);
    free(values);
    avvik__h5_close(space);
    avvik__h5_close(type);
    avvik__h5_close(dataset);
    avvik__h5_close(file);
    return status;
}

/* How the rows of a data set lie in its file, and where its chunks are. */
#include <stdlib.h>
#include <string.h>

#include "element.h"
#include "input_driver.h"
#include "source_internal.h"

#define MAX_ROW_BYTES ((size_t)1 << 20) /* of a compound table that is read without HDF5 */

/* Has every element as many bytes in the file as in memory? Texts and lists of any length, and references, have not. */
static int is_fixed(hid_t type)
{
    const H5T_class_t class = H5Tget_class(type);
    int fixed = class != H5T_VLEN && class != H5T_REFERENCE && class != H5T_NO_CLASS &&
                (class != H5T_STRING || H5Tis_variable_str(type) == 0);
    const int n_members = class == H5T_COMPOUND ? H5Tget_nmembers(type) : 0;
    for (int i = 0; i < n_members && fixed; i++) {
        const hid_t member = H5Tget_member_type(type, (unsigned)i);
        fixed = is_fixed(member);
        avvik__h5_close(member);
    }
    if (class == H5T_ARRAY) {
        const hid_t base = H5Tget_super(type);
        fixed = is_fixed(base);
        avvik__h5_close(base);
    }
    return fixed;
}

/* Where each feature of a store stands in a row of `type`. 0 if one of them is a number that only HDF5 can convert. */
static int features_find(hid_t type, struct avvik__column *columns, size_t n_features)
{
    if (H5Tget_class(type) != H5T_COMPOUND) {
        columns[0].offset = 0;
        return (columns[0].element = avvik__element_of(type)) != AVVIK_ELEMENT_NONE;
    }
    int is_known = 1;
    for (size_t f = 0; f < n_features && is_known; f++) {
        struct avvik__column *column = &columns[f];
        const hid_t member = H5Tget_member_type(type, column->member);
        const hid_t base = column->member_elements > 0 ? H5Tget_super(member) : H5Tcopy(member);
        column->element = base < 0 ? AVVIK_ELEMENT_NONE : avvik__element_of(base);
        column->offset =
            H5Tget_member_offset(type, column->member) + column->element_number * (base < 0 ? 0 : H5Tget_size(base));
        is_known = column->element != AVVIK_ELEMENT_NONE;
        avvik__h5_close(base);
        avvik__h5_close(member);
    }
    return is_known;
}

/* The value of rows that were never written, in the file's own type. 0 if there is no memory. */
static int fill_row_read(struct avvik__store *store, hid_t list, hid_t type)
{
    H5D_fill_value_t defined = H5D_FILL_VALUE_UNDEFINED;
    if ((store->fill_row = calloc(1, store->row_bytes)) == NULL)
        return 0;
    if (H5Pfill_value_defined(list, &defined) >= 0 && defined == H5D_FILL_VALUE_USER_DEFINED)
        H5Pget_fill_value(list, type, store->fill_row);
    return 1;
}

/* Twice what the rows of a chunk take in memory, where a text of any length has 8 bytes and in the file 16; the chunks
 * of a virtual data set are somewhere else, and no larger than any. */
static size_t inflate_limit_of(hid_t list, size_t chunk_bytes)
{
    unsigned flags, config;
    size_t n_values = 0;
    if (H5Pget_layout(list) == H5D_VIRTUAL)
        return AVVIK_MAX_CHUNK_BYTES;
    if (H5Pget_nfilters(list) <= 0 ||
        H5Pget_filter_by_id2(list, H5Z_FILTER_DEFLATE, &flags, &n_values, NULL, 0, NULL, &config) < 0)
        return 0;
    return 2 * (chunk_bytes < AVVIK_MAX_CHUNK_BYTES ? chunk_bytes : AVVIK_MAX_CHUNK_BYTES) + 4096;
}

size_t avvik__dataset_inflate_limit(hid_t dataset)
{
    const hid_t list = H5Dget_create_plist(dataset);
    const size_t limit = list < 0 ? 0 : inflate_limit_of(list, avvik__dataset_chunk_bytes(dataset));
    avvik__h5_close(list);
    return limit;
}

/* Settle on a layout; AVVIK_LAYOUT_PLAIN wherever anything is unusual. */
static enum avvik_status layout_find(struct avvik__store *store, struct avvik__column *columns,
                                     struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    hsize_t chunk[H5S_MAX_RANK];
    unsigned edge = 0; /* whether a chunk that is not full has filters */
    const hid_t type = H5Dget_type(store->dataset), list = H5Dget_create_plist(store->dataset);
    if (type < 0 || list < 0 || (store->row_bytes = H5Tget_size(type)) == 0)
        goto done;
    const int is_chunked = H5Pget_layout(list) == H5D_CHUNKED && H5Pget_chunk(list, H5S_MAX_RANK, chunk) == 1 &&
                           chunk[0] > 0 && H5Pget_chunk_opts(list, &edge) >= 0;
    if (is_chunked && __builtin_mul_overflow((size_t)chunk[0], store->row_bytes, &store->chunk_bytes))
        store->chunk_bytes = SIZE_MAX;
    store->inflate_limit = inflate_limit_of(list, store->chunk_bytes);
    if (!is_fixed(type) || store->row_bytes > MAX_ROW_BYTES ||
        (store->descriptor = avvik__input_descriptor(store->dataset, &store->file_bytes)) < 0)
        goto done;
    const int is_known = features_find(type, columns, store->n_features);
    if (H5Pget_layout(list) == H5D_CONTIGUOUS) {
        const haddr_t address = H5Dget_offset(store->dataset);
        if (is_known && H5Pget_external_count(list) == 0 && address != HADDR_UNDEF) {
            store->address = address;
            store->layout = AVVIK_LAYOUT_CONTIGUOUS;
        }
    } else if (is_chunked && edge == 0 && store->chunk_bytes < SIZE_MAX && avvik__filters_read(list, &store->filters)) {
        if (!fill_row_read(store, list, type))
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        store->chunk_rows = chunk[0];
        store->layout = is_known ? AVVIK_LAYOUT_CHUNKED : AVVIK_LAYOUT_PLAIN;
        store->is_checked = !is_known && store->filters.n > 0;
    }
done:
    avvik__h5_close(list);
    avvik__h5_close(type);
    return status;
}

enum avvik_status avvik__stores_open(struct avvik__source_file *file, size_t n_features, struct avvik_error *error)
{
    const int is_compound = file->compound >= 0;
    const size_t n_stores = is_compound ? 1 : n_features;
    if ((file->stores = calloc(n_stores, sizeof *file->stores)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    file->n_stores = n_stores;
    for (size_t i = 0; i < n_stores; i++) {
        struct avvik__store *store = &file->stores[i];
        store->dataset = is_compound ? file->compound : file->columns[i].dataset;
        store->first_feature = i;
        store->n_features = is_compound ? n_features : 1;
        const enum avvik_status status = layout_find(store, file->columns + i, error);
        if (status != AVVIK_OK)
            return status;
    }
    return AVVIK_OK;
}

static void chunk_free(struct avvik__chunk *chunk)
{
    if (chunk != NULL)
        free(chunk->rows);
    free(chunk);
}

static void spare_free(struct avvik__store *store)
{
    for (struct avvik__chunk *chunk = store->spare, *next; chunk != NULL; chunk = next) {
        next = chunk->next_spare;
        chunk_free(chunk);
    }
    store->spare = NULL;
}

void avvik__stores_close(struct avvik__source_file *file)
{
    for (size_t i = 0; i < file->n_stores; i++) {
        struct avvik__store *store = &file->stores[i];
        chunk_free(store->newest); /* all plans are gone: nobody else uses it */
        spare_free(store);
        free(store->fill_row);
    }
    free(file->stores);
}

static void chunk_drop(struct avvik__chunk *chunk) /* the mutex is held */
{
    if (--chunk->n_users > 0)
        return;
    if (chunk->store->is_left) {
        chunk_free(chunk);
    } else {
        chunk->next_spare = chunk->store->spare;
        chunk->store->spare = chunk;
    }
}

void avvik__stores_leave(struct avvik_source *source, struct avvik__source_file *file)
{
    if (file->is_left)
        return;
    file->is_left = 1;
    pthread_mutex_lock(&source->mutex);
    for (size_t i = 0; i < file->n_stores; i++) {
        struct avvik__store *store = &file->stores[i];
        store->is_left = 1;
        if (store->newest != NULL)
            chunk_drop(store->newest);
        store->newest = NULL;
        spare_free(store);
    }
    pthread_mutex_unlock(&source->mutex);
}

void avvik__chunk_release(struct avvik_source *source, struct avvik__chunk *chunk)
{
    pthread_mutex_lock(&source->mutex);
    chunk_drop(chunk);
    pthread_mutex_unlock(&source->mutex);
}

enum avvik_status avvik__chunk_get(struct avvik_source *source, struct avvik__store *store, uint64_t index,
                                   struct avvik__chunk **chunk_out)
{
    struct avvik__chunk *chunk = store->newest;
    if (chunk != NULL && chunk->index == index) {
        pthread_mutex_lock(&source->mutex);
        chunk->n_users++;
        pthread_mutex_unlock(&source->mutex);
        *chunk_out = chunk;
        return AVVIK_OK;
    }
    uint64_t address = 0, stored_bytes = 0;
    unsigned filter_mask = 0;
    const int is_stored =
        avvik__input_locate_chunk(store->dataset, index * store->chunk_rows, &address, &stored_bytes, &filter_mask);
    if (is_stored < 0)
        return AVVIK_ERR_FORMAT;
    pthread_mutex_lock(&source->mutex);
    store->is_left = 0;
    if (store->newest != NULL)
        chunk_drop(store->newest);
    store->newest = NULL;
    if ((chunk = store->spare) != NULL)
        store->spare = chunk->next_spare;
    else
        chunk = calloc(1, sizeof *chunk);
    if (chunk != NULL) {
        *chunk = (struct avvik__chunk){.store = store,
                                       .index = index,
                                       .is_stored = is_stored,
                                       .address = address,
                                       .stored_bytes = stored_bytes,
                                       .filter_mask = filter_mask,
                                       .n_users = 2, /* the caller and the store */
                                       .state = AVVIK_CHUNK_STORED,
                                       .rows = chunk->rows};
        store->newest = chunk;
    }
    pthread_mutex_unlock(&source->mutex);
    *chunk_out = chunk;
    return chunk == NULL ? AVVIK_ERR_MEMORY : AVVIK_OK;
}

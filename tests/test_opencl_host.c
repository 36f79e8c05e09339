/* What surrounds the OpenCL kernels: the choice of a walk, the cache of programs, devices and their errors. As in
 * test_opencl.c, OpenCL is only touched inside a test. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "opencl_cache.h"
#include "opencl_cases.h"

/* ---- What a device gets ---- */

START_TEST(geometry_fits_the_device)
{
    static const uint32_t features[] = {1, 16, 64, 100, 1000}, trees[] = {1, 2, 17, 1000};
    static const cl_ulong local[] = {0, 1024, 16384, 32768, 49152, 65536};
    static const size_t groups[] = {1, 8, 96, 256, 1024};
    struct avvik__cl_geometry geometry;
    for (size_t i = 0; i < 5 * 4 * 6 * 5 * 9; i++) {
        const struct avvik__cl_device device = {
            .local_bytes = local[i / 20 % 6], .max_group = groups[i / 120 % 5], .float_width = 1};
        struct avvik__scoring_plan plan = {.n_features = features[i % 5]};
        plan.forest.n_trees = trees[i / 5 % 4];
        plan.forest.height = (uint32_t)(AVVIK_MIN_HEIGHT + i / 600);
        plan.is_wide = plan.n_features > AVVIK_PACKED_FEATURES;
        ck_assert_int_eq(avvik__cl_geometry_choose(&device, &plan, &geometry, NULL), AVVIK_OK);
        const uint64_t nodes = 1u << plan.forest.height, tree_bytes = nodes * (plan.is_wide ? 8 : 6);
        const uint64_t used = (geometry.has_local_rows ? 4ull * plan.n_features * geometry.group * geometry.rows : 0) +
                              geometry.tile_trees * tree_bytes;
        ck_assert_uint_le(used, device.local_bytes);
        ck_assert_uint_ge(geometry.group, 1);
        ck_assert_uint_le(geometry.group, device.max_group);
        ck_assert_uint_ge(geometry.in_flight, 1);
        ck_assert_uint_eq(geometry.tile_trees % geometry.in_flight, 0);
        ck_assert_int_eq(geometry.is_lanes, 0);
    }
    const struct avvik__cl_device gpu = {
        .local_bytes = 49152, .has_fast_local = 1, .max_group = 1024, .float_width = 1};
    const struct avvik__cl_device cpu = {.local_bytes = 2 << 20, .max_group = 4096, .float_width = 16};
    struct avvik__scoring_plan plan = {.n_features = 16};
    plan.forest.n_trees = 100;
    plan.forest.height = 8;
    ck_assert_int_eq(avvik__cl_geometry_choose(&gpu, &plan, &geometry, NULL), AVVIK_OK);
    ck_assert_uint_eq(geometry.group, 256);
    ck_assert_uint_eq(geometry.rows, 2);
    ck_assert_uint_eq(geometry.tile_trees, 10);
    ck_assert_int_eq(geometry.has_local_rows, 1);
    ck_assert_int_eq(avvik__cl_geometry_choose(&cpu, &plan, &geometry, NULL), AVVIK_OK);
    ck_assert_int_eq(geometry.is_lanes, 1);
    ck_assert_uint_eq(geometry.vector, 16);
    setenv("AVVIK_OPENCL_WALK", "lanes", 1);
    ck_assert_int_eq(avvik__cl_geometry_choose(&cpu, &plan, &geometry, NULL), AVVIK_ERR_BACKEND);
}
END_TEST

/* ---- The cache ---- */

/* The one file in the cache directory: its path, inode and key. */
static ino_t cache_file(const char *directory, char *path, size_t size, struct avvik__cl_cache_key *key)
{
    struct stat info = {0};
    int n_files = 0;
    DIR *entries = opendir(directory);
    ck_assert_ptr_nonnull(entries);
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        n_files++;
        snprintf(path, size, "%s/%s", directory, entry->d_name);
        for (int i = 0; i < 16; i++) {
            unsigned byte = 0;
            ck_assert_int_eq(sscanf(entry->d_name + 2 * i, "%2x", &byte), 1);
            key->bytes[i] = (uint8_t)byte;
        }
    }
    closedir(entries);
    ck_assert_int_eq(n_files, 1);
    ck_assert_int_eq(stat(path, &info), 0);
    return info.st_ino;
}

static void open_and_score(const struct subject *subject, const char *what)
{
    void *state = state_open(subject), *worker = worker_make(state, 100);
    rows_check(subject, worker, 100, DATA_MIXED, 0, what);
    avvik__backend_opencl.worker_free(worker);
    avvik__backend_opencl.close(state);
}

static void byte_flip(const char *path, off_t at)
{
    uint8_t byte = 0;
    const int fd = open(path, O_RDWR);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

START_TEST(cache_cold_warm_and_damaged)
{
    static const uint8_t garbage[333] = {0x7f, 'E', 'L', 'F'};
    char directory[] = "/tmp/avvik-test-XXXXXX", inner[64], path[512], hard_link[64];
    struct subject subject;
    struct avvik__cl_cache_key key;
    struct stat info;
    if (!has_device("cache_cold_warm_and_damaged"))
        return;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(inner, sizeof inner, "%s/a/b", directory);
    snprintf(hard_link, sizeof hard_link, "%s/kept", directory); /* keeps an inode from being used again */
    setenv("AVVIK_CACHE", inner, 1);
    setenv("AVVIK_OPENCL_WALK", "lanes:16", 1); /* one program, where a GPU's group size may take several */
    subject_init(&subject, 5, 4, 3, 0);
    open_and_score(&subject, "cold cache");
    ino_t inode = cache_file(inner, path, sizeof path, &key);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
    open_and_score(&subject, "warm cache");
    ck_assert_msg(cache_file(inner, path, sizeof path, &key) == inode, "a warm cache was written again");

    /* Each of these must be seen, compiled around, and replaced by a whole file. */
    for (int damage = 0; damage < 7; damage++) {
        ck_assert_int_eq(link(path, hard_link), 0);
        switch (damage) {
        case 0: byte_flip(path, 0); break;                /* magic */
        case 1: byte_flip(path, 9); break;                /* key */
        case 2: byte_flip(path, 30); break;               /* length */
        case 3: byte_flip(path, info.st_size / 2); break; /* payload */
        case 4: ck_assert_int_eq(truncate(path, info.st_size - 1), 0); break;
        case 5: ck_assert_int_eq(truncate(path, 0), 0); break;
        case 6: ck_assert_int_eq(chmod(path, 0666), 0); break; /* anyone may have written it */
        }
        open_and_score(&subject, "damaged cache");
        inode = info.st_ino;
        ck_assert_msg(cache_file(inner, path, sizeof path, &key) != inode, "damage %d was not repaired", damage);
        ck_assert_int_eq(stat(path, &info), 0);
        ck_assert_int_eq(unlink(hard_link), 0);
    }
    avvik__cl_cache_store(&key, garbage, sizeof garbage); /* whole, but no program: compiled silently */
    open_and_score(&subject, "garbage in the cache");
    size_t size = 0;
    uint8_t *stored = avvik__cl_cache_load(&key, &size);
    ck_assert_msg(stored != NULL && size != sizeof garbage, "garbage was not replaced");
    free(stored);
    avvik__cl_cache_remove(&key);
    rmdir(inner);
    snprintf(inner, sizeof inner, "%s/a", directory);
    rmdir(inner);
    ck_assert_int_eq(rmdir(directory), 0);
    subject_destroy(&subject);
}
END_TEST

START_TEST(cache_may_be_unwritable)
{
    struct subject subject;
    if (!has_device("cache_may_be_unwritable"))
        return;
    setenv("AVVIK_CACHE", "/dev/null/cache", 1);
    subject_init(&subject, 5, 4, 3, 0);
    open_and_score(&subject, "unwritable cache");
    unsetenv("AVVIK_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    open_and_score(&subject, "no place for a cache");
    subject_destroy(&subject);
}
END_TEST

/* ---- Devices and errors ---- */

START_TEST(unknown_devices_are_refused)
{
    static const char *const specs[] = {"", "0", "0.", "x", "0.0x", "-1.0", "99.0", "0.99", "0.0.0"};
    struct subject subject;
    if (!has_device("unknown_devices_are_refused"))
        return;
    subject_init(&subject, 1, 4, 1, 0);
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        void *state = NULL;
        char device[192];
        struct avvik_error error;
        ck_assert_int_eq(avvik__backend_opencl.open(specs[i], &subject.plan, &state, device, sizeof device, &error),
                         AVVIK_ERR_BACKEND);
        ck_assert_ptr_null(state);
        ck_assert_msg(strstr(error.text, "here: 0.0 (") != NULL, "the text names no device: %s", error.text);
    }
    subject_destroy(&subject);
}
END_TEST

START_TEST(devices_are_listed)
{
    struct avvik_device *devices = NULL;
    size_t n_devices = 0;
    if (!has_device("devices_are_listed"))
        return;
    ck_assert_int_eq(avvik__opencl_devices_list(&devices, &n_devices, NULL), AVVIK_OK);
    const size_t once = n_devices;
    ck_assert_uint_ge(once, 1);
    ck_assert_int_eq(avvik__opencl_devices_list(&devices, &n_devices, NULL), AVVIK_OK); /* appends */
    ck_assert_uint_eq(n_devices, 2 * once);
    ck_assert_str_eq(devices[0].backend, "opencl:0.0");
    ck_assert_ptr_nonnull(strstr(devices[0].name, "driver "));
    for (size_t i = 0; i < n_devices; i++)
        ck_assert_int_eq(devices[i].is_available, devices[i].reason[0] == '\0');
    free(devices);
}
END_TEST

/* ocl-icd reads its variable once, at the first call: hence a test, and a process, of its own. */
START_TEST(no_platform_is_a_sentence)
{
    struct subject subject;
    struct avvik_device *devices = NULL;
    size_t n_devices = 0;
    struct avvik_error error = {AVVIK_OK, 0, ""};
    void *state = NULL;
    char device[192];
    setenv("OCL_ICD_VENDORS", "/nonexistent/", 1);
    setenv("OCL_ICD_FILENAMES", "", 1);
    subject_init(&subject, 1, 4, 1, 0);
    const enum avvik_status status =
        avvik__backend_opencl.open(NULL, &subject.plan, &state, device, sizeof device, &error);
    if (status == AVVIK_OK) { /* another loader */
        printf("SKIPPED no_platform_is_a_sentence: this ICD loader does not read OCL_ICD_VENDORS\n");
        avvik__backend_opencl.close(state);
    } else {
        ck_assert_int_eq(status, AVVIK_ERR_BACKEND);
        ck_assert_msg(strstr(error.text, "no OpenCL platform is installed") != NULL, "%s", error.text);
        ck_assert_int_eq(avvik__opencl_devices_list(&devices, &n_devices, NULL), AVVIK_OK);
        ck_assert_uint_eq(n_devices, 1);
        ck_assert_str_eq(devices[0].backend, "opencl");
        ck_assert_int_eq(devices[0].is_available, 0);
        ck_assert_msg(strstr(devices[0].reason, "pocl-opencl-icd") != NULL, "%s", devices[0].reason);
        free(devices);
    }
    subject_destroy(&subject);
}
END_TEST

START_TEST(pocl_without_a_cache_is_a_sentence)
{
    struct avvik__cl_devices devices;
    setenv("POCL_CACHE_DIR", "/dev/null/pocl", 1);
    ck_assert_int_eq(avvik__cl_devices_init(&devices, NULL), AVVIK_OK);
    ck_assert_uint_ge(devices.n_devices, 1);
    for (size_t i = 0; i < devices.n_devices; i++)
        if (strstr(devices.devices[i].platform_name, "Portable Computing Language") != NULL)
            ck_assert_msg(strstr(devices.devices[i].reason, "POCL_CACHE_DIR") != NULL, "%s", devices.devices[i].reason);
    avvik__cl_devices_destroy(&devices);
}
END_TEST

START_TEST(codes_have_names)
{
    struct avvik_error error;
    ck_assert_int_eq(avvik__cl_check(CL_SUCCESS, "clFinish", NULL, NULL), AVVIK_OK);
    ck_assert_int_eq(avvik__cl_check(CL_OUT_OF_RESOURCES, "clFinish", "a device", &error), AVVIK_ERR_BACKEND);
    ck_assert_str_eq(error.text, "OpenCL: clFinish failed with CL_OUT_OF_RESOURCES (-5) on a device");
    ck_assert_int_eq(error.foreign_code, CL_OUT_OF_RESOURCES);
    ck_assert_int_eq(avvik__cl_check(CL_MEM_OBJECT_ALLOCATION_FAILURE, "clCreateBuffer", NULL, NULL), AVVIK_ERR_MEMORY);
    ck_assert_int_eq(avvik__cl_check(CL_OUT_OF_HOST_MEMORY, "clCreateBuffer", NULL, NULL), AVVIK_ERR_MEMORY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("opencl host");
    TCase *cache = tcase_create("cache"), *devices = tcase_create("devices");
    SRunner *runner = srunner_create(suite);
    suite_add_tcase(suite, cache);
    suite_add_tcase(suite, devices);
    tcase_set_timeout(cache, 120);
    tcase_add_test(cache, cache_cold_warm_and_damaged);
    tcase_add_test(cache, cache_may_be_unwritable);
    tcase_add_test(devices, geometry_fits_the_device);
    tcase_add_test(devices, unknown_devices_are_refused);
    tcase_add_test(devices, devices_are_listed);
    tcase_add_test(devices, no_platform_is_a_sentence);
    tcase_add_test(devices, pocl_without_a_cache_is_a_sentence);
    tcase_add_test(devices, codes_have_names);
    srunner_run_all(runner, CK_NORMAL);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}

/* The files that `avvik tune` leaves: what is written is read back and used, and what anybody else might put there is
 * ignored with a warning. No OpenCL here: a device is a few strings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache_file.h"
#include "engine_cases.h"
#include "opencl_program.h"
#include "suite_run.h"
#include "tuning.h"

static const struct avvik__cl_device device = {.name = "a device",
                                               .driver = "1.2",
                                               .platform_name = "a platform",
                                               .platform_version = "OpenCL 3.0",
                                               .local_bytes = 49152,
                                               .has_fast_local = 1,
                                               .max_group = 1024,
                                               .float_width = 1};
static char directory[] = "/tmp/avvik-test-XXXXXX";
static char path[256]; /* of the one file in it */

static void setup(void)
{
    strcpy(strrchr(directory, '-'), "-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    setenv("AVVIK_CACHE", directory, 1);
    unsetenv("AVVIK_OPENCL_WALK");
}

static void teardown(void)
{
    unlink(path);
    rmdir(path);
    ck_assert_int_eq(rmdir(directory), 0);
}

/* Save, so that there is one file, and remember its path. */
static void device_save(const struct avvik__cl_tuning *tuning)
{
    char command[128];
    ck_assert_int_eq(avvik__cl_tuning_save(&device, tuning, NULL), AVVIK_OK);
    snprintf(command, sizeof command, "ls %s/*.tune", directory);
    FILE *list = popen(command, "r");
    ck_assert_ptr_nonnull(fgets(path, sizeof path, list));
    path[strcspn(path, "\n")] = '\0';
    pclose(list);
}

static void file_write(const char *text, size_t size)
{
    unlink(path);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, size, file), size);
    fclose(file);
    ck_assert_int_eq(chmod(path, 0600), 0);
}

START_TEST(test_what_is_saved_is_read_back)
{
    static const struct avvik__cl_tuning tunings[] = {
        {"lanes:16", 32, 1024}, {"local:24576", 64, 256}, {"global", 1, 1}, {"", 0, 65536}, {"lanes:8", 1024, 0}};
    struct avvik__cl_tuning got;
    struct stat info;
    char warning[512];
    ck_assert_int_eq(avvik__cl_tuning_load(&device, &got, warning, sizeof warning), 0); /* nothing is no warning */
    ck_assert_str_eq(warning, "");
    for (size_t i = 0; i < sizeof tunings / sizeof tunings[0]; i++) {
        device_save(&tunings[i]);
        ck_assert_int_eq(avvik__cl_tuning_load(&device, &got, warning, sizeof warning), 1);
        ck_assert_str_eq(warning, "");
        ck_assert_str_eq(got.walk, tunings[i].walk);
        ck_assert_uint_eq(got.group, tunings[i].group);
        ck_assert_uint_eq(got.piece_kib, tunings[i].piece_kib);
    }
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);

    struct avvik__cl_device other = device; /* another driver has another file */
    strcpy(other.driver, "1.3");
    ck_assert_int_eq(avvik__cl_tuning_load(&other, &got, warning, sizeof warning), 0);
    ck_assert_str_eq(warning, "");
}
END_TEST

/* What is tuned is what a kernel is compiled for, unless AVVIK_OPENCL_WALK says otherwise. */
START_TEST(test_geometry_follows_the_tuning)
{
    struct avvik__cl_device tuned = device;
    struct avvik__cl_geometry usual, geometry;
    struct avvik__scoring_plan plan = {.n_features = 16, .stride = 16};
    plan.forest.n_trees = 100;
    plan.forest.height = 8;
    ck_assert_int_eq(avvik__cl_geometry_choose(&tuned, &plan, &usual, NULL), AVVIK_OK);
    ck_assert_uint_eq(usual.piece_rows, 0);
    tuned.tuning = (struct avvik__cl_tuning){"local:16384", 64, 512};
    ck_assert_int_eq(avvik__cl_geometry_choose(&tuned, &plan, &geometry, NULL), AVVIK_OK);
    ck_assert_uint_eq(geometry.group, 64);
    ck_assert_uint_gt(geometry.tile_trees, 0);
    ck_assert_uint_lt(geometry.tile_trees, usual.tile_trees);
    ck_assert_uint_eq(geometry.piece_rows, 512 * 1024 / (16 * 4));
    tuned.tuning = (struct avvik__cl_tuning){"local:1048576", 0, 0}; /* more than there is */
    ck_assert_int_eq(avvik__cl_geometry_choose(&tuned, &plan, &geometry, NULL), AVVIK_OK);
    char options[2][512];
    avvik__cl_options_write(options[0], sizeof options[0], &plan, &usual);
    avvik__cl_options_write(options[1], sizeof options[1], &plan, &geometry);
    ck_assert_str_eq(options[1], options[0]);
    ck_assert_uint_eq(geometry.group, usual.group);
    ck_assert_uint_eq(geometry.piece_rows, usual.piece_rows);
    tuned.tuning = (struct avvik__cl_tuning){"lanes:8", 128, 0};
    ck_assert_int_eq(avvik__cl_geometry_choose(&tuned, &plan, &geometry, NULL), AVVIK_OK);
    ck_assert_int_eq(geometry.is_lanes, 1);
    ck_assert_uint_eq(geometry.vector, 8);
    ck_assert_uint_eq(geometry.group, 128);
    setenv("AVVIK_OPENCL_WALK", "global", 1);
    ck_assert_int_eq(avvik__cl_geometry_choose(&tuned, &plan, &geometry, NULL), AVVIK_OK);
    ck_assert_int_eq(geometry.is_lanes, 0);
    ck_assert_uint_eq(geometry.tile_trees, 0);
}
END_TEST

static const char *const spoilt[] = {"",
                                     "\n",
                                     "end\n",
                                     "avvik tuning 1\n",
                                     "avvik tuning 2\nend\n",
                                     "avvik tuning 1\nwalk lanes:16\n",
                                     "avvik tuning 1\nwalk lanes:16\nend",
                                     "avvik tuning 1\nend\nwalk lanes:16\n",
                                     "avvik tuning 1\nwalk lanes:4\nend\n",
                                     "avvik tuning 1\nwalk local:-1x\nend\n",
                                     "avvik tuning 1\nwalk global now\nend\n",
                                     "avvik tuning 1\ngroup 0\nend\n",
                                     "avvik tuning 1\ngroup 48\nend\n",
                                     "avvik tuning 1\ngroup 2048\nend\n",
                                     "avvik tuning 1\ngroup -32\nend\n",
                                     "avvik tuning 1\ngroup 99999999999999999999\nend\n",
                                     "avvik tuning 1\npiece_kib 0\nend\n",
                                     "avvik tuning 1\npiece_kib 65537\nend\n",
                                     "avvik tuning 1\npiece_kib 1e3\nend\n",
                                     "avvik tuning 1\nrun rm\nend\n",
                                     "avvik tuning 1\nforest 16 8 avx2\nend\n",
                                     "avvik tuning 1\nwalk %s%n\nend\n"};

START_TEST(test_a_spoilt_file_is_ignored_and_told)
{
    const struct avvik__cl_tuning nothing = {"", 0, 0};
    struct avvik__cl_tuning got;
    char warning[512];
    device_save(&nothing);
    file_write(spoilt[_i], strlen(spoilt[_i]));
    memset(&got, 0x5a, sizeof got);
    ck_assert_int_eq(avvik__cl_tuning_load(&device, &got, warning, sizeof warning), 0);
    ck_assert_mem_eq(&got, &nothing, sizeof got);
    ck_assert_ptr_nonnull(strstr(warning, path));
    ck_assert_ptr_nonnull(strstr(warning, "avvik tune"));
}
END_TEST

/* Too long, with zeros in it, of others, no file at all. */
START_TEST(test_an_odd_file_is_ignored_and_told)
{
    static const char good[] = "avvik tuning 1\nwalk global\nend\n";
    const struct avvik__cl_tuning nothing = {"", 0, 0};
    struct avvik__cl_tuning got;
    char warning[512], *text = calloc(1, 20000), other[300];
    device_save(&nothing);
    file_write(good, sizeof good - 1);
    ck_assert_int_eq(avvik__cl_tuning_load(&device, &got, warning, sizeof warning), 1);
    snprintf(other, sizeof other, "%s/other", directory);
    switch (_i) {
    case 0: /* comments without end */
        strcpy(text, "avvik tuning 1\n");
        while (strlen(text) < 19000)
            strcat(text, "for nothing at all\n");
        strcat(text, "end\n");
        file_write(text, strlen(text));
        break;
    case 1: file_write(good, sizeof good); break; /* a zero at its end */
    case 2: file_write("avvik tuning 1\0\nend\n", 20); break;
    case 3: ck_assert_int_eq(chmod(path, 0622), 0); break;
    case 4: ck_assert_int_eq(chmod(path, 0620), 0); break;
    case 5:
        ck_assert_int_eq(rename(path, other), 0);
        ck_assert_int_eq(symlink(other, path), 0);
        break;
    case 6:
        unlink(path);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        break;
    case 7:
        unlink(path);
        ck_assert_int_eq(mkfifo(path, 0600), 0); /* reading it would wait for ever */
        break;
    default: break;
    }
    ck_assert_int_eq(avvik__cl_tuning_load(&device, &got, warning, sizeof warning), 0);
    ck_assert_mem_eq(&got, &nothing, sizeof got);
    ck_assert_ptr_nonnull(strstr(warning, path));
    unlink(other);
    free(text);
}
END_TEST

/* The CPU's file decides what "auto" takes, shape by shape; a spoilt one is told and the widest is taken. */
START_TEST(test_auto_takes_what_was_measured)
{
    struct avvik__cpu_tuning tuning;
    struct avvik_engine *engine;
    struct avvik_model *model = model_make(); /* 5 features, 6 levels: the first entry */
    char command[128], widest[32];
    setenv("POCL_DEVICES", "pthread", 1);
    ck_assert_int_eq(avvik_engine_open(model, "auto", &engine, NULL), AVVIK_OK);
    snprintf(widest, sizeof widest, "%s", avvik_engine_backend(engine));
    ck_assert_ptr_null(avvik_engine_warning(engine));
    avvik_engine_close(engine);
    memset(&tuning, 0, sizeof tuning);
    strcpy(avvik__cpu_tuning_at(&tuning, 5, 6), "scalar");
    strcpy(avvik__cpu_tuning_at(&tuning, 5, 9), "avx2");
    strcpy(avvik__cpu_tuning_at(&tuning, 1000, 6), "avx2");
    ck_assert_int_eq(avvik__cpu_tuning_save(&tuning, NULL), AVVIK_OK);
    snprintf(command, sizeof command, "ls %s/*.tune", directory);
    FILE *list = popen(command, "r");
    ck_assert_ptr_nonnull(fgets(path, sizeof path, list));
    path[strcspn(path, "\n")] = '\0';
    pclose(list);
    ck_assert_int_eq(avvik_engine_open(model, "auto", &engine, NULL), AVVIK_OK);
    ck_assert_str_eq(avvik_engine_backend(engine), "scalar");
    ck_assert_ptr_null(avvik_engine_warning(engine));
    avvik_engine_close(engine);
    file_write("avvik tuning 1\nforest 8 8 abacus\nend\n", 37);
    ck_assert_int_eq(avvik_engine_open(model, "auto", &engine, NULL), AVVIK_OK);
    ck_assert_str_eq(avvik_engine_backend(engine), widest);
    ck_assert_ptr_nonnull(strstr(avvik_engine_warning(engine), path));
    avvik_engine_close(engine);
    avvik__forest_destroy(&model->forest);
}
END_TEST

START_TEST(test_every_shape_has_an_entry)
{
    struct avvik__cpu_tuning tuning;
    for (uint32_t f = 0; f < AVVIK_TUNED_FEATURES; f++)
        for (uint32_t h = 0; h < AVVIK_TUNED_HEIGHTS; h++)
            ck_assert_ptr_eq(avvik__cpu_tuning_at(&tuning, avvik__tuned_features[f], avvik__tuned_heights[h]),
                             tuning.backend[f][h]);
    ck_assert_ptr_eq(avvik__cpu_tuning_at(&tuning, 1, 4), tuning.backend[0][0]);
    ck_assert_ptr_eq(avvik__cpu_tuning_at(&tuning, 17, 9), tuning.backend[2][1]);
    ck_assert_ptr_eq(avvik__cpu_tuning_at(&tuning, 65, 8), tuning.backend[4][0]);
    ck_assert_ptr_eq(avvik__cpu_tuning_at(&tuning, 60000, 12), tuning.backend[4][1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tuning");
    TCase *cases = tcase_create("tuning");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, test_what_is_saved_is_read_back);
    tcase_add_test(cases, test_geometry_follows_the_tuning);
    tcase_add_loop_test(cases, test_a_spoilt_file_is_ignored_and_told, 0, (int)(sizeof spoilt / sizeof spoilt[0]));
    tcase_add_loop_test(cases, test_an_odd_file_is_ignored_and_told, 0, 8);
    tcase_add_test(cases, test_auto_takes_what_was_measured);
    tcase_add_test(cases, test_every_shape_has_an_entry);
    suite_add_tcase(suite, cases);
    return suite_run(suite);
}

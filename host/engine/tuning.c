/* A tuning file is a few lines of text: what it is, what it is for, one setting a line, and "end", so that a file cut
 * short is noticed. Whatever is not understood spoils the whole file: it is advice, and none is better than half. */
#include "tuning.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "build_info.h"
#include "cache_file.h"
#include "engine_internal.h"
#include "opencl_cache.h"
#include "opencl_program.h"

#define MAX_BYTES 4096
#define FIRST_LINE "avvik tuning 1"

const uint32_t avvik__tuned_features[AVVIK_TUNED_FEATURES] = {8, 16, 32, 64, 100};
const uint32_t avvik__tuned_heights[AVVIK_TUNED_HEIGHTS] = {8, 12};

char *avvik__cpu_tuning_at(struct avvik__cpu_tuning *tuning, uint32_t n_features, uint32_t height)
{
    unsigned f = 0;
    while (f + 1 < AVVIK_TUNED_FEATURES && n_features > avvik__tuned_features[f])
        f++;
    return tuning->backend[f][height > avvik__tuned_heights[0]];
}

/* ---- Names ---- */

static void cpu_file(char name[40], char cpu[192])
{
    struct avvik__cl_cache_key key;
    avvik__cpu_name(cpu, 192);
    const char *texts[] = {"cpu", AVVIK_VERSION, cpu};
    avvik__cl_cache_key(texts, sizeof texts / sizeof texts[0], &key);
    avvik__cl_cache_name(&key, "tune", name);
}

static void device_file(const struct avvik__cl_device *device, char name[40])
{
    struct avvik__cl_cache_key key;
    const char *texts[] = {"opencl", AVVIK_VERSION, device->name, device->driver, device->platform_version};
    avvik__cl_cache_key(texts, sizeof texts / sizeof texts[0], &key);
    avvik__cl_cache_name(&key, "tune", name);
}

/* ---- Reading ---- */

/* Takes one line of a file; 0 if it does not understand it. */
typedef int line_fn(void *tuning, const char *line);

static int lines_take(char *text, size_t size, line_fn *take, void *tuning)
{
    int n_lines = 0, is_ended = 0;
    if (strlen(text) != size)
        return 0;
    for (char *line = text, *end; *line != '\0'; line = end + 1, n_lines++) {
        if (is_ended || (end = strchr(line, '\n')) == NULL)
            return 0;
        *end = '\0';
        is_ended = strcmp(line, "end") == 0;
        if (n_lines == 0 ? strcmp(line, FIRST_LINE) != 0
                         : !is_ended && strncmp(line, "for ", 4) != 0 && !take(tuning, line))
            return 0;
    }
    return is_ended;
}

/* 1 if the file is there and every line of it was taken. */
static int file_take(const char *name, line_fn *take, void *tuning, char *warning, size_t size)
{
    char path[AVVIK_CACHE_PATH_BYTES];
    size_t n_bytes = 0;
    int is_odd;
    warning[0] = '\0';
    char *text = (char *)avvik__cache_read(name, MAX_BYTES, &n_bytes, &is_odd);
    const int is_taken = text != NULL && lines_take(text, n_bytes, take, tuning);
    if ((is_odd || (text != NULL && !is_taken)) && avvik__cache_path(name, path))
        snprintf(warning, size,
                 "%.400s is damaged, or others may write to it, and is ignored; `avvik tune` makes a new one", path);
    free(text);
    return is_taken;
}

static int cpu_line(void *opaque, const char *line)
{
    struct avvik__cpu_tuning *tuning = opaque;
    uint32_t n_features, height;
    char backend[16], rest;
    if (sscanf(line, "forest %" SCNu32 " %" SCNu32 " %15s%c", &n_features, &height, backend, &rest) != 3)
        return 0;
    for (size_t f = 0; f < AVVIK_TUNED_FEATURES; f++)
        for (size_t h = 0; h < AVVIK_TUNED_HEIGHTS; h++)
            for (size_t b = 0; b < AVVIK_CPU_BACKENDS; b++)
                if (avvik__tuned_features[f] == n_features && avvik__tuned_heights[h] == height &&
                    strcmp(avvik__cpu_backends[b]->name, backend) == 0) {
                    snprintf(tuning->backend[f][h], sizeof tuning->backend[f][h], "%s", backend);
                    return 1;
                }
    return 0;
}

int avvik__cpu_tuning_load(struct avvik__cpu_tuning *tuning_out, char *warning, size_t size)
{
    char name[40], cpu[192];
    cpu_file(name, cpu);
    memset(tuning_out, 0, sizeof *tuning_out);
    const int is_known = file_take(name, cpu_line, tuning_out, warning, size);
    if (!is_known)
        memset(tuning_out, 0, sizeof *tuning_out);
    return is_known;
}

static int device_line(void *opaque, const char *line)
{
    struct avvik__cl_tuning *tuning = opaque;
    struct avvik__cl_walk walk;
    char text[24], rest;
    uint32_t number;
    if (sscanf(line, "walk %23s%c", text, &rest) == 1 && avvik__cl_walk_parse(text, &walk)) {
        memcpy(tuning->walk, text, sizeof text);
        return 1;
    }
    if (sscanf(line, "group %" SCNu32 "%c", &number, &rest) == 1 && number >= 1 && number <= AVVIK_CL_MAX_GROUP &&
        (number & (number - 1)) == 0) {
        tuning->group = number;
        return 1;
    }
    if (sscanf(line, "piece_kib %" SCNu32 "%c", &number, &rest) == 1 && number >= 1 &&
        number <= AVVIK_CL_MAX_PIECE_KIB) {
        tuning->piece_kib = number;
        return 1;
    }
    return 0;
}

int avvik__cl_tuning_load(const struct avvik__cl_device *device, struct avvik__cl_tuning *tuning_out, char *warning,
                          size_t size)
{
    char name[40];
    device_file(device, name);
    memset(tuning_out, 0, sizeof *tuning_out);
    const int is_known = file_take(name, device_line, tuning_out, warning, size);
    if (!is_known)
        memset(tuning_out, 0, sizeof *tuning_out);
    return is_known;
}

/* ---- Writing ---- */

static enum avvik_status file_write(const char *name, const char *text, struct avvik_error *error)
{
    char path[AVVIK_CACHE_PATH_BYTES];
    if (avvik__cache_write(name, text, strlen(text), "end\n", 4))
        return AVVIK_OK;
    if (!avvik__cache_path(name, path))
        return avvik__error_set(error, AVVIK_ERR_IO, 0,
                                "there is no place for what was measured: set AVVIK_CACHE to a folder of yours");
    return avvik__error_set(error, AVVIK_ERR_IO, 0,
                            "%.800s cannot be written; set AVVIK_CACHE to a folder that you may write to", path);
}

enum avvik_status avvik__cpu_tuning_save(const struct avvik__cpu_tuning *tuning, struct avvik_error *error)
{
    char name[40], cpu[192], text[MAX_BYTES];
    cpu_file(name, cpu);
    int used = snprintf(text, sizeof text, "%s\nfor %s\n", FIRST_LINE, cpu);
    for (size_t f = 0; f < AVVIK_TUNED_FEATURES; f++)
        for (size_t h = 0; h < AVVIK_TUNED_HEIGHTS; h++)
            if (tuning->backend[f][h][0] != '\0')
                used += snprintf(text + used, sizeof text - (size_t)used, "forest %" PRIu32 " %" PRIu32 " %s\n",
                                 avvik__tuned_features[f], avvik__tuned_heights[h], tuning->backend[f][h]);
    return file_write(name, text, error);
}

enum avvik_status avvik__cl_tuning_save(const struct avvik__cl_device *device, const struct avvik__cl_tuning *tuning,
                                        struct avvik_error *error)
{
    char name[40], about[192], text[MAX_BYTES];
    device_file(device, name);
    avvik__cl_device_describe(device, about, sizeof about);
    about[strcspn(about, "\n")] = '\0';
    int used = snprintf(text, sizeof text, "%s\nfor %s\n", FIRST_LINE, about);
    if (tuning->walk[0] != '\0')
        used += snprintf(text + used, sizeof text - (size_t)used, "walk %s\n", tuning->walk);
    if (tuning->group > 0)
        used += snprintf(text + used, sizeof text - (size_t)used, "group %" PRIu32 "\n", tuning->group);
    if (tuning->piece_kib > 0)
        snprintf(text + used, sizeof text - (size_t)used, "piece_kib %" PRIu32 "\n", tuning->piece_kib);
    return file_write(name, text, error);
}

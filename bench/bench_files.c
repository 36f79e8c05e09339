/* Files that a run makes and takes away again, on an interrupt too. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define MAX_FILES 4
#define PATH_SIZE 400

/* Written before the handler is set or while no entry of it is in use. */
static char paths[MAX_FILES][PATH_SIZE];

static void interrupted(int number)
{
    for (size_t i = 0; i < MAX_FILES; i++)
        if (paths[i][0] != '\0')
            unlink(paths[i]);
    _exit(128 + number);
}

void bench_file_name(const struct bench_options *options, const char *name, char *path, size_t size)
{
    const char *folder = options->folder != NULL ? options->folder : getenv("TMPDIR");
    snprintf(path, size, "%.300s/avvik-bench-%d-%.40s", folder == NULL || folder[0] == '\0' ? "/tmp" : folder,
             (int)getpid(), name);
    for (size_t i = 0; i < MAX_FILES; i++) {
        if (paths[i][0] == '\0') {
            snprintf(paths[i], PATH_SIZE, "%s", path);
            break;
        }
    }
    signal(SIGINT, interrupted);
    signal(SIGTERM, interrupted);
}

void bench_file_remove(const char *path)
{
    unlink(path);
    for (size_t i = 0; i < MAX_FILES; i++)
        if (strcmp(paths[i], path) == 0)
            paths[i][0] = '\0';
}

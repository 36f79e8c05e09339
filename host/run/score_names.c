/* What the scores of a file are called. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "avvik/score.h"

int avvik_score_output_name(const char *dir, const char *input, char *buffer, size_t size)
{
    static const char *const endings[] = {".h5", ".hdf5", ".hdf"};
    const char *slash = strrchr(input, '/'), *name = slash == NULL ? input : slash + 1;
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t n = strlen(endings[i]);
        if (length > n && strcasecmp(name + length - n, endings[i]) == 0) {
            length -= n;
            break;
        }
    }
    const size_t dir_length = strlen(dir);
    const int written = snprintf(buffer, size, "%s%s%.*s.scores.h5", dir,
                                 dir_length == 0 || dir[dir_length - 1] == '/' ? "" : "/", (int)length, name);
    return length > 0 && length <= 255 && written > 0 && (size_t)written < size;
}
